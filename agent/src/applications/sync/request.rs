//! A sync somebody or something wants: whose, of what, and how far it may go.

use std::collections::BTreeSet;

use gitops_api::operation::SyncOperationResource;
use gitops_api::status::{OperationState, ResourceResult, SyncOperationResult};
use gitops_api::{
    ApplicationSource, ApplicationSpec, Operation, OperationInitiator, OperationPhase,
    SyncOperation,
};
use gitops_core::compare::comparison::State;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::options::AppOptions;
use gitops_core::project::DeniedObject;
use gitops_core::reason;
use gitops_core::reason::{Names, Reason};
use gitops_core::report::status::seconds;
use gitops_core::sync::budget::Budget;
use gitops_core::sync::hold;
use gitops_core::sync::plan::{Plan, Policy, plan};
use jiff::Timestamp;

use crate::applications::app_state::AppState;
use crate::applications::permission;
use crate::applications::policy::allow_empty;

/// What to sync, and who wants it.
pub(crate) struct Request {
    pub(crate) operation: Operation,
    prune: bool,
    allow_empty: bool,
    /// The application's options with the operation's on top.
    pub(crate) options: AppOptions,
    pub(crate) dry_run: bool,
    /// Self-heal of these objects.
    pub(crate) heal: Option<BTreeSet<ObjectKey>>,
    pub(crate) retry: u32,
    /// The revisions a further attempt is about; those looked up now when there are none.
    again: Vec<String>,
    /// How much is pruned without approval.
    budget: Budget,
    /// The prunes that need approval are approved.
    is_approved: bool,
    /// The state of the operation so far, when it goes on after a wait or a restart.
    resumed: Option<Box<OperationState>>,
}

impl Request {
    /// A sync somebody asked for through `operation`.
    pub(crate) fn asked_for(operation: &Operation, spec: &ApplicationSpec) -> Self {
        let sync = operation.sync.clone().unwrap_or_default();
        Self {
            operation: operation.clone(),
            prune: sync.prune,
            allow_empty: allow_empty(spec),
            options: options(spec, &sync),
            dry_run: sync.dry_run,
            heal: None,
            retry: 0,
            again: Vec::new(),
            budget: Budget::default(),
            is_approved: false,
            resumed: None,
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
            options: AppOptions::of(spec.sync_policy.as_ref()),
            dry_run: false,
            heal,
            retry,
            again: Vec::new(),
            budget: Budget::default(),
            is_approved: false,
            resumed: None,
        }
    }

    /// The same within this budget.
    pub(crate) fn limited(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// The same after the prunes that need approval were approved.
    pub(crate) fn approved(self) -> Self {
        Self {
            is_approved: true,
            ..self
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

    /// Whether hooks run: not in a sync of single objects, nor with the strategy `apply`.
    pub(crate) fn runs_hooks(&self) -> bool {
        let strategy = self
            .operation
            .sync
            .as_ref()
            .and_then(|sync| sync.sync_strategy.as_ref());
        self.is_complete() && strategy.is_none_or(|strategy| strategy.apply.is_none())
    }

    /// The sources to sync instead of the application's own, when the request names others.
    pub(crate) fn other_sources(&self, spec: &ApplicationSpec) -> Option<Vec<ApplicationSource>> {
        let pinned = self.pinned();
        if !pinned.is_empty() {
            return Some(hold::at_revisions(spec.effective_sources(), "", &pinned));
        }
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

    /// A sync that goes on.
    pub(crate) fn resumed(state: &OperationState, spec: &ApplicationSpec) -> Self {
        Self {
            retry: u32::try_from(state.retry_count).unwrap_or(0),
            resumed: Some(Box::new(state.clone())),
            ..Self::asked_for(&state.operation, spec)
        }
    }

    /// Another attempt of a sync that failed: of the same revisions, or of those tracked now.
    pub(crate) fn again(state: &OperationState, spec: &ApplicationSpec, refresh: bool) -> Self {
        let mut operation = state.operation.clone();
        if let Some(sync) = operation.sync.as_mut().filter(|_| refresh) {
            sync.revision.clear();
            sync.revisions.clear();
        }
        let result = state.sync_result.as_ref().filter(|_| !refresh);
        Self {
            retry: u32::try_from(state.retry_count).unwrap_or(0),
            again: result.map(revisions).unwrap_or_default(),
            ..Self::asked_for(&operation, spec)
        }
    }

    /// Whether it goes on after a wait or a restart.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    /// Whether the agent itself decided on it.
    pub(crate) fn is_automated(&self) -> bool {
        self.operation.is_automated()
    }

    /// When it began, in whole seconds.
    pub(crate) fn started(&self) -> Timestamp {
        let began = self
            .resumed
            .as_ref()
            .and_then(|state| state.started_at.as_ref());
        began.map_or_else(|| seconds(Timestamp::now()).0, |time| time.0)
    }

    /// What was done so far.
    pub(crate) fn results(&self) -> &[ResourceResult] {
        self.resumed
            .as_ref()
            .and_then(|state| state.sync_result.as_ref())
            .map_or(&[], |result| &result.resources)
    }

    /// The revisions it began with, one a source; empty when it begins now.
    pub(crate) fn pinned(&self) -> Vec<String> {
        self.resumed
            .as_ref()
            .and_then(|state| state.sync_result.as_ref())
            .map_or_else(|| self.again.clone(), revisions)
    }

    /// Why it cannot be carried out at all.
    pub(crate) fn refusal(&self, app_state: &AppState) -> Option<Reason> {
        let sync = self.operation.sync.as_ref();
        if sync.is_some_and(|sync| !sync.manifests.is_empty()) {
            return Some(Reason::ManifestsUnsupported {});
        }
        if let Some(error) = permission::refusal(&self.denied(app_state)) {
            return Some(error.reason());
        }
        if !self.options.fail_on_shared_resource {
            return None;
        }
        let states = app_state.comparison.iter();
        let shared = states.filter_map(|(key, state)| match state {
            State::OwnedBy(other) => Some(format!("{key} is part of application {other}")),
            _ => None,
        });
        let objects = Names::of(shared);
        (!objects.is_empty()).then_some(Reason::SharedResourceRefused { objects })
    }

    /// What of it the project does not allow.
    fn denied(&self, app_state: &AppState) -> Vec<DeniedObject> {
        let keys = app_state.denied.iter().map(|object| &object.key);
        let selected = self.selection(keys);
        let concerned = app_state.denied.iter().filter(|object| {
            let hook = object.is_hook && self.runs_hooks();
            let selected = selected.as_ref().is_none_or(|s| s.contains(&object.key));
            hook || (!object.is_hook && selected)
        });
        concerned.cloned().collect()
    }

    /// The state of an operation that could not begin.
    pub(crate) fn refused(&self, reason: &Reason, now: Timestamp) -> OperationState {
        let mut state = OperationState {
            operation: self.operation.clone(),
            phase: OperationPhase::Error,
            started_at: Some(seconds(now)),
            finished_at: Some(seconds(now)),
            ..OperationState::default()
        };
        reason::explain(&mut state, reason);
        state
    }

    /// The state of an operation under way that has to wait; `None` when it has not begun.
    pub(crate) fn stopped(&self, reason: &Reason) -> Option<OperationState> {
        let mut state = self.resumed.as_deref()?.clone();
        reason::explain(&mut state, reason);
        Some(state)
    }

    /// What carrying it out would do.
    pub(crate) fn plan(&self, app_state: &AppState) -> Plan {
        let policy = Policy {
            prune: self.prune,
            allow_empty: self.allow_empty,
            options: self.options,
            budget: self.budget,
            guests: app_state.guests.clone(),
            automated: self.is_automated(),
        };
        let live = |key: &ObjectKey| app_state.live.get(key);
        let mut plan = plan(
            &app_state.wanted.desired,
            &app_state.comparison,
            live,
            &policy,
        );
        if let Some(keys) = self.selection(app_state.comparison.keys()) {
            plan = plan.only(&keys);
        }
        if self.is_approved {
            plan.approved()
        } else {
            plan
        }
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

/// The revisions a sync was about, one a source.
fn revisions(result: &SyncOperationResult) -> Vec<String> {
    if result.revisions.is_empty() {
        vec![result.revision.clone()]
    } else {
        result.revisions.clone()
    }
}

/// The application's options with those of one operation on top.
fn options(spec: &ApplicationSpec, sync: &SyncOperation) -> AppOptions {
    let mut options = AppOptions::of(spec.sync_policy.as_ref()).with(&sync.sync_options);
    let strategy = sync.sync_strategy.clone().unwrap_or_default();
    let forced = strategy.apply.or(strategy.hook);
    options.force |= forced.is_some_and(|strategy| strategy.force);
    options
}
