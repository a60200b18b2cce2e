//! What the demo prints: headings, commands, their output, times. Colors only on a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Standard output of the demo.
pub(crate) struct Show {
    color: bool,
}

impl Show {
    /// Colors when standard output is a terminal that wants them.
    pub(crate) fn new() -> Self {
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { color }
    }

    /// A heading.
    pub(crate) fn heading(&self, text: &str) {
        line("");
        let text = self.paint("1", text);
        line(&text);
    }

    /// A command as typed.
    pub(crate) fn command(&self, text: &str) {
        let text = self.paint("36", &format!("$ {text}"));
        line(&format!("  {text}"));
    }

    /// Output of a command.
    pub(crate) fn output(&self, text: &str) {
        let edge = self.paint("2", "│");
        for output in text.trim_end().lines() {
            line(format!("  {edge} {output}").trim_end());
        }
    }

    /// What came of it.
    pub(crate) fn result(&self, text: &str) {
        let mark = self.paint("32", "✓");
        line(&format!("  {mark} {text}"));
    }

    /// Does something and says how long it took.
    pub(crate) fn timed<T>(
        &self,
        what: &str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        let value = work()?;
        self.result(&format!("{what} ({})", spelled(start.elapsed())));
        Ok(value)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A sentence of its own.
pub(crate) fn note(text: &str) {
    line(&format!("  {text}"));
}

/// A reader who has seen enough is no reason to stop.
fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// A time as a person says it.
pub(crate) fn spelled(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
