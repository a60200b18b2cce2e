//! Objects that move from one application to another: who wants them, who has to look again, and
//! whom to wait for before anything is deleted.
//!
//! A commit that moves a manifest is looked at by one application after the other. So that none
//! prunes what the next one would take over, those that follow the same revision wait for each
//! other's look at it.

use std::collections::BTreeSet;

use gitops_api::ApplicationSource;
use gitops_api::constants::annotation;
use gitops_core::compare::comparison::State;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::reason::{Names, Reason};
use kube::ResourceExt;

use crate::app_key::AppKey;
use crate::applications::app_state::AppState;
use crate::applications::context::ReconcileContext;
use crate::applications::controller::Controller;
use crate::applications::draft::StatusDraft;
use crate::applications::observed_revisions::{followed, looked_at};
use crate::applications::permission;
use crate::applications::requeue::Requeue;
use crate::cluster::Cluster;
use crate::configuration::Configuration;

/// Another application that wants an object and may have it.
pub(crate) fn next_owner(
    configuration: &Configuration,
    cluster: &Cluster,
    instance: &str,
    object: &ObjectKey,
) -> Option<String> {
    let others = cluster.index.other_claimants_of(instance, object);
    others.into_iter().find(|other| {
        let key = AppKey::of_instance(other, &configuration.namespace);
        let Some(app) = configuration.application(&key) else {
            return false;
        };
        app.metadata.deletion_timestamp.is_none()
            && permission::rules(configuration, &app.spec)
                .is_ok_and(|rules| rules.permits_object(&app.spec.destination, object).is_ok())
    })
}

/// The same for what an application that is reconciled gives up.
pub(crate) fn heir(context: &ReconcileContext<'_>, object: &ObjectKey) -> Option<String> {
    let configuration = &context.controller.configuration;
    next_owner(configuration, &context.cluster, &context.instance, object)
}

/// Takes note that an application looked at these revisions, or tried to.
pub(crate) fn record_observed(
    controller: &Controller,
    key: &AppKey,
    sources: &[ApplicationSource],
    revisions: &[String],
) {
    let found = looked_at(sources, revisions);
    for waiting in controller.observed_revisions.note(key, found) {
        controller.queue.add(waiting);
    }
}

/// Forgets what a gone application observed; nobody waits for it any more.
pub(crate) fn forget(controller: &Controller, key: &AppKey) {
    for waiting in controller.observed_revisions.forget(key) {
        controller.queue.add(waiting);
    }
}

/// Applications that follow the same revisions and have not looked at them yet: one of them
/// may want what this one gives up, or give up what this one wants. It is woken when they have.
pub(crate) fn unobserved_apps(
    controller: &Controller,
    key: &AppKey,
    sources: &[ApplicationSource],
    revisions: &[String],
) -> BTreeSet<AppKey> {
    let applications = controller.configuration.applications.state();
    let others = applications
        .iter()
        .filter(|app| app.metadata.deletion_timestamp.is_none())
        .filter(|app| {
            let skipped = app.annotations().get(annotation::SKIP_RECONCILE);
            skipped.is_none_or(|skipped| skipped != "true")
        })
        .map(|app| {
            let sources = app.spec.effective_sources();
            (
                AppKey::of(app.as_ref()),
                sources.iter().filter_map(followed).collect(),
            )
        });
    controller
        .observed_revisions
        .behind(key, &looked_at(sources, revisions), others)
}

/// When to look again, where objects would change hands, or go, before everybody concerned has
/// looked at the commit.
pub(crate) fn awaits_handover(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    app_state: &AppState,
) -> Option<Requeue> {
    let concerned = app_state
        .comparison
        .values()
        .any(|state| state.is_extra() || matches!(state, State::OwnedBy(_)));
    if !concerned {
        return None;
    }
    let sources = context.app.spec.effective_sources();
    let behind = unobserved_apps(context.controller, context.key, sources, &draft.tracked);
    if behind.is_empty() {
        // The last of them may have looked after this one compared.
        let mut states = app_state.comparison.iter();
        let changes_hands =
            states.any(|(key, state)| state.is_extra() && heir(context, key).is_some());
        return changes_hands.then_some(Requeue::NOW);
    }
    let reason = Reason::HandoverWaiting {
        applications: Names::of(&behind),
    };
    tracing::debug!(application = %context.key, %reason, "handover is waiting");
    draft.reasons.push(reason);
    Some(Requeue::AwaitChange)
}
