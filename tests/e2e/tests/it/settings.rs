//! argocd-cm: what its keys change while the agent runs.

use gitops_e2e::World;
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;

fn settings(data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  labels:\n    \
         app.kubernetes.io/part-of: argocd\ndata:\n{data}"
    )
}

const LEASE: &str =
    "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  name: own\nspec: {}\n";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\n";

#[tokio::test]
async fn kinds_that_are_left_out_are_neither_applied_nor_pruned() {
    let world = World::new("exclusions").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    repo.write("lease.yaml", LEASE);
    repo.write("secret.yaml", SECRET);
    let app = world.app("web").repo(&repo).automated();
    let app = app.set("/spec/syncPolicy/automated/prune", true.into());
    let app = app.create().await;
    app.healthy().await;
    let warning = "ExcludedResourceWarning";
    app.condition(warning, &["own (lease.yaml"]).await;
    assert!(!world.exists::<Lease>("own").await);

    let rule = "  resource.exclusions: |\n    - kinds: [Secret]\n      clusters: ['*']\n";
    world.configure(&settings(rule)).await;
    app.condition(warning, &["token (secret.yaml"]).await;
    // It is not of this application any more: not even out of Git is it pruned.
    repo.remove("secret.yaml");
    repo.write("a.yaml", &config_map("settings", "two"));
    world.config_map_is("settings", "two").await;
    app.synced().await;
    assert!(world.exists::<Secret>("token").await);

    world
        .configure(&settings("  resource.exclusions: '{'\n"))
        .await;
    world.logged("argocd-cm key resource.exclusions").await;
}

#[tokio::test]
async fn the_label_of_other_tracking_methods_is_written_beside_the_annotation() {
    let world = World::new("tracking").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("web").repo(&repo).automated().create().await;
    app.healthy().await;
    let label = "app.kubernetes.io/instance";
    let method = "  application.resourceTrackingMethod: annotation+label\n  installationID: one\n";
    world.configure(&settings(method)).await;
    let marked = world.object("settings", "labeled", |map: &ConfigMap| {
        map.labels().get(label).is_some_and(|name| name == "web")
    });
    let marked = marked.await;
    let annotations = marked.annotations();
    assert_eq!(annotations["argocd.argoproj.io/installation-id"], "one");
    assert!(annotations["argocd.argoproj.io/tracking-id"].starts_with("web:/ConfigMap"));
    let method = "  application.resourceTrackingMethod: annotation\n";
    world.configure(&settings(method)).await;
    let unmarked = world.object("settings", "without label", |map: &ConfigMap| {
        !map.labels().contains_key(label)
    });
    unmarked.await;
    app.healthy().await;
}
