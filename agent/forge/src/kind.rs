//! Which forge serves a repository: by its host name, or as the user says.

use std::fmt;
use std::str::FromStr;

/// A kind of forge whose API is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// github.com and GitHub Enterprise Server.
    GitHub,
    /// gitlab.com and GitLab of one's own.
    GitLab,
    /// Gitea, Forgejo, Codeberg.
    Gitea,
}

impl Kind {
    /// What a host name says by itself; `None` has to be asked.
    pub fn of_host(host: &str) -> Option<Self> {
        let first = host.split('.').next().unwrap_or_default();
        match first {
            _ if host == "codeberg.org" || host == "gitea.com" => Some(Self::Gitea),
            "github" => Some(Self::GitHub),
            "gitlab" => Some(Self::GitLab),
            "gitea" | "forgejo" => Some(Self::Gitea),
            _ => None,
        }
    }

    /// The forge's own name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
        }
    }

    /// What the forge calls a proposed change.
    pub const fn request_name(self) -> &'static str {
        match self {
            Self::GitLab => "merge request",
            Self::GitHub | Self::Gitea => "pull request",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the user says about the forge: `gitea`, or `gitea=https://git.example.org` when its pages
/// are elsewhere than the repository's address says; `none` uses no API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// There is no forge with an API.
    None,
    /// This kind, and perhaps where.
    Forge {
        /// Kind.
        kind: Kind,
        /// Address of its pages.
        web: Option<String>,
    },
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, web) = match text.split_once('=') {
            Some((name, web)) => (name, Some(web)),
            None => (text, None),
        };
        let kind = match name.to_ascii_lowercase().as_str() {
            "none" if web.is_none() => return Ok(Self::None),
            "github" => Kind::GitHub,
            "gitlab" => Kind::GitLab,
            "gitea" | "forgejo" => Kind::Gitea,
            _ => {
                return Err(
                    "allowed are github, gitlab, gitea, forgejo, none, and KIND=URL".to_owned(),
                );
            }
        };
        if web.is_some_and(|web| !web.starts_with("https://") && !web.starts_with("http://")) {
            return Err("the address after = begins with https://".to_owned());
        }
        Ok(Self::Forge {
            kind,
            web: web.map(|web| web.trim_end_matches('/').to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_that_say_it() {
        let table = [
            ("github.com", Some(Kind::GitHub)),
            ("github.acme.example", Some(Kind::GitHub)),
            ("gitlab.com", Some(Kind::GitLab)),
            ("gitlab.acme.example", Some(Kind::GitLab)),
            ("codeberg.org", Some(Kind::Gitea)),
            ("git.example.org", None),
            ("notgithub.com", None),
        ];
        for (host, expected) in table {
            assert_eq!(Kind::of_host(host), expected, "{host}");
        }
    }

    #[test]
    fn choices_are_read() {
        assert_eq!("none".parse(), Ok(Choice::None));
        assert_eq!(
            "forgejo=https://git.example.org/".parse(),
            Ok(Choice::Forge {
                kind: Kind::Gitea,
                web: Some("https://git.example.org".into())
            })
        );
        assert!("bitbucket".parse::<Choice>().is_err());
        assert!("gitea=git.example.org".parse::<Choice>().is_err());
    }
}
