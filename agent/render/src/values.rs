//! How many values a JSON text holds, before it is parsed: `[0,0,...]` takes two bytes of text and sixteen times as much
//! memory for each of them, so a limit of bytes alone bounds nothing.

/// At least as many values as a parser would make of `json`: numbers, texts, lists, maps and their keys' values. Counts
/// separators, so a text that is no JSON gets a number as well.
pub(crate) fn upper_bound(json: &[u8]) -> u64 {
    let mut values = 1;
    let mut in_text = false;
    let mut escaped = false;
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            // A list or map has one value more than commas, unless it is empty.
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::upper_bound;

    fn count(value: &Value) -> u64 {
        1 + match value {
            Value::Array(all) => all.iter().map(count).sum(),
            Value::Object(all) => all.values().map(count).sum(),
            _ => 0,
        }
    }

    #[test]
    fn no_text_holds_more_values_than_counted() {
        for (text, expected) in [
            ("0", 1),
            ("[0,0,0]", 4),
            ("[]", 2),
            (r#"{"a":{"b":[1,"x,[{",null]},"c\"[":"\\"}"#, 7),
            (r#"["\\",[[]]]"#, 5),
            (r#"{"apiVersion":"v1","kind":"X"}"#, 3),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(upper_bound(text.as_bytes()), expected, "{text}");
            assert!(count(&value) <= expected, "{text}");
        }
        let bomb = format!("[{}0]", "0,".repeat(1 << 20));
        assert_eq!(upper_bound(bomb.as_bytes()), (1 << 20) + 2);
        assert_eq!(upper_bound(b""), 1);
    }
}
