//! The agent's image, made of the programs under test by the command that makes a release's.

use std::path::Path;
use std::process::Command;

use crate::{Environment, must};

/// The name that the installation asks for.
pub const NAME: &str = "ghcr.io/kubectl-gitops/gitops-agent:v0.1.0";

/// Writes the image to an archive, under a name; with `push` also to the registry in that name.
/// Returns what the command said.
///
/// # Panics
/// When the image cannot be made, with the reason.
pub fn write(out: &Path, name: &str, push: bool) -> String {
    let programs = &Environment::get().programs;
    let mut command = Command::new(programs.join("xtask"));
    command.arg("image").arg("--built").arg(programs);
    command.args(["--name", name]).arg("--out").arg(out);
    if push {
        command.arg("--push");
    }
    let output = must(command.output(), "run cargo xtask image");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}
