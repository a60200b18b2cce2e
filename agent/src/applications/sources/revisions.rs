//! What is to be said of the revisions that sources resolve to.

use gitops_api::constants::condition;
use gitops_api::{Application, ApplicationSource};
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;
use gitops_core::source::revision;

use crate::applications::sources::resolved::ResolvedSource;

/// Conditions about names that mean two things, and about tags that moved since they were deployed.
pub(super) fn conditions(app: &Application, found: &[ResolvedSource]) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (place, source) in found.iter().enumerate() {
        let Some(checkout) = &source.checkout else {
            continue;
        };
        let target = &source.spec.target_revision;
        let Some(taken) = &checkout.reference else {
            continue;
        };
        if let Some(other) = &checkout.overshadowed {
            let reason = Reason::RevisionAmbiguous {
                target: target.clone(),
                taken: taken.clone(),
                other: other.clone(),
            };
            conditions.push(Condition::new(condition::REVISION_WARNING, reason));
        }
        let deployed = deployed(app, place);
        let deployed = deployed
            .iter()
            .filter(|(before, _)| before.repo_url == source.spec.repo_url)
            .map(|(before, revision)| (before.target_revision.as_str(), *revision));
        let prefix = &source.spec.tag_prefix;
        if let Some(before) =
            revision::moved_tag(taken, target, prefix, &checkout.revision, deployed)
        {
            let reason = Reason::TagMoved {
                tag: target.clone(),
                before: before.to_owned(),
                after: checkout.revision.clone(),
            };
            conditions.push(Condition::new(condition::REVISION_WARNING, reason));
        }
    }
    conditions
}

/// What the history says was deployed of the source at a place: source and commit, oldest first.
pub(super) fn deployed(app: &Application, place: usize) -> Vec<(&ApplicationSource, &str)> {
    let history = app
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.history);
    let entries = history.iter().filter_map(|entry| {
        if entry.sources.is_empty() {
            (place == 0).then_some(())?;
            Some((entry.source.as_ref()?, entry.revision.as_str()))
        } else {
            Some((
                entry.sources.get(place)?,
                entry.revisions.get(place)?.as_str(),
            ))
        }
    });
    entries.collect()
}
