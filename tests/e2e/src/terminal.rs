//! Command lines on a terminal: a pseudo terminal with a screen, on which keys are pressed and
//! texts are waited for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portable_pty::{ChildKiller, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tokio::sync::watch;
use vt100::Parser;

use crate::{must, wait};

/// Rows kept that left the screen at its top.
const SCROLLBACK: usize = 2000;

/// A running command and its screen. Killed when dropped.
pub struct Terminal {
    line: String,
    state: watch::Receiver<State>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    killer: Box<dyn ChildKiller + Send + Sync>,
    sender: Arc<watch::Sender<State>>,
}

struct State {
    // A parser is not shared between threads by itself.
    parser: Mutex<Parser>,
    bytes: Vec<u8>,
    closed: bool,
    code: Option<u32>,
}

impl State {
    fn parser(&self) -> MutexGuard<'_, Parser> {
        self.parser.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows as they are seen.
    fn rows(&self) -> String {
        let parser = self.parser();
        let (_, columns) = parser.screen().size();
        let rows = parser.screen().rows(0, columns.get());
        let rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    /// Whether a condition holds for the rows, or for the lines that wrapped into rows.
    fn holds(&self, found: &impl Fn(&str) -> bool) -> bool {
        if found(&self.rows()) {
            return true;
        }
        let lines = self.parser().screen().contents();
        found(&lines)
    }
}

impl Terminal {
    /// Starts a command line (a program and its arguments) with these variables only.
    pub(crate) fn start(
        words: &[String],
        variables: &BTreeMap<String, String>,
        directory: &Path,
        columns: u16,
        rows: u16,
    ) -> Self {
        let line = words.join(" ");
        let pair = must(
            native_pty_system().openpty(size(columns, rows)),
            "open a terminal",
        );
        let mut command = CommandBuilder::new(&words[0]);
        command.args(&words[1..]);
        command.env_clear();
        for (name, value) in variables {
            command.env(name, value);
        }
        command.cwd(directory);
        let mut child = must(pair.slave.spawn_command(command), &line);
        // The terminal ends with its last program only if we hold no end of it ourselves.
        drop(pair.slave);
        let mut output = must(pair.master.try_clone_reader(), "read from the terminal");
        let keys = must(pair.master.take_writer(), "write to the terminal");
        let killer = child.clone_killer();
        let (sender, state) = watch::channel(State {
            parser: Mutex::new(Parser::new(cells(rows), cells(columns), SCROLLBACK)),
            bytes: Vec::new(),
            closed: false,
            code: None,
        });
        let sender = Arc::new(sender);
        let screen = sender.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal without programs fails to be read, which is its end.
            while let Ok(count) = output.read(&mut buffer)
                && count > 0
            {
                screen.send_modify(|state| {
                    state.bytes.extend_from_slice(&buffer[..count]);
                    state.parser().process(&buffer[..count]);
                });
            }
            screen.send_modify(|state| state.closed = true);
        });
        let ended = sender.clone();
        std::thread::spawn(move || {
            let code = child.wait().map_or(u32::MAX, |status| status.exit_code());
            ended.send_modify(|state| state.code = Some(code));
        });
        Self {
            line,
            state,
            keys,
            master: pair.master,
            killer,
            sender,
        }
    }

    /// Waits until the screen shows a text.
    ///
    /// # Panics
    /// With the screen, when it does not in time or the command ends without.
    pub async fn shows(&mut self, text: &str) -> &mut Self {
        self.until(&format!("shows {text:?}"), |screen| screen.contains(text))
            .await
    }

    /// Waits until the screen satisfies a condition.
    ///
    /// # Panics
    /// With the screen, when it does not in time or the command ends without.
    pub async fn until(&mut self, what: &str, found: impl Fn(&str) -> bool) -> &mut Self {
        let mut state = self.state.clone();
        let seen =
            state.wait_for(|state| state.holds(&found) || (state.closed && state.code.is_some()));
        let seen = tokio::time::timeout(wait::LIMIT, seen).await;
        let seen = matches!(seen, Ok(Ok(state)) if state.holds(&found));
        assert!(seen, "{}\nexpected that the screen {what}", self.shown());
        self
    }

    /// Presses keys.
    ///
    /// # Panics
    /// When the terminal is closed.
    pub fn press(&mut self, keys: &str) -> &mut Self {
        let pressed = self.keys.write_all(keys.as_bytes());
        must(pressed.and_then(|()| self.keys.flush()), "press keys");
        self
    }

    /// Types a line and presses Enter.
    pub fn enter(&mut self, line: &str) -> &mut Self {
        self.press(&format!("{line}\r"))
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&mut self) -> &mut Self {
        self.press("\u{3}")
    }

    /// Changes the size of the terminal.
    pub fn resize(&mut self, columns: u16, rows: u16) -> &mut Self {
        // The screen first: what is drawn for the new size must find it.
        self.sender.send_modify(|state| {
            let (rows, columns) = (cells(rows), cells(columns));
            state.parser().screen_mut().set_size(rows, columns);
        });
        must(
            self.master.resize(size(columns, rows)),
            "resize the terminal",
        );
        self
    }

    /// The screen as it is now.
    pub fn screen(&self) -> String {
        self.state.borrow().rows()
    }

    /// Waits until the command ends.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn ends(mut self) -> Ended {
        let over = self
            .state
            .wait_for(|state| state.closed && state.code.is_some());
        let over = tokio::time::timeout(wait::LIMIT, over).await.is_ok();
        assert!(over, "{}\nexpected that it ends", self.shown());
        let state = self.state.borrow();
        let parser = state.parser();
        let screen = parser.screen();
        let plain = screen.fgcolor() == vt100::Color::Default
            && screen.bgcolor() == vt100::Color::Default
            && !(screen.bold() || screen.dim() || screen.italic() || screen.underline());
        let tidy = plain && !screen.hide_cursor() && !screen.alternate_screen();
        drop(parser);
        Ended {
            line: self.line.clone(),
            code: state.code.unwrap_or(u32::MAX),
            screen: state.rows(),
            lines: state.parser().screen().contents(),
            bytes: String::from_utf8_lossy(&state.bytes).into_owned(),
            tidy,
        }
    }

    fn shown(&self) -> String {
        format!("$ {}\n--- screen\n{}\n---", self.line, self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing to kill when it has ended.
        let _ = self.killer.kill();
    }
}

/// How a command on a terminal ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was typed.
    pub line: String,
    /// Exit code.
    pub code: u32,
    /// The screen it left.
    pub screen: String,
    lines: String,
    /// Everything that was written, escape codes included.
    pub bytes: String,
    tidy: bool,
}

impl Ended {
    /// It ended with this code.
    #[track_caller]
    pub fn exits(&self, code: u32) -> &Self {
        self.check(self.code == code, &format!("exits with {code}"))
    }

    /// The screen it left contains a text.
    #[track_caller]
    pub fn shows(&self, text: &str) -> &Self {
        let shown = self.screen.contains(text) || self.lines.contains(text);
        self.check(shown, &format!("shows {text:?}"))
    }

    /// The terminal is as it was: cursor shown, no color left on, no pieces of escape codes.
    #[track_caller]
    pub fn is_tidy(&self) -> &Self {
        self.check(self.tidy, "leaves cursor, color and screen as they were");
        let pieces = ["[0m", "[1m", "[2m", "[31m", "[32m", "[33m", "[?25", "[2K"];
        for piece in pieces {
            self.check(
                !self.screen.contains(piece),
                "shows no pieces of escape codes",
            );
        }
        self.check(!self.screen.contains("panicked"), "does not panic")
    }

    /// Fails with everything that is known unless a condition holds.
    #[track_caller]
    pub fn check(&self, holds: bool, what: &str) -> &Self {
        let Self {
            line, code, screen, ..
        } = self;
        assert!(
            holds,
            "$ {line}\n--- screen\n{screen}\n--- ended with {code}\nexpected that it {what}"
        );
        self
    }
}

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN)
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}
