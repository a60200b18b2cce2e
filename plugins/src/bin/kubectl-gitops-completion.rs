//! `kubectl gitops completion` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::completion(std::env::args_os())
}
