//! Digests of manifests: equal content gives equal digests, whatever the order of keys.
//!
//! Used to know without a request that an object needs no apply. They are kept where people read
//! them who may not read the content (annotations, `Application.status`), so an installation makes
//! them with a key of its own ([`DigestKey`]): without the key nobody can try what a short secret may
//! be. Digests of earlier agents, which had no key, are still compared with, until the next apply
//! writes those of today.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Ends the digest on an object that was applied with live values in place of ignored ones: under
/// other rules it would not be what Git wants.
pub const RESPECTED: &str = "~";

/// Begins a digest that was made with a key.
const KEYED: char = 'k';
/// Between the name of the key and the digest.
const SEPARATOR: char = '-';
/// Block size of SHA-256 in bytes (RFC 2104).
const BLOCK: usize = 64;

/// The key of an installation: 32 random bytes that only the agent reads.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestKey {
    id: String,
    bytes: [u8; 32],
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestKey({})", self.id)
    }
}

impl DigestKey {
    /// A key. Its name, by which its digests are known, is a digest of it.
    pub fn new(bytes: [u8; 32]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"gitops-agent digest key");
        hasher.update(bytes);
        Self {
            id: hex::encode(&hasher.finalize()[..4]),
            bytes,
        }
    }

    /// HMAC-SHA256 (RFC 2104) over the canonical form of `value`: the key's name and the first 16
    /// hexadecimal digits.
    pub fn of_value(&self, value: &Value) -> String {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            for (byte, key) in block.iter_mut().zip(self.bytes) {
                *byte ^= key;
            }
            block
        };
        let mut inner = Sha256::new();
        inner.update(padded(0x36));
        feed(&mut inner, value);
        let mut outer = Sha256::new();
        outer.update(padded(0x5c));
        outer.update(inner.finalize());
        let code = short_hex(&outer.finalize());
        format!("{KEYED}{}{SEPARATOR}{code}", self.id)
    }
}

/// What a recorded digest says about content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It is of this content.
    Same,
    /// It is of another content.
    Other,
    /// It was made with another key, and says nothing.
    Unknown,
}

/// What a recorded digest says about content with the digest `now`, which had the digest `unkeyed`
/// before there were keys.
pub fn agreement(recorded: &str, now: &str, unkeyed: Option<&str>) -> Agreement {
    if recorded == now || Some(recorded) == unkeyed {
        Agreement::Same
    } else if key_of(recorded).is_some() && key_of(recorded) != key_of(now) {
        Agreement::Unknown
    } else {
        Agreement::Other
    }
}

/// Name of the key a digest was made with.
fn key_of(digest: &str) -> Option<&str> {
    let (key, _) = digest.strip_prefix(KEYED)?.split_once(SEPARATOR)?;
    Some(key)
}

/// First 16 hexadecimal digits of the SHA-256 over the canonical form of `value`. Without a key: for
/// what is compared inside one process, and for what has no secrets.
pub fn of_value(value: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, value);
    short_hex(&hasher.finalize())
}

/// First 16 hexadecimal digits of the SHA-256 over `parts`, each length-prefixed so that no two
/// different lists of parts give the same bytes.
pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    short_hex(&hasher.finalize())
}

/// The whole SHA-256 over `parts` in lower-case hexadecimal, for identities that somebody may want to
/// be taken for.
pub fn sha256_of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

fn short_hex(bytes: &[u8]) -> String {
    hex::encode(&bytes[..8])
}

/// Writes a tagged, length-prefixed form with sorted keys, because the order of a JSON map carries
/// no meaning and depends on who wrote it.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(flag) => hasher.update(if *flag { b"t" } else { b"f" }),
        Value::Number(number) => {
            hasher.update(b"#");
            hasher.update(number.to_string().as_bytes());
            hasher.update(b";");
        }
        Value::String(text) => feed_text(hasher, text),
        Value::Array(items) => {
            hasher.update(b"[");
            hasher.update((items.len() as u64).to_le_bytes());
            for item in items {
                feed(hasher, item);
            }
        }
        Value::Object(map) => {
            hasher.update(b"{");
            hasher.update((map.len() as u64).to_le_bytes());
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            for (key, item) in entries {
                feed_text(hasher, key);
                feed(hasher, item);
            }
        }
    }
}

fn feed_text(hasher: &mut Sha256, text: &str) {
    hasher.update(b"\"");
    hasher.update((text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_of_keys_does_not_matter_but_everything_else_does() {
        assert_eq!(
            of_value(&json!({"a":1,"b":[1,2]})),
            of_value(&json!({"b":[1,2],"a":1}))
        );
        let different = [
            json!({"a":1}),
            json!({"a":"1"}),
            json!({"a":null}),
            json!({"a":[1]}),
            json!({"a":{"1":null}}),
            json!({"a":true}),
            json!({"a":1.5}),
            json!(["a", 1]),
            json!("a"),
        ];
        for (i, left) in different.iter().enumerate() {
            for right in &different[i + 1..] {
                assert_ne!(of_value(left), of_value(right), "{left} {right}");
            }
        }
        assert_eq!(of_value(&json!({})).len(), 16);
    }

    #[test]
    fn two_installations_have_different_digests_of_the_same_secret() {
        let secret = json!({"kind": "Secret", "data": {"pin": "MTIzNA=="}});
        let of = |byte: u8| DigestKey::new([byte; 32]).of_value(&secret);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_ne!(of(1).split('-').nth(1), Some(of_value(&secret).as_str()));
        assert!(!format!("{:?}", DigestKey::new([7; 32])).contains("7, 7"));
    }

    #[test]
    fn digests_say_nothing_about_those_of_another_key() {
        let [mine, others] = [1, 2].map(|byte| DigestKey::new([byte; 32]));
        let (content, another) = (json!({"a": 1}), json!({"a": 2}));
        let (now, unkeyed) = (mine.of_value(&content), of_value(&content));
        let table = [
            (mine.of_value(&content), Agreement::Same),
            (mine.of_value(&another), Agreement::Other),
            (others.of_value(&content), Agreement::Unknown),
            (of_value(&content), Agreement::Same),
            (of_value(&another), Agreement::Other),
            (String::new(), Agreement::Other),
        ];
        for (recorded, expected) in table {
            assert_eq!(
                agreement(&recorded, &now, Some(&unkeyed)),
                expected,
                "{recorded}"
            );
        }
        // Without a key, as `diff --local` has none, a keyed digest says nothing.
        let keyed = mine.of_value(&content);
        assert_eq!(agreement(&keyed, &unkeyed, None), Agreement::Unknown);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let digest = |parts: &[&str]| of_parts(parts.iter().map(|p| p.as_bytes()));
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a"]), digest(&["a", ""]));
    }
}
