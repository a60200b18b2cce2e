//! Small pieces of text: ages, shortened values, one-line messages.

use jiff::Timestamp;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns a text takes on a terminal.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Time since `then` in its largest unit: `42s`, `12m`, `5h`, `13d`, `2y`. A time in the future
/// (clocks differ) is `0s`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    duration(now.as_second().saturating_sub(then.as_second()))
}

/// Seconds in their largest unit.
pub fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        172_800..63_072_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// Whether a terminal would obey a character instead of showing it: control characters, and those
/// that change the direction of writing, with which a text shows as another than it is.
pub fn is_command(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A message on one line: blanks joined, and nothing a terminal would obey.
pub fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_whitespace() || is_command(character) {
            if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
            }
        } else {
            line.push(character);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// The first of some names, and how many there are besides: `a, b and 3 more`.
pub fn first_few<T: AsRef<str>>(names: &[T], shown: usize) -> String {
    let first: Vec<&str> = names.iter().take(shown).map(AsRef::as_ref).collect();
    let first = first.join(", ");
    match names.len().saturating_sub(shown) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A text of several lines without what a terminal would obey.
pub fn visible(text: &str) -> String {
    text.chars()
        .filter(|c| !is_command(*c) || matches!(c, '\n' | '\t'))
        .collect()
}

/// The sign for something left out.
pub const fn ellipsis(unicode: bool) -> &'static str {
    if unicode { "…" } else { ".." }
}

/// Cuts a text to a number of columns.
pub fn cut(text: &str, columns: usize, unicode: bool) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let sign = ellipsis(unicode);
    if columns <= width(sign) {
        return take(text.chars(), columns);
    }
    let mut cut = take(text.chars(), columns - width(sign));
    cut.truncate(cut.trim_end().len());
    cut + sign
}

/// Cuts a text in its middle: the ends of paths and images are what tells them apart.
pub fn cut_middle(text: &str, columns: usize, unicode: bool) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let sign = ellipsis(unicode);
    let Some(rest) = columns.checked_sub(width(sign)).filter(|rest| *rest > 1) else {
        return cut(text, columns, unicode);
    };
    let head = take(text.chars(), rest / 2);
    let tail: String = take(text.chars().rev(), rest - rest / 2)
        .chars()
        .rev()
        .collect();
    format!("{head}{sign}{tail}")
}

fn take(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    characters
        .take_while(|character| {
            used += character.width().unwrap_or(0);
            used <= columns
        })
        .collect()
}

/// Breaks a text into lines of at most so many columns, at blanks where there are any.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        let mut word = word;
        while width(word) > columns {
            let head = take(word.chars(), columns);
            if head.is_empty() {
                break;
            }
            word = &word[head.len()..];
            lines.push(head);
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A revision users recognize: seven characters of a commit, a version or tag as it is.
pub fn short_revision(revision: &str) -> &str {
    let is_commit = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit { &revision[..7] } else { revision }
}

/// A JSON text as users write it: strings without quotes where that is clear.
pub fn plain_json(json: &str) -> String {
    match serde_json::from_str::<String>(json) {
        Ok(text) if !text.is_empty() && !text.contains(char::is_whitespace) => one_line(&text),
        _ => one_line(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_use_their_largest_unit() {
        let table = [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (63_072_000, "2y"),
        ];
        for (seconds, expected) in table {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn messages_cannot_move_the_cursor() {
        assert_eq!(one_line("a\n\tb \u{1b}[2Jc\r\n"), "a b [2Jc");
        assert_eq!(one_line("\u{202e}abc"), "abc");
        assert_eq!(visible("a\u{1b}[2J\tb\r\n"), "a[2J\tb\n");
    }

    #[test]
    fn cutting_keeps_to_the_columns() {
        for columns in 0..12 {
            for unicode in [true, false] {
                assert!(width(&cut("deployment", columns, unicode)) <= columns);
                assert!(width(&cut_middle("宽字符registry/web:1.9", columns, unicode)) <= columns);
            }
        }
        assert_eq!(cut("deployment", 7, true), "deploy…");
        assert_eq!(cut("deployment", 7, false), "deplo..");
        assert_eq!(
            cut_middle("registry.example/web:1.9.2", 12, true),
            "regis….1.9.2".replace(".1", ":1")
        );
    }

    #[test]
    fn wrapping_breaks_long_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert!(wrap("", 5).is_empty());
    }

    #[test]
    fn values_read_as_people_write_them() {
        assert_eq!(plain_json("\"web:1.9\""), "web:1.9");
        assert_eq!(plain_json("\"\""), "\"\"");
        assert_eq!(plain_json("3"), "3");
        assert_eq!(plain_json("{\"a\": 1}"), "{\"a\": 1}");
    }

    #[test]
    fn only_commits_are_shortened() {
        assert_eq!(
            short_revision("91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687"),
            "91be07a"
        );
        assert_eq!(short_revision("v1.2.3-rc.1"), "v1.2.3-rc.1");
    }
}
