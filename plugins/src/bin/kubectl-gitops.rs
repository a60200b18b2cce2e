//! `kubectl gitops`: every command of the suite.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::suite(std::env::args_os())
}
