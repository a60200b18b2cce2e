//! `kubectl gitops diff` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::diff(std::env::args_os())
}
