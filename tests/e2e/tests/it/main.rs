//! End-to-end tests: one binary, one behaviour a module. Run with `cargo xtask test`.

#![allow(clippy::unwrap_used, clippy::large_futures)] // a test that cannot go on has failed

mod adoption;
mod bad_manifests;
mod bad_sources;
mod definitions;
mod deletion;
mod drift;
mod first_sync;
mod manual_sync;
mod namespaces;
mod projects;
mod refresh;
mod revisions;
mod sources;
