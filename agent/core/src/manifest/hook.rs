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
    /// How many hooks before it have the same beginning of a name: generated names are told apart
    /// by it.
    pub ordinal: usize,
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
    /// Value of the annotation by which a hook's object is known to be of a phase of this run: one
    /// manifest may be a hook of several phases, and several manifests may share a name.
    pub fn id_in(&self, phase: Phase) -> String {
        let id = if phase.is_of_sync() {
            format!("{}-{phase}", self.id_without_phase())
        } else {
            format!("{}-{phase}", self.started.as_second())
        };
        id.to_lowercase()
    }

    /// As it was written when one value was for all phases of a sync.
    fn id_without_phase(&self) -> String {
        let started = self.started.as_second();
        // Two syncs may begin within a second, but hardly of one revision.
        match self.revision.get(..7).unwrap_or(&self.revision) {
            "" => started.to_string(),
            revision => format!("{started}-{revision}"),
        }
    }

    /// Whether a value of that annotation is of this run, in whichever phase of a sync.
    pub fn is_of_sync(&self, id: &str) -> bool {
        let phases = Phase::WITH_HOOKS.into_iter();
        let mut of_sync = phases.filter(|phase| phase.is_of_sync());
        of_sync.any(|phase| self.is_of_sync_in(id, phase))
    }

    /// Whether a value of that annotation is of this phase of a sync; also as agents before wrote it.
    pub fn is_of_sync_in(&self, id: &str, phase: Phase) -> bool {
        id == self.id_in(phase)
            || id == self.id_without_phase()
            || id == self.started.as_second().to_string()
    }
}

/// Longest names of the kinds that hooks are of. Kubernetes: a Job's name becomes a label of its Pods,
/// a CronJob's has 11 characters added; all others are at most 253.
fn longest_name(key: &ObjectKey) -> usize {
    match (key.group.as_str(), key.kind.as_str()) {
        ("batch", "CronJob") => 52,
        ("batch", "Job") | ("argoproj.io", "Workflow") | ("", "Service" | "Namespace") => 63,
        _ => 253,
    }
}

/// A name from a beginning and an end, as the kind allows it: the end tells it from others, so the
/// beginning is what is cut.
fn name_of(key: &ObjectKey, beginning: &str, end: &str) -> String {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let end: String = end
        .to_lowercase()
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    let room = longest_name(key).saturating_sub(end.len());
    let beginning = beginning.get(..room).unwrap_or(beginning);
    format!("{beginning}{end}")
}

/// Tells hooks apart that share a name in a phase, so that each of them runs; gives what is to be said
/// about it.
///
/// Generated names get the ordinal at their end. Of fixed names the first keeps its own. In different
/// phases one name is enough: the object of the earlier phase goes before the later one is created.
pub fn tell_apart(hooks: &mut [Hook]) -> Vec<String> {
    let mut said = Vec::new();
    for index in 0..hooks.len() {
        let (before, rest) = hooks.split_at_mut(index);
        let Some(hook) = rest.first_mut() else {
            continue;
        };
        let shares = |other: &&Hook| {
            other.object.key == hook.object.key
                && other.generates_name == hook.generates_name
                && other.phases.iter().any(|phase| hook.phases.contains(phase))
        };
        let ordinal = before.iter().filter(shares).count();
        let first = before.iter().find(shares);
        let origin = first.map(|first| first.object.origin.to_string());
        hook.ordinal = ordinal;
        if ordinal == 0 || hook.generates_name {
            continue;
        }
        let name = name_of(&hook.key, &hook.key.name, &format!("-{}", ordinal + 1));
        said.push(format!(
            "hook {} ({}) has the name and phase of another hook ({}); it runs as {name}",
            hook.key,
            hook.object.origin,
            origin.unwrap_or_default()
        ));
        hook.key.name = name;
    }
    said
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
        let mut end = format!("{revision}-{phase}-{}", run.started.as_second());
        if self.ordinal > 0 {
            end = format!("{end}-{}", self.ordinal + 1);
        }
        ObjectKey {
            name: name_of(&self.key, &self.key.name, &end),
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

    /// Question: what may hooks share? A generated beginning, a fixed name in one phase, a fixed name
    /// in two phases, one manifest for two phases. And what may a name be too long for?
    #[test]
    fn every_hook_has_an_object_of_its_own() {
        use crate::manifest::desired::{Context, Manifest, Scope, prepare};
        use crate::manifest::object::Origin;
        let hook = |kind: &str, metadata: Value, phase: &str| {
            let mut value = json!({"apiVersion": if kind == "Job" { "batch/v1" } else { "v1" },
                "kind": kind, "metadata": metadata});
            value["metadata"]["annotations"] = json!({"argocd.argoproj.io/hook": phase});
            Manifest {
                value,
                origin: Origin::default(),
            }
        };
        let a_hook = |kind: &str, name: &str, phase: &str| hook(kind, json!({"name": name}), phase);
        let generated =
            |kind: &str, name: &str, phase: &str| hook(kind, json!({"generateName": name}), phase);
        let long = "a".repeat(60);
        let context = Context {
            instance: "shop",
            destination_namespace: "n",
            managed_by: "argocd",
            tracking: None,
        };
        let set = prepare(
            vec![
                generated("Job", "migrate-", "PreSync"),
                generated("Job", "migrate-", "PreSync"),
                generated("Job", "migrate-", "PreSync,PostSync"),
                a_hook("Job", "seed", "PreSync"),
                a_hook("Job", "seed", "PreSync"),
                a_hook("Job", "seed", "PostSync"),
                generated("Job", &long, "PreSync"),
                a_hook("Job", &long, "Sync"),
                a_hook("Job", &long, "Sync"),
                a_hook("Job", &"b".repeat(63), "Sync"),
                a_hook("Job", &"b".repeat(63), "Sync"),
                a_hook("Pod", "seed", "PreSync"),
            ],
            context,
            |_| Some(Scope::Namespaced),
        )
        .unwrap();
        let run = Run {
            started: Timestamp::from_second(1_700_000_000).unwrap(),
            revision: "1.2.3+Build".into(),
        };
        let mut names = Vec::new();
        for hook in &set.hooks {
            for phase in hook.sync_phases() {
                let key = hook.key_in(phase, &run);
                assert!(key.name.len() <= longest_name(&key), "{}", key.name);
                let allowed =
                    |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
                assert!(key.name.chars().all(allowed), "{}", key.name);
                assert_eq!(hook.manifest_in(phase, &run)["metadata"]["name"], *key.name);
                names.push((phase, key));
            }
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((count, names.len()), (13, 13));
        assert_eq!(set.warnings.len(), 3, "{:?}", set.warnings);
        assert!(
            set.warnings[0].contains("it runs as seed-2"),
            "{:?}",
            set.warnings
        );
    }

    #[test]
    fn an_object_is_of_one_phase_of_one_run() {
        let run = Run {
            started: Timestamp::from_second(7).unwrap(),
            revision: "0123456789".into(),
        };
        let table = [
            ("7-0123456-presync", Phase::PreSync, true),
            ("7-0123456-presync", Phase::PostSync, false),
            // As agents before wrote it.
            ("7-0123456", Phase::PostSync, true),
            ("7", Phase::PreSync, true),
            ("8-0123456-presync", Phase::PreSync, false),
        ];
        for (id, phase, expected) in table {
            assert_eq!(run.is_of_sync_in(id, phase), expected, "{id} {phase}");
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
