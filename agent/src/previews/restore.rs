//! What a repository would look like with the files an application reads restored to an earlier
//! commit: found from what was read at both, as core decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gitops_api::preview::{PreviewRestore, PreviewRestoreSpec};
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::rollback::restore;
use gitops_core::rollback::restore::{Difference, Reader};
use gitops_core::source;
use gitops_core::source::revision::short;
use gitops_core::sync::hold;
use gitops_git::{GitError, Mirror};
use gitops_render::{SourceTree, TreeEntry, TreeError};

use super::PATIENCE;
use super::edited_tree::{Edit, EditedTree};
use crate::app_key::AppKey;
use crate::applications::context::ReconcileContext;
use crate::applications::sources::rendered::{Dependency, RenderedSource, RenderedSources};
use crate::applications::sources::resolved::ResolvedSource;
use crate::repositories::blocking;

/// Most files of an application's folder that are compared when it does not render.
const MAX_FILES: usize = 5000;
/// Most commits looked through for those that must not be taken back.
const MAX_COMMITS: usize = 200;
/// Longest wait for what another application reads while it is being synced.
const CACHE_TIMEOUT: Duration = Duration::from_secs(3);
/// Trailer of a commit that must not be taken back.
const IRREVERSIBLE: &str = "Gitops-Irreversible:";
/// Marker of image automation in files it writes to.
const AUTOMATED: &[u8] = b"{\"$imagepolicy\"";

/// What restoring means.
pub(super) struct Restoration {
    /// The sources with the restored files.
    pub(super) found: Vec<ResolvedSource>,
    /// The same for people, one entry a repository.
    pub(super) restores: Vec<PreviewRestore>,
    /// What Git holds now; `None` when it does not render.
    pub(super) now: Option<Arc<DesiredSet>>,
    /// What the earlier revision renders to.
    pub(super) then: Arc<DesiredSet>,
    /// Commits in between that must not be taken back, and why.
    pub(super) irreversible: Vec<(String, String)>,
    /// Restored files that image automation writes to.
    pub(super) automated_files: Vec<String>,
    /// Notes.
    pub(super) warnings: Vec<String>,
}

/// Finds out what restoring means. `head` are the sources as they are tracked.
pub(super) async fn restoration(
    context: &ReconcileContext<'_>,
    head: Vec<ResolvedSource>,
    wanted: &PreviewRestoreSpec,
) -> Result<Restoration, String> {
    let app = context.app;
    let from = &context.controller.sources;
    let sources = hold::at_revisions(
        app.spec.effective_sources(),
        &wanted.revision,
        &wanted.revisions,
    );
    let mut notes = BTreeSet::new();
    let target = from
        .resolve_within(PATIENCE, &app.spec, &sources, false, &mut notes)
        .await
        .map_err(|error| error.to_string())?;
    let rendering = context.target();
    let render =
        |found: Vec<ResolvedSource>| from.render(&rendering, found, String::new(), String::new());
    let then = render(target.clone())
        .await
        .map_err(|error| format!("the earlier revision no longer renders: {error}"))?;
    let (now, mut warnings) = match render(head.clone()).await {
        Ok(rendered) => (Some(rendered), Vec::new()),
        Err(error) => (
            None,
            vec![format!(
                "the tracked revision does not render, so all files of the application's \
                 folder are restored: {error}"
            )],
        ),
    };
    let mut restoration = Restoration {
        found: head.clone(),
        restores: Vec::new(),
        now: now.as_ref().map(|rendered| rendered.desired.clone()),
        then: then.desired.clone(),
        irreversible: Vec::new(),
        automated_files: Vec::new(),
        warnings: Vec::new(),
    };
    for group in repositories(&head) {
        let (first, earlier) = (&head[group[0]], &target[group[0]]);
        let (Some(at), Some(_)) = (&first.checkout, &earlier.checkout) else {
            continue;
        };
        if group
            .iter()
            .any(|place| head[*place].revision != first.revision)
        {
            warnings.push(format!(
                "sources of {} follow different revisions; only the first is restored upon",
                first.spec.repo_url
            ));
        }
        let mut paths = BTreeSet::new();
        for place in &group {
            paths.extend(read_paths(&then, &target, *place));
            match &now {
                Some(now) => paths.extend(read_paths(now, &head, *place)),
                None => {
                    for found in [&head[*place], &target[*place]] {
                        files_below(found.tree.as_ref(), &found.spec.path, &mut paths)
                            .map_err(|error| error.to_string())?;
                    }
                }
            }
        }
        let differences = differences(&paths, first.tree.as_ref(), earlier.tree.as_ref())
            .map_err(|error| error.to_string())?;
        let (others, unknown) = readers(context, first).await;
        let files = restore::files(&differences, &others, wanted.include_shared);
        let mut edits = BTreeMap::new();
        for file in files.iter().filter(|file| !file.left) {
            let edit =
                edit(&file.path, earlier.tree.as_ref()).map_err(|error| error.to_string())?;
            let automated = |tree: &dyn SourceTree| {
                tree.read(&file.path)
                    .is_ok_and(|bytes| contains(&bytes, AUTOMATED))
            };
            if automated(first.tree.as_ref()) || automated(earlier.tree.as_ref()) {
                restoration.automated_files.push(file.path.clone());
            }
            edits.insert(file.path.clone(), edit);
        }
        for place in &group {
            let found = &mut restoration.found[*place];
            found.tree = Arc::new(EditedTree {
                base: found.tree.clone(),
                edits: edits.clone(),
            });
        }
        let (mirror, from, to) = (
            at.mirror.clone(),
            first.revision.clone(),
            earlier.revision.clone(),
        );
        restoration.irreversible.extend(
            blocking(move || irreversible(&mirror, &from, &to))
                .await
                .unwrap_or_default(),
        );
        restoration.restores.push(PreviewRestore {
            repo_url: first.spec.repo_url.clone(),
            branch: at
                .reference
                .as_deref()
                .and_then(|name| name.strip_prefix("refs/heads/"))
                .unwrap_or_default()
                .to_owned(),
            from: first.revision.clone(),
            to: earlier.revision.clone(),
            files,
            unknown_applications: unknown,
            ..PreviewRestore::default()
        });
    }
    restoration.warnings = warnings;
    Ok(restoration)
}

/// What the other applications read that follow the same branch of the same repository, and
/// the names of those of which that is not known.
async fn readers(
    context: &ReconcileContext<'_>,
    of: &ResolvedSource,
) -> (Vec<Reader>, Vec<String>) {
    let url = source::normalize(&of.spec.repo_url);
    let (mut readers, mut unknown) = (Vec::new(), Vec::new());
    for other in context.controller.configuration.applications.state() {
        let other_key = AppKey::of(other.as_ref());
        let sources = other.spec.effective_sources();
        let near = |place: &usize| {
            sources[*place].chart.is_empty() && source::normalize(&sources[*place].repo_url) == url
        };
        let places: Vec<usize> = (0..sources.len()).filter(near).collect();
        if other_key == *context.key || places.is_empty() {
            continue;
        }
        let mut notes = BTreeSet::new();
        let from = &context.controller.sources;
        let found = from.resolve(&other.spec, sources, false, &mut notes);
        let Ok(found) = found.await else {
            unknown.push(other_key.name);
            continue;
        };
        let reference = |found: &ResolvedSource| {
            found
                .checkout
                .as_ref()
                .and_then(|checkout| checkout.reference.clone())
        };
        let same: Vec<usize> = places
            .into_iter()
            .filter(|place| match reference(of) {
                Some(name) => reference(&found[*place]) == Some(name),
                None => found[*place].revision == of.revision,
            })
            .collect();
        if same.is_empty() {
            continue;
        }
        let cache = context.controller.caches.of(&other_key);
        let Ok(cache) = tokio::time::timeout(CACHE_TIMEOUT, cache.lock()).await else {
            unknown.push(other_key.name);
            continue;
        };
        match cache.rendered.rendered() {
            Some(rendered) if rendered.sources.len() == found.len() => {
                let mut reader = Reader {
                    application: other_key.name,
                    ..Reader::default()
                };
                for place in same {
                    reader.paths.extend(read_paths(rendered, &found, place));
                    reader.folders.extend(listed(rendered, &found, place));
                }
                readers.push(reader);
            }
            _ => unknown.push(other_key.name),
        }
    }
    readers.sort_by(|a, b| a.application.cmp(&b.application));
    unknown.sort();
    (readers, unknown)
}

/// Places of the sources in Git, by repository.
fn repositories(found: &[ResolvedSource]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (place, source) in found.iter().enumerate() {
        if source.is_chart() {
            continue;
        }
        let url = source::normalize(&source.spec.repo_url);
        match groups.iter_mut().find(|(known, _)| *known == url) {
            Some((_, places)) => places.push(place),
            None => groups.push((url, vec![place])),
        }
    }
    groups.into_iter().map(|(_, places)| places).collect()
}

/// Files of the source at `place` that were read, by itself or by others through its `ref`.
pub(super) fn read_paths(
    rendered: &RenderedSources,
    found: &[ResolvedSource],
    place: usize,
) -> BTreeSet<String> {
    facts(rendered, found, place, |source| {
        source
            .inputs
            .paths()
            .map(|(tree, path)| (tree.to_owned(), path.to_owned()))
            .collect()
    })
}

/// Folders of the source at `place` whose names were listed.
fn listed(rendered: &RenderedSources, found: &[ResolvedSource], place: usize) -> BTreeSet<String> {
    facts(rendered, found, place, |source| {
        source
            .inputs
            .listings()
            .map(|(tree, path)| (tree.to_owned(), path.to_owned()))
            .collect()
    })
}

fn facts(
    rendered: &RenderedSources,
    found: &[ResolvedSource],
    place: usize,
    of: impl Fn(&RenderedSource) -> Vec<(String, String)>,
) -> BTreeSet<String> {
    let reference = &found[place].spec.ref_name;
    let mut paths = BTreeSet::new();
    for (index, source) in rendered.sources.iter().enumerate() {
        for (tree, path) in of(source) {
            let own = tree.is_empty() && index == place;
            let lent = !reference.is_empty() && tree.trim_start_matches('$') == reference;
            if own {
                paths.insert(in_repository(&source.dependencies, path));
            } else if lent {
                paths.insert(path);
            }
        }
    }
    paths
}

/// Where a file of a chart's dependency really is, when that is a folder of the same repository.
fn in_repository(dependencies: &BTreeMap<String, Dependency>, path: String) -> String {
    for (mount, dependency) in dependencies {
        if let Dependency::Folder(folder) = dependency
            && let Some(inside) = path.strip_prefix(mount.as_str())
            && let Some(inside) = inside.strip_prefix('/')
        {
            return format!("{folder}/{inside}");
        }
    }
    path
}

fn files_below(
    tree: &dyn SourceTree,
    folder: &str,
    paths: &mut BTreeSet<String>,
) -> Result<(), TreeError> {
    let folder = folder.trim_matches('/').trim_start_matches("./");
    let folder = if folder == "." { "" } else { folder };
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        if !matches!(tree.entry(&folder)?, TreeEntry::Tree { .. }) {
            continue;
        }
        for item in tree.list(&folder)? {
            let path = if folder.is_empty() {
                item.name
            } else {
                format!("{folder}/{}", item.name)
            };
            match item.entry {
                TreeEntry::Tree { .. } => waiting.push(path),
                TreeEntry::Blob { .. } if paths.len() < MAX_FILES => {
                    paths.insert(path);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn differences(
    paths: &BTreeSet<String>,
    head: &dyn SourceTree,
    target: &dyn SourceTree,
) -> Result<BTreeSet<Difference>, TreeError> {
    let is_file = |entry: &TreeEntry| matches!(entry, TreeEntry::Blob { .. });
    let mut found = BTreeSet::new();
    for path in paths {
        let (now, then) = (head.entry(path)?, target.entry(path)?);
        if now != then && (is_file(&now) || is_file(&then)) {
            found.insert(Difference {
                path: path.clone(),
                delete: !is_file(&then),
                appears: !is_file(&now),
            });
        }
    }
    Ok(found)
}

fn edit(path: &str, target: &dyn SourceTree) -> Result<Edit, TreeError> {
    Ok(match target.entry(path)? {
        TreeEntry::Blob {
            symlink: Some(target),
            ..
        } => Edit::Link { target },
        TreeEntry::Blob { executable, .. } => Edit::File {
            bytes: target.read(path)?,
            executable,
        },
        _ => Edit::Absent,
    })
}

/// Commits after `to` up to `from` that say they must not be taken back, newest first.
fn irreversible(mirror: &Mirror, from: &str, to: &str) -> Result<Vec<(String, String)>, GitError> {
    let oldest = mirror.commit(to)?.time;
    let (mut found, mut seen) = (Vec::new(), BTreeSet::from([to.to_owned()]));
    let mut waiting = vec![from.to_owned()];
    while let Some(sha) = waiting.pop() {
        if seen.len() > MAX_COMMITS || !seen.insert(sha.clone()) {
            continue;
        }
        let commit = mirror.commit(&sha)?;
        if commit.time < oldest {
            continue;
        }
        let why = commit
            .message
            .lines()
            .find_map(|line| line.trim().strip_prefix(IRREVERSIBLE));
        if let Some(why) = why {
            found.push((short(&sha).to_owned(), why.trim().to_owned()));
        }
        waiting.extend(commit.parents);
    }
    Ok(found)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
