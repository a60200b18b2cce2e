//! `kubectl gitops refresh` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::refresh(std::env::args_os())
}
