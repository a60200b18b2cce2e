//! Where the right to use a forge's API comes from: the variables its own tools read, or the
//! user's Git credential helper. Never asks, never shows what it found.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use gitops_transport::authorization::{basic, bearer, sensitive};
use gitops_transport::http::HeaderValue;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::kind::Kind;
use crate::remote::Remote;

/// Longest wait for a credential helper.
const HELPER_TIMEOUT: Duration = Duration::from_secs(20);

/// What proves who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    /// Name that goes with a password; a token has none.
    username: Option<String>,
    secret: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl Credential {
    /// A token from the variables of the forge's own tools, when it is one for this server: the
    /// address comes from an Application, whose author would otherwise choose who gets the token.
    /// `is_named` says that the user named the server.
    pub(crate) fn of_environment(
        kind: Kind,
        authority: &str,
        is_named: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let set = |name: &&str| variable(name).filter(|value| !value.trim().is_empty());
        let tokens = Tokens::of(kind, authority);
        // Whose tokens they are: the server the variables name, else the forge's own.
        let server = tokens.servers.iter().find_map(set);
        let is_theirs = match &server {
            Some(server) => authority_of(server) == authority,
            None => tokens.home == Some(authority),
        };
        if !(is_theirs || is_named) {
            return None;
        }
        tokens.names.iter().find_map(set).map(|token| Self {
            username: None,
            secret: token.trim().to_owned(),
        })
    }

    /// What the user's Git would send to this host.
    pub(crate) async fn of_git(remote: &Remote) -> Option<Self> {
        let (scheme, address) = remote.web.split_once("://")?;
        let question = format!(
            "protocol={scheme}\nhost={address}\npath={}\n\n",
            remote.path
        );
        let mut child = Command::new("git")
            .args(["-c", "core.askPass=", "credential", "fill"])
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GCM_INTERACTIVE", "never")
            .env_remove("GIT_ASKPASS")
            .env_remove("SSH_ASKPASS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut input = child.stdin.take()?;
        let exchange = async {
            input.write_all(question.as_bytes()).await.ok()?;
            drop(input);
            child.wait_with_output().await.ok()
        };
        let output = tokio::time::timeout(HELPER_TIMEOUT, exchange)
            .await
            .ok()
            .flatten()?;
        if !output.status.success() {
            return None;
        }
        Self::of_answer(&String::from_utf8_lossy(&output.stdout))
    }

    /// Reads the answer of `git credential fill`.
    fn of_answer(answer: &str) -> Option<Self> {
        let value = |name: &str| {
            answer
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        Some(Self {
            username: value("username"),
            secret: value("password")?,
        })
    }

    /// The header that carries it; none when no header can.
    pub(crate) fn header(&self, kind: Kind) -> Option<HeaderValue> {
        match (kind, &self.username) {
            (Kind::Gitea, Some(username)) => basic(username, &self.secret),
            (Kind::Gitea, None) => sensitive(&format!("token {}", self.secret)),
            // Their API takes no passwords; what a helper keeps for them is a token.
            (Kind::GitHub | Kind::GitLab, _) => bearer(&self.secret),
        }
    }
}

/// The variables of a forge's tools.
pub(crate) struct Tokens {
    /// Those that hold a token, first one first.
    pub(crate) names: &'static [&'static str],
    /// Those that say whose tokens they are.
    pub(crate) servers: &'static [&'static str],
    /// Whose they are when none of those is set.
    pub(crate) home: Option<&'static str>,
}

impl Tokens {
    /// The variables for a server. A token of github.com is not shown to another one, nor one of
    /// another to github.com.
    pub(crate) fn of(kind: Kind, authority: &str) -> Self {
        const GITHUB: &str = "github.com";
        match kind {
            Kind::GitHub if authority == GITHUB => Self {
                names: &["GH_TOKEN", "GITHUB_TOKEN"],
                servers: &[],
                home: Some(GITHUB),
            },
            Kind::GitHub => Self {
                names: &["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"],
                servers: &["GH_HOST"],
                home: None,
            },
            Kind::GitLab => Self {
                names: &["GITLAB_TOKEN"],
                servers: &["GITLAB_HOST", "CI_SERVER_HOST"],
                home: Some("gitlab.com"),
            },
            Kind::Gitea => Self {
                names: &["GITEA_TOKEN", "FORGEJO_TOKEN"],
                servers: &["GITEA_HOST", "FORGEJO_HOST"],
                home: None,
            },
        }
    }
}

/// Host and port of a variable that names a server, which some tools want as an address.
fn authority_of(server: &str) -> String {
    let server = server.trim();
    let address = server
        .split_once("://")
        .map_or(server, |(_, address)| address);
    let authority = address.split('/').next().unwrap_or_default();
    authority.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_their_own_hosts_only() {
        /// Kind, server, what is set, whether the token goes there.
        type Row<'a> = (Kind, &'a str, &'a [(&'a str, &'a str)], bool);
        let gitlab = ("GITLAB_TOKEN", "one");
        let gitea = ("GITEA_TOKEN", "one");
        let enterprise = ("GH_ENTERPRISE_TOKEN", "one");
        let table: &[Row<'_>] = &[
            (Kind::GitHub, "github.com", &[("GITHUB_TOKEN", "one")], true),
            (Kind::GitHub, "github.com", &[enterprise], false),
            (
                Kind::GitHub,
                "github.evil.example",
                &[("GH_TOKEN", "one")],
                false,
            ),
            (Kind::GitHub, "github.evil.example", &[enterprise], false),
            (
                Kind::GitHub,
                "github.evil.example",
                &[enterprise, ("GH_HOST", "github.acme.example")],
                false,
            ),
            (
                Kind::GitHub,
                "github.acme.example",
                &[enterprise, ("GH_HOST", "GitHub.acme.example")],
                true,
            ),
            (Kind::GitLab, "gitlab.com", &[gitlab], true),
            (Kind::GitLab, "gitlab.evil.example", &[gitlab], false),
            (Kind::GitLab, "gitlab.com:8443", &[gitlab], false),
            (
                Kind::GitLab,
                "gitlab.acme.example",
                &[gitlab, ("GITLAB_HOST", "https://gitlab.acme.example/")],
                true,
            ),
            (
                Kind::GitLab,
                "gitlab.acme.example",
                &[gitlab, ("CI_SERVER_HOST", "gitlab.acme.example")],
                true,
            ),
            (
                Kind::GitLab,
                "gitlab.com",
                &[gitlab, ("GITLAB_HOST", "gitlab.acme.example")],
                false,
            ),
            (Kind::Gitea, "git.example.org", &[gitea], false),
            (Kind::Gitea, "codeberg.org", &[gitea], false),
            (
                Kind::Gitea,
                "git.example.org",
                &[gitea, ("GITEA_HOST", "git.example.org")],
                true,
            ),
            (
                Kind::Gitea,
                "git.example.org:3000",
                &[gitea, ("GITEA_HOST", "git.example.org")],
                false,
            ),
            (
                Kind::Gitea,
                "git.example.org:3000",
                &[gitea, ("GITEA_HOST", "http://git.example.org:3000")],
                true,
            ),
        ];
        for (kind, authority, set, expected) in table {
            let variable = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let sent = |is_named| {
                Credential::of_environment(*kind, authority, is_named, variable).is_some()
            };
            assert_eq!(sent(false), *expected, "{kind} {authority} {set:?}");
        }
        let token = |name: &str| (name == "GITLAB_TOKEN").then(|| "one".to_owned());
        let named = Credential::of_environment(Kind::GitLab, "git.acme.example", true, token);
        assert!(
            named.is_some(),
            "the user named it: --forge gitlab=https://git.acme.example"
        );
    }

    #[test]
    fn tokens_are_sent_as_each_forge_reads_them() {
        let set = |name: &str| match name {
            "GITHUB_TOKEN" => Some(" one\n".to_owned()),
            "GH_TOKEN" => Some(String::new()),
            "GITEA_TOKEN" => Some("two".to_owned()),
            "GITEA_HOST" => Some("git.example.org".to_owned()),
            _ => None,
        };
        let header = |kind, host| {
            let credential = Credential::of_environment(kind, host, false, set)?;
            Some(credential.header(kind)?.to_str().unwrap().to_owned())
        };
        assert_eq!(
            header(Kind::GitHub, "github.com").as_deref(),
            Some("Bearer one")
        );
        assert_eq!(
            header(Kind::Gitea, "git.example.org").as_deref(),
            Some("token two")
        );
        assert_eq!(header(Kind::GitLab, "gitlab.com"), None);
    }

    #[test]
    fn answers_of_a_helper() {
        let found = Credential::of_answer("protocol=https\nusername=ana\npassword=s3=cret\n");
        let found = found.unwrap();
        assert_eq!(found.header(Kind::GitLab).unwrap(), "Bearer s3=cret");
        assert_eq!(found.header(Kind::Gitea).unwrap(), "Basic YW5hOnMzPWNyZXQ=");
        assert!(!format!("{found:?}").contains("cret"));
        assert_eq!(Credential::of_answer("username=ana\n"), None);
    }
}
