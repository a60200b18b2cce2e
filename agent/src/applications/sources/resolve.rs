//! Sources looked up: which commit or chart version a source means now, and its files.

use std::collections::BTreeSet;
use std::sync::Arc;

use gitops_api::{ApplicationSource, ApplicationSpec};
use gitops_charts::ChartArchive;
use gitops_core::report::status::Condition;
use gitops_render::SourceTree;

use crate::applications::sources::render::comparison_error;
use crate::applications::{AppKey, Controller, short};
use crate::repositories::credentials::Repositories;
use crate::repositories::hub::Checkout;
use crate::repositories::trees::{ChartTree, CommitTree};

/// One source, looked up.
#[derive(Clone)]
pub(crate) struct ResolvedSource {
    /// The source.
    pub(crate) spec: ApplicationSource,
    /// Commit or chart version.
    pub(crate) revision: String,
    /// Its files.
    pub(crate) tree: Arc<dyn SourceTree>,
    /// The commit, for a source in Git.
    pub(crate) checkout: Option<Checkout>,
}

impl ResolvedSource {
    /// Whether the source is a chart of a chart repository.
    pub(crate) fn is_chart(&self) -> bool {
        self.checkout.is_none()
    }
}

impl Controller {
    /// Says which repositories and revisions an application follows, so that their changes wake
    /// it and nobody polls what nobody follows.
    pub(crate) fn follow(&self, key: &AppKey, spec: &ApplicationSpec) {
        let repositories = Repositories::new(&self.configuration, &self.namespace, self.allow_file);
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

    /// Looks every source up. `refresh` asks the servers again.
    pub(crate) async fn resolve_sources(
        &self,
        spec: &ApplicationSpec,
        sources: &[ApplicationSource],
        refresh: bool,
        conditions: &mut BTreeSet<Condition>,
    ) -> Result<Vec<ResolvedSource>, Condition> {
        let repositories = Repositories::new(&self.configuration, &self.namespace, self.allow_file);
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
        let fetch = async {
            let version = self
                .charts
                .resolve(&repository, &source.chart, &source.target_revision)
                .await?;
            self.charts
                .fetch(&repository, &source.chart, &version)
                .await
        };
        fetch
            .await
            .map_err(|error| comparison_error(error.to_string()))
    }
}
