//! Which application an object belongs to: writing and reading its tracking marks.
//!
//! Source of the rules: Argo CD, "Resource Tracking". Never decides what happens to an object that
//! belongs to nobody or to somebody else.

use std::fmt;

use gitops_api::constants;
use serde_json::{Map, Value};

use crate::manifest::object::{ObjectKey, annotation};

/// Longest value of a label: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.
const LABEL_VALUE_LIMIT: usize = 63;

/// How objects are marked (`application.resourceTrackingMethod` of argocd-cm).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackingMethod {
    /// By the annotation `argocd.argoproj.io/tracking-id`; Argo CD's default since 3.0.
    #[default]
    Annotation,
    /// By a label that holds the application's name. The label is written; what counts is the
    /// annotation, because a label does not name the object it was written for.
    Label,
    /// By the annotation; the label is written for other tools and never read.
    AnnotationAndLabel,
}

impl TrackingMethod {
    /// Reads the setting as argocd-cm spells it; `None` for another text.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "annotation" => Some(Self::Annotation),
            "label" => Some(Self::Label),
            "annotation+label" => Some(Self::AnnotationAndLabel),
            _ => None,
        }
    }
}

/// Content of the tracking annotation.
///
/// For a cluster-scoped object `key.namespace` is the application's destination namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackingId {
    /// The application, see [`instance_name`].
    pub instance: String,
    /// The object the mark was written for.
    pub key: ObjectKey,
}

impl TrackingId {
    /// Reads `<instance>:<group>/<Kind>:<namespace>/<name>`; `None` for another form.
    pub fn parse(text: &str) -> Option<Self> {
        // Names of RBAC objects may hold colons, so only the first two separate.
        let mut parts = text.splitn(3, ':');
        let instance = parts.next().filter(|part| !part.is_empty())?;
        let (group, kind) = parts.next()?.split_once('/')?;
        let (namespace, name) = parts.next()?.split_once('/')?;
        if kind.is_empty() || kind.contains('/') || name.is_empty() || name.contains('/') {
            return None;
        }
        Some(Self {
            instance: instance.into(),
            key: ObjectKey {
                group: group.into(),
                kind: kind.into(),
                namespace: namespace.into(),
                name: name.into(),
            },
        })
    }

    /// Whether the mark was written for the object with this identity. Operators copy annotations
    /// to objects they create; such a copy proves nothing.
    pub fn refers_to(&self, key: &ObjectKey) -> bool {
        self.key.group == key.group
            && self.key.kind == key.kind
            && self.key.name == key.name
            && (key.namespace.is_empty() || self.key.namespace == key.namespace)
    }
}

impl fmt::Display for TrackingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectKey {
            group,
            kind,
            namespace,
            name,
        } = &self.key;
        write!(f, "{}:{group}/{kind}:{namespace}/{name}", self.instance)
    }
}

/// Name under which an application's objects are tracked: its own name, or
/// `<namespace>_<name>` outside the agent's namespace.
pub fn instance_name(namespace: &str, name: &str, control_plane_namespace: &str) -> String {
    if namespace.is_empty() || namespace == control_plane_namespace {
        name.into()
    } else {
        format!("{namespace}_{name}")
    }
}

/// Namespace and name of the application of an instance name: the reverse of [`instance_name`].
pub fn application_of<'a>(
    instance: &'a str,
    control_plane_namespace: &'a str,
) -> (&'a str, &'a str) {
    // Kubernetes names hold no underscore, so the first one is the separator.
    instance
        .split_once('_')
        .unwrap_or((control_plane_namespace, instance))
}

/// Whether objects of this kind are marked at all. CustomResourceDefinitions are not, so that no
/// prune ever deletes a definition with all its objects.
pub fn is_tracked_kind(group: &str, kind: &str) -> bool {
    !(group == "apiextensions.k8s.io" && kind == "CustomResourceDefinition")
}

/// The application whose tracking annotation an object carries, when that annotation was written
/// for the object itself.
pub fn owner(object: &Value) -> Option<TrackingId> {
    let id = TrackingId::parse(annotation(object, constants::annotation::TRACKING_ID)?)?;
    id.refers_to(&ObjectKey::of(object)?).then_some(id)
}

/// Marks as configured in argocd-cm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// How objects are marked.
    pub method: TrackingMethod,
    /// Key of the label (`application.instanceLabelKey`).
    pub label_key: String,
    /// `installationID`: objects with another id are not ours.
    pub installation_id: Option<String>,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            method: TrackingMethod::default(),
            label_key: constants::label::INSTANCE.into(),
            installation_id: None,
        }
    }
}

impl Tracking {
    /// Writes what other tools read: the label of the label methods and the installation's id. The
    /// agent's own mark is always the annotation, because only it names the object itself.
    pub fn mark_for_others(&self, manifest: &mut Value, instance: &str) {
        if self.method != TrackingMethod::Annotation {
            set(manifest, "labels", &self.label_key, label_value(instance));
        }
        if let Some(installation) = &self.installation_id {
            let name = constants::annotation::INSTALLATION_ID;
            set(manifest, "annotations", name, installation);
        }
    }
}

/// An instance name cut to what a label may hold. Only for a label that nobody reads back.
fn label_value(instance: &str) -> &str {
    let end = instance
        .char_indices()
        .map(|(start, character)| start + character.len_utf8())
        .take_while(|end| *end <= LABEL_VALUE_LIMIT)
        .last()
        .unwrap_or(0);
    if end == instance.len() {
        instance
    } else {
        instance[..end].trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
    }
}

fn set(manifest: &mut Value, map: &str, name: &str, value: &str) {
    let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let entries = metadata
        .entry(map)
        .or_insert_with(|| Value::Object(Map::new()));
    if !entries.is_object() {
        *entries = Value::Object(Map::new());
    }
    if let Some(entries) = entries.as_object_mut() {
        entries.insert(name.into(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn annotation_forms() {
        let cases = [
            (
                "shop:apps/Deployment:prod/web",
                Some(("shop", "apps/Deployment prod/web")),
            ),
            (
                "shop:/ConfigMap:prod/settings",
                Some(("shop", "ConfigMap prod/settings")),
            ),
            (
                "team_shop:rbac.authorization.k8s.io/ClusterRole:prod/system:thing",
                Some((
                    "team_shop",
                    "rbac.authorization.k8s.io/ClusterRole prod/system:thing",
                )),
            ),
            ("shop", None),
            ("shop:ConfigMap:prod/settings", None),
            ("shop:/ConfigMap:settings", None),
            (":/ConfigMap:prod/settings", None),
            ("shop:/:prod/settings", None),
            ("shop:/ConfigMap:prod/a/b", None),
            ("shop:a/b/c:prod/a", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let parsed = TrackingId::parse(text);
            let shown = parsed
                .as_ref()
                .map(|id| (id.instance.as_str(), id.key.to_string()));
            let expected = expected.map(|(instance, key)| (instance, key.to_owned()));
            assert_eq!(shown, expected, "{text}");
            if let Some(id) = parsed {
                assert_eq!(id.to_string(), text);
            }
        }
    }

    fn config_map(namespace: Option<&str>, id: &str) -> Value {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "settings", "annotations": {"argocd.argoproj.io/tracking-id": id}}});
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        object
    }

    #[test]
    fn copied_annotations_prove_nothing() {
        let cases = [
            (Some("prod"), "shop:/ConfigMap:prod/settings", true),
            (None, "shop:/ConfigMap:prod/settings", true),
            (Some("test"), "shop:/ConfigMap:prod/settings", false),
            (Some("prod"), "shop:/ConfigMap:prod/other", false),
            (Some("prod"), "shop:/Secret:prod/settings", false),
            (Some("prod"), "shop:apps/ConfigMap:prod/settings", false),
            (Some("prod"), "nonsense", false),
        ];
        for (namespace, id, expected) in cases {
            assert_eq!(
                owner(&config_map(namespace, id)).is_some(),
                expected,
                "{namespace:?} {id}"
            );
        }
    }

    #[test]
    fn instance_names() {
        assert_eq!(instance_name("argocd", "shop", "argocd"), "shop");
        assert_eq!(instance_name("", "shop", "argocd"), "shop");
        assert_eq!(instance_name("team", "shop", "argocd"), "team_shop");
        assert_eq!(application_of("team_shop", "argocd"), ("team", "shop"));
        assert_eq!(application_of("shop", "argocd"), ("argocd", "shop"));
    }

    #[test]
    fn marks_for_other_tools() {
        let label_key = "app.kubernetes.io/instance";
        let long = format!("{}.{}", "a".repeat(62), "b".repeat(10));
        let cases = [
            ("annotation", "shop", None),
            ("label", "shop", Some("shop")),
            ("annotation+label", "shop", Some("shop")),
            ("label", &long, Some(&long[..62])),
        ];
        for (method, instance, expected) in cases {
            let tracking = Tracking {
                method: TrackingMethod::parse(method).unwrap(),
                installation_id: Some("one".into()),
                ..Tracking::default()
            };
            let mut object = config_map(Some("prod"), "mine");
            tracking.mark_for_others(&mut object, instance);
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels[label_key].as_str(), expected, "{method}");
            let annotations = &object["metadata"]["annotations"];
            assert_eq!(annotations[constants::annotation::TRACKING_ID], "mine");
            assert_eq!(annotations[constants::annotation::INSTALLATION_ID], "one");
        }
        assert_eq!(TrackingMethod::parse("labels"), None);
    }

    proptest! {
        #[test]
        fn written_marks_read_back(
            instance in "[a-z]([-a-z0-9]{0,10})(_[a-z][-a-z0-9.]{0,10})?",
            group in "([a-z]{1,8}\\.[a-z]{1,5})?",
            kind in "[A-Z][A-Za-z]{0,12}",
            namespace in "[a-z][-a-z0-9]{0,10}",
            name in "[a-z0-9][-a-z0-9.:]{0,20}",
        ) {
            let id = TrackingId { instance, key: ObjectKey { group, kind, namespace, name } };
            prop_assert_eq!(TrackingId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            if let Some(id) = TrackingId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
