//! Lines of the screen of one application: cut or wrapped to the terminal's width.

use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use gitops_kit::text;

/// Columns of the names of fields.
const LABEL: usize = 11;

/// A screen that grows line by line.
pub(super) struct Page {
    pub(super) output: String,
    pub(super) view: View,
}

impl Page {
    /// A line of pieces, cut to the width.
    pub(super) fn line(&mut self, pieces: &[(&str, Style)]) {
        let mut left = self.view.width.unwrap_or(usize::MAX);
        for (piece, style) in pieces {
            let piece = if left == usize::MAX {
                (*piece).to_owned()
            } else {
                text::cut(piece, left, self.view.unicode)
            };
            left = if left == usize::MAX {
                left
            } else {
                left - text::width(&piece)
            };
            self.output.push_str(&style.apply(&piece, self.view.color));
        }
        self.output
            .truncate(self.output.trim_end_matches(' ').len());
        self.output.push('\n');
    }

    /// `  name       value`, the value wrapped beneath itself.
    pub(super) fn field(&mut self, name: &str, value: &str, style: Style) {
        let value = text::one_line(value);
        let columns = self
            .view
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(LABEL + 2).max(20));
        let lines = if columns == usize::MAX {
            vec![value]
        } else {
            text::wrap(&value, columns)
        };
        for (index, line) in lines.iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            self.line(&[(&format!("  {name:<LABEL$}"), Style::Dim), (line, style)]);
        }
    }

    /// A text beneath an object, in the tree.
    pub(super) fn beneath(&mut self, stem: &str, note: &str) {
        let columns = self.view.width.map_or(usize::MAX, |width| {
            width.saturating_sub(text::width(stem)).max(10)
        });
        for line in text::wrap(note, columns) {
            self.line(&[(stem, Style::Dim), (&line, Style::Plain)]);
        }
    }
}
