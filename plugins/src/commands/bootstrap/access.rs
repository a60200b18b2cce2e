//! How the agent will read the repository: without credentials, with those it has, with a token,
//! with a key. Decides which, and tries it with git, without the user's own credentials.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use gitops_core::source;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use tokio::process::Command;

use crate::git;

/// Longest wait for a server.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Gives git what these variables hold, and nothing else.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \
                      \"$GITOPS_GIT_USERNAME\" \"$GITOPS_GIT_PASSWORD\"; }; f";

/// What the user offers.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// `--deploy-key`.
    pub deploy_key: bool,
    /// `--username` and the token from standard input.
    pub token: Option<(String, String)>,
    /// `--ssh-key`: the key's text.
    pub ssh_key: Option<String>,
}

/// How the agent will read the repository.
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody may.
    Open,
    /// A Secret is there already.
    Existing(String),
    /// User and token.
    Token {
        /// User.
        username: String,
        /// Token.
        token: String,
    },
    /// A private key that exists.
    Key(String),
    /// A key made now, which the forge has to learn about.
    NewKey,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Access {
    /// For the plan.
    pub fn shown(&self) -> String {
        match self {
            Self::Open => "the repository is public; the agent needs no credentials".into(),
            Self::Existing(name) => format!("the credentials in Secret {name}"),
            Self::Token { username, .. } => format!("the token given, as user {username}"),
            Self::Key(_) => "the ssh key given".into(),
            Self::NewKey => "a new deploy key, read-only".into(),
        }
    }

    /// Whether a Secret is written.
    pub const fn is_new(&self) -> bool {
        matches!(self, Self::Token { .. } | Self::Key(_) | Self::NewKey)
    }
}

/// Whether git reaches a repository over ssh.
pub fn is_ssh(url: &str) -> bool {
    source::normalize(url).starts_with("ssh://")
}

/// What may be committed as the repository's address; refuses one that holds a password.
pub fn public_address(url: &str) -> Result<String, CommandError> {
    let url = url.trim();
    let clean = git::redact(url);
    let has_user = url.contains("://") && clean != url;
    let has_password = has_user
        && url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'))
            .is_some_and(|(user, _)| user.contains(':'));
    if has_password || (has_user && url.starts_with("http")) {
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            "the address holds a user or a password, and it will be committed",
        )
        .hint(format!(
            "give the address alone, --repo {clean}, and the token with --token-stdin"
        )));
    }
    if source::host(url).is_none() || source::has_dot_segments(url) {
        return Err(CommandError::new(
            CommandErrorKind::Usage,
            format!(
                "--repo {:?} is not the address of a Git server",
                text::one_line(&clean)
            ),
        )
        .hint("for example: --repo https://github.com/acme/fleet"));
    }
    Ok(url.to_owned())
}

/// Decides how the agent will read the repository. `open`: it can be read without credentials.
pub fn decide(
    url: &str,
    offer: &Offer,
    existing: Option<&str>,
    open: bool,
) -> Result<Access, CommandError> {
    if let Some((username, token)) = &offer.token {
        if is_ssh(url) {
            return Err(usage("a token is of no use over ssh")
                .hint("give the https address, or --deploy-key, or --ssh-key FILE"));
        }
        return Ok(Access::Token {
            username: username.clone(),
            token: token.clone(),
        });
    }
    if (offer.deploy_key || offer.ssh_key.is_some()) && !is_ssh(url) {
        return Err(usage("a key is of no use over https").hint(
            "give the ssh address, such as git@github.com:acme/fleet.git, or --token-stdin",
        ));
    }
    if let Some(key) = &offer.ssh_key {
        return Ok(Access::Key(key.clone()));
    }
    match existing {
        Some(name) => Ok(Access::Existing(name.to_owned())),
        None if is_ssh(url) => Ok(Access::NewKey),
        None if open => Ok(Access::Open),
        None => Err(CommandError::new(
            CommandErrorKind::Usage,
            "the repository is not readable by everybody, and the agent has no credentials for it",
        )
        .hint("give a token that may only read: --token-stdin --username USER < TOKEN_FILE")
        .hint("or use a deploy key: --repo git@HOST:OWNER/NAME.git --deploy-key")),
    }
}

fn usage(message: &str) -> CommandError {
    CommandError::new(CommandErrorKind::Usage, message)
}

/// Lists a repository's branches as a stranger would, with what is given and nothing of the
/// user's; the error is what git said.
pub async fn try_reading(url: &str, access: &Access, key: Option<&Path>) -> Result<(), String> {
    let mut command = Command::new("git");
    command
        .args(["-c", "credential.helper="])
        .args(["-c", "core.askPass="]);
    if let Access::Token { username, token } = access {
        command
            .args(["-c", &format!("credential.helper={HELPER}")])
            .env("GITOPS_GIT_USERNAME", username)
            .env("GITOPS_GIT_PASSWORD", token);
    }
    if let Some(key) = key {
        let path = key.to_string_lossy().replace('\'', "'\\''");
        command.env(
            "GIT_SSH_COMMAND",
            format!("ssh -oBatchMode=yes -oIdentitiesOnly=yes -oIdentityAgent=none -i '{path}'"),
        );
    }
    command
        .args(["ls-remote", "--quiet", "--heads", "--", url])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env(
            "GIT_CONFIG_GLOBAL",
            if cfg!(windows) { "NUL" } else { "/dev/null" },
        )
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_ASKPASS")
        .env_remove("SSH_ASKPASS")
        .env_remove("GIT_DIR")
        .env("LC_ALL", "C")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(TIMEOUT, command.output()).await {
        Err(_) => return Err("the server did not answer in time".to_owned()),
        Ok(Err(error)) => return Err(format!("git cannot be started: {error}")),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = git::redact(&String::from_utf8_lossy(&output.stderr));
    let line = said
        .lines()
        .find(|line| line.starts_with("fatal:") || line.starts_with("ERROR:"))
        .or(said.lines().last())
        .unwrap_or("git failed");
    Err(text::cut(&text::one_line(line), 200, false))
}

#[cfg(test)]
mod tests {
    use gitops_kit::exit::ExitStatus;

    use super::*;

    #[test]
    fn addresses_that_may_be_committed() {
        for url in [
            "https://github.com/acme/fleet",
            "git@github.com:acme/fleet.git",
            "ssh://git@host:2222/acme/fleet",
        ] {
            assert_eq!(public_address(url).unwrap(), url);
        }
        let table = [
            ("https://ana:s3cret@host/acme/fleet", ExitStatus::Refused),
            ("https://s3cret@host/acme/fleet", ExitStatus::Refused),
            ("file:///srv/fleet", ExitStatus::Usage),
            ("https://host/a/../b", ExitStatus::Usage),
            ("", ExitStatus::Usage),
        ];
        for (url, status) in table {
            let error = public_address(url).unwrap_err();
            assert_eq!(error.status(), status, "{url}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn what_the_agent_reads_with() {
        let https = "https://host/acme/fleet";
        let ssh = "git@host:acme/fleet";
        let nothing = Offer::default();
        let token = Offer {
            token: Some(("ana".into(), "s3cret".into())),
            ..Offer::default()
        };
        let key = Offer {
            ssh_key: Some("KEY".into()),
            ..Offer::default()
        };
        let shown = |url, offer: &Offer, existing, open| {
            decide(url, offer, existing, open).map(|access| access.shown())
        };
        assert_eq!(
            shown(https, &nothing, None, true).unwrap(),
            "the repository is public; the agent needs no credentials"
        );
        assert_eq!(
            shown(https, &nothing, Some("repo-x"), true).unwrap(),
            "the credentials in Secret repo-x"
        );
        assert_eq!(
            shown(https, &token, Some("repo-x"), true).unwrap(),
            "the token given, as user ana"
        );
        assert_eq!(
            shown(ssh, &nothing, None, false).unwrap(),
            "a new deploy key, read-only"
        );
        assert_eq!(shown(ssh, &key, None, false).unwrap(), "the ssh key given");
        for (url, offer) in [(https, &nothing), (ssh, &token), (https, &key)] {
            let error = shown(url, offer, None, false).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage);
            assert!(!error.hints.is_empty());
        }
        let access = decide(https, &token, None, false).unwrap();
        assert!(!format!("{access:?}").contains("s3cret"));
    }
}
