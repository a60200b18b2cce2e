//! `cargo xtask demo`: a commit reaches a real control plane, drift is repaired, a status says so.
//!
//! Runs the real programs and shows their real output. Waits by watching, never by sleeping; what
//! does not happen within a minute ends the demo with an error, the status and the agent's log.

mod scenes;
mod show;

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::scenes::Scenes;
use self::show::{Show, note};
use crate::stage::{Process, Programs, Stage};
use crate::tools::{self, Tool};

/// Show the product at work on a real control plane
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// End after the last scene and leave nothing behind
    #[arg(long)]
    once: bool,
}

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let source = &tools::repository();
    let programs = Programs::build(
        Tool::for_demo()?,
        "debug",
        &["gitops-agent", "kubectl-gitops"],
    )?;
    // From here on Ctrl-C ends the scene under way, not this process: it has to tidy up.
    let stop = signals()?;
    let show = Show::new();
    let mut stage = Stage::new(programs.clone(), "demo")?;
    let result = perform(&mut stage, &programs, source, &show, |scenes| {
        scenes.run()?;
        if args.once {
            return Ok(());
        }
        scenes.invitation();
        let _ = stop.recv();
        Ok(())
    });
    if stop.try_recv().is_ok() && result.is_err() {
        note("Interrupted; everything is taken down.");
        return Ok(ExitCode::from(130));
    }
    result?;
    note("Everything is taken down.");
    Ok(ExitCode::SUCCESS)
}

/// A channel that tells of Ctrl-C and of being asked to end.
fn signals() -> anyhow::Result<Receiver<()>> {
    let (sender, receiver) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot wait for signals")?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            let _ = sender.send(());
        }
    });
    Ok(receiver)
}

fn perform(
    stage: &mut Stage,
    programs: &Programs,
    source: &Path,
    show: &Show,
    play: impl FnOnce(&mut Scenes<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    show.heading("Preparing");
    show.timed("control plane, fake nodes, Git server", || stage.start(&[]))?;
    show.timed("definitions, roles, ServiceAccount", || {
        stage.install(source)
    })?;
    let mut agent = show.timed("agent, as that ServiceAccount", || {
        start_agent(stage, programs)
    })?;
    let mut scenes = Scenes::new(stage, source, show)?;
    let result = play(&mut scenes);
    if let Err(error) = result {
        let status = stage
            .kubectl(&["gitops", "status", "shop"])
            .unwrap_or_else(|error| error.to_string());
        let log = agent.last_lines(20);
        drop(agent);
        anyhow::bail!("{error:#}\n\n{status}\nlast lines of the agent's log:\n{log}");
    }
    // The agent ends before the cluster does, so that it can give its Lease back.
    agent.end();
    Ok(())
}

fn start_agent(stage: &Stage, programs: &Programs) -> anyhow::Result<Process> {
    let mut command = stage.command(&programs.own.join("gitops-agent").to_string_lossy())?;
    command
        .args(["run", "--namespace", "argocd", "--poll-interval", "1s"])
        .args(["--metrics-addr", "127.0.0.1:0", "--log-format", "text"])
        .env("NO_COLOR", "1")
        .arg("--kubeconfig")
        .arg(stage.agent_kubeconfig())
        .arg("--cache-dir")
        .arg(stage.folder("cache")?)
        .arg("--renderer")
        .arg(&programs.renderer);
    let log = stage.folder("logs")?.join("agent.log");
    let mut agent = Process::start(command, log)?;
    agent.logged("the agent runs", Duration::from_mins(1))?;
    Ok(agent)
}
