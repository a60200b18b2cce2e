//! Syncs of an application: who asks for one, what keeps it away, how it is carried out.

pub(crate) mod apply;
pub(crate) mod approval;
pub(crate) mod blocked;
pub(crate) mod deliver;
pub(crate) mod dry_run;
pub(crate) mod execute;
pub(crate) mod hooks;
pub(crate) mod operation;
pub(crate) mod pause;
pub(crate) mod planned;
pub(crate) mod prerequisites;
pub(crate) mod request;
pub(crate) mod results;
pub(crate) mod unreadable;
pub(crate) mod window;
