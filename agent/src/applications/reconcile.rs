//! One reconciliation of one application, from its spec to its status.

use std::sync::Arc;
use std::time::Duration;

use gitops_api::constants::{annotation, condition};
use gitops_api::{Application, ApplicationSource};
use gitops_core::backoff;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::hook::Hook;
use gitops_core::project::Gate;
use gitops_core::reason::Reason;
use gitops_core::report::memory::Memory;
use gitops_core::report::status::{Condition, Report};
use gitops_core::report::{size, status};
use gitops_core::source::FailedAttempts;
use gitops_core::sync::deletion;
use gitops_transport::chain;
use jiff::Timestamp;
use kube::ResourceExt;

use crate::app_key::AppKey;
use crate::applications::act::{act, decided};
use crate::applications::app_state::AppState;
use crate::applications::cache::{AppCache, Unsaved};
use crate::applications::compare::{admission, comparison, kept};
use crate::applications::context::ReconcileContext;
use crate::applications::controller::Controller;
use crate::applications::delete::delete;
use crate::applications::draft::{HoldState, StatusDraft};
use crate::applications::error::ReconcileError;
use crate::applications::handover;
use crate::applications::permission;
use crate::applications::report::handled::HandledRequests;
use crate::applications::report::reporter::{StatusTooLarge, Superseded};
use crate::applications::report::{commits, notes};
use crate::applications::requeue::Requeue;
use crate::applications::sources::hold;
use crate::applications::sources::rendered::{RenderCache, RenderedApp};
use crate::applications::sync::{hooks, operation, pause, unreadable};
use crate::applications::tip::Tip;

/// Pause before a status that could not be written is tried again.
const WRITE_DELAY: Duration = Duration::from_secs(5);
/// The same for one that cannot be stored however small it is made.
const TOO_LARGE_DELAY: Duration = Duration::from_mins(10);
/// First and longest pause before hooks that could not be cleaned up are tried again.
const FIRST_CLEANUP_PAUSE: Duration = Duration::from_secs(1);
const MAX_CLEANUP_PAUSE: Duration = Duration::from_mins(1);

/// Reconciles; returns when to do so again, if time alone may change the answer.
pub(crate) async fn reconcile(controller: Arc<Controller>, key: AppKey) -> Requeue {
    let cache = controller.caches.of(&key);
    let mut cache = cache.lock().await;
    let Some(app) = controller.configuration.application(&key) else {
        return forget(&controller, &key, &mut cache).await;
    };
    if cache.is_gone(&app) {
        return Requeue::AwaitChange;
    }
    if let Err(requeue) = Box::pin(save(&controller, &key, &mut cache)).await {
        return requeue;
    }
    let app = cache.newest(app);
    if app.metadata.deletion_timestamp.is_some() {
        return Box::pin(delete(&controller, &key, &app, &mut cache)).await;
    }
    let annotations = app.annotations();
    let skipped = annotations.get(annotation::SKIP_RECONCILE);
    if skipped.is_some_and(|skipped| skipped == "true") {
        return Requeue::AwaitChange;
    }
    let refresh = annotations.get(annotation::REFRESH).cloned();
    let mut previous = cache.status(&app).into_owned();
    let memory = Memory::read(cache.annotation(&app, annotation::MEMORY));
    memory.restore(&mut previous);
    cache.delivered = memory.delivered;
    let mut draft = StatusDraft::new(&app, previous, refresh);
    draft.delivered.clone_from(&cache.delivered);
    pause::note(&mut draft, &controller.sources.settings);
    let done = Box::pin(run(&controller, &key, &mut draft, &mut cache)).await;
    controller.caches.note_kept(&key, &cache);
    match done {
        Ok(requeue) => requeue,
        Err(error) => {
            cache.reported = false;
            not_written(&key, &error)
        }
    }
}

/// When to look again after a status could not be written.
fn not_written(key: &AppKey, error: &anyhow::Error) -> Requeue {
    if error.downcast_ref::<Superseded>().is_some() {
        tracing::info!(application = %key, error = format!("{error:#}"), "looking again");
        return Requeue::NOW;
    }
    tracing::warn!(application = %key, error = format!("{error:#}"), "status could not be written");
    // It will be no smaller in a moment.
    let is_final = error.downcast_ref::<StatusTooLarge>().is_some();
    Requeue::After(if is_final {
        TOO_LARGE_DELAY
    } else {
        WRITE_DELAY
    })
}

/// Writes what an operation did and the API server could not be told then. Until that is on record
/// nothing else is done: an agent that is started now would know nothing of it.
async fn save(controller: &Controller, key: &AppKey, cache: &mut AppCache) -> Result<(), Requeue> {
    let Some(unsaved) = cache.unsaved.take() else {
        return Ok(());
    };
    let (reporter, status) = (&controller.reporter, unsaved.status.clone());
    let written = reporter
        .write(&unsaved.app, cache, status, unsaved.handled)
        .await;
    match written {
        Ok(()) => Ok(()),
        Err(error) if is_final(&error) => {
            tracing::warn!(application = %key, error = format!("{error:#}"), "report is dropped");
            Ok(())
        }
        Err(error) => {
            cache.unsaved = Some(unsaved);
            Err(not_written(key, &error))
        }
    }
}

/// Whether another attempt to write the same status would be answered the same way.
fn is_final(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Superseded>().is_some() || error.downcast_ref::<StatusTooLarge>().is_some()
}

/// Forgets an application that is gone. Its objects stay; whoever else wants them may have them
/// now, and the agent holds none of its hooks any longer.
async fn forget(controller: &Controller, key: &AppKey, cache: &mut AppCache) -> Requeue {
    let instance = controller.configuration.instance(key);
    for cluster in controller.clusters.all() {
        controller.requeue(cluster.index.other_claimants(&instance));
        controller.requeue(cluster.index.register_desired(&instance, None));
    }
    controller.sources.forget(key);
    handover::forget(controller, key);
    for cluster in controller.clusters.all() {
        if !hooks::release_all(cluster, &instance).await {
            return Requeue::After(cleanup_pause(cache));
        }
    }
    controller.caches.forget(key);
    Requeue::AwaitChange
}

/// Cleans up after syncs that have ended, by what is on record of them; returns when to try again.
async fn clean_up(
    controller: &Controller,
    key: &AppKey,
    app: &Application,
    gate: Option<&Gate>,
    cache: &mut AppCache,
) -> Requeue {
    let Ok(cluster) = controller.clusters.of(&app.spec.destination) else {
        return Requeue::AwaitChange;
    };
    let instance = controller.configuration.instance(key);
    let operation = cache.status(app).operation_state.clone();
    if hooks::clean_up(&cluster, &instance, gate, operation.as_ref()).await {
        cache.cleanups = 0;
        return Requeue::AwaitChange;
    }
    Requeue::After(cleanup_pause(cache))
}

/// When hooks that could not be cleaned up are tried again.
fn cleanup_pause(cache: &mut AppCache) -> Duration {
    let pause = backoff::delay(cache.cleanups, FIRST_CLEANUP_PAUSE, 2, MAX_CLEANUP_PAUSE);
    cache.cleanups = cache.cleanups.saturating_add(1);
    pause
}

async fn run(
    controller: &Controller,
    key: &AppKey,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
) -> anyhow::Result<Requeue> {
    let app = draft.app;
    controller.dependents.forget(key);
    let sources = app.spec.effective_sources();
    let found = async {
        let context = ReconcileContext::new(controller, key, app)?;
        let app_state = look(&context, draft, cache, sources).await?;
        Ok::<_, ReconcileError>((context, app_state))
    };
    let found = found.await;
    if let Err(error) = &found
        && error.is_fetching()
    {
        let reason = error.reason();
        return wait_for_fetch(controller, draft, cache, reason).await;
    }
    handover::record_observed(controller, key, sources, &draft.tracked);
    let (context, app_state) = match found {
        Ok(found) => found,
        Err(error) => {
            let operation = unreadable::go_on(controller, key, draft, cache, &error);
            let operation = Box::pin(operation).await?;
            draft.conditions.insert(error.condition());
            // A commit or a change of the spec wakes it at once; what mends itself does not.
            let interval = controller.sources.repositories.interval();
            let kind = error.kind();
            let pause = FailedAttempts::note(&mut cache.failed, kind, interval, Timestamp::now());
            report(controller, draft, cache, None).await?;
            let cleaned = clean_up(controller, key, app, None, cache).await;
            return Ok(Requeue::After(pause)
                .or_sooner(operation)
                .or_sooner(pause::end(draft))
                .or_sooner(unannounced_interval(controller, key, sources))
                .or_sooner(cleaned));
        }
    };
    cache.failed = None;
    let (mut app_state, requeue) = Box::pin(act(&context, draft, cache, app_state)).await?;
    app_state.hooks =
        hooks::that_stay(&context.cluster, &context.instance, draft.known_operation());
    // What carries no label yet no other watch shows.
    let unmarked = app_state.live.values().filter(|live| !live.marked);
    let watches = &context.cluster.watches;
    watches.ensure_unmarked(unmarked.map(LiveObject::gvk));
    let admission = admission::note(&context, draft, &app_state, cache);
    kept::note(&context, draft, &app_state);
    report(controller, draft, cache, Some(&app_state)).await?;
    cache.reported = true;
    // Only now: what became of them is on record.
    let gate = context.gate(&app_state.wanted.repositories).ok();
    let cleaned = clean_up(controller, key, app, gate.as_ref(), cache).await;
    Ok(requeue
        .or_sooner(cleaned)
        .or_sooner(unannounced_interval(controller, key, sources))
        .or_sooner(hold::time_left(&draft.hold).into())
        .or_sooner(pause::end(draft))
        .or_sooner(if draft.fetching {
            Requeue::FETCHING
        } else {
            Requeue::AwaitChange
        })
        .or_sooner(admission))
}

/// A server is still being asked: what was said of the application stays as it is until it answers,
/// and of one that was never looked at it is said what is waited for.
async fn wait_for_fetch(
    controller: &Controller,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    reason: Reason,
) -> anyhow::Result<Requeue> {
    if draft.previous.sync.is_none() {
        draft.reasons.push(reason);
        // Whoever asked for a refresh has not got it yet.
        draft.refresh = None;
        report(controller, draft, cache, None).await?;
    }
    Ok(Requeue::FETCHING)
}

/// Looks at Git and at the cluster.
async fn look(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    sources: &[ApplicationSource],
) -> Result<AppState, ReconcileError> {
    draft.asks_admission = admission::is_due(draft.refresh.is_some(), cache);
    let wanted = render(context, draft, cache, sources).await?;
    keep_finalizers(context, cache, &wanted.desired.hooks).await;
    let app_state = comparison::compare(context, draft, wanted).await?;
    if let Some(denied) = permission::refusal(&app_state.denied) {
        // The others are compared all the same.
        let condition = Condition::new(condition::SYNC_ERROR, denied.reason());
        draft.conditions.insert(condition);
    }
    Ok(app_state)
}

/// What Git says at the tracked revision, or at the one that is held instead.
async fn render(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    sources: &[ApplicationSource],
) -> Result<RenderedApp, ReconcileError> {
    let (from, target, spec) = (
        &context.controller.sources,
        &context.target(),
        &context.app.spec,
    );
    let hard = draft.refresh.as_deref() == Some("hard");
    if draft.refresh.is_some() {
        cache.rendered.forget_failure();
        cache.held.forget_failure();
    }
    from.follow(context.key, spec);
    // An attempt of a sync is one to have its sources, too.
    // Whoever asks for a sync means what the server has now.
    let asks = draft.refresh.is_some()
        || operation::begins(draft)
        || (cache.failed.is_some() && operation::is_due(draft));
    let found = from
        .resolve(spec, sources, asks, &mut draft.conditions)
        .await?;
    draft.tracked = found.iter().map(|found| found.revision.clone()).collect();
    draft.tip = Tip::of(&found);
    let wanted = from
        .render_app(target, found, &mut cache.rendered, hard)
        .await;
    match hold::held(draft, wanted.as_ref().ok()) {
        None => {
            cache.held = RenderCache::default();
            wanted
        }
        Some(sources) => {
            let found = from
                .resolve(spec, &sources, false, &mut draft.conditions)
                .await?;
            from.render_app(target, found, &mut cache.held, hard).await
        }
    }
}

/// Gives an application the finalizers its hooks need, before it delivers anything.
async fn keep_finalizers(context: &ReconcileContext<'_>, cache: &mut AppCache, hooks: &[Hook]) {
    let app = context.app;
    let Some(wanted) = deletion::finalizers(app.finalizers(), hooks) else {
        return;
    };
    let wanted = wanted.iter().map(AsRef::as_ref);
    let reporter = &context.controller.reporter;
    let written = reporter.set_finalizers(app, cache, wanted);
    if let Err(error) = written.await {
        // Somebody changed it meanwhile: the next event brings the newer one.
        tracing::debug!(error = chain(&error), "finalizers could not be set");
    }
}

/// Charts and files of other servers are not announced by anyone: they are looked up again at the poll interval.
fn unannounced_interval(
    controller: &Controller,
    key: &AppKey,
    sources: &[ApplicationSource],
) -> Requeue {
    if controller.sources.reads_unannounced(key, sources) {
        Requeue::After(controller.limits.poll_interval)
    } else {
        Requeue::AwaitChange
    }
}

/// Builds the status and writes it, when it changed.
async fn report(
    controller: &Controller,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    app_state: Option<&AppState>,
) -> anyhow::Result<()> {
    notes::note_options(draft);
    if let Some(app_state) = app_state {
        notes::note_shared(draft, app_state);
        notes::note_unapplied(draft, app_state, cache);
        // What a pause keeps away is said by its condition.
        if draft.paused.is_none() {
            draft.reasons.extend(decided(draft, cache, app_state));
        }
        draft.note_delivered(app_state);
        cache.delivered.clone_from(&draft.delivered);
    }
    let live = match app_state {
        Some(app_state) => commits::live(&draft.previous, app_state, &draft.tracked, cache).await,
        None => commits::behind(draft, cache).await,
    };
    let tracked = commits::tip(draft, app_state).await;
    let app: &Application = draft.app;
    let handled = HandledRequests {
        operation: draft
            .operation
            .as_ref()
            .is_some_and(|state| operation::answers(app, state)),
        refresh: draft.refresh.is_some(),
        hold: matches!(draft.hold, HoldState::Ended),
    };
    loop {
        let max_bytes = cache.max_status.unwrap_or(size::MAX_STATUS);
        let status = status::build(&Report {
            live: live.clone(),
            tracked: tracked.clone(),
            previous: &draft.previous,
            spec: &app.spec,
            compared: app_state.map(AppState::compared),
            conditions: &draft.conditions,
            reasons: &draft.reasons,
            operation: draft.operation.as_ref(),
            namespace: &controller.configuration.namespace,
            max_bytes,
            now: Timestamp::now(),
        });
        let reporter = &controller.reporter;
        let written = reporter.write(app, cache, status.clone(), handled).await;
        let is_too_large = |error: &anyhow::Error| error.downcast_ref::<StatusTooLarge>().is_some();
        match (&written, size::smaller(max_bytes)) {
            (Err(error), Some(less)) if is_too_large(error) => cache.max_status = Some(less),
            (Err(error), _) if draft.operation.is_some() && !is_final(error) => {
                let app = app.clone();
                cache.unsaved = Some(Unsaved {
                    app,
                    status,
                    handled,
                });
                return written;
            }
            _ => return written,
        }
    }
}
