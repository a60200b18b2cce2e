//! One reconciliation of one application, from its spec to its status.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use gitops_api::constants::{annotation, condition};
use gitops_api::status::OperationState;
use gitops_api::{Application, ApplicationSource, ApplicationStatus};
use gitops_core::compare::comparison::{Comparison, State};
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::report::status;
use gitops_core::report::status::{Compared, Condition, Report};
use gitops_core::sync::autosync;
use gitops_core::sync::autosync::{Attempt, Automated, Decision};
use gitops_core::sync::retry::RetryPolicy;
use jiff::Timestamp;

use super::{AppCache, AppKey, Controller};
use crate::applications::report::commits;
use crate::applications::report::reporter::HandledRequests;
use crate::applications::report::results::{DESIRED_DIGEST, HOOKS_DIGEST};
use crate::applications::sources::hold::Holding;
use crate::applications::sources::render::RenderedApp;
use crate::applications::sync::operation::InProgress;
use crate::applications::sync::request::{Request, TERMINATED};

/// Pauses before the next try of an application that could not be compared, first and longest.
const FIRST_RETRY: Duration = Duration::from_secs(15);
const LAST_RETRY: Duration = Duration::from_mins(5);

/// What one pass over an application found.
pub(crate) struct AppState {
    /// What Git says.
    pub(crate) wanted: RenderedApp,
    /// Verdicts.
    pub(crate) comparison: Comparison,
    /// Records of live objects among them.
    pub(crate) live: HashMap<ObjectKey, LiveObject>,
    /// Fields of objects that differ and are ignored.
    pub(crate) ignored: HashMap<ObjectKey, Vec<String>>,
}

impl AppState {
    pub(super) fn compared(&self) -> Compared<'_> {
        Compared {
            desired: &self.wanted.desired,
            comparison: &self.comparison,
            live: &self.live,
            ignored: &self.ignored,
            revisions: &self.wanted.revisions,
            source_types: &self.wanted.source_types,
        }
    }
}

impl Controller {
    /// Reconciles; returns when to do so again, if time alone may change the answer.
    pub(crate) async fn reconcile(self: Arc<Self>, key: AppKey) -> Option<Duration> {
        let cache = self.cache(&key);
        let mut cache = cache.lock().await;
        let Some(app) = self.application(&key) else {
            self.forget(&key);
            return None;
        };
        let app = cache.newest(app);
        if app.metadata.deletion_timestamp.is_some() {
            return Box::pin(self.delete(&key, &app, &mut cache)).await;
        }
        let annotations = app.metadata.annotations.as_ref();
        if annotations.is_some_and(|a| {
            a.get(annotation::SKIP_RECONCILE)
                .is_some_and(|v| v == "true")
        }) {
            return None;
        }
        let refresh = annotations
            .and_then(|a| a.get(annotation::REFRESH))
            .cloned();
        let previous = cache.status(&app).into_owned();
        let mut pass = Reconciliation {
            controller: &self,
            key: &key,
            app: &app,
            previous,
            refresh,
            conditions: BTreeSet::new(),
            operation: None,
            tracked: vec![],
            hold: None,
            asks_admission: false,
        };
        let again = Box::pin(pass.run(&mut cache)).await;
        match again {
            Ok(again) => again,
            Err(error) => {
                tracing::warn!(application = %key, error = format!("{error:#}"), "status could not be written");
                Some(Duration::from_secs(5))
            }
        }
    }

    /// Forgets an application that is gone. Its objects stay; whoever else wants them may have
    /// them now.
    fn forget(&self, key: &AppKey) {
        self.requeue(self.cluster.index.other_claimants(&self.instance(key)));
        self.requeue(
            self.cluster
                .index
                .register_desired(&self.instance(key), None),
        );
        self.hub.follow(key, &[]);
        for waiting in self.observed_revisions.forget(key) {
            self.queue.add(waiting);
        }
        self.caches
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(key);
    }
}

/// One pass over one application.
pub(super) struct Reconciliation<'a> {
    pub(super) controller: &'a Controller,
    pub(super) key: &'a AppKey,
    pub(super) app: &'a Application,
    pub(super) previous: ApplicationStatus,
    pub(super) refresh: Option<String>,
    pub(super) conditions: BTreeSet<Condition>,
    pub(super) operation: Option<OperationState>,
    /// The revisions the application follows, whether or not they are delivered.
    pub(super) tracked: Vec<String>,
    /// What became of the hold on it.
    pub(super) hold: Option<Holding>,
    /// The API server is asked again what admission makes of what it overruled before.
    pub(super) asks_admission: bool,
}

impl Reconciliation<'_> {
    async fn run(&mut self, cache: &mut AppCache) -> anyhow::Result<Option<Duration>> {
        let sources = self.app.spec.effective_sources().to_vec();
        let looked = self.look(cache, &sources).await;
        self.controller
            .record_observed(self.key, &sources, &self.tracked);
        let app_state = match looked {
            Ok(app_state) => app_state,
            Err(condition) => {
                self.fail_requested_operation(&condition);
                self.conditions.insert(condition);
                // A commit or a change of the spec wakes it at once; what mends itself does not.
                let pause = FIRST_RETRY.saturating_mul(1 << cache.failures.min(5));
                cache.failures = cache.failures.saturating_add(1);
                return self.report(cache, None, Some(pause.min(LAST_RETRY))).await;
            }
        };
        cache.failures = 0;
        let (app_state, again) = Box::pin(self.act(cache, app_state)).await?;
        let admission = self.note_admission(&app_state, cache);
        let charts = self.chart_interval(&sources);
        let again = [again, charts, self.hold_interval(), admission]
            .into_iter()
            .flatten()
            .min();
        self.report(cache, Some(&app_state), again).await
    }

    /// Looks at Git and at the cluster.
    async fn look(
        &mut self,
        cache: &mut AppCache,
        sources: &[ApplicationSource],
    ) -> Result<AppState, Condition> {
        self.validate(sources)?;
        self.asks_admission = self.admission_is_due(cache);
        let hard = self.refresh.as_deref() == Some("hard");
        let wanted = self.render_app(cache, sources, hard).await?;
        self.register_desired(&wanted);
        self.controller
            .keep_finalizers(self.app, &wanted.desired.hooks)
            .await;
        self.check_kinds(&wanted.desired)?;
        self.compare(wanted).await
    }

    /// What Git says at the tracked revision, or at the one that is held instead.
    async fn render_app(
        &mut self,
        cache: &mut AppCache,
        sources: &[ApplicationSource],
        hard: bool,
    ) -> Result<RenderedApp, Condition> {
        let controller = self.controller;
        controller.follow(self.key, &self.app.spec);
        let refresh = self.refresh.is_some();
        let found = controller
            .resolve_sources(&self.app.spec, sources, refresh, &mut self.conditions)
            .await?;
        self.tracked = found.iter().map(|found| found.revision.clone()).collect();
        let wanted = controller
            .render_app(self.key, self.app, found, &mut cache.rendered, hard)
            .await;
        match self.held(wanted.as_ref().ok()) {
            None => {
                cache.held = None;
                wanted
            }
            Some(sources) => {
                let found = controller
                    .resolve_sources(&self.app.spec, &sources, false, &mut self.conditions)
                    .await?;
                controller
                    .render_app(self.key, self.app, found, &mut cache.held, hard)
                    .await
            }
        }
    }

    /// Takes note of what the application wants now.
    pub(super) fn register_desired(&mut self, wanted: &RenderedApp) {
        self.conditions.extend(wanted.conditions.iter().cloned());
        let instance = self.controller.instance(self.key);
        let index = &self.controller.cluster.index;
        let next_owners = index.register_desired(&instance, Some(&wanted.desired));
        self.controller.requeue(next_owners);
        if self.refresh.is_some() {
            index.forget_probes(&instance);
        }
    }

    fn validate(&self, sources: &[ApplicationSource]) -> Result<(), Condition> {
        self.controller.validate(&self.app.spec, sources)
    }

    pub(super) fn check_kinds(&self, desired: &DesiredSet) -> Result<(), Condition> {
        self.controller.check_kinds(&self.app.spec, desired)
    }

    pub(super) fn automated(&self) -> Option<Automated> {
        let automation = self.app.spec.sync_policy.as_ref()?.automation()?;
        Some(Automated {
            prune: automation.prune,
            self_heal: automation.self_heal,
        })
    }

    /// Decides and carries out; returns what is true afterwards.
    async fn act(
        &mut self,
        cache: &mut AppCache,
        app_state: AppState,
    ) -> anyhow::Result<(AppState, Option<Duration>)> {
        self.note_windows();
        let asked = self.pending_prune_approval(&app_state);
        let waits = self.awaits_handover(&app_state);
        let in_progress = if waits { None } else { self.in_progress() };
        match asked {
            Some((_, true)) if !waits && in_progress.is_none() => {
                let request = Request::automated(&self.app.spec, None, 0);
                return Box::pin(self.sync_unless_pointless(cache, app_state, request)).await;
            }
            Some((condition, _)) => {
                self.conditions.insert(condition);
            }
            None => {}
        }
        if waits {
            return Ok((app_state, None));
        }
        match in_progress {
            Some(InProgress::Sync(request)) => {
                if let Some(kept) = self.check_window(&request) {
                    return Ok((app_state, kept.again));
                }
                return Box::pin(self.sync_or_retry(cache, app_state, *request)).await;
            }
            Some(InProgress::Waits(pause)) => return Ok((app_state, Some(pause))),
            None => {}
        }
        let now = Timestamp::now();
        let retry = self.retry_policy();
        let attempt = self.last_attempt(&app_state);
        let decision = autosync::decide(
            self.automated(),
            &app_state.comparison,
            attempt,
            &retry,
            &cache.heals,
            now,
        );
        match decision {
            Decision::Nothing(idle) => {
                self.note_idle(idle, &app_state);
                Ok((app_state, None))
            }
            Decision::Later(pause, reason) => {
                self.note_failed_attempt();
                if !reason.starts_with("retrying") {
                    self.conditions
                        .insert(Condition::new(condition::SYNC_ERROR, reason));
                }
                Ok((app_state, Some(pause)))
            }
            Decision::Sync { retry } => {
                let handed_over = |(_, state): &(_, &State)| matches!(state, State::HandedOver(_));
                let handed_over = app_state.comparison.iter().filter(handed_over);
                cache.heals.record(handed_over.map(|(key, _)| key), now);
                let request = Request::automated(&self.app.spec, None, retry);
                Box::pin(self.sync_unless_pointless(cache, app_state, request)).await
            }
            Decision::Heal(keys) => {
                let request = Request::automated(&self.app.spec, Some(keys.clone()), 0);
                let request = self.with_approval(request, &app_state);
                if request.plan(&app_state).is_empty() {
                    return Ok((app_state, None));
                }
                if let Some(kept) = self.check_window(&request) {
                    return Ok((app_state, kept.again));
                }
                cache.heals.record(&keys, now);
                self.controller.metrics.heals.inc_by(keys.len() as u64);
                Box::pin(self.sync_or_retry(cache, app_state, request)).await
            }
        }
    }

    /// Syncs, unless all that differs must be left as it is: kept objects, objects on their way
    /// out, a prune that would leave nothing; or that no window is open for it.
    async fn sync_unless_pointless(
        &mut self,
        cache: &mut AppCache,
        app_state: AppState,
        request: Request,
    ) -> anyhow::Result<(AppState, Option<Duration>)> {
        let request = self.with_approval(request, &app_state);
        if request.plan(&app_state).is_empty() {
            return Ok((app_state, None));
        }
        if let Some(kept) = self.check_window(&request) {
            return Ok((app_state, kept.again));
        }
        self.sync_or_retry(cache, app_state, request).await
    }

    async fn sync_or_retry(
        &mut self,
        cache: &mut AppCache,
        app_state: AppState,
        request: Request,
    ) -> anyhow::Result<(AppState, Option<Duration>)> {
        let request = self.with_approval(request, &app_state);
        let app_state = self.sync(cache, app_state, request).await?;
        let again = self.look_again();
        Ok((app_state, again))
    }

    /// The retry policy; one that cannot be read is said so, and the default used.
    fn retry_policy(&mut self) -> RetryPolicy {
        let strategy = self
            .app
            .spec
            .sync_policy
            .as_ref()
            .and_then(|policy| policy.retry.as_ref());
        RetryPolicy::of_automated_sync(strategy).unwrap_or_else(|error| {
            let message = format!("{error}; the default is used");
            self.conditions
                .insert(Condition::new(condition::INVALID_SETTING_WARNING, message));
            RetryPolicy::automated_default()
        })
    }

    /// The last operation, if it was of the manifests and source compared now.
    pub(super) fn last_attempt(&self, app_state: &AppState) -> Option<Attempt> {
        let state = self.previous.operation_state.as_ref()?;
        let result = state.sync_result.as_ref()?;
        let spec = &self.app.spec;
        // A commit that changes nothing for this application is not a new state to try.
        let digest = |name: &str| result.extra.get(name).and_then(serde_json::Value::as_str);
        let desired = &app_state.wanted.desired;
        let mended = !state.phase.is_successful()
            && digest(HOOKS_DIGEST) != desired.hooks_digest().as_deref();
        let same = !mended
            && digest(DESIRED_DIGEST) == Some(&desired.digest())
            && result.sources == spec.sources
            && (!spec.sources.is_empty() || result.source == spec.source);
        if !same || !state.phase.is_completed() {
            return None;
        }
        Some(Attempt {
            succeeded: state.phase.is_successful(),
            retries: u32::try_from(state.retry_count).unwrap_or(0),
            finished: state
                .finished_at
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            terminated: state.message == TERMINATED,
        })
    }

    /// Answers a request to sync when it cannot even be compared.
    fn fail_requested_operation(&mut self, condition: &Condition) {
        if let Some(operation) = &self.app.operation {
            let request = Request::asked_for(operation, &self.app.spec);
            self.operation = Some(request.refused(&condition.message, Timestamp::now()));
        }
    }

    /// Charts are not announced by anyone: ranges are looked up again at the poll interval.
    fn chart_interval(&self, sources: &[ApplicationSource]) -> Option<Duration> {
        sources
            .iter()
            .any(|source| !source.chart.is_empty())
            .then_some(self.controller.poll_interval)
    }

    async fn report(
        &mut self,
        cache: &mut AppCache,
        app_state: Option<&AppState>,
        again: Option<Duration>,
    ) -> anyhow::Result<Option<Duration>> {
        self.note_options();
        if let Some(app_state) = app_state {
            self.note_shared(app_state);
            self.note_unapplied(app_state, cache);
        }
        let live = match app_state {
            Some(app_state) => commits::live(&self.previous, app_state, &self.tracked, cache).await,
            None => None,
        };
        let report = Report {
            live,
            previous: &self.previous,
            spec: &self.app.spec,
            compared: app_state.map(AppState::compared),
            conditions: &self.conditions,
            operation: self.operation.as_ref(),
            namespace: &self.controller.namespace,
            now: Timestamp::now(),
        };
        let status = status::build(&report);
        let finished = self.operation.as_ref().is_some_and(|operation| {
            operation.phase.is_completed() && self.app.operation.is_some()
        });
        self.controller
            .reporter
            .write(
                self.app,
                cache,
                status,
                HandledRequests {
                    operation: finished,
                    refresh: self.refresh.is_some(),
                    hold: matches!(self.hold, Some(Holding::Ended)),
                },
            )
            .await?;
        Ok(again)
    }
}
