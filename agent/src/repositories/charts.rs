//! Charts of chart repositories, for whoever asks: a version range resolved and its archive fetched. And single files by their address.
//!
//! What failed is asked for again when its next attempt is due, however often it is needed until
//! then. Never decides which repository may be used.

use std::sync::Arc;
use std::time::Duration;

use gitops_charts::{ChartArchive, ChartError, ChartFetcher, ChartRepository, RemoteFile};
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

/// All chart repositories, and all files that are named by their address.
pub(crate) struct Charts {
    known: Arc<Known>,
    /// What servers are being asked for; a refresh is another question.
    errands: Errands<(ChartQuery, bool), Result<Arc<ChartArchive>, ChartError>>,
    files: Errands<(ChartRepository, bool), Result<Arc<RemoteFile>, ChartError>>,
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
    charts: Failures<ChartQuery>,
    files: Failures<ChartRepository>,
}

/// What could not be had, and when it is asked for again.
struct Failures<Q>(Mutex<Vec<Failure<Q>>>);

struct Failure<Q> {
    query: Q,
    error: ChartError,
    attempts: FailedAttempts,
}

impl Charts {
    /// Asks through `fetcher`.
    pub(crate) fn new(fetcher: ChartFetcher) -> Self {
        Self {
            known: Arc::new(Known {
                fetcher,
                charts: Failures::default(),
                files: Failures::default(),
            }),
            errands: Errands::default(),
            files: Errands::default(),
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
            Box::pin(async move { known.chart(&query, refresh, poll_interval).await })
        };
        let question = (query.clone(), refresh);
        let asked = Box::pin(self.errands.ask(question, patience, work, || {}));
        let what = || format!("chart {}", query.chart);
        match asked.await {
            Ok(answer) => answer.found().map_err(ChartFailure::Chart),
            Err(none) => Err(unanswered(none, &query.repository, what())),
        }
    }

    /// The file at an address, as [`Self::get`] gets a chart.
    pub(crate) async fn file(
        &self,
        address: &ChartRepository,
        refresh: bool,
        poll_interval: Option<Duration>,
        patience: Duration,
    ) -> Result<Arc<RemoteFile>, ChartFailure> {
        let work = {
            let (known, address) = (Arc::clone(&self.known), address.clone());
            Box::pin(async move { known.file(&address, refresh, poll_interval).await })
        };
        let question = (address.clone(), refresh);
        let asked = Box::pin(self.files.ask(question, patience, work, || {}));
        match asked.await {
            Ok(answer) => answer.found().map_err(ChartFailure::Chart),
            Err(none) => Err(unanswered(none, address, "the file".to_owned())),
        }
    }
}

/// That a server has not answered yet, or never will.
fn unanswered(none: NoAnswer, repository: &ChartRepository, what: String) -> ChartFailure {
    let url = gitops_core::mask::mask_text::<&str>(&repository.url, &[]);
    match none {
        NoAnswer::Yet(since) => ChartFailure::Fetching(Fetching { url, since }),
        NoAnswer::Interrupted(reason) => ChartFailure::Chart(ChartError::Unreachable {
            repository: url,
            what,
            host: "its server".to_owned(),
            reason,
        }),
    }
}

impl Known {
    async fn chart(
        &self,
        query: &ChartQuery,
        refresh: bool,
        poll_interval: Option<Duration>,
    ) -> Result<Arc<ChartArchive>, ChartError> {
        if refresh {
            self.fetcher.forget(&query.repository);
        } else if let Some(error) = self.charts.not_due(query, poll_interval, Timestamp::now()) {
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
        self.charts
            .note(query, result.as_ref().err(), Timestamp::now());
        result
    }

    async fn file(
        &self,
        address: &ChartRepository,
        refresh: bool,
        poll_interval: Option<Duration>,
    ) -> Result<Arc<RemoteFile>, ChartError> {
        if refresh {
            self.fetcher.forget(address);
        } else if let Some(error) = self.files.not_due(address, poll_interval, Timestamp::now()) {
            return Err(error);
        }
        let result = self.fetcher.file(address).await;
        self.files
            .note(address, result.as_ref().err(), Timestamp::now());
        result
    }
}

impl<Q> Default for Failures<Q> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q: PartialEq + Clone> Failures<Q> {
    /// The error of the last attempt, if the next one has to wait.
    fn not_due(
        &self,
        query: &Q,
        poll_interval: Option<Duration>,
        now: Timestamp,
    ) -> Option<ChartError> {
        let failures = self.0.lock();
        let failure = failures.iter().find(|failure| failure.query == *query)?;
        let waits = failure.attempts.wait(poll_interval, now).is_some();
        waits.then(|| failure.error.clone())
    }

    fn note(&self, query: &Q, error: Option<&ChartError>, now: Timestamp) {
        let mut failures = self.0.lock();
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
        let failures = Failures::default();
        let interval = Some(Duration::from_secs(30));
        failures.note(&query("9"), Some(&missing()), at(100));
        assert_eq!(
            failures.not_due(&query("9"), interval, at(129)),
            Some(missing())
        );
        assert_eq!(failures.not_due(&query("9"), interval, at(130)), None);
        assert_eq!(failures.not_due(&query("8"), interval, at(101)), None);
        // A server that is away is asked ever less often, and at once again after it answered.
        for (second, wait) in [(200, 15), (300, 30), (400, 60)] {
            failures.note(&query("1"), Some(&unreachable()), at(second));
            let due = second + wait;
            assert!(failures.not_due(&query("1"), None, at(due - 1)).is_some());
            assert!(failures.not_due(&query("1"), None, at(due)).is_none());
        }
        failures.note(&query("1"), None, at(401));
        assert!(failures.not_due(&query("1"), None, at(401)).is_none());
        let later = 100 + 3 * 60 * 60;
        failures.note(&query("1"), Some(&missing()), at(later));
        assert_eq!(failures.0.lock().len(), 1, "old failures are forgotten");
    }
}
