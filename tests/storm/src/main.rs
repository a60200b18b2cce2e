//! Injects faults into the agent on a real control plane, round after round, and judges what is left
//! after each. `cargo xtask storm` prepares the cluster, the servers and the programs, and runs this.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a command of the project says"
)]

mod dice;
mod inject;
mod kinds;
mod oracle;
mod runs;
mod tally;
mod workload;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::dice::Dice;
use crate::kinds::Kind;
use crate::tally::Tally;
use crate::workload::Workload;

/// Injects faults into the agent and judges what each leaves.
#[derive(Debug, Parser)]
#[command(name = "gitops-storm")]
struct Args {
    /// No round begins after this time
    #[arg(long, default_value_t = 600)]
    seconds: u64,

    /// Which faults meet which commit; the same number makes the same storm
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Only kinds whose name contains this; each once, in the order of the table
    #[arg(long, value_name = "TEXT")]
    kinds: Option<String>,

    /// Say which kinds there are
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let kinds: Vec<Kind> = kinds::all()
        .into_iter()
        .filter(|kind| {
            let wanted = args.kinds.as_ref();
            wanted.is_none_or(|text| kind.name.contains(text))
        })
        .collect();
    if args.list {
        for kind in &kinds {
            println!("{}", kind.name);
        }
        return ExitCode::SUCCESS;
    }
    if kinds.is_empty() {
        eprintln!("no kind has that in its name; --list says which there are");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let tally = gitops_e2e::must(runtime, "make a runtime").block_on(storm(&args, &kinds));
    tally.print();
    if tally.has_failures() {
        println!("again: cargo xtask storm --seed {}", args.seed);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// One round after the other until the time is over; with `--kinds`, until each had its turn.
async fn storm(args: &Args, kinds: &[Kind]) -> Tally {
    let started = Instant::now();
    let mut dice = Dice::new(args.seed);
    let mut tally = Tally::default();
    let mut workload = Workload::start().await;
    let mut turn = 0;
    while started.elapsed() < Duration::from_secs(args.seconds) {
        let chosen: Vec<&Kind> = if args.kinds.is_some() {
            kinds.get(turn).into_iter().collect()
        } else {
            let count = 1 + dice.below(3);
            (0..count).map(|_| dice.choose(kinds)).collect()
        };
        if chosen.is_empty() {
            break;
        }
        turn += 1;
        let names: Vec<&str> = chosen.iter().map(|kind| kind.name.as_str()).collect();
        println!("round {turn}: {}", names.join(" + "));
        let before = Instant::now();
        workload.commit();
        for kind in &chosen {
            inject::inject(&mut workload, kind, &mut dice).await;
        }
        inject::calm(&workload);
        let faults = oracle::judge(&mut workload).await;
        for fault in &faults {
            println!("  FAILED {fault}");
        }
        println!("  {:.0} s", before.elapsed().as_secs_f64());
        let failed = !faults.is_empty();
        tally.round(&names, before.elapsed(), faults);
        if failed {
            println!("{}", workload.world.agent_tail());
            // What one fault has left must not be laid to the next.
            workload = Workload::start().await;
        }
    }
    tally
}
