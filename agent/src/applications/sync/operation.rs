//! The operation of a pass: which sync is under way, its beginning, and what it leaves behind.

use std::time::Duration;

use gitops_api::constants::config_map;
use gitops_api::status::OperationState;
use gitops_api::{ApplicationSpec, Operation, OperationPhase};
use gitops_core::report::history::Delivery;
use gitops_core::report::status::Condition;
use gitops_core::report::{heals, history, status};
use gitops_core::sync::retry::RetryPolicy;
use gitops_core::sync::time_limit::{TimeLeft, time_left};
use gitops_core::sync::{retry, time_limit};
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::request::{Request, TERMINATED};
use crate::applications::reconcile::{AppState, Reconciliation};
use crate::applications::report::commits;
use crate::applications::report::reporter::HandledRequests;
use crate::applications::report::results::sync_result;
use crate::applications::sync::execute::SyncProgress;
use crate::applications::{AppCache, Controller};

/// A sync that somebody asked for, or that began in an earlier pass.
pub(crate) enum InProgress {
    /// It begins or goes on now.
    Sync(Box<Request>),
    /// It failed and is tried again after this time.
    Waits(Duration),
}

impl Reconciliation<'_> {
    /// The sync that somebody asked for, or one that began in an earlier pass and is not at its
    /// end.
    pub(crate) fn in_progress(&mut self) -> Option<InProgress> {
        if let Some(waiting) = self.waiting_for_retry() {
            return Some(waiting);
        }
        self.beginning_or_going_on()
            .map(|request| InProgress::Sync(Box::new(request)))
    }

    fn beginning_or_going_on(&mut self) -> Option<Request> {
        let spec = &self.app.spec;
        let state = self.previous.operation_state.as_mut().filter(|state| {
            matches!(
                state.phase,
                OperationPhase::Running | OperationPhase::Terminating
            )
        });
        // Between two attempts it goes on only while somebody wants it.
        let wanted = self.app.operation.is_some();
        let resumable = state.as_ref().is_some_and(|state| {
            state.sync_result.is_some() && (wanted || state.finished_at.is_none())
        });
        match (state, &self.app.operation) {
            (Some(state), _) if resumable => Some(Request::resumed(state, spec)),
            (state, Some(operation)) => {
                if state.is_some_and(|state| state.phase == OperationPhase::Terminating) {
                    let request = Request::asked_for(operation, spec);
                    self.operation = Some(request.refused(TERMINATED, Timestamp::now()));
                    return None;
                }
                Some(Request::asked_for(operation, spec))
            }
            // Nobody works on it any more: it was ended while it ended, or its controller is gone.
            (Some(state), None) => {
                state.phase = OperationPhase::Failed;
                state.message = TERMINATED.into();
                self.operation = Some(state.clone());
                None
            }
            (None, None) => None,
        }
    }

    /// A sync that failed and has attempts left: Argo CD calls it running, with the time of the
    /// last failure.
    fn waiting_for_retry(&self) -> Option<InProgress> {
        let state = self.previous.operation_state.as_ref()?;
        let failed = state.finished_at.as_ref()?;
        if state.phase != OperationPhase::Running || self.app.operation.is_none() {
            return None;
        }
        let spec = &self.app.spec;
        let policy = retry_policy(&state.operation, spec);
        let retries = u32::try_from(state.retry_count).unwrap_or(0);
        let pause = policy.backoff(retries.saturating_sub(1));
        Some(match retry::remaining(failed.0, pause, Timestamp::now()) {
            Some(left) => InProgress::Waits(left),
            None => InProgress::Sync(Box::new(Request::again(state, spec, policy.refresh))),
        })
    }

    /// A failed sync that somebody asked for stays under way while it has attempts left.
    fn with_retry(&self, request: &Request, mut state: OperationState) -> OperationState {
        let failed = state.phase.is_completed() && !state.phase.is_successful();
        if !failed || request.is_automated() || state.message.starts_with(TERMINATED) {
            return state;
        }
        let policy = retry_policy(&state.operation, &self.app.spec);
        if !policy.allows(request.retry) {
            return state;
        }
        let now = Timestamp::now();
        let next = now + policy.backoff(request.retry);
        state.phase = OperationPhase::Running;
        state.retry_count = i64::from(request.retry) + 1;
        state.finished_at = Some(status::seconds(now));
        state.message = format!(
            "{}; retrying attempt #{} at {}",
            state.message,
            state.retry_count,
            next.strftime("%H:%M:%S UTC")
        );
        state
    }

    /// When to look again although nothing happens: at the next attempt, or when a sync has taken
    /// too long.
    pub(crate) fn look_again(&self) -> Option<Duration> {
        let state = self.operation.as_ref()?;
        if state.phase.is_completed() {
            // Nothing else may ever wake it again: the next pass decides when to retry.
            return (!state.phase.is_successful()).then_some(Duration::ZERO);
        }
        let now = Timestamp::now();
        if state.finished_at.is_some() {
            let policy = retry_policy(&state.operation, &self.app.spec);
            let retries = u32::try_from(state.retry_count).unwrap_or(0);
            return Some(policy.backoff(retries.saturating_sub(1)));
        }
        let started = state.started_at.as_ref()?.0;
        match time_left(started, self.controller.sync_timeout(), now) {
            TimeLeft::Unlimited => None,
            TimeLeft::Left(left) => Some(left),
            TimeLeft::Over => Some(Duration::ZERO),
        }
    }

    /// Says that a sync has begun, so that it can be followed, ended, and taken up again.
    pub(crate) async fn announce(
        &mut self,
        cache: &mut AppCache,
        request: &Request,
        app_state: &AppState,
        started: Timestamp,
    ) -> anyhow::Result<()> {
        let mut operation = request.operation.clone();
        operation.sync.get_or_insert_default();
        self.previous.operation_state = Some(OperationState {
            operation,
            phase: OperationPhase::Running,
            message: "syncing".into(),
            started_at: Some(status::seconds(started)),
            retry_count: i64::from(request.retry),
            sync_result: Some(sync_result(self.app, app_state)),
            ..OperationState::default()
        });
        self.controller
            .reporter
            .write(
                self.app,
                cache,
                self.previous.clone(),
                HandledRequests::default(),
            )
            .await
    }

    pub(crate) async fn sync(
        &mut self,
        cache: &mut AppCache,
        app_state: AppState,
        request: Request,
    ) -> anyhow::Result<AppState> {
        let head = app_state.wanted.desired.digest();
        let app_state = match self.findings_of(cache, app_state, &request).await {
            Ok(app_state) => app_state,
            Err((app_state, condition)) => {
                let refused = request.refused(&condition.message, Timestamp::now());
                self.operation = Some(self.with_retry(&request, refused));
                return Ok(app_state);
            }
        };
        let advanced = Box::pin(self.advance(cache, app_state, &request, &head)).await?;
        let SyncProgress {
            app_state,
            operation,
            started,
            healed,
        } = advanced;
        let revision = app_state.wanted.revisions.first();
        let revision = revision.map(String::as_str).unwrap_or_default();
        heals::record(
            &mut self.previous.heals,
            &healed,
            revision,
            Timestamp::now(),
        );
        let operation = self.with_retry(&request, operation);
        let phase = operation.phase;
        if phase.is_completed() {
            self.controller
                .reporter
                .operation(self.app, &app_state, &operation, &healed);
        }
        if phase.is_successful() && request.is_complete() {
            let finished = Timestamp::now();
            let delivery = Delivery {
                revisions: &app_state.wanted.revisions,
                commit: commits::delivered(&app_state).await,
                digest: app_state.wanted.desired.digest(),
                started,
                finished,
                initiated_by: operation.operation.initiated_by.clone().unwrap_or_default(),
            };
            history::record_history(&mut self.previous, &self.app.spec, delivery);
        }
        self.operation = Some(operation);
        if phase.is_completed() && !phase.is_successful() {
            self.note_failed_attempt();
        }
        Ok(app_state)
    }

    /// The findings a request is about: those at hand, or those of another revision it names.
    async fn findings_of(
        &mut self,
        cache: &mut AppCache,
        app_state: AppState,
        request: &Request,
    ) -> Result<AppState, (AppState, Condition)> {
        let Some(sources) = request.other_sources(&self.app.spec) else {
            return Ok(app_state);
        };
        if request.pinned() == app_state.wanted.revisions {
            return Ok(app_state);
        }
        let other = async {
            let found = self
                .controller
                .resolve_sources(&self.app.spec, &sources, true, &mut self.conditions)
                .await?;
            let wanted = self
                .controller
                .render_app(self.key, self.app, found, &mut cache.operating, false)
                .await?;
            self.register_desired(&wanted);
            self.check_kinds(&wanted.desired)?;
            self.compare(wanted).await
        }
        .await;
        other.map_err(|condition| (app_state, condition))
    }
}

/// How a requested sync is tried again: as the request says, else as the application does.
fn retry_policy(operation: &Operation, spec: &ApplicationSpec) -> RetryPolicy {
    let policy = spec.sync_policy.as_ref();
    let strategy = operation
        .retry
        .as_ref()
        .or(policy.and_then(|policy| policy.retry.as_ref()));
    RetryPolicy::of_requested_sync(strategy).unwrap_or_else(|error| {
        tracing::warn!(%error, "a sync is not tried again");
        RetryPolicy::never()
    })
}

impl Controller {
    /// The longest time one sync may take.
    pub(crate) fn sync_timeout(&self) -> Option<Duration> {
        let reference = ObjectRef::new(config_map::PARAMETERS).within(&self.namespace);
        let parameters = self.configuration.config_maps.get(&reference);
        let said = parameters
            .as_ref()
            .and_then(|map| map.data.as_ref()?.get(time_limit::KEY));
        match said.map(|text| time_limit::read(text)) {
            Some(Ok(limit)) => limit,
            Some(Err(error)) => {
                tracing::warn!(%error, "the agent's own limit is used");
                self.sync_timeout
            }
            None => self.sync_timeout,
        }
    }
}
