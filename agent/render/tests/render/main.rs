//! The renderer against the real worker: what each kind of source gives, what is refused and how, what is recorded as
//! read, and that a worker that misbehaves costs one render and nothing else.

// Helpers of tests may panic like tests.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]
#![allow(clippy::needless_pass_by_value, clippy::similar_names)]

mod directory;
mod faults;
mod helm;
mod helm_values;
mod inputs;
mod isolation;
mod jsonnet;
mod kustomize;
mod limits;
mod losses;
mod paths;
mod remote_files;
mod support;
