//! Why live is not what Git says, and why nobody mends it.

use gitops_api::status::HealRecord;
use gitops_api::sync_policy::SyncPolicyAutomated;
use gitops_api::{Application, HealthStatusCode, ResourceStatus, ResultCode, SyncStatusCode};
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::sentence;
use gitops_kit::text;

use crate::explain::source::CONFIRMATION;
use crate::explain::{Cause, Evidence, Inquiry, count, events};
use crate::status::reason::Code;
use crate::status::{drift, pause};

/// Objects that are named one by one.
const SHOWN: usize = 5;
/// Repairs of one object within [`events::WINDOW`] from which on two parties fight over it.
const FIGHT: i32 = 3;

pub(super) fn look(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>, notes: &mut Vec<String>) {
    fights(inquiry, causes, notes);
    let differing: Vec<&ResourceStatus> = inquiry
        .resources
        .iter()
        .filter(|resource| resource.status == Some(SyncStatusCode::OutOfSync))
        .collect();
    if differing.is_empty() {
        return;
    }
    let automation = inquiry
        .application()
        .and_then(|application| application.spec.sync_policy.as_ref())
        .and_then(|policy| policy.automation());
    let (surplus, wanted): (Vec<_>, Vec<_>) = differing
        .into_iter()
        .partition(|resource| resource.requires_pruning);
    let (drifted, open): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|resource| !resource.drift.is_empty());
    // What a sync under way, or one that failed, has to do with it was told already.
    let told = causes.iter().any(|cause| {
        matches!(cause.code, Code::SyncFailed | Code::Syncing)
            || ["HoldInForce", "Paused"].contains(&cause.name)
    });
    if !drifted.is_empty() {
        causes.push(changed_live(inquiry, &drifted, automation));
    }
    if !open.is_empty() && (!told || automation.is_none()) {
        causes.push(not_applied(inquiry, &open, automation));
    }
    let asked = causes.iter().any(|cause| cause.name == CONFIRMATION);
    if !surplus.is_empty() && !asked {
        causes.push(not_pruned(inquiry, &surplus, automation));
    }
}

/// What self-heal takes back again and again; once or twice is a note.
fn fights(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>, notes: &mut Vec<String>) {
    let Evidence { events, now, .. } = inquiry.evidence;
    for mut heal in events::heals(events, *now) {
        // The text of a series of Events stays that of its first.
        if let Some(record) = recorded(inquiry, &heal) {
            heal.what = drift::what_healed(record, *now, true);
            heal.last = record.healed_at.as_ref().map(|time| time.0).or(heal.last);
        }
        let ours = inquiry
            .resources
            .iter()
            .any(|resource| resource.kind == heal.kind && resource.name == heal.name);
        if !ours {
            continue;
        }
        let object = format!("{}/{}", heal.kind, heal.name);
        let last = heal.last.map_or_else(String::new, |time| inquiry.ago(time));
        if heal.times < FIGHT {
            notes.push(text::one_line(&format!(
                "self-heal reverted a change of {object} {last}: {}",
                heal.what
            )));
            continue;
        }
        let resource = inquiry
            .resources
            .iter()
            .find(|resource| resource.kind == heal.kind && resource.name == heal.name);
        let mut cause = Cause::new(
            Code::Drift,
            "SelfHealFight",
            format!("somebody keeps changing {object}, and self-heal keeps taking it back"),
        )
        .evidence(format!("{} times lately, last {last}", heal.times))
        .evidence(&heal.what)
        .evidence(slowed_down(inquiry));
        if let Some(resource) = resource {
            cause = cause.next(
                format!(
                    "{} --show-managed-fields -o yaml",
                    inquiry.kubectl("get", resource)
                ),
                "who else writes it: metadata.managedFields names them",
            );
        }
        causes.push(cause.next(
            format!("kubectl edit application {}", inquiry.app()),
            "if the other writer is right (an autoscaler), name the field in spec.ignoreDifferences \
             or take it out of Git",
        ));
    }
}

/// What the status says of the last time an object was healed.
fn recorded<'a>(inquiry: &'a Inquiry<'_>, heal: &events::Heal) -> Option<&'a HealRecord> {
    let status = inquiry.status()?;
    let mut records = status.heals.iter().rev();
    records.find(|record| record.kind == heal.kind && record.name == heal.name)
}

fn slowed_down(inquiry: &Inquiry<'_>) -> String {
    let conditions = inquiry
        .status()
        .map_or(&[][..], |status| &status.conditions);
    conditions
        .iter()
        .find(|found| matches!(inquiry.reason(found), Reason::SelfHealBackoff { .. }))
        .map_or_else(String::new, |found| found.message.clone())
}

fn changed_live(
    inquiry: &Inquiry<'_>,
    drifted: &[&ResourceStatus],
    automation: Option<&SyncPolicyAutomated>,
) -> Cause {
    let names = names(drifted);
    let application = inquiry.application();
    let paused = application.is_some_and(|one| pause::of(one, inquiry.now).is_some());
    let (name, what) = match automation {
        None => (
            "DriftAutoSyncOff",
            format!("{names} was changed in the cluster, and automatic sync is off"),
        ),
        Some(automation) if !automation.self_heal => (
            "DriftSelfHealOff",
            format!("{names} was changed in the cluster, and self-heal is off"),
        ),
        Some(_) if paused => (
            "DriftPaused",
            format!("{names} was changed in the cluster, and stays so while it is paused"),
        ),
        Some(_) => (
            "DriftHealing",
            format!("{names} was changed in the cluster; self-heal is about to take it back"),
        ),
    };
    let fields: Vec<String> = drifted
        .iter()
        .flat_map(|resource| {
            resource.drift.iter().map(|field| {
                format!(
                    "{} {}",
                    drift::object_name(resource),
                    drift::in_short(field, inquiry.now, inquiry.evidence.unicode)
                )
            })
        })
        .collect();
    let hidden = fields.len().saturating_sub(SHOWN);
    let mut cause = Cause::new(Code::Drift, name, what).all(fields.into_iter().take(SHOWN));
    if hidden > 0 {
        cause = cause.evidence(format!("{} more", count(hidden, "field")));
    }
    let app = inquiry.app();
    cause = cause.next(
        format!("kubectl gitops diff {app}"),
        "every field that differs",
    );
    match automation {
        Some(automation) if automation.self_heal => cause,
        _ => cause.next(
            format!("kubectl gitops sync {app}"),
            "put back what Git says; to keep the change, commit it",
        ),
    }
}

fn not_applied(
    inquiry: &Inquiry<'_>,
    open: &[&ResourceStatus],
    automation: Option<&SyncPolicyAutomated>,
) -> Cause {
    let names = names(open);
    let missing = open.iter().all(|resource| {
        resource
            .health
            .as_ref()
            .is_some_and(|health| health.status == HealthStatusCode::Missing)
    });
    let state = if missing {
        "is not in the cluster"
    } else {
        "is not as Git says"
    };
    let app = inquiry.app();
    let diff = format!("kubectl gitops diff {app}");
    let sync = format!("kubectl gitops sync {app}");
    let set = inquiry.application().and_then(Application::rolling_set);
    if let (None, Some(set)) = (automation, set) {
        return Cause::new(
            Code::OutOfSync,
            "SetDecidesSync",
            format!(
                "{names} {state}, and ApplicationSet {set} syncs it when its step has its turn"
            ),
        )
        .evidence(revisions(inquiry))
        .next(
            format!("kubectl gitops appset get {set}"),
            "which step has its turn, and why it goes no further",
        )
        .next(diff, "what a sync would change");
    }
    match automation {
        None => Cause::new(
            Code::OutOfSync,
            "AutoSyncOff",
            format!("{names} {state}, and automatic sync is off"),
        )
        .evidence(revisions(inquiry))
        .next(diff, "what a sync would change")
        .next(sync, "deliver it"),
        // Delivered once at this revision: only self-heal would deliver it again.
        Some(automation) if !automation.self_heal && delivered(inquiry) => Cause::new(
            Code::OutOfSync,
            "ChangedSelfHealOff",
            format!("{names} {state} although it was delivered, and self-heal is off"),
        )
        .next(diff, "what a sync would change")
        .next(sync, "deliver it again"),
        Some(_) => Cause::new(
            Code::OutOfSync,
            "SyncPending",
            format!("{names} {state}; the next sync is to deliver it"),
        )
        .evidence(revisions(inquiry))
        .next(diff, "what it will change")
        .next(sync, "do it now"),
    }
}

/// Whether the last sync was of the revision compared now, and ended well.
fn delivered(inquiry: &Inquiry<'_>) -> bool {
    let Some(status) = inquiry.status() else {
        return false;
    };
    let compared = status
        .sync
        .as_ref()
        .map(|sync| (&sync.revision, &sync.revisions));
    status.operation_state.as_ref().is_some_and(|state| {
        state.phase.is_successful()
            && state
                .sync_result
                .as_ref()
                .is_some_and(|result| compared == Some((&result.revision, &result.revisions)))
    })
}

fn revisions(inquiry: &Inquiry<'_>) -> String {
    let Some(summary) = &inquiry.summary else {
        return String::new();
    };
    let behind = summary
        .behind
        .filter(|behind| *behind > 0)
        .and_then(|behind| usize::try_from(behind).ok())
        .map_or_else(String::new, |behind| {
            format!(", {} behind", count(behind, "commit"))
        });
    let live = if summary.live.is_empty() {
        String::new()
    } else {
        format!(", {} is live{behind}", summary.live)
    };
    format!("Git says {}{live}", summary.revision)
}

fn not_pruned(
    inquiry: &Inquiry<'_>,
    surplus: &[&ResourceStatus],
    automation: Option<&SyncPolicyAutomated>,
) -> Cause {
    let names = names(surplus);
    let kept = kept(inquiry, surplus);
    let confirm = surplus
        .iter()
        .any(|resource| resource.requires_deletion_confirmation);
    let app = inquiry.app();
    let waits = handover(inquiry);
    let (name, what) = match automation {
        _ if confirm => (
            "PruneNeedsConfirmation",
            format!("{names} is no longer in Git, and its deletion waits for confirmation"),
        ),
        _ if !kept.is_empty() => (
            "PruneForbidden",
            format!("{names} is no longer in Git, and the last sync kept it"),
        ),
        None => (
            "AutoSyncOff",
            format!("{names} is no longer in Git, and automatic sync is off"),
        ),
        Some(automation) if !automation.prune => (
            "PruneOff",
            format!("{names} is no longer in Git, and prune is off"),
        ),
        Some(_) => (
            "PrunePending",
            match &waits {
                Some(waits) => format!("{names} is no longer in Git; {waits}"),
                None => format!("{names} is no longer in Git; the next sync is to delete it"),
            },
        ),
    };
    let cause = Cause::new(Code::OutOfSync, name, what)
        .all(
            surplus
                .iter()
                .skip(1)
                .take(SHOWN)
                .map(|resource| format!("{} too", drift::object_name(resource))),
        )
        .all(kept);
    if confirm {
        return cause.next(
            format!(
                "kubectl annotate application {app} {}=$(date -u +%Y-%m-%dT%H:%M:%SZ)",
                gitops_api::constants::annotation::DELETION_APPROVED
            ),
            "confirm it",
        );
    }
    if waits.is_some() && name == "PrunePending" {
        return cause.next(
            format!("kubectl gitops wait {app}"),
            "it goes on by itself when they have",
        );
    }
    cause.next(
        format!("kubectl gitops sync {app} --prune"),
        "delete what Git no longer has; it shows the list first",
    )
}

/// Which other applications have to look at the commit first, in words.
fn handover(inquiry: &Inquiry<'_>) -> Option<String> {
    let mut reasons = inquiry.status()?.reasons.iter();
    let code = reason::Code::HandoverWaiting.as_str();
    Some(reasons.find(|said| said.code == code)?.message.clone())
}

/// What the last sync said of objects it may not prune.
fn kept(inquiry: &Inquiry<'_>, surplus: &[&ResourceStatus]) -> Vec<String> {
    let Some(state) = inquiry
        .status()
        .and_then(|status| status.operation_state.as_ref())
    else {
        return Vec::new();
    };
    let results = state
        .sync_result
        .iter()
        .flat_map(|result| &result.resources);
    results
        .filter(|result| {
            let reason = reason::of_result(result);
            // An agent without reasons says so in words only.
            let skipped =
                result.reason.is_empty() && result.status == Some(ResultCode::PruneSkipped);
            (skipped || matches!(reason, Reason::PruneForbidden {}))
                && surplus
                    .iter()
                    .any(|resource| resource.kind == result.kind && resource.name == result.name)
        })
        .map(|result| {
            let said = sentence::without_name(result);
            format!("{}/{}: {said}", result.kind, result.name)
        })
        .collect()
}

/// `Deployment/web`, `Deployment/web (and 2 more)`
fn names(resources: &[&ResourceStatus]) -> String {
    match resources {
        [] => String::new(),
        [only] => drift::object_name(only),
        [first, rest @ ..] => {
            format!("{} (and {} more)", drift::object_name(first), rest.len())
        }
    }
}
