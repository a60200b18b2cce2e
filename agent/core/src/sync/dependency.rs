//! Applications that are delivered only after others: `gitops-agent.io/depends-on`.
//!
//! What the agent would sync by itself waits until each of them is as Git has it and healthy, at the same
//! commit where both follow the same one. Self-heal does not wait, nor does a sync that a person asks
//! for: what is delivered already is kept right, and a person decides.

use std::collections::BTreeSet;

use gitops_api::status::SyncStatus;
use gitops_api::{Application, ApplicationSource, HealthStatusCode, SyncStatusCode};

use crate::reason::{Unready, WaitedFor};
use crate::source::normalize;

/// Reads the annotation: names of Applications in the namespace of the Application itself, separated by
/// commas or white space. Gives the names, each once, and what is wrong with the others.
pub fn parse(text: &str, namespace: &str, own: &str) -> (Vec<String>, Vec<String>) {
    let (mut names, mut problems) = (Vec::new(), Vec::new());
    for word in text.split([',', ' ', '\t', '\n', '\r']) {
        let name = match word.split_once('/') {
            Some((of, name)) if of == namespace => name,
            Some(_) => {
                problems.push(format!(
                    "{word:?} is no Application of namespace {namespace}, and no other is looked after"
                ));
                continue;
            }
            None => word,
        };
        if name == own {
            problems.push(format!("{word:?} is the Application itself"));
        } else if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    (names, problems)
}

/// A source with the commit that is followed now.
pub type Followed<'a> = (&'a ApplicationSource, &'a str);

/// What keeps an Application from being depended on; `None` when it is ready. `follows` is what the one
/// that depends on it follows.
pub fn unready(dependency: Option<&Application>, follows: &[Followed<'_>]) -> Option<Unready> {
    let Some(app) = dependency else {
        return Some(Unready::Missing);
    };
    if app.metadata.deletion_timestamp.is_some() {
        return Some(Unready::Deleting);
    }
    let status = app.status.clone().unwrap_or_default();
    let Some(sync) = &status.sync else {
        return Some(Unready::NotCompared);
    };
    let operates = status
        .operation_state
        .as_ref()
        .is_some_and(|state| !state.phase.is_completed());
    if operates || app.operation.is_some() {
        return Some(Unready::Syncing);
    }
    if sync.status == SyncStatusCode::Unknown || !is_compared(app, sync) {
        return Some(Unready::NotCompared);
    }
    if let Some(revision) = behind(app, sync, follows) {
        return Some(Unready::Behind {
            revision: revision.to_owned(),
        });
    }
    if sync.status != SyncStatusCode::Synced {
        return Some(Unready::OutOfSync);
    }
    let health = status.health.map(|health| health.status);
    match health {
        Some(HealthStatusCode::Healthy) => None,
        health => Some(Unready::NotHealthy {
            health: health.unwrap_or(HealthStatusCode::Unknown),
        }),
    }
}

/// Whether its spec of now was compared.
fn is_compared(app: &Application, sync: &SyncStatus) -> bool {
    sync.compared_to.as_ref().is_none_or(|compared| {
        let sources = if compared.sources.is_empty() {
            compared.source.as_slice()
        } else {
            &compared.sources
        };
        sources == app.spec.effective_sources()
    })
}

/// The commit that both follow and that was not compared yet.
fn behind<'a>(app: &Application, sync: &SyncStatus, follows: &[Followed<'a>]) -> Option<&'a str> {
    let revisions = sync.compared_revisions();
    let compared = app.spec.effective_sources().iter().zip(revisions);
    let mut behind = compared.filter_map(|(source, revision)| {
        let same = follows.iter().find(|(followed, _)| {
            followed.chart.is_empty()
                && source.chart.is_empty()
                && followed.target_revision == source.target_revision
                && normalize(&followed.repo_url) == normalize(&source.repo_url)
        });
        let (_, followed) = same?;
        (*followed != revision.as_str()).then_some(*followed)
    });
    behind.next()
}

/// What an Application waits for, of the names it depends on.
pub fn waits_for<'a>(
    names: &[String],
    follows: &[Followed<'_>],
    find: impl Fn(&str) -> Option<&'a Application>,
) -> Vec<WaitedFor> {
    let waits = names.iter().filter_map(|name| {
        let state = unready(find(name), follows)?;
        Some(WaitedFor {
            application: name.clone(),
            state,
        })
    });
    waits.collect()
}

/// Applications that depend on each other in a circle, beginning and ending with `start`; `None` when
/// `start` is in none.
pub fn circle(start: &str, depends_on: impl Fn(&str) -> Vec<String>) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut path = vec![(start.to_owned(), depends_on(start))];
    loop {
        let (_, open) = path.last_mut()?;
        let Some(next) = open.pop() else {
            path.pop();
            continue;
        };
        if next == start {
            let names = path.into_iter().map(|(name, _)| name);
            return Some(names.chain([next]).collect());
        }
        if seen.insert(next.clone()) {
            let of_next = depends_on(&next);
            path.push((next, of_next));
        }
    }
}

#[cfg(test)]
mod tests;
