//! One application in short: a row of the list, the head of the single view.

use gitops_api::constants::IN_CLUSTER_SERVER;
use gitops_api::{
    Application, ApplicationDestination, ApplicationSource, HealthStatusCode, SyncStatusCode,
};
use gitops_kit::text;
use jiff::Timestamp;

use crate::status::reason::{Code, Reason};
use crate::status::{live, reason};

/// One application in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Namespace of the Application.
    pub namespace: String,
    /// Name of the Application.
    pub name: String,
    /// AppProject.
    pub project: String,
    /// Cluster and namespace it deploys to.
    pub destination: String,
    /// Repositories.
    pub repository: String,
    /// Directory or chart.
    pub path: String,
    /// What is followed: branch, tag, version range.
    pub target: String,
    /// Live is what Git says.
    pub sync: SyncStatusCode,
    /// Health.
    pub health: HealthStatusCode,
    /// Revision that is followed, shortened: the one that was compared, or the tip that cannot be.
    pub revision: String,
    /// Commit whose manifests are live, shortened; empty when nobody says.
    pub live: String,
    /// Commits that are not live yet, when the agent says.
    pub behind: Option<i64>,
    /// End of the last sync.
    pub last_sync: Option<Timestamp>,
    /// What is wrong, if something is.
    pub reason: Option<Reason>,
}

impl Summary {
    /// Sums up an Application.
    pub fn of(application: &Application, now: Timestamp, unicode: bool) -> Self {
        let sources = application.spec.effective_sources();
        let status = application.status.as_ref();
        Self {
            namespace: application.metadata.namespace.clone().unwrap_or_default(),
            name: application.metadata.name.clone().unwrap_or_default(),
            project: text::one_line(application.spec.effective_project()),
            destination: destination(&application.spec.destination),
            repository: first_of(sources, |source| &source.repo_url),
            path: first_of(sources, |source| {
                if source.path.is_empty() {
                    &source.chart
                } else {
                    &source.path
                }
            }),
            target: first_of(sources, |source| {
                if source.target_revision.is_empty() {
                    "HEAD"
                } else {
                    &source.target_revision
                }
            }),
            sync: status
                .and_then(|status| status.sync.as_ref())
                .map_or(SyncStatusCode::Unknown, |sync| sync.status),
            health: status
                .and_then(|status| status.health.as_ref())
                .map_or(HealthStatusCode::Unknown, |health| health.status),
            revision: revision(application),
            live: live::of(application).map_or_else(String::new, |live| live::short(&live.commit)),
            behind: live::of(application).map(|live| live.behind.max(0)),
            last_sync: last_sync(application),
            reason: reason::of(application, now, unicode),
        }
    }

    /// Live is what Git says, and it works. Paused on purpose counts as working.
    pub fn is_fine(&self) -> bool {
        self.sync == SyncStatusCode::Synced
            && matches!(
                self.health,
                HealthStatusCode::Healthy | HealthStatusCode::Suspended
            )
            && self.reason.as_ref().is_none_or(|reason| {
                matches!(reason.code, Code::Warning | Code::Suspended | Code::Syncing)
            })
    }

    /// Order of the list: what is worst first, what is fine last.
    pub fn urgency(&self) -> u8 {
        match &self.reason {
            _ if self.is_fine() => u8::MAX,
            Some(reason) => reason.code as u8,
            None => u8::MAX - 1,
        }
    }
}

/// Cluster and namespace in words.
pub fn destination(destination: &ApplicationDestination) -> String {
    let cluster = if !destination.name.is_empty() {
        destination.name.as_str()
    } else if destination.server.trim_end_matches('/') == IN_CLUSTER_SERVER {
        "in-cluster"
    } else {
        destination.server.as_str()
    };
    if destination.namespace.is_empty() {
        text::one_line(cluster)
    } else {
        text::one_line(&format!("{cluster}/{}", destination.namespace))
    }
}

fn first_of(sources: &[ApplicationSource], field: impl Fn(&ApplicationSource) -> &str) -> String {
    match sources {
        [] => String::new(),
        [source] => text::one_line(field(source)),
        [source, rest @ ..] => {
            format!("{} (+{})", text::one_line(field(source)), rest.len())
        }
    }
}

fn revision(application: &Application) -> String {
    let Some(sync) = application
        .status
        .as_ref()
        .and_then(|status| status.sync.as_ref())
    else {
        return String::new();
    };
    let short = |revision: &str| text::one_line(text::short_revision(revision));
    let status = application.status.as_ref();
    if let Some(tracked) = status.and_then(|status| status.tracked.as_ref()) {
        return short(&tracked.revision);
    }
    match sync.revisions.as_slice() {
        [] => short(&sync.revision),
        [only] => short(only),
        [first, rest @ ..] => format!("{} (+{})", short(first), rest.len()),
    }
}

fn last_sync(application: &Application) -> Option<Timestamp> {
    let status = application.status.as_ref()?;
    let operation = status
        .operation_state
        .as_ref()
        // It changed nothing.
        .filter(|state| !state.operation.is_dry_run())
        .and_then(|state| state.finished_at.as_ref());
    let deployed = status
        .history
        .last()
        .and_then(|entry| entry.deployed_at.as_ref());
    operation
        .into_iter()
        .chain(deployed)
        .map(|time| time.0)
        .max()
}
