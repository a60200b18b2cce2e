//! What reconciling says of an object and what a Preview or `diff --local` says of it are one and
//! the same, for the manifests of the render fixtures, under settings of all kinds.
//!
//! Reconciling compares records and confirms; the other two look at whole objects. Both begin with
//! one pipeline and end with the API server's answer to a dry run, which is imitated here.

#![allow(clippy::unwrap_used, clippy::case_sensitive_file_extension_comparisons)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use gitops_api::Application;
use gitops_api::preview::{PreviewAction, PreviewObject};
use gitops_core::compare::comparison;
use gitops_core::compare::comparison::State;
use gitops_core::compare::pipeline::{Pipeline, RuleSource};
use gitops_core::live::discovery::{ServedKind, ServedKinds};
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::{DesiredSet, InvalidManifest, Manifest};
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey, Origin, Scope};
use gitops_core::mask::Mask;
use gitops_core::report::preview::{DryRun, SyncPreview};
use gitops_core::settings::Settings;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Every manifest that is written out in the render fixtures.
fn fixtures() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/render");
    let mut manifests: Vec<Value> = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "txt"))
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for section in text.split("\n-- ").skip(1) {
            let (name, body) = section.split_once(" --\n").unwrap_or((section, ""));
            let body = body.split("\n=== ").next().unwrap_or_default();
            if !name.ends_with(".yaml") || body.contains("{{") {
                continue;
            }
            let documents: Vec<Value> = serde_saphyr::from_multiple(body).unwrap_or_default();
            manifests.extend(documents.into_iter().filter(is_usable));
        }
    }
    assert!(manifests.len() > 50, "{} fixtures", manifests.len());
    manifests
}

/// Whether a document is an object that can be applied by itself.
fn is_usable(value: &Value) -> bool {
    let Some(gvk) = GroupVersionKind::of(value) else {
        return false;
    };
    let alone = prepared(&app(&json!({})), &Settings::default(), vec![value.clone()]);
    !gvk.group.contains("kustomize") && ObjectKey::of(value).is_some() && alone.is_ok()
}

fn kinds() -> ServedKinds {
    let served = |group: &str, kind: &str, plural: &str, scope: Scope| ServedKind {
        gvk: GroupVersionKind {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
        },
        plural: plural.into(),
        scope,
        watchable: true,
    };
    ServedKinds::new(
        "v1.36.3".into(),
        [
            served("", "ConfigMap", "configmaps", Scope::Namespaced),
            served("", "Secret", "secrets", Scope::Namespaced),
            served("", "Service", "services", Scope::Namespaced),
            served("", "ServiceAccount", "serviceaccounts", Scope::Namespaced),
            served("", "Namespace", "namespaces", Scope::Cluster),
            served("apps", "Deployment", "deployments", Scope::Namespaced),
        ],
    )
}

fn app(spec: &Value) -> Application {
    let mut app: Application = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "spec": {"destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"}},
    }))
    .unwrap();
    let mut whole = serde_json::to_value(&app.spec).unwrap();
    merge(&mut whole, spec);
    app.spec = serde_json::from_value(whole).unwrap();
    app
}

fn settings(data: &[(&str, &str)]) -> Settings {
    let data = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let (settings, warnings) = Settings::read(&data.collect());
    assert!(warnings.is_empty(), "{warnings:?}");
    settings
}

fn prepared(
    app: &Application,
    settings: &Settings,
    values: Vec<Value>,
) -> Result<DesiredSet, Vec<String>> {
    let kinds = kinds();
    let manifests = values.into_iter().map(|value| Manifest {
        value,
        origin: Origin::default(),
    });
    let pipeline = Pipeline {
        application: app,
        controller_namespace: "argocd",
        settings,
        kinds: &kinds,
        digest_key: None,
    };
    let problems = |problems: Vec<InvalidManifest>| -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    };
    let manifests: Vec<Manifest> = manifests.collect();
    // As an agent does that keeps what it rendered, and applies rules to it when they change.
    let kept = pipeline.prepare(manifests.clone()).map_err(problems)?;
    let (kept, _) = RuleSource::of(app, settings).apply(kept);
    let (at_once, _) = pipeline.desired(manifests).map_err(problems)?;
    assert_eq!(kept.digest(), at_once.digest());
    assert_eq!(kept.excluded, at_once.excluded);
    Ok(at_once)
}

/// A cluster that merges what is applied, as server-side apply does with atomic lists.
#[derive(Default)]
struct Cluster(BTreeMap<ObjectKey, Value>);

impl Cluster {
    fn dry_run(&self, manifest: &Value) -> Value {
        let key = ObjectKey::of(manifest).unwrap();
        let mut object = self.0.get(&key).cloned().unwrap_or_else(|| json!({}));
        merge(&mut object, manifest);
        object
    }

    /// An object as the agent applied it.
    fn apply(&mut self, manifest: &Value) {
        let mut object = manifest.clone();
        let mut fields = fields(manifest);
        for name in ["f:apiVersion", "f:kind"] {
            fields.as_object_mut().unwrap().remove(name);
        }
        for name in ["f:name", "f:namespace"] {
            fields["f:metadata"].as_object_mut().unwrap().remove(name);
        }
        let managed = json!([{"manager": "gitops-agent", "operation": "Apply",
            "apiVersion": manifest["apiVersion"], "fieldsV1": fields}]);
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("uid".into(), "u".into());
        metadata.insert("resourceVersion".into(), "1".into());
        metadata.insert("managedFields".into(), managed);
        self.0.insert(ObjectKey::of(manifest).unwrap(), object);
    }

    /// Somebody else sets a field, and so takes it from the agent.
    fn edit(&mut self, key: &ObjectKey, path: &[&str], value: Value) {
        let object = self.0.get_mut(key).unwrap();
        let (last, parents) = path.split_last().unwrap();
        let mut place = &mut *object;
        for name in parents {
            place = &mut place[*name];
        }
        place[*last] = value;
        let fields = &mut object["metadata"]["managedFields"][0]["fieldsV1"];
        let held = parents
            .iter()
            .try_fold(fields, |fields, name| fields.get_mut(format!("f:{name}")));
        if let Some(held) = held.and_then(Value::as_object_mut) {
            held.remove(&format!("f:{last}"));
        }
        object["metadata"]["resourceVersion"] = "2".into();
    }
}

fn fields(value: &Value) -> Value {
    let Some(map) = value.as_object() else {
        return json!({});
    };
    let entries = map
        .iter()
        .map(|(name, value)| (format!("f:{name}"), fields(value)));
    entries.collect::<Map<_, _>>().into()
}

fn merge(target: &mut Value, source: &Value) {
    match (target, source) {
        (Value::Object(target), Value::Object(source)) => {
            for (name, value) in source {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (target, source) => *target = source.clone(),
    }
}

/// What reconciling finds out: records compared, what they cannot tell confirmed.
fn reconciled(set: &DesiredSet, cluster: &Cluster) -> BTreeMap<ObjectKey, State> {
    let records: HashMap<ObjectKey, LiveObject> = cluster
        .0
        .values()
        .map(|object| LiveObject::observe(object, true).unwrap())
        .map(|record| (record.key.clone(), record))
        .collect();
    let tracked: BTreeSet<ObjectKey> = records.keys().cloned().collect();
    let mut compared = comparison::compare(
        set,
        "shop",
        |key| records.get(key),
        &tracked,
        |_| None,
        |_, _| true,
    );
    for (key, state) in &mut compared {
        if matches!(
            state,
            State::Unconfirmed | State::Changed | State::HandedOver(_)
        ) {
            let desired = &set.objects[key];
            let applied = cluster.dry_run(&desired.manifest());
            *state = comparison::confirm(&cluster.0[key], &applied, desired, Timestamp::UNIX_EPOCH)
                .state;
        }
    }
    compared
}

/// What a Preview or `diff --local` says of whole objects.
fn previewed(
    app: &Application,
    set: &DesiredSet,
    cluster: &Cluster,
) -> BTreeMap<ObjectKey, Option<PreviewObject>> {
    let preview = SyncPreview {
        spec: &app.spec,
        desired: set,
        mask: &Mask::default(),
        whole: false,
        now: Timestamp::UNIX_EPOCH,
    };
    let mut answers = BTreeMap::new();
    for (key, object) in &set.objects {
        let live = cluster.0.get(key);
        let record = live.and_then(|live| LiveObject::observe(live, true));
        let state = comparison::judge(object, "shop", record.as_ref(), None, |_, _| true);
        let answer = preview.without_dry_run(object, &state).unwrap_or_else(|| {
            let applied = cluster.dry_run(&object.manifest());
            let answer = if object.kind_known {
                DryRun::Applied(&applied)
            } else {
                DryRun::UnknownKind
            };
            preview.with_dry_run(object, live, answer)
        });
        answers.insert(key.clone(), answer.object);
    }
    for (key, live) in &cluster.0 {
        let record = LiveObject::observe(live, false).unwrap();
        if !set.objects.contains_key(key) && comparison::judge_extra(&record, "shop").is_some() {
            let pruned = preview.extra(key, &record.version, live);
            answers.insert(key.clone(), Some(pruned));
        }
    }
    answers
}

fn agree(state: &State, answer: Option<&PreviewObject>) -> bool {
    let action = answer.map(|object| object.action);
    match state {
        State::Synced => answer.is_none(),
        State::Missing => action == Some(PreviewAction::Create),
        State::Extra | State::Extraneous => action == Some(PreviewAction::Prune),
        State::UnknownKind | State::OwnedBy(_) => action == Some(PreviewAction::Refuse),
        State::Drifted(fields) => {
            let paths = fields.iter().map(|field| field.path.to_string());
            let shown = answer.iter().flat_map(|object| &object.fields);
            action == Some(PreviewAction::Change) && paths.eq(shown.map(|field| field.path.clone()))
        }
        State::Changed | State::Unconfirmed | State::HandedOver(_) => false,
    }
}

#[test]
fn reconciling_a_preview_and_a_local_diff_agree() {
    let manifests = fixtures();
    let plain = Settings::default();
    let all = [
        ("defaults", plain.clone()),
        (
            "exclusions",
            settings(&[(
                "resource.exclusions",
                "[{kinds: [Secret, Service], clusters: ['*']}]",
            )]),
        ),
        (
            "ignored differences",
            settings(&[(
                "resource.customizations.ignoreDifferences.all",
                "jsonPointers: [/spec/replicas, /data, /metadata/labels]",
            )]),
        ),
        (
            "annotation and label",
            settings(&[
                ("application.resourceTrackingMethod", "annotation+label"),
                ("application.instanceLabelKey", "example.org/instance"),
                ("installationID", "one"),
            ]),
        ),
    ];
    let app = app(&json!({
        "syncPolicy": {"syncOptions": ["CreateNamespace=true"],
                       "managedNamespaceMetadata": {"labels": {"team": "a"}}},
        "ignoreDifferences": [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/paused"]}],
    }));
    for (what, settings) in all {
        let set = prepared(&app, &settings, manifests.clone()).unwrap();
        let mut cluster = Cluster::default();
        for (index, object) in set.objects.values().enumerate() {
            if index % 5 != 0 && object.kind_known {
                cluster.apply(&object.manifest());
            }
        }
        // Another Application's, one of Git's past, and one that is no longer in Git.
        let keys: Vec<ObjectKey> = cluster.0.keys().cloned().collect();
        for (index, key) in keys.iter().enumerate() {
            let id = |instance: &str, key: &ObjectKey| {
                let ObjectKey {
                    group,
                    kind,
                    namespace,
                    name,
                } = key;
                json!(format!("{instance}:{group}/{kind}:{namespace}/{name}"))
            };
            match index % 6 {
                0 => cluster.edit(key, &["spec", "replicas"], json!(7)),
                1 => cluster.edit(key, &["metadata", "labels", "edited"], json!("yes")),
                2 if !key.namespace.is_empty() => {
                    let path = ["metadata", "annotations", "argocd.argoproj.io/tracking-id"];
                    cluster.edit(key, &path, id("other", key));
                }
                3 => {
                    let path = ["metadata", "annotations", "gitops-agent.io/desired-digest"];
                    cluster.edit(key, &path, json!("older"));
                }
                4 if !key.namespace.is_empty() => {
                    let mut gone = cluster.0[key].clone();
                    let gone_key = ObjectKey {
                        name: format!("{}-gone", key.name),
                        ..key.clone()
                    };
                    gone["metadata"]["name"] = json!(gone_key.name);
                    gone["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
                        id("shop", &gone_key);
                    cluster.0.insert(gone_key, gone);
                }
                _ => {}
            }
        }
        let reconciled = reconciled(&set, &cluster);
        let previewed = previewed(&app, &set, &cluster);
        let seen: BTreeSet<_> = reconciled
            .values()
            .map(std::mem::discriminant)
            .map(|d| format!("{d:?}"))
            .collect();
        assert!(seen.len() >= 5, "{what}: {seen:?}");
        assert!(reconciled.keys().eq(previewed.keys()), "{what}");
        for (key, state) in &reconciled {
            let answer = previewed[key].as_ref();
            assert!(agree(state, answer), "{what}: {key}: {state:?}, {answer:?}");
        }
        let excluded = set.excluded.len();
        assert_eq!(
            excluded > 0,
            what == "exclusions",
            "{what}: {:?}",
            set.excluded
        );
    }
}
