//! Hooks of a sync: their objects, what became of them, and the last words of those that failed.

use std::collections::HashMap;
use std::time::Duration;

use gitops_api::constants::finalizer;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::hook::{Hook, Run};
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::options::AppOptions;
use gitops_core::mask;
use gitops_core::report::hook_log;
use gitops_core::sync::{Action, Outcome};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ListParams, LogParams, PropagationPolicy};
use kube::{Api, ResourceExt};

use crate::applications::Controller;
use crate::applications::reconcile::AppState;
use crate::cluster::write::WriteError;

/// Longest wait for a log: the failure itself is told in any case.
const PATIENCE: Duration = Duration::from_secs(5);

impl Controller {
    /// Looks for the objects of hooks that no watch shows, because somebody else made them.
    pub(crate) async fn find_hooks(&self, app_state: &AppState, run: &Run) {
        let (writer, index) = (&self.cluster.writer, &self.cluster.index);
        for (hook, key) in keys(app_state, run) {
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
    pub(crate) fn live_hooks(
        &self,
        app_state: &AppState,
        run: &Run,
    ) -> HashMap<ObjectKey, LiveObject> {
        keys(app_state, run)
            .filter_map(|(_, key)| {
                let live = self.cluster.index.get(&key)?;
                Some((key, live))
            })
            .collect()
    }

    pub(crate) async fn run_hook(
        &self,
        app_state: &AppState,
        action: &Action,
        run: &Run,
        options: &AppOptions,
    ) -> Result<Outcome, WriteError> {
        let Some(hook) = find(app_state, action, run) else {
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

    pub(crate) async fn delete_hook(
        &self,
        app_state: &AppState,
        action: &Action,
        run: &Run,
        uid: &str,
    ) -> Result<(), WriteError> {
        let Some(hook) = find(app_state, action, run) else {
            return Ok(());
        };
        // One that an agent left behind in the middle of its work would never go.
        self.release_hook(app_state, action, run).await?;
        self.cluster
            .delete(
                &hook.object.gvk,
                &action.key,
                uid,
                PropagationPolicy::Foreground,
            )
            .await
    }

    pub(crate) async fn release_hook(
        &self,
        app_state: &AppState,
        action: &Action,
        run: &Run,
    ) -> Result<(), WriteError> {
        let Some(hook) = find(app_state, action, run) else {
            return Ok(());
        };
        self.cluster
            .writer
            .take_off_finalizer(&hook.object.gvk, &action.key, finalizer::HOOK)
            .await
    }

    /// A failure together with the last lines the hook's Pod wrote, masked and shortened.
    pub(crate) async fn with_logs(&self, key: &ObjectKey, outcome: Outcome) -> Outcome {
        let Outcome::Failed(why) = outcome else {
            return outcome;
        };
        let log = tokio::time::timeout(PATIENCE, self.log_tail(key)).await;
        let (told, secrets) = match log {
            Ok(Ok((told, secrets))) => (told, secrets),
            Ok(Err(withheld)) => (Some(withheld), vec![]),
            Err(_) => (None, vec![]),
        };
        // What the container itself said when it ended may be in the reason.
        let why = mask::mask_output(&why, &secrets);
        Outcome::Failed(match told {
            Some(told) => format!("{why}; {told}"),
            None => why,
        })
    }

    /// The end of the log of a hook's Pod, if it has any, and the secrets that the Pod knows; an
    /// error says why it is kept back.
    async fn log_tail(&self, key: &ObjectKey) -> Result<(Option<String>, Vec<String>), String> {
        let Some(pod) = self.pod_of(key).await else {
            return Ok((None, vec![]));
        };
        let reading = hook_log::reading(&serde_json::to_value(&pod).unwrap_or_default());
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let mut secrets = Vec::new();
        for (name, optional) in &reading.secrets {
            match api.get_opt(name).await {
                Ok(Some(secret)) => {
                    let secret = serde_json::to_value(&secret).unwrap_or_default();
                    secrets.extend(hook_log::values(&secret));
                }
                Ok(None) if *optional => {}
                found => {
                    let why = match found {
                        Err(kube::Error::Api(error)) => error.message,
                        Err(error) => error.to_string(),
                        Ok(_) => "it is gone".into(),
                    };
                    return Err(format!(
                        "its log is not told, because what has to be masked in it is not known: \
                         Secret {name} cannot be read ({why}); see kubectl logs -n {} {}",
                        key.namespace,
                        pod.name_any()
                    ));
                }
            }
        }
        let params = LogParams {
            container: reading.container,
            tail_lines: Some(hook_log::LINES),
            limit_bytes: Some(hook_log::BYTES),
            ..LogParams::default()
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let log = pods.logs(&pod.name_any(), &params).await.ok();
        let told = log.and_then(|log| hook_log::told(&log, &secrets));
        let told = told.map(|end| format!("its log ends: {end}"));
        Ok((told, secrets))
    }

    /// The Pod a hook is or made last.
    async fn pod_of(&self, key: &ObjectKey) -> Option<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        match (key.group.as_str(), key.kind.as_str()) {
            ("", "Pod") => pods.get_opt(&key.name).await.ok()?,
            ("batch", "Job") => {
                let of_job = ListParams::default().labels(&format!("job-name={}", key.name));
                let found = pods.list(&of_job).await.ok()?.items;
                found
                    .into_iter()
                    .max_by_key(|pod| pod.metadata.creation_timestamp.clone())
            }
            _ => None,
        }
    }
}

/// Every hook of a sync with the identity of its object, once a phase.
fn keys<'a>(app_state: &'a AppState, run: &'a Run) -> impl Iterator<Item = (&'a Hook, ObjectKey)> {
    app_state.wanted.desired.hooks.iter().flat_map(move |hook| {
        hook.phases
            .iter()
            .map(move |phase| (hook, hook.key_in(*phase, run)))
    })
}

fn find<'a>(app_state: &'a AppState, action: &Action, run: &Run) -> Option<&'a Hook> {
    app_state.wanted.desired.hooks.iter().find(|hook| {
        hook.phases.contains(&action.phase) && hook.key_in(action.phase, run) == action.key
    })
}
