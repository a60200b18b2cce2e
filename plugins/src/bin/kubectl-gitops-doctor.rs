//! `kubectl gitops doctor` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::doctor(std::env::args_os())
}
