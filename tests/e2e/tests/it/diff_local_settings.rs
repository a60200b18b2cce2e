//! `kubectl gitops diff --local` compares as the agent does: with the settings in argocd-cm, and
//! with what other Applications have.

use gitops_e2e::{
    World,
    checkout::{Checkout, State},
    manifests::{config_map, deployment},
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Exclusions, ignored differences and another method of tracking, all in one.
const SETTINGS: &str = r"
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  labels:
    app.kubernetes.io/part-of: argocd
data:
  resource.exclusions: |
    - kinds: [Secret]
      clusters: ['*']
  resource.customizations.ignoreDifferences.apps_Deployment: |
    jsonPointers: [/spec/replicas]
  application.resourceTrackingMethod: annotation+label
  installationID: one
";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\n";

/// What is found, without the times that stand in for unknown ones.
fn found(document: &Value) -> Value {
    let mut objects = document["objects"].clone();
    for object in objects.as_array_mut().into_iter().flatten() {
        for field in object["fields"].as_array_mut().into_iter().flatten() {
            if let Some(field) = field.as_object_mut() {
                field.remove("since");
            }
        }
    }
    json!([
        objects,
        document["counts"],
        document["warnings"],
        document["revisions"]
    ])
}

#[tokio::test]
async fn a_working_tree_is_compared_as_the_agent_compares_its_commit() {
    let world = World::new("difflocalsame").await;
    world.configure(SETTINGS).await;
    let repo = world.repo("config");
    repo.commit(&[
        ("web.yaml", Some(&deployment("web", 3, "web:1"))),
        ("api.yaml", Some(&deployment("api", 3, "api:1"))),
        ("same.yaml", Some(&config_map("same", "1"))),
        ("gone.yaml", Some(&config_map("gone", "1"))),
        ("token.yaml", Some(SECRET)),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.condition("ExcludedResourceWarning", &["token (token.yaml"])
        .await;
    app.synced().await;
    let by = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let scaled = Patch::Merge(json!({"spec": {"replicas": 5}}));
    for name in ["web", "api"] {
        let deployments = world.api::<Deployment>();
        deployments.patch(name, &by, &scaled).await.unwrap();
    }

    repo.git(&["checkout", "-q", "-b", "next"]);
    std::fs::remove_file(repo.path().join("gone.yaml")).unwrap();
    for (file, text) in [
        ("web.yaml", deployment("web", 9, "web:2")),
        ("new.yaml", config_map("new", "1")),
        ("copy.yaml", config_map("new", "2")),
    ] {
        std::fs::write(repo.path().join(file), text).unwrap();
    }
    repo.commit_all("next");
    repo.push(&["next"]);
    repo.git(&["checkout", "-q", "main"]);

    let person = world.person();
    let clone = Checkout::of(&person, &repo, State::Clean, "web.yaml");
    let checked_out = std::process::Command::new("git")
        .args(["checkout", "-q", "next"])
        .current_dir(clone.path())
        .status()
        .unwrap();
    assert!(checked_out.success());
    let agent = person
        .gitops(&["diff", "shop", "--revision", "next", "--full", "-o", "json"])
        .run()
        .await;
    let local = person
        .gitops(&["diff", "shop", "--local", ".", "--full", "-o", "json"])
        .from(clone.path())
        .run()
        .await;
    agent.exits(1);
    local.exits(1);
    let (agent, local) = (agent.json(), local.json());
    assert_eq!(found(&agent), found(&local));
    // What it is about is in there: a Secret is left alone, replicas do not count.
    let counts = &local["counts"];
    assert_eq!(
        (&counts["create"], &counts["change"], &counts["prune"]),
        (&json!(1), &json!(1), &json!(1)),
        "{local}"
    );
    assert_eq!(counts["ignored"], 2, "{local}");
    let text = local.to_string();
    assert!(!text.contains(".spec.replicas"), "{text}");

    // Without the right to read the settings it says so in a line, and goes on with the defaults.
    let read =
        json!({"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get"]});
    let reader = world.person_with("reader", json!([read])).await;
    let objects = json!({"apiGroups": ["", "apps"],
        "resources": ["configmaps", "deployments", "secrets"], "verbs": ["get", "patch", "create"]});
    world
        .plane
        .allow(
            &world.target,
            (world.namespace.as_str(), "reader"),
            json!([objects]),
        )
        .await;
    let defaults = reader
        .gitops(&["diff", "shop", "--local", "."])
        .from(clone.path())
        .run()
        .await;
    defaults
        .exits(1)
        .prints("2 to create")
        .prints(".spec.replicas");
    defaults.says("you may not read argocd-cm");
    let lines = defaults
        .stderr
        .lines()
        .filter(|line| line.contains("argocd-cm"));
    assert_eq!(lines.count(), 1, "{}", defaults.stderr);
}
