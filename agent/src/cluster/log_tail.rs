//! The end of a hook's log: which Pod wrote it, and what has to be masked in it.
//!
//! Never gives a log away of which it is not known what is secret in it.

use gitops_core::manifest::object::ObjectKey;
use gitops_core::report::hook_log;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};

/// What a hook's Pod wrote last.
#[derive(Debug, Default)]
pub(crate) struct LogTail {
    /// The masked end of its log, if it wrote anything.
    pub(crate) text: Option<String>,
    /// The secrets the Pod knows: what else is said of it may hold them too.
    pub(crate) secrets: Vec<String>,
}

/// Reads the end of the log of a hook's Pod; an error says why it is kept back.
pub(super) async fn read(client: &Client, hook: &ObjectKey) -> Result<LogTail, String> {
    let Some(pod) = pod_of(client, hook).await else {
        return Ok(LogTail::default());
    };
    let reading = hook_log::reading(&serde_json::to_value(&pod).unwrap_or_default());
    let api: Api<Secret> = Api::namespaced(client.clone(), &hook.namespace);
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
                    "log withheld: cannot determine which values to mask: \
                     Secret {name} cannot be read ({why}); see kubectl logs -n {} {}",
                    hook.namespace,
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
    let pods: Api<Pod> = Api::namespaced(client.clone(), &hook.namespace);
    let log = pods.logs(&pod.name_any(), &params).await.ok();
    let told = log.and_then(|log| hook_log::told(&log, &secrets));
    Ok(LogTail {
        text: told.map(|end| format!("last log lines: {end}")),
        secrets,
    })
}

/// The Pod a hook is or made last.
async fn pod_of(client: &Client, hook: &ObjectKey) -> Option<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &hook.namespace);
    match (hook.group.as_str(), hook.kind.as_str()) {
        ("", "Pod") => pods.get_opt(&hook.name).await.ok()?,
        ("batch", "Job") => {
            let of_job = ListParams::default().labels(&format!("job-name={}", hook.name));
            let found = pods.list(&of_job).await.ok()?.items;
            found
                .into_iter()
                .max_by_key(|pod| pod.metadata.creation_timestamp.clone())
        }
        _ => None,
    }
}
