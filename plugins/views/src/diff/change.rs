//! A change as lines: what is live goes, what Git says comes, and which parts of a line differ.

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices, group_diff_ops};

use crate::diff::value::Shown;

/// Lines around a change that are shown.
const CONTEXT: usize = 3;
/// Parts of a line beyond which it is not looked into.
const MANY_PARTS: usize = 400;
/// Two lines that have less than this in common are simply different.
const ALIKE: f32 = 0.3;
/// What stands for a value that may not be shown.
const HIDDEN: &str = "***";

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Live, and gone after a sync.
    Live,
    /// In Git, and there after a sync.
    Git,
    /// The same on both sides.
    Both,
    /// Stands for equal lines left out.
    Gap,
}

/// Part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its text.
    pub text: String,
    /// It is what differs.
    pub differs: bool,
}

/// One line of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub side: Side,
    /// Its parts, in order.
    pub pieces: Vec<Piece>,
}

impl Line {
    /// A line without parts.
    pub fn whole(side: Side, text: impl Into<String>) -> Self {
        Self {
            side,
            pieces: vec![Piece {
                text: text.into(),
                differs: false,
            }],
        }
    }
}

/// The lines of a change of one field; values are JSON texts, `None` is a field that is not there.
/// What was hidden on both sides is told apart, as `kubectl diff` does.
pub fn lines(live: Option<&str>, git: Option<&str>) -> Vec<Line> {
    match (live, git) {
        (None, None) => Vec::new(),
        (Some(live), None) => of_one_side(Side::Live, live),
        (None, Some(git)) => of_one_side(Side::Git, git),
        (Some(HIDDEN), Some(HIDDEN)) => vec![
            Line::whole(Side::Live, format!("{HIDDEN} (before)")),
            Line::whole(Side::Git, format!("{HIDDEN} (after)")),
        ],
        (Some(live), Some(git)) => match (Shown::of(live), Shown::of(git)) {
            (Shown::Line(live), Shown::Line(git)) => pair(&live, &git),
            (live, git) => texts(&live.into_lines(), &git.into_lines()),
        },
    }
}

fn of_one_side(side: Side, json: &str) -> Vec<Line> {
    Shown::of(json)
        .into_lines()
        .into_iter()
        .map(|line| Line::whole(side, line))
        .collect()
}

/// Two texts, line by line, with a few equal lines around each change.
fn texts(live: &[String], git: &[String]) -> Vec<Line> {
    let operations = capture_diff_slices(Algorithm::Myers, live, git);
    let groups = group_diff_ops(operations, CONTEXT);
    let mut lines = Vec::new();
    let mut reached = 0;
    for group in groups {
        let start = group.first().map_or(0, |first| first.old_range().start);
        gap(&live[reached..start], &mut lines);
        for operation in &group {
            reached = operation.old_range().end;
            step(operation, live, git, &mut lines);
        }
    }
    gap(&live[reached..], &mut lines);
    lines
}

/// Equal lines left out; a single one takes no more room than the words that stand for it.
fn gap(left_out: &[String], lines: &mut Vec<Line>) {
    match left_out {
        [] => {}
        [line] => lines.push(Line::whole(Side::Both, line.as_str())),
        many => lines.push(Line::whole(
            Side::Gap,
            format!("{} equal lines", many.len()),
        )),
    }
}

fn step(operation: &DiffOp, live: &[String], git: &[String], lines: &mut Vec<Line>) {
    let old = &live[operation.old_range()];
    let new = &git[operation.new_range()];
    let whole = |side: Side| move |line: &String| Line::whole(side, line.as_str());
    match operation.tag() {
        DiffTag::Equal => lines.extend(old.iter().map(whole(Side::Both))),
        DiffTag::Delete => lines.extend(old.iter().map(whole(Side::Live))),
        DiffTag::Insert => lines.extend(new.iter().map(whole(Side::Git))),
        DiffTag::Replace if old.len() == new.len() => {
            let (before, after): (Vec<Line>, Vec<Line>) = old
                .iter()
                .zip(new)
                .filter_map(|(old, new)| <[Line; 2]>::try_from(pair(old, new)).ok())
                .map(|[before, after]| (before, after))
                .unzip();
            lines.extend(before);
            lines.extend(after);
        }
        DiffTag::Replace => {
            lines.extend(old.iter().map(whole(Side::Live)));
            lines.extend(new.iter().map(whole(Side::Git)));
        }
    }
}

/// Two lines, with what differs in them.
fn pair(live: &str, git: &str) -> Vec<Line> {
    let (old, new) = (parts(live), parts(git));
    let plain = || vec![Line::whole(Side::Live, live), Line::whole(Side::Git, git)];
    if old.len() > MANY_PARTS || new.len() > MANY_PARTS {
        return plain();
    }
    let operations = capture_diff_slices(Algorithm::Myers, &old, &new);
    let equal: usize = operations
        .iter()
        .filter(|operation| operation.tag() == DiffTag::Equal)
        .flat_map(|operation| &old[operation.old_range()])
        .map(|part| part.len())
        .sum();
    if (equal as f32) < ALIKE * live.len().max(git.len()) as f32 {
        return plain();
    }
    let pieces = |parts: &[&str], old_side: bool| {
        let mut pieces: Vec<Piece> = Vec::new();
        for operation in &operations {
            let range = if old_side {
                operation.old_range()
            } else {
                operation.new_range()
            };
            let text = parts[range].concat();
            if !text.is_empty() {
                let differs = operation.tag() != DiffTag::Equal;
                match pieces.last_mut() {
                    Some(last) if last.differs == differs => last.text.push_str(&text),
                    _ => pieces.push(Piece { text, differs }),
                }
            }
        }
        pieces
    };
    vec![
        Line {
            side: Side::Live,
            pieces: pieces(&old, true),
        },
        Line {
            side: Side::Git,
            pieces: pieces(&new, false),
        },
    ]
}

/// Words, numbers, and each other character by itself.
fn parts(line: &str) -> Vec<&str> {
    let class = |c: char| match c {
        c if c.is_ascii_digit() => 0,
        c if c.is_alphanumeric() || c == '_' => 1,
        c if c.is_whitespace() => 2,
        _ => 3,
    };
    let mut parts = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (at, character) in line.char_indices() {
        let now = class(character);
        if before.is_some_and(|before| before != now || now == 3) {
            parts.push(&line[start..at]);
            start = at;
        }
        before = Some(now);
    }
    if start < line.len() {
        parts.push(&line[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `-a[b]c` for a live line whose `b` differs.
    fn marked(lines: &[Line]) -> Vec<String> {
        lines
            .iter()
            .map(|line| {
                let sign = match line.side {
                    Side::Live => "-",
                    Side::Git => "+",
                    Side::Both => " ",
                    Side::Gap => "~",
                };
                let pieces = line.pieces.iter().map(|piece| {
                    if piece.differs {
                        format!("[{}]", piece.text)
                    } else {
                        piece.text.clone()
                    }
                });
                sign.to_owned() + &pieces.collect::<String>()
            })
            .collect()
    }

    #[test]
    fn what_differs_in_a_line_is_marked() {
        let of = |live: &str, git: &str| marked(&lines(Some(live), Some(git)));
        assert_eq!(
            of(
                "\"registry.example/acme/web:1.9.1-hotfix\"",
                "\"registry.example/acme/web:1.9.2\""
            ),
            [
                "-registry.example/acme/web:1.9.[1-hotfix]",
                "+registry.example/acme/web:1.9.[2]"
            ]
        );
        assert_eq!(of("5", "3"), ["-5", "+3"]);
        assert_eq!(of("\"5\"", "5"), ["-[\"]5[\"]", "+5"]);
    }

    #[test]
    fn fields_of_one_side_are_lines_of_that_side() {
        assert_eq!(marked(&lines(Some("5"), None)), ["-5"]);
        assert_eq!(marked(&lines(None, Some(r#""a\nb\n""#))), ["+a", "+b"]);
        assert!(lines(None, None).is_empty());
    }

    #[test]
    fn hidden_values_are_told_apart() {
        let both = marked(&lines(Some("***"), Some("***")));
        assert_eq!(both, ["-*** (before)", "+*** (after)"]);
        assert_eq!(marked(&lines(None, Some("***"))), ["+***"]);
    }

    #[test]
    fn texts_are_compared_line_by_line() {
        let text = |middle: &str| {
            let line = |from: u32| (from..from + 6).map(|n| format!("line {n}\n"));
            let all: String = line(0).chain([middle.to_owned()]).chain(line(7)).collect();
            serde_json::Value::from(all).to_string()
        };
        let (live, git) = (text("port = 80\n"), text("port = 8080\n"));
        assert_eq!(
            marked(&lines(Some(&live), Some(&git))),
            [
                "~3 equal lines",
                " line 3",
                " line 4",
                " line 5",
                "-port = [80]",
                "+port = [8080]",
                " line 7",
                " line 8",
                " line 9",
                "~3 equal lines"
            ]
        );
    }

    proptest! {
        /// Whatever is marked, each side can be read off its lines.
        #[test]
        fn no_line_is_lost(live in "[ab\\n1.]{0,12}", git in "[ab\\n1.]{0,12}") {
            let json = |text: &str| serde_json::Value::from(text).to_string();
            let shown = |text: &str| Shown::of(&json(text)).into_lines();
            prop_assume!(live != git);
            let lines = lines(Some(&json(&live)), Some(&json(&git)));
            let read = |side: Side| -> Vec<String> {
                lines
                    .iter()
                    .filter(|line| line.side == side || line.side == Side::Both)
                    .map(|line| line.pieces.iter().map(|piece| piece.text.as_str()).collect())
                    .collect()
            };
            let is_short = lines.iter().all(|line| line.side != Side::Gap);
            if is_short {
                prop_assert_eq!(read(Side::Live), shown(&live));
                prop_assert_eq!(read(Side::Git), shown(&git));
            }
        }
    }
}
