//! One `gitops-agent` process: started, killed, restarted; its log and its metrics.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::environment::Environment;
use crate::{http, must, wait};

/// How an agent is started; the same for each start of one test.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Namespace it looks after.
    pub namespace: String,
    /// Kubeconfig with a ServiceAccount's token.
    pub kubeconfig: PathBuf,
    /// Its name as holder of the lease.
    pub identity: String,
    /// Folder of its caches.
    pub cache: PathBuf,
    /// `--poll-interval`.
    pub poll_interval: String,
    /// `--log-level`.
    pub log_level: String,
}

/// A running agent, killed when dropped.
pub struct Agent {
    launch: Launch,
    child: Option<Child>,
    log: Arc<watch::Sender<Vec<String>>>,
}

impl Agent {
    /// Starts a process; does not wait until it is ready.
    pub fn start(launch: Launch) -> Self {
        let (log, _) = watch::channel(Vec::new());
        let mut agent = Self {
            launch,
            child: None,
            log: Arc::new(log),
        };
        agent.spawn();
        agent
    }

    fn spawn(&mut self) {
        let environment = Environment::get();
        let launch = &self.launch;
        let mut child = must(
            Command::new(&environment.agent)
                .args(["run", "--namespace", &launch.namespace])
                .arg("--kubeconfig")
                .arg(&launch.kubeconfig)
                .args(["--poll-interval", &launch.poll_interval])
                .args(["--metrics-addr", "127.0.0.1:0"])
                .arg("--check-askers")
                .arg("--cache-dir")
                .arg(&launch.cache)
                .arg("--renderer")
                .arg(&environment.renderer)
                .args(["--identity", &launch.identity])
                .args(["--log-format", "text", "--log-level", &launch.log_level])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn(),
            &format!("start {}", environment.agent.display()),
        );
        self.log
            .send_modify(|lines| lines.push("--- started".into()));
        if let Some(stderr) = child.stderr.take() {
            let log = self.log.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.send_modify(|lines| lines.push(plain(&line)));
                }
                log.send_modify(|lines| lines.push("--- ended".into()));
            });
        }
        self.child = Some(child);
    }

    /// Waits until the agent says that it runs.
    pub async fn ready(&self) {
        self.log_since_start()
            .contains("the agent runs", 0, "that it runs")
            .await;
    }

    /// The log, to be waited for without holding on to the agent.
    pub fn log_since_start(&self) -> Log {
        Log(self.log.subscribe())
    }

    /// Kills the process at once, as the kernel would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The process, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the process has not ended.
    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// From its next start on it lists repositories at this interval.
    pub fn polls_every(&mut self, interval: &str) {
        interval.clone_into(&mut self.launch.poll_interval);
    }

    /// Starts the process again, with the caches it left.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
    }

    /// Starts the process again, as a new Pod would: without caches.
    pub fn restart_anew(&mut self) {
        self.kill();
        if self.launch.cache.exists() {
            must(
                std::fs::remove_dir_all(&self.launch.cache),
                "remove the caches",
            );
        }
        self.spawn();
    }

    /// Asks the process to end.
    pub fn terminate(&mut self) -> Option<Child> {
        let child = self.child.take()?;
        let pid = child.id().to_string();
        must(
            Command::new("kill").args(["-TERM", &pid]).status(),
            "run kill",
        );
        Some(child)
    }

    /// Waits for the end of a process; returns whether it ended well.
    ///
    /// # Panics
    /// When it takes longer than 20 s.
    pub async fn ended(child: Option<Child>) -> bool {
        let Some(mut child) = child else { return false };
        let ended = tokio::task::spawn_blocking(move || child.wait());
        match tokio::time::timeout(Duration::from_secs(20), ended).await {
            Ok(Ok(Ok(status))) => status.success(),
            _ => panic!("the agent did not end within 20 s of SIGTERM"),
        }
    }

    /// The last lines of the log.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.log.borrow();
        let from = lines.len().saturating_sub(count);
        format!(
            "last lines of the agent's log:\n{}",
            lines[from..].join("\n")
        )
    }

    /// The whole log, over all starts.
    pub fn log(&self) -> String {
        self.log.borrow().join("\n")
    }

    /// A sample of `/metrics`: name with labels as printed, such as
    /// `gitops_agent_renders_total{outcome="rendered"}`; 0 when there is none yet.
    pub fn metric(&self, sample: &str) -> f64 {
        self.get("/metrics")
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
            .unwrap_or(0.0)
    }

    /// The body of an answer of the agent's own server.
    pub fn get(&self, path: &str) -> String {
        http::request("GET", &format!("http://{}{path}", self.address()))
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.address());
        http::send("GET", &url, "", "").0 == 200
    }

    /// The address the agent logged at its last start.
    fn address(&self) -> SocketAddr {
        let lines = self.log.borrow();
        let line = lines.iter().rev().find(|line| line.contains("/metrics"));
        line.and_then(|line| {
            let (_, rest) = line.split_once("address=")?;
            rest.split_whitespace()
                .next()?
                .trim_matches('"')
                .parse()
                .ok()
        })
        .unwrap_or_else(|| panic!("the agent did not log its address"))
    }
}

/// The log of an agent that is still written.
pub struct Log(watch::Receiver<Vec<String>>);

impl Log {
    /// How many lines since the last start contain a text.
    pub fn count(&self, text: &str) -> usize {
        count(&self.0.borrow(), text)
    }

    /// Waits until more than `already` lines since the last start contain a text.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn contains(mut self, text: &str, already: usize, what: &str) {
        let found = self.0.wait_for(|lines| count(lines, text) > already);
        let found = tokio::time::timeout(wait::LIMIT, found).await.is_ok();
        assert!(found, "the agent did not log: {what}");
    }
}

fn count(lines: &[String], text: &str) -> usize {
    let start = lines
        .iter()
        .rposition(|line| line == "--- started")
        .unwrap_or(0);
    lines[start..]
        .iter()
        .filter(|line| line.contains(text))
        .count()
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let mut error = std::io::stderr().lock();
            let _ = writeln!(error, "{}", self.tail(50));
        }
    }
}

/// A log line without colors.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut escaped = false;
    for letter in line.chars() {
        match (escaped, letter) {
            (false, '\u{1b}') => escaped = true,
            (false, letter) => text.push(letter),
            (true, 'm') => escaped = false,
            (true, _) => {}
        }
    }
    text
}
