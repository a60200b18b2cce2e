//! What of a patch may be shown.

/// Whether a file holds a Secret's manifest, written in YAML or JSON. Rather one too many: a file
/// that only speaks of Secrets is hidden as well.
pub fn holds_secret(content: &[u8]) -> bool {
    String::from_utf8_lossy(content).lines().any(|line| {
        let mut rest = line;
        while let Some(at) = rest.find("kind") {
            rest = &rest[at + "kind".len()..];
            let value = rest.trim_start_matches(['"', '\'', ' ', '\t']);
            if let Some(value) = value.strip_prefix(':')
                && value
                    .trim_start_matches(['"', '\'', ' ', '\t'])
                    .starts_with("Secret")
            {
                return true;
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_however_they_are_written() {
        for text in [
            "apiVersion: v1\nkind: Secret\n",
            "kind:   \"Secret\"",
            "{\"apiVersion\": \"v1\", \"kind\": \"Secret\"}",
            "- {kind: Secret, metadata: {}}",
            "{\"kind\":\"List\",\"items\":[{\"kind\":\"Secret\"}]}",
            "kind : 'Secret'",
        ] {
            assert!(holds_secret(text.as_bytes()), "{text}");
        }
        for text in [
            "kind: ConfigMap",
            "name: Secret",
            "# a kind of Secret",
            "",
            "\u{0}",
        ] {
            assert!(!holds_secret(text.as_bytes()), "{text}");
        }
    }
}
