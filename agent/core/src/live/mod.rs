//! What is known of live objects: identity, ownership of fields, health, and what admission and
//! controllers keep in them.

pub mod admission;
pub mod health;
pub mod injected;
pub mod object;
pub mod ownership;
