//! Warnings and errors on standard error, each with its kind in front and hints below.

use std::io::Write;

use crate::exit::CommandError;
use crate::paint::Style;

/// A warning.
pub fn warn(message: &str) {
    write("warning", Style::Warn, message);
}

/// An error, and what to do next.
pub fn report(error: &CommandError) {
    write("error", Style::Bad, &error.message);
    for hint in &error.hints {
        write("hint", Style::Dim, hint);
    }
}

fn write(kind: &str, style: Style, message: &str) {
    let mut stderr = anstream::stderr();
    // Where errors cannot be written there is nobody to tell.
    let _ = writeln!(
        stderr,
        "{} {message}",
        style.apply(&format!("{kind}:"), true)
    );
}
