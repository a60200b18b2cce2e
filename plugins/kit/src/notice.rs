//! Warnings and errors on standard error, each with its kind in front and hints below.
//!
//! The one way out for texts of errors: whatever a server, a file or a program put into them, nothing
//! a terminal would obey leaves, and each is one line, so that none can pass for another.

use std::io::Write;

use crate::exit::CommandError;
use crate::paint::Style;
use crate::text;

/// A warning.
pub fn warn(message: &str) {
    write(&line("warning", Style::Warn, message));
}

/// An error, and what to do next.
pub fn report(error: &CommandError) {
    write(&lines(error));
}

fn lines(error: &CommandError) -> String {
    let hints = error.hints.iter();
    let hints = hints.map(|hint| line("hint", Style::Dim, hint));
    let first = line("error", Style::Bad, &error.message);
    [first].into_iter().chain(hints).collect()
}

fn line(kind: &str, style: Style, message: &str) -> String {
    let kind = style.apply(&format!("{kind}:"), true);
    format!("{kind} {}\n", text::one_line(message))
}

fn write(lines: &str) {
    // Where errors cannot be written there is nobody to tell. Colors go where there are none.
    let _ = anstream::stderr().write_all(lines.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::CommandErrorKind;

    #[test]
    fn no_text_of_an_error_moves_the_cursor_or_adds_a_line() {
        let hostile = "a\u{1b}[2J\u{1b}]0;t\u{7}b\r\nhint: run this\u{202e}\u{9b}31m";
        let error = CommandError::new(CommandErrorKind::Server, hostile).hint(hostile);
        let text = anstream::adapter::strip_str(&lines(&error)).to_string();
        assert_eq!(text.lines().count(), 2, "{text:?}");
        let obeyed = |c: char| text::is_command(c) && c != '\n';
        assert!(!text.contains(obeyed), "{text:?}");
        assert!(!lines(&error).contains("\u{1b}[2J"), "{text:?}");
        let warning = line("warning", Style::Warn, hostile);
        assert_eq!(warning.matches('\n').count(), 1, "{warning:?}");
    }
}
