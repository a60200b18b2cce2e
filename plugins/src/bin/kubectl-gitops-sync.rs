//! `kubectl gitops sync` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::sync(std::env::args_os())
}
