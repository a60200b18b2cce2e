//! Takes credentials out of what git says, before anybody sees it.

use gitops_kit::text;

/// The text without user information in URLs and without authorization headers.
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"' | '<' | '>'))
            .unwrap_or(after.len());
        let (authority, further) = after.split_at(end);
        clean.push_str(match authority.rsplit_once('@') {
            Some((_, host)) => host,
            None => authority,
        });
        rest = further;
    }
    clean.push_str(rest);
    clean
        .lines()
        .map(
            |line| match line.to_ascii_lowercase().find("authorization:") {
                Some(at) => format!("{}: ***", &line[..at + "authorization".len()]),
                None => line.to_owned(),
            },
        )
        .collect::<Vec<_>>()
        .join("\n")
}

/// What git said, in one line for a message: its errors if it named any, otherwise its last lines.
pub(super) fn reason(stderr: &str) -> String {
    let clean = redact(stderr);
    let lines: Vec<&str> = clean
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        .collect();
    let named: Vec<&str> = lines
        .iter()
        .filter_map(|line| {
            ["fatal: ", "error: ", "remote: ", "ssh: "]
                .iter()
                .find_map(|kind| line.strip_prefix(kind))
                .or_else(|| line.contains("Permission denied").then_some(*line))
        })
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let told = if named.is_empty() {
        &lines[lines.len().saturating_sub(3)..]
    } else {
        &named[..named.len().min(6)]
    };
    text::one_line(&told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out() {
        let table = [
            (
                "fatal: unable to access 'https://ana:s3cret@host/x.git/': 403",
                "fatal: unable to access 'https://host/x.git/': 403",
            ),
            ("https://token@host", "https://host"),
            ("https://a:p@ss@host/x", "https://host/x"),
            (
                "ssh://git@host:22/x and nothing",
                "ssh://host:22/x and nothing",
            ),
            ("Authorization: Basic YTpi", "Authorization: ***"),
            (
                "> proxy-authorization: x\nok",
                "> proxy-authorization: ***\nok",
            ),
            ("git@host:org/x.git", "git@host:org/x.git"),
        ];
        for (text, expected) in table {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn the_reason_is_what_git_called_an_error() {
        let said = "Cloning\nremote: protected\nremote: \nerror: failed\nhint: fetch first\n";
        assert_eq!(reason(said), "protected; failed");
        assert_eq!(reason("a\nb\nc\nd\n"), "b; c; d");
        assert_eq!(reason("fatal: \u{1b}[31mred"), "[31mred");
        assert_eq!(reason(""), "");
    }
}
