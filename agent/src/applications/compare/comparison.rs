//! Comparing one application: making sure that the records say enough, and asking the API server
//! where they cannot.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::{StreamExt, stream};
use gitops_api::Application;
use gitops_core::compare::comparison;
use gitops_core::compare::comparison::{Comparison, Confirmation, State};
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::options::AppOptions;
use gitops_core::project::{DeniedObject, not_own};
use gitops_core::report::status::identity;

use crate::applications::app_state::AppState;
use crate::applications::compare::{admission, claims, ended};
use crate::applications::condition::invalid_setting;
use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;
use crate::applications::error::ReconcileError;
use crate::applications::guests;
use crate::applications::handover;
use crate::applications::permission;
use crate::applications::policy::automated;
use crate::applications::sources::rendered::RenderedApp;
use crate::cluster::index::Known;
use crate::cluster::{Cluster, inspect};

/// Requests under way at the same time to look up or confirm the objects of one application.
const MAX_CONCURRENT_INSPECTIONS: usize = 8;

/// Takes note of what an application wants now, checks it against its project, and compares, after
/// making sure that the index knows what it has to.
pub(crate) async fn compare(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    wanted: RenderedApp,
) -> Result<AppState, ReconcileError> {
    let cluster = &*context.cluster;
    register(context, draft, &wanted);
    let denied = permission::denied(
        &context.controller.configuration,
        &context.app.spec,
        &wanted.repositories,
        &wanted.desired,
    )?;
    let kinds: BTreeSet<_> = wanted
        .desired
        .objects
        .values()
        .map(|object| object.gvk.clone())
        .chain(
            wanted
                .desired
                .hooks
                .iter()
                .filter(|hook| !hook.phases.is_empty() && hook.object.kind_known)
                .map(|hook| hook.object.gvk.clone()),
        )
        .collect();
    let earlier = draft
        .previous
        .resources
        .iter()
        .filter(|r| !r.hook)
        .map(|resource| identity(resource).0);
    cluster
        .watches
        .ensure(kinds.into_iter().chain(earlier).collect::<BTreeSet<_>>())
        .await;
    ended::recall(cluster, &draft.previous);
    claims::learn(cluster, &wanted.desired).await;
    probe(cluster, &wanted, &denied).await?;
    probe_leftovers(context, draft, &wanted).await;
    let (mut comparison, mut live) = judge(context, &wanted.desired)?;
    hide(&denied, &context.instance, &mut comparison, &mut live);
    admission::invalidate(context, draft, &wanted.desired, &mut comparison);
    confirm(context, draft, &wanted.desired, &mut comparison, &live).await?;
    let ignored = ignored(cluster, &wanted.desired);
    let extra: Vec<ObjectKey> = comparison
        .iter()
        .filter(|(_, state)| state.is_extra())
        .map(|(key, _)| key.clone())
        .collect();
    let guests = guests::find(cluster, &context.instance, extra).await;
    Ok(AppState {
        wanted,
        comparison,
        live,
        hooks: Vec::new(),
        denied,
        ignored,
        guests,
    })
}

/// What the project does not allow and another one made is none of the application's business: it
/// learns neither that it is there nor how it stands.
fn hide(
    denied: &[DeniedObject],
    instance: &str,
    comparison: &mut Comparison,
    live: &mut HashMap<ObjectKey, LiveObject>,
) {
    for object in denied.iter().filter(|object| !object.is_hook) {
        let found = live.get(&object.key);
        if found.is_none_or(|found| not_own(found, instance).is_some()) {
            live.remove(&object.key);
            comparison.insert(object.key.clone(), State::Missing);
        }
    }
}

/// Takes note of what an application wants now; whoever wants what it gives up may have it.
fn register(context: &ReconcileContext<'_>, draft: &mut StatusDraft<'_>, wanted: &RenderedApp) {
    draft.conditions.extend(wanted.conditions.iter().cloned());
    let (index, instance) = (&context.cluster.index, &context.instance);
    let next_owners = index.register_desired(instance, Some(&wanted.desired));
    context.controller.requeue(next_owners);
    if draft.refresh.is_some() {
        index.forget_probes(instance);
    }
}

/// Which fields of which objects differ and are ignored.
pub(crate) fn ignored(cluster: &Cluster, desired: &DesiredSet) -> HashMap<ObjectKey, Vec<String>> {
    desired
        .objects
        .iter()
        .filter(|(_, object)| object.ignore.is_some())
        .map(|(key, _)| (key.clone(), cluster.index.ignored(key)))
        .collect()
}

/// What an Application itself tells for its comparison.
pub(crate) fn known<'a>(
    app: &Application,
    may_hold: &'a dyn Fn(&str, &ObjectKey) -> bool,
) -> Known<'a> {
    let operation = app.status.as_ref().and_then(|s| s.operation_state.as_ref());
    let ended =
        operation.and_then(|state| state.finished_at.as_ref().or(state.started_at.as_ref()));
    Known {
        may_hold,
        applied_until: ended.map(|time| time.0),
    }
}

/// Judges by the records what can be judged without asking the API server.
pub(crate) fn judge(
    context: &ReconcileContext<'_>,
    desired: &DesiredSet,
) -> Result<(Comparison, HashMap<ObjectKey, LiveObject>), ReconcileError> {
    let configuration = &context.controller.configuration;
    let spec = &context.app.spec;
    let rules = permission::rules(configuration, spec)?;
    let (index, instance) = (&context.cluster.index, &context.instance);
    let may_hold = |other: &str, key: &ObjectKey| configuration.may_hold(other, key);
    let (mut comparison, mut live) =
        index.compare(desired, instance, &known(context.app, &may_hold));
    claims::settle(&context.cluster, desired, &mut live);
    // An application that is among its own objects does not wait for itself, and what broke it
    // once would keep it broken.
    if let Some(itself) = live.get_mut(&context.key.object()) {
        itself.ignore_health = true;
    }
    // What the project does not allow is not this application's to prune, whatever its marks
    // say; and what another one wants is for that one to take over.
    comparison.retain(|key, state| {
        !state.is_extra()
            || (rules.permits_object(&spec.destination, key).is_ok()
                && handover::heir(context, key).is_none())
    });
    for (key, state) in &comparison {
        // Judged equal by ownership alone: remember it, so that the fields need not be kept.
        if let (State::Synced, Some(live), Some(object)) =
            (state, live.get(key), desired.objects.get(key))
            && live.fields.is_some()
        {
            index.confirm(key, Confirmation::of(live, object));
        }
    }
    Ok((comparison, live))
}

/// Looks up objects nobody marked yet.
async fn probe(
    cluster: &Cluster,
    wanted: &RenderedApp,
    denied: &[DeniedObject],
) -> Result<(), ReconcileError> {
    let denied: HashSet<&ObjectKey> = denied.iter().map(|object| &object.key).collect();
    let unknown: Vec<_> = wanted
        .desired
        .objects
        .values()
        .filter(|object| object.kind_known && cluster.index.is_unprobed(&object.key))
        .filter(|object| !denied.contains(&object.key))
        .cloned()
        .collect();
    let results: Vec<_> = stream::iter(unknown)
        .map(async |object| cluster.probe(&object.gvk, &object.key).await)
        .buffer_unordered(MAX_CONCURRENT_INSPECTIONS)
        .collect()
        .await;
    for result in results {
        result?;
    }
    Ok(())
}

/// Objects the status lists but Git no longer holds: those Argo CD applied carry no label that
/// a watch would show.
async fn probe_leftovers(
    context: &ReconcileContext<'_>,
    draft: &StatusDraft<'_>,
    wanted: &RenderedApp,
) {
    let cluster = &context.cluster;
    for resource in draft
        .previous
        .resources
        .iter()
        .filter(|resource| !resource.hook)
    {
        let (gvk, key) = identity(resource);
        if wanted.desired.objects.contains_key(&key) || !cluster.index.is_unprobed(&key) {
            continue;
        }
        if let Err(error) = cluster.refresh(&gvk, &key).await {
            tracing::debug!(application = %context.key, object = %key, %error, "cannot read orphaned object");
        }
    }
}

/// Asks the API server about objects the records cannot judge.
async fn confirm(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    desired: &DesiredSet,
    comparison: &mut Comparison,
    live: &HashMap<ObjectKey, LiveObject>,
) -> Result<(), ReconcileError> {
    let cluster = &context.cluster;
    let gate = context.gate(&[])?;
    // Where a sync follows anyway, what Git changed needs no confirmation; elsewhere people
    // want to see what exactly differs. What Argo CD delivered may be as Git has it: then it is not
    // written to.
    let automated = automated(&context.app.spec).is_some();
    let options = AppOptions::of(context.app.spec.sync_policy.as_ref());
    let doubtful: Vec<_> = comparison
        .iter()
        .filter(|(key, state)| {
            matches!(state, State::Unconfirmed)
                || (matches!(state, State::Changed)
                    && live.get(*key).is_some_and(|live| {
                        let implicit = desired.objects.get(*key).is_some_and(|o| o.implicit);
                        !automated || live.is_inherited(&context.instance, implicit)
                    }))
        })
        .filter_map(|(key, _)| desired.objects.get(key).cloned())
        .collect();
    let verdicts: Vec<_> = stream::iter(doubtful)
        .map(async |object| {
            let verdict = match gate.write(&object.key) {
                Ok(permit) => inspect::confirm(cluster, &permit, &object, &options).await,
                Err(refusal) => Err(refusal.into()),
            };
            (object.key.clone(), verdict)
        })
        .buffer_unordered(MAX_CONCURRENT_INSPECTIONS)
        .collect()
        .await;
    for (key, verdict) in verdicts {
        let state = match verdict {
            Ok((state, problems)) => {
                let problems = problems.into_iter().map(invalid_setting);
                draft.conditions.extend(problems);
                match (state, desired.objects.get(&key), live.get(&key)) {
                    (State::Drifted(fields), Some(object), Some(live))
                        if automated && comparison::is_changed_in_git(object, live, &fields) =>
                    {
                        State::Changed
                    }
                    (state, _, _) => state,
                }
            }
            // What Git holds is refused: it differs, and a sync will say why.
            Err(error) if !error.is_transient() => State::Changed,
            Err(error) => return Err(error.into()),
        };
        comparison.insert(key, state);
    }
    Ok(())
}
