//! What kustomizations refer to outside of their repository: other repositories and charts.
//!
//! A render says what it needs, and is repeated with it. Each is had as a source is: only what the
//! project allows, with its credentials, from the same mirrors, and followed while it is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gitops_api::ApplicationSpec;
use gitops_core::project::SourcePermit;
use gitops_render::{InputSet, Remote, RemoteKind, RenderError, SourceTree};
use parking_lot::Mutex;

use crate::app_key::AppKey;
use crate::applications::error::ReconcileError;
use crate::applications::permission;
use crate::applications::source_error::SourceError;
use crate::applications::sources::render::RenderTarget;
use crate::applications::sources::{PATIENCE, Sources};
use crate::repositories::Target;
use crate::repositories::charts::ChartQuery;
use crate::repositories::manager::Followed;
use crate::repositories::trees::ChartTree;

/// Most things outside of its repository that one Application may read.
const MAX_REMOTES: usize = 64;
/// How long what no render reads any more is followed: a held and a tracked revision take turns.
const KEPT: Duration = Duration::from_mins(10);

/// Something outside of the repository, as it is now.
#[derive(Clone)]
pub(crate) struct RemoteTree {
    /// Its files.
    pub(crate) tree: Arc<dyn SourceTree>,
    /// The commit, or the chart's version.
    pub(crate) revision: String,
}

/// What Applications read outside of their repositories.
#[derive(Default)]
pub(crate) struct Outside(Mutex<HashMap<AppKey, BTreeMap<Remote, Entry>>>);

struct Entry {
    /// `None` while it was never had.
    tree: Option<RemoteTree>,
    used: Instant,
}

impl Outside {
    fn remotes(&self, key: &AppKey) -> Vec<Remote> {
        let known = self.0.lock();
        let known = known.get(key);
        known.map_or_else(Vec::new, |known| known.keys().cloned().collect())
    }

    /// Whether it is new.
    fn note(&self, key: &AppKey, remote: &Remote, tree: Option<RemoteTree>) -> bool {
        let mut known = self.0.lock();
        let known = known.entry(key.clone()).or_default();
        let is_new = !known.contains_key(remote);
        let entry = known.entry(remote.clone()).or_insert_with(|| Entry {
            tree: None,
            used: Instant::now(),
        });
        if tree.is_some() {
            entry.tree = tree;
        }
        is_new
    }

    fn last(&self, key: &AppKey, remote: &Remote) -> Option<RemoteTree> {
        self.0.lock().get(key)?.get(remote)?.tree.clone()
    }

    /// Says that these are read, and forgets what has not been for a while.
    fn used<'a>(&self, key: &AppKey, read: impl Iterator<Item = &'a Remote>) {
        let mut all = self.0.lock();
        let Some(known) = all.get_mut(key) else {
            return;
        };
        for remote in read {
            if let Some(entry) = known.get_mut(remote) {
                entry.used = Instant::now();
            }
        }
        known.retain(|_, entry| entry.used.elapsed() < KEPT);
        if known.is_empty() {
            all.remove(key);
        }
    }

    pub(super) fn forget(&self, key: &AppKey) {
        self.0.lock().remove(key);
    }
}

impl Sources {
    /// The repositories in Git that an Application's kustomizations refer to.
    pub(super) fn followed_outside(&self, key: &AppKey, spec: &ApplicationSpec) -> Vec<Followed> {
        let credentials = self.configuration.credentials.get();
        let remotes = self.outside.remotes(key).into_iter();
        let git = remotes.filter(|remote| remote.kind == RemoteKind::Git);
        git.filter_map(|remote| {
            let permit = self.permit_outside(spec, &remote).ok()?;
            Some(Followed {
                access: credentials.git(&permit, spec.effective_project()),
                target: target(&remote),
            })
        })
        .collect()
    }

    /// Everything an Application was known to read outside of its repositories, as servers say now. What cannot be had
    /// is as it was. `refresh` asks the servers again.
    pub(super) async fn outside_now(
        &self,
        rendering: &RenderTarget<'_>,
        refresh: bool,
    ) -> BTreeMap<Remote, RemoteTree> {
        let (key, spec) = (rendering.key, &rendering.app.spec);
        let mut now = BTreeMap::new();
        for remote in self.outside.remotes(key) {
            let found = match self.had(spec, &remote, refresh).await {
                Ok(found) => Some(found),
                // What the project no longer allows is not used, either.
                Err(ReconcileError::Denied(_)) => None,
                Err(_) => self.outside.last(key, &remote),
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
        rendering: &RenderTarget<'_>,
        wanted: &[Remote],
        given: &mut BTreeMap<Remote, RemoteTree>,
    ) -> Result<(), ReconcileError> {
        let (key, spec) = (rendering.key, &rendering.app.spec);
        if given.len() + wanted.len() > MAX_REMOTES {
            return Err(SourceError::from(RenderError::Unsupported {
                message: format!(
                    "its kustomizations refer to more than {MAX_REMOTES} charts and folders of other repositories; copy some of them into the repository"
                ),
            })
            .into());
        }
        let mut any = false;
        for remote in wanted {
            self.permit_outside(spec, remote)?;
            any |= self.outside.note(key, remote, None);
        }
        if any {
            // Before it is asked for: who follows it is woken when it is there.
            self.follow(key, spec);
        }
        for remote in wanted {
            let found = self.had(spec, remote, false).await?;
            self.outside.note(key, remote, Some(found.clone()));
            given.insert(remote.clone(), found);
        }
        Ok(())
    }

    /// Keeps following what renders read, and nothing else for long.
    pub(super) fn read_outside<'a>(&self, key: &AppKey, read: impl Iterator<Item = &'a Remote>) {
        self.outside.used(key, read);
    }

    fn permit_outside(
        &self,
        spec: &ApplicationSpec,
        remote: &Remote,
    ) -> Result<SourcePermit, ReconcileError> {
        let rules = permission::rules(&self.configuration, spec)?;
        rules
            .permits_outside(&remote.url)
            .map_err(|denial| ReconcileError::Denied(vec![denial.to_string()]))
    }

    async fn had(
        &self,
        spec: &ApplicationSpec,
        remote: &Remote,
        refresh: bool,
    ) -> Result<RemoteTree, ReconcileError> {
        let permit = self.permit_outside(spec, remote)?;
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
        }
    }
}

/// What of a repository is meant; nothing means what its server has for default.
fn target(remote: &Remote) -> Target {
    let revision = if remote.revision.is_empty() {
        "HEAD"
    } else {
        &remote.revision
    };
    Target {
        revision: revision.to_owned(),
        tag_prefix: String::new(),
    }
}

/// The trees, as the renderer takes them.
pub(super) fn trees(
    remotes: &BTreeMap<Remote, RemoteTree>,
) -> BTreeMap<Remote, Arc<dyn SourceTree>> {
    let tree = |(remote, found): (&Remote, &RemoteTree)| (remote.clone(), Arc::clone(&found.tree));
    remotes.iter().map(tree).collect()
}

/// Those that a render has read, with the revisions it read.
pub(super) fn read(
    remotes: &BTreeMap<Remote, RemoteTree>,
    inputs: &InputSet,
) -> BTreeMap<Remote, String> {
    let read = remotes
        .iter()
        .filter(|(remote, _)| inputs.has_read(&remote.tree()));
    read.map(|(remote, found)| (remote.clone(), found.revision.clone()))
        .collect()
}
