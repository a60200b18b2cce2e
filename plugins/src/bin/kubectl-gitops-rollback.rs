//! `kubectl gitops rollback` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::rollback(std::env::args_os())
}
