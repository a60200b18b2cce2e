//! `kubectl gitops`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::run(std::env::args_os())
}
