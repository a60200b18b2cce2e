//! Runs `ssh` for one exchange, with this repository's key and known hosts and nothing else: no
//! agent, no configuration files, no prompts. The key lives in a private temporary directory for as
//! long as the exchange. Also tells from ssh's messages what went wrong.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::access::{Credentials, RepositoryAccess};
use crate::failure::Failure;

/// The command, and the directory that must live as long as it runs.
pub(crate) struct Ssh {
    pub(crate) command: Command,
    pub(crate) files: tempfile::TempDir,
}

/// Where to connect.
pub(crate) struct Destination<'a> {
    pub(crate) user: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    pub(crate) path: &'a str,
    /// The address of the host, where it was resolved and judged. ssh would resolve the name once
    /// more, to whatever it means by then.
    pub(crate) address: Option<IpAddr>,
}

impl Destination<'_> {
    /// How `known_hosts` names the host.
    fn known_as(&self) -> String {
        let host = self.host.to_ascii_lowercase();
        match self.port {
            None | Some(22) => host,
            Some(port) => format!("[{host}]:{port}"),
        }
    }
}

/// Prepares `ssh host git-upload-pack 'path'`.
pub(crate) fn prepare(access: &RepositoryAccess, destination: &Destination<'_>) -> io::Result<Ssh> {
    let files = private_directory()?;
    let known_hosts = write_private(
        files.path(),
        "known_hosts",
        access.known_hosts.as_deref().unwrap_or_default(),
    )?;
    let key = match &access.credentials {
        Credentials::SshKey(pem) => {
            // OpenSSH refuses keys with carriage returns or without a final line break, which
            // Secrets often have.
            let pem = format!("{}\n", pem.replace('\r', "").trim());
            Some(write_private(files.path(), "key", &pem)?)
        }
        _ => None,
    };
    let mut command = Command::new("ssh");
    command
        .env_clear()
        .env("GIT_PROTOCOL", "version=2")
        .env("LC_ALL", "C")
        .env("HOME", files.path());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.args(["-T", "-F", "none"]);
    let mut option = |name: &str, value: &str| {
        command.arg("-o").arg(format!("{name}={value}"));
    };
    option("BatchMode", "yes");
    option(
        "ConnectTimeout",
        &access.limits.connect.as_secs().max(1).to_string(),
    );
    option("ServerAliveInterval", "10");
    option("ServerAliveCountMax", "3");
    option(
        "StrictHostKeyChecking",
        if access.insecure_ignore_host_key {
            "no"
        } else {
            "yes"
        },
    );
    let hosts = if access.insecure_ignore_host_key {
        "/dev/null".into()
    } else {
        quote_option(&known_hosts)
    };
    option("UserKnownHostsFile", &hosts);
    option("GlobalKnownHostsFile", "/dev/null");
    option("UpdateHostKeys", "no");
    option("IdentitiesOnly", "yes");
    option("IdentityAgent", "none");
    option(
        "IdentityFile",
        &key.as_deref()
            .map_or_else(|| "none".to_owned(), quote_option),
    );
    option("PreferredAuthentications", "publickey,none");
    option("ControlPath", "none");
    option("ForwardAgent", "no");
    option("LogLevel", "ERROR");
    option("SendEnv", "GIT_PROTOCOL");
    if let Some(address) = destination.address {
        option("HostName", &address.to_string());
        option("HostKeyAlias", &destination.known_as());
    }
    if let Some(port) = destination.port {
        command.arg("-p").arg(port.to_string());
    }
    command
        .arg("-l")
        .arg(destination.user)
        .arg("--")
        .arg(destination.host);
    command.arg(format!("git-upload-pack {}", quote_shell(destination.path)));
    Ok(Ssh { command, files })
}

fn private_directory() -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("gitops-ssh-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o700));
    }
    builder.tempdir()
}

/// Writes a file only its owner can read.
fn write_private(directory: &Path, name: &str, content: &str) -> io::Result<PathBuf> {
    let path = directory.join(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(&path)?.write_all(content.as_bytes())?;
    Ok(path)
}

/// A file name as ssh's options take it: quoted because of spaces, `%` doubled because it
/// introduces a token.
fn quote_option(path: impl AsRef<Path>) -> String {
    format!(
        "\"{}\"",
        path.as_ref().display().to_string().replace('%', "%%")
    )
}

/// One word for the shell at the other end, quoted the way git does it.
fn quote_shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''").replace('!', "'\\!'"))
}

/// What ssh (or the Git server behind it) complains about; none when its messages do not explain
/// the failure.
pub(crate) fn failure(messages: &str) -> Option<Failure> {
    let lower = messages.to_lowercase();
    let has = |needles: &[&str]| needles.iter().any(|needle| lower.contains(needle));
    let text = messages.trim().to_owned();
    if text.is_empty() {
        return None;
    }
    Some(
        if has(&[
            "host key verification failed",
            "host identification has changed",
            "no matching host key",
        ]) {
            Failure::HostKey(text)
        } else if has(&[
            "permission denied (",
            "error in libcrypto",
            "invalid format",
            "too many authentication failures",
        ]) {
            Failure::Authentication(text)
        } else if has(&["timed out", "timeout"]) {
            Failure::Timeout(text)
        } else if has(&[
            "could not resolve",
            "connection refused",
            "connection reset",
            "connection closed",
            "no route to host",
            "network is unreachable",
            "no user exists for uid",
        ]) {
            Failure::Unreachable(text)
        } else if has(&[
            "does not appear to be a git repository",
            "not a git repository",
            "repository not found",
            "not found",
            "no such file",
            "could not be found",
            "does not exist",
        ]) {
            Failure::NotFound(text)
        } else if has(&[
            "access denied",
            "permission denied",
            "not authorized",
            "unauthorized",
            "forbidden",
        ]) {
            Failure::Authentication(text)
        } else {
            Failure::Protocol(text)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_ssh_and_of_servers() {
        let cases: [(&str, Option<Failure>); 9] = [
            ("", None),
            (
                "Host key verification failed.\r\n",
                Some(Failure::HostKey(String::new())),
            ),
            (
                "git@h: Permission denied (publickey).",
                Some(Failure::Authentication(String::new())),
            ),
            (
                "Load key \"/tmp/k\": error in libcrypto",
                Some(Failure::Authentication(String::new())),
            ),
            (
                "ssh: connect to host h port 22: Connection refused",
                Some(Failure::Unreachable(String::new())),
            ),
            (
                "ssh: connect to host h port 22: Connection timed out",
                Some(Failure::Timeout(String::new())),
            ),
            (
                "fatal: '/x' does not appear to be a git repository",
                Some(Failure::NotFound(String::new())),
            ),
            (
                "ERROR: Repository not found.",
                Some(Failure::NotFound(String::new())),
            ),
            (
                "bash: git-upload-pack: what",
                Some(Failure::Protocol(String::new())),
            ),
        ];
        for (messages, expected) in cases {
            let found = failure(messages);
            let kind = |failure: &Failure| std::mem::discriminant(failure);
            assert_eq!(
                found.as_ref().map(kind),
                expected.as_ref().map(kind),
                "{messages}: {found:?}"
            );
        }
    }

    #[test]
    fn words_survive_the_remote_shell() {
        assert_eq!(quote_shell("/srv/it's here!"), r"'/srv/it'\''s here'\!''");
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_private_and_gone_afterwards() {
        use std::os::unix::fs::PermissionsExt as _;
        let access = RepositoryAccess {
            credentials: Credentials::SshKey("-----BEGIN\r\nabc\r\n-----END".into()),
            ..RepositoryAccess::default()
        };
        let destination = Destination {
            user: "git",
            host: "h",
            port: Some(2222),
            path: "a b",
            address: Some("10.0.0.7".parse().unwrap()),
        };
        let ssh = prepare(&access, &destination).unwrap();
        let directory = ssh.files.path().to_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&directory), mode(&directory.join("key"))),
            (0o700, 0o600)
        );
        assert_eq!(
            fs::read_to_string(directory.join("key")).unwrap(),
            "-----BEGIN\nabc\n-----END\n"
        );
        let arguments: Vec<_> = ssh
            .command
            .get_args()
            .map(|a| a.to_string_lossy().into_owned())
            .collect();
        for option in [
            "StrictHostKeyChecking=yes",
            "HostName=10.0.0.7",
            "HostKeyAlias=[h]:2222",
        ] {
            assert!(arguments.contains(&option.to_owned()), "{option}");
        }
        assert_eq!(
            arguments[arguments.len() - 3..],
            ["--", "h", "git-upload-pack 'a b'"]
        );
        drop(ssh);
        assert!(!directory.exists());
    }
}
