//! What may go on now: whose spec is changed, who is asked to sync, and why nothing more is.

use std::collections::{BTreeMap, BTreeSet};

use gitops_api::application_set::GeneratedApplicationStatus;
use gitops_api::{Application, ApplicationSource};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::progress::{
    HEALTHY, PENDING, PROGRESSING, WAITING, failure, is_compared, judge, revisions,
};
use super::steps::Rolling;
use crate::report::compared::seconds;
use crate::source;

/// One Application of a set.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Labels it is generated with.
    pub labels: &'a BTreeMap<String, String>,
    /// The Application, if it is there.
    pub live: Option<&'a Application>,
    /// Its spec is not what the set asks for.
    pub has_new_spec: bool,
    /// What a sync of it deletes: `prune` of its automated policy, before the set switched it off.
    pub prunes: bool,
}

/// What a rollout is judged by.
#[derive(Clone, Debug)]
pub struct RolloutInput<'a> {
    /// The steps.
    pub rolling: &'a Rolling,
    /// The Applications by name.
    pub members: &'a BTreeMap<&'a str, Member<'a>>,
    /// `status.applicationStatus`.
    pub before: &'a [GeneratedApplicationStatus],
    /// Somebody stopped it: nothing is changed or synced.
    pub is_paused: bool,
    /// The time.
    pub now: Timestamp,
}

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Every step is done.
    Complete,
    /// This step, counted from 1.
    Step(usize),
}

/// What may go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// `status.applicationStatus`, by name.
    pub statuses: Vec<GeneratedApplicationStatus>,
    /// Applications that keep their spec until their step has its turn.
    pub held: BTreeSet<String>,
    /// Operations of those that are asked to sync.
    pub operations: BTreeMap<String, Value>,
    /// Where it is.
    pub stage: Stage,
    /// Why it goes no further by itself; empty when it does.
    pub stopped: Vec<String>,
    /// What is wrong with the steps.
    pub issues: Vec<String>,
}

/// Judges how far every Application is, and what may go on.
pub fn roll(input: &RolloutInput<'_>) -> Rollout {
    let RolloutInput {
        rolling, members, ..
    } = input;
    let labels = members.iter().map(|(name, one)| (*name, one.labels));
    let labels: BTreeMap<&str, &BTreeMap<String, String>> = labels.collect();
    let mut rollout = Rollout {
        statuses: Vec::new(),
        held: BTreeSet::new(),
        operations: BTreeMap::new(),
        stage: Stage::Complete,
        stopped: Vec::new(),
        issues: rolling.issues(&labels),
    };
    let before = input.before.iter();
    let before: BTreeMap<&str, &GeneratedApplicationStatus> =
        before.map(|one| (&*one.application, one)).collect();
    let mut entries: BTreeMap<&str, GeneratedApplicationStatus> = BTreeMap::new();
    let mut steps: Vec<Vec<(&str, &Member<'_>)>> = vec![Vec::new(); rolling.len()];
    for (name, member) in *members {
        let step = rolling.step_of(member.labels);
        if let Some(of_step) = step.and_then(|step| steps.get_mut(step)) {
            of_step.push((*name, member));
        }
        let Some(live) = member.live else { continue };
        let before = before.get(*name).copied();
        let entry = judge(live, name, step, before, member.has_new_spec, input.now);
        entries.insert(*name, entry);
    }
    // What the steps so far have rolled out, by what they follow.
    let mut verified: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut is_open = true;
    for (step, of_step) in steps.iter().enumerate() {
        if is_open {
            let failures = of_step.iter().filter_map(|(name, member)| {
                let why = failure(member.live?, entries.get(*name)?)?;
                Some(format!("Application {name}: {why}"))
            });
            rollout.stopped.extend(failures);
        }
        let goes_on = is_open && rollout.stopped.is_empty() && !input.is_paused;
        let is_under_way = |name: &&str| {
            let entry = entries.get(*name);
            entry.is_some_and(|one| matches!(&*one.status, PENDING | PROGRESSING))
        };
        let names = of_step.iter().map(|(name, _)| name);
        let mut under_way = names.filter(|name| is_under_way(name)).count();
        let limit = rolling.limit(step, of_step.len());
        let mut is_done = true;
        for (name, member) in of_step {
            let Some(entry) = entries.get_mut(*name) else {
                // It is made by now, or cannot be.
                is_done = false;
                continue;
            };
            let Some(live) = member.live else { continue };
            is_done &= entry.status == HEALTHY;
            if !goes_on {
                if member.has_new_spec {
                    rollout.held.insert((*name).to_owned());
                }
                continue;
            }
            if entry.status != WAITING || member.has_new_spec || under_way >= limit {
                continue;
            }
            if !is_compared(live) || !is_verified(live, &verified) {
                continue;
            }
            under_way += 1;
            PENDING.clone_into(&mut entry.status);
            "Application moved to Pending status, watching for the Application resource to start Progressing"
                .clone_into(&mut entry.message);
            entry.last_transition_time = Some(seconds(input.now));
        }
        for (name, member) in of_step {
            let is_pending = entries.get(*name).is_some_and(|one| one.status == PENDING);
            if let Some(live) = member.live.filter(|_| is_pending && goes_on)
                && live.operation.is_none()
            {
                let operation = operation(live, member.prunes);
                rollout.operations.insert((*name).to_owned(), operation);
            }
            for (place, revision) in member.live.into_iter().flat_map(followed) {
                verified.entry(place).or_default().insert(revision);
            }
        }
        if is_open && !is_done {
            rollout.stage = Stage::Step(step + 1);
        }
        is_open &= is_done;
    }
    rollout.statuses = entries.into_values().collect();
    rollout
}

/// Whether the steps before have the same revisions of what they follow, too: a branch that moved is
/// noticed by one Application after the other.
fn is_verified(app: &Application, verified: &BTreeMap<String, BTreeSet<String>>) -> bool {
    followed(app).into_iter().all(|(place, revision)| {
        let known = verified.get(&place);
        known.is_none_or(|known| known.iter().all(|one| *one == revision))
    })
}

/// What an Application follows, and the revision it was compared with.
fn followed(app: &Application) -> Vec<(String, String)> {
    let place = |source: &ApplicationSource| {
        let url = source::normalize(&source.repo_url);
        format!("{url} {} {}", source.chart, source.target_revision)
    };
    let sources = app.spec.effective_sources().iter().map(place);
    sources.zip(revisions(app)).collect()
}

/// The operation of a sync, pinned to what was compared.
/// Source: `syncApplication` of applicationset/progressivesync.
fn operation(app: &Application, prunes: bool) -> Value {
    let policy = app.spec.sync_policy.as_ref();
    let retry = policy.and_then(|policy| policy.retry.as_ref());
    let retry = retry.map_or_else(|| json!({"limit": 5}), |retry| json!(retry));
    let mut sync = json!({});
    if prunes {
        sync["prune"] = json!(true);
    }
    let options = policy.map(|policy| policy.sync_options.clone());
    if let Some(options) = options.filter(|options| !options.is_empty()) {
        sync["syncOptions"] = json!(options);
    }
    let revisions = revisions(app);
    if app.spec.sources.is_empty() {
        sync["revision"] = json!(revisions.first());
    } else {
        sync["revisions"] = json!(revisions);
    }
    json!({
        "info": [{
            "name": "Reason",
            "value": "ApplicationSet RollingSync triggered a sync of this Application resource",
        }],
        "initiatedBy": {"automated": true, "username": "applicationset-controller"},
        "retry": retry,
        "sync": sync,
    })
}
