//! `kubectl gitops approve` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::approve(std::env::args_os())
}
