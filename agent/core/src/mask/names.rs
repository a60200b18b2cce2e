//! Names that tell that their value is a secret: one list for settings in text, fields of objects,
//! variables and queries of URLs.
//!
//! A word too many is hidden rather than a password shown.

/// Ends of telling names, in lower case.
const TELLING: [&str; 28] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "_pass",
    "-pass",
    ".pass",
    "secret",
    "token",
    "credential",
    "credentials",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "sshkey",
    "_key",
    "-key",
    ".key",
    "connectionstring",
    "connection_string",
    "id_rsa",
    "id_ecdsa",
    "id_ed25519",
    "dockerconfigjson",
];

/// Whole names that tell, in lower case: as ends they would be those of harmless ones.
const WHOLE: [&str; 4] = ["pass", "kubeconfig", "authorization", ".dockercfg"];

/// Ends of names in a URL's query, besides those.
const OF_QUERIES: [&str; 3] = ["key", "signature", "sig"];

/// Whether the value of a setting of this name is hidden.
pub(super) fn is_telling(name: &str) -> bool {
    let name = name.to_lowercase();
    TELLING.iter().any(|word| name.ends_with(word))
}

/// Whether the value of a field, a variable or a key of this name is hidden.
pub(super) fn of_field(name: &str) -> bool {
    is_telling(name) || WHOLE.contains(&name.to_lowercase().as_str())
}

/// Whether the elements of a list of this name are hidden: `passwords`.
pub(super) fn of_list(name: &str) -> bool {
    of_field(name) || name.strip_suffix(['s', 'S']).is_some_and(of_field)
}

/// Whether the value of a parameter in a URL's query is hidden.
pub(super) fn of_query(name: &str) -> bool {
    let lower = name.to_lowercase();
    is_telling(&lower) || OF_QUERIES.iter().any(|word| lower.ends_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_by_their_end() {
        let table = [
            ("DB_PASSWORD", true),
            ("clientSecret", true),
            ("apiKey", true),
            ("API-KEY", true),
            ("MYSQL_PASS", true),
            ("tls.key", true),
            ("pass", true),
            ("kubeconfig", true),
            ("config.dockerconfigjson", true),
            ("key", false),
            ("topologyKey", false),
            ("secretName", false),
            ("compass", false),
            ("tls.crt", false),
            ("image", false),
            ("", false),
        ];
        for (name, expected) in table {
            assert_eq!(of_field(name), expected, "{name}");
        }
        assert!(of_list("passwords") && of_list("token") && !of_list("args"));
        assert!(of_query("X-Amz-Signature") && of_query("key") && !of_query("ref"));
    }
}
