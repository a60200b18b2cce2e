//! Carrying out a sync: what core planned, step by step, with a result for every object.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use futures::future::join_all;
use gitops_api::{
    Application, ApplicationSource, ApplicationSpec, HealthStatusCode, Operation,
    OperationInitiator, OperationPhase, ResultCode, SyncOperation, SyncPhase,
    operation::SyncOperationResource,
    status::{OperationState, ResourceResult, SyncOperationResult},
};
use gitops_core::{
    compare::{Confirmation, DriftedField, State},
    desired::DesiredObject,
    live::LiveObject,
    object::{GroupVersionKind, ObjectKey},
    plan::{Action, Plan, Policy, Verb, plan},
    status::seconds,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AppKey, Controller, reconcile::Findings};
use crate::cluster::write::WriteError;

/// Extension of `operationState.syncResult`: digest of the manifests that were synced, by which a
/// commit that changes nothing for the application is told from one that does.
pub(crate) const DESIRED_DIGEST: &str = "desiredDigest";
/// Longest wait for the API server to serve a kind whose definition was just applied.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// What to sync, and who wants it.
pub(crate) struct Request {
    operation: Operation,
    prune: bool,
    allow_empty: bool,
    dry_run: bool,
    /// Self-heal of these objects.
    heal: Option<BTreeSet<ObjectKey>>,
    retry: u32,
}

/// What a sync did.
pub(crate) struct Outcome {
    /// State to report.
    pub(crate) operation: OperationState,
    /// When it began.
    pub(crate) started: Timestamp,
    /// Objects whose drift was taken back, with what it was.
    pub(crate) healed: Vec<(ObjectKey, Vec<DriftedField>)>,
}

impl Request {
    /// A sync somebody asked for through `operation`.
    pub(crate) fn asked_for(operation: &Operation, spec: &ApplicationSpec) -> Self {
        let sync = operation.sync.clone().unwrap_or_default();
        Self {
            operation: operation.clone(),
            prune: sync.prune,
            allow_empty: allow_empty(spec),
            dry_run: sync.dry_run,
            heal: None,
            retry: 0,
        }
    }

    /// A sync the agent decided on.
    pub(crate) fn automated(
        spec: &ApplicationSpec,
        heal: Option<BTreeSet<ObjectKey>>,
        retry: u32,
    ) -> Self {
        let automation = spec
            .sync_policy
            .as_ref()
            .and_then(|policy| policy.automation());
        let prune = automation.is_some_and(|automation| automation.prune);
        let resources = heal.iter().flatten().map(|key| SyncOperationResource {
            group: key.group.clone(),
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            ..SyncOperationResource::default()
        });
        let operation = Operation {
            sync: Some(SyncOperation {
                prune,
                resources: resources.collect(),
                sync_options: spec
                    .sync_policy
                    .as_ref()
                    .map(|policy| policy.sync_options.clone())
                    .unwrap_or_default(),
                ..SyncOperation::default()
            }),
            initiated_by: Some(OperationInitiator {
                automated: true,
                ..OperationInitiator::default()
            }),
            ..Operation::default()
        };
        Self {
            operation,
            prune,
            allow_empty: allow_empty(spec),
            dry_run: false,
            heal,
            retry,
        }
    }

    /// Whether it covers the whole application, so that history records it.
    pub(crate) fn is_complete(&self) -> bool {
        !self.dry_run
            && self
                .operation
                .sync
                .as_ref()
                .is_none_or(|sync| sync.resources.is_empty())
    }

    /// The sources to sync instead of the application's own, when the request names others.
    pub(crate) fn other_sources(&self, spec: &ApplicationSpec) -> Option<Vec<ApplicationSource>> {
        let sync = self.operation.sync.as_ref()?;
        let mut sources = if !sync.sources.is_empty() {
            sync.sources.clone()
        } else if let Some(source) = &sync.source {
            vec![source.clone()]
        } else {
            spec.effective_sources().to_vec()
        };
        let revisions = if sync.revisions.is_empty() {
            std::slice::from_ref(&sync.revision)
        } else {
            &sync.revisions
        };
        for (source, revision) in sources.iter_mut().zip(revisions) {
            if !revision.is_empty() {
                source.target_revision.clone_from(revision);
            }
        }
        (sources != spec.effective_sources()).then_some(sources)
    }

    /// The state of an operation that could not begin.
    pub(crate) fn refused(&self, message: &str, now: Timestamp) -> OperationState {
        OperationState {
            operation: self.operation.clone(),
            phase: OperationPhase::Error,
            message: message.into(),
            started_at: Some(seconds(now)),
            finished_at: Some(seconds(now)),
            ..OperationState::default()
        }
    }

    /// What carrying it out would do.
    pub(crate) fn plan(&self, findings: &Findings) -> Plan {
        let policy = Policy {
            prune: self.prune,
            allow_empty: self.allow_empty,
            only: self.selection(findings.comparison.keys()),
        };
        let live = |key: &ObjectKey| findings.live.get(key);
        plan(
            &findings.wanted.desired,
            &findings.comparison,
            live,
            &policy,
        )
    }

    /// The objects to sync; `None` for all.
    fn selection<'a>(
        &self,
        keys: impl Iterator<Item = &'a ObjectKey>,
    ) -> Option<BTreeSet<ObjectKey>> {
        if let Some(heal) = &self.heal {
            return Some(heal.clone());
        }
        let wanted = &self.operation.sync.as_ref()?.resources;
        if wanted.is_empty() {
            return None;
        }
        let matches = |key: &&ObjectKey| {
            wanted.iter().any(|resource| {
                resource.group == key.group
                    && resource.kind == key.kind
                    && resource.name == key.name
                    && (resource.namespace.is_empty() || resource.namespace == key.namespace)
            })
        };
        Some(keys.filter(matches).cloned().collect())
    }
}

fn allow_empty(spec: &ApplicationSpec) -> bool {
    spec.sync_policy
        .as_ref()
        .and_then(|policy| policy.automated.as_ref())
        .is_some_and(|automated| automated.allow_empty)
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
            None => self.carry_out(app, findings, &plan, &mut results).await,
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
                let live = findings.live.get(&action.key);
                let gvk = GroupVersionKind {
                    group: action.key.group.clone(),
                    version: live.map(|live| live.version.clone()).unwrap_or_default(),
                    kind: action.key.kind.clone(),
                };
                self.cluster.writer.delete(&gvk, &action.key, uid).await?;
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

enum Done {
    Applied,
    Pruned,
    Nothing,
}

fn result_of(
    action: &Action,
    findings: &Findings,
    done: Result<Done, WriteError>,
) -> ResourceResult {
    let desired = findings.wanted.desired.objects.get(&action.key);
    let (status, message) = match done {
        Ok(Done::Applied) => (ResultCode::Synced, format!("applied: {}", action.reason)),
        Ok(Done::Pruned) => (ResultCode::Pruned, "pruned: no longer in Git".into()),
        Ok(Done::Nothing) => (ResultCode::Synced, "unchanged".into()),
        Err(error) => {
            let place = desired
                .map(|d| format!(" ({})", d.origin))
                .unwrap_or_default();
            (ResultCode::SyncFailed, format!("{error}{place}"))
        }
    };
    resource_result(&action.key, findings, status, message)
}

fn resource_result(
    key: &ObjectKey,
    findings: &Findings,
    status: ResultCode,
    message: String,
) -> ResourceResult {
    let desired = findings.wanted.desired.objects.get(key);
    let version = desired
        .map(|desired| desired.gvk.version.clone())
        .or_else(|| findings.live.get(key).map(|live| live.version.clone()));
    ResourceResult {
        group: key.group.clone(),
        version: version.unwrap_or_default(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        status: Some(status),
        message,
        sync_phase: Some(SyncPhase::Sync),
        images: desired
            .map(|desired| desired.images.clone())
            .unwrap_or_default(),
        ..ResourceResult::default()
    }
}

fn summary(failures: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = failures
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if failures.len() > SHOWN {
        let _ = write!(text, "; and {} more", failures.len() - SHOWN);
    }
    text
}

fn success(request: &Request, plan: &Plan) -> String {
    let count = |wanted: fn(&Verb) -> bool| {
        plan.steps
            .iter()
            .flat_map(|step| &step.actions)
            .filter(|a| wanted(&a.verb))
            .count()
    };
    let applied = count(|verb| *verb == Verb::Apply);
    let pruned = count(|verb| matches!(verb, Verb::Prune { .. }));
    let verb = if request.heal.is_some() {
        "healed"
    } else {
        "applied"
    };
    let mut text = if request.dry_run {
        format!("dry run: would apply {applied} and prune {pruned} objects")
    } else if applied + pruned == 0 {
        "nothing to apply: everything is as Git has it".into()
    } else {
        let mut parts = Vec::new();
        if applied > 0 {
            parts.push(format!("{verb} {applied}"));
        }
        if pruned > 0 {
            parts.push(format!("pruned {pruned}"));
        }
        let noun = if applied + pruned == 1 {
            "object"
        } else {
            "objects"
        };
        format!("{} {noun}", parts.join(" and "))
    };
    if !plan.skipped.is_empty() {
        let _ = write!(text, ", skipped {}", plan.skipped.len());
    }
    text
}

fn healed(findings: &Findings, plan: &Plan) -> Vec<(ObjectKey, Vec<DriftedField>)> {
    plan.steps
        .iter()
        .flat_map(|step| &step.actions)
        .filter_map(|action| match findings.comparison.get(&action.key)? {
            State::Drifted(fields) => Some((action.key.clone(), fields.clone())),
            State::Missing => Some((action.key.clone(), vec![])),
            _ => None,
        })
        .collect()
}

#[expect(
    clippy::too_many_arguments,
    reason = "one record is put together from all of them"
)]
fn operation_state(
    app: &Application,
    findings: &Findings,
    request: &Request,
    plan: &Plan,
    mut results: Vec<ResourceResult>,
    started: Timestamp,
    failed: bool,
    message: String,
) -> OperationState {
    for (key, skip) in &plan.skipped {
        let status = match findings.comparison.get(key) {
            Some(State::Extra) => ResultCode::PruneSkipped,
            _ => ResultCode::SyncFailed,
        };
        results.push(resource_result(key, findings, status, skip.message()));
    }
    let spec = &app.spec;
    let multiple = !spec.sources.is_empty();
    let revisions = &findings.wanted.revisions;
    let mut result = SyncOperationResult {
        revision: if multiple {
            String::new()
        } else {
            revisions.first().cloned().unwrap_or_default()
        },
        revisions: if multiple { revisions.clone() } else { vec![] },
        source: if multiple { None } else { spec.source.clone() },
        sources: spec.sources.clone(),
        resources: results,
        ..SyncOperationResult::default()
    };
    result.extra.insert(
        DESIRED_DIGEST.into(),
        Value::from(findings.wanted.desired.digest()),
    );
    let mut operation = request.operation.clone();
    if let Some(sync) = &mut operation.sync
        && sync.revision.is_empty()
        && !multiple
    {
        sync.revision.clone_from(&result.revision);
    }
    OperationState {
        operation,
        phase: if failed {
            OperationPhase::Failed
        } else {
            OperationPhase::Succeeded
        },
        message,
        started_at: Some(seconds(started)),
        finished_at: Some(seconds(Timestamp::now())),
        retry_count: i64::from(request.retry),
        sync_result: Some(result),
        ..OperationState::default()
    }
}
