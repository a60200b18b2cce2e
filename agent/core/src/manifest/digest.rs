//! Digests of manifests: equal content gives equal digests, whatever the order of keys.
//!
//! Used to know without a request that an object needs no apply; not a security boundary.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Ends the digest on an object that was applied with live values in place of ignored ones: under
/// other rules it would not be what Git wants.
pub const RESPECTED: &str = "~";

/// First 16 hexadecimal digits of the SHA-256 over the canonical form of `value`.
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
    fn parts_do_not_run_into_each_other() {
        let digest = |parts: &[&str]| of_parts(parts.iter().map(|p| p.as_bytes()));
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a"]), digest(&["a", ""]));
    }
}
