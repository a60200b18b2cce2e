//! Talks to a Git server through a process's standard input and output (`ssh`, or `git-upload-pack`
//! for a local repository). Collects what it prints to its standard error, ends it when it
//! stays silent too long, and never leaves it behind. Never decides which executable to run.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gitops_transport::Limits;
use parking_lot::Mutex;

/// How much of a process's messages is kept: the beginning, where the cause is.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// A running process; ended when dropped.
pub(crate) struct ChildProcess {
    child: Arc<Mutex<Child>>,
    clock: Arc<Clock>,
    messages: Option<JoinHandle<Vec<u8>>>,
    guard: Option<(Sender<()>, JoinHandle<()>)>,
}

/// When the process was last heard, and whether it was ended for its silence.
struct Clock {
    started: Instant,
    last_heard: AtomicU64,
    expired: AtomicBool,
}

impl Clock {
    fn heard(&self) {
        self.last_heard
            .store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// The time left until one of `limits` is reached.
    fn left(&self, limits: Limits) -> Duration {
        let elapsed = self.started.elapsed();
        let heard = Duration::from_millis(self.last_heard.load(Ordering::Relaxed));
        let silent = elapsed.saturating_sub(heard);
        limits
            .idle
            .saturating_sub(silent)
            .min(limits.total.saturating_sub(elapsed))
    }
}

/// The process's standard output.
pub(crate) struct Output {
    inner: ChildStdout,
    clock: Arc<Clock>,
}

/// The process's standard input.
pub(crate) struct Input(ChildStdin);

/// How a process ended.
pub(crate) struct ExitState {
    /// What it printed to standard error.
    pub(crate) messages: String,
    /// Whether it was ended for silence or for taking too long altogether.
    pub(crate) expired: bool,
}

impl ChildProcess {
    /// Starts `command` with its three standard streams piped.
    pub(crate) fn start(mut command: Command, limits: Limits) -> io::Result<(Self, Output, Input)> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            let _ = child.kill();
            return Err(io::Error::other("the process's streams are missing"));
        };
        let clock = Arc::new(Clock {
            started: Instant::now(),
            last_heard: AtomicU64::new(0),
            expired: AtomicBool::new(false),
        });
        let child = Arc::new(Mutex::new(child));
        let messages = std::thread::Builder::new()
            .name("git-stderr".into())
            .spawn(move || collect(stderr))?;
        let (done, ended) = channel();
        let shared = (child.clone(), clock.clone());
        let watch = move || {
            let (child, clock) = shared;
            loop {
                match ended.recv_timeout(clock.left(limits)) {
                    Err(RecvTimeoutError::Timeout) if clock.left(limits).is_zero() => {
                        clock.expired.store(true, Ordering::Relaxed);
                        let _ = child.lock().kill();
                        return;
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let watcher = std::thread::Builder::new()
            .name("git-timeout".into())
            .spawn(watch)?;
        let process = Self {
            child,
            clock: clock.clone(),
            messages: Some(messages),
            guard: Some((done, watcher)),
        };
        Ok((
            process,
            Output {
                inner: stdout,
                clock,
            },
            Input(stdin),
        ))
    }

    /// Ends the process if it still runs, and says what it had to say. Its streams must have been
    /// dropped.
    pub(crate) fn finish(mut self) -> ExitState {
        let messages = self.end();
        ExitState {
            messages,
            expired: self.clock.expired.load(Ordering::Relaxed),
        }
    }

    fn end(&mut self) -> String {
        let Some((done, watcher)) = self.guard.take() else {
            return String::new();
        };
        // A process that has just failed is about to exit by itself, and its messages are complete
        // only then.
        let deadline = Instant::now() + Duration::from_secs(2);
        while let Ok(None) = self.child.lock().try_wait()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.lock().kill();
        let _ = self.child.lock().wait();
        let _ = done.send(());
        let _ = watcher.join();
        let messages = self
            .messages
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        String::from_utf8_lossy(&messages).into_owned()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads to the end, so that the process never blocks on a full pipe, and keeps the beginning.
fn collect(mut stderr: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) => return kept,
            Ok(length) => {
                let room = MAX_MESSAGE_BYTES.saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..length.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.clock.heard();
        Ok(length)
    }
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn messages_are_collected_without_blocking_the_process() {
        let script = "head -c 100000 /dev/zero | tr '\\0' x >&2; cat; echo second >&2";
        let (process, mut output, mut input) =
            ChildProcess::start(shell(script), Limits::default()).unwrap();
        input.write_all(b"hello").unwrap();
        drop(input);
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        drop(output);
        assert_eq!(said, "hello");
        let ending = process.finish();
        assert_eq!(ending.messages.len(), MAX_MESSAGE_BYTES);
        assert!(!ending.expired);
    }

    #[test]
    fn a_silent_program_is_ended() {
        let limits = Limits {
            idle: Duration::from_millis(50),
            ..Limits::default()
        };
        let (process, mut output, input) =
            ChildProcess::start(shell("echo why >&2; exec sleep 600"), limits).unwrap();
        let mut said = Vec::new();
        output.read_to_end(&mut said).unwrap();
        drop((input, output));
        let ending = process.finish();
        assert!(ending.expired);
        assert_eq!(ending.messages, "why\n");
    }
}
