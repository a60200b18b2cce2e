//! Carrying out a sync: what core planned, step by step, with a result for every object.

use std::time::Duration;

use futures::future::join_all;
use gitops_api::{
    Application, HealthStatusCode, OperationPhase, ResultCode,
    status::{OperationState, ResourceResult},
};
use gitops_core::{
    compare::{Confirmation, DriftedField},
    desired::DesiredObject,
    live::LiveObject,
    object::{GroupVersionKind, ObjectKey},
    plan::{Action, Plan, Verb},
};
use jiff::Timestamp;
use serde_json::json;

use super::{
    AppKey, Controller,
    reconcile::Findings,
    request::{Request, TERMINATED},
    results::{Done, healed, operation_state, result_of, success, summary},
};
use crate::cluster::write::WriteError;

/// Longest wait for the API server to serve a kind whose definition was just applied.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// What a sync did.
pub(crate) struct Outcome {
    /// State to report.
    pub(crate) operation: OperationState,
    /// When it began.
    pub(crate) started: Timestamp,
    /// Objects whose drift was taken back, with what it was.
    pub(crate) healed: Vec<(ObjectKey, Vec<DriftedField>)>,
}

impl Controller {
    /// Carries out a request; never fails as a whole, what went wrong is in the result.
    pub(crate) async fn sync(
        &self,
        key: &AppKey,
        app: &Application,
        findings: &Findings,
        request: &Request,
    ) -> Outcome {
        let started = Timestamp::now();
        let plan = request.plan(findings);
        let unsupported = request
            .operation
            .sync
            .as_ref()
            .is_some_and(|sync| !sync.manifests.is_empty())
            .then(|| "operation.sync.manifests is not supported; commit the manifests".to_owned());
        tracing::info!(
            application = %key,
            revision = findings.wanted.revisions.first(),
            actions = plan.len(),
            skipped = plan.skipped.len(),
            heal = request.heal.is_some(),
            "syncing"
        );
        let mut results = Vec::new();
        let failure = match unsupported {
            Some(failure) => Some(failure),
            None if request.dry_run => None,
            None => {
                self.carry_out(key, app, findings, &plan, &mut results)
                    .await
            }
        };
        let healed = match &request.heal {
            Some(_) if failure.is_none() => healed(findings, &plan),
            _ => vec![],
        };
        self.metrics.sync(if failure.is_some() {
            "failed"
        } else {
            "succeeded"
        });
        let message = failure.clone().unwrap_or_else(|| success(request, &plan));
        let operation = operation_state(
            app,
            findings,
            request,
            &plan,
            results,
            started,
            failure.is_some(),
            message,
        );
        Outcome {
            operation,
            started,
            healed,
        }
    }

    /// Runs the steps in order; a step with a failure is the last. Returns the failure.
    async fn carry_out(
        &self,
        key: &AppKey,
        app: &Application,
        findings: &Findings,
        plan: &Plan,
        results: &mut Vec<ResourceResult>,
    ) -> Option<String> {
        if let Err(error) = self.ensure_namespace(app, findings, plan).await {
            return Some(format!(
                "namespace {} could not be created: {error}",
                app.spec.destination.namespace
            ));
        }
        for step in &plan.steps {
            if self.is_terminating(key) {
                return Some(TERMINATED.into());
            }
            let done = join_all(step.actions.iter().map(|action| self.act(findings, action))).await;
            let mut failures = Vec::new();
            for (action, done) in step.actions.iter().zip(done) {
                let result = result_of(action, findings, done);
                if result.status == Some(ResultCode::SyncFailed) {
                    failures.push(format!("{}: {}", action.key, result.message));
                }
                results.push(result);
            }
            if !failures.is_empty() {
                return Some(summary(&failures));
            }
            self.wait_for_definitions(findings, &step.actions).await;
        }
        None
    }

    /// Whether somebody wants the operation under way to end: Argo CD's clients say so in its phase.
    fn is_terminating(&self, key: &AppKey) -> bool {
        self.application(key).is_some_and(|app| {
            let state = app.status.as_ref().and_then(|s| s.operation_state.as_ref());
            state.is_some_and(|state| state.phase == OperationPhase::Terminating)
        })
    }

    async fn act(&self, findings: &Findings, action: &Action) -> Result<Done, WriteError> {
        match &action.verb {
            Verb::Apply => {
                let Some(desired) = findings.wanted.desired.objects.get(&action.key) else {
                    return Ok(Done::Nothing);
                };
                self.apply(desired, findings.live.contains_key(&action.key))
                    .await?;
                Ok(Done::Applied)
            }
            Verb::Prune { uid } => {
                let Some(live) = findings.live.get(&action.key) else {
                    return Ok(Done::Nothing);
                };
                self.cluster
                    .writer
                    .delete(&live.gvk(), &action.key, uid)
                    .await?;
                Ok(Done::Pruned)
            }
        }
    }

    /// Applies one object and takes note of the answer.
    async fn apply(&self, desired: &DesiredObject, exists: bool) -> Result<(), WriteError> {
        let writer = &self.cluster.writer;
        if exists {
            let record = self.cluster.index.get(&desired.key);
            // Only an object the agent never applied can have fields to take over.
            if record.is_some_and(|record| record.owned.is_empty())
                && let Some(live) = writer.get(&desired.gvk, &desired.key).await?
            {
                writer.take_over(&desired.gvk, &live).await?;
            }
        }
        let applied = writer.apply(&desired.gvk, &desired.manifest()).await?;
        self.cluster.index.observe(&applied);
        if let Some(live) = LiveObject::observe(&applied, false) {
            let confirmation = Confirmation::of(&live, &desired.digest);
            self.cluster.index.confirm(&desired.key, confirmation);
        }
        Ok(())
    }

    /// Creates the destination namespace when the option asks for it and something has to live in
    /// it. With managed metadata it is an object like any other, and part of the plan.
    async fn ensure_namespace(
        &self,
        app: &Application,
        findings: &Findings,
        plan: &Plan,
    ) -> Result<(), WriteError> {
        let name = &app.spec.destination.namespace;
        let asked = app
            .spec
            .sync_policy
            .as_ref()
            .is_some_and(|policy| policy.has_option("CreateNamespace=true"));
        let needed = plan
            .steps
            .iter()
            .flat_map(|step| &step.actions)
            .any(|action| {
                action.verb == Verb::Apply
                    && action.key.namespace == *name
                    && !findings.live.contains_key(&action.key)
            });
        let key = ObjectKey {
            group: String::new(),
            kind: "Namespace".into(),
            namespace: String::new(),
            name: name.clone(),
        };
        if !asked
            || !needed
            || name.is_empty()
            || findings.wanted.desired.objects.contains_key(&key)
            || self.cluster.index.has_objects_in(name)
        {
            return Ok(());
        }
        let gvk = GroupVersionKind {
            group: String::new(),
            version: "v1".into(),
            kind: "Namespace".into(),
        };
        if self.cluster.writer.get(&gvk, &key).await?.is_some() {
            return Ok(());
        }
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.cluster.writer.apply(&gvk, &namespace).await.map(drop)
    }

    /// After a CustomResourceDefinition was applied, waits until its kind is served: objects of it
    /// may be in the next step.
    async fn wait_for_definitions(&self, findings: &Findings, actions: &[Action]) {
        let definitions: Vec<_> = actions
            .iter()
            .filter(|action| {
                action.verb == Verb::Apply && action.key.kind == "CustomResourceDefinition"
            })
            .filter_map(|action| findings.wanted.desired.objects.get(&action.key))
            .collect();
        for desired in &definitions {
            let established = async {
                loop {
                    let changed = self.cluster.index.changed();
                    let health = self.cluster.index.get(&desired.key).and_then(|r| r.health);
                    if health.is_some_and(|h| h.status == HealthStatusCode::Healthy) {
                        return;
                    }
                    changed.await;
                }
            };
            if tokio::time::timeout(ESTABLISHED, established)
                .await
                .is_err()
            {
                tracing::warn!(definition = %desired.key, "not established in time");
            }
        }
        if !definitions.is_empty() && self.cluster.discovery.refresh().await.is_err() {
            tracing::warn!("kinds could not be read after a definition was applied");
        }
    }
}
