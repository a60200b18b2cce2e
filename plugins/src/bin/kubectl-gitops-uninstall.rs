//! `kubectl gitops uninstall` as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::uninstall(std::env::args_os())
}
