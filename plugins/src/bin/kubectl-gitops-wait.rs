//! `kubectl gitops wait` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::wait(std::env::args_os())
}
