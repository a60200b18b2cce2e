//! `kubectl gitops health` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::health(std::env::args_os())
}
