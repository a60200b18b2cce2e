//! What this process says: lines of progress, and how far a long preparation is.
//!
//! A preparation has parts. On a terminal the part under way is one line that is written again and
//! again; elsewhere (a pipe, CI) a line when it begins, one every half minute, and one at its end.
//! Nothing is decided or done here.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How often the line on a terminal is written again.
const FRAME: Duration = Duration::from_millis(200);
/// How often a line is added where nothing can be written again.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// Prints a line of progress; standard output is for results.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The parts of a preparation.
#[derive(Debug)]
pub(crate) struct Parts {
    begun: usize,
    total: usize,
}

/// How long a part takes when nothing of it is there yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usual {
    /// Processor time, which all processors share.
    pub(crate) processors: Duration,
    /// Time in which only one of them works: linking, mostly.
    pub(crate) alone: Duration,
}

impl Usual {
    /// From seconds of processor time, `alone` of them on one processor.
    pub(crate) const fn seconds(all: u64, alone: u64) -> Self {
        Self {
            processors: Duration::from_secs(all - alone),
            alone: Duration::from_secs(alone),
        }
    }

    /// How long that is with a number of processors.
    fn on(self, processors: usize) -> Duration {
        self.processors / u32::try_from(processors.max(1)).unwrap_or(1) + self.alone
    }
}

impl Parts {
    /// A preparation of so many parts.
    pub(crate) fn new(total: usize) -> Self {
        Self { begun: 0, total }
    }

    /// Does the next part; while it lasts, its line tells how far it is.
    pub(crate) fn next<T>(
        &mut self,
        name: &str,
        usual: Usual,
        work: impl FnOnce(&Progress) -> Result<T>,
    ) -> Result<T> {
        self.begun += 1;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let part = Part {
            place: format!("[{}/{}]", self.begun, self.total.max(self.begun)),
            name: name.to_owned(),
            usual: usual.on(processors),
            started: Instant::now(),
        };
        let progress = Progress::default();
        let screen = Screen::show(part.clone(), progress.clone());
        let result = work(&progress);
        screen.end();
        let took = spelled(part.started.elapsed());
        let Part { place, name, .. } = part;
        match &result {
            Ok(_) => say(&format!("{place} {name}: ready after {took}")),
            Err(_) => say(&format!("{place} {name}: failed after {took}")),
        }
        result
    }
}

/// How far a part is; whoever does it keeps this up to date.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    done: usize,
    total: usize,
    doing: String,
}

impl Progress {
    /// So many pieces are done, of how many; 0 of 0 when that is not known.
    pub(crate) fn count(&self, done: usize, total: usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.done, state.total) = (done, total);
    }

    /// What is being done now.
    pub(crate) fn doing(&self, what: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        what.clone_into(&mut state.doing);
    }

    fn state(&self) -> State {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A part under way.
#[derive(Clone, Debug)]
struct Part {
    place: String,
    name: String,
    usual: Duration,
    started: Instant,
}

impl Part {
    /// `[2/4] agent and plugins: 210 of 455 (kube-client), 1m05s so far, usually about 4m`.
    fn line(&self, state: &State, elapsed: Duration) -> String {
        let mut line = format!("{} {}:", self.place, self.name);
        if state.total > 0 {
            let _ = write!(line, " {} of {}", state.done, state.total);
        }
        if !state.doing.is_empty() {
            let _ = write!(line, " ({})", state.doing);
        }
        if state.total > 0 || !state.doing.is_empty() {
            line += ",";
        }
        line + &format!(
            " {} so far, usually about {}",
            spelled(elapsed),
            spelled(rounded(self.usual))
        )
    }
}

/// The thread that shows a part.
struct Screen {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Screen {
    fn show(part: Part, progress: Progress) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let interval = if terminal { FRAME } else { LINE_INTERVAL };
            if !terminal {
                let usual = spelled(rounded(part.usual));
                say(&format!(
                    "{} {}: usually about {usual}",
                    part.place, part.name
                ));
            }
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let line = part.line(&progress.state(), part.started.elapsed());
                if terminal {
                    rewrite(&line);
                } else {
                    say(&line);
                }
            }
            if terminal {
                rewrite("");
            }
        });
        Self { end, thread }
    }

    fn end(self) {
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

/// Writes the terminal's current line again, cut where it would wrap.
fn rewrite(line: &str) {
    let columns = terminal_size::terminal_size_of(std::io::stderr())
        .map_or(80, |(width, _)| usize::from(width.0));
    let line: String = line.chars().take(columns.saturating_sub(1)).collect();
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "\r\x1b[2K{line}");
    let _ = out.flush();
}

/// Times are estimates: in steps of ten seconds, or of half minutes from two minutes on.
fn rounded(time: Duration) -> Duration {
    let step = if time < Duration::from_mins(2) {
        10
    } else {
        30
    };
    Duration::from_secs((time.as_secs().div_ceil(step) * step).max(step))
}

/// `45s`, `2m05s`, `3m`.
fn spelled(time: Duration) -> String {
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
    match (minutes, seconds) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m{seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_how_far_and_how_long() {
        let part = Part {
            place: "[2/4]".to_owned(),
            name: "agent and plugins".to_owned(),
            usual: Usual::seconds(400, 20).on(2),
            started: Instant::now(),
        };
        let line = |state: &State, seconds| part.line(state, Duration::from_secs(seconds));
        assert_eq!(
            line(&State::default(), 3),
            "[2/4] agent and plugins: 3s so far, usually about 3m30s"
        );
        let mut state = State {
            doing: "downloading k8s.io/api".to_owned(),
            ..State::default()
        };
        assert_eq!(
            line(&state, 30),
            "[2/4] agent and plugins: (downloading k8s.io/api), 30s so far, usually about 3m30s"
        );
        state.done = 210;
        state.total = 455;
        state.doing = "kube-client".to_owned();
        assert_eq!(
            line(&state, 65),
            "[2/4] agent and plugins: 210 of 455 (kube-client), 1m05s so far, usually about 3m30s"
        );
    }

    #[test]
    fn what_it_usually_takes_depends_on_the_processors() {
        let usual = Usual::seconds(620, 20);
        assert_eq!(spelled(rounded(usual.on(1))), "10m30s");
        assert_eq!(spelled(rounded(usual.on(2))), "5m30s");
        assert_eq!(spelled(rounded(usual.on(8))), "1m40s");
        assert_eq!(spelled(rounded(Usual::seconds(1, 1).on(0))), "10s");
    }
}
