//! Annotations of an object and options of an Application: a line is a name, `=` and a value.

use gitops_api::SyncPolicy;
use gitops_core::manifest::options::{AppOptions, ObjectOptions};
use gitops_core::manifest::{annotations, hook, tracking};
use serde_json::{Map, Value, json};

pub(crate) const WORDS: &[&str] = &[
    "argocd.argoproj.io/sync-options=",
    "argocd.argoproj.io/sync-wave=",
    "argocd.argoproj.io/hook=",
    "argocd.argoproj.io/hook-delete-policy=",
    "argocd.argoproj.io/tracking-id=",
    "argocd.argoproj.io/compare-options=",
    "gitops-agent.io/",
    "helm.sh/hook=",
    "Prune=false",
    "Replace=true",
    "PreSync",
    "-2147483648",
    "9223372036854775808",
    ",",
    "=",
    "\n",
];

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let all: Map<String, Value> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let object = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "a", "namespace": "b", "annotations": all},
    });
    let _ = (annotations::warnings(&object), hook::marks(&object));
    let _ = (ObjectOptions::of(&object), tracking::owner(&object));
    let options: Vec<String> = text.lines().map(str::to_owned).collect();
    let policy = SyncPolicy {
        sync_options: options.clone(),
        ..SyncPolicy::default()
    };
    let _ = AppOptions::of(Some(&policy)).with(&options);
}
