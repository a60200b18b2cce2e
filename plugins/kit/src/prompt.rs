//! Questions on a terminal: yes or no, a name to be typed, one of several to be chosen. Each has a
//! flag or an argument that answers it beforehand; without a terminal nothing is ever asked, and
//! what would confirm is asked for (exit code 4).
//!
//! dialoguer draws and reads; decided here is who is asked and what becomes of the terminal when a
//! question is left without an answer: Ctrl-C, or a signal from elsewhere.

use std::io::{ErrorKind, IsTerminal};
use std::time::Duration;

use dialoguer::console::Term;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, FuzzySelect, Input};

use crate::exit::{CommandError, CommandErrorKind};
use crate::terminal::View;
use crate::text;

/// Columns beside a question: blanks, and `[y/N]`.
const MARGIN: usize = 8;
/// Most rows of a list to choose from.
const MAX_ROWS: usize = 15;
/// Longest time between Ctrl-C at a question and the end of the command.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks a question whose answer is yes or no; no is what Enter means. `yes` is the value of the
/// flag that answers it, `flag` its name, such as `--yes`.
pub async fn confirm(question: &str, yes: bool, flag: &str) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    require_terminal(question, flag)?;
    let question = text::one_line(question);
    let answer = ask(move |terminal| {
        Confirm::with_theme(&SimpleTheme)
            .with_prompt(last_line(terminal, &question)?)
            .default(false)
            // A key that slipped agrees to nothing.
            .wait_for_newline(true)
            .interact_on_opt(terminal)
    });
    if answer.await? == Some(true) {
        Ok(())
    } else {
        Err(declined())
    }
}

/// Asks to type a name, for what cannot be taken back. `given` is the value of the flag that
/// answers it, `flag` its name, such as `--confirm`.
pub async fn confirm_name(
    question: &str,
    name: &str,
    given: Option<&str>,
    flag: &str,
) -> Result<(), CommandError> {
    let name = text::one_line(name);
    let answer = if let Some(given) = given {
        given.to_owned()
    } else {
        require_terminal(question, &format!("{flag}={name}"))?;
        let question = text::one_line(question);
        let prompt = format!("Type {name} to go on");
        ask(move |terminal| {
            let last = last_line(terminal, &question)?;
            terminal.write_line(&last)?;
            Input::<String>::with_theme(&SimpleTheme)
                .with_prompt(prompt)
                .allow_empty(true)
                .interact_text_on(terminal)
        })
        .await?
    };
    if answer.trim() == name {
        Ok(())
    } else if given.is_some() {
        Err(CommandError::new(
            CommandErrorKind::Refused,
            format!("{flag} does not say {name:?}; nothing was changed"),
        ))
    } else {
        Err(declined())
    }
}

/// Lets one of several be chosen, by typing a part of it or with the arrow keys; its place in the
/// list. `first` is what Enter means. Only to be called where [`can_pick`].
pub async fn pick(
    question: &str,
    items: &[String],
    first: usize,
    view: &View,
) -> Result<usize, CommandError> {
    let question = text::one_line(question);
    let columns = view.width.unwrap_or(80).saturating_sub(MARGIN);
    let items: Vec<String> = items
        .iter()
        .map(|item| text::cut(&text::one_line(item), columns, view.unicode))
        .collect();
    let colorful = view.color && view.unicode;
    let chosen = ask(move |terminal| {
        let theme: &dyn Theme = if colorful {
            &ColorfulTheme::default()
        } else {
            &SimpleTheme
        };
        FuzzySelect::with_theme(theme)
            .with_prompt(question)
            .items(&items)
            .default(first)
            .max_length(MAX_ROWS)
            .interact_on_opt(terminal)
    });
    chosen.await?.ok_or_else(|| {
        CommandError::new(
            CommandErrorKind::Refused,
            "nothing was chosen; nothing was changed",
        )
    })
}

/// Whether somebody can be asked: both sides of the conversation are a terminal.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Whether a list can be drawn to choose from: on a terminal that can move its cursor.
pub fn can_pick() -> bool {
    can_ask() && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
}

fn declined() -> CommandError {
    CommandError::new(
        CommandErrorKind::Refused,
        "not confirmed; nothing was changed",
    )
}

fn require_terminal(question: &str, flag: &str) -> Result<(), CommandError> {
    if can_ask() {
        return Ok(());
    }
    Err(CommandError::new(
        CommandErrorKind::Refused,
        format!(
            "this needs a confirmation and there is no terminal to ask on: {}",
            text::one_line(question)
        ),
    )
    .hint(format!("confirm beforehand with {flag}")))
}

/// Writes all of a question but what fits on its last line, which is drawn again with each key.
fn last_line(terminal: &Term, question: &str) -> std::io::Result<String> {
    let (_, columns) = terminal.size();
    let mut lines = text::wrap(question, usize::from(columns).saturating_sub(MARGIN));
    let last = lines.pop().unwrap_or_default();
    for line in lines {
        terminal.write_line(&line)?;
    }
    Ok(last)
}

/// Asks on standard error. Reading has a thread of its own, so that signals are heard meanwhile.
async fn ask<T: Send + 'static>(
    question: impl FnOnce(&Term) -> dialoguer::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    let mut terminal = Restore::new();
    let asked = tokio::task::spawn_blocking(move || question(&Term::stderr())).await;
    let answer = match asked {
        Ok(answer) => answer.map_err(|dialoguer::Error::IO(error)| error),
        Err(error) => Err(std::io::Error::other(error)),
    };
    match answer {
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            // Ctrl-C: the signal that follows ends the command here.
            tokio::time::sleep(INTERRUPT_TIMEOUT).await;
            Err(declined())
        }
        Err(error) => Err(CommandError::new(
            CommandErrorKind::Refused,
            format!("cannot read an answer: {error}; nothing was changed"),
        )
        .caused_by(error)),
        Ok(answer) => {
            terminal.answered = true;
            Ok(answer)
        }
    }
}

/// Puts the terminal back as it was when a question ends without an answer: keys are read in a
/// mode of its own, and the cursor is hidden meanwhile.
struct Restore {
    #[cfg(unix)]
    modes: Option<rustix::termios::Termios>,
    answered: bool,
}

impl Restore {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            modes: rustix::termios::tcgetattr(std::io::stdin()).ok(),
            answered: false,
        }
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        #[cfg(unix)]
        if let Some(modes) = &self.modes {
            use rustix::termios::{OptionalActions, tcsetattr};
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
        }
        let terminal = Term::stderr();
        let _ = terminal.show_cursor();
        let _ = terminal.write_line("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn flags_answer_beforehand() {
        assert!(confirm("Prune 3 objects?", true, "--yes").await.is_ok());
        let named = |given| confirm_name("Delete it?", "web", given, "--confirm");
        assert!(named(Some("web")).await.is_ok());
        let error = named(Some("wob")).await.unwrap_err();
        assert_eq!(error.kind, CommandErrorKind::Refused);
        assert!(error.message.contains("nothing was changed"));
    }
}
