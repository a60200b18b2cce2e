//! Tables: columns as wide as their content, narrowed sensibly when the terminal is narrow.

use crate::paint::Style;
use crate::terminal::View;
use crate::text;

const GAP: usize = 2;
/// Narrowest a column is made before others are left out.
const NARROW: usize = 12;
/// The same for the last column, which is a text: less of it says nothing.
const NARROW_TEXT: usize = 40;

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Heading.
    pub heading: &'static str,
    /// On a narrow terminal: left out first (1), then (2), …; 0 is never left out.
    pub leave_out: u8,
    /// May be narrowed.
    pub shrinks: bool,
}

/// One cell.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its text, one line.
    pub text: String,
    /// Its meaning.
    pub style: Style,
}

impl Cell {
    /// A cell with a meaning.
    pub fn new(text: impl Into<String>, style: impl Into<Style>) -> Self {
        Self {
            text: text.into(),
            style: style.into(),
        }
    }

    /// An ordinary cell.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Style::Plain)
    }
}

/// Draws a table, every line ended by a newline. The last column is narrowed first.
pub fn draw(columns: &[Column], rows: &[Vec<Cell>], headings: bool, view: &View) -> String {
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            let widest = cells.map(|cell| text::width(&cell.text)).max().unwrap_or(0);
            if headings {
                widest.max(column.heading.len())
            } else {
                widest
            }
        })
        .collect();
    let widths = fit(columns, &natural, view.width);

    let mut output = String::new();
    if headings {
        let cells: Vec<Cell> = columns
            .iter()
            .map(|column| Cell::new(column.heading, Style::Bold))
            .collect();
        line(&mut output, &cells, &widths, view);
    }
    for row in rows {
        line(&mut output, row, &widths, view);
    }
    output
}

/// Width of each column; `None` leaves it out.
fn fit(columns: &[Column], natural: &[usize], available: Option<usize>) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let Some(available) = available else {
        return widths;
    };
    let total = |widths: &[Option<usize>]| {
        let shown: Vec<usize> = widths.iter().flatten().copied().collect();
        shown.iter().sum::<usize>() + GAP * shown.len().saturating_sub(1)
    };
    let shrink = |widths: &mut Vec<Option<usize>>, floor: usize| {
        for index in (0..columns.len()).rev() {
            let excess = total(widths).saturating_sub(available);
            if let Some(width) = widths[index].as_mut()
                && columns[index].shrinks
            {
                let is_text = floor > NARROW && index + 1 == columns.len();
                let floor = if is_text { NARROW_TEXT } else { floor };
                if *width > floor {
                    *width = width.saturating_sub(excess).max(floor);
                }
            }
        }
    };
    shrink(&mut widths, 2 * NARROW);
    for order in 1..=columns
        .iter()
        .map(|column| column.leave_out)
        .max()
        .unwrap_or(0)
    {
        if total(&widths) <= available {
            return widths;
        }
        for (column, width) in columns.iter().zip(&mut widths) {
            if column.leave_out == order {
                *width = None;
            }
        }
        // What was narrowed may use the room.
        for (index, width) in widths.iter_mut().enumerate() {
            *width = width.map(|_| natural[index]);
        }
        shrink(&mut widths, 2 * NARROW);
    }
    shrink(&mut widths, NARROW);
    shrink(&mut widths, 1);
    widths
}

fn line(output: &mut String, cells: &[Cell], widths: &[Option<usize>], view: &View) {
    let shown: Vec<(&Cell, usize)> = cells
        .iter()
        .zip(widths)
        .filter_map(|(cell, width)| Some((cell, (*width)?)))
        .collect();
    let last_text = shown
        .iter()
        .rposition(|(cell, _)| !cell.text.is_empty())
        .unwrap_or(0);
    let mut left = view.width.unwrap_or(usize::MAX);
    for (index, (cell, width)) in shown.iter().take(last_text + 1).enumerate() {
        let text = text::cut(&cell.text, (*width).min(left), view.unicode);
        let used = text::width(&text);
        output.push_str(&cell.style.apply(&text, view.color));
        left = left.saturating_sub(width + GAP);
        if index < last_text && left > 0 {
            output.extend(std::iter::repeat_n(' ', width.saturating_sub(used) + GAP));
        }
    }
    output.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column {
                heading: "NAME",
                leave_out: 0,
                shrinks: true,
            },
            Column {
                heading: "SYNC",
                leave_out: 0,
                shrinks: false,
            },
            Column {
                heading: "AGE",
                leave_out: 1,
                shrinks: false,
            },
            Column {
                heading: "WHY",
                leave_out: 0,
                shrinks: true,
            },
        ]
    }

    fn draw_at(width: Option<usize>) -> String {
        let rows = vec![
            [
                "payments-production",
                "OutOfSync",
                "12m",
                "the image of the container cannot be pulled",
            ],
            ["web", "Synced", "", ""],
        ];
        let rows: Vec<Vec<Cell>> = rows
            .into_iter()
            .map(|row| row.into_iter().map(Cell::plain).collect())
            .collect();
        let view = View {
            width,
            color: false,
            unicode: false,
            interactive: false,
        };
        draw(&columns(), &rows, true, &view)
    }

    #[test]
    fn without_a_width_nothing_is_cut() {
        insta::assert_snapshot!("table_without_width", draw_at(None));
    }

    #[test]
    fn narrow_tables_lose_what_matters_least() {
        insta::assert_snapshot!("table_70", draw_at(Some(70)));
        insta::assert_snapshot!("table_50", draw_at(Some(50)));
        insta::assert_snapshot!("table_30", draw_at(Some(30)));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 14..120 {
            for line in draw_at(Some(width)).lines() {
                assert!(text::width(line) <= width, "{width}: {line}");
            }
        }
    }
}
