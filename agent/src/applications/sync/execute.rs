//! Carrying out a sync: what core says is next, until it ends or something has to be waited for.

use std::borrow::Cow;
use std::collections::HashMap;

use futures::future::join_all;
use gitops_api::OperationPhase;
use gitops_api::status::OperationState;
use gitops_core::compare::comparison::State;
use gitops_core::compare::field::DriftedField;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::hook::Run;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::phase::Phase;
use gitops_core::project::{Denial, NoPermit};
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::status;
use gitops_core::sync;
use gitops_core::sync::action::{Action, Verb};
use gitops_core::sync::plan::Plan;
use gitops_core::sync::time_limit::{TimeLeft, time_left};
use gitops_core::sync::{Next, Outcome, Record, Situation, time_limit};
use jiff::Timestamp;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::applications::compare::comparison::{ignored, judge};
use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;
use crate::applications::error::ReconcileError;
use crate::applications::handover;
use crate::applications::policy::{is_terminating, sync_timeout};
use crate::applications::report::handled::HandledRequests;
use crate::applications::sync::approval::awaits_approval;
use crate::applications::sync::deliver::{apply_action, propagation};
use crate::applications::sync::dry_run::dry_run_sync;
use crate::applications::sync::hooks;
use crate::applications::sync::planned::PlannedSync;
use crate::applications::sync::prerequisites::{
    CRD_ESTABLISHED_TIMEOUT, ensure_namespace, wait_for_definitions,
};
use crate::applications::sync::request::Request;
use crate::applications::sync::results;
use crate::applications::sync::results::{
    SyncOutcome, healed, operation_state, success, sync_result,
};
use crate::cluster::write::WriteError;

/// How far a sync came.
pub(crate) struct SyncProgress {
    /// What is true now.
    pub(crate) app_state: AppState,
    /// State to report.
    pub(crate) operation: OperationState,
    /// When it began.
    pub(crate) started: Timestamp,
    /// Objects whose drift was taken back, with what it was.
    pub(crate) healed: Vec<(ObjectKey, Vec<DriftedField>)>,
}

/// Carries a sync out until it ends or has to wait; what went wrong is in the result. `head` is the
/// state of Git at the tracked revision.
pub(crate) async fn advance(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    app_state: AppState,
    planned: &PlannedSync,
    head: &str,
) -> anyhow::Result<SyncProgress> {
    let PlannedSync { request, plan } = planned;
    let revisions = &app_state.wanted.revisions;
    let run = Run {
        started: request.started(),
        revision: revisions.first().cloned().unwrap_or_default(),
    };
    tracing::info!(
        application = %context.key,
        revision = run.revision,
        actions = plan.len(),
        skipped = plan.skipped.len(),
        heal = request.heal.is_some(),
        resumed = request.is_resumed(),
        "syncing"
    );
    let hooks = &app_state.wanted.desired.hooks;
    let runs_hooks =
        request.runs_hooks() && hooks.iter().any(|hook| hook.sync_phases().next().is_some());
    // A hook must not run twice because the agent ended between its creation and the report, and what is
    // pruned leaves no mark by which it would be found to be done.
    let leaves_no_mark = runs_hooks || plan.prunes();
    if !request.is_resumed() && (leaves_no_mark || context.app.operation.is_some()) {
        Box::pin(announce(
            context,
            draft,
            cache,
            request,
            &app_state,
            run.started,
        ))
        .await?;
    }
    if runs_hooks {
        hooks::find(&context.cluster, &context.instance, &app_state, &run).await;
    }
    let healed = match &request.heal {
        Some(_) => healed(&app_state, plan),
        None => vec![],
    };
    let mut sync = Execution {
        context,
        request,
        record: Record::of(request.results()),
        app_state,
        plan: Cow::Borrowed(plan),
        live_hooks: HashMap::new(),
        run,
    };
    let ending = if let Some(failure) = request.refusal(&sync.app_state) {
        // What an earlier pass began may have come to be denied since.
        sync.live_hooks = hooks::live(&context.cluster, &sync.app_state, &sync.run);
        sync.terminate().await;
        SyncOutcome::Failed(failure)
    } else if request.dry_run {
        let record = &mut sync.record;
        match context.gate(&sync.app_state.wanted.repositories) {
            Ok(gate) => {
                dry_run_sync((&context.cluster, &gate), &sync.app_state, planned, record).await
            }
            Err(error) => SyncOutcome::Failed(error.reason()),
        }
    } else {
        sync.steps(head).await?
    };
    let metrics = &context.controller.metrics;
    match &ending {
        SyncOutcome::Running(_) => {}
        SyncOutcome::Succeeded(_) => metrics.sync("succeeded"),
        SyncOutcome::Failed(_) => metrics.sync("failed"),
    }
    let succeeded = matches!(ending, SyncOutcome::Succeeded(_));
    let operation = operation_state(
        context.app,
        &sync.app_state,
        planned,
        &sync.record,
        sync.run.started,
        ending,
    );
    Ok(SyncProgress {
        app_state: sync.app_state,
        operation,
        started: sync.run.started,
        healed: if succeeded { healed } else { vec![] },
    })
}

/// Says that a sync has begun, so that it can be followed, ended, and taken up again.
async fn announce(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    request: &Request,
    app_state: &AppState,
    started: Timestamp,
) -> anyhow::Result<()> {
    let mut operation = request.operation.clone();
    operation.sync.get_or_insert_default();
    let mut state = OperationState {
        operation,
        phase: OperationPhase::Running,
        started_at: Some(status::seconds(started)),
        retry_count: i64::from(request.retry),
        sync_result: Some(sync_result(context.app, app_state)),
        ..OperationState::default()
    };
    reason::explain(&mut state, &Reason::Syncing {});
    let known = draft.previous.operation_state.as_ref();
    let ended = known.and_then(|known| known.reason.as_ref());
    let others = draft.previous.reasons.iter();
    let others = others.filter(|said| ended.is_none_or(|ended| ended.message != said.message));
    let said = state.reason.iter().chain(others).cloned();
    draft.previous.reasons = reason::reasons(&draft.previous.reasons, said, Timestamp::now());
    draft.previous.operation_state = Some(state);
    context
        .controller
        .reporter
        .write(
            context.app,
            cache,
            draft.previous.clone(),
            HandledRequests::default(),
        )
        .await
}

/// A sync while it is carried out.
struct Execution<'a> {
    context: &'a ReconcileContext<'a>,
    request: &'a Request,
    run: Run,
    /// What was done so far.
    record: Record,
    app_state: AppState,
    /// What is left to do, by what was compared last.
    plan: Cow<'a, Plan>,
    live_hooks: HashMap<ObjectKey, LiveObject>,
}

impl Execution<'_> {
    /// All that the next step depends on.
    fn situation(&self) -> Situation<'_> {
        Situation {
            desired: &self.app_state.wanted.desired,
            comparison: &self.app_state.comparison,
            live: &self.app_state.live,
            live_hooks: &self.live_hooks,
            plan: &self.plan,
            complete: self.request.is_complete(),
            hooks: self.request.runs_hooks(),
            options: self.request.options,
            record: &self.record,
            run: &self.run,
        }
    }

    /// Takes one step after another until it ends or has to wait.
    async fn steps(&mut self, head: &str) -> anyhow::Result<SyncOutcome> {
        let context = self.context;
        let controller = context.controller;
        loop {
            self.live_hooks = hooks::live(&context.cluster, &self.app_state, &self.run);
            if is_terminating(&controller.configuration, context.key) {
                self.terminate().await;
                return Ok(SyncOutcome::Failed(Reason::Terminated {}));
            }
            self.observe().await;
            let next = sync::next(&self.situation());
            if let Some(limit) = sync_timeout(&controller.sources.settings, &controller.limits)
                && time_left(self.run.started, Some(limit), Timestamp::now()) == TimeLeft::Over
                && !matches!(next, Next::Ended { .. })
            {
                let waiting = match &next {
                    Next::Wait { reason } => reason.to_string(),
                    _ => String::new(),
                };
                self.terminate().await;
                return Ok(SyncOutcome::Failed(time_limit::reason(limit, waiting)));
            }
            match next {
                Next::Act(actions) => {
                    let (request, app_state) = (self.request, &self.app_state);
                    if let Err(error) =
                        ensure_namespace(context, app_state, request, &actions).await
                    {
                        return Ok(SyncOutcome::Failed(Reason::NamespaceNotCreated {
                            namespace: context.app.spec.destination.namespace.clone(),
                            detail: error.to_string(),
                        }));
                    }
                    self.perform_all(&actions).await;
                    let late =
                        wait_for_definitions(&context.cluster, &self.app_state, &actions).await;
                    for definition in late {
                        let seconds = CRD_ESTABLISHED_TIMEOUT.as_secs();
                        let reason = Reason::DefinitionNotEstablished { seconds };
                        self.record.explain(Phase::Sync, &definition, &reason);
                    }
                    judge_again(context, &mut self.app_state)?;
                    self.plan = Cow::Owned(self.request.plan(&self.app_state));
                }
                Next::Wait { reason } => {
                    // What repairs things must not wait for what is broken.
                    let superseded = self.request.is_automated()
                        && state_of_git(&self.app_state) != head
                        && self.may_be_given_up(&reason).await;
                    if superseded {
                        self.terminate().await;
                    }
                    return Ok(if superseded {
                        SyncOutcome::Failed(Reason::Superseded {
                            waiting: reason.to_string(),
                        })
                    } else {
                        SyncOutcome::Running(reason)
                    });
                }
                Next::Ended { failure } => {
                    let question =
                        awaits_approval(context, self.request, &self.plan, &self.app_state);
                    if let (None, Some(question)) = (&failure, question) {
                        return Ok(SyncOutcome::Running(question));
                    }
                    return Ok(match failure {
                        Some(failure) => SyncOutcome::Failed(failure),
                        None => {
                            SyncOutcome::Succeeded(success(self.request, &self.plan, &self.record))
                        }
                    });
                }
            }
        }
    }

    /// Records what the cluster tells of hooks, prunes and health, until there is nothing new.
    async fn observe(&mut self) {
        loop {
            let observed = sync::observe(&self.situation());
            if observed.is_empty() {
                return;
            }
            for (phase, key, outcome) in observed {
                let outcome = hooks::with_log_tail(&self.context.cluster, &key, outcome).await;
                let result = results::of_outcome(&self.app_state, &self.run, phase, &key, &outcome);
                self.record.put(outcome, result);
            }
        }
    }

    /// Whether a wait may be ended for a newer commit: a hook of which nothing ever ran cannot be
    /// interrupted, every other one is waited for.
    async fn may_be_given_up(&self, reason: &Reason) -> bool {
        if !matches!(reason, Reason::HookWaiting { .. }) {
            return true;
        }
        let hooks = sync::waiting_hooks(&self.situation());
        for (_, hook) in hooks {
            if self.context.cluster.has_started(&hook).await {
                return false;
            }
        }
        true
    }

    /// Stops the hooks that still run. Where that cannot be done now, the clean-up tries again until they
    /// are gone, once the end of the sync is on record.
    async fn terminate(&mut self) {
        let actions = sync::terminate(&self.situation());
        let this = &*self;
        let done = join_all(actions.iter().map(|action| this.perform(action))).await;
        for (action, done) in actions.iter().zip(done) {
            if let Err(error) = done {
                tracing::warn!(hook = %action.key, %error, "hook could not be stopped; trying again");
            }
            if matches!(action.verb, Verb::DeleteHook { .. }) {
                let outcome = Outcome::Stopped;
                let of = (&self.app_state, &self.run);
                let result = results::of_outcome(of.0, of.1, action.phase, &action.key, &outcome);
                self.record.put(outcome, result);
            }
        }
    }

    /// Does all of it at the same time and records what became of it.
    async fn perform_all(&mut self, actions: &[Action]) {
        let this = &*self;
        let done = join_all(actions.iter().map(|action| this.perform(action))).await;
        for (action, done) in actions.iter().zip(done) {
            let mut refused = None;
            let outcome = match done {
                Ok(Some(outcome)) => outcome,
                Ok(None) => continue,
                Err(error) => {
                    refused = Some(error.code());
                    let place = self.app_state.wanted.desired.objects.get(&action.key);
                    let place = place.map(|desired| format!(" ({})", desired.origin));
                    Outcome::Failed(format!("{error}{}", place.unwrap_or_default()))
                }
            };
            let options = &self.request.options;
            let of = (&self.app_state, &self.run, options);
            let mut result = results::of_action(of, action, &outcome);
            if let Some(code) = refused {
                result.reason = code.as_str().into();
            }
            self.record.put(outcome, result);
        }
    }

    /// Does one thing; `None` when there is nothing to record of it.
    async fn perform(&self, action: &Action) -> Result<Option<Outcome>, WriteError> {
        let Self {
            context,
            request,
            app_state,
            run,
            ..
        } = self;
        let cluster = &context.cluster;
        // Asked for each action: the project may have been narrowed since the last one.
        let gate = match context.gate(&app_state.wanted.repositories) {
            Ok(gate) => gate,
            Err(error) => return Err(denied(&error)),
        };
        let by = (&**cluster, &gate);
        match &action.verb {
            Verb::Apply => {
                let Some(desired) = app_state.wanted.desired.objects.get(&action.key) else {
                    return Ok(None);
                };
                let live = app_state.live.get(&action.key);
                let known = self.record.get(Phase::Sync, &action.key);
                let deleted = known == Some(&Outcome::Pruned);
                let outcome = apply_action(by, desired, live, &request.options, deleted).await?;
                if let Some(State::HandedOver(from)) = app_state.comparison.get(&action.key) {
                    context.controller.reporter.handed_over(
                        cluster,
                        context.app,
                        app_state,
                        &action.key,
                        from,
                    );
                }
                Ok(Some(outcome))
            }
            Verb::Delete {
                uid,
                propagation: policy,
            } => {
                let live = app_state.live.get(&action.key);
                let Some(live) = live.filter(|live| live.uid == *uid) else {
                    return Ok(None);
                };
                // Asked for each one, too: a step may be minutes older than what others want.
                let permit = match gate.prune(live, handover::heir(context, &action.key)) {
                    Err(NoPermit::Wanted(_)) => return Ok(None),
                    permit => permit?,
                };
                let policy = propagation(*policy);
                let deleted = cluster.delete(&permit, &live.gvk(), policy).await?;
                Ok(deleted.then_some(Outcome::Pruned))
            }
            Verb::RunHook | Verb::DeleteHook { .. } | Verb::ReleaseHook => {
                let Some(hook) = hooks::of_action(app_state, action, run) else {
                    return Ok(matches!(action.verb, Verb::RunHook).then_some(Outcome::Skipped));
                };
                let live = self.live_hooks.get(&action.key);
                match (&action.verb, live) {
                    (Verb::RunHook, _) => {
                        hooks::run(by, hook, action.phase, run, &request.options).await?;
                        return Ok(Some(Outcome::Running("just created".into())));
                    }
                    (Verb::DeleteHook { uid }, Some(live)) if live.uid == *uid => {
                        hooks::delete(by, live).await?;
                    }
                    (Verb::ReleaseHook, Some(live)) => hooks::release(by, live).await?,
                    _ => {}
                }
                Ok(None)
            }
        }
    }
}

/// What Git holds, hooks included: the same text for the same state.
pub(crate) fn state_of_git(app_state: &AppState) -> String {
    let desired = &app_state.wanted.desired;
    let hooks = desired.hooks_digest().unwrap_or_default();
    format!("{} {hooks}", desired.digest())
}

/// Why nothing may be changed any more, as the result of a change.
fn denied(error: &ReconcileError) -> WriteError {
    WriteError::NotPermitted(NoPermit::Denied(Denial {
        rule: String::new(),
        message: error.to_string(),
    }))
}

/// What is true after the writes; the answers to them are in the index already.
fn judge_again(context: &ReconcileContext<'_>, app_state: &mut AppState) -> anyhow::Result<()> {
    let (mut comparison, live) = judge(context, &app_state.wanted.desired)?;
    for (key, state) in &mut comparison {
        if matches!(state, State::Unconfirmed)
            && let Some(known) = app_state.comparison.get(key)
        {
            *state = known.clone();
        }
    }
    app_state.comparison = comparison;
    app_state.live = live;
    app_state.ignored = ignored(&context.cluster, &app_state.wanted.desired);
    Ok(())
}
