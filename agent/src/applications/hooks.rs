//! Hooks of a sync: their objects, what became of them, and the last words of those that failed.

use std::{collections::HashMap, time::Duration};

use gitops_api::constants::finalizer;
use gitops_core::{
    hook::{Hook, Run},
    live::LiveObject,
    mask,
    object::ObjectKey,
    options::AppOptions,
    sync::{Action, Outcome},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams, PropagationPolicy},
};

use super::{Controller, reconcile::Findings};
use crate::cluster::write::WriteError;

/// Lines of a failed hook's log that are told.
const LAST_LINES: i64 = 8;
/// Characters of them.
const LONGEST_LOG: usize = 600;
/// Longest wait for a log: the failure itself is told in any case.
const PATIENCE: Duration = Duration::from_secs(5);

impl Controller {
    /// Looks for the objects of hooks that no watch shows, because somebody else made them.
    pub(super) async fn find_hooks(&self, findings: &Findings, run: &Run) {
        let (writer, index) = (&self.cluster.writer, &self.cluster.index);
        for (hook, key) in keys(findings, run) {
            if !index.is_unprobed(&key) {
                continue;
            }
            match writer.get(&hook.object.gvk, &key).await {
                Ok(Some(object)) => {
                    index.observe(&object);
                }
                Ok(None) => index.note_absent(&key),
                Err(error) => {
                    tracing::debug!(hook = %key, %error, "a hook cannot be looked up");
                }
            }
        }
    }

    /// The live objects of hooks.
    pub(super) fn live_hooks(
        &self,
        findings: &Findings,
        run: &Run,
    ) -> HashMap<ObjectKey, LiveObject> {
        keys(findings, run)
            .filter_map(|(_, key)| {
                let live = self.cluster.index.get(&key)?;
                Some((key, live))
            })
            .collect()
    }

    pub(super) async fn run_hook(
        &self,
        findings: &Findings,
        action: &Action,
        run: &Run,
        options: &AppOptions,
    ) -> Result<Outcome, WriteError> {
        let Some(hook) = find(findings, action, run) else {
            return Ok(Outcome::Skipped);
        };
        let manifest = hook.manifest(action.phase, run);
        let created = self
            .cluster
            .writer
            .apply(
                &hook.object.gvk,
                &manifest,
                options.validates(hook.object.options),
            )
            .await?;
        self.cluster.index.observe(&created);
        tracing::info!(hook = %action.key, phase = %action.phase, "hook created");
        Ok(Outcome::Running("just created".into()))
    }

    pub(super) async fn delete_hook(
        &self,
        findings: &Findings,
        action: &Action,
        run: &Run,
        uid: &str,
    ) -> Result<(), WriteError> {
        let Some(hook) = find(findings, action, run) else {
            return Ok(());
        };
        // One that an agent left behind in the middle of its work would never go.
        self.release_hook(findings, action, run).await?;
        self.cluster
            .delete(
                &hook.object.gvk,
                &action.key,
                uid,
                PropagationPolicy::Foreground,
            )
            .await
    }

    pub(super) async fn release_hook(
        &self,
        findings: &Findings,
        action: &Action,
        run: &Run,
    ) -> Result<(), WriteError> {
        let Some(hook) = find(findings, action, run) else {
            return Ok(());
        };
        self.cluster
            .writer
            .take_off_finalizer(&hook.object.gvk, &action.key, finalizer::HOOK)
            .await
    }

    /// A failure together with the last lines the hook's Pod wrote, masked and shortened.
    pub(super) async fn with_logs(&self, key: &ObjectKey, outcome: Outcome) -> Outcome {
        let Outcome::Failed(why) = outcome else {
            return outcome;
        };
        let log = tokio::time::timeout(PATIENCE, self.last_words(key)).await;
        match log {
            Ok(Some(log)) => Outcome::Failed(format!("{why}; its log ends: {log}")),
            _ => Outcome::Failed(why),
        }
    }

    async fn last_words(&self, key: &ObjectKey) -> Option<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let name = match (key.group.as_str(), key.kind.as_str()) {
            ("", "Pod") => key.name.clone(),
            ("batch", "Job") => {
                let of_job = ListParams::default().labels(&format!("job-name={}", key.name));
                let newest = pods.list(&of_job).await.ok()?;
                newest
                    .items
                    .into_iter()
                    .max_by_key(|pod| pod.metadata.creation_timestamp.clone())?
                    .name_any()
            }
            _ => return None,
        };
        let params = LogParams {
            tail_lines: Some(LAST_LINES),
            ..LogParams::default()
        };
        let log = pods.logs(&name, &params).await.ok()?;
        let lines: Vec<&str> = log
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let text = mask::mask_text::<&str>(&lines.join(" | "), &[]);
        let skipped = text.chars().count().saturating_sub(LONGEST_LOG);
        let end: String = text.chars().skip(skipped).collect();
        (!end.is_empty()).then_some(end)
    }
}

/// Every hook of a sync with the identity of its object, once a phase.
fn keys<'a>(findings: &'a Findings, run: &'a Run) -> impl Iterator<Item = (&'a Hook, ObjectKey)> {
    findings.wanted.desired.hooks.iter().flat_map(move |hook| {
        hook.phases
            .iter()
            .map(move |phase| (hook, hook.key_in(*phase, run)))
    })
}

fn find<'a>(findings: &'a Findings, action: &Action, run: &Run) -> Option<&'a Hook> {
    findings.wanted.desired.hooks.iter().find(|hook| {
        hook.phases.contains(&action.phase) && hook.key_in(action.phase, run) == action.key
    })
}
