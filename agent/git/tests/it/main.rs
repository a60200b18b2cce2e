//! Tests against real Git servers: `git http-backend` behind a small HTTP server (plain and TLS),
//! `git upload-pack` on files, `ssh` where it is installed. One binary, so that it links once.

// What fails in a test is the test's answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod faults;
mod fetching;
mod following;
mod history;
mod http_server;
mod limits;
mod lines_up_with_git;
mod local;
mod local_server;
mod origin;
mod reading;
mod speed;
mod transport;
