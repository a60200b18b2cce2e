//! `kubectl gitops status` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::status(std::env::args_os())
}
