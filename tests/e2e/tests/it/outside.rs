//! What kustomizations refer to outside of their repository: bases and charts.

use gitops_e2e::manifests::{chart, config_map};
use gitops_e2e::{Environment, World};
use serde_json::json;

#[tokio::test]
async fn a_remote_base_is_fetched_followed_and_allowed_by_the_project() {
    let world = World::new("outside").await;
    let base = world.repo("base");
    let first = base.commit(&[
        (
            "deploy/kustomization.yaml",
            Some("resources: [map.yaml, ../shared]\n"),
        ),
        ("deploy/map.yaml", Some(&config_map("settings", "one"))),
        ("shared/kustomization.yaml", Some("resources: [map.yaml]\n")),
        ("shared/map.yaml", Some(&config_map("shared", "shared"))),
    ]);
    let url = base.url();
    let repo = world.repo("config");
    let refers = |revision: &str| {
        format!("namePrefix: {revision}-\nresources: ['{url}//deploy?ref={revision}']\n")
    };
    let unpinned = format!("namePrefix: none-\nresources: ['{url}//deploy']\n");
    repo.commit(&[
        ("branch/kustomization.yaml", Some(&refers("main"))),
        ("commit/kustomization.yaml", Some(&refers(&first))),
        ("none/kustomization.yaml", Some(&unpinned)),
    ]);
    let app = |name: &'static str| world.app(name).repo(&repo).path(name).automated();
    let branch = app("branch").create().await;
    branch.synced().await;
    world.config_map_is("main-settings", "one").await;
    world.config_map_is("main-shared", "shared").await;
    app("commit").create().await.synced().await;
    let none = app("none").create().await;
    none.condition("RenderWarning", &["without a revision", "pin it"])
        .await;

    // What a branch and nothing follow moves; the commit stays.
    base.write("deploy/map.yaml", &config_map("settings", "two"));
    world.config_map_is("main-settings", "two").await;
    world.config_map_is("none-settings", "two").await;
    world
        .config_map_is(&format!("{first}-settings"), "one")
        .await;

    // A project says which repositories, and may forbid all of them.
    world
        .configure(&format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: narrow}}\n\
             spec:\n  sourceRepos: ['{}']\n  destinations: [{{server: '*', namespace: '*'}}]\n",
            repo.url()
        ))
        .await;
    let narrow = world
        .app("narrow")
        .repo(&repo)
        .path("branch")
        .set("/spec/project", json!("narrow"));
    let narrow = narrow.create().await;
    narrow
        .condition("ComparisonError", &["does not allow", &url])
        .await;
    world
        .configure(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: closed, \
             annotations: {gitops-agent.io/remote-bases: deny}}\n\
             spec:\n  sourceRepos: ['*']\n  destinations: [{server: '*', namespace: '*'}]\n",
        )
        .await;
    let closed = world
        .app("closed")
        .repo(&repo)
        .path("branch")
        .set("/spec/project", json!("closed"));
    let closed = closed.create().await;
    closed
        .condition("ComparisonError", &["gitops-agent.io/remote-bases: deny"])
        .await;
}

#[tokio::test]
async fn charts_of_a_kustomization_come_from_its_repository_or_from_a_chart_repository() {
    let world = World::new("inflated").await;
    let servers = &Environment::get().servers;
    let folder = servers.charts_root.join(&world.namespace);
    std::fs::create_dir_all(&folder).unwrap();
    super::charts::package(&folder, "web", "1.0.0");
    super::charts::index(&folder, 100);
    let charts = format!("{}/{}", servers.charts, world.namespace);
    let repo = world.repo("config");
    for (path, text) in chart("own", "0.1.0") {
        let file = repo.path().join("charts/own").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let kustomization = format!(
        "helmCharts:\n- {{name: web, repo: '{charts}', version: 1.0.0, releaseName: far, namespace: {0}, valuesInline: {{value: set}}}}\n\
         - {{name: own, releaseName: near, namespace: {0}}}\n",
        world.target
    );
    repo.commit(&[("kustomization.yaml", Some(&kustomization))]);
    let app = world.app("shop").repo(&repo).path(".").automated();
    let app = app.create().await;
    app.synced().await;
    let map = world.config_map_is("far-map", "set").await;
    assert_eq!(map.data.unwrap()["chart"], "web-1.0.0");
    let map = world.config_map_is("near-map", "default").await;
    assert_eq!(map.data.unwrap()["chart"], "own-0.1.0");
}

#[tokio::test]
async fn files_of_other_servers_are_fetched_followed_and_allowed_by_the_project() {
    let world = World::new("remotefile").await;
    let servers = &Environment::get().servers;
    let folder = servers.charts_root.join(&world.namespace);
    std::fs::create_dir_all(folder.join("main")).unwrap();
    let write = |path: &str, text: &str| {
        // In place of the old one at once: it is being served.
        let new = folder.join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, folder.join(path)).unwrap();
    };
    let address = format!("{}/{}", servers.charts, world.namespace);
    write("main/map.yaml", &config_map("far", "one"));
    write("values.yaml", "value: one\n");
    let repo = world.repo("config");
    for (path, text) in chart("web", "0.1.0") {
        let file = repo.path().join("chart").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let kustomization = format!(
        "resources: ['{address}/main/map.yaml']\nconfigMapGenerator:\n- name: near\n  files: ['value={address}/values.yaml']\n\
         generatorOptions: {{disableNameSuffixHash: true}}\n"
    );
    repo.commit(&[("kustomized/kustomization.yaml", Some(&kustomization))]);
    let kustomized = || {
        let app = world.app("kustomized").repo(&repo).path("kustomized");
        app.automated()
    };
    let app = kustomized().create().await;
    app.synced().await;
    app.condition(
        "RenderWarning",
        &["main/map.yaml", "name a tag or a commit"],
    )
    .await;
    world.config_map_is("far", "one").await;
    world.config_map_is("near", "value: one\n").await;
    let chart = world.app("chart").repo(&repo).path("chart").automated();
    let values = json!({"valueFiles": [format!("{address}/values.yaml")], "releaseName": "web"});
    let chart = chart.set("/spec/source/helm", values).create().await;
    chart.synced().await;
    world.config_map_is("web-map", "one").await;

    // Nobody announces what changes there.
    write("main/map.yaml", &config_map("far", "two"));
    write("values.yaml", "value: two\n");
    world.config_map_is("far", "two").await;
    world.config_map_is("near", "value: two\n").await;
    world.config_map_is("web-map", "two").await;

    // What is gone is named, and nothing of it is pruned.
    std::fs::remove_file(folder.join("main/map.yaml")).unwrap();
    app.condition("ComparisonError", &["main/map.yaml", "404 Not Found"])
        .await;
    world.config_map_is("far", "two").await;
    write("main/map.yaml", &config_map("far", "three"));
    world.config_map_is("far", "three").await;

    world
        .configure(&format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: narrow}}\n\
             spec:\n  sourceRepos: ['{}']\n  destinations: [{{server: '*', namespace: '*'}}]\n",
            repo.url()
        ))
        .await;
    let narrow = world.app("narrow").repo(&repo).path("kustomized");
    let narrow = narrow.set("/spec/project", json!("narrow")).create().await;
    narrow
        .condition("ComparisonError", &["does not allow", &address])
        .await;
}
