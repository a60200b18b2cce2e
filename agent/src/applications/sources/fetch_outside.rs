//! Gets what kustomizations and lists of values files refer to outside of their repository.
//!
//! A render says what it needs, and is repeated with it. Each is had as a source is: only what the
//! project allows, with its credentials, from the same mirrors, and followed while it is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::ApplicationSpec;
use gitops_core::source::FailureKind;
use gitops_render::{Remote, RemoteKind, RenderError};

use crate::app_key::AppKey;
use crate::applications::error::ReconcileError;
use crate::applications::source_error::SourceError;
use crate::applications::sources::outside::{RemoteTree, permit, target};
use crate::applications::sources::{PATIENCE, Sources};
use crate::repositories::charts::ChartQuery;
use crate::repositories::trees::{ChartTree, FileTree};

/// Most things outside of its repository that one Application may read.
const MAX_REMOTES: usize = 64;

impl Sources {
    /// Everything an Application was known to read outside of its repositories, as servers say now. What a server does not answer
    /// for at the moment is as it was, and `stale` says so. `refresh` asks the servers again.
    pub(super) async fn outside_now(
        &self,
        key: &AppKey,
        spec: &ApplicationSpec,
        refresh: bool,
        stale: &mut Vec<String>,
    ) -> BTreeMap<Remote, RemoteTree> {
        let mut now = BTreeMap::new();
        for remote in self.outside.remotes(key) {
            let found = match self.had(spec, &remote, refresh).await {
                Ok(found) => Some(found),
                Err(ReconcileError::Source(error)) if error.kind() == FailureKind::Transient => {
                    let last = self.outside.last(key, &remote);
                    if last.is_some() && !error.is_fetching() {
                        stale.push(format!("{error}; what it last had is used"));
                    }
                    last
                }
                // What is gone, may not be read, or is no longer allowed by the project is not used: the render says so.
                Err(_) => None,
            };
            if let Some(found) = found {
                self.outside.note(key, &remote, Some(found.clone()));
                now.insert(remote, found);
            }
        }
        now
    }

    /// Gets what a render asked for, beside what it has.
    pub(super) async fn get_outside(
        &self,
        key: &AppKey,
        spec: &ApplicationSpec,
        wanted: &[Remote],
        given: &mut BTreeMap<Remote, RemoteTree>,
    ) -> Result<(), ReconcileError> {
        if given.len() + wanted.len() > MAX_REMOTES {
            return Err(SourceError::from(RenderError::Unsupported {
                message: format!(
                    "it refers to more than {MAX_REMOTES} charts, files and folders outside of its repository; copy some of them into the repository"
                ),
            })
            .into());
        }
        let mut any = false;
        for remote in wanted {
            permit(&self.configuration, spec, remote)?;
            any |= self.outside.note(key, remote, None);
        }
        if any {
            // Before it is asked for: who follows it is woken when it is there.
            self.follow(key, spec);
        }
        // All at once: a server that takes its time is waited for once.
        let asked = wanted.iter().map(|remote| self.had(spec, remote, false));
        let found = futures::future::join_all(asked).await;
        for (remote, found) in wanted.iter().zip(found) {
            let found = found?;
            self.outside.note(key, remote, Some(found.clone()));
            given.insert(remote.clone(), found);
        }
        Ok(())
    }

    async fn had(
        &self,
        spec: &ApplicationSpec,
        remote: &Remote,
        refresh: bool,
    ) -> Result<RemoteTree, ReconcileError> {
        let permit = permit(&self.configuration, spec, remote)?;
        let project = spec.effective_project();
        let credentials = self.configuration.credentials.get();
        match remote.kind {
            RemoteKind::Git => {
                let access = credentials.git(&permit, project);
                let checkout = self
                    .repositories
                    .checkout(&access, &target(remote), refresh, PATIENCE)
                    .await
                    .map_err(SourceError::from)?;
                Ok(RemoteTree {
                    tree: checkout.tree(),
                    revision: checkout.revision,
                })
            }
            RemoteKind::Chart => {
                let query = ChartQuery {
                    repository: credentials.chart(&permit, project, false),
                    chart: remote.name.clone(),
                    version: remote.revision.clone(),
                };
                let archive = self.chart(&query, refresh).await?;
                Ok(RemoteTree {
                    revision: archive.version.clone(),
                    tree: Arc::new(ChartTree(archive)),
                })
            }
            RemoteKind::File => {
                let address = credentials.file(&permit, project);
                let file = self.file(&address, refresh).await?;
                Ok(RemoteTree {
                    revision: format!("sha256:{}", file.sha256),
                    tree: Arc::new(FileTree(file)),
                })
            }
        }
    }
}
