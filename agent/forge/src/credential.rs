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
    /// A token from the variables of the forge's own tools.
    pub(crate) fn of_environment(
        kind: Kind,
        host: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        variables(kind, host)
            .iter()
            .find_map(|name| variable(name).filter(|value| !value.trim().is_empty()))
            .map(|token| Self {
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

/// Variables that hold a token, first one first.
pub(crate) fn variables(kind: Kind, host: &str) -> &'static [&'static str] {
    match kind {
        Kind::GitHub if host == "github.com" => &["GH_TOKEN", "GITHUB_TOKEN"],
        // A token of github.com is not shown to another server.
        Kind::GitHub => &["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"],
        Kind::GitLab => &["GITLAB_TOKEN"],
        Kind::Gitea => &["GITEA_TOKEN", "FORGEJO_TOKEN"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_from_the_variables_of_the_host() {
        let set = |name: &str| match name {
            "GITHUB_TOKEN" => Some(" one\n".to_owned()),
            "GH_TOKEN" => Some(String::new()),
            "GITEA_TOKEN" => Some("two".to_owned()),
            _ => None,
        };
        let header = |kind, host| {
            let header = Credential::of_environment(kind, host, set)?.header(kind)?;
            Some(header.to_str().unwrap().to_owned())
        };
        assert_eq!(
            header(Kind::GitHub, "github.com").as_deref(),
            Some("Bearer one")
        );
        assert_eq!(header(Kind::GitHub, "github.acme.example"), None);
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
