//! The Secret from which the agent takes its credentials, and the key pair that may be in it.

use std::path::Path;
use std::process::Stdio;

use gitops_api::constants::{annotation, label, secret_type};
use gitops_core::source;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::commands::bootstrap::access::Access;

/// Label on what bootstrap made besides the installation.
pub const CREATED_BY: &str = "app.kubernetes.io/created-by";
/// Value of [`CREATED_BY`].
pub const CREATOR: &str = "kubectl-gitops-bootstrap";

/// Name of the Secret of a repository: `repo-fleet-1a2b3c4d`.
pub fn name(url: &str) -> String {
    let normal = source::normalize(url);
    let last = normal.rsplit('/').next().unwrap_or_default();
    let last: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let digest = Sha256::digest(normal.as_bytes());
    let hex = hex::encode(&digest[..4]);
    format!("repo-{}-{hex}", last.trim_matches('-'))
}

/// The Secret with these credentials; `None`: there is none to write.
pub fn secret(url: &str, namespace: &str, access: &Access, key: Option<&str>) -> Option<Value> {
    let mut data = json!({"type": "git", "url": url});
    match access {
        Access::Token { username, token } => {
            data["username"] = json!(username);
            data["password"] = json!(token);
        }
        Access::Key(text) => data["sshPrivateKey"] = json!(text),
        Access::NewKey => data["sshPrivateKey"] = json!(key?),
        Access::Open | Access::Existing(_) => return None,
    }
    Some(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name(url),
            "namespace": namespace,
            "labels": {label::SECRET_TYPE: secret_type::REPOSITORY, CREATED_BY: CREATOR},
            // The agent must never take a credential for something Git forgot.
            "annotations": {annotation::SYNC_OPTIONS: "Prune=false"},
        },
        "stringData": data,
    }))
}

/// The Secret among these from which the agent would take credentials for the repository, and the
/// private key in it: one of the repository before one of a prefix of its address.
pub fn existing(url: &str, secrets: &[Secret]) -> Option<(String, Option<String>)> {
    let wanted = source::normalize(url);
    let value = |secret: &Secret, key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?;
        String::from_utf8(bytes.0.clone()).ok()
    };
    let of_type = |secret: &Secret, kind: &str| {
        let labels = secret.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(label::SECRET_TYPE))
            .map(String::as_str)
            == Some(kind)
    };
    let has_credentials = |secret: &Secret| {
        [
            "password",
            "bearerToken",
            "sshPrivateKey",
            "githubAppPrivateKey",
        ]
        .iter()
        .any(|key| value(secret, key).is_some_and(|value| !value.is_empty()))
    };
    let found = |secret: &Secret| {
        Some((
            secret.metadata.name.clone()?,
            value(secret, "sshPrivateKey").filter(|key| !key.is_empty()),
        ))
    };
    let repository = secrets.iter().find(|secret| {
        of_type(secret, secret_type::REPOSITORY)
            && value(secret, "url").is_some_and(|url| source::normalize(&url) == wanted)
            && has_credentials(secret)
    });
    let prefix = || {
        secrets
            .iter()
            .filter(|secret| of_type(secret, secret_type::REPO_CREDS) && has_credentials(secret))
            .filter_map(|secret| Some((source::normalize(&value(secret, "url")?), secret)))
            .filter(|(prefix, _)| {
                wanted
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, secret)| secret)
    };
    repository.or_else(prefix).and_then(found)
}

/// Makes a key pair in a directory only the user may enter; returns the private key.
pub async fn make_key(directory: &Path, comment: &str) -> Result<String, CommandError> {
    let file = directory.join("key");
    let failed = |why: String| {
        CommandError::new(
            CommandErrorKind::Io,
            format!("cannot make an ssh key: {why}"),
        )
        .hint("install OpenSSH's ssh-keygen, or give a key with --ssh-key FILE")
    };
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| failed(format!("ssh-keygen cannot be started: {error}")))?;
    if !output.status.success() {
        return Err(failed(text::one_line(&String::from_utf8_lossy(
            &output.stderr,
        ))));
    }
    std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))
}

/// Writes a private key where ssh accepts it, and returns its public key.
pub async fn public_key(directory: &Path, private: &str) -> Result<String, CommandError> {
    let file = directory.join("key");
    let failed = |why: String| {
        CommandError::new(
            CommandErrorKind::Usage,
            format!("the ssh key cannot be used: {why}"),
        )
        .hint("it must be a private key without a passphrase")
    };
    let mut text = private.trim_end().to_owned();
    text.push('\n');
    write_private(&file, &text).map_err(|error| failed(error.to_string()))?;
    let output = Command::new("ssh-keygen")
        .args(["-y", "-P", "", "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| failed(format!("ssh-keygen cannot be started: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(text::one_line(
            said.rsplit(": ").next().unwrap_or_default(),
        )));
    }
    Ok(text::one_line(&String::from_utf8_lossy(&output.stdout)))
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

/// Host and port of an ssh address, as known_hosts names them: `host` or `[host]:2222`.
pub fn ssh_host(url: &str) -> Option<String> {
    let normal = source::normalize(url);
    let rest = normal.strip_prefix("ssh://")?;
    let authority = rest.split('/').next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((_, "22")) | None => source::host(url),
        Some((_, port)) => Some(format!("[{}]:{port}", source::host(url)?)),
    }
}

/// Whether a known_hosts text names a host in the clear.
pub fn knows(known_hosts: &str, host: &str) -> bool {
    known_hosts
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().find(|word| !word.starts_with('@')))
        .any(|names| names.split(',').any(|name| name.eq_ignore_ascii_case(host)))
}

/// What the user's own ssh knows of a server, as lines of known_hosts.
pub async fn known_to_person(host: &str) -> Option<String> {
    let output = Command::new("ssh-keygen")
        .args(["-F", host])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .await
        .ok()?;
    let found: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            // Users hash the names in their own file; here the name is no secret.
            match line.split_once(' ') {
                Some((names, rest)) if names.starts_with('|') => format!("{host} {rest}"),
                _ => line.to_owned(),
            }
        })
        .collect();
    (output.status.success() && !found.is_empty()).then(|| found.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, kind: &str, url: &str, key: Option<&str>) -> Secret {
        let mut data = json!({"url": url});
        if let Some(key) = key {
            data[key] = json!("x");
        }
        let encoded: serde_json::Map<String, Value> = data
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                use base64::Engine as _;
                let text = value.as_str().unwrap();
                let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                (name.clone(), json!(encoded))
            })
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {label::SECRET_TYPE: kind}}, "data": encoded,
        }))
        .unwrap()
    }

    #[test]
    fn names_are_valid_and_stable() {
        let one = name("https://github.com/acme/Fleet.git");
        assert_eq!(one, name("https://github.com/acme/fleet"));
        assert!(one.starts_with("repo-fleet-"), "{one}");
        assert_ne!(one, name("https://github.com/other/fleet"));
        assert!(
            name("git@host:a/_..x")
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-')
        );
    }

    #[test]
    fn the_agents_own_choice_is_found() {
        let url = "git@host:acme/fleet.git";
        let secrets = [
            stored(
                "other",
                "repository",
                "git@host:acme/other",
                Some("sshPrivateKey"),
            ),
            stored("public", "repository", url, None),
            stored(
                "near",
                "repo-creds",
                "ssh://git@host/acm",
                Some("sshPrivateKey"),
            ),
            stored(
                "prefix",
                "repo-creds",
                "ssh://git@host/acme",
                Some("sshPrivateKey"),
            ),
        ];
        let found = existing(url, &secrets);
        assert_eq!(found, Some(("prefix".into(), Some("x".into()))));
        let exact = [stored(
            "exact",
            "repository",
            "ssh://git@host/acme/fleet",
            Some("password"),
        )];
        assert_eq!(existing(url, &exact), Some(("exact".into(), None)));
        assert_eq!(existing(url, &secrets[..2]), None);
    }

    #[test]
    fn hosts_as_known_hosts_names_them() {
        let table = [
            ("git@github.com:acme/fleet", Some("github.com")),
            ("ssh://git@host:2222/acme/fleet", Some("[host]:2222")),
            ("ssh://git@host:22/acme/fleet", Some("host")),
            ("https://host/acme/fleet", None),
        ];
        for (url, expected) in table {
            assert_eq!(ssh_host(url).as_deref(), expected, "{url}");
        }
        let text = "# github.com x\n[ssh.github.com]:443,github.com ssh-ed25519 AAAA\n@cert-authority *.x y";
        assert!(knows(text, "github.com") && !knows(text, "host"));
    }

    #[tokio::test]
    async fn keys_are_made_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let private = make_key(directory.path(), "gitops-agent").await.unwrap();
        assert!(private.contains("PRIVATE KEY"));
        let other = tempfile::tempdir().unwrap();
        let public = public_key(other.path(), &private).await.unwrap();
        assert!(public.starts_with("ssh-ed25519 AAAA"), "{public}");
        let error = public_key(other.path(), "no key").await.unwrap_err();
        assert!(!error.message.contains("no key"), "{}", error.message);
    }
}
