//! One run of one target: for how long, on a stack as the agent's threads have it, within a limit of
//! memory, and never longer than some seconds with one input. What fails is left in a file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::Target;
use crate::mutation::Mutator;

/// Memory of a run, in bytes: a fifth less than the agent may take.
const MAX_MEMORY_BYTES: u64 = 1 << 30;
/// Stack of a run, in bytes, as the agent's threads have it.
const STACK_BYTES: usize = 8 << 20;
/// How long one input may take, in time of the processor: a busy machine does not change it.
/// Unoptimized code is fifty times slower than the agent.
const MAX_INPUT_TIME: Duration = Duration::from_secs(10);

/// What a run is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Which inputs are made.
    pub seed: u64,
    /// For how long.
    pub time: Duration,
    /// Directory for the input that is run.
    pub directory: &'a Path,
}

/// What a run did.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Inputs that were run.
    pub executions: u64,
    /// For how long.
    pub time: Duration,
}

/// Runs a target on its corpus, then on inputs made of it, until the time is over.
///
/// # Errors
/// The first panic, with the file of its input. A run that overflows its stack, needs too much
/// memory or stands still ends the process, and its input is in the same file.
pub fn run(target: Target, options: Options<'_>) -> Result<Report> {
    let limit = Rlimit {
        current: Some(MAX_MEMORY_BYTES),
        maximum: Some(MAX_MEMORY_BYTES),
    };
    setrlimit(Resource::Data, limit).context("cannot limit the memory of the run")?;
    std::fs::create_dir_all(options.directory)
        .with_context(|| format!("cannot create {}", options.directory.display()))?;
    let kept = options.directory.join(format!("{}.input", target.name));
    let file = File::create(&kept).with_context(|| format!("cannot write {}", kept.display()))?;
    let corpus: Vec<Vec<u8>> = target
        .corpus()
        .with_context(|| format!("cannot read the corpus of {}", target.name))?
        .into_iter()
        .map(|(_, input)| input)
        .collect();
    let began = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let watch = std::thread::spawn({
        let (began, ended, kept) = (Arc::clone(&began), Arc::clone(&ended), kept.clone());
        move || watch(&began, &ended, &kept)
    });
    let (seed, time) = (options.seed, options.time);
    let worker = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let mut mutator = Mutator::new(seed, &corpus, target.words);
            let mut executions = 0;
            for input in &corpus {
                execute(target, input, &file, &began)?;
                executions += 1;
            }
            while start.elapsed() < time {
                execute(target, &mutator.input(), &file, &began)?;
                executions += 1;
            }
            Ok::<_, anyhow::Error>(executions)
        })
        .context("cannot start a thread")?;
    let result = worker.join();
    ended.store(true, Ordering::Relaxed);
    watch.thread().unpark();
    let executions = match result {
        Ok(Ok(executions)) => executions,
        Ok(Err(error)) => return Err(failed(target, &kept, &error.to_string())),
        Err(_) => bail!("the run of {} itself failed", target.name),
    };
    std::fs::remove_file(&kept).with_context(|| format!("cannot remove {}", kept.display()))?;
    Ok(Report {
        executions,
        time: start.elapsed(),
    })
}

fn execute(target: Target, input: &[u8], file: &File, began: &AtomicU64) -> Result<()> {
    // Written before, because what overflows a stack cannot be written after.
    file.set_len(0)?;
    file.write_all_at(input, 0)?;
    began.store(processor_millis(), Ordering::Relaxed);
    catch_unwind(AssertUnwindSafe(|| target.run(input))).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        anyhow!("{}", text.unwrap_or("it panicked"))
    })
}

/// What this process has used of a processor, in milliseconds.
fn processor_millis() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(used.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(used.tv_nsec).unwrap_or(0) / 1_000_000
}

fn failed(target: Target, kept: &Path, why: &str) -> anyhow::Error {
    anyhow!(
        "{} failed: {why}; the input is in {}, fix what it found and copy it to tests/fuzz/corpus/{}",
        target.name,
        kept.display(),
        target.name
    )
}

/// Ends the process when one input takes too long.
#[expect(
    clippy::exit,
    clippy::print_stderr,
    reason = "a loop cannot be ended otherwise"
)]
fn watch(began: &AtomicU64, ended: &AtomicBool, kept: &Path) {
    while !ended.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(200));
        let took = processor_millis().saturating_sub(began.load(Ordering::Relaxed));
        if u128::from(took) > MAX_INPUT_TIME.as_millis() && !ended.load(Ordering::Relaxed) {
            eprintln!(
                "one input took longer than {} s; it is in {}",
                MAX_INPUT_TIME.as_secs(),
                kept.display()
            );
            std::process::exit(2);
        }
    }
}
