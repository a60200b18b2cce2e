//! What of a URL or of a server's text may be shown: no user information, no query (signed URLs
//! keep tokens there), nothing a terminal would obey.

use percent_encoding::percent_decode_str;
use url::Url;

/// `scheme://user:password@host` as `scheme://***@host`. An ssh URL keeps a bare user name, which
/// is no secret and helps to find a mistake.
pub fn without_user_information(url: &str) -> String {
    let Some(start) = url.find("://").map(|position| position + 3) else {
        return url.to_owned();
    };
    let end = url[start..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |length| start + length);
    let Some(at) = url[start..end].rfind('@').map(|position| start + position) else {
        return url.to_owned();
    };
    if url.contains("ssh://") && !url[start..at].contains(':') {
        return url.to_owned();
    }
    format!("{}***{}", &url[..start], &url[at..])
}

/// User name and password inside a URL, decoded; the password may be empty.
pub fn user_information(url: &Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    Some((
        percent_decode(url.username()),
        percent_decode(url.password().unwrap_or_default()),
    ))
}

/// A URL without user information, query and fragment.
pub fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// Host, and port where it is not the scheme's own.
pub fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Replaces `%XX` by the byte it stands for; anything malformed stays as it is.
pub fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A text on one line of at most `max` characters: blanks joined, no control characters and none
/// that change the direction of writing.
pub fn one_line(text: &str, max: usize) -> String {
    let printable: String = text
        .chars()
        .map(|character| {
            if is_command(character) {
                ' '
            } else {
                character
            }
        })
        .collect();
    let line = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn is_command(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_taken_out_of_urls() {
        let cases = [
            ("https://example.com/a", "https://example.com/a"),
            ("https://u:p@example.com/a", "https://***@example.com/a"),
            (
                "https://u:p@ss@example.com/a@b",
                "https://***@example.com/a@b",
            ),
            ("https://token@example.com", "https://***@example.com"),
            ("ssh://git@example.com/a", "ssh://git@example.com/a"),
            ("ssh://git:pw@example.com/a", "ssh://***@example.com/a"),
            ("git@example.com:a/b", "git@example.com:a/b"),
            ("https://example.com?x=a@b", "https://example.com?x=a@b"),
        ];
        for (url, expected) in cases {
            assert_eq!(without_user_information(url), expected);
        }
    }

    #[test]
    fn parts_of_urls() {
        let url = Url::parse("https://me:p%40ss+w%26rd@example.com:8443/a?token=s#x").unwrap();
        assert_eq!(
            user_information(&url),
            Some(("me".into(), "p@ss+w&rd".into()))
        );
        assert_eq!(without_query(&url), "https://example.com:8443/a");
        assert_eq!(host_and_port(&url), "example.com:8443");
        let url = Url::parse("https://example.com:443").unwrap();
        assert_eq!(user_information(&url), None);
        assert_eq!(host_and_port(&url), "example.com");
        assert_eq!(percent_decode("a%20b%2"), "a b%2");
    }

    #[test]
    fn texts_cannot_move_the_cursor() {
        assert_eq!(one_line("a\n\tb \u{1b}[2Jc\r\n", 80), "a b [2Jc");
        assert_eq!(one_line("\u{202e}abc", 80), "abc");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }
}
