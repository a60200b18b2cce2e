//! From rendered manifests to the objects an application wants: complete, marked and digested.
//!
//! Decides what of a manifest is sent: fields only the API server writes are dropped, a missing
//! namespace is filled in, duplicates are settled, hooks are set apart. Never looks at the cluster;
//! which kinds are namespaced is a parameter.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gitops_api::constants;
use serde_json::{Map, Value};

use crate::manifest::hook::Hook;
use crate::manifest::object::{GroupKind, GroupVersionKind, ObjectKey, Origin};
use crate::manifest::options::ObjectOptions;
use crate::manifest::tracking::{Tracking, TrackingId};
use crate::manifest::{annotations, digest, hook, object, tracking};
use crate::settings::ignore::{IgnoreRules, ObjectRules};

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Such as `Deployment`.
    Namespaced,
    /// Such as `ClusterRole`.
    Cluster,
}

/// A manifest as the renderer answered it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The object.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// What the application adds to its manifests.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Instance name used for tracking: the application's name, or `<namespace>_<name>`.
    pub instance: &'a str,
    /// Namespace for namespaced objects that name none.
    pub destination_namespace: &'a str,
    /// Value of the label by which the agent watches what it manages.
    pub managed_by: &'a str,
    /// Marks for other tools besides the agent's own, as argocd-cm asks for them.
    pub tracking: Option<&'a Tracking>,
}

/// One object the application wants, ready to be sent.
#[derive(Clone, Debug)]
pub struct DesiredObject {
    /// Identity.
    pub key: ObjectKey,
    /// API version to send it to.
    pub gvk: GroupVersionKind,
    /// The manifest as it will be applied, compact JSON: objects are many and rarely read.
    pub body: Box<str>,
    /// Digest of the manifest before the agent's own marks.
    pub digest: String,
    /// Where it was written.
    pub origin: Origin,
    /// `argocd.argoproj.io/sync-wave`, 0 when absent or unreadable.
    pub wave: i64,
    /// Its sync options.
    pub options: ObjectOptions,
    /// Container images its Pod template names.
    pub images: Vec<String>,
    /// `false` when the cluster does not serve the kind and no manifest defines it.
    pub kind_known: bool,
    /// `true` for an object that follows from an option and not from a manifest (the destination
    /// namespace with managed metadata): not tracked, not pruned, not listed.
    pub implicit: bool,
    /// Which of its fields do not count; `None` for most.
    pub ignore: Option<Arc<ObjectRules>>,
    /// What admission would add to the live object counts as a difference:
    /// `compare-options: IncludeMutationWebhook=true`.
    pub include_mutations: bool,
}

impl DesiredObject {
    /// Digest of what is expected of the live object: the manifest, less what is ignored.
    pub fn expectation(&self) -> Cow<'_, str> {
        match &self.ignore {
            None => Cow::Borrowed(&self.digest),
            Some(rules) => Cow::Owned(format!("{} {}", self.digest, rules.fingerprint)),
        }
    }

    /// The manifest as a value.
    pub fn manifest(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// Everything an application wants.
#[derive(Clone, Debug, Default)]
pub struct DesiredSet {
    /// The objects, each once.
    pub objects: BTreeMap<ObjectKey, Arc<DesiredObject>>,
    /// Hooks, which are not part of the synchronised state.
    pub hooks: Vec<Hook>,
    /// Identities that more than one manifest claims; the last one won.
    pub repeated: Vec<String>,
    /// Objects of kinds that the settings leave alone.
    pub excluded: Vec<String>,
    /// Annotations nobody can read, each with the object and what was probably meant.
    pub warnings: Vec<String>,
}

impl DesiredSet {
    /// The same objects under these rules about what to ignore.
    #[must_use]
    pub fn ignoring(mut self, rules: &IgnoreRules) -> Self {
        for (key, object) in &mut self.objects {
            let ignore = rules.for_object(key);
            if ignore.is_some() || object.ignore.is_some() {
                Arc::make_mut(object).ignore = ignore;
            }
            if rules.include_mutations && !object.include_mutations {
                Arc::make_mut(object).include_mutations = true;
            }
        }
        self
    }

    /// Digest of all objects together: equal sets have equal digests.
    pub fn digest(&self) -> String {
        let parts = self.objects.iter().flat_map(|(key, object)| {
            [
                key.to_string().into_bytes(),
                object.digest.clone().into_bytes(),
            ]
        });
        let parts: Vec<Vec<u8>> = parts.collect();
        digest::of_parts(parts.iter().map(Vec::as_slice))
    }

    /// Digest of the hooks; `None` when there are none. They are no part of [`DesiredSet::digest`],
    /// because a changed hook alone makes nothing differ; but it is reason enough to try again what
    /// failed.
    pub fn hooks_digest(&self) -> Option<String> {
        let parts: Vec<&[u8]> = self
            .hooks
            .iter()
            .map(|hook| hook.object.digest.as_bytes())
            .collect();
        (!parts.is_empty()).then(|| digest::of_parts(parts))
    }
}

/// A manifest that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct InvalidManifest {
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Prepares all manifests of an application.
///
/// `scope` answers for kinds the cluster serves; kinds defined by a CustomResourceDefinition among
/// the manifests themselves are taken from it.
///
/// # Errors
/// Every manifest that is no Kubernetes object, so that one reading mends them all.
pub fn prepare(
    manifests: Vec<Manifest>,
    context: Context<'_>,
    scope: impl Fn(&GroupKind) -> Option<Scope>,
) -> Result<DesiredSet, Vec<InvalidManifest>> {
    let defined = scopes_defined(&manifests);
    let mut set = DesiredSet::default();
    let mut problems = Vec::new();
    let mut origins: BTreeMap<ObjectKey, Origin> = BTreeMap::new();
    for manifest in manifests {
        let origin = manifest.origin;
        let value = match check(manifest.value) {
            Ok(value) => value,
            Err(problem) => {
                problems.push(InvalidManifest { origin, problem });
                continue;
            }
        };
        let Some(gvk) = GroupVersionKind::of(&value) else {
            continue;
        };
        let scope = scope(&gvk.group_kind()).or_else(|| defined.get(&gvk.group_kind()).copied());
        let value = clean(value, &gvk, scope, context.destination_namespace);
        for warning in annotations::warnings(&value) {
            set.warnings
                .push(format!("{} ({origin}): {warning}", named(&gvk, &value)));
        }
        if let Some(marks) = hook::marks(&value) {
            match as_hook(
                &value,
                marks,
                &gvk,
                origin.clone(),
                scope.is_some(),
                context,
            ) {
                Some(hook) => set.hooks.push(hook),
                None => problems.push(InvalidManifest {
                    origin,
                    problem: format!("{} has no metadata.name; give it one", gvk.kind),
                }),
            }
            continue;
        }
        let Some(key) = ObjectKey::of(&value) else {
            problems.push(InvalidManifest {
                origin,
                problem: format!("{} has no metadata.name; give it one", gvk.kind),
            });
            continue;
        };
        if let Some(first) = origins.insert(key.clone(), origin.clone()) {
            set.repeated.push(format!(
                "{key} is defined by {first} and by {origin}; the last one is used"
            ));
        }
        let desired = mark(key, gvk, value, origin, scope.is_some(), context);
        set.objects.insert(desired.key.clone(), Arc::new(desired));
    }
    if problems.is_empty() {
        Ok(set)
    } else {
        Err(problems)
    }
}

/// The destination namespace as an object of its own, for `managedNamespaceMetadata`.
pub fn managed_namespace(
    name: &str,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    context: Context<'_>,
) -> DesiredObject {
    let value = serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
    });
    let gvk = GroupVersionKind {
        group: String::new(),
        version: "v1".into(),
        kind: "Namespace".into(),
    };
    let key = ObjectKey {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: String::new(),
        name: name.into(),
    };
    let origin = Origin {
        path: "spec.syncPolicy.managedNamespaceMetadata".into(),
        line: None,
    };
    let mut desired = finish(key, gvk, value, origin, true, None, context);
    desired.implicit = true;
    desired
}

/// Whether a name can be part of an address. Kubernetes allows no other either; each kind then has
/// rules of its own.
fn is_path_segment(name: &str) -> bool {
    let breaks =
        |c: char| c.is_control() || c.is_whitespace() || !c.is_ascii() || "/%?#".contains(c);
    name != "." && name != ".." && !name.contains(breaks)
}

fn check(value: Value) -> Result<Value, String> {
    if !value.is_object() {
        return Err("the document is not a map; a manifest starts with apiVersion and kind".into());
    }
    for field in ["apiVersion", "kind"] {
        match value.get(field) {
            Some(Value::String(text)) if !text.is_empty() => {}
            Some(Value::String(_) | Value::Null) | None => {
                return Err(format!(
                    "{field} is missing; is this file a Kubernetes manifest?"
                ));
            }
            Some(_) => return Err(format!("{field} is not a string")),
        }
    }
    if !value.get("metadata").is_none_or(Value::is_object) {
        return Err("metadata is not a map".into());
    }
    for field in ["name", "namespace"] {
        let text = value
            .get("metadata")
            .and_then(|metadata| metadata.get(field)?.as_str());
        if let Some(text) = text
            && !is_path_segment(text)
        {
            return Err(format!("metadata.{field} {text:?} cannot be a name"));
        }
    }
    for field in ["annotations", "labels"] {
        let Some(map) = value
            .get("metadata")
            .and_then(|metadata| metadata.get(field))
        else {
            continue;
        };
        let Some(map) = map.as_object() else {
            if map.is_null() {
                continue;
            }
            return Err(format!("metadata.{field} is not a map"));
        };
        if let Some((name, wrong)) = map.iter().find(|(_, v)| !v.is_string() && !v.is_null()) {
            return Err(format!(
                "metadata.{field}[{name:?}] is {wrong}, not a string; put it in quotes"
            ));
        }
    }
    Ok(value)
}

/// Scopes of the kinds that CustomResourceDefinitions among the manifests define.
fn scopes_defined(manifests: &[Manifest]) -> BTreeMap<GroupKind, Scope> {
    manifests
        .iter()
        .filter(|manifest| {
            manifest
                .value
                .get("kind")
                .is_some_and(|kind| kind == "CustomResourceDefinition")
        })
        .filter_map(|manifest| {
            let spec = manifest.value.get("spec")?;
            let group_kind = GroupKind {
                group: spec.get("group")?.as_str()?.into(),
                kind: spec.get("names")?.get("kind")?.as_str()?.into(),
            };
            let scope = match spec.get("scope")?.as_str()? {
                "Cluster" => Scope::Cluster,
                _ => Scope::Namespaced,
            };
            Some((group_kind, scope))
        })
        .collect()
}

/// Drops what only the API server writes, and says explicitly what it would fill in.
fn clean(mut value: Value, gvk: &GroupVersionKind, scope: Option<Scope>, namespace: &str) -> Value {
    if let Some(root) = value.as_object_mut() {
        root.remove("status");
        let metadata = root
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            for field in [
                "creationTimestamp",
                "managedFields",
                "resourceVersion",
                "uid",
                "generation",
                "selfLink",
            ] {
                metadata.remove(field);
            }
            match scope {
                Some(Scope::Cluster) => {
                    metadata.remove("namespace");
                }
                Some(Scope::Namespaced) => {
                    let unset = metadata
                        .get("namespace")
                        .is_none_or(|n| n.as_str().is_none_or(str::is_empty));
                    if unset && !namespace.is_empty() {
                        metadata.insert("namespace".into(), namespace.into());
                    }
                }
                None => {}
            }
            drop_nulls(metadata);
        }
    }
    // A null in a built-in kind means "not set" to every client; applied as it is, the API server
    // would record ownership of a field that does not exist.
    if is_built_in(&gvk.group)
        && let Some(root) = value.as_object_mut()
    {
        drop_nulls(root);
    }
    if gvk.group.is_empty() && gvk.kind == "Secret" {
        encode_string_data(&mut value);
    }
    value
}

fn is_built_in(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

fn drop_nulls(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().for_each(drop_nulls_in);
}

fn drop_nulls_in(value: &mut Value) {
    match value {
        Value::Object(map) => drop_nulls(map),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls_in),
        _ => {}
    }
}

/// `stringData` is write-only: the API server moves it to `data`, so the agent does it first and
/// the two stay comparable. What is not a string is left for the API server to refuse.
fn encode_string_data(secret: &mut Value) {
    let Some(root) = secret.as_object_mut() else {
        return;
    };
    let Some(Value::Object(plain)) = root.get("stringData") else {
        return;
    };
    if !plain.values().all(Value::is_string) {
        return;
    }
    let encoded: Vec<(String, Value)> = plain
        .iter()
        .filter_map(|(key, text)| {
            Some((key.clone(), BASE64_STANDARD.encode(text.as_str()?).into()))
        })
        .collect();
    root.remove("stringData");
    let data = root
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(data) = data.as_object_mut() {
        data.extend(encoded);
    }
}

/// A hook, marked as the application's like any of its objects.
fn as_hook(
    value: &Value,
    marks: hook::Marks,
    gvk: &GroupVersionKind,
    origin: Origin,
    kind_known: bool,
    context: Context<'_>,
) -> Option<Hook> {
    let named = ObjectKey::of(value);
    let generates_name = named.is_none();
    let key = match named {
        Some(key) => key,
        None => ObjectKey {
            group: gvk.group.clone(),
            kind: gvk.kind.clone(),
            namespace: text_of(value, "namespace")?,
            name: text_of(value, "generateName").filter(|name| !name.is_empty())?,
        },
    };
    let object = mark(
        key.clone(),
        gvk.clone(),
        value.clone(),
        origin,
        kind_known,
        context,
    );
    Some(Hook {
        key,
        object: Arc::new(object),
        phases: marks.phases,
        deletion_phases: marks.deletion_phases,
        runs: marks.runs,
        deletion: marks.deletion,
        generates_name,
    })
}

/// An object as people call it, also without a name.
fn named(gvk: &GroupVersionKind, value: &Value) -> String {
    ObjectKey::of(value).map_or_else(|| gvk.kind.clone(), |key| key.to_string())
}

/// A text of the metadata; empty when it is not there.
fn text_of(value: &Value, name: &str) -> Option<String> {
    match value.get("metadata")?.get(name) {
        None => Some(String::new()),
        Some(text) => text.as_str().map(str::to_owned),
    }
}

fn mark(
    key: ObjectKey,
    gvk: GroupVersionKind,
    value: Value,
    origin: Origin,
    kind_known: bool,
    context: Context<'_>,
) -> DesiredObject {
    // CustomResourceDefinitions are never tracked, and so never pruned with their objects.
    let tracked = tracking::is_tracked_kind(&gvk.group, &gvk.kind);
    let tracking = tracked.then(|| {
        TrackingId {
            instance: context.instance.into(),
            key: ObjectKey {
                namespace: if key.namespace.is_empty() {
                    context.destination_namespace.into()
                } else {
                    key.namespace.clone()
                },
                ..key.clone()
            },
        }
        .to_string()
    });
    finish(key, gvk, value, origin, kind_known, tracking, context)
}

fn finish(
    key: ObjectKey,
    gvk: GroupVersionKind,
    mut value: Value,
    origin: Origin,
    kind_known: bool,
    tracking: Option<String>,
    context: Context<'_>,
) -> DesiredObject {
    let wave = object::wave(&value);
    let options = ObjectOptions::of(&value);
    let images = images(&value);
    // Before the digest: with another method of tracking the object is sent again.
    if tracking.is_some()
        && let Some(settings) = context.tracking
    {
        settings.mark_for_others(&mut value, context.instance);
    }
    let digest = digest::of_value(&value);
    if let Some(metadata) = value.get_mut("metadata") {
        set(
            metadata,
            "labels",
            constants::label::MANAGED_BY,
            context.managed_by,
        );
        set(
            metadata,
            "annotations",
            constants::annotation::DESIRED_DIGEST,
            &digest,
        );
        if let Some(tracking) = tracking {
            set(
                metadata,
                "annotations",
                constants::annotation::TRACKING_ID,
                &tracking,
            );
        }
    }
    DesiredObject {
        key,
        gvk,
        body: value.to_string().into(),
        digest,
        origin,
        wave,
        options,
        images,
        kind_known,
        implicit: false,
        ignore: None,
        include_mutations: object::has_option(
            &value,
            constants::annotation::COMPARE_OPTIONS,
            "IncludeMutationWebhook=true",
        ),
    }
}

fn set(metadata: &mut Value, map: &str, name: &str, text: &str) {
    if let Some(metadata) = metadata.as_object_mut()
        && let Some(entries) = metadata
            .entry(map)
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut()
    {
        entries.insert(name.into(), text.into());
    }
}

/// Images of the containers in an object's Pod template, sorted, each once.
fn images(value: &Value) -> Vec<String> {
    let pod_specs = [
        "/spec/template/spec",
        "/spec/jobTemplate/spec/template/spec",
        "/spec",
    ];
    let mut images: Vec<String> = pod_specs
        .iter()
        .filter_map(|pointer| value.pointer(pointer))
        .flat_map(|spec| ["initContainers", "containers"].map(|list| spec.get(list)))
        .filter_map(|list| list?.as_array())
        .flatten()
        .filter_map(|container| Some(container.get("image")?.as_str()?.to_owned()))
        .collect();
    images.sort_unstable();
    images.dedup();
    images
}

#[cfg(test)]
mod tests;
