//! Hooks: manifests that belong to a phase of a sync, not to its result.
//!
//! Reads the annotations of Argo CD and of Helm as Argo CD does ("Sync Phases and Waves", "Helm
//! Hooks"); when a hook runs is decided by the sync itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use gitops_api::HookType;
use gitops_api::constants::{annotation, finalizer};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::manifest::desired::DesiredObject;
use crate::manifest::object;
use crate::manifest::object::ObjectKey;
use crate::manifest::phase::Phase;
use crate::manifest::tracking::TrackingId;

/// A hook of an application.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Identity. Of a hook that is named anew for each run the name is the beginning of it.
    pub key: ObjectKey,
    /// The manifest.
    pub object: Arc<DesiredObject>,
    /// Phases it runs in, in order; none for those that never run: `Skip` and Helm's tests.
    pub phases: Vec<Phase>,
    /// When it is deleted.
    pub deletion: Deletion,
    /// It has a `generateName`.
    pub generates_name: bool,
}

/// When a hook's object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Before it is created anew.
    pub before_creation: bool,
    /// At the end of a sync in which it succeeded.
    pub on_success: bool,
    /// At the end of a sync in which it failed.
    pub on_failure: bool,
}

/// What a manifest says about being a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Phases it runs in, in order.
    pub phases: Vec<Phase>,
    /// When it is deleted.
    pub deletion: Deletion,
}

/// The marks of a manifest; `None` when it is no hook.
///
/// `crd-install` is an ordinary resource, `Skip` and Helm's tests are never run, a name nobody
/// knows makes a hook that never runs: all as in Argo CD.
pub fn marks(value: &Value) -> Option<Marks> {
    let listed = |name: &str| -> Vec<&str> {
        let list = object::annotation(value, name).unwrap_or_default();
        list.split(',')
            .map(str::trim)
            .filter(|kind| !kind.is_empty())
            .collect()
    };
    let of_argo = listed(annotation::HOOK);
    let kinds: BTreeSet<HookType> = if of_argo.is_empty() {
        let of_helm = listed(annotation::HELM_HOOK);
        if of_helm.iter().all(|kind| *kind == "crd-install") {
            return None;
        }
        of_helm.into_iter().map(of_helm_type).collect()
    } else {
        of_argo.into_iter().map(HookType::from).collect()
    };
    let phases = Phase::WITH_HOOKS.into_iter();
    let phases = phases.filter(|phase| phase.hook_type().is_some_and(|kind| kinds.contains(&kind)));
    let policies: BTreeSet<&str> = listed(annotation::HOOK_DELETE_POLICY)
        .into_iter()
        .chain(listed(annotation::HELM_HOOK_DELETE_POLICY))
        .collect();
    let says = |argo: &str, helm: &str| policies.contains(argo) || policies.contains(helm);
    let mut deletion = Deletion {
        before_creation: says("BeforeHookCreation", "before-hook-creation"),
        on_success: says("HookSucceeded", "hook-succeeded"),
        on_failure: says("HookFailed", "hook-failed"),
    };
    if deletion == Deletion::default() {
        deletion.before_creation = true;
    }
    Some(Marks {
        phases: phases.collect(),
        deletion,
    })
}

fn of_helm_type(name: &str) -> HookType {
    match name {
        "pre-install" | "pre-upgrade" => HookType::PreSync,
        "post-install" | "post-upgrade" => HookType::PostSync,
        "pre-delete" => HookType::PreDelete,
        "post-delete" => HookType::PostDelete,
        _ => HookType::Unknown,
    }
}

/// One run of the operation that hooks are run by: the same after a restart of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When the operation began, in whole seconds.
    pub started: Timestamp,
    /// Revision it delivers.
    pub revision: String,
}

impl Run {
    /// Value of the annotation by which a hook's object is known to be of this run: one for all
    /// phases of a sync, one for each phase of a deletion, because one manifest may be a hook of
    /// both.
    pub fn id_in(&self, phase: Phase) -> String {
        let started = self.started.as_second();
        if !phase.is_of_sync() {
            return format!("{started}-{phase}").to_lowercase();
        }
        // Two syncs may begin within a second, but hardly of one revision.
        match self.revision.get(..7).unwrap_or(&self.revision) {
            "" => started.to_string(),
            revision => format!("{started}-{revision}"),
        }
    }

    /// Whether a value of that annotation is of this run of a sync; also as it was written when it
    /// was but the time.
    pub fn is_of_sync(&self, id: &str) -> bool {
        id == self.id_in(Phase::Sync) || id == self.started.as_second().to_string()
    }
}

impl Hook {
    /// The phases of a sync it runs in.
    pub fn sync_phases(&self) -> impl Iterator<Item = Phase> {
        let phases = self.phases.iter().copied();
        phases.filter(|phase| phase.is_of_sync())
    }

    /// The phases of the Application's deletion it runs in.
    pub fn deletion_phases(&self) -> impl Iterator<Item = Phase> {
        let phases = self.phases.iter().copied();
        phases.filter(|phase| !phase.is_of_sync())
    }

    /// Identity of the hook's object in one phase of one run. Generated names are Argo CD's:
    /// the same run always gives the same.
    pub fn key_in(&self, phase: Phase, run: &Run) -> ObjectKey {
        if !self.generates_name {
            return self.key.clone();
        }
        let revision = if run.revision.len() >= 8 {
            run.revision.get(..7).unwrap_or(&run.revision)
        } else {
            &run.revision
        };
        let suffix = format!("{revision}-{phase}-{}", run.started.as_second());
        ObjectKey {
            name: format!("{}{}", self.key.name, suffix.to_lowercase()),
            ..self.key.clone()
        }
    }

    /// What is created in one phase of one run. The finalizer keeps a finished hook until its
    /// result was read.
    pub fn manifest_in(&self, phase: Phase, run: &Run) -> Value {
        let key = self.key_in(phase, run);
        let mut manifest = self.object.manifest();
        // A tracking annotation that names another object would prove nothing.
        let tracking = object::annotation(&manifest, annotation::TRACKING_ID)
            .and_then(TrackingId::parse)
            .map(|mut id| {
                id.key.name.clone_from(&key.name);
                id.to_string()
            });
        if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("generateName");
            metadata.insert("name".into(), key.name.clone().into());
            let finalizers = metadata
                .entry("finalizers")
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Some(finalizers) = finalizers.as_array_mut() {
                finalizers.push(finalizer::HOOK.into());
            }
            if let Some(annotations) = metadata
                .entry("annotations")
                .or_insert_with(|| json!({}))
                .as_object_mut()
            {
                let run = run.id_in(phase);
                annotations.insert(annotation::OPERATION.into(), run.into());
                if let Some(tracking) = tracking {
                    annotations.insert(annotation::TRACKING_ID.into(), tracking.into());
                }
            }
        }
        manifest
    }

    /// Whether an object of an earlier run is deleted before this one is created. What ran to its
    /// end cannot be run again by an update.
    pub fn is_replaced(&self) -> bool {
        self.deletion.before_creation
            || matches!(
                (self.key.group.as_str(), self.key.kind.as_str()),
                ("batch", "Job") | ("", "Pod") | ("argoproj.io", "Workflow")
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(annotations: &Value) -> Option<Marks> {
        marks(&json!({"metadata": {"annotations": annotations}}))
    }

    #[test]
    fn annotations_are_read_as_argo_cd_reads_them() {
        use Phase::{PostDelete, PostSync, PreSync, Sync, SyncFail};
        let phases = |annotations: &Value| with(annotations).map(|marks| marks.phases);
        let argo = |hook: &str| json!({"argocd.argoproj.io/hook": hook});
        let helm = |hook: &str| json!({"helm.sh/hook": hook});
        let table = [
            (json!({}), None),
            (argo("PreSync"), Some(vec![PreSync])),
            (argo("SyncFail, PostSync"), Some(vec![PostSync, SyncFail])),
            (argo("Sync,Skip"), Some(vec![Sync])),
            (argo("Skip"), Some(vec![])),
            (argo("presync"), Some(vec![])),
            (argo("PostDelete"), Some(vec![PostDelete])),
            (helm("pre-install,pre-upgrade"), Some(vec![PreSync])),
            (helm("post-upgrade"), Some(vec![PostSync])),
            (helm("crd-install"), None),
            (helm("test"), Some(vec![])),
            (
                json!({"argocd.argoproj.io/hook": "Sync", "helm.sh/hook": "pre-install"}),
                Some(vec![Sync]),
            ),
        ];
        for (annotations, expected) in table {
            assert_eq!(phases(&annotations), expected, "{annotations}");
        }
    }

    #[test]
    fn deletion_policies_add_up_and_have_a_default() {
        let deletion = |argo: &str, helm: &str| {
            with(&json!({"argocd.argoproj.io/hook": "Sync",
                "argocd.argoproj.io/hook-delete-policy": argo, "helm.sh/hook-delete-policy": helm}))
            .unwrap()
            .deletion
        };
        let of = |before_creation, on_success, on_failure| Deletion {
            before_creation,
            on_success,
            on_failure,
        };
        assert_eq!(deletion("", ""), of(true, false, false));
        assert_eq!(deletion("HookSucceeded", ""), of(false, true, false));
        assert_eq!(
            deletion("HookSucceeded, HookFailed", "before-hook-creation"),
            of(true, true, true)
        );
    }
}
