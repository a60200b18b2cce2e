//! Deletion of an Application step by step: waves, hooks, consent, what stands in the way, and an
//! agent that is killed in each of them.

use gitops_api::Application;
use gitops_api::constants::finalizer;
use gitops_e2e::manifests::{config_map, hook_job};
use gitops_e2e::{App, World};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

const HELD: &str = "gitops-test.example.org/held";

/// A ConfigMap of a wave, with options; `held` keeps it when it is deleted.
fn map(name: &str, wave: i64, options: &str, held: bool) -> String {
    let finalizers = if held {
        format!("[{HELD}]")
    } else {
        "[]".into()
    };
    config_map(name, "1").replace(
        &format!("  name: {name}"),
        &format!(
            "  name: {name}\n  finalizers: {finalizers}\n  annotations:\n    \
             argocd.argoproj.io/sync-wave: \"{wave}\"\n    argocd.argoproj.io/sync-options: \
             \"{options}\""
        ),
    )
}

async fn cascading<'a>(world: &'a World, files: &[(&str, String)], name: &str) -> App<'a> {
    let repo = world.repo("config");
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, Some(text.as_str())))
        .collect();
    repo.commit(&files);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/metadata/finalizers", json!([name]))
        .create()
        .await;
    app.synced().await;
    app
}

async fn let_go(world: &World, name: &str) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let maps = world.api::<ConfigMap>();
    maps.patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

async fn leaving(world: &World, name: &str) {
    world
        .object(name, "on its way out", |map: &ConfigMap| {
            map.metadata.deletion_timestamp.is_some()
        })
        .await;
}

/// Whether an object is there and nobody deletes it.
async fn stays(world: &World, name: &str) -> bool {
    let found = world.api::<ConfigMap>().get_opt(name).await.unwrap();
    found.is_some_and(|map| map.metadata.deletion_timestamp.is_none())
}

fn has_finalizer(app: &Application, name: &str) -> bool {
    app.finalizers().iter().any(|set| set == name)
}

#[tokio::test]
async fn waves_go_one_after_another_in_reverse_whoever_is_killed_meanwhile() {
    let world = World::new("delwaves").await;
    let app = cascading(
        &world,
        &[
            ("a.yaml", map("first", 0, "", false)),
            ("b.yaml", map("second", 1, "", true)),
            ("c.yaml", map("third", 2, "", true)),
            ("d.yaml", map("kept", 2, "Delete=false", false)),
        ],
        finalizer::BACKGROUND,
    )
    .await;
    app.delete().await;
    leaving(&world, "third").await;
    app.condition("DeletionWarning", &["wave 2", "third"]).await;
    assert!(stays(&world, "second").await && stays(&world, "first").await);
    world.agent().restart();
    world.agent().restart();
    let_go(&world, "third").await;
    leaving(&world, "second").await;
    assert!(stays(&world, "first").await);
    world.agent().restart();
    app.condition("DeletionWarning", &["wave 1", "second"])
        .await;
    assert!(stays(&world, "first").await);
    let_go(&world, "second").await;
    app.gone().await;
    assert!(!world.exists::<ConfigMap>("first").await);
    assert!(stays(&world, "kept").await);
}

#[tokio::test]
async fn hooks_run_before_and_after_and_one_that_fails_stops_the_deletion() {
    let world = World::new("delhooks").await;
    let repo = world.repo("config");
    let drain = |outcome| hook_job("drain", "argocd.argoproj.io/hook: PreDelete", outcome);
    let report = "argocd.argoproj.io/hook: PostDelete\n    argocd.argoproj.io/hook-delete-policy: \
                  HookSucceeded";
    repo.commit(&[
        ("drain.yaml", Some(&drain("fail"))),
        (
            "bye.yaml",
            Some(&hook_job("bye", "helm.sh/hook: post-delete", "hang")),
        ),
        ("report.yaml", Some(&hook_job("report", report, ""))),
        ("map.yaml", Some(&map("settings", 0, "", true))),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .cascading()
        .create()
        .await;
    app.synced().await;
    app.wait("finalizers of its hooks", |app| {
        has_finalizer(app, finalizer::PRE_DELETE) && has_finalizer(app, finalizer::POST_DELETE)
    })
    .await;
    assert!(!world.exists::<Job>("drain").await && !world.exists::<Job>("bye").await);

    app.delete().await;
    app.condition(
        "DeletionError",
        &[
            "PreDelete hook failed, nothing was deleted",
            "drain",
            finalizer::PRE_DELETE,
        ],
    )
    .await;
    world.object("drain", "there", |_: &Job| true).await;
    world.agent().restart();
    assert!(stays(&world, "settings").await);
    // Corrected in Git, it runs again, and what comes after it; as in Argo CD, it goes then.
    repo.write("drain.yaml", &drain(""));
    leaving(&world, "settings").await;
    world.object_gone::<Job>("drain").await;
    assert!(!world.exists::<Job>("bye").await && !world.exists::<Job>("report").await);
    world.agent().restart();
    let_go(&world, "settings").await;
    let hanging = world.object("bye", "there", |_: &Job| true).await;
    world.agent().restart();
    app.condition("DeletionWarning", &["PostDelete", "bye"])
        .await;
    let again = world.object("bye", "there", |_: &Job| true).await;
    assert_eq!(
        again.uid(),
        hanging.uid(),
        "it runs once, whoever is killed"
    );
    assert!(!world.exists::<ConfigMap>("settings").await);
    // Somebody has had enough of it: hooks that were skipped are let go, and nothing holds them.
    let rest = json!([finalizer::POST_DELETE_CLEANUP]);
    app.patch(json!({"metadata": {"finalizers": rest}})).await;
    app.gone().await;
    world.object_gone::<Job>("report").await;
    let bye = world.object("bye", "there", |_: &Job| true).await;
    assert!(!bye.finalizers().iter().any(|set| set == finalizer::HOOK));
}

#[tokio::test]
async fn what_asks_for_consent_is_deleted_only_with_it() {
    let world = World::new("delask").await;
    let app = cascading(
        &world,
        &[
            ("a.yaml", map("plain", 0, "", false)),
            ("b.yaml", map("precious", 0, "Delete=confirm", false)),
        ],
        finalizer::RESOURCES,
    )
    .await;
    let approve = |time: String| json!({"metadata": {"annotations": {"argocd.argoproj.io/deletion-approved": time}}});
    app.patch(approve("2026-01-01T00:00:00Z".into())).await;
    app.delete().await;
    app.condition(
        "DeletionError",
        &[
            "precious",
            "kubectl gitops approve shop",
            "before this was asked",
        ],
    )
    .await;
    assert!(stays(&world, "plain").await && stays(&world, "precious").await);
    let asked = app.get().await.metadata.deletion_timestamp.unwrap().0;
    app.patch(approve(asked.to_string())).await;
    app.gone().await;
    assert!(!world.exists::<ConfigMap>("precious").await);
}

#[tokio::test]
async fn nothing_is_given_up_because_something_cannot_be_reached() {
    let world = World::new("delfar").await;
    let hook = hook_job("drain", "argocd.argoproj.io/hook: PreDelete", "");
    let app = cascading(
        &world,
        &[("a.yaml", map("settings", 0, "", false)), ("b.yaml", hook)],
        finalizer::RESOURCES,
    )
    .await;
    let project =
        gitops_e2e::world::default_project(&world.namespace).replace("name: default", "name: team");
    world.configure(&project).await;
    let set = |spec: Value| app.patch(json!({"spec": spec}));
    set(json!({"project": "team"})).await;
    app.wait("in its project", |app| app.spec.project == "team")
        .await;
    set(json!({"destination": {"server": "https://far.example.org"}})).await;
    set(json!({"source": {"targetRevision": "nowhere"}})).await;
    let client = world.plane.client.clone();
    let projects: Api<gitops_api::AppProject> = Api::namespaced(client, &world.namespace);
    projects
        .delete("team", &DeleteParams::default())
        .await
        .unwrap();
    app.delete().await;
    app.condition(
        "DeletionError",
        &["cluster https://far.example.org", finalizer::RESOURCES],
    )
    .await;
    set(json!({"destination": {"server": "https://kubernetes.default.svc"}})).await;
    app.condition(
        "DeletionError",
        &["project team does not exist", "create the AppProject"],
    )
    .await;
    world.agent().restart();
    assert!(stays(&world, "settings").await);
    world.configure(&project).await;
    app.condition(
        "DeletionError",
        &["PreDelete hooks", "nowhere", finalizer::PRE_DELETE],
    )
    .await;
    assert!(stays(&world, "settings").await);
    // An agent that was killed in the middle of a sync may not have said what it applied.
    app.patch(json!({"status": {"resources": []}})).await;
    world.agent().restart();
    set(json!({"source": {"targetRevision": "main"}})).await;
    app.gone().await;
    assert!(!world.exists::<ConfigMap>("settings").await);
}
