//! Kustomize, Helm and several sources, all from Git.

use gitops_e2e::application::{revision, status};
use gitops_e2e::manifests::{chart, config_map, deployment};
use gitops_e2e::{Repo, World};
use serde_json::json;

/// Writes a chart into a folder of the work clone.
pub(crate) fn write_chart(repo: &Repo, folder: &str, name: &str, version: &str) {
    for (path, text) in chart(name, version) {
        let file = repo.path().join(folder).join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

#[tokio::test]
async fn a_kustomize_overlay_reads_a_base_outside_its_folder() {
    let world = World::new("kustomize").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("base/kustomization.yaml", Some("resources: [map.yaml]\n")),
        ("base/map.yaml", Some(&config_map("settings", "base"))),
        (
            "overlays/prod/kustomization.yaml",
            Some(
                "resources: [../../base]\nnamePrefix: prod-\npatches:\n  - patch: |-\n      \
                 {\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \
                 \"settings\"}, \"data\": {\"value\": \"prod\"}}\n",
            ),
        ),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .path("overlays/prod")
        .automated()
        .create()
        .await;
    let synced = app.synced().await;
    assert_eq!(status(&synced).source_type, "Kustomize");
    world.config_map_is("prod-settings", "prod").await;
    // A change in the base, outside the application's folder, is noticed.
    repo.write(
        "base/map.yaml",
        &(config_map("settings", "base") + "  added: \"1\"\n"),
    );
    world
        .object(
            "prod-settings",
            "added",
            |map: &k8s_openapi::api::core::v1::ConfigMap| {
                map.data
                    .as_ref()
                    .is_some_and(|data| data.contains_key("added"))
            },
        )
        .await;
}

#[tokio::test]
async fn a_helm_chart_in_git_is_rendered_with_its_values() {
    let world = World::new("helm").await;
    let repo = world.repo("config");
    write_chart(&repo, "chart", "web", "1.0.0");
    repo.commit(&[("chart/values-prod.yaml", Some("value: prod\n"))]);
    let app = world
        .app("shop")
        .repo(&repo)
        .path("chart")
        .automated()
        .set(
            "/spec/source/helm",
            json!({"releaseName": "live", "valueFiles": ["values-prod.yaml"]}),
        )
        .create()
        .await;
    let synced = app.synced().await;
    assert_eq!(status(&synced).source_type, "Helm");
    world.config_map_is("live-map", "prod").await;
    app.patch(
        json!({"spec": {"source": {"helm": {"parameters": [{"name": "value", "value": "set"}]}}}}),
    )
    .await;
    world.config_map_is("live-map", "set").await;
}

#[tokio::test]
async fn values_come_from_another_repository_by_ref() {
    let world = World::new("multisource").await;
    let charts = world.repo("charts");
    write_chart(&charts, "chart", "web", "1.0.0");
    let chart_commit = charts.commit_all("chart");
    let values = world.repo("values");
    let values_commit = values.write("envs/prod.yaml", "value: from-ref\n");
    let sources = json!([
        {
            "repoURL": charts.url(), "targetRevision": "main", "path": "chart",
            "helm": {"valueFiles": ["$values/envs/prod.yaml"], "releaseName": "live"},
        },
        {"repoURL": values.url(), "targetRevision": "main", "ref": "values"},
    ]);
    let app = world
        .app("shop")
        .sources(sources)
        .automated()
        .create()
        .await;
    let synced = app.synced().await;
    assert_eq!(revision(&synced), "");
    assert_eq!(
        status(&synced).sync.unwrap().revisions,
        [chart_commit, values_commit]
    );
    world.config_map_is("live-map", "from-ref").await;
    values.write("envs/prod.yaml", "value: changed\n");
    world.config_map_is("live-map", "changed").await;
}

#[tokio::test]
async fn json_lists_and_several_documents_are_read_recursively() {
    let world = World::new("directory").await;
    let repo = world.repo("config");
    let two = format!(
        "{}---\n{}",
        config_map("first", "1"),
        config_map("second", "1")
    );
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "third"}, "data": {"value": "1"}},
    ]});
    repo.commit(&[
        ("k8s/two.yaml", Some(&two)),
        ("k8s/deep/list.json", Some(&list.to_string())),
        ("k8s/deep/excluded.yaml", Some(&config_map("excluded", "1"))),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .path("k8s")
        .automated()
        .set(
            "/spec/source/directory",
            json!({"recurse": true, "exclude": "**/excluded.yaml"}),
        )
        .create()
        .await;
    let synced = app.synced().await;
    let mut names: Vec<_> = status(&synced)
        .resources
        .into_iter()
        .map(|r| r.name)
        .collect();
    names.sort();
    assert_eq!(names, ["first", "second", "third"]);
}

#[tokio::test]
async fn options_of_the_application_and_overrides_beside_the_manifests_count() {
    let world = World::new("overrides").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("k8s/kustomization.yaml", Some("resources: [web.yaml]\n")),
        ("k8s/web.yaml", Some(&deployment("web", 1, "web:1"))),
    ]);
    let kustomize = json!({"images": ["web=registry.example.com/web:2"], "namePrefix": "live-"});
    let app = world
        .app("shop")
        .repo(&repo)
        .path("k8s")
        .automated()
        .set("/spec/source/kustomize", kustomize)
        .create()
        .await;
    let synced = app.healthy().await;
    let images = status(&synced).summary.unwrap().images;
    assert_eq!(images, ["registry.example.com/web:2"]);
    let commit = repo.write(
        "k8s/.argocd-source.yaml",
        "kustomize:\n  images: [\"web=registry.example.com/web:3\"]\n",
    );
    app.synced_to(&commit).await;
    app.wait("the image of the override", |app| {
        status(app).summary.unwrap_or_default().images == ["registry.example.com/web:3"]
    })
    .await;
}
