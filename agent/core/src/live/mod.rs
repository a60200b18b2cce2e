//! What is known of the cluster: the kinds it serves; of its objects identity, ownership of fields, health, and what admission and
//! controllers keep in them.

pub mod admission;
pub mod argo_cd;
pub mod discovery;
pub mod give_back;
pub mod health;
pub mod injected;
pub mod object;
pub mod ownership;
pub mod takeover;
