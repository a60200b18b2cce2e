//! What kustomizations and lists of values files refer to outside of their repository: other repositories, charts and single files.
//!
//! Decides which of it is followed and what a render may use; `fetch_outside` gets it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gitops_api::ApplicationSpec;
use gitops_core::project::SourcePermit;
use gitops_render::{InputSet, Remote, RemoteKind, SourceTree};
use parking_lot::Mutex;

use crate::app_key::AppKey;
use crate::applications::error::ReconcileError;
use crate::applications::permission;
use crate::configuration::Configuration;
use crate::repositories::Target;
use crate::repositories::manager::Followed;

/// How long what no render reads any more is followed: a held and a tracked revision take turns.
const KEPT: Duration = Duration::from_mins(10);

/// Something outside of the repository, as it is now.
#[derive(Clone)]
pub(crate) struct RemoteTree {
    /// Its files.
    pub(crate) tree: Arc<dyn SourceTree>,
    /// The commit, the chart's version, or the file's digest.
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
    pub(super) fn remotes(&self, key: &AppKey) -> Vec<Remote> {
        let known = self.0.lock();
        let known = known.get(key);
        known.map_or_else(Vec::new, |known| known.keys().cloned().collect())
    }

    /// Whether it is new.
    pub(super) fn note(&self, key: &AppKey, remote: &Remote, tree: Option<RemoteTree>) -> bool {
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

    pub(super) fn last(&self, key: &AppKey, remote: &Remote) -> Option<RemoteTree> {
        self.0.lock().get(key)?.get(remote)?.tree.clone()
    }

    /// Says that these are read, and forgets what has not been for a while.
    pub(super) fn used<'a>(&self, key: &AppKey, read: impl Iterator<Item = &'a Remote>) {
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

/// The repositories in Git that an Application's kustomizations refer to.
pub(super) fn followed(
    outside: &Outside,
    configuration: &Configuration,
    key: &AppKey,
    spec: &ApplicationSpec,
) -> Vec<Followed> {
    let credentials = configuration.credentials.get();
    let remotes = outside.remotes(key).into_iter();
    let git = remotes.filter(|remote| remote.kind == RemoteKind::Git);
    git.filter_map(|remote| {
        let permit = permit(configuration, spec, &remote).ok()?;
        Some(Followed {
            access: credentials.git(&permit, spec.effective_project()),
            target: target(&remote),
        })
    })
    .collect()
}

/// Permission to read something outside of the repository.
pub(super) fn permit(
    configuration: &Configuration,
    spec: &ApplicationSpec,
    remote: &Remote,
) -> Result<SourcePermit, ReconcileError> {
    let rules = permission::rules(configuration, spec)?;
    rules
        .permits_outside(&remote.url)
        .map_err(|denial| ReconcileError::Denied(vec![denial.to_string()]))
}

/// What of a repository is meant; nothing means what its server has for default.
pub(super) fn target(remote: &Remote) -> Target {
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
