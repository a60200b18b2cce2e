//! What taking a change back through Git cannot undo, or not reliably.
//!
//! Each caution names the object it is about. Whether it stops anything is for whoever asked.

use std::collections::BTreeSet;

use gitops_api::ApplicationSource;
use gitops_api::constants::annotation;
use gitops_api::preview::{CautionCode, PreviewAction, PreviewCaution, PreviewObject};
use serde_json::Value;

use crate::manifest::desired::DesiredSet;
use crate::manifest::object;
use crate::manifest::object::ObjectKey;
use crate::report::refusal;
use crate::source::version;

/// What is known about a change to be taken back.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What Git holds now; `None` when it does not render.
    pub now: Option<&'a DesiredSet>,
    /// What it would hold.
    pub then: &'a DesiredSet,
    /// What would change in the cluster.
    pub objects: &'a [PreviewObject],
    /// The application's sources.
    pub sources: &'a [ApplicationSource],
    /// Commits in between that say they must not be taken back: short id and why.
    pub irreversible: &'a [(String, String)],
    /// Restored files that image automation writes to.
    pub automated_files: &'a [String],
}

/// The cautions, in the order of the objects.
pub fn of(evidence: &Evidence<'_>) -> Vec<PreviewCaution> {
    let mut found = Vec::new();
    for object in evidence.objects {
        about_object(evidence, object, &mut found);
    }
    about_hooks(evidence, &mut found);
    about_references(evidence, &mut found);
    for (commit, why) in evidence.irreversible {
        found.push(caution(
            CautionCode::ForwardOnly,
            "",
            format!("commit {commit} says that it must not be taken back: {why}"),
        ));
    }
    for file in evidence.automated_files {
        found.push(caution(
            CautionCode::Automation,
            "",
            format!("{file} is written by image automation, which may undo this; pause it first"),
        ));
    }
    found
}

fn about_object(evidence: &Evidence<'_>, object: &PreviewObject, found: &mut Vec<PreviewCaution>) {
    let key = ObjectKey {
        group: object.group.clone(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    };
    let name = format!("{}/{}", object.kind, object.name);
    let body = |set: Option<&DesiredSet>| set?.objects.get(&key).map(|desired| desired.manifest());
    let (now, then) = (body(evidence.now), body(Some(evidence.then)));
    let mut add = |code, message: String| found.push(caution(code, &name, message));
    let why = now
        .as_ref()
        .and_then(|manifest| object::annotation(manifest, annotation::FORWARD_ONLY));
    if let Some(why) = why {
        add(
            CautionCode::ForwardOnly,
            format!("{name} says that it must not be taken back: {why}"),
        );
    }
    let manifest = then.as_ref().or(now.as_ref());
    match object.action {
        PreviewAction::Prune if holds_data(&key, manifest) => add(
            CautionCode::Data,
            format!("{name} is deleted, and its data may go with it"),
        ),
        PreviewAction::Create if holds_data(&key, manifest) => add(
            CautionCode::Data,
            format!("{name} is recreated and starts empty: what it held is not in Git"),
        ),
        PreviewAction::Prune if key.group.is_empty() && key.kind == "Namespace" => add(
            CautionCode::Namespace,
            format!("{name} is deleted with everything in it"),
        ),
        PreviewAction::Prune if is_definition(&key) => add(
            CautionCode::DefinitionVersion,
            format!("{name} is deleted, and with it every object of its kind"),
        ),
        PreviewAction::Refuse if refusal::is_immutable(&object.message) => add(
            CautionCode::Immutable,
            format!("{name} cannot be changed back in place: {}", object.message),
        ),
        PreviewAction::Change if is_definition(&key) => {
            let versions = |manifest: Option<&Value>| -> BTreeSet<String> {
                manifest
                    .and_then(|manifest| manifest["spec"]["versions"].as_array())
                    .into_iter()
                    .flatten()
                    .filter_map(|version| version["name"].as_str().map(str::to_owned))
                    .collect()
            };
            let lost: Vec<String> = versions(now.as_ref())
                .difference(&versions(then.as_ref()))
                .cloned()
                .collect();
            if !lost.is_empty() {
                add(
                    CautionCode::DefinitionVersion,
                    format!(
                        "{name} loses {}: objects stored in it can no longer be read",
                        lost.join(", ")
                    ),
                );
            }
        }
        _ => {}
    }
}

fn holds_data(key: &ObjectKey, manifest: Option<&Value>) -> bool {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "PersistentVolumeClaim" | "PersistentVolume") => true,
        ("apps", "StatefulSet") => manifest.is_none_or(|manifest| {
            manifest["spec"]["volumeClaimTemplates"]
                .as_array()
                .is_some_and(|templates| !templates.is_empty())
        }),
        _ => false,
    }
}

fn is_definition(key: &ObjectKey) -> bool {
    key.group == "apiextensions.k8s.io" && key.kind == "CustomResourceDefinition"
}

/// What hooks and Jobs did stays done.
fn about_hooks(evidence: &Evidence<'_>, found: &mut Vec<PreviewCaution>) {
    let Some(now) = evidence.now else { return };
    let hooks = now
        .hooks
        .iter()
        .filter(|hook| !hook.phases.is_empty())
        .map(|hook| &hook.key);
    let jobs = now
        .objects
        .iter()
        .filter(|(key, _)| key.group == "batch" && key.kind == "Job")
        .filter(|(key, desired)| {
            evidence
                .then
                .objects
                .get(*key)
                .is_none_or(|then| then.digest != desired.digest)
        })
        .map(|(key, _)| key);
    for key in hooks.chain(jobs) {
        let name = format!("{}/{}", key.kind, key.name);
        let message = format!("{name} may have run; what it did is not undone");
        found.push(caution(CautionCode::Hook, &name, message));
    }
}

/// References whose meaning can change while Git stays the same.
fn about_references(evidence: &Evidence<'_>, found: &mut Vec<PreviewCaution>) {
    let images: BTreeSet<&String> = evidence
        .then
        .objects
        .values()
        .flat_map(|object| &object.images)
        .filter(|image| is_mutable_image(image))
        .collect();
    for image in images {
        found.push(caution(
            CautionCode::MutableReference,
            "",
            format!("image {image} names no fixed version: it may not be what ran then"),
        ));
    }
    for source in evidence
        .sources
        .iter()
        .filter(|source| !source.chart.is_empty())
    {
        let target = &source.target_revision;
        if version::parse_version(target).is_none() {
            let range = if target.is_empty() { "*" } else { target };
            found.push(caution(
                CautionCode::ChartRange,
                "",
                format!(
                    "chart {} is followed as {range}: Git does not say which version ran",
                    source.chart
                ),
            ));
        }
    }
}

/// `latest`, or no tag at all. Other tags may be moved too, but usually are not.
fn is_mutable_image(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    match name.split_once(':') {
        None => true,
        Some((_, tag)) => tag == "latest",
    }
}

fn caution(code: CautionCode, object: &str, message: String) -> PreviewCaution {
    PreviewCaution {
        code,
        message,
        object: object.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::desired::{Context, Manifest, Scope, prepare};
    use crate::manifest::object::Origin;

    fn set(manifests: &[Value]) -> DesiredSet {
        let manifests = manifests
            .iter()
            .map(|value| Manifest {
                value: value.clone(),
                origin: Origin::default(),
            })
            .collect();
        let context = Context {
            instance: "web",
            destination_namespace: "n",
            managed_by: "argocd",
            tracking: None,
        };
        prepare(manifests, context, |kind| {
            Some(if kind.kind == "CustomResourceDefinition" {
                Scope::Cluster
            } else {
                Scope::Namespaced
            })
        })
        .unwrap()
    }

    fn object(group: &str, kind: &str, action: PreviewAction, message: &str) -> PreviewObject {
        PreviewObject {
            group: group.into(),
            kind: kind.into(),
            namespace: if kind == "CustomResourceDefinition" {
                ""
            } else {
                "n"
            }
            .into(),
            name: "x".into(),
            action,
            message: message.into(),
            ..PreviewObject::default()
        }
    }

    #[test]
    fn each_kind_of_caution_is_found() {
        let definition = |versions: &[&str]| {
            let versions: Vec<_> = versions.iter().map(|name| json!({"name": name})).collect();
            json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "x"}, "spec": {"group": "g", "names": {"kind": "K"},
                "scope": "Cluster", "versions": versions}})
        };
        let now = set(&[
            definition(&["v1", "v2"]),
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x",
                "annotations": {"gitops-agent.io/forward-only": "keys were rotated"}}}),
        ]);
        let then = set(&[
            definition(&["v1"]),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"},
                "spec": {"template": {"spec": {"containers": [
                    {"image": "registry:5000/web"}, {"image": "web:1.2"}, {"image": "a/b:latest"},
                    {"image": "a/b:latest@sha256:00"}]}}}}),
        ]);
        let objects = [
            object(
                "apiextensions.k8s.io",
                "CustomResourceDefinition",
                PreviewAction::Change,
                "",
            ),
            object("", "ConfigMap", PreviewAction::Change, ""),
            object("", "PersistentVolumeClaim", PreviewAction::Prune, ""),
            object("apps", "StatefulSet", PreviewAction::Prune, ""),
            object(
                "apps",
                "Deployment",
                PreviewAction::Refuse,
                "spec.selector: field is immutable",
            ),
            object("", "Service", PreviewAction::Prune, ""),
        ];
        let chart = ApplicationSource {
            chart: "redis".into(),
            target_revision: "^1.2".into(),
            ..ApplicationSource::default()
        };
        let found = of(&Evidence {
            now: Some(&now),
            then: &then,
            objects: &objects,
            sources: &[chart],
            irreversible: &[("abc1234".into(), "schema moved on".into())],
            automated_files: &["apps/web/deploy.yaml".into()],
        });
        let codes: Vec<_> = found
            .iter()
            .map(|caution| (caution.code.as_str(), caution.object.as_str()))
            .collect();
        assert_eq!(
            codes,
            [
                ("DefinitionVersion", "CustomResourceDefinition/x"),
                ("ForwardOnly", "ConfigMap/x"),
                ("Data", "PersistentVolumeClaim/x"),
                ("Data", "StatefulSet/x"),
                ("Immutable", "Deployment/x"),
                ("Hook", "Job/migrate"),
                ("MutableReference", ""),
                ("MutableReference", ""),
                ("ChartRange", ""),
                ("ForwardOnly", ""),
                ("Automation", ""),
            ]
        );
    }
}
