//! `gitops-fuzz TARGET`: one run of one target, in a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gitops_fuzz::run::{Options, run};

/// One run of one target.
#[derive(Debug, Parser)]
struct Args {
    /// The target; without one, all names are listed
    target: Option<String>,
    /// How long, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Which inputs are made
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Directory for the input that is run
    #[arg(long, default_value = "target/fuzz")]
    directory: PathBuf,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is what it is for"
)]
fn main() -> ExitCode {
    let args = Args::parse();
    let Some(name) = &args.target else {
        for target in gitops_fuzz::TARGETS {
            println!("{}", target.name);
        }
        return ExitCode::SUCCESS;
    };
    let Some(target) = gitops_fuzz::target(name) else {
        eprintln!("error: there is no target {name}");
        return ExitCode::FAILURE;
    };
    let options = Options {
        seed: args.seed,
        time: Duration::from_secs(args.seconds),
        directory: &args.directory,
    };
    match run(target, options) {
        Ok(report) => {
            let rate = report.executions as f64 / report.time.as_secs_f64();
            println!(
                "{name:<12} {:>9} executions {rate:>9.0}/s",
                report.executions
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
