//! `cargo xtask fuzz`: what reads text and bytes from outside, run on mutated inputs (tests/fuzz).

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::progress::{Parts, Usual, say};
use crate::{cargo, tools};

/// What the targets take to build, measured with nothing built before.
const TARGETS: Usual = Usual::seconds(600, 30);
/// Seconds per target that show a mistake anybody could make.
const SMOKE_SECONDS: u64 = 5;

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Five seconds per target
    #[arg(long, conflicts_with = "seconds")]
    smoke: bool,

    /// How long per target
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// Which inputs are made; another number makes others
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Only these targets
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut parts = Parts::new(1);
    parts.next("fuzz targets", TARGETS, |progress| {
        cargo::build(&["--workspace", "--bin", "gitops-fuzz"], progress)
    })?;
    let program = cargo::programs("debug").join("gitops-fuzz");
    let seconds = if args.smoke {
        SMOKE_SECONDS
    } else {
        args.seconds
    };
    let mut failed = Vec::new();
    for target in targets(args, &program)? {
        // In a process of its own: what overflows its stack or its memory ends that alone.
        let status = Command::new(&program)
            .arg(&target)
            .args(["--seconds", &seconds.to_string()])
            .args(["--seed", &args.seed.to_string()])
            .arg("--directory")
            .arg(directory())
            .status()
            .with_context(|| format!("cannot run {}", program.display()))?;
        if !status.success() {
            say(&format!(
                "{target}: {status}; its input is {}",
                directory().join(format!("{target}.input")).display()
            ));
            failed.push(target);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

fn targets(args: &Args, program: &Path) -> Result<Vec<String>> {
    if !args.targets.is_empty() {
        return Ok(args.targets.clone());
    }
    let listed = Command::new(program)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(listed.status.success(), "the targets cannot be listed");
    let names = String::from_utf8_lossy(&listed.stdout);
    Ok(names.lines().map(str::to_owned).collect())
}

fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tools::repository().join("target"), PathBuf::from);
    target.join("fuzz")
}
