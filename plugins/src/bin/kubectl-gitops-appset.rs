//! `kubectl gitops appset` as a binary of its own: the name it is started as chooses the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_gitops::program::run(std::env::args_os())
}
