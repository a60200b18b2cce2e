//! What a sync would do with an object, from what is live and what the API server answered to a
//! dry run. Never asks anything; secrets are masked in whatever leaves.

use gitops_api::ApplicationSpec;
use gitops_api::preview::{PreviewAction, PreviewCounts, PreviewObject};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::compare::comparison::State;
use crate::compare::drift;
use crate::live::object::LiveObject;
use crate::manifest::desired::{DesiredObject, DesiredSet};
use crate::manifest::object::ObjectKey;
use crate::manifest::options::AppOptions;
use crate::mask::{Mask, Masked};
use crate::report::refusal;
use crate::report::status::field_drift;
use crate::sync::plan::Skip;

/// What the API server answered to a dry run of an apply.
#[derive(Clone, Copy, Debug)]
pub enum DryRun<'a> {
    /// The object as it would be.
    Applied(&'a Value),
    /// It does not serve the kind in this version.
    UnknownKind,
    /// It refused.
    Refused {
        /// HTTP status.
        code: u16,
        /// Why, in words with advice.
        message: &'a str,
    },
}

/// What a sync would do with an object, and how many differences of it do not count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectPreview {
    /// What a sync would do; `None` when the object is as it should be.
    pub object: Option<PreviewObject>,
    /// Differences that `ignoreDifferences` ignores.
    pub ignored: usize,
}

impl From<PreviewObject> for ObjectPreview {
    fn from(object: PreviewObject) -> Self {
        Self {
            object: Some(object),
            ignored: 0,
        }
    }
}

/// What a sync of an application would do, object by object.
#[derive(Clone, Copy, Debug)]
pub struct SyncPreview<'a> {
    /// Its spec.
    pub spec: &'a ApplicationSpec,
    /// All that is desired.
    pub desired: &'a DesiredSet,
    /// What is hidden of objects.
    pub mask: &'a Mask,
    /// Answer with the objects themselves.
    pub whole: bool,
    /// Now: stands in for an unknown time.
    pub now: Timestamp,
}

impl SyncPreview<'_> {
    /// What a sync would do with a desired object of which records tell enough; `None` when a dry
    /// run has to be asked for.
    pub fn without_dry_run(&self, object: &DesiredObject, state: &State) -> Option<ObjectPreview> {
        match state {
            State::Synced => Some(ObjectPreview::default()),
            State::OwnedBy(other) => {
                let why = format!("it is part of application {other} and stays with it");
                Some(refused(object, &why).into())
            }
            _ => None,
        }
    }

    /// What a sync would do with a desired object, from what is live and the answer to a dry run.
    pub fn with_dry_run(
        &self,
        object: &DesiredObject,
        live: Option<&Value>,
        answer: DryRun<'_>,
    ) -> ObjectPreview {
        match answer {
            DryRun::Applied(applied) => self.compared(object, live, applied),
            // It is created after something else that the same sync brings.
            _ if live.is_none() && self.comes_later(object, answer) => {
                self.created(object, &object.manifest()).into()
            }
            DryRun::UnknownKind => refused(object, &refusal::unknown_kind(&object.gvk)).into(),
            DryRun::Refused { message, .. } => refused(object, message).into(),
        }
    }

    /// Whether a refusal only says that something the same sync brings is not there yet: the
    /// namespace, or the kind's definition.
    fn comes_later(&self, object: &DesiredObject, answer: DryRun<'_>) -> bool {
        match answer {
            DryRun::UnknownKind => object.kind_known,
            DryRun::Refused { code: 404, .. } => {
                brings_namespace(self.spec, self.desired, &object.key.namespace)
            }
            _ => false,
        }
    }

    fn compared(
        &self,
        object: &DesiredObject,
        live: Option<&Value>,
        applied: &Value,
    ) -> ObjectPreview {
        let Some(live) = live else {
            return self.created(object, applied).into();
        };
        let drift = drift::compare_in_full(live, applied, object);
        let ignored = drift.ignored.len();
        if drift.fields.is_empty() {
            return ObjectPreview {
                object: None,
                ignored,
            };
        }
        let fields = drift.fields.iter();
        let mut preview = PreviewObject {
            action: PreviewAction::Change,
            origin: object.origin.to_string(),
            fields: fields.map(field_drift).collect(),
            ..described(&object.key, &object.gvk.version)
        };
        if self.whole {
            let (live, merged) = drift::for_display(Some(live), Some(applied), self.mask);
            preview.live = live.and_then(into_map);
            preview.merged = merged.and_then(into_map);
        }
        ObjectPreview {
            object: Some(preview),
            ignored,
        }
    }

    fn created(&self, object: &DesiredObject, merged: &Value) -> PreviewObject {
        let mut preview = PreviewObject {
            action: PreviewAction::Create,
            origin: object.origin.to_string(),
            ..described(&object.key, &object.gvk.version)
        };
        if self.whole {
            let (_, merged) = drift::for_display(None, Some(merged), self.mask);
            preview.merged = merged.and_then(into_map);
        }
        preview
    }

    /// An object that is live and not in Git.
    pub fn extra(&self, key: &ObjectKey, version: &str, live: &Value) -> PreviewObject {
        let mut preview = described(key, version);
        preview.action = PreviewAction::Prune;
        if LiveObject::observe(live, false).is_some_and(|record| record.keep) {
            preview.message = Skip::PruneForbidden.reason().to_string();
        }
        if self.whole {
            let (live, _) = drift::for_display(Some(live), None, self.mask);
            preview.live = live.and_then(into_map);
        }
        preview
    }
}

/// The objects that are not as they should be, ordered, and how many there are of each sort.
pub fn collect(
    answers: impl IntoIterator<Item = (ObjectKey, ObjectPreview)>,
) -> (Vec<PreviewObject>, PreviewCounts) {
    let mut answers: Vec<_> = answers.into_iter().collect();
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    let ignored = answers.iter().map(|(_, answer)| answer.ignored).sum();
    let all = answers.len();
    let objects: Vec<PreviewObject> = answers
        .into_iter()
        .filter_map(|(_, answer)| answer.object)
        .collect();
    let counts = counts(&objects, all - objects.len(), ignored);
    (objects, counts)
}

/// An object of which whoever asks sees the name only. Whether it differs is not said either: that
/// would tell a right guess from a wrong one.
pub fn withheld(key: &ObjectKey, version: &str) -> PreviewObject {
    let place = if key.namespace.is_empty() {
        String::new()
    } else {
        format!(" in namespace {}", key.namespace)
    };
    let group = if key.group.is_empty() {
        String::new()
    } else {
        format!(".{}", key.group)
    };
    PreviewObject {
        action: PreviewAction::Withheld,
        message: format!(
            "you may not read this: it takes the right to get {}{group}{place}",
            key.kind
        ),
        ..described(key, version)
    }
}

/// An object that cannot be applied, and why.
pub fn refused(object: &DesiredObject, message: &str) -> PreviewObject {
    PreviewObject {
        action: PreviewAction::Refuse,
        origin: object.origin.to_string(),
        message: object.mask.message(message, &object.manifest()),
        ..described(&object.key, &object.gvk.version)
    }
}

/// Numbers of objects, besides those that are as they should be, and of ignored differences.
fn counts(objects: &[PreviewObject], equal: usize, ignored: usize) -> PreviewCounts {
    let mut counts = PreviewCounts {
        equal: i64::try_from(equal).unwrap_or(i64::MAX),
        ignored: i64::try_from(ignored).unwrap_or(i64::MAX),
        ..PreviewCounts::default()
    };
    for object in objects {
        *match object.action {
            PreviewAction::Create => &mut counts.create,
            PreviewAction::Change => &mut counts.change,
            PreviewAction::Prune => &mut counts.prune,
            PreviewAction::Refuse | PreviewAction::Unknown => &mut counts.refuse,
            PreviewAction::Withheld => continue,
        } += 1;
    }
    counts
}

/// Whether a sync makes a namespace before what lives in it.
fn brings_namespace(spec: &ApplicationSpec, desired: &DesiredSet, namespace: &str) -> bool {
    let created = namespace == spec.destination.namespace
        && AppOptions::of(spec.sync_policy.as_ref()).create_namespace;
    let is_it =
        |key: &ObjectKey| key.group.is_empty() && key.kind == "Namespace" && key.name == namespace;
    created || desired.objects.keys().any(is_it)
}

fn described(key: &ObjectKey, version: &str) -> PreviewObject {
    PreviewObject {
        group: key.group.clone(),
        version: version.into(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        ..PreviewObject::default()
    }
}

fn into_map(object: Masked) -> Option<Map<String, Value>> {
    match object.into_value() {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::desired;
    use crate::manifest::desired::{Context, Manifest, Scope};
    use crate::manifest::object::Origin;

    fn set(value: &Value) -> DesiredSet {
        let origin = Origin {
            path: "a.yaml".into(),
            line: Some(3),
        };
        let manifest = Manifest {
            value: value.clone(),
            origin,
        };
        let context = Context {
            instance: "shop",
            destination_namespace: "n",
            managed_by: "argocd",
            tracking: None,
        };
        desired::prepare(vec![manifest], context, |_| Some(Scope::Namespaced)).unwrap()
    }

    #[test]
    fn what_a_sync_does_follows_from_live_and_dry_run() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let git = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
                         "data": {"k": "aHVudGVyMg=="}});
        let set = set(&git);
        let object = set.objects.values().next().unwrap();
        let applied = object.manifest();
        let spec: ApplicationSpec = serde_json::from_value(json!({
            "destination": {"namespace": "n"}, "syncPolicy": {"syncOptions": ["CreateNamespace=true"]}
        }))
        .unwrap();
        let preview = SyncPreview {
            spec: &spec,
            desired: &set,
            mask: &Mask::default(),
            whole: true,
            now,
        };
        let of = |live: Option<&Value>, answer: DryRun<'_>| {
            preview.with_dry_run(object, live, answer).object
        };
        assert_eq!(of(Some(&applied), DryRun::Applied(&applied)), None);

        let mut live = applied.clone();
        live["data"]["k"] = json!("c3dvcmRmaXNo");
        let change = of(Some(&live), DryRun::Applied(&applied)).unwrap();
        assert_eq!(change.action, PreviewAction::Change);
        assert_eq!(change.fields[0].path, ".data.k");
        assert_eq!(change.origin, "a.yaml:3");
        let missing = DryRun::Refused {
            code: 404,
            message: "no such namespace",
        };
        assert_eq!(
            of(Some(&live), missing).unwrap().action,
            PreviewAction::Refuse,
            "what lives in it is there"
        );
        let created = of(None, missing).unwrap();
        assert_eq!(created.action, PreviewAction::Create);
        assert!(created.merged.is_some() && created.live.is_none());
        let pruned = preview.extra(&object.key, "v1", &live);
        let refused = refused(object, "see https://u:aHVudGVyMg==@host");
        let all = [change, created, pruned, refused];
        let text = format!("{all:?}");
        for value in ["aHVudGVyMg", "c3dvcmRmaXNo", "tracking-id"] {
            assert!(!text.contains(value), "{text}");
        }
        let counts = counts(&all, 7, 0);
        assert_eq!(
            (
                counts.create,
                counts.change,
                counts.prune,
                counts.refuse,
                counts.equal
            ),
            (1, 1, 1, 1, 7)
        );
    }

    #[test]
    fn namespaces_are_brought_by_a_manifest_or_an_option() {
        let spec: ApplicationSpec = serde_json::from_value(json!({
            "destination": {"namespace": "n"}, "syncPolicy": {"syncOptions": ["CreateNamespace=true"]}
        }))
        .unwrap();
        let none = ApplicationSpec::default();
        let empty = DesiredSet::default();
        assert!(brings_namespace(&spec, &empty, "n") && !brings_namespace(&spec, &empty, "m"));
        assert!(!brings_namespace(&none, &empty, "n"));
        let mut manifest =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "m"}});
        assert!(brings_namespace(&none, &set(&manifest), "m"));
        manifest["kind"] = json!("ConfigMap");
        assert!(!brings_namespace(&none, &set(&manifest), "m"));
    }
}
