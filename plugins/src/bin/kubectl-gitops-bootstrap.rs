//! `kubectl gitops bootstrap` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::bootstrap(std::env::args_os())
}
