//! Namespaces with others inside, waits that cannot end, and the order in which things go.
//!
//! Question: what goes with a Namespace? Answer: objects of other Applications, claims and Secrets that nobody
//! manages: whoever prunes or deletes it is asked and told. What may wait for what comes later? A claim whose
//! class waits for a Pod, a Pod that needs a later ConfigMap.

use gitops_e2e::World;
use gitops_e2e::application::{settled, status};
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")
}

async fn is_there(world: &World, name: &str) -> bool {
    let api: Api<Namespace> = Api::all(world.plane.client.clone());
    api.get_opt(name)
        .await
        .unwrap()
        .is_some_and(|found| found.metadata.deletion_timestamp.is_none())
}

#[tokio::test]
async fn a_namespace_with_guests_goes_only_after_approval_that_names_them() {
    let world = World::new("rooms").await;
    let repo = world.repo("config");
    let rooms = ["full", "shared", "own"].map(|kind| format!("{}-{kind}", world.target));
    let [full, shared, own] = &rooms;
    let inside = |name: &str, room: &str| {
        config_map(name, "1").replace("metadata:\n", &format!("metadata:\n  namespace: {room}\n"))
    };
    let commit = repo.commit(&[
        ("rooms/full.yaml", Some(&namespace(full))),
        ("rooms/shared.yaml", Some(&namespace(shared))),
        ("rooms/own.yaml", Some(&namespace(own))),
        ("rooms/mine.yaml", Some(&inside("mine", own))),
        ("rooms/stays.yaml", Some(&config_map("stays", "1"))),
        ("guest/guest.yaml", Some(&inside("guest", shared))),
    ]);
    let app = world
        .app("rooms")
        .repo(&repo)
        .path("rooms")
        .automated()
        .cascading()
        .create()
        .await;
    app.synced_to(&commit).await;
    let guest = world
        .app("guest")
        .repo(&repo)
        .path("guest")
        .automated()
        .create()
        .await;
    guest.synced_to(&commit).await;
    world
        .plane
        .apply(&format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: data\n  namespace: {full}\nspec:\n  \
             accessModes: [ReadWriteOnce]\n  resources:\n    requests:\n      storage: 1Gi\n"
        ))
        .await;
    repo.commit(&[
        ("rooms/full.yaml", None),
        ("rooms/shared.yaml", None),
        ("rooms/own.yaml", None),
        ("rooms/mine.yaml", None),
    ]);
    app.condition(
        "ConfirmationWarning",
        &[
            "would go",
            "PersistentVolumeClaim",
            "data",
            "guest of application",
        ],
    )
    .await;
    // What holds nothing but its own goes at once.
    let api: Api<Namespace> = Api::all(world.plane.client.clone());
    gitops_e2e::wait::until(api, own, |found| {
        found.is_none_or(|found| found.metadata.deletion_timestamp.is_some())
    })
    .await
    .unwrap();
    assert!(is_there(&world, full).await && is_there(&world, shared).await);
    // The same question when the Application goes.
    app.delete().await;
    app.condition(
        "DeletionError",
        &["would go", "data", "guest of application"],
    )
    .await;
    assert!(is_there(&world, full).await && is_there(&world, shared).await);
    let now = Timestamp::now().to_string();
    app.patch(json!({"metadata": {"annotations": {"argocd.argoproj.io/deletion-approved": now}}}))
        .await;
    app.gone().await;
    assert!(!is_there(&world, full).await && !is_there(&world, shared).await);
}

#[tokio::test]
async fn nothing_waits_for_what_comes_only_after_it() {
    let world = World::new("endless").await;
    let repo = world.repo("config");
    let class = format!("{}-late", world.target);
    let wave = |text: &str, wave: i32| {
        text.replacen(
            "metadata:\n",
            &format!("metadata:\n  annotations:\n    argocd.argoproj.io/sync-wave: \"{wave}\"\n"),
            1,
        )
    };
    let storage = format!(
        "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata:\n  name: {class}\nprovisioner: example.com/none\n\
         volumeBindingMode: WaitForFirstConsumer\n"
    );
    let claim = format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: data\nspec:\n  storageClassName: {class}\n  \
         accessModes: [ReadWriteOnce]\n  resources:\n    requests:\n      storage: 1Gi\n"
    );
    let web = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  selector:\n    matchLabels: {app: web}\n  \
               template:\n    metadata:\n      labels: {app: web}\n      annotations:\n        gitops-test/outcome: image-pull-error\n    \
               spec:\n      containers:\n        - name: web\n          image: web:1\n          envFrom:\n            - configMapRef: {name: late}\n";
    repo.commit(&[
        ("class.yaml", Some(&wave(&storage, -1))),
        ("claim.yaml", Some(&wave(&claim, 0))),
        ("web.yaml", Some(&wave(web, 1))),
        ("late.yaml", Some(&wave(&config_map("late", "1"), 2))),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .cascading()
        .create()
        .await;
    world.config_map_is("late", "1").await;
    let done = app
        .wait("the sync ended", |app| {
            settled(app) && status(app).operation_state.is_some()
        })
        .await;
    let results = status(&done)
        .operation_state
        .unwrap()
        .sync_result
        .unwrap()
        .resources;
    let late = results.iter().find(|result| result.name == "late").unwrap();
    assert!(
        late.message.contains("web of an earlier wave waits for it"),
        "{}",
        late.message
    );
    app.delete().await;
    app.gone().await;
    let classes: Api<k8s_openapi::api::storage::v1::StorageClass> =
        Api::all(world.plane.client.clone());
    let left = classes.list(&ListParams::default()).await.unwrap();
    assert!(
        left.iter()
            .all(|found| found.metadata.name.as_deref() != Some(&class))
    );
}
