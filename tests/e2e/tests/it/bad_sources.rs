//! Repositories and paths that do not work: said on the Application, and nothing is lost.

use gitops_e2e::application::health;
use gitops_e2e::manifests::config_map;
use gitops_e2e::{Environment, World};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

#[tokio::test]
async fn an_unreachable_repository_is_named_and_taken_up_when_it_is_back() {
    let world = World::new("unreachable").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let servers = &Environment::get().servers;
    servers.away(repo.name());
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.condition("ComparisonError", &[repo.name(), "503"])
        .await;
    servers.back(repo.name());
    app.healthy().await;
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_named() {
    let world = World::new("norepo").await;
    let repo = world.repo("config");
    let url = repo.url().replace("-config.git", "-nothing.git");
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source/repoURL", json!(url))
        .create()
        .await;
    app.condition("ComparisonError", &["-nothing"]).await;
    let closed = json!("http://127.0.0.1:9/nothing.git");
    let app = world
        .app("closed")
        .automated()
        .set("/spec/source/repoURL", closed)
        .create()
        .await;
    app.condition("ComparisonError", &["127.0.0.1:9"]).await;
}

#[tokio::test]
async fn a_missing_path_is_named_and_what_runs_stays() {
    let world = World::new("nopath").await;
    let repo = world.repo("config");
    repo.write("k8s/a.yaml", &config_map("settings", "one"));
    let app = world
        .app("shop")
        .repo(&repo)
        .path("k8s")
        .automated()
        .create()
        .await;
    app.synced().await;
    app.patch(json!({"spec": {"source": {"path": "k9s"}}}))
        .await;
    app.condition("ComparisonError", &["k9s"]).await;
    assert!(world.exists::<ConfigMap>("settings").await);
    app.patch(json!({"spec": {"source": {"path": "k8s"}}}))
        .await;
    app.synced().await;
}

#[tokio::test]
async fn paths_that_leave_the_repository_are_refused() {
    let world = World::new("escape").await;
    let repo = world.repo("config");
    repo.write("k8s/a.yaml", &config_map("settings", "one"));
    let links = repo.path().join("links");
    std::fs::create_dir_all(&links).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", links.join("absolute.yaml")).unwrap();
    let outside = repo.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::os::unix::fs::symlink("../../../etc/hostname", outside.join("relative.yaml")).unwrap();
    repo.commit_all("links");
    repo.write("base/kustomization.yaml", "resources: [../../../etc]\n");
    for (name, path, texts, condition) in [
        ("dots", "../k8s", ["../k8s"], "InvalidSpecError"),
        ("root", "/etc", ["/etc"], "InvalidSpecError"),
        ("absolute", "links", ["absolute.yaml"], "ComparisonError"),
        ("relative", "outside", ["relative.yaml"], "ComparisonError"),
        ("base", "base", ["etc"], "ComparisonError"),
    ] {
        let app = world
            .app(name)
            .repo(&repo)
            .path(path)
            .automated()
            .create()
            .await;
        let app = app
            .wait(&format!("{condition} with {texts:?}"), |app| {
                gitops_e2e::application::conditions(app)
                    .iter()
                    .any(|(kind, message)| {
                        kind == condition && texts.iter().all(|text| message.contains(text))
                    })
            })
            .await;
        let shown = serde_json::to_string(&app.status).unwrap();
        assert!(!shown.contains("root:x:0"), "{shown}");
        assert_ne!(health(&app), Some(gitops_api::HealthStatusCode::Healthy));
    }
    // The others go on.
    let app = world
        .app("fine")
        .repo(&repo)
        .path("k8s")
        .automated()
        .create()
        .await;
    app.synced().await;
}
