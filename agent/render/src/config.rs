//! How render workers are run: the executable and the limits. Starts nothing.

use std::path::PathBuf;
use std::time::Duration;

/// How workers are run.
#[derive(Clone, Debug)]
pub struct RendererConfig {
    /// The `gitops-renderer` executable.
    pub executable: PathBuf,
    /// Renders at the same time.
    pub max_workers: usize,
    /// Wall-clock time of one render.
    pub timeout: Duration,
    /// Memory of one worker.
    pub memory_bytes: u64,
    /// A worker without work for this long is ended.
    pub idle: Duration,
    /// How long a render waits for a free worker.
    pub queue_timeout: Duration,
    /// Size of one result as JSON; four times as much may be read for it.
    pub output_bytes: u64,
    /// Workers that lack a layer of their jail are not used.
    pub require_jail: bool,
    /// Look-ups of paths and listed names of one render.
    pub lookups: u64,
}

impl RendererConfig {
    /// Limits that suit an agent: as many workers as cores, a minute, 1 GiB, 16 MiB of manifests, 200,000 look-ups
    /// (tens of thousands of files), idle for 30 s, ten minutes in the queue.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self {
            executable: executable.into(),
            max_workers: std::thread::available_parallelism().map_or(1, Into::into),
            timeout: Duration::from_mins(1),
            memory_bytes: 1 << 30,
            idle: Duration::from_secs(30),
            queue_timeout: Duration::from_mins(10),
            output_bytes: 16 << 20,
            lookups: 200_000,
            require_jail: false,
        }
    }
}
