//! Applications that are delivered after those they depend on: what each waits for.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::Application;
use gitops_api::constants::{annotation, condition};
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;
use gitops_core::sync::dependency;
use kube::ResourceExt;

use crate::app_key::AppKey;
use crate::applications::condition::invalid_setting;
use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;

/// Whether what the agent would deliver by itself has to wait for other applications.
pub(crate) fn awaits(context: &ReconcileContext<'_>, draft: &mut StatusDraft<'_>) -> bool {
    let (controller, key) = (context.controller, context.key);
    let Some(text) = context.app.annotations().get(annotation::DEPENDS_ON) else {
        return false;
    };
    let (names, problems) = dependency::parse(text, &key.namespace, &key.name);
    let key_of = |name: &str| AppKey {
        namespace: key.namespace.clone(),
        name: name.to_owned(),
    };
    // Noted before anything is read: what changes after that is told.
    controller
        .dependents
        .note(key, names.iter().map(|name| key_of(name)));
    let find = |name: &str| controller.configuration.application(&key_of(name));
    let invalid = !problems.is_empty();
    for problem in problems {
        draft.conditions.insert(invalid_setting(format!(
            "{}: {problem}; nothing is synced automatically before that is corrected",
            annotation::DEPENDS_ON
        )));
    }
    let of = |name: &str| {
        let found = find(name);
        let text = found.as_ref().and_then(|app| {
            let text = app.annotations().get(annotation::DEPENDS_ON)?;
            Some(dependency::parse(text, &key.namespace, name).0)
        });
        text.unwrap_or_default()
    };
    if let Some(applications) = dependency::circle(&key.name, of) {
        let reason = Reason::DependencyCircle { applications };
        draft
            .conditions
            .insert(Condition::new(condition::SYNC_ERROR, reason));
        return true;
    }
    let apps: BTreeMap<&str, Arc<Application>> = names
        .iter()
        .filter_map(|name| Some((name.as_str(), find(name)?)))
        .collect();
    let sources = context.app.spec.effective_sources().iter();
    let follows: Vec<_> = sources
        .zip(draft.tracked.iter().map(String::as_str))
        .collect();
    let find = |name: &str| apps.get(name).map(AsRef::as_ref);
    let applications = dependency::waits_for(&names, &follows, find);
    if applications.is_empty() {
        return invalid;
    }
    draft
        .reasons
        .push(Reason::DependencyWaiting { applications });
    true
}
