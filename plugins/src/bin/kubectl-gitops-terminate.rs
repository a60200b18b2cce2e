//! `kubectl gitops terminate` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::terminate(std::env::args_os())
}
