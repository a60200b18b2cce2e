//! What programs print about themselves: settings with a telling name, besides all that text hides.
//!
//! A hook's log is the only text that comes from programs nobody here knows. A word too many is
//! hidden rather than a password shown.

use super::{PLACEHOLDER, mask_text, names};

/// `text` as [`mask_text`] shows it, and without the values of `password=…`, `"token": "…"`,
/// `--secret …` and the like.
pub fn mask_output<S: AsRef<str>>(text: &str, secrets: &[S]) -> String {
    let text = mask_text(text, secrets);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_of_name) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let end = from.find(|c| !is_of_name(c)).unwrap_or(from.len());
        let (name, after) = from.split_at(end);
        out.push_str(name);
        rest = match value_of(name, after) {
            Some((given, tail)) => {
                out.push_str(given);
                out.push_str(PLACEHOLDER);
                tail
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-')
}

/// What stands between a telling name and its value, and what comes after the value.
fn value_of<'a>(name: &str, after: &'a str) -> Option<(&'a str, &'a str)> {
    if !names::is_telling(name) {
        return None;
    }
    let spaces = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
    let mut at = after.len() - after.trim_start_matches(['"', '\'', '\\']).len();
    at += spaces(&after[at..]);
    if after[at..].starts_with(['=', ':']) {
        at += 1;
    } else if !(name.starts_with("--") && after.starts_with(' ')) {
        return None;
    }
    at += spaces(&after[at..]);
    let slashes = after[at..].len() - after[at..].trim_start_matches('\\').len();
    let quote = after[at + slashes..].chars().next();
    if let Some(quote @ ('"' | '\'')) = quote {
        at += slashes + 1;
        let value = &after[at..];
        // One that is not closed goes on to the end of the line.
        let end = closing(value, quote).unwrap_or_else(|| value.find('\n').unwrap_or(value.len()));
        return (end > 0).then(|| (&after[..at], &value[end..]));
    }
    let value = &after[at..];
    // A password may hold any sign: only what closes something around it is left.
    let word = value.find(char::is_whitespace).unwrap_or(value.len());
    let closes = |c: char| matches!(c, ',' | ';' | '&' | ')' | '}' | ']' | '|');
    let end = match value[..word].trim_end_matches(closes).len() {
        0 => word,
        end => end,
    };
    (end > 0 && !value.starts_with(PLACEHOLDER)).then(|| (&after[..at], &value[end..]))
}

/// A text that is written and not printed: a file in a ConfigMap, an argument. A setting that
/// begins its line has the whole line.
pub(super) fn mask_written(text: &str) -> String {
    let line = |line: &str| {
        let rest =
            line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '-'));
        let rest = rest.strip_prefix("export ").unwrap_or(rest);
        let end = rest
            .find(|c| !(is_of_name(c) || c == '.'))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let value = after
            .trim_start_matches(['"', '\'', ' ', '\t'])
            .strip_prefix(['=', ':'])
            .map(|value| value.trim_end_matches(['\r', '\n']));
        match value {
            Some(value) if names::of_field(name) && !value.trim().is_empty() => {
                let start = value.as_ptr() as usize - line.as_ptr() as usize;
                let space = value.len() - value.trim_start().len();
                let (start, end) = (start + space, start + value.len());
                format!("{}{PLACEHOLDER}{}", &line[..start], &line[end..])
            }
            _ => mask_output::<&str>(line, &[]),
        }
    };
    // Keys and certificates have many lines.
    let text = mask_text::<&str>(text, &[]);
    text.split_inclusive('\n').map(line).collect()
}

/// Whether an argument is a flag whose value is the next one: `--password`.
pub(super) fn is_telling_flag(argument: &str) -> bool {
    argument.starts_with('-') && !argument.contains(['=', ' ']) && names::of_field(argument)
}

/// Where a quoted value ends; an escaped quote inside it does not end it.
fn closing(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in value.char_indices() {
        match letter {
            '\n' => return None,
            '\\' => escaped = !escaped,
            letter if letter == quote && !escaped => return Some(at),
            _ => escaped = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn telling_names_hide_their_values() {
        let cases = [
            ("password=hunter2 user=bob", "password=*** user=bob"),
            ("DB_PASSWORD: hunter2, then", "DB_PASSWORD: ***, then"),
            (r#"{"token": "a b", "n": 1}"#, r#"{"token": "***", "n": 1}"#),
            (r#"{"secret":"a\"b","n":1}"#, r#"{"secret":"***","n":1}"#),
            ("psql --password hunter2 -h db", "psql --password *** -h db"),
            ("apiKey='x;y' left", "apiKey='***' left"),
            ("clientSecret = x", "clientSecret = ***"),
            ("pwd=\"not closed\nnext", "pwd=\"***\nnext"),
            (
                "postgres://bob:hunter2@db/x failed",
                "postgres://***@db/x failed",
            ),
            ("the known one is s3cr3t!", "the known one is ***!"),
            // Words about passwords are no passwords.
            (
                "password authentication failed for user bob",
                "password authentication failed for user bob",
            ),
            ("password=&a;b,c=d next", "password=*** next"),
            ("(token=a)", "(token=***)"),
            ("no token", "no token"),
            ("token:", "token:"),
            ("keyboard: us", "keyboard: us"),
        ];
        for (text, expected) in cases {
            assert_eq!(mask_output(text, &["s3cr3t"]), expected);
        }
    }

    #[test]
    fn a_setting_that_is_written_has_its_line() {
        let cases = [
            (
                "a=b\ndb.password=two words\n[c]",
                "a=b\ndb.password=***\n[c]",
            ),
            ("export DB_PASS='x y'\r\n", "export DB_PASS=***\r\n"),
            ("- token: x y", "- token: ***"),
            ("--password=two words", "--password=***"),
            ("run --password x --verbose", "run --password *** --verbose"),
            ("password:\n  a: b", "password:\n  a: b"),
            ("a: b", "a: b"),
        ];
        for (text, expected) in cases {
            assert_eq!(mask_written(text), expected);
        }
        assert!(is_telling_flag("--password") && is_telling_flag("-token"));
        assert!(!is_telling_flag("--password=x") && !is_telling_flag("password"));
    }

    proptest! {
        #[test]
        fn no_value_survives(value in "[A-Za-z0-9/+.!&;,|]{4,20}", name in "(db_|DB-|)(password|Token|api_key)", sign in "=|: |=\"|\": \"") {
            let text = format!("{name}{sign}{value}");
            prop_assert!(!mask_output::<&str>(&text, &[]).contains(&value));
        }

        #[test]
        fn masking_output_never_panics(text in "(\\PC|[\"'\\\\=: ]|token|--pwd){0,30}") {
            let once = mask_output::<&str>(&text, &[]);
            prop_assert!(once.len() <= text.len() * 4 + 16);
        }
    }
}
