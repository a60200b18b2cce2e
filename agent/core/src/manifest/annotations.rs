//! Annotations of manifests that say something nobody can read: a warning each, with what was
//! probably meant. What they mean when they can be read is decided elsewhere.

use gitops_api::constants::annotation as names;
use serde_json::Value;

use crate::manifest::{object, options};
use crate::nearest::{advice, nearest};

const HOOK_TYPES: [&str; 7] = [
    "PreSync",
    "Sync",
    "PostSync",
    "SyncFail",
    "PreDelete",
    "PostDelete",
    "Skip",
];
const HELM_HOOK_TYPES: [&str; 12] = [
    "pre-install",
    "post-install",
    "pre-upgrade",
    "post-upgrade",
    "pre-delete",
    "post-delete",
    "pre-rollback",
    "post-rollback",
    "test",
    "test-success",
    "test-failure",
    "crd-install",
];
const DELETE_POLICIES: [&str; 3] = ["HookSucceeded", "HookFailed", "BeforeHookCreation"];
const HELM_DELETE_POLICIES: [&str; 3] = ["hook-succeeded", "hook-failed", "before-hook-creation"];
const COMPARE_OPTIONS: [&str; 4] = [
    "IgnoreExtraneous",
    "ServerSideDiff=true",
    "ServerSideDiff=false",
    "IncludeMutationWebhook=true",
];

/// Annotations that mean something on an object.
const KNOWN: [&str; 19] = [
    names::TRACKING_ID,
    names::INSTALLATION_ID,
    names::SYNC_WAVE,
    names::SYNC_OPTIONS,
    names::COMPARE_OPTIONS,
    names::HOOK,
    names::HOOK_DELETE_POLICY,
    names::IGNORE_HEALTHCHECK,
    names::IGNORE_RESTART_POLICY,
    names::IGNORE_RESOURCE_UPDATES,
    names::HELM_HOOK,
    names::HELM_HOOK_WEIGHT,
    names::HELM_HOOK_DELETE_POLICY,
    names::HELM_RESOURCE_POLICY,
    names::REFRESH,
    names::SKIP_RECONCILE,
    names::HOLD,
    names::PAUSED,
    names::FORWARD_ONLY,
];

/// What cannot be read of an object's annotations. Each begins with the annotation.
pub fn warnings(manifest: &Value) -> Vec<String> {
    let Some(annotations) = manifest
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations")?.as_object())
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for name in annotations.keys() {
        let Some(text) = object::annotation(manifest, name) else {
            continue;
        };
        for problem in problems(name, text) {
            found.push(format!("annotation {name}: {problem}"));
        }
        if let Some(meant) = mistyped(name) {
            found.push(format!(
                "annotation {name} is unknown; did you mean {meant}?"
            ));
        }
    }
    found
}

fn problems(name: &str, text: &str) -> Vec<String> {
    let listed = |known: &[&str], what: &str| -> Vec<String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty() && !known.contains(item))
            .map(|item| format!("{item:?} is no {what}; {}", advice(item, known)))
            .collect()
    };
    match name {
        names::SYNC_OPTIONS => text.split(',').filter_map(options::of_object).collect(),
        names::HOOK => listed(&HOOK_TYPES, "hook type, and the hook never runs"),
        names::HELM_HOOK => listed(&HELM_HOOK_TYPES, "hook type, and the hook never runs"),
        names::HOOK_DELETE_POLICY => listed(&DELETE_POLICIES, "delete policy"),
        names::HELM_HOOK_DELETE_POLICY => listed(&HELM_DELETE_POLICIES, "delete policy"),
        names::COMPARE_OPTIONS => listed(&COMPARE_OPTIONS, "compare option"),
        names::HELM_RESOURCE_POLICY => listed(&["keep"], "resource policy"),
        names::IGNORE_HEALTHCHECK => listed(&["true", "false"], "answer"),
        names::SYNC_WAVE | names::HELM_HOOK_WEIGHT => object::wave_of(text)
            .is_none()
            .then(|| format!("{text:?} is no integer of 64 bits, and does not count"))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// The annotation that was probably meant.
fn mistyped(name: &str) -> Option<&'static str> {
    let (prefix, _) = name.split_once('/')?;
    if KNOWN.contains(&name) || name == names::DESIRED_DIGEST || name == names::OPERATION {
        return None;
    }
    // Only the part after the slash counts: the prefix alone makes long names look alike.
    let of = |known: &'static str| known.split_once('/').unwrap_or(("", known));
    let alike = KNOWN.into_iter().filter(|known| of(known).0 == prefix);
    let rest = name.split_once('/').map_or(name, |(_, rest)| rest);
    let meant = nearest(rest, alike.map(|known| of(known).1))?;
    KNOWN.into_iter().find(|known| of(known) == (prefix, meant))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(annotations: &Value) -> Vec<String> {
        warnings(&json!({"metadata": {"annotations": annotations}}))
    }

    #[test]
    fn what_can_be_read_is_not_warned_of() {
        let good = json!({
            "argocd.argoproj.io/sync-options": "Prune=confirm, Replace=true,Force=true",
            "argocd.argoproj.io/sync-wave": "-12",
            "argocd.argoproj.io/hook": "PreSync,Skip",
            "argocd.argoproj.io/hook-delete-policy": "HookSucceeded, BeforeHookCreation",
            "argocd.argoproj.io/compare-options": "IgnoreExtraneous,ServerSideDiff=true",
            "argocd.argoproj.io/ignore-healthcheck": "true",
            "argocd.argoproj.io/managed-by": "argocd",
            "helm.sh/hook": "pre-install,test",
            "helm.sh/hook-weight": "5",
            "helm.sh/hook-delete-policy": "hook-failed",
            "helm.sh/resource-policy": "keep",
            "example.com/hooks": "PreSink",
        });
        assert_eq!(of(&good), Vec::<String>::new());
        assert_eq!(warnings(&json!({"metadata": null})), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_cannot_be_read_is_named_with_what_was_meant() {
        let table = [
            (
                json!({"argocd.argoproj.io/sync-options": "Prune=false,Replce=true"}),
                "annotation argocd.argoproj.io/sync-options: \"Replce=true\" is unknown; did you \
                 mean Replace=true?",
            ),
            (
                json!({"argocd.argoproj.io/hook": "PreSynch"}),
                "annotation argocd.argoproj.io/hook: \"PreSynch\" is no hook type, and the hook \
                 never runs; did you mean PreSync?",
            ),
            (
                json!({"argocd.argoproj.io/hook-delete-policy": "HookSuceeded"}),
                "annotation argocd.argoproj.io/hook-delete-policy: \"HookSuceeded\" is no delete \
                 policy; did you mean HookSucceeded?",
            ),
            (
                json!({"helm.sh/hook": "pre-instal"}),
                "annotation helm.sh/hook: \"pre-instal\" is no hook type, and the hook never runs; \
                 did you mean pre-install?",
            ),
            (
                json!({"argocd.argoproj.io/compare-options": "IgnoreExtranous"}),
                "annotation argocd.argoproj.io/compare-options: \"IgnoreExtranous\" is no compare \
                 option; did you mean IgnoreExtraneous?",
            ),
            (
                json!({"argocd.argoproj.io/sync-wave": "first"}),
                "annotation argocd.argoproj.io/sync-wave: \"first\" is no integer of 64 bits, and \
                 does not count",
            ),
            (
                json!({"argocd.argoproj.io/sync-wave": "99999999999999999999"}),
                "annotation argocd.argoproj.io/sync-wave: \"99999999999999999999\" is no integer \
                 of 64 bits, and does not count",
            ),
            (
                json!({"argocd.argoproj.io/sync-waves": "1"}),
                "annotation argocd.argoproj.io/sync-waves is unknown; did you mean \
                 argocd.argoproj.io/sync-wave?",
            ),
            (
                json!({"helm.sh/resource-policy": "kept"}),
                "annotation helm.sh/resource-policy: \"kept\" is no resource policy; did you mean \
                 keep?",
            ),
        ];
        for (annotations, expected) in table {
            assert_eq!(of(&annotations), [expected], "{annotations}");
        }
    }
}
