//! Which application an object belongs to: writing and reading its tracking marks.
//!
//! Source of the rules: Argo CD, "Resource Tracking". Never decides what happens to an object that
//! belongs to nobody or to somebody else.

use std::fmt;

use gitops_api::constants;
use serde_json::{Map, Value};

use crate::object::{GroupVersionKind, ObjectKey, annotation, label};

/// Longest value of a label: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.
const LABEL_VALUE_LIMIT: usize = 63;

/// How objects are marked (`application.resourceTrackingMethod` of argocd-cm).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackingMethod {
    /// By the annotation `argocd.argoproj.io/tracking-id`; Argo CD's default since 3.0.
    #[default]
    Annotation,
    /// By a label that holds the application's name.
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

    fn writes_annotation(self) -> bool {
        self != Self::Label
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
    /// Instance name of the application an object belongs to, by the configured method.
    pub fn instance_of(&self, object: &Value) -> Option<String> {
        let stamped = annotation(object, constants::annotation::INSTALLATION_ID);
        if self
            .installation_id
            .as_deref()
            .is_some_and(|id| stamped != Some(id))
        {
            return None;
        }
        if self.method.writes_annotation() {
            owner(object).map(|id| id.instance)
        } else {
            label(object, &self.label_key)
                .filter(|name| !name.is_empty())
                .map(Into::into)
        }
    }

    /// Marks a manifest as belonging to `instance`. A cluster-scoped one is marked with the
    /// application's destination namespace. Does nothing for kinds that are never tracked and for
    /// values that are no manifest.
    pub fn mark(&self, manifest: &mut Value, instance: &str, destination_namespace: &str) {
        let Some(mut key) = ObjectKey::of(manifest) else {
            return;
        };
        let tracked = GroupVersionKind::of(manifest)
            .is_some_and(|gvk| is_tracked_kind(&gvk.group, &gvk.kind));
        if !tracked {
            return;
        }
        if key.namespace.is_empty() {
            key.namespace = destination_namespace.into();
        }
        let id = TrackingId {
            instance: instance.into(),
            key,
        };
        if self.method.writes_annotation() {
            set(
                manifest,
                "annotations",
                constants::annotation::TRACKING_ID,
                &id.to_string(),
            );
        }
        match self.method {
            TrackingMethod::Annotation => {}
            TrackingMethod::Label => set(manifest, "labels", &self.label_key, instance),
            TrackingMethod::AnnotationAndLabel => {
                set(manifest, "labels", &self.label_key, label_value(instance));
            }
        }
        if let Some(installation) = &self.installation_id {
            set(
                manifest,
                "annotations",
                constants::annotation::INSTALLATION_ID,
                installation,
            );
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
    fn methods() {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}});
        let cases = [
            ("annotation", Some("shop:/Namespace:dest/prod"), None),
            ("label", None, Some("shop")),
            (
                "annotation+label",
                Some("shop:/Namespace:dest/prod"),
                Some("shop"),
            ),
        ];
        for (method, id, name) in cases {
            let method = TrackingMethod::parse(method).unwrap();
            let tracking = Tracking {
                method,
                ..Tracking::default()
            };
            let mut marked = object.clone();
            tracking.mark(&mut marked, "shop", "dest");
            assert_eq!(
                annotation(&marked, "argocd.argoproj.io/tracking-id"),
                id,
                "{method:?}"
            );
            assert_eq!(
                label(&marked, "app.kubernetes.io/instance"),
                name,
                "{method:?}"
            );
            assert_eq!(
                tracking.instance_of(&marked).as_deref(),
                Some("shop"),
                "{method:?}"
            );
        }
        assert_eq!(TrackingMethod::parse("labels"), None);
    }

    #[test]
    fn long_names_are_cut_only_beside_the_annotation() {
        let long = format!("{}.{}", "a".repeat(62), "b".repeat(10));
        assert_eq!(label_value(&long), "a".repeat(62));
        let mut object = config_map(Some("prod"), "");
        let tracking = Tracking {
            method: TrackingMethod::Label,
            ..Tracking::default()
        };
        tracking.mark(&mut object, &long, "prod");
        assert_eq!(
            label(&object, "app.kubernetes.io/instance"),
            Some(long.as_str())
        );
    }

    #[test]
    fn definitions_are_never_marked() {
        let mut object = json!({"apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.org"}});
        let before = object.clone();
        Tracking::default().mark(&mut object, "shop", "prod");
        assert_eq!(object, before);
    }

    #[test]
    fn other_installations_are_not_ours() {
        let one = Tracking {
            installation_id: Some("one".into()),
            ..Tracking::default()
        };
        let two = Tracking {
            installation_id: Some("two".into()),
            ..Tracking::default()
        };
        let mut object = config_map(Some("prod"), "");
        one.mark(&mut object, "shop", "prod");
        assert_eq!(one.instance_of(&object).as_deref(), Some("shop"));
        assert_eq!(two.instance_of(&object), None);
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
