//! What Git gives up: it goes where another manager only sent the same, stays where a controller keeps it,
//! and the number of replicas is let go without a moment at its default.
//!
//! Question: who else may hold a field that the agent delivered? Answer: a person with `kubectl create`,
//! `apply --server-side` before or after the agent, another GitOps tool, Terraform, an edit of the value
//! that Git then takes up; a controller that writes a few fields; an autoscaler.

use gitops_e2e::World;
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

fn by(manager: &str) -> PatchParams {
    PatchParams {
        field_manager: Some(manager.into()),
        ..PatchParams::default()
    }
}

fn web(name: &str, rich: bool) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
                {"name": "web", "image": "registry.example.com/web:1", "env": [{"name": "REGION", "value": "north"}]}]}}}});
    if rich {
        let pod = &mut object["spec"]["template"]["spec"];
        pod["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
        pod["hostNetwork"] = json!(true);
        pod["containers"][0]["env"] =
            json!([{"name": "REGION", "value": "north"}, {"name": "DEBUG", "value": "1"}]);
        pod["containers"][0]["livenessProbe"] = json!({"httpGet": {"path": "/", "port": 80}});
        let sidecar = json!({"name": "sidecar", "image": "registry.example.com/sidecar:1"});
        pod["containers"].as_array_mut().unwrap().push(sidecar);
        object["metadata"]["labels"] = json!({"team": "shop"});
    }
    object
}

fn is_poor(web: &Deployment) -> bool {
    let Some(pod) = web
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref())
    else {
        return false;
    };
    let labels = web.metadata.labels.clone().unwrap_or_default();
    pod.node_selector
        .as_ref()
        .is_none_or(std::collections::BTreeMap::is_empty)
        && pod.host_network.is_none()
        && pod.containers.len() == 1
        && pod.containers[0].liveness_probe.is_none()
        && pod.containers[0]
            .env
            .as_ref()
            .is_some_and(|env| env.len() == 1)
        && !labels.contains_key("team")
}

#[tokio::test]
async fn what_others_sent_too_goes_with_git() {
    let world = World::new("givenup").await;
    let repo = world.repo("config");
    let live = world.api::<Deployment>();
    let typed = |value: Value| -> Deployment { serde_json::from_value(value).unwrap() };
    // Before the agent.
    for (name, manager) in [("created", "kubectl-create"), ("terraform", "HashiCorp")] {
        let params = PostParams {
            field_manager: Some(manager.into()),
            ..PostParams::default()
        };
        live.create(&params, &typed(web(name, true))).await.unwrap();
    }
    for (name, manager) in [("applied", "kubectl"), ("flux", "kustomize-controller")] {
        live.patch(name, &by(manager), &Patch::Apply(web(name, true)))
            .await
            .unwrap();
    }
    let names = ["created", "terraform", "applied", "flux", "later"];
    let files: Vec<(String, String, String)> = names
        .iter()
        .map(|name| {
            (
                format!("{name}.yaml"),
                web(name, true).to_string(),
                web(name, false).to_string(),
            )
        })
        .collect();
    let rich: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, rich, _)| (path.as_str(), Some(rich.as_str())))
        .collect();
    let commit = repo.commit(&rich);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    // After the agent.
    live.patch("later", &by("kubectl"), &Patch::Apply(web("later", true)))
        .await
        .unwrap();
    let poor: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, _, poor)| (path.as_str(), Some(poor.as_str())))
        .collect();
    let commit = repo.commit(&poor);
    app.synced_to(&commit).await;
    for name in names {
        world
            .object(name, "without what Git gave up", is_poor)
            .await;
    }
}

#[tokio::test]
async fn what_a_controller_keeps_stays_and_the_status_says_who() {
    let world = World::new("keeper").await;
    let repo = world.repo("config");
    let with = config_map("settings", "1")
        .replace("name: settings", "name: settings\n  labels:\n    zone: a");
    let commit = repo.write("settings.yaml", &with);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let label = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": {"zone": "a"}}});
    let live = world.api::<ConfigMap>();
    live.patch("settings", &by("zone-labeler"), &Patch::Apply(label))
        .await
        .unwrap();
    let commit = repo.write("settings.yaml", &config_map("settings", "2"));
    app.synced_to(&commit).await;
    app.condition(
        "FieldKeptWarning",
        &["settings", ".metadata.labels.zone", "zone-labeler"],
    )
    .await;
    let kept = live.get("settings").await.unwrap();
    assert_eq!(kept.metadata.labels.unwrap()["zone"], "a");
}

#[tokio::test]
async fn replicas_that_git_hands_over_are_never_at_their_default() {
    let world = World::new("handsover").await;
    let repo = world.repo("config");
    let with = deployment("web", 4, "registry.example.com/web:1");
    let commit = repo.write("web.yaml", &with);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let without = with.replace("  replicas: 4\n", "");
    assert_ne!(with, without);
    let live = world.api::<Deployment>();
    let commit = repo.write("web.yaml", &without);
    app.synced_to(&commit).await;
    // Nobody scales here: had it been at its default for a moment, it would still be.
    let web = live.get("web").await.unwrap();
    assert_eq!(web.spec.as_ref().unwrap().replicas, Some(4));
    // Whoever scales now is not fought with.
    let scaled = json!({"spec": {"replicas": 7}});
    live.patch("web", &by("keda-operator"), &Patch::Merge(&scaled))
        .await
        .unwrap();
    let newer = without.replace("web:1", "web:2");
    let commit = repo.write("web.yaml", &newer);
    app.synced_to(&commit).await;
    let web = live.get("web").await.unwrap();
    assert_eq!(web.spec.as_ref().unwrap().replicas, Some(7));
    // Taken back.
    let commit = repo.write("web.yaml", &with);
    app.synced_to(&commit).await;
    world
        .object("web", "four replicas again", |web: &Deployment| {
            web.spec.as_ref().and_then(|spec| spec.replicas) == Some(4)
        })
        .await;
}
