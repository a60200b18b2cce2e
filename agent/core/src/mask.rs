//! The one place that hides secret values: in objects, in pairs that are compared, and in text.
//!
//! What cannot be understood is hidden whole. Whether something is shown at all, and to whom, is
//! decided elsewhere; nothing here keeps a value.

mod output;

use base64::Engine;
use base64::engine::general_purpose;
use gitops_api::constants;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

pub use output::mask_output;

/// What stands where a secret value was.
pub const PLACEHOLDER: &str = "***";
/// The old one of two different values, as `kubectl diff` writes it.
pub const BEFORE: &str = "*** (before)";
/// The new one of two different values, as `kubectl diff` writes it.
pub const AFTER: &str = "*** (after)";

/// Shortest secret that is looked for in text; shorter ones would hide half of every message.
const SHORTEST_SECRET: usize = 3;

/// Everything a URL's user part must not hold as it is (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Fields of a Secret that hold values.
const VALUE_FIELDS: [&str; 2] = ["data", "stringData"];

/// The object with every secret value replaced: those of a Secret (and of each item of a list),
/// also inside `kubectl.kubernetes.io/last-applied-configuration`. Other objects come back as they
/// are, except that a last-applied Secret is masked there too.
pub fn mask_object(object: &Value) -> Value {
    let mut masked = object.clone();
    mask_in_place(&mut masked, is_secret(object));
    masked
}

/// Both sides of a comparison, masked so that equal values look equal and different values look
/// different ([`BEFORE`], [`AFTER`]). `None` stands for an object that does not exist.
pub fn mask_pair(old: Option<&Value>, new: Option<&Value>) -> (Option<Value>, Option<Value>) {
    let mut masked = (old.map(mask_object), new.map(mask_object));
    let (Some(old), Some(new)) = (old, new) else {
        return masked;
    };
    if !(is_secret(old) || is_secret(new)) {
        return masked;
    }
    for field in VALUE_FIELDS {
        let (Some(before), Some(after)) = (values(old, field), values(new, field)) else {
            continue;
        };
        for (name, value) in before {
            if after.get(name).is_some_and(|other| other != value) {
                write(masked.0.as_mut(), field, name, BEFORE);
                write(masked.1.as_mut(), field, name, AFTER);
            }
        }
    }
    masked
}

fn values<'a>(object: &'a Value, field: &str) -> Option<&'a Map<String, Value>> {
    object.get(field)?.as_object()
}

fn write(object: Option<&mut Value>, field: &str, name: &str, text: &str) {
    if let Some(slot) = object
        .and_then(|o| o.get_mut(field))
        .and_then(|map| map.get_mut(name))
    {
        *slot = text.into();
    }
}

/// Whether an object is a Secret, of any group: a custom kind of that name holds values just as well.
pub(crate) fn is_secret(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("Secret")
}

fn mask_in_place(object: &mut Value, secret: bool) {
    if secret {
        for field in VALUE_FIELDS {
            match object.get_mut(field) {
                Some(Value::Object(map)) => {
                    map.values_mut()
                        .for_each(|value| *value = PLACEHOLDER.into());
                }
                Some(Value::Null) | None => {}
                // Not a map: an invalid Secret, whose values must not be shown either.
                Some(other) => *other = PLACEHOLDER.into(),
            }
        }
    }
    // Items of a SecretList may leave out their kind.
    let secret_items = object.get("kind").and_then(Value::as_str) == Some("SecretList");
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        for item in items {
            let secret = secret_items || is_secret(item);
            mask_in_place(item, secret);
        }
    }
    let annotation = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"))
        .and_then(|annotations| annotations.get_mut(constants::annotation::LAST_APPLIED));
    if let Some(annotation) = annotation {
        mask_last_applied(annotation, secret);
    }
}

fn mask_last_applied(annotation: &mut Value, secret: bool) {
    let parsed = annotation
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    match parsed {
        Some(mut inner @ Value::Object(_)) => {
            let secret = secret || is_secret(&inner);
            mask_in_place(&mut inner, secret);
            *annotation = inner.to_string().into();
        }
        _ if secret => *annotation = PLACEHOLDER.into(),
        _ => {}
    }
}

/// `text` without the given secrets (plain, base64 or percent-encoded), without the user and
/// password of URLs, without tokens in their query, and without `Authorization` credentials.
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
    mask_authorization(&mask_urls(&masked))
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
            Some((name, _)) if names_secret(name) => format!("{name}={PLACEHOLDER}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "token",
        "password",
        "passwd",
        "secret",
        "signature",
        "credential",
        "apikey",
        "api_key",
        "key",
    ]
    .iter()
    .any(|word| name.ends_with(word))
        || name == "sig"
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn objects() {
        let last_applied = |text: &str| {
            json!({"kind": "Secret", "data": {"a": "s3cr3t"},
            "metadata": {"annotations": {constants::annotation::LAST_APPLIED: text}}})
        };
        let cases = [
            (
                json!({"kind": "Secret", "data": {"a": "s3cr3t", "b": 7}, "stringData": {"c": ["s3cr3t"]}}),
                json!({"kind": "Secret", "data": {"a": "***", "b": "***"}, "stringData": {"c": "***"}}),
            ),
            (
                json!({"kind": "Secret", "data": "s3cr3t", "stringData": null}),
                json!({"kind": "Secret", "data": "***", "stringData": null}),
            ),
            (
                last_applied(r#"{"kind":"Secret","stringData":{"a":"s3cr3t"}}"#),
                json!({"kind": "Secret", "data": {"a": "***"}, "metadata": {"annotations":
                    {constants::annotation::LAST_APPLIED: r#"{"kind":"Secret","stringData":{"a":"***"}}"#}}}),
            ),
            (
                last_applied("{\"data\":{\"a\":\"s3cr3t\""),
                json!({"kind": "Secret", "data": {"a": "***"},
                    "metadata": {"annotations": {constants::annotation::LAST_APPLIED: "***"}}}),
            ),
            (
                last_applied(r#"{"kind":"Sekret","data":{"a":"s3cr3t"}}"#),
                json!({"kind": "Secret", "data": {"a": "***"}, "metadata": {"annotations":
                    {constants::annotation::LAST_APPLIED: r#"{"data":{"a":"***"},"kind":"Sekret"}"#}}}),
            ),
            (
                json!({"kind": "SecretList", "items": [{"data": {"a": "s3cr3t"}}]}),
                json!({"kind": "SecretList", "items": [{"data": {"a": "***"}}]}),
            ),
            (
                json!({"kind": "List", "items": [{"kind": "Secret", "data": {"a": "s3cr3t"}}]}),
                json!({"kind": "List", "items": [{"kind": "Secret", "data": {"a": "***"}}]}),
            ),
            (
                json!({"kind": "ConfigMap", "data": {"a": "open"}}),
                json!({"kind": "ConfigMap", "data": {"a": "open"}}),
            ),
        ];
        for (object, expected) in cases {
            let masked = mask_object(&object);
            let normal = |value: &Value| value.to_string().replace(' ', "");
            assert_eq!(normal(&masked), normal(&expected), "{object}");
            assert!(!masked.to_string().contains("s3cr3t"));
        }
    }

    #[test]
    fn pairs_show_what_differs() {
        let old =
            json!({"kind": "Secret", "data": {"same": "YQ==", "changed": "YQ==", "gone": "YQ=="}});
        let new =
            json!({"kind": "Secret", "data": {"same": "YQ==", "changed": "Yg==", "added": "Yg=="}});
        let (before, after) = mask_pair(Some(&old), Some(&new));
        assert_eq!(
            before.unwrap()["data"],
            json!({"same": "***", "changed": "*** (before)", "gone": "***"})
        );
        assert_eq!(
            after.unwrap()["data"],
            json!({"same": "***", "changed": "*** (after)", "added": "***"})
        );
        let (nothing, created) = mask_pair(None, Some(&new));
        assert_eq!(nothing, None);
        assert_eq!(created.unwrap()["data"]["added"], "***");
    }

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
