//! From rendered manifests to the objects an application wants: complete, marked and digested.
//!
//! Decides what of a manifest is sent: fields only the API server writes are dropped, a missing
//! namespace is filled in, duplicates are settled, hooks are set apart. Never looks at the cluster;
//! which kinds are namespaced is a parameter.

mod clean;
mod filled;
mod object;
mod repeated;
mod set;

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::constants;
use serde_json::{Map, Value};

use self::clean::{check, clean};
use crate::manifest::digest::DigestKey;
use crate::manifest::hook::Hook;
use crate::manifest::images::images;
use crate::manifest::object::{GroupKind, GroupVersionKind, ObjectKey, Origin, has_option, wave};
use crate::manifest::options::ObjectOptions;
use crate::manifest::order::Order;
use crate::manifest::tracking::{Tracking, TrackingId};
use crate::manifest::{annotations, digest, hook, tracking};
use crate::mask::Mask;

pub use self::object::{DesiredObject, Manifest};
pub use self::set::DesiredSet;
pub use crate::manifest::object::Scope;

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

/// What the application adds to its manifests, and the key of their digests.
#[derive(Clone, Copy)]
struct Marks<'a> {
    context: Context<'a>,
    key: Option<&'a DigestKey>,
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
    prepare_keyed(manifests, context, None, scope)
}

/// The same, with digests by the key of the installation.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_keyed(
    manifests: Vec<Manifest>,
    context: Context<'_>,
    key: Option<&DigestKey>,
    scope: impl Fn(&GroupKind) -> Option<Scope>,
) -> Result<DesiredSet, Vec<InvalidManifest>> {
    let context = Marks { context, key };
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
        let mut value = clean(value, &gvk, scope, context.context.destination_namespace);
        filled::leave(&mut value, &gvk);
        let repeated = repeated::settle(&mut value, &gvk);
        for warning in annotations::warnings(&value).into_iter().chain(repeated) {
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
    let shared = hook::tell_apart(&mut set.hooks);
    set.warnings.extend(shared);
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
    digest_key: Option<&DigestKey>,
) -> DesiredObject {
    let marks = Marks {
        context,
        key: digest_key,
    };
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
    let mut desired = finish(key, gvk, value, origin, true, None, marks);
    desired.implicit = true;
    desired
}

/// Scopes of the kinds that CustomResourceDefinitions among the manifests define.
fn scopes_defined(manifests: &[Manifest]) -> BTreeMap<GroupKind, Scope> {
    manifests
        .iter()
        .filter_map(|manifest| {
            let kind = defined_kind(&manifest.value)?;
            let scope = match manifest.value.get("spec")?.get("scope")?.as_str()? {
                "Cluster" => Scope::Cluster,
                _ => Scope::Namespaced,
            };
            Some((kind, scope))
        })
        .collect()
}

/// The kind that a CustomResourceDefinition defines.
fn defined_kind(value: &Value) -> Option<GroupKind> {
    if value.get("kind")? != "CustomResourceDefinition" {
        return None;
    }
    let spec = value.get("spec")?;
    Some(GroupKind {
        group: spec.get("group")?.as_str()?.into(),
        kind: spec.get("names")?.get("kind")?.as_str()?.into(),
    })
}

/// A hook, marked as the application's like any of its objects.
fn as_hook(
    value: &Value,
    marks: hook::Marks,
    gvk: &GroupVersionKind,
    origin: Origin,
    kind_known: bool,
    marks_of: Marks<'_>,
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
        marks_of,
    );
    Some(Hook {
        key,
        object: Arc::new(object),
        phases: marks.phases,
        deletion: marks.deletion,
        generates_name,
        ordinal: 0,
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
    marks: Marks<'_>,
) -> DesiredObject {
    let context = marks.context;
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
    finish(key, gvk, value, origin, kind_known, tracking, marks)
}

fn finish(
    key: ObjectKey,
    gvk: GroupVersionKind,
    mut value: Value,
    origin: Origin,
    kind_known: bool,
    tracking: Option<String>,
    marks: Marks<'_>,
) -> DesiredObject {
    let Marks {
        context,
        key: key_of_digests,
    } = marks;
    let wave = wave(&value);
    let options = ObjectOptions::of(&value);
    let images = images(&value);
    let order = Order::of(&value);
    // Before the digest: with another method of tracking the object is sent again.
    if tracking.is_some()
        && let Some(settings) = context.tracking
    {
        settings.mark_for_others(&mut value, context.instance);
    }
    let unkeyed = digest::of_value(&value);
    let (digest, unkeyed) = match key_of_digests {
        Some(key) => (key.of_value(&value), Some(unkeyed.into())),
        None => (unkeyed, None),
    };
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
        unkeyed,
        origin,
        wave,
        options,
        images,
        order,
        defined_kind: defined_kind(&value).map(Box::new),
        kind_known,
        implicit: false,
        ignore: None,
        include_mutations: has_option(
            &value,
            constants::annotation::COMPARE_OPTIONS,
            "IncludeMutationWebhook=true",
        ),
        mask: Mask::default(),
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

#[cfg(test)]
mod tests;
