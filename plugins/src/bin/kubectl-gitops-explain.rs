//! `kubectl gitops explain` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::explain(std::env::args_os())
}
