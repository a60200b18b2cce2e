//! Questions on a real terminal: what keys mean, and what is left of the terminal afterwards.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gitops_kit::exit::ExitStatus;
use gitops_kit::terminal::{ColorChoice, View};
use gitops_kit::{interrupt, prompt};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longest wait for something to be shown.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Variable that says which question the other side asks.
const QUESTION: &str = "QUESTION";

/// The other side: asks on the terminal it was started on.
#[test]
#[ignore = "started by the tests below, on a terminal"]
#[allow(clippy::exit, reason = "its exit code is what is tested")]
fn asks() {
    let Ok(question) = std::env::var(QUESTION) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let command = async {
        match question.as_str() {
            "confirm" => prompt::confirm("Prune 3 objects?", false, "--yes").await?,
            "long" => {
                let question = format!("Delete {}?", "ConfigMap/one, ".repeat(12));
                prompt::confirm(&question, false, "--yes").await?;
            }
            "name" => prompt::confirm_name("This removes it.", "prod", None, "--confirm").await?,
            _ => {
                let items = ["api", "web", "worker"].map(str::to_owned);
                let view = View::of_stderr(ColorChoice::Auto);
                let place = prompt::pick("Which Application?", &items, 0, &view).await?;
                eprintln!("it is {}", items[place]);
            }
        }
        Ok(ExitStatus::Success)
    };
    let ended = runtime.block_on(interrupt::run(command));
    runtime.shutdown_background();
    let status = ended.unwrap_or_else(|error| {
        eprintln!("{}", error.message);
        error.status()
    });
    std::process::exit(i32::from(status.code()));
}

/// What was written so far and whether it ended, and who waits for more.
type Output = (Mutex<(Vec<u8>, bool)>, Condvar);

struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    output: Arc<Output>,
    modes: String,
}

impl Terminal {
    fn asking(question: &str, variables: &[(&str, &str)]) -> Self {
        let size = PtySize {
            rows: 30,
            cols: 80,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--exact", "asks", "--ignored", "--nocapture"]);
        command.env_clear();
        command.env(QUESTION, question);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        for (name, value) in variables {
            command.env(name, value);
        }
        let modes = modes(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let output = Arc::new((Mutex::new((Vec::new(), false)), Condvar::new()));
        let written = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer)
                && count > 0
            {
                written.0.lock().unwrap().0.extend(&buffer[..count]);
                written.1.notify_all();
            }
            written.0.lock().unwrap().1 = true;
            written.1.notify_all();
        });
        Self {
            master: pair.master,
            keys,
            child,
            output,
            modes,
        }
    }

    /// Waits until the screen shows a text.
    fn shows(&mut self, text: &str) -> &mut Self {
        self.until(text, |(bytes, _)| screen(bytes).contents().contains(text));
        self
    }

    fn until(&mut self, what: &str, is: impl Fn(&(Vec<u8>, bool)) -> bool) {
        let state = self.output.0.lock().unwrap();
        let (state, waited) = self
            .output
            .1
            .wait_timeout_while(state, TIMEOUT, |state| !is(state) && !state.1)
            .unwrap();
        assert!(
            !waited.timed_out() && is(&state),
            "{what:?} is not shown:\n{}",
            screen(&state.0).contents()
        );
    }

    fn press(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        self
    }

    /// Exit code, once the terminal is as it was.
    fn ends(&mut self) -> (u32, String) {
        // With the program its side of the terminal closes.
        self.until("the end", |(_, closed)| *closed);
        let code = self.child.wait().unwrap().exit_code();
        let state = self.output.0.lock().unwrap();
        let screen = screen(&state.0);
        assert!(!screen.hide_cursor(), "the cursor is hidden");
        (code, screen.contents())
    }

    /// Whether keys are read as they were before the question.
    fn is_as_before(&self) -> bool {
        modes(&*self.master) == self.modes
    }
}

fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios())
}

fn screen(bytes: &[u8]) -> vt100::Screen {
    let mut parser = vt100::Parser::new(cells(30), cells(80), 0);
    parser.process(bytes);
    parser.screen().clone()
}

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

#[test]
fn only_yes_and_enter_agree() {
    for (keys, code) in [
        ("y\r", 0),
        ("Y\r", 0),
        ("yes\r", 0),
        ("\r", 4),
        ("n\r", 4),
        ("yn\r", 4),
        ("j\r", 4),
    ] {
        let mut terminal = Terminal::asking("confirm", &[]);
        terminal.shows("Prune 3 objects? [y/N]").press(keys);
        let (ended, screen) = terminal.ends();
        assert_eq!(ended, code, "{keys:?}: {screen}");
        assert_eq!(
            screen.contains("nothing was changed"),
            code == 4,
            "{screen}"
        );
    }
}

#[test]
fn a_long_question_is_shown_once() {
    let mut terminal = Terminal::asking("long", &[]);
    terminal
        .shows("[y/N]")
        .press("y")
        .shows("[Y/n]")
        .press("\r");
    let (code, screen) = terminal.ends();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(screen.matches("Delete").count(), 1, "{screen}");
}

#[test]
fn a_name_has_to_be_typed() {
    for (keys, code) in [("prod\r", 0), ("prd\r", 4), ("\r", 4)] {
        let mut terminal = Terminal::asking("name", &[]);
        terminal.shows("Type prod to go on: ").press(keys);
        let (ended, screen) = terminal.ends();
        assert_eq!(ended, code, "{keys:?}: {screen}");
    }
}

#[test]
fn one_is_chosen_by_typing_or_by_arrows() {
    for (keys, chosen) in [
        ("\r", "api"),
        ("we\r", "web"),
        ("\u{1b}[B\u{1b}[B\r", "worker"),
    ] {
        let mut terminal = Terminal::asking("pick", &[]);
        terminal.shows("worker").press(keys);
        let (code, screen) = terminal.ends();
        assert_eq!(code, 0, "{keys:?}: {screen}");
        assert!(screen.contains(&format!("it is {chosen}")), "{screen}");
    }
}

#[test]
fn without_color_nothing_is_colored() {
    let mut terminal = Terminal::asking("pick", &[("NO_COLOR", "1")]);
    terminal.shows("worker").press("\r");
    assert_eq!(terminal.ends().0, 0);
    let state = terminal.output.0.lock().unwrap();
    let text = String::from_utf8_lossy(&state.0);
    assert!(!text.contains("\u{1b}[3"), "{text:?}");
}

#[test]
fn ctrl_c_ends_at_once_and_leaves_the_terminal_as_it_was() {
    for (question, shown) in [
        ("confirm", "[y/N]"),
        ("name", "Type prod"),
        ("pick", "worker"),
    ] {
        let mut terminal = Terminal::asking(question, &[]);
        terminal.shows(shown).press("\u{3}");
        assert_eq!(terminal.ends().0, 130, "{question}");
        assert!(terminal.is_as_before(), "{question}");
    }
}

#[test]
fn a_signal_from_elsewhere_leaves_the_terminal_as_it_was() {
    let mut terminal = Terminal::asking("pick", &[]);
    terminal.shows("worker");
    let pid = terminal.child.process_id().unwrap().to_string();
    let killed = std::process::Command::new("kill").arg(&pid).status();
    assert!(killed.unwrap().success());
    assert_eq!(terminal.ends().0, 130);
    assert!(terminal.is_as_before());
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "asks", "--ignored", "--nocapture"])
        .env(QUESTION, "confirm")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no terminal to ask on"), "{said}");
}
