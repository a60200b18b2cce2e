//! What a command is doing, on standard error. On a terminal the step under way is one line,
//! drawn anew in place with a spinner and the time it takes; elsewhere each change of state is one
//! line with the time of day, and nothing is said twice in a row.
//!
//! Never touches the cursor's visibility or the terminal's modes, so that no end of the program,
//! however sudden, leaves a broken terminal.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::paint::Style;
use crate::terminal::{ColorChoice, View};
use crate::text;

/// How often the line of the step under way is drawn.
const REDRAW: Duration = Duration::from_millis(120);
/// Seconds from which on the time a step takes is shown.
const SHOW_SECONDS: u64 = 2;
/// Back to the first column, and the line cleared.
const CLEAR: &str = "\r\u{1b}[K";

/// How a line of progress begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Something users should know.
    Warning,
    /// Something worth saying.
    Info,
}

impl Mark {
    /// The sign, and its meaning.
    pub const fn sign(self, unicode: bool) -> (&'static str, Style) {
        match (self, unicode) {
            (Self::Running, true) => ("…", Style::Dim),
            (Self::Running, false) => (".", Style::Dim),
            (Self::Done, true) => ("✓", Style::Good),
            (Self::Done, false) => ("v", Style::Good),
            (Self::Failed, true) => ("✗", Style::Bad),
            (Self::Failed, false) => ("x", Style::Bad),
            (Self::Warning, _) => ("!", Style::Warn),
            (Self::Info, true) => ("•", Style::Dim),
            (Self::Info, false) => ("-", Style::Dim),
        }
    }
}

/// Steps of a command, told as they happen.
pub struct Progress {
    shared: Arc<Shared>,
    drawer: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    output: Box<dyn Write + Send>,
    /// `interactive`: the step under way is drawn in place.
    view: View,
    /// Asked before each drawing, as terminals change their size.
    width: fn() -> Option<usize>,
    step: Option<Step>,
    /// What was said last.
    said: Option<(Mark, String)>,
    /// A line is on the screen that has to be cleared before the next.
    drawn: bool,
    frame: usize,
    ended: bool,
}

struct Step {
    text: String,
    since: Instant,
}

impl Progress {
    /// On standard error.
    pub fn new(color: ColorChoice) -> Self {
        Self::to(
            Box::new(std::io::stderr()),
            View::of_stderr(color),
            stderr_width,
        )
    }

    /// Says nothing.
    pub fn silent() -> Self {
        let view = View {
            width: None,
            color: false,
            unicode: false,
            interactive: false,
        };
        Self::to(Box::new(std::io::sink()), view, || None)
    }

    fn to(output: Box<dyn Write + Send>, view: View, width: fn() -> Option<usize>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                output,
                view,
                width,
                step: None,
                said: None,
                drawn: false,
                frame: 0,
                ended: false,
            }),
            ended: Condvar::new(),
        });
        Self {
            shared,
            drawer: None,
        }
    }

    /// Begins a step. It ends with the next `begin`, `done` or `failed`.
    pub fn begin(&mut self, step: &str) {
        self.state().begin(step);
        self.draw_along();
    }

    /// The step under way is further: says how far.
    pub fn update(&mut self, step: &str) {
        self.state().update(step);
        self.draw_along();
    }

    /// The step under way, or something else, is done.
    pub fn done(&mut self, what: &str) {
        self.end_step(Mark::Done, what);
    }

    /// The step under way, or something else, failed.
    pub fn failed(&mut self, what: &str) {
        self.end_step(Mark::Failed, what);
    }

    /// A warning. The step under way goes on.
    pub fn warn(&mut self, what: &str) {
        self.state().say(Mark::Warning, what);
    }

    /// Something worth saying. The step under way goes on.
    pub fn info(&mut self, what: &str) {
        self.state().say(Mark::Info, what);
    }

    /// A line with a mark of the caller's choice. The step under way goes on.
    pub fn say(&mut self, mark: Mark, what: &str) {
        self.state().say(mark, what);
    }

    /// Ends the step under way without a word; before a question, for example.
    pub fn clear(&mut self) {
        let mut state = self.state();
        state.step = None;
        state.erase();
    }

    /// Whether signs beyond ASCII may be used.
    pub fn unicode(&self) -> bool {
        self.state().view.unicode
    }

    fn end_step(&mut self, mark: Mark, what: &str) {
        let mut state = self.state();
        state.step = None;
        state.say(mark, what);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Starts the thread that keeps the spinner turning.
    fn draw_along(&mut self) {
        if self.drawer.is_some() || !self.state().view.interactive {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.drawer = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || shared.draw_until_ended())
            .ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        {
            let mut state = self.state();
            state.ended = true;
            state.erase();
        }
        self.shared.ended.notify_all();
        if let Some(drawer) = self.drawer.take() {
            // It only draws; whether it did so to its end does not matter.
            let _ = drawer.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw_until_ended(&self) {
        let mut state = self.lock();
        while !state.ended {
            state = self
                .ended
                .wait_timeout(state, REDRAW)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if !state.ended && state.step.is_some() {
                state.frame = state.frame.wrapping_add(1);
                state.draw();
            }
        }
    }
}

impl State {
    fn begin(&mut self, step: &str) {
        self.step = Some(Step {
            text: text::one_line(step),
            since: Instant::now(),
        });
        self.show_step();
    }

    fn update(&mut self, step: &str) {
        let text = text::one_line(step);
        match &mut self.step {
            Some(step) => step.text = text,
            None => return self.begin(&text),
        }
        self.show_step();
    }

    fn show_step(&mut self) {
        if self.view.interactive {
            self.draw();
        } else if let Some(step) = &self.step {
            let text = step.text.clone();
            self.say(Mark::Running, &text);
        }
    }

    /// One line that stays.
    fn say(&mut self, mark: Mark, what: &str) {
        let what = text::one_line(what);
        if self
            .said
            .as_ref()
            .is_some_and(|said| (said.0, &said.1) == (mark, &what))
        {
            return;
        }
        let now = (!self.view.interactive).then(Timestamp::now);
        let line = line(mark, &what, now, &self.view);
        self.said = Some((mark, what));
        self.erase();
        self.write(&(line + "\n"));
        if self.view.interactive && self.step.is_some() {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let Some(step) = &self.step else { return };
        let view = View {
            width: (self.width)(),
            ..self.view
        };
        let line = live_line(
            &step.text,
            step.since.elapsed().as_secs(),
            self.frame,
            &view,
        );
        self.drawn = true;
        self.write(&format!("{CLEAR}{line}"));
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.write(CLEAR);
        }
    }

    fn write(&mut self, text: &str) {
        // Where progress cannot be shown, the work goes on.
        let _ = self
            .output
            .write_all(text.as_bytes())
            .and_then(|()| self.output.flush());
    }
}

/// A line that stays. `now`: nobody is looking, so that the time is of use.
fn line(mark: Mark, what: &str, now: Option<Timestamp>, view: &View) -> String {
    let (sign, style) = mark.sign(view.unicode);
    let time = now.map_or(String::new(), |now| now.strftime("%H:%M:%SZ ").to_string());
    format!("{time}{} {what}", style.apply(sign, view.color))
}

/// The line of the step under way; never wider than the terminal, or it could not be cleared.
fn live_line(step: &str, seconds: u64, frame: usize, view: &View) -> String {
    let frames = if view.unicode {
        "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    } else {
        "|/-\\"
    };
    let sign: String = frames
        .chars()
        .cycle()
        .nth(frame % frames.chars().count())
        .into_iter()
        .collect();
    let time = if seconds < SHOW_SECONDS {
        String::new()
    } else {
        format!(
            " ({})",
            text::duration(i64::try_from(seconds).unwrap_or(i64::MAX))
        )
    };
    let columns = view.width.unwrap_or(80);
    let left = columns.saturating_sub(3 + text::width(&time));
    format!(
        "{} {}{}",
        Style::Warn.apply(&sign, view.color),
        text::cut(step, left, view.unicode),
        Style::Dim.apply(&time, view.color)
    )
}

fn stderr_width() -> Option<usize> {
    let stderr = std::io::stderr();
    if !stderr.is_terminal() {
        return None;
    }
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(&stderr)?;
    Some(usize::from(columns)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn view(interactive: bool, unicode: bool) -> View {
        View {
            width: None,
            color: false,
            unicode,
            interactive,
        }
    }

    fn story(progress: &mut Progress) {
        progress.begin("asking the agent");
        progress.update("waiting");
        progress.update("waiting");
        progress.warn("the agent is silent\u{1b}[2J");
        progress.update("waiting");
        progress.done("synced");
        progress.failed("not healthy");
        progress.info("by");
    }

    #[test]
    fn without_a_terminal_each_change_is_a_line() {
        let kept = Kept::default();
        let mut progress = Progress::to(Box::new(kept.clone()), view(false, false), || None);
        story(&mut progress);
        drop(progress);
        let text = kept.text();
        let lines: Vec<(&str, &str)> = text.lines().map(|line| line.split_at(10)).collect();
        for (time, _) in &lines {
            assert!(time.ends_with("Z ") && time.as_bytes()[2] == b':', "{text}");
        }
        let said: Vec<&str> = lines.iter().map(|(_, said)| *said).collect();
        assert_eq!(
            said,
            [
                ". asking the agent",
                ". waiting",
                "! the agent is silent [2J",
                ". waiting",
                "v synced",
                "x not healthy",
                "- by"
            ]
        );
    }

    #[test]
    fn on_a_terminal_what_stays_is_left_and_the_rest_cleared() {
        let kept = Kept::default();
        let mut progress = Progress::to(Box::new(kept.clone()), view(true, true), || Some(20));
        story(&mut progress);
        progress.begin("a step that is interrupted");
        drop(progress);
        let text = kept.text();
        assert!(text.ends_with(CLEAR), "{text:?}");
        // What a terminal shows: each line as it is after the last time it was cleared.
        let shown: Vec<&str> = text
            .split('\n')
            .filter_map(|line| line.rsplit(CLEAR).next())
            .collect();
        assert_eq!(
            shown,
            [
                "! the agent is silent [2J",
                "✓ synced",
                "✗ not healthy",
                "• by",
                ""
            ]
        );
    }

    #[test]
    fn the_live_line_fits_the_terminal() {
        for width in 4..60 {
            for seconds in [0, 7, 700] {
                let view = View {
                    width: Some(width),
                    ..view(true, true)
                };
                let line = live_line("waiting for the agent to take notice", seconds, 3, &view);
                let least = 3 + if seconds > 1 { 6 } else { 0 };
                assert!(text::width(&line) < width.max(least), "{width}: {line}");
            }
        }
        let view = View {
            width: Some(40),
            ..view(true, false)
        };
        assert_eq!(
            live_line("syncing", 75, 1, &view),
            "/ syncing (1m)".to_owned()
        );
    }
}
