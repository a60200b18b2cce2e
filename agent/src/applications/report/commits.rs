//! What people want to know of commits: who made the one that is live, what it says, how far behind
//! it is, and which commit last changed anything the application reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::status::{CommitSummary, LiveRevision};
use gitops_api::{ApplicationStatus, Time};
use gitops_core::report::history;
use gitops_git::{CommitInfo, GitError, Mirror};
use gitops_render::{InputSet, SourceTree};
use jiff::Timestamp;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::applications::draft::StatusDraft;
use crate::applications::tip::Tip;
use crate::repositories::blocking;
use crate::repositories::trees::CommitTree;

/// How many commits are looked through for the last one that changed something. One that is
/// further away is left out rather than searched for at length.
const MAX_COMMITS: usize = 50;
/// Longest subject kept.
const MAX_SUBJECT: usize = 120;

/// A commit for people.
pub(crate) fn summary(commit: &CommitInfo) -> CommitSummary {
    CommitSummary {
        revision: commit.sha.clone(),
        author: commit.author_name.chars().take(MAX_SUBJECT).collect(),
        subject: commit.subject.chars().take(MAX_SUBJECT).collect(),
        time: Timestamp::from_second(commit.time).ok().map(Time),
    }
}

/// The commit of a finished sync, for the history. `None` when it cannot be read.
pub(crate) async fn delivered(app_state: &AppState) -> Option<CommitSummary> {
    let (place, mirror) = app_state.wanted.git.clone()?;
    let revision = app_state.wanted.revisions.get(place)?.clone();
    blocking(move || Ok(summary(&mirror.commit(&revision)?)))
        .await
        .ok()
}

/// Which commit is live. `tracked` are the revisions the application follows, which differ from
/// those compared while another revision is held. Asks Git only when something moved.
pub(crate) async fn live(
    previous: &ApplicationStatus,
    app_state: &AppState,
    tracked: &[String],
    cache: &mut AppCache,
) -> Option<LiveRevision> {
    let (place, mirror) = app_state.wanted.git.clone()?;
    let head = tracked.get(place)?.clone();
    let revision = history::live_commit(previous, app_state.compared(), place)?;
    let known = previous
        .live
        .clone()
        .filter(|known| known.commit.revision == revision);
    if known.is_some() && cache.live_at.as_ref() == Some(&head) {
        return None;
    }
    let rendered = cache.held.rendered().or(cache.rendered.rendered());
    let inputs = rendered
        .filter(|_| app_state.wanted.revisions.get(place) == Some(&revision))
        .and_then(|rendered| rendered.sources.get(place))
        .filter(|source| source.dependencies.is_empty())
        .map(|source| source.inputs.clone());
    let changed_before = previous.live.as_ref().and_then(|live| live.changed.clone());
    let target = head.clone();
    let found = blocking(move || {
        let commit = match known.as_ref() {
            Some(known) => known.commit.clone(),
            None => summary(&mirror.commit(&revision)?),
        };
        let behind = if revision == target {
            0
        } else {
            // Rewritten history: what is live is on no way to the tracked commit.
            mirror.count_between(&revision, &target).unwrap_or_default()
        };
        let changed = match inputs {
            Some(inputs) => last_change(&mirror, &revision, &inputs, changed_before),
            None => known.and_then(|known| known.changed),
        };
        Ok(LiveRevision {
            commit,
            changed,
            behind: i64::try_from(behind).unwrap_or(i64::MAX),
            ..LiveRevision::default()
        })
    })
    .await;
    match found {
        Ok(live) => {
            cache.live_at = Some(head);
            Some(live)
        }
        Err(error) => {
            // A shallow mirror may not have it; status says as much as is known.
            tracing::debug!(%error, "the live commit cannot be described");
            None
        }
    }
}

/// The tip of what is followed, when that is not what was compared: whoever looks at a broken
/// application asks whose commit that is. Of sources that cannot be looked up it is what was known
/// before.
pub(crate) async fn tip(
    draft: &StatusDraft<'_>,
    app_state: Option<&AppState>,
) -> Option<CommitSummary> {
    let known = &draft.previous.tracked;
    let Some(Tip { place, mirror }) = draft.tip.clone() else {
        return known.clone();
    };
    let head = draft.tracked.get(place)?.clone();
    let compared = match app_state {
        Some(app_state) => app_state.wanted.revisions.get(place),
        None => draft.previous.sync.as_ref().and_then(|sync| {
            let several = sync.revisions.get(place);
            several.or((place == 0).then_some(&sync.revision))
        }),
    };
    if compared == Some(&head) {
        return None;
    }
    if let Some(known) = known.as_ref().filter(|known| known.revision == head) {
        return Some(known.clone());
    }
    blocking(move || Ok(summary(&mirror.commit(&head)?)))
        .await
        .ok()
}

/// What is live while nothing can be compared: as before, and how far the tip has moved on. `None`
/// when there is no news.
pub(crate) async fn behind(draft: &StatusDraft<'_>, cache: &mut AppCache) -> Option<LiveRevision> {
    let Tip { place, mirror } = draft.tip.clone()?;
    let head = draft.tracked.get(place)?.clone();
    let known = draft.previous.live.clone()?;
    if cache.live_at.as_ref() == Some(&head) {
        return None;
    }
    let (live, target) = (known.commit.revision.clone(), head.clone());
    let found = blocking(move || {
        if live == target {
            return Ok(0);
        }
        mirror.count_between(&live, &target)
    });
    let behind = found.await.ok()?;
    cache.live_at = Some(head);
    Some(LiveRevision {
        behind: i64::try_from(behind).unwrap_or(i64::MAX),
        ..known
    })
}

/// The newest commit up to `revision` after which the inputs are what they are now.
fn last_change(
    mirror: &Arc<Mirror>,
    revision: &str,
    inputs: &InputSet,
    before: Option<CommitSummary>,
) -> Option<CommitSummary> {
    if inputs.uses_revision() {
        return None;
    }
    let same = |sha: &str| -> Result<bool, GitError> {
        let tree = CommitTree(mirror.snapshot(sha)?);
        let refs: BTreeMap<String, Arc<dyn SourceTree>> = BTreeMap::new();
        Ok(inputs.unchanged(&tree, &refs).unwrap_or(false))
    };
    // Most commits change nothing for most applications: the answer so far still holds.
    if let Some(before) = before
        && mirror.is_ancestor(&before.revision, revision).ok()?
        && same(&before.revision).ok()?
    {
        return Some(before);
    }
    let mut commit = mirror.commit(revision).ok()?;
    for _ in 0..MAX_COMMITS {
        let Some(parent) = commit.parents.first().cloned() else {
            return Some(summary(&commit));
        };
        if !same(&parent).ok()? {
            return Some(summary(&commit));
        }
        commit = mirror.commit(&parent).ok()?;
    }
    None
}
