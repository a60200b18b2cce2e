//! Where desired state comes from: Git and chart repositories, looked up and rendered.
//!
//! Knows Applications and what a cluster serves, but neither reads nor changes a cluster.

pub(crate) mod dependencies;
mod fetch_outside;
pub(crate) mod hold;
pub(crate) mod outside;
mod reasons;
pub(crate) mod render;
pub(crate) mod rendered;
pub(crate) mod resolved;
mod revisions;
mod unreadable;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gitops_api::{ApplicationSource, ApplicationSpec};
use gitops_charts::{ChartArchive, ChartRepository, RemoteFile};
use gitops_core::manifest::digest::DigestKey;
use gitops_core::report::status::Condition;
use gitops_render::{RemoteKind, Renderer};

use crate::app_key::AppKey;
use crate::applications::condition::comparison_failed;
use crate::applications::error::ReconcileError;
use crate::applications::permission;
use crate::applications::source_error::SourceError;
use crate::applications::sources::outside::Outside;
use crate::applications::sources::resolved::ResolvedSource;
use crate::configuration::Configuration;
use crate::follower::Follower;
use crate::metrics::Metrics;
use crate::repositories::Target;
use crate::repositories::charts::{ChartQuery, Charts};
use crate::repositories::manager::{Followed, RepositoryManager};
use crate::repositories::trees::ChartTree;
use crate::settings::CurrentSettings;

/// How long a reconciliation waits for a server: most answer sooner, and a worker that waits works for
/// nobody else.
const PATIENCE: Duration = Duration::from_secs(2);

/// Repositories, and the renderer of what they hold.
pub(crate) struct Sources {
    /// Credentials, certificates, known hosts.
    pub(crate) configuration: Arc<Configuration>,
    /// argocd-cm.
    pub(crate) settings: CurrentSettings,
    /// Key of the digests of manifests.
    pub(crate) digest_key: DigestKey,
    /// Git repositories.
    pub(crate) repositories: RepositoryManager<Follower>,
    /// Chart repositories.
    pub(crate) charts: Charts,
    /// What Applications read outside of their repositories.
    pub(crate) outside: Outside,
    /// Renders.
    pub(crate) renderer: Renderer,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
}

impl Sources {
    /// Says which repositories and revisions an application follows, so that their changes wake
    /// it and nobody polls what nobody follows.
    pub(crate) fn follow(&self, key: &AppKey, spec: &ApplicationSpec) {
        let credentials = self.configuration.credentials.get();
        let project = spec.effective_project();
        let sources = spec.effective_sources();
        // What the project does not allow is not asked for, either.
        let permits = permission::sources(&self.configuration, spec, sources).unwrap_or_default();
        let followed = sources
            .iter()
            .zip(&permits)
            .filter(|(source, _)| source.chart.is_empty())
            .map(|(source, permit)| Followed {
                access: credentials.git(permit, project),
                target: target(source),
            });
        let who = Follower::Application(key.clone());
        let outside = outside::followed(&self.outside, &self.configuration, key, spec);
        self.repositories.follow(&who, followed.chain(outside));
    }

    /// Follows nothing for an application any more.
    pub(crate) fn forget(&self, key: &AppKey) {
        let who = Follower::Application(key.clone());
        self.outside.forget(key);
        self.repositories.follow(&who, []);
    }

    /// Looks every source up that the project allows. `refresh` asks the servers again. A source whose server could not be
    /// asked is the commit known last, and a condition says so. A server that takes its time is not
    /// waited for ([`SourceError::is_fetching`]): others wait for this worker.
    pub(crate) async fn resolve(
        &self,
        spec: &ApplicationSpec,
        sources: &[ApplicationSource],
        refresh: bool,
        conditions: &mut BTreeSet<Condition>,
    ) -> Result<Vec<ResolvedSource>, ReconcileError> {
        self.resolve_within(PATIENCE, spec, sources, refresh, conditions)
            .await
    }

    /// As [`Self::resolve`], waiting for servers until `patience` after they were first asked.
    pub(crate) async fn resolve_within(
        &self,
        patience: Duration,
        spec: &ApplicationSpec,
        sources: &[ApplicationSource],
        refresh: bool,
        conditions: &mut BTreeSet<Condition>,
    ) -> Result<Vec<ResolvedSource>, ReconcileError> {
        let permits = permission::sources(&self.configuration, spec, sources)?;
        let credentials = self.configuration.credentials.get();
        let project = spec.effective_project();
        let mut found = Vec::new();
        for (source, permit) in sources.iter().zip(&permits) {
            found.push(if source.chart.is_empty() {
                let access = credentials.git(permit, project);
                let checkout = self
                    .repositories
                    .checkout(&access, &target(source), refresh, patience)
                    .await
                    .map_err(SourceError::from)?;
                if let Some(reason) = &checkout.stale {
                    let last_known = Some(checkout.revision.clone());
                    let reason = reasons::of_repository(reason, last_known);
                    conditions.insert(comparison_failed(reason));
                }
                ResolvedSource {
                    spec: source.clone(),
                    revision: checkout.revision.clone(),
                    tree: checkout.tree(),
                    checkout: Some(checkout),
                }
            } else {
                let pass_credentials = source
                    .helm
                    .as_ref()
                    .is_some_and(|helm| helm.pass_credentials);
                let query = ChartQuery {
                    repository: credentials.chart(permit, project, pass_credentials),
                    chart: source.chart.clone(),
                    version: source.target_revision.clone(),
                };
                let interval = self.repositories.interval();
                let archive = self.charts.get(&query, refresh, interval, patience).await;
                let archive = archive.map_err(SourceError::from)?;
                ResolvedSource {
                    spec: source.clone(),
                    revision: archive.version.clone(),
                    tree: Arc::new(ChartTree(archive)),
                    checkout: None,
                }
            });
        }
        Ok(found)
    }

    /// The newest chart version of a range.
    pub(crate) async fn chart(
        &self,
        query: &ChartQuery,
        refresh: bool,
    ) -> Result<Arc<ChartArchive>, SourceError> {
        let interval = self.repositories.interval();
        Ok(self.charts.get(query, refresh, interval, PATIENCE).await?)
    }

    /// The file at an address.
    pub(crate) async fn file(
        &self,
        address: &ChartRepository,
        refresh: bool,
    ) -> Result<Arc<RemoteFile>, SourceError> {
        let interval = self.repositories.interval();
        Ok(self
            .charts
            .file(address, refresh, interval, PATIENCE)
            .await?)
    }

    /// Whether an Application reads something that nobody announces: charts, and files of other servers.
    pub(crate) fn reads_unannounced(&self, key: &AppKey, sources: &[ApplicationSource]) -> bool {
        let outside = self.outside.remotes(key);
        sources.iter().any(|source| !source.chart.is_empty())
            || outside.iter().any(|remote| remote.kind != RemoteKind::Git)
    }
}

fn target(source: &ApplicationSource) -> Target {
    Target {
        revision: source.target_revision.clone(),
        tag_prefix: source.tag_prefix.clone(),
    }
}
