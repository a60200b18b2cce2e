//! What the output goes to: its width, whether it shows color and more than ASCII.

use anstream::ColorChoice as StreamChoice;
use clap::ValueEnum;

/// When to use color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a screen is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Columns; `None` does not cut anything.
    pub width: Option<usize>,
    /// Use color.
    pub color: bool,
    /// Use lines and signs beyond ASCII.
    pub unicode: bool,
    /// Somebody is looking: sum up, and say what to do next. Otherwise only the data.
    pub interactive: bool,
}

impl View {
    /// What standard output is.
    pub fn of_stdout(choice: ColorChoice) -> Self {
        Self::of(&std::io::stdout(), choice)
    }

    /// What standard error is.
    pub fn of_stderr(choice: ColorChoice) -> Self {
        Self::of(&std::io::stderr(), choice)
    }

    #[cfg(unix)]
    fn of<S: std::io::IsTerminal + anstream::stream::RawStream + std::os::fd::AsFd>(
        stream: &S,
        choice: ColorChoice,
    ) -> Self {
        Self::with(stream, choice, terminal_size::terminal_size_of(stream))
    }

    #[cfg(windows)]
    fn of<S: std::io::IsTerminal + anstream::stream::RawStream + std::os::windows::io::AsHandle>(
        stream: &S,
        choice: ColorChoice,
    ) -> Self {
        Self::with(stream, choice, terminal_size::terminal_size_of(stream))
    }

    fn with<S: std::io::IsTerminal + anstream::stream::RawStream>(
        stream: &S,
        choice: ColorChoice,
        size: Option<(terminal_size::Width, terminal_size::Height)>,
    ) -> Self {
        let interactive = std::io::IsTerminal::is_terminal(stream);
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => anstream::AutoStream::choice(stream) != StreamChoice::Never,
        };
        let width = size
            .filter(|_| interactive)
            .map(|(terminal_size::Width(columns), _)| usize::from(columns))
            .filter(|columns| *columns > 0);
        Self {
            width,
            color,
            unicode: locale_is_utf8(|name| std::env::var(name).ok()),
            interactive,
        }
    }
}

/// Rows of the terminal standard output is; `None` when it is none.
pub fn height() -> Option<usize> {
    let (_, terminal_size::Height(rows)) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(usize::from(rows)).filter(|rows| *rows > 0)
}

/// Whether the locale's encoding is UTF-8, by the variables POSIX names, in its order.
fn locale_is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    if cfg!(windows) {
        return true;
    }
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()))
        .is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_set_decides() {
        let with = |set: &[(&str, &str)]| {
            locale_is_utf8(|name| {
                set.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        if cfg!(windows) {
            return;
        }
        assert!(with(&[("LANG", "en_GB.UTF-8")]));
        assert!(with(&[
            ("LC_ALL", ""),
            ("LC_CTYPE", "C.utf8"),
            ("LANG", "C")
        ]));
        assert!(!with(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
        assert!(!with(&[]));
    }
}
