//! `cargo xtask storm`: faults injected into the agent on a cluster made for it (tests/storm).

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::progress::{Parts, Usual, say};
use crate::session::Session;
use crate::tools::{self, Tool};
use crate::{cargo, cluster};

/// What the programs take to build, measured with nothing built before.
const OWN: Usual = Usual::seconds(900, 30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// No round begins after this time
    #[arg(long, default_value_t = 600)]
    seconds: u64,

    /// Which faults meet which commit; the same number makes the same storm
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Only kinds whose name contains this, each once
    #[arg(long, value_name = "TEXT")]
    kinds: Option<String>,

    /// Say which kinds there are
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let tools = [Tool::Cluster, Tool::Renderer, Tool::Helm, Tool::Krew];
    let mut parts = Parts::new(tools::missing(&tools)? + 1);
    let programs = tools::prepare_in(&mut parts, &tools)?;
    let [cluster, renderer, helm, krew] = programs.as_slice() else {
        bail!("each tool is one program");
    };
    cluster::install_node_programs()?;
    parts.next("agent and storm", OWN, |progress| {
        cargo::build(&["--workspace", "--bins"], progress)
    })?;
    let program = cargo::programs("debug").join("gitops-storm");
    let mut storm = Command::new(&program);
    storm.args(["--seconds", &args.seconds.to_string()]);
    storm.args(["--seed", &args.seed.to_string()]);
    if let Some(kinds) = &args.kinds {
        storm.args(["--kinds", kinds]);
    }
    if args.list {
        storm.arg("--list");
        let status = storm.status().context("cannot run the storm")?;
        return Ok(code(status.success()));
    }
    let folder = tools::cache()?.join(format!("storm-{}", std::process::id()));
    let session = Session::start(cluster, &folder, &[])?;
    storm
        .env("GITOPS_CLUSTER", cluster)
        .env("GITOPS_RENDERER", renderer)
        .env("GITOPS_HELM", helm)
        .env(
            "GITOPS_KREW",
            krew.parent().context("a program is in a folder")?,
        )
        .env("GITOPS_TEST_KUBECONFIG", &session.kubeconfig)
        .env("GITOPS_TEST_SERVERS", &session.description)
        .env("GITOPS_BIN_DIR", cargo::programs("debug"));
    let passed = storm.status().context("cannot run the storm")?.success();
    drop(session);
    if passed {
        let _ = std::fs::remove_dir_all(&folder);
    } else {
        say(&format!("the cluster's logs are in {}", folder.display()));
    }
    Ok(code(passed))
}

fn code(passed: bool) -> ExitCode {
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
