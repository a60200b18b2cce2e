//! Secret values in text: those that are known, those in URLs and headers, and private keys.

use base64::Engine;
use base64::engine::general_purpose;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{PLACEHOLDER, names};

/// Shortest secret that is looked for in text; shorter ones would hide half of every message.
const SHORTEST_SECRET: usize = 3;

/// Everything a URL's user part must not hold as it is (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `text` without the given secrets (plain, base64 or percent-encoded), without the user and
/// password of URLs, without tokens in their query, without `Authorization` credentials, and without
/// private keys in PEM.
pub fn mask_text<S: AsRef<str>>(text: &str, secrets: &[S]) -> String {
    let mut forms: Vec<String> = secrets
        .iter()
        .flat_map(|secret| spellings(secret.as_ref()))
        .filter(|form| form.len() >= SHORTEST_SECRET)
        .collect();
    // A secret may contain another one: the longer has to go first.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let mut masked = text.to_owned();
    for form in forms {
        if masked.contains(&form) {
            masked = masked.replace(&form, PLACEHOLDER);
        }
    }
    mask_authorization(&mask_urls(&mask_private_keys(&masked)))
}

fn spellings(secret: &str) -> Vec<String> {
    let trimmed = secret.trim();
    let mut forms = vec![secret.to_owned(), trimmed.to_owned()];
    // Keys and certificates are quoted line by line in messages of other programs.
    forms.extend(
        trimmed
            .lines()
            .map(str::trim)
            .filter(|line| line.len() >= 16)
            .map(Into::into),
    );
    if trimmed.len() >= SHORTEST_SECRET {
        forms.push(general_purpose::STANDARD.encode(secret));
        forms.push(general_purpose::STANDARD.encode(trimmed));
        forms.push(url::form_urlencoded::byte_serialize(trimmed.as_bytes()).collect());
        forms.push(utf8_percent_encode(trimmed, RESERVED).to_string());
    }
    forms
}

fn mask_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>'))
            .unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let authority_end = url.find(['/', '?', '#']).unwrap_or(url.len());
        let (authority, path) = url.split_at(authority_end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                // The name `git` of ssh URLs is no secret and helps to find the repository.
                let shown = if user == "git" { user } else { PLACEHOLDER };
                out.push_str(shown);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        out.push_str(&mask_query(path));
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn mask_query(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else {
        return path.to_owned();
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if names::of_query(name) => format!("{name}={PLACEHOLDER}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

/// Credentials after `Bearer` and `Basic` in quoted headers. Other words may follow `basic`, so
/// only what looks like a credential is hidden.
fn mask_authorization(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut credential = false;
    for word in text.split_inclusive([' ', '\n', '\t']) {
        let bare = word.trim_end_matches([' ', '\n', '\t']);
        let value = bare.trim_end_matches(['"', '\'', ',', ';', ')']);
        let looks_secret = value.len() >= 8
            && (value.contains(|c: char| c.is_ascii_digit() || c == '=')
                || value.chars().any(char::is_uppercase));
        if credential && looks_secret {
            out.push_str(PLACEHOLDER);
            out.push_str(&word[value.len()..]);
        } else {
            out.push_str(word);
        }
        let name = bare.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        credential = name.eq_ignore_ascii_case("bearer") || name.eq_ignore_ascii_case("basic");
    }
    out
}

/// What stands between `BEGIN … PRIVATE KEY` and its end (RFC 7468); one that is cut off is hidden to
/// the end of the text.
fn mask_private_keys(text: &str) -> String {
    const MARK: &str = "PRIVATE KEY-----";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at + MARK.len());
        out.push_str(before);
        rest = after;
        let begins = before
            .rfind("-----")
            .and_then(|end| before[..end].rfind("-----"))
            .is_some_and(|start| before[start..].starts_with("-----BEGIN "));
        if begins {
            let end = after.find("-----END").unwrap_or(after.len());
            out.push_str(PLACEHOLDER);
            rest = &after[end..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text() {
        let cases = [
            (
                "fatal: could not read https://bob:pa55@host/r.git now",
                "fatal: could not read https://***@host/r.git now",
            ),
            ("https://ghp_abc@host/x", "https://***@host/x"),
            ("https://a:p@ss@host/x", "https://***@host/x"),
            ("ssh://git@host/x: denied", "ssh://git@host/x: denied"),
            (
                "see https://host/x?ref=main&private_token=abc",
                "see https://host/x?ref=main&private_token=***",
            ),
            ("the password is hunter22!", "the password is ***!"),
            ("encoded aHVudGVyMjI= here", "encoded *** here"),
            (
                "got \"Authorization: Bearer eyJhbGciOi1\", retry",
                "got \"Authorization: Bearer ***\", retry",
            ),
            ("basic authentication failed", "basic authentication failed"),
            (
                "p%26q+w is masked, so is p%26q%20w",
                "*** is masked, so is ***",
            ),
            (
                "https://host/a, https://u:p@other/b",
                "https://host/a, https://***@other/b",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(mask_text(text, &["hunter22", "p&q w", ""]), expected);
        }
        assert_eq!(mask_text("abc abcdef", &["abc", "abcdef"]), "*** ***");
        for key in ["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            let pem = format!("a\n-----BEGIN {key}-----\nMIIabc\n-----END {key}-----\nb MIIabd");
            let masked = mask_text::<&str>(&pem, &[]);
            assert!(
                !masked.contains("MIIabc") && masked.ends_with("b MIIabd"),
                "{masked}"
            );
            let cut = mask_text::<&str>(&pem[..pem.len() - 40], &[]);
            assert!(!cut.contains("MIIabc"), "{cut}");
        }
        let public = "-----BEGIN PUBLIC KEY-----\nMIIabc";
        assert_eq!(mask_text::<&str>(public, &[]), public);
    }

    proptest! {
        #[test]
        fn no_secret_survives(secret in "[A-Za-z0-9!$&/+= ]{6,20}", before in "[a-z ]{0,9}", after in "[a-z ]{0,9}") {
            prop_assume!(!secret.trim().is_empty() && secret.trim().len() >= 3);
            prop_assume!(!PLACEHOLDER.contains(secret.trim()));
            let text = format!("{before}{secret}{after}");
            prop_assert!(!mask_text(&text, &[&secret]).contains(secret.trim()));
        }

        #[test]
        fn masking_text_never_panics(text in "\\PC{0,60}") {
            let once = mask_text::<&str>(&text, &[]);
            prop_assert_eq!(mask_text::<&str>(&once, &[]), once.clone());
        }
    }
}
