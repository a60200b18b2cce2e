//! `kubectl gitops history` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::history(std::env::args_os())
}
