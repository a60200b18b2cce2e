//! `cargo xtask test`: every test of the repository, on a cluster made for this run.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::progress::{Parts, Usual, say};
use crate::session::Session;
use crate::tools::{self, Tool};
use crate::{cargo, cluster};

/// What programs and tests of the workspace take, measured with nothing built before.
const OWN: Usual = Usual::seconds(900, 30);

/// How many tests run at the same time.
const THREADS: &str = "RUST_TEST_THREADS";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out what needs a cluster
    #[arg(long)]
    unit: bool,

    /// Only the end-to-end tests
    #[arg(long, conflicts_with = "unit")]
    e2e: bool,

    /// Only tests whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let passed = if args.unit { unit(args)? } else { all(args)? };
    say(&format!(
        "{} after {} s",
        if passed {
            "all tests passed"
        } else {
            "tests failed"
        },
        started.elapsed().as_secs()
    ));
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn unit(args: &Args) -> Result<bool> {
    let mut test = cargo(args, &["--exclude", "gitops-e2e"]);
    test.env("GITOPS_RENDERER", Tool::Renderer.get()?);
    Ok(test.status().context("cannot run cargo")?.success())
}

fn all(args: &Args) -> Result<bool> {
    let tools = [
        Tool::Cluster,
        Tool::Renderer,
        Tool::Helm,
        Tool::Kustomize,
        Tool::Krew,
    ];
    let mut parts = Parts::new(tools::missing(&tools)? + 1);
    let programs = tools::prepare_in(&mut parts, &tools)?;
    let [cluster, renderer, helm, kustomize, krew] = programs.as_slice() else {
        bail!("each tool is one program");
    };
    if is_root() {
        cluster::install_node_programs()?;
    }
    // Programs and tests at once: built apart, they would ask different things of dependencies, and
    // those would be compiled twice.
    parts.next("agent, plugins and tests", OWN, |progress| {
        cargo::build(&["--workspace", "--bins", "--tests"], progress)
    })?;
    // A folder of its own for each run, so that two of them do not meet.
    let folder = tools::cache()?.join(format!("test-{}", std::process::id()));
    let session = Session::start(cluster, &folder, &[])?;
    let mut test = cargo(args, &[]);
    test.env("GITOPS_CLUSTER", cluster)
        .env("GITOPS_RENDERER", renderer)
        .env("GITOPS_HELM", helm)
        .env("GITOPS_KUSTOMIZE", kustomize)
        .env(
            "GITOPS_KREW",
            krew.parent().context("a program is in a folder")?,
        )
        .env("GITOPS_TEST_KUBECONFIG", &session.kubeconfig)
        .env("GITOPS_TEST_SERVERS", &session.description)
        .env("GITOPS_BIN_DIR", cargo::programs("debug"));
    let passed = test.status().context("cannot run cargo")?.success();
    drop(session);
    if passed {
        let _ = std::fs::remove_dir_all(&folder);
    } else {
        say(&format!("the cluster's logs are in {}", folder.display()));
    }
    Ok(passed)
}

fn cargo(args: &Args, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "--no-fail-fast"])
        // Of the workspace, so that dependencies are asked for what they were built with.
        .arg("--workspace")
        .args(if args.e2e {
            ["--test", "e2e"].as_slice()
        } else {
            &[]
        })
        .args(more);
    command.current_dir(tools::repository());
    // End-to-end tests wait more than they work: one more than there are processors.
    if std::env::var_os(THREADS).is_none()
        && let Ok(processors) = std::thread::available_parallelism()
    {
        command.env(THREADS, (processors.get() + 1).to_string());
    }
    if let Some(filter) = &args.filter {
        command.args(["--", filter]);
    }
    command
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
