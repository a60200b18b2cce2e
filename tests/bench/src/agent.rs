//! The agent's process: started, its metrics read, its memory taken from the kernel's account.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::Args;

/// Longest time until the agent runs.
const START: Duration = Duration::from_mins(1);
/// How often workers, which live for a moment only, are looked for.
const SAMPLING: Duration = Duration::from_millis(20);

/// Peak memory, in KiB.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// The agent's own peak.
    pub(crate) agent_peak_kib: u64,
    /// The agent while idle, at the end.
    pub(crate) agent_at_end_kib: u64,
    /// The largest peak of one render worker.
    pub(crate) worker_peak_kib: u64,
    /// Most workers that were there at the same time.
    pub(crate) workers: usize,
}

/// A running agent.
pub(crate) struct Agent {
    child: tokio::sync::Mutex<Child>,
    pid: u32,
    log: PathBuf,
    address: String,
    workers: Arc<Mutex<(BTreeMap<u32, u64>, usize)>>,
    sampler: tokio::task::JoinHandle<()>,
}

impl Agent {
    /// Starts the agent with its ServiceAccount's rights and waits until it runs.
    pub(crate) async fn start(args: &Args) -> anyhow::Result<Self> {
        let log = args.work.join("agent.log");
        let file =
            fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(&args.agent)
            .args(["run", "--namespace", "argocd", "--poll-interval", "1s"])
            .args(["--metrics-addr", "127.0.0.1:0", "--log-format", "json"])
            .args(["--concurrency", &args.concurrency.to_string()])
            .arg("--kubeconfig")
            .arg(&args.agent_kubeconfig)
            .arg("--cache-dir")
            .arg(args.work.join("cache"))
            .arg("--renderer")
            .arg(&args.renderer)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", args.agent.display()))?;
        let pid = child.id().context("the agent ended at once")?;
        let workers: Arc<Mutex<(BTreeMap<u32, u64>, usize)>> = Arc::default();
        let sampler = tokio::spawn(sample(pid, workers.clone()));
        let Ok(address) = tokio::time::timeout(START, address(&log)).await else {
            bail!("the agent does not run:\n{}", last_lines(&log));
        };
        Ok(Self {
            child: tokio::sync::Mutex::new(child),
            pid,
            log,
            address,
            workers,
            sampler,
        })
    }

    /// Waits until the process ends, which it should not do.
    pub(crate) async fn ended(&self) -> anyhow::Error {
        match self.child.lock().await.wait().await {
            Ok(status) => anyhow::anyhow!("the agent ended: {status}"),
            Err(error) => anyhow::anyhow!("the agent cannot be watched: {error}"),
        }
    }

    /// Ends the agent; returns what memory it took.
    pub(crate) async fn stop(&mut self) -> Memory {
        self.sampler.abort();
        let field = |name| field_kib(self.pid, name).unwrap_or_default();
        let (peaks, workers) = {
            let seen = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            (seen.0.values().copied().max(), seen.1)
        };
        let memory = Memory {
            agent_peak_kib: field("VmHWM"),
            agent_at_end_kib: field("VmRSS"),
            worker_peak_kib: peaks.unwrap_or_default(),
            workers,
        };
        let _ = self.child.lock().await.kill().await;
        memory
    }

    /// The sum of a metric over all its labels; `filter` is a label such as `outcome="rendered"`.
    pub(crate) async fn metric(&self, name: &str, filter: &str) -> anyhow::Result<f64> {
        let text = self
            .scrape()
            .await
            .context("cannot read the agent's metrics")?;
        Ok(text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(filter))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum())
    }

    async fn scrape(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The end of the agent's log, for errors.
    pub(crate) fn last_lines(&self) -> String {
        last_lines(&self.log)
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n");
    format!("last lines of the agent's log:\n{last}\n")
}

/// Waits until the log says that the agent runs; returns where its metrics are.
async fn address(log: &Path) -> String {
    let mut interval = tokio::time::interval(SAMPLING);
    loop {
        interval.tick().await;
        let text = fs::read_to_string(log).unwrap_or_default();
        if !text.contains("the agent runs") {
            continue;
        }
        let address = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|line| line["address"].as_str().map(str::to_owned));
        if let Some(address) = address {
            return address;
        }
    }
}

/// Notes the peak of each worker while it lives.
async fn sample(agent: u32, seen: Arc<Mutex<(BTreeMap<u32, u64>, usize)>>) {
    let mut interval = tokio::time::interval(SAMPLING);
    loop {
        interval.tick().await;
        let workers = children(agent);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.1 = seen.1.max(workers.len());
        for pid in workers {
            let peak = field_kib(pid, "VmHWM").unwrap_or_default();
            let known = seen.0.entry(pid).or_default();
            *known = peak.max(*known);
        }
    }
}

/// Child processes, of any thread of a process (see proc(5), task/TID/children).
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// A field of `/proc/PID/status`, in KiB.
fn field_kib(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
