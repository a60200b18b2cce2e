//! `gitops-agent`: pulls Git, renders, applies, watches, repairs. See docs/architecture.md.

mod app_key;
mod applications;
mod applicationsets;
mod args;
mod cluster;
mod clusters;
mod configuration;
mod dependents;
mod digest_key;
mod events;
mod fence;
mod finalizers;
mod follower;
mod lease;
mod metrics;
mod patience;
mod previews;
mod queue;
mod repositories;
mod request_limits;
mod rivals;
mod run;
mod seen;
mod serve;
mod settings;
mod start;
mod watch_backoff;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Two crates of the tree could choose different providers; the choice is made here, first.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return fail(&anyhow::anyhow!("a TLS provider is installed already"));
    }
    let args = args::Args::parse();
    args.init_logs();
    match run::start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    tracing::error!(error = format!("{error:#}"), "agent failed");
    ExitCode::FAILURE
}
