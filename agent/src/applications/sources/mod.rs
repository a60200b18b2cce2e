//! Where desired state comes from: Git and chart repositories, looked up and rendered.
//!
//! Knows Applications and what a cluster serves, but neither reads nor changes a cluster.

pub(crate) mod dependencies;
pub(crate) mod hold;
pub(crate) mod render;
pub(crate) mod rendered;
pub(crate) mod resolved;

use std::collections::BTreeSet;
use std::sync::Arc;

use gitops_api::{ApplicationSource, ApplicationSpec};
use gitops_charts::{ChartArchive, ChartFetcher, ChartRepository};
use gitops_core::report::status::Condition;
use gitops_core::source::revision::short;
use gitops_render::Renderer;

use crate::app_key::AppKey;
use crate::applications::condition::comparison_error;
use crate::applications::sources::resolved::ResolvedSource;
use crate::configuration::Configuration;
use crate::metrics::Metrics;
use crate::repositories::credentials::Repositories;
use crate::repositories::hub::RepositoryManager;
use crate::repositories::trees::{ChartTree, CommitTree};
use crate::settings::CurrentSettings;

/// Repositories, and the renderer of what they hold.
pub(crate) struct Sources {
    /// Credentials, certificates, known hosts.
    pub(crate) configuration: Arc<Configuration>,
    /// argocd-cm.
    pub(crate) settings: CurrentSettings,
    /// Git repositories.
    pub(crate) hub: RepositoryManager,
    /// Chart repositories.
    pub(crate) charts: ChartFetcher,
    /// Renders.
    pub(crate) renderer: Renderer,
    /// `file://` repositories are allowed (tests).
    pub(crate) allow_file: bool,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
}

impl Sources {
    /// Says which repositories and revisions an application follows, so that their changes wake
    /// it and nobody polls what nobody follows.
    pub(crate) fn follow(&self, key: &AppKey, spec: &ApplicationSpec) {
        let repositories = self.credentials();
        let project = spec.effective_project();
        let followed: Vec<_> = spec
            .effective_sources()
            .iter()
            .filter(|source| source.chart.is_empty())
            .map(|source| {
                let access = repositories.git(&source.repo_url, project);
                (
                    access,
                    source.target_revision.clone(),
                    source.tag_prefix.clone(),
                )
            })
            .collect();
        self.hub.follow(key, &followed);
    }

    /// Follows nothing for an application any more.
    pub(crate) fn forget(&self, key: &AppKey) {
        self.hub.follow(key, &[]);
    }

    /// How each repository is reached now.
    pub(crate) fn credentials(&self) -> Repositories {
        let namespace = &self.configuration.namespace;
        Repositories::new(&self.configuration, namespace, self.allow_file)
    }

    /// Looks every source up. `refresh` asks the servers again.
    pub(crate) async fn resolve(
        &self,
        spec: &ApplicationSpec,
        sources: &[ApplicationSource],
        refresh: bool,
        conditions: &mut BTreeSet<Condition>,
    ) -> Result<Vec<ResolvedSource>, Condition> {
        let repositories = self.credentials();
        let project = spec.effective_project();
        let mut found = Vec::new();
        for source in sources {
            found.push(if source.chart.is_empty() {
                let access = repositories.git(&source.repo_url, project);
                let checkout = self
                    .hub
                    .resolve(
                        &access,
                        &source.target_revision,
                        &source.tag_prefix,
                        refresh,
                    )
                    .await
                    .map_err(|error| comparison_error(error.to_string()))?;
                if let Some(reason) = &checkout.stale {
                    conditions.insert(comparison_error(format!(
                        "{reason}; comparing with the last known commit {}",
                        short(&checkout.revision)
                    )));
                }
                ResolvedSource {
                    spec: source.clone(),
                    revision: checkout.revision.clone(),
                    tree: Arc::new(CommitTree(checkout.snapshot.clone())),
                    checkout: Some(checkout),
                }
            } else {
                let archive = self.chart(&repositories, source, project, refresh).await?;
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

    async fn chart(
        &self,
        repositories: &Repositories,
        source: &ApplicationSource,
        project: &str,
        refresh: bool,
    ) -> Result<Arc<ChartArchive>, Condition> {
        let pass = source
            .helm
            .as_ref()
            .is_some_and(|helm| helm.pass_credentials);
        let repository = repositories.chart(&source.repo_url, project, pass);
        if refresh {
            self.charts.forget(&repository);
        }
        self.fetch_chart(&repository, &source.chart, &source.target_revision)
            .await
    }

    /// The newest chart version of a range.
    pub(crate) async fn fetch_chart(
        &self,
        repository: &ChartRepository,
        name: &str,
        range: &str,
    ) -> Result<Arc<ChartArchive>, Condition> {
        let fetch = async {
            let version = self.charts.resolve(repository, name, range).await?;
            self.charts.fetch(repository, name, &version).await
        };
        fetch
            .await
            .map_err(|error| comparison_error(error.to_string()))
    }
}
