//! Fields that exclude each other: Git's member is delivered, whoever holds the other one.
//!
//! Question: how can the other member come to be there so that an apply alone cannot take it away? Answer:
//! somebody edited it in (with self-heal off), another manager created the object, or the API server filled
//! it in. And where may only one of several fields be set? Variables, handlers of probes and of the life
//! cycle, sources of volumes, strategies, disruption budgets, backends of Ingresses, and custom resources
//! with `oneOf` or a rule. Lists that are one value (peers of NetworkPolicies, metrics of autoscalers, rules
//! of Ingresses) are replaced as a whole by every apply.

use gitops_e2e::World;
use gitops_e2e::application::{status, sync_code};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use gitops_api::SyncStatusCode;

fn by(manager: &str) -> PatchParams {
    PatchParams {
        field_manager: Some(manager.into()),
        ..PatchParams::default()
    }
}

fn deployment(name: &str, strategy: &Value, container: &Value, pod: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "web", "image": "registry.example.com/web:1"}]});
    let put = |place: &mut Value, more: &Value| {
        for (key, value) in more.as_object().into_iter().flatten() {
            place[key] = value.clone();
        }
    };
    put(&mut spec["containers"][0], container);
    put(&mut spec, pod);
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}});
    if !strategy.is_null() {
        object["spec"]["strategy"] = strategy.clone();
    }
    object
}

/// An object before and after, the place where the two exclude each other, and what is there at the end
/// but for defaults.
struct Case {
    before: Value,
    after: Value,
    place: &'static str,
    gone: &'static str,
    there: &'static str,
}

fn cases() -> Vec<Case> {
    let none = Value::Null;
    let of = |name: &str, container: Value| deployment(name, &none, &container, &none);
    let probe = |handler: Value| json!({"readinessProbe": handler});
    let stop = |handler: Value| json!({"lifecycle": {"preStop": handler}});
    let volume = |source: Value| {
        let mut volume = json!({"name": "scratch"});
        volume
            .as_object_mut()
            .unwrap()
            .extend(source.as_object().unwrap().clone());
        json!({"volumes": [volume]})
    };
    let budget = |spec: Value| {
        let mut object = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": "budget"}, "spec": {"selector": {"matchLabels": {"app": "x"}}}});
        object["spec"]
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        object
    };
    let ingress = |backend: Value| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "ingress"},
            "spec": {"defaultBackend": backend}})
    };
    vec![
        Case {
            before: of("env", json!({"env": [{"name": "A", "value": "1"}]})),
            after: of(
                "env",
                json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}),
            ),
            place: "/spec/template/spec/containers/0/env/0",
            gone: "value",
            there: "valueFrom",
        },
        Case {
            before: of(
                "back",
                json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}),
            ),
            after: of("back", json!({"env": [{"name": "A", "value": "1"}]})),
            place: "/spec/template/spec/containers/0/env/0",
            gone: "valueFrom",
            there: "value",
        },
        Case {
            before: of(
                "probe",
                probe(json!({"httpGet": {"path": "/", "port": 80}})),
            ),
            after: of("probe", probe(json!({"tcpSocket": {"port": 80}}))),
            place: "/spec/template/spec/containers/0/readinessProbe",
            gone: "httpGet",
            there: "tcpSocket",
        },
        Case {
            before: of("stop", stop(json!({"httpGet": {"path": "/", "port": 80}}))),
            after: of("stop", stop(json!({"exec": {"command": ["true"]}}))),
            place: "/spec/template/spec/containers/0/lifecycle/preStop",
            gone: "httpGet",
            there: "exec",
        },
        Case {
            before: deployment(
                "volume",
                &none,
                &none,
                &volume(json!({"emptyDir": {"medium": "Memory"}})),
            ),
            after: deployment(
                "volume",
                &none,
                &none,
                &volume(json!({"configMap": {"name": "c"}})),
            ),
            place: "/spec/template/spec/volumes/0",
            gone: "emptyDir",
            there: "configMap",
        },
        // Nobody ever wrote the parameters that are in the way.
        Case {
            before: deployment("strategy", &none, &none, &none),
            after: deployment("strategy", &json!({"type": "Recreate"}), &none, &none),
            place: "/spec/strategy",
            gone: "rollingUpdate",
            there: "type",
        },
        Case {
            before: budget(json!({"minAvailable": 1})),
            after: budget(json!({"maxUnavailable": 1})),
            place: "/spec",
            gone: "minAvailable",
            there: "maxUnavailable",
        },
        Case {
            before: ingress(json!({"service": {"name": "a", "port": {"number": 80}}})),
            after: ingress(
                json!({"resource": {"apiGroup": "example.com", "kind": "B", "name": "b"}}),
            ),
            place: "/spec/defaultBackend",
            gone: "service",
            there: "resource",
        },
    ]
}

fn api(world: &World, object: &Value) -> Api<DynamicObject> {
    let (group, version) = object["apiVersion"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap();
    let kind = object["kind"].as_str().unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(world.plane.client.clone(), &world.target, &resource)
}

/// All in one Application, because they have nothing to do with each other.
async fn delivered(world: &World, repo: &gitops_e2e::Repo, app: &gitops_e2e::App<'_>) {
    let files: Vec<(String, String)> = cases()
        .iter()
        .enumerate()
        .map(|(index, case)| (format!("{index}.yaml"), case.after.to_string()))
        .collect();
    let files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = repo.commit(&files);
    app.synced_to(&commit).await;
    for case in cases() {
        let name = case.after["metadata"]["name"].as_str().unwrap();
        let live = api(world, &case.after).get(name).await.unwrap();
        let live = serde_json::to_value(live).unwrap();
        let place = live.pointer(case.place).unwrap();
        assert!(place.get(case.gone).is_none(), "{name}: {place}");
        assert!(place.get(case.there).is_some(), "{name}: {place}");
    }
}

#[tokio::test]
async fn the_other_member_goes_when_somebody_else_created_the_object() {
    let world = World::new("exclone").await;
    let repo = world.repo("config");
    for case in cases() {
        let object: DynamicObject = serde_json::from_value(case.before.clone()).unwrap();
        let params = PostParams {
            field_manager: Some("terraform".into()),
            ..PostParams::default()
        };
        api(&world, &case.before)
            .create(&params, &object)
            .await
            .unwrap();
    }
    repo.write(
        "other.yaml",
        &gitops_e2e::manifests::config_map("other", "1"),
    );
    let app = world.app("shop").repo(&repo).automated().create().await;
    delivered(&world, &repo, &app).await;
}

#[tokio::test]
async fn the_other_member_goes_when_somebody_edited_it() {
    let world = World::new("excltwo").await;
    let repo = world.repo("config");
    let files: Vec<(String, String)> = cases()
        .iter()
        .enumerate()
        .map(|(index, case)| (format!("{index}.yaml"), case.before.to_string()))
        .collect();
    let first: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = repo.commit(&first);
    // Without self-heal an edit stays until the next commit.
    let app = world
        .app("shop")
        .repo(&repo)
        .set("/spec/syncPolicy/automated", json!({"prune": true}))
        .create()
        .await;
    app.synced_to(&commit).await;
    let edits = [
        (
            "env",
            json!({"containers": [{"name": "web", "env": [{"name": "A", "value": "2"}]}]}),
        ),
        (
            "probe",
            json!({"containers": [{"name": "web", "readinessProbe": {"httpGet": {"path": "/slow"}}}]}),
        ),
        (
            "stop",
            json!({"containers": [{"name": "web", "lifecycle": {"preStop": {"httpGet": {"path": "/slow"}}}}]}),
        ),
        (
            "volume",
            json!({"volumes": [{"name": "scratch", "emptyDir": {"medium": ""}}]}),
        ),
    ];
    for (name, spec) in edits {
        let patch = json!({"spec": {"template": {"spec": spec}}});
        let live = world.api::<Deployment>();
        live.patch(name, &by("kubectl-edit"), &Patch::Strategic(&patch))
            .await
            .unwrap();
    }
    delivered(&world, &repo, &app).await;
}

/// A refusal that has another reason stands, and nothing was changed for it.
#[tokio::test]
async fn what_is_wrong_by_itself_stays_refused_and_changes_nothing() {
    let world = World::new("exclbad").await;
    let repo = world.repo("config");
    let none = Value::Null;
    let good = deployment("web", &none, &none, &none);
    let commit = repo.write("web.yaml", &good.to_string());
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let live = world.api::<Deployment>();
    let paused = json!({"spec": {"progressDeadlineSeconds": 1234}});
    live.patch("web", &by("somebody"), &Patch::Merge(&paused))
        .await
        .unwrap();
    let before = live.get("web").await.unwrap();
    let mut bad = good;
    bad["spec"]["replicas"] = json!(-1);
    repo.write("web.yaml", &bad.to_string());
    app.wait("refused", |app| {
        sync_code(app) == Some(SyncStatusCode::OutOfSync)
            && status(app)
                .operation_state
                .is_some_and(|state| state.message.contains("replicas"))
    })
    .await;
    let after = live.get("web").await.unwrap();
    assert_eq!(after.spec, before.spec);
    // The controller writes the status when it likes.
    let held = |live: &Deployment| {
        let entries = live.metadata.managed_fields.clone().unwrap_or_default();
        let entries = entries.into_iter();
        let entries = entries.filter(|entry| entry.subresource.is_none());
        entries.collect::<Vec<_>>()
    };
    assert_eq!(held(&after), held(&before));
}
