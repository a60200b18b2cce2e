//! Every way finding, downloading or unpacking a chart can fail.
//!
//! Each message names the repository (without credentials), the chart and the version asked for,
//! says why, and what a user can do. Never carries a password, a token, a URL's query or what a
//! server wrote into its answer.

use std::fmt::Write as _;

/// Why a chart could not be had.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChartError {
    /// The repository's own settings cannot be used.
    #[error("chart repository {repository}: {reason}")]
    InvalidRepository {
        /// Its URL, without credentials.
        repository: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },

    /// The chart's name cannot be a chart's name in this kind of repository.
    #[error("chart {chart:?} of {repository}: {reason}")]
    InvalidChartName {
        /// Repository URL, without credentials.
        repository: String,
        /// The name as written.
        chart: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },

    /// The version asked for is neither a version nor a range.
    #[error("chart {chart} of {repository}: version {asked:?} cannot be read: {reason}")]
    InvalidRange {
        /// Repository URL, without credentials.
        repository: String,
        /// Chart.
        chart: String,
        /// The version or range as written.
        asked: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },

    /// The repository has no such chart.
    #[error("chart {chart} not found in {repository}{}", similar_charts(.similar))]
    ChartNotFound {
        /// Repository URL, without credentials.
        repository: String,
        /// Chart.
        chart: String,
        /// Names in the repository that look alike, nearest first.
        similar: Vec<String>,
    },

    /// The repository has the chart, but no version that was asked for.
    #[error("chart {chart} {asked} not found in {repository}{}", newest_versions(.newest, .asked))]
    VersionNotFound {
        /// Repository URL, without credentials.
        repository: String,
        /// Chart.
        chart: String,
        /// The version or range as written.
        asked: String,
        /// The newest versions there are, newest first; empty when the repository did not list any.
        newest: Vec<String>,
    },

    /// The server refused the credentials, or wants some.
    #[error(
        "{what} of {repository}: {host} answered {status}: {}",
        refusal(*.credentials_sent)
    )]
    Unauthorized {
        /// Repository URL, without credentials.
        repository: String,
        /// What was asked for, such as `index.yaml`.
        what: String,
        /// The host that refused; another one than the repository's after a redirect.
        host: String,
        /// HTTP status, 401 or 403.
        status: u16,
        /// Whether the repository's credentials went to that host.
        credentials_sent: bool,
    },

    /// A registry wants a token from a server that does not get its credentials.
    #[error(
        "{what} of {repository}: {registry} wants a token from {host}, which is of another domain and \
         does not get the repository's credentials; name the registry by a host of the same domain, or \
         set passCredentials"
    )]
    CredentialsWithheld {
        /// Repository URL, without credentials.
        repository: String,
        /// What was asked for.
        what: String,
        /// The registry's host.
        registry: String,
        /// The token server's host.
        host: String,
    },

    /// The server could not be asked, or stopped in the middle of its answer.
    #[error("{what} of {repository}: {host} cannot be reached: {reason}")]
    Unreachable {
        /// Repository URL, without credentials.
        repository: String,
        /// What was asked for.
        what: String,
        /// The host that was asked.
        host: String,
        /// What the connection said.
        reason: String,
    },

    /// The server's TLS certificate is not trusted.
    #[error(
        "{what} of {repository}: cannot trust the TLS certificate of {host}: {reason}; add its CA to \
         the ConfigMap argocd-tls-certs-cm (key: the host name), or set insecure on the repository"
    )]
    Certificate {
        /// Repository URL, without credentials.
        repository: String,
        /// What was asked for.
        what: String,
        /// The host that presented it.
        host: String,
        /// What the verification said.
        reason: String,
    },

    /// The server answered, but not with what was asked for.
    #[error("{what} of {repository}: {host} {reason}")]
    UnexpectedAnswer {
        /// Repository URL, without credentials.
        repository: String,
        /// What was asked for.
        what: String,
        /// The host that answered.
        host: String,
        /// What it did, and what to check.
        reason: String,
        /// The server itself said it may work later (408, 429, 5xx).
        temporary: bool,
    },

    /// An index, archive or answer exceeds a limit.
    #[error(
        "{what} of {repository} is larger than {limit}; ask for the limit to be raised or publish it smaller"
    )]
    TooLarge {
        /// Repository URL, without credentials.
        repository: String,
        /// What is too large.
        what: String,
        /// The limit, in words.
        limit: String,
    },

    /// What came is not what the index or manifest announced. Its own digest is not said: it would
    /// confirm a guess about what a server keeps from the index's author.
    #[error(
        "{what} of {repository} does not have the digest {expected} that was announced: the archive was \
         changed after it was published, or on its way; publish it again under a new version"
    )]
    DigestMismatch {
        /// Repository URL, without credentials.
        repository: String,
        /// What was downloaded.
        what: String,
        /// Digest the repository announced.
        expected: String,
    },

    /// `index.yaml` is not an index.
    #[error(
        "index.yaml of {repository}: {reason}; check that the URL is that of a chart repository"
    )]
    InvalidIndex {
        /// Repository URL, without credentials.
        repository: String,
        /// Where and what.
        reason: String,
    },

    /// The archive is not a chart, or holds what no chart may hold.
    #[error("archive of chart {chart} {version}: {reason}")]
    InvalidArchive {
        /// Chart.
        chart: String,
        /// Version.
        version: String,
        /// Which entry, and why it is refused.
        reason: String,
    },

    /// `Chart.yaml` or `Chart.lock` of a chart directory cannot be used.
    #[error("{file}: {reason}")]
    InvalidDependencies {
        /// `Chart.yaml` or `Chart.lock`.
        file: &'static str,
        /// Which dependency, what is wrong, what to do.
        reason: String,
    },
}

impl ChartError {
    /// Whether asking again later may succeed without any change: servers come back, time limits
    /// and rate limits pass. Wrong credentials, an untrusted certificate, a missing chart or
    /// version, a damaged index or archive, and settings that cannot be used stay as they are.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::UnexpectedAnswer { temporary, .. } => *temporary,
            Self::InvalidRepository { .. }
            | Self::InvalidChartName { .. }
            | Self::InvalidRange { .. }
            | Self::ChartNotFound { .. }
            | Self::VersionNotFound { .. }
            | Self::Unauthorized { .. }
            | Self::CredentialsWithheld { .. }
            | Self::Certificate { .. }
            | Self::TooLarge { .. }
            | Self::DigestMismatch { .. }
            | Self::InvalidIndex { .. }
            | Self::InvalidArchive { .. }
            | Self::InvalidDependencies { .. } => false,
        }
    }

    /// Whether the repository gave no answer at all, so that what it last said may still be used.
    pub(crate) const fn leaves_last_seen_usable(&self) -> bool {
        self.is_temporary() || matches!(self, Self::Certificate { .. })
    }
}

fn similar_charts(similar: &[String]) -> String {
    match similar {
        [] => "; check the chart's name and the repository's URL".to_owned(),
        names => format!("; similar names there: {}", names.join(", ")),
    }
}

fn newest_versions(newest: &[String], asked: &str) -> String {
    let mut text = match newest {
        [] => "; check the version and the chart's name".to_owned(),
        versions => format!("; newest are {}", versions.join(", ")),
    };
    let only_prereleases = newest
        .iter()
        .all(|v| gitops_core::source::version::parse_version(v).is_some_and(|v| !v.pre.is_empty()));
    if !newest.is_empty() && only_prereleases && !asked.contains('-') {
        let _ = write!(
            text,
            " (pre-releases, which a range takes only when it names one: >0-0)"
        );
    }
    text
}

fn refusal(credentials_sent: bool) -> &'static str {
    if credentials_sent {
        "the repository's credentials are wrong, or do not allow reading this"
    } else {
        "it wants credentials; add them to the repository's Secret (for another host than the \
         repository's own they are sent only with passCredentials)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lead_on() {
        let repository = || "https://charts.example.com".to_owned();
        let cases = [
            (
                ChartError::VersionNotFound {
                    repository: repository(),
                    chart: "web".into(),
                    asked: "1.2.3".into(),
                    newest: vec!["1.3.0".into(), "1.2.2".into()],
                },
                "chart web 1.2.3 not found in https://charts.example.com; newest are 1.3.0, 1.2.2",
            ),
            (
                ChartError::VersionNotFound {
                    repository: repository(),
                    chart: "web".into(),
                    asked: "*".into(),
                    newest: vec!["1.0.0-rc.1".into()],
                },
                "chart web * not found in https://charts.example.com; newest are 1.0.0-rc.1 \
                 (pre-releases, which a range takes only when it names one: >0-0)",
            ),
            (
                ChartError::ChartNotFound {
                    repository: repository(),
                    chart: "wbe".into(),
                    similar: vec!["web".into()],
                },
                "chart wbe not found in https://charts.example.com; similar names there: web",
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), expected);
            assert!(!error.is_temporary());
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let text = String::new;
        let (repository, what, host, reason) = (text(), text(), text(), text());
        let answered = |temporary| ChartError::UnexpectedAnswer {
            repository: text(),
            what: text(),
            host: text(),
            reason: text(),
            temporary,
        };
        let cases = [
            (
                ChartError::Unreachable {
                    repository: text(),
                    what: text(),
                    host: text(),
                    reason: text(),
                },
                true,
            ),
            (answered(true), true),
            (answered(false), false),
            (
                ChartError::Certificate {
                    repository,
                    what,
                    host,
                    reason,
                },
                false,
            ),
            (
                ChartError::Unauthorized {
                    repository: text(),
                    what: text(),
                    host: text(),
                    status: 403,
                    credentials_sent: true,
                },
                false,
            ),
            (
                ChartError::InvalidRepository {
                    repository: text(),
                    reason: text(),
                },
                false,
            ),
            (
                ChartError::InvalidIndex {
                    repository: text(),
                    reason: text(),
                },
                false,
            ),
        ];
        for (error, temporary) in cases {
            assert_eq!(error.is_temporary(), temporary, "{error:?}");
        }
    }
}
