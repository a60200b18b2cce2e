//! Questions before something is changed. Asked on a terminal only; each has a flag that answers
//! it beforehand, and without a terminal the flag is asked for (exit code 4).

use std::io::{BufRead, IsTerminal, Write};

use crate::exit::{CommandError, CommandErrorKind, ExitStatus};
use crate::text;

/// Asks a question whose answer is yes or no; no is what Enter means. `yes` is the value of the
/// flag that answers it, `flag` its name, such as `--yes`.
pub async fn confirm(question: &str, yes: bool, flag: &str) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    require_terminal(question, flag)?;
    let answer = ask(format!("{} [y/N] ", text::one_line(question))).await?;
    if is_yes(&answer) {
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
        ask(format!("{question}\nType {name} to go on: ")).await?
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

/// Whether somebody can be asked: both sides of the conversation are a terminal.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
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

/// Writes a question to standard error and reads a line. Reading has a thread of its own, so that
/// Ctrl-C is heard meanwhile.
async fn ask(question: String) -> Result<String, CommandError> {
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::new(
            CommandErrorKind::Refused,
            format!("cannot read an answer: {error}; nothing was changed"),
        )
    };
    let answer = tokio::task::spawn_blocking(move || {
        let mut stderr = anstream::stderr().lock();
        write!(stderr, "{question}")?;
        stderr.flush()?;
        drop(stderr);
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        Ok::<String, std::io::Error>(line)
    });
    answer
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for yes in ["y\n", "Y", " yes \n", "YES"] {
            assert!(is_yes(yes), "{yes}");
        }
        for no in ["", "\n", "n", "no", "yep", "j", "yy"] {
            assert!(!is_yes(no), "{no}");
        }
    }

    #[tokio::test]
    async fn flags_answer_beforehand() {
        assert!(confirm("Prune 3 objects?", true, "--yes").await.is_ok());
        let named = |given| confirm_name("Delete it?", "web", given, "--confirm");
        assert!(named(Some("web")).await.is_ok());
        let error = named(Some("wob")).await.unwrap_err();
        assert_eq!(error.status(), ExitStatus::Refused);
        assert!(error.message.contains("nothing was changed"));
    }
}
