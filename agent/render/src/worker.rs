//! One worker process: started with nothing in its environment, spoken to in frames, and killed when in doubt. It knows
//! nothing about what is rendered.

use std::io::{BufReader, BufWriter, Read as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::config::RendererConfig;
use crate::error::RenderError;
use crate::frame::{self, PROTOCOL, Received};
use crate::jail::Jail;
use crate::lookups::Cancellation;
use crate::message::FromWorker;

/// Bytes of standard error that are kept; a Go binary says the reason first.
const MAX_STDERR: usize = 4096;

/// How long a worker may take to end after its output has.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends a worker from another thread.
#[derive(Clone, Default)]
pub(crate) struct Switch {
    state: Arc<Mutex<SwitchState>>,
}

/// A render that is given up: its worker is killed, and what this side does for it ends.
#[derive(Clone)]
pub(crate) struct RenderSwitch {
    worker: Switch,
    cancellation: Cancellation,
}

impl RenderSwitch {
    pub(crate) fn new(worker: Switch) -> Self {
        Self {
            worker,
            cancellation: Cancellation::default(),
        }
    }

    pub(crate) fn give_up(&self) {
        self.cancellation.cancel();
        self.worker.kill();
    }

    pub(crate) fn worker(&self) -> &Switch {
        &self.worker
    }

    pub(crate) fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }
}

#[derive(Default)]
struct SwitchState {
    child: Option<Child>,
    killed: bool,
}

impl Switch {
    /// Kills the worker, also one that is only about to start.
    pub(crate) fn kill(&self) {
        let mut state = self.state.lock();
        state.killed = true;
        if let Some(child) = &mut state.child {
            // It may have ended by itself already.
            let _ = child.kill();
        }
    }

    fn adopt(&self, mut child: Child) {
        let mut state = self.state.lock();
        if state.killed {
            let _ = child.kill();
        }
        state.child = Some(child);
    }

    /// Whether the process is still there.
    fn is_running(&self) -> bool {
        let mut state = self.state.lock();
        matches!(state.child.as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    /// Kills if need be, and waits for the end, so that no zombie is left.
    fn end(&self) -> Option<ExitStatus> {
        self.kill();
        self.state
            .lock()
            .child
            .as_mut()
            .and_then(|child| child.wait().ok())
    }

    /// Waits for a process whose output has ended; one that lingers all the same is killed.
    fn wait(&self) -> Option<ExitStatus> {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.end()
    }

    fn id(&self) -> Option<u32> {
        self.state.lock().child.as_ref().map(Child::id)
    }
}

/// A running worker.
pub(crate) struct Worker {
    switch: Switch,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    memory_bytes: u64,
    /// Whose jobs it takes: a worker never meets the jobs of two projects.
    partition: String,
    jail: Jail,
    /// Frames received in the current job.
    received: u64,
    /// A job was sent and its end not yet received.
    busy: bool,
    /// It said that a job was its last.
    spent: bool,
}

impl Worker {
    /// Starts a worker for the jobs of one partition and waits for its first word.
    pub(crate) fn start(
        config: &RendererConfig,
        switch: &Switch,
        partition: &str,
    ) -> Result<Self, RenderError> {
        let unavailable = |reason: String| RenderError::Unavailable {
            executable: config.executable.clone(),
            reason,
        };
        let mut child = Command::new(&config.executable)
            .arg("--memory-bytes")
            .arg(config.memory_bytes.to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| unavailable(error.to_string()))?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        switch.adopt(child);
        let (Some(input), Some(output), Some(mut stderr)) = streams else {
            switch.end();
            return Err(unavailable("its streams are not there".to_owned()));
        };
        let stderr = std::thread::spawn(move || {
            let mut kept = Vec::new();
            let mut buffer = [0_u8; 1024];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                let room = MAX_STDERR.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&buffer[..room]);
            }
            kept
        });
        let mut worker = Self {
            switch: switch.clone(),
            input: Some(BufWriter::new(input)),
            output: BufReader::with_capacity(64 << 10, output),
            stderr: Some(stderr),
            memory_bytes: config.memory_bytes,
            partition: partition.to_owned(),
            jail: Jail {
                landlock: String::new(),
                seccomp: String::new(),
            },
            received: 0,
            busy: false,
            spent: false,
        };
        match worker.receive(0)? {
            Received::Frame(
                FromWorker::Hello {
                    protocol: PROTOCOL,
                    kustomize,
                    helm,
                    landlock,
                    seccomp,
                },
                _,
            ) => {
                let pid = switch.id();
                tracing::debug!(
                    pid,
                    kustomize,
                    helm,
                    landlock,
                    seccomp,
                    "render worker started"
                );
                worker.jail = Jail { landlock, seccomp };
                match worker.jail.missing().filter(|_| config.require_jail) {
                    Some(missing) => Err(unavailable(format!(
                        "its jail is not whole: {missing}; run the agent on a kernel that has it, or without --require-jail"
                    ))),
                    None => Ok(worker),
                }
            }
            _ => Err(unavailable(format!(
                "it does not speak protocol {PROTOCOL}; install the gitops-renderer of this version"
            ))),
        }
    }

    /// Takes over a worker that another request used before.
    pub(crate) fn begin_job(&mut self) {
        self.received = 0;
    }

    /// Sends a job; until [`Worker::end_job`] the worker cannot take another.
    pub(crate) fn send_job(
        &mut self,
        job: &impl Serialize,
        body: &[u8],
    ) -> Result<(), RenderError> {
        self.busy = true;
        self.send(job, body)
    }

    /// The end of the job was received.
    pub(crate) fn end_job(&mut self) {
        self.busy = false;
    }

    /// Whether it can take another job.
    pub(crate) fn is_free(&self) -> bool {
        !self.busy && !self.spent && self.is_running()
    }

    /// Whose jobs it takes.
    pub(crate) fn partition(&self) -> &str {
        &self.partition
    }

    /// What confines it.
    pub(crate) fn jail(&self) -> &Jail {
        &self.jail
    }

    /// Whether it has said anything in this job.
    pub(crate) fn has_answered(&self) -> bool {
        self.received > 0
    }

    pub(crate) fn is_running(&self) -> bool {
        self.switch.is_running()
    }

    pub(crate) fn switch(&self) -> Switch {
        self.switch.clone()
    }

    pub(crate) fn send(&mut self, header: &impl Serialize, body: &[u8]) -> Result<(), RenderError> {
        let sent = match &mut self.input {
            Some(input) => frame::send(input, header, body),
            None => Err(std::io::Error::other("its input is closed")),
        };
        sent.map_err(|error| self.ended(&error))
    }

    pub(crate) fn receive(&mut self, budget: u64) -> Result<Received<FromWorker>, RenderError> {
        match frame::receive::<FromWorker>(&mut self.output, budget) {
            Ok(received) => {
                self.received += 1;
                if let Received::Frame(message, _) = &received {
                    self.spent |= message.is_last();
                }
                Ok(received)
            }
            Err(error) => Err(self.ended(&error)),
        }
    }

    /// Explains the end of a worker whose streams broke.
    fn ended(&mut self, error: &std::io::Error) -> RenderError {
        self.input = None;
        if !matches!(
            error.kind(),
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::BrokenPipe
        ) {
            self.switch.kill();
        }
        let status = self.switch.wait();
        let stderr = self
            .stderr
            .take()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default();
        let said = String::from_utf8_lossy(&stderr);
        // What the runtime and the worker say about themselves; the text of a panic may be content of a file.
        let first = said
            .lines()
            .find(|line| !line.trim().is_empty())
            .filter(|line| {
                ["fatal error: ", "runtime: ", "gitops-renderer: ", "signal "]
                    .iter()
                    .any(|own| line.starts_with(own))
            })
            .unwrap_or_default();
        if said.contains("out of memory") || said.contains("cannot allocate memory") {
            return RenderError::OutOfMemory(self.memory_bytes);
        }
        tracing::warn!(%error, status = ?status, reason = first, "render worker ended unexpectedly");
        let detail = if said.contains("stack overflow") || said.contains("stack exceeds") {
            "infinite recursion in a template".to_owned()
        } else {
            status.map_or_else(|| error.to_string(), |status| status.to_string())
        };
        RenderError::Crashed { detail }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        self.switch.end();
    }
}
