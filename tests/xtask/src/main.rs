//! `cargo xtask`: the project's own commands. One file each; this one only chooses.

mod bench;
mod cargo;
mod cluster;
mod demo;
mod fuzz;
mod image;
mod imports;
mod progress;
mod release;
mod session;
mod stage;
mod storm;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start or end a Kubernetes cluster for tests and play
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Build every tool that tests, demo and bench use, into the cache
    Tools,
    /// Show the product at work: commits, drift, a prune, a revert
    Demo(demo::DemoArgs),
    /// Measure the agent on a cluster made for it
    Bench(bench::BenchArgs),
    /// Build what a release uploads: archives, krew manifest, Helm chart, checksums
    Release(release::Args),
    /// Make the agent's container image, without a container engine
    Image(image::Args),
    /// Check that files of a crate import each other in no circle
    Imports(imports::Args),
    /// Run what reads text and bytes from outside on mutated inputs
    Fuzz(fuzz::Args),
    /// Injects faults into the agent, round after round, and judges what each leaves
    Storm(storm::Args),
    /// Run all tests on a cluster made for them
    Test(test::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Cluster(command) => cluster::run(&command),
        Command::Tools => tools::build_all(),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Release(args) => release::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Imports(args) => imports::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Storm(args) => storm::run(&args),
        Command::Test(args) => test::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            progress::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
