//! The explanation for users: the verdict, then each cause with what shows it and what to type.

use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::explain::{Cause, Explanation};

/// Draws an explanation.
pub fn screen(explanation: &Explanation, view: &View) -> String {
    let mut lines = Lines {
        output: String::new(),
        view,
    };
    let verdict = if explanation.ok {
        Style::Good
    } else {
        Style::Bold
    };
    // A single cause stands in the headline; several stand beneath it, numbered.
    let several = explanation.causes.len() > 1;
    let headline = if several {
        &explanation.headline
    } else {
        &explanation.verdict
    };
    lines.put("", headline, verdict);
    if !explanation.chain.is_empty() {
        let below = if view.unicode { " ← " } else { " < " };
        let all = std::iter::once(explanation.name.as_str())
            .chain(explanation.chain.iter().map(String::as_str))
            .collect::<Vec<_>>();
        lines.put("  ", &all.join(below), Style::Dim);
    }
    for (index, cause) in explanation.causes.iter().enumerate() {
        if several {
            lines.gap();
            let number = format!("{}. ", index + 1);
            lines.put(&number, &cause.what, cause.code.style());
            lines.cause(text::width(&number) + 2, cause);
        } else {
            lines.cause(2, cause);
        }
    }
    if !explanation.notes.is_empty() || !explanation.unread.is_empty() {
        lines.gap();
    }
    for note in &explanation.notes {
        lines.put("note: ", note, Style::Dim);
    }
    for unread in &explanation.unread {
        lines.put("not seen: ", unread, Style::Dim);
    }
    lines.output
}

struct Lines<'a> {
    output: String,
    view: &'a View,
}

impl Lines<'_> {
    fn gap(&mut self) {
        self.output.push('\n');
    }

    /// What shows a cause, and what to type.
    fn cause(&mut self, indent: usize, cause: &Cause) {
        let indent = " ".repeat(indent);
        for line in &cause.evidence {
            self.put(&indent, line, Style::Plain);
        }
        for given in &cause.reasons {
            let said = if given.advice.is_empty() {
                given.code.clone()
            } else {
                format!("{}: {}", given.code, given.advice)
            };
            self.put(&indent, &said, Style::Dim);
        }
        let widest = cause
            .next
            .iter()
            .map(|next| text::width(&next.command))
            .max()
            .unwrap_or(0);
        for (index, next) in cause.next.iter().enumerate() {
            let arrow = match (index, self.view.unicode) {
                (0, true) => "→ ",
                (0, false) => "> ",
                _ => "  ",
            };
            self.next(
                &format!("{indent}{arrow}"),
                widest,
                &next.command,
                &next.why,
            );
        }
    }

    /// A command is never broken, so that it can be copied; what it does stands beside it, or
    /// beneath where there is no room.
    fn next(&mut self, before: &str, widest: usize, command: &str, why: &str) {
        let color = self.view.color;
        let padding = " ".repeat(widest.saturating_sub(text::width(command)) + 2);
        let used = text::width(before) + text::width(command) + text::width(&padding);
        let fits = self
            .view
            .width
            .is_none_or(|width| used + text::width(why) <= width);
        self.output.push_str(before);
        self.output.push_str(&Style::Bold.apply(command, color));
        if fits {
            self.output.push_str(&padding);
            self.output.push_str(&Style::Dim.apply(why, color));
            self.output.push('\n');
        } else {
            self.output.push('\n');
            let indent = " ".repeat(text::width(before) + 2);
            self.put(&indent, why, Style::Dim);
        }
    }

    /// A text, wrapped beneath itself.
    fn put(&mut self, before: &str, line: &str, style: Style) {
        let line = text::one_line(line);
        let room = self.view.width.map_or(usize::MAX, |width| {
            width.saturating_sub(text::width(before)).max(20)
        });
        let pieces = if room == usize::MAX {
            vec![line]
        } else {
            text::wrap(&line, room)
        };
        for (index, piece) in pieces.iter().enumerate() {
            if index == 0 {
                self.output.push_str(before);
            } else {
                self.output.push_str(&" ".repeat(text::width(before)));
            }
            self.output.push_str(&style.apply(piece, self.view.color));
            self.output.push('\n');
        }
    }
}
