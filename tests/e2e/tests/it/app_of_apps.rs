//! Applications of applications: a child counts once it has rolled out what its Application says.

use gitops_api::{Application, HealthStatusCode};
use gitops_e2e::World;
use gitops_e2e::application::{health, is_synced, resource, status};
use gitops_e2e::manifests::{config_map, deployment};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::explain::with_outcome;

/// A child that follows a folder of the same repository.
fn child(world: &World, url: &str, name: &str, wave: i32) -> String {
    let (namespace, target) = (&world.namespace, &world.target);
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: {name}\n  \
         namespace: {namespace}\n  annotations:\n    argocd.argoproj.io/sync-wave: \"{wave}\"\n\
         spec:\n  project: default\n  source:\n    repoURL: {url}\n    path: {name}\n    \
         targetRevision: main\n  destination:\n    server: https://kubernetes.default.svc\n    \
         namespace: {target}\n  syncPolicy:\n    automated:\n      selfHeal: true\n"
    )
}

#[tokio::test]
async fn a_child_of_a_later_wave_waits_until_the_one_before_has_rolled_out() {
    let world = World::new("children").await;
    let repo = world.repo("config");
    let url = repo.url();
    let broken = with_outcome(&deployment("db", 1, "db:404"), "image-pull-error");
    repo.commit(&[
        ("apps/db.yaml", Some(&child(&world, &url, "db", 0))),
        ("apps/web.yaml", Some(&child(&world, &url, "web", 1))),
        ("db/db.yaml", Some(&broken)),
        ("web/web.yaml", Some(&config_map("settings", "one"))),
    ]);
    let parent = world.app("parent").repo(&repo).path("apps").automated();
    let parent = parent.create().await;
    let db = world.existing_app("db");
    db.wait("synced and Progressing", |app| {
        is_synced(app) && health(app) == Some(HealthStatusCode::Progressing)
    })
    .await;
    let waits = |app: &Application| {
        let operation = status(app).operation_state;
        operation.is_some_and(|operation| operation.message.contains("/db (Progressing"))
    };
    let waiting = parent.wait("a sync that waits for db", waits).await;
    assert_eq!(health(&waiting), Some(HealthStatusCode::Progressing));
    let api: Api<Application> = Api::namespaced(world.plane.client.clone(), &world.namespace);
    let applications = api.list(&ListParams::default()).await;
    let names: Vec<_> = applications
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(names, ["db", "parent"], "web is of a later wave");

    repo.write("db/db.yaml", &deployment("db", 1, "db:1"));
    parent.healthy().await;
    world.config_map_is("settings", "one").await;
    world.existing_app("web").healthy().await;

    // What the API server refuses leaves what ran before as healthy as it was.
    let refused = deployment("db", 1, "db:1").replace("app: db", "app: other");
    repo.write("db/db.yaml", &refused);
    let failed = parent.wait("Degraded because of db", |app| {
        let db = resource(app, "Application", "db").and_then(|db| db.health);
        health(app) == Some(HealthStatusCode::Degraded)
            && db.is_some_and(|health| health.message.contains("Its sync failed"))
    });
    let failed = status(&failed.await).health.unwrap();
    let culprit = format!("Application:{}/db (Its sync failed: ", world.namespace);
    assert!(failed.message.contains(&culprit), "{}", failed.message);
    let explained = world.person().gitops(&["explain", "parent"]).run().await;
    explained
        .prints("Application/db")
        .prints("Its sync failed")
        .prints("kubectl gitops explain db");
    repo.write("db/db.yaml", &deployment("db", 1, "db:2"));
    parent.healthy().await;
}

#[tokio::test]
async fn an_application_among_its_own_objects_neither_waits_for_itself_nor_stays_broken() {
    let world = World::new("itself").await;
    let repo = world.repo("config");
    let url = repo.url();
    repo.commit(&[
        ("root/root.yaml", Some(&child(&world, &url, "root", 0))),
        ("root/web.yaml", Some(&child(&world, &url, "web", 1))),
        ("web/web.yaml", Some(&deployment("web", 1, "web:1"))),
    ]);
    let root = world.app("root").repo(&repo).path("root").automated();
    let root = root.create().await;
    root.healthy().await;
    world.existing_app("web").healthy().await;
    let refused = deployment("web", 1, "web:1").replace("app: web", "app: other");
    repo.write("web/web.yaml", &refused);
    root.wait("Degraded because of web", |app| {
        health(app) == Some(HealthStatusCode::Degraded)
    })
    .await;
    repo.write("web/web.yaml", &deployment("web", 1, "web:2"));
    root.healthy().await;
}
