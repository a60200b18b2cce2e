//! `kubectl gitops version` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::version(std::env::args_os())
}
