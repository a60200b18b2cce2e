//! What is known of the cluster: the kinds it serves; of its objects identity, ownership of fields, health, and what admission and
//! controllers keep in them.

pub mod admission;
pub mod argo_cd;
pub mod discovery;
pub mod ended;
pub mod give_back;
pub mod given_up;
pub mod health;
pub mod injected;
pub mod object;
pub mod ownership;
pub mod shown;
pub mod takeover;
