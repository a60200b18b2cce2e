//! Charts of chart repositories, for whoever asks: a version range resolved and its archive fetched.
//!
//! What failed is asked for again when its next attempt is due, however often it is needed until
//! then. Never decides which repository may be used.

use std::sync::Arc;
use std::time::Duration;

use gitops_charts::{ChartArchive, ChartError, ChartFetcher, ChartRepository};
use gitops_core::source::{FailedAttempts, FailureKind};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::errands::{Errands, NoAnswer};
use super::error::Fetching;

/// Failures nobody asked about for this long are forgotten.
const FORGET_FAILURES_AFTER: Duration = Duration::from_hours(2);

/// A chart as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChartQuery {
    /// Where it is published, and who asks.
    pub(crate) repository: ChartRepository,
    /// Its name.
    pub(crate) chart: String,
    /// A version or range.
    pub(crate) version: String,
}

/// All chart repositories.
pub(crate) struct Charts {
    known: Arc<Known>,
    /// What servers are being asked for; a refresh is another question.
    errands: Errands<(ChartQuery, bool), Result<Arc<ChartArchive>, ChartError>>,
}

/// Why a chart is not there.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ChartFailure {
    /// Its repository is still being asked.
    #[error(transparent)]
    Fetching(Fetching),
    /// It cannot be had.
    #[error(transparent)]
    Chart(ChartError),
}

struct Known {
    fetcher: ChartFetcher,
    failures: Mutex<Vec<Failure>>,
}

struct Failure {
    query: ChartQuery,
    error: ChartError,
    attempts: FailedAttempts,
}

impl Charts {
    /// Asks through `fetcher`.
    pub(crate) fn new(fetcher: ChartFetcher) -> Self {
        Self {
            known: Arc::new(Known {
                fetcher,
                failures: Mutex::default(),
            }),
            errands: Errands::default(),
        }
    }

    /// The newest chart in the range. `refresh` forgets what was learnt before, also that it failed;
    /// `poll_interval` says when attempts after a failure are due.
    ///
    /// Found in the background, and waited for until `patience` after it was first asked for; who is
    /// told [`ChartFailure::Fetching`] asks again later.
    pub(crate) async fn get(
        &self,
        query: &ChartQuery,
        refresh: bool,
        poll_interval: Option<Duration>,
        patience: Duration,
    ) -> Result<Arc<ChartArchive>, ChartFailure> {
        let work = {
            let (known, query) = (Arc::clone(&self.known), query.clone());
            Box::pin(async move { known.get(&query, refresh, poll_interval).await })
        };
        let question = (query.clone(), refresh);
        let asked = self.errands.ask(question, patience, work, || {});
        match Box::pin(asked).await {
            Ok(answer) => answer.found().map_err(ChartFailure::Chart),
            Err(NoAnswer::Yet(since)) => {
                let url = gitops_core::mask::mask_text::<&str>(&query.repository.url, &[]);
                Err(ChartFailure::Fetching(Fetching { url, since }))
            }
            Err(NoAnswer::Interrupted(reason)) => {
                Err(ChartFailure::Chart(ChartError::Unreachable {
                    repository: gitops_core::mask::mask_text::<&str>(&query.repository.url, &[]),
                    what: format!("chart {}", query.chart),
                    host: "its server".to_owned(),
                    reason,
                }))
            }
        }
    }
}

impl Known {
    async fn get(
        &self,
        query: &ChartQuery,
        refresh: bool,
        poll_interval: Option<Duration>,
    ) -> Result<Arc<ChartArchive>, ChartError> {
        if refresh {
            self.fetcher.forget(&query.repository);
        } else if let Some(error) = self.not_due(query, poll_interval, Timestamp::now()) {
            return Err(error);
        }
        let ChartQuery {
            repository,
            chart,
            version,
        } = query;
        let result = async {
            let version = self.fetcher.resolve(repository, chart, version).await?;
            self.fetcher.fetch(repository, chart, &version).await
        }
        .await;
        self.note(query, result.as_ref().err(), Timestamp::now());
        result
    }

    /// The error of the last attempt, if the next one has to wait.
    fn not_due(
        &self,
        query: &ChartQuery,
        poll_interval: Option<Duration>,
        now: Timestamp,
    ) -> Option<ChartError> {
        let failures = self.failures.lock();
        let failure = failures.iter().find(|failure| failure.query == *query)?;
        let waits = failure.attempts.wait(poll_interval, now).is_some();
        waits.then(|| failure.error.clone())
    }

    fn note(&self, query: &ChartQuery, error: Option<&ChartError>, now: Timestamp) {
        let mut failures = self.failures.lock();
        let place = failures.iter().position(|failure| failure.query == *query);
        let earlier = place.map(|place| failures.swap_remove(place).attempts);
        let Some(error) = error else { return };
        failures.retain(|failure| {
            Duration::try_from(now.duration_since(failure.attempts.last))
                .is_ok_and(|age| age < FORGET_FAILURES_AFTER)
        });
        failures.push(Failure {
            query: query.clone(),
            error: error.clone(),
            attempts: FailedAttempts::after(earlier, kind(error), now),
        });
    }
}

/// What could make the next attempt succeed.
pub(crate) fn kind(error: &ChartError) -> FailureKind {
    match error {
        error if error.is_temporary() => FailureKind::Transient,
        ChartError::InvalidRepository { .. }
        | ChartError::InvalidChartName { .. }
        | ChartError::InvalidRange { .. }
        | ChartError::InvalidDependencies { .. } => FailureKind::Input,
        _ => FailureKind::Remote,
    }
}

#[cfg(test)]
mod tests {
    use gitops_charts::FetcherConfig;

    use super::*;

    fn query(version: &str) -> ChartQuery {
        ChartQuery {
            repository: ChartRepository {
                url: "https://charts.example.com".into(),
                ..ChartRepository::default()
            },
            chart: "web".into(),
            version: version.into(),
        }
    }

    fn missing() -> ChartError {
        ChartError::VersionNotFound {
            repository: "https://charts.example.com".into(),
            chart: "web".into(),
            asked: "9".into(),
            newest: vec![],
        }
    }

    fn unreachable() -> ChartError {
        ChartError::Unreachable {
            repository: "https://charts.example.com".into(),
            what: "index.yaml".into(),
            host: "charts.example.com".into(),
            reason: "refused".into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_failed_waits_for_its_time_and_holds_up_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let charts = Charts::new(ChartFetcher::new(FetcherConfig::new(folder.path())));
        let interval = Some(Duration::from_secs(30));
        charts.known.note(&query("9"), Some(&missing()), at(100));
        assert_eq!(
            charts.known.not_due(&query("9"), interval, at(129)),
            Some(missing())
        );
        assert_eq!(charts.known.not_due(&query("9"), interval, at(130)), None);
        assert_eq!(charts.known.not_due(&query("8"), interval, at(101)), None);
        // A server that is away is asked ever less often, and at once again after it answered.
        for (second, wait) in [(200, 15), (300, 30), (400, 60)] {
            charts
                .known
                .note(&query("1"), Some(&unreachable()), at(second));
            let due = second + wait;
            assert!(
                charts
                    .known
                    .not_due(&query("1"), None, at(due - 1))
                    .is_some()
            );
            assert!(charts.known.not_due(&query("1"), None, at(due)).is_none());
        }
        charts.known.note(&query("1"), None, at(401));
        assert!(charts.known.not_due(&query("1"), None, at(401)).is_none());
        let later = 100 + 3 * 60 * 60;
        charts.known.note(&query("1"), Some(&missing()), at(later));
        assert_eq!(
            charts.known.failures.lock().len(),
            1,
            "old failures are forgotten"
        );
    }
}
