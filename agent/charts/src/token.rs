//! How a registry wants to be authorized: its challenge, and the access tokens it was answered
//! with, kept until they expire.
//!
//! Follows the token authentication of the OCI distribution specification's registries
//! (`WWW-Authenticate: Bearer realm=…`). Never sends anything itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gitops_transport::authorization::bearer;
use gitops_transport::http::HeaderValue;
use parking_lot::Mutex;
use serde::Deserialize;

/// Life of a token that does not say how long it lives (the specification's default).
const DEFAULT_LIFE: Duration = Duration::from_mins(1);
/// A token is given up this long before its end, so that it does not expire on the way.
const MARGIN: Duration = Duration::from_secs(10);
/// Tokens kept; the expired ones go first, then all.
const MAX_TOKENS: usize = 1024;

/// What a `401 Unauthorized` of a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// The credentials themselves.
    Basic,
    /// A token from `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// A token server's answer.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl TokenAnswer {
    /// The header value to send, and for how long it is good.
    pub(crate) fn authorization(self) -> Option<(HeaderValue, Duration)> {
        let token = self
            .token
            .or(self.access_token)
            .filter(|token| !token.is_empty())?;
        let life = self.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
        Some((bearer(&token)?, life.saturating_sub(MARGIN)))
    }
}

/// Who asks, and for which repository of the registry: `(identity of the settings, host/name)`.
pub(crate) type TokenKey = ([u8; 32], String);

/// `Authorization` values that worked.
#[derive(Default)]
pub(crate) struct Tokens {
    known: Mutex<HashMap<TokenKey, (HeaderValue, Instant)>>,
}

impl Tokens {
    pub(crate) fn get(&self, key: &TokenKey) -> Option<HeaderValue> {
        let known = self.known.lock();
        let (value, until) = known.get(key)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    pub(crate) fn keep(&self, key: TokenKey, value: HeaderValue, life: Duration) {
        let mut known = self.known.lock();
        let now = Instant::now();
        if known.len() >= MAX_TOKENS {
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() >= MAX_TOKENS {
            known.clear();
        }
        if let Some(until) = now.checked_add(life) {
            known.insert(key, (value, until));
        }
    }
}

/// Reads a `WWW-Authenticate` header.
pub(crate) fn parse_challenge(header: &str) -> Option<Challenge> {
    let header = header.trim();
    let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = parameters(rest);
    Some(Challenge::Bearer {
        realm: parameters.remove("realm")?,
        service: parameters.remove("service"),
        scope: parameters.remove("scope"),
    })
}

/// `name="value", name=value`, with backslash escapes inside quotes.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim_start_matches([',', ' ']);
    while let Some((name, after)) = rest.split_once('=') {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let quoted = after.starts_with('"');
        if quoted {
            characters.next();
        }
        let mut end = after.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' if quoted => {
                    end = at + 1;
                    break;
                }
                ',' if !quoted => {
                    end = at;
                    break;
                }
                '\\' if quoted => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        found.insert(name.trim().to_ascii_lowercase(), value);
        rest = after
            .get(end..)
            .unwrap_or_default()
            .trim_start_matches([',', ' ']);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(Into::into),
                scope: scope.map(Into::into),
            })
        };
        let cases = [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/token\",service=\"reg\",scope=\"repository:a/b:pull,push\"",
                bearer(
                    "https://a/token",
                    Some("reg"),
                    Some("repository:a/b:pull,push"),
                ),
            ),
            (
                "bearer Realm=https://a/t, service=s",
                bearer("https://a/t", Some("s"), None),
            ),
            (r#"Bearer realm="a\"b""#, bearer("a\"b", None, None)),
            ("Bearer service=\"x\"", None),
            ("Negotiate", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(parse_challenge(header), expected, "{header}");
        }
    }

    #[test]
    fn tokens_expire() {
        let tokens = Tokens::default();
        let key = ([0; 32], "a".to_owned());
        assert_eq!(tokens.get(&key), None);
        tokens.keep(key.clone(), HeaderValue::from_static("x"), Duration::ZERO);
        assert_eq!(tokens.get(&key), None);
        tokens.keep(
            key.clone(),
            HeaderValue::from_static("x"),
            Duration::from_mins(1),
        );
        assert!(tokens.get(&key).is_some());
    }

    #[test]
    fn answers_of_token_servers() {
        let read = |text: &str| {
            serde_json::from_str::<TokenAnswer>(text)
                .unwrap()
                .authorization()
                .map(|(value, life)| {
                    (
                        value.to_str().unwrap().to_owned(),
                        life.as_secs(),
                        value.is_sensitive(),
                    )
                })
        };
        assert_eq!(
            read(r#"{"token":"t"}"#),
            Some(("Bearer t".into(), 50, true))
        );
        assert_eq!(
            read(r#"{"access_token":"t","expires_in":300}"#),
            Some(("Bearer t".into(), 290, true))
        );
        assert_eq!(read(r#"{"token":""}"#), None);
        assert_eq!(read("{}"), None);
    }
}
