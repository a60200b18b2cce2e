//! Sync options: each of them does what it says, and one nobody knows is named with what was meant.

use gitops_api::OperationPhase;
use gitops_api::status::OperationState;
use gitops_e2e::application::{conditions, is_out_of_sync, is_synced, operation, resource, status};
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::{App, World};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

fn job(image: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: work\nspec:\n  template:\n    spec:\n      \
         restartPolicy: Never\n      containers:\n        - name: work\n          image: {image}\n"
    )
}

fn stateful_set(service: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: db\nspec:\n  serviceName: {service}\n  \
         replicas: 1\n  selector:\n    matchLabels: {{app: db}}\n  template:\n    metadata:\n      \
         labels: {{app: db}}\n    spec:\n      containers:\n        - name: db\n          image: db:1\n"
    )
}

fn annotated(manifest: &str, annotations: &str) -> String {
    manifest.replacen(
        "metadata:\n",
        &format!("metadata:\n  annotations: {{{annotations}}}\n"),
        1,
    )
}

fn with_options(manifest: &str, options: &str) -> String {
    annotated(
        manifest,
        &format!("argocd.argoproj.io/sync-options: \"{options}\""),
    )
}

/// Commits, asks for a sync when the commit is compared, and returns how it ended.
async fn commit_and_sync(
    app: &App<'_>,
    commit: impl FnOnce() -> String,
    sync: Value,
) -> OperationState {
    let commit = commit();
    app.compared_to(&commit).await;
    operation(&app.sync(sync).await)
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_with_advice_and_forced_when_asked() {
    let world = World::new("force").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("job.yaml", Some(&job("work:1"))),
        ("db.yaml", Some(&stateful_set("one"))),
    ]);
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    app.synced().await;
    let first = world.object("work", "there", |_: &Job| true).await.uid();

    let failed = commit_and_sync(
        &app,
        || {
            repo.commit(&[
                ("job.yaml", Some(&job("work:2"))),
                ("db.yaml", Some(&stateful_set("two"))),
            ])
        },
        json!({}),
    )
    .await;
    assert_eq!(failed.phase, OperationPhase::Failed);
    for text in [
        "apps/StatefulSet",
        "updates to statefulset spec",
        "sync-options: Force=true",
        "db.yaml",
    ] {
        assert!(failed.message.contains(text), "{text}: {}", failed.message);
    }
    let results = failed.sync_result.unwrap().resources;
    let refused = results.iter().find(|r| r.kind == "StatefulSet").unwrap();
    assert!(
        refused.message.contains("updates to statefulset spec"),
        "{}",
        refused.message
    );
    assert_eq!(
        world.object("work", "there", |_: &Job| true).await.uid(),
        first
    );

    // For this one sync only, and as `argocd app sync --force` says it.
    let forced = operation(
        &app.sync(json!({"syncStrategy": {"hook": {"force": true}}}))
            .await,
    );
    assert!(forced.phase.is_successful(), "{}", forced.message);
    let second = world
        .object("work", "work:2", |job: &Job| {
            let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
            pod.containers[0].image.as_deref() == Some("work:2")
        })
        .await;
    assert_ne!(second.uid(), first);
    world
        .object("db", "service two", |set: &StatefulSet| {
            set.spec.as_ref().unwrap().service_name.as_deref() == Some("two")
        })
        .await;
    app.synced().await;

    // An object says it for itself; the other one is not touched.
    let database = world
        .object("db", "there", |_: &StatefulSet| true)
        .await
        .uid();
    let replaced = commit_and_sync(
        &app,
        || {
            repo.write(
                "job.yaml",
                &with_options(&job("work:3"), "Replace=true,Force=true"),
            )
        },
        json!({}),
    )
    .await;
    assert!(replaced.phase.is_successful(), "{}", replaced.message);
    let third = world.object("work", "there", |_: &Job| true).await;
    assert_ne!(third.uid(), second.uid());
    assert_eq!(
        world
            .object("db", "there", |_: &StatefulSet| true)
            .await
            .uid(),
        database
    );
    app.synced().await;
}

#[tokio::test]
async fn what_could_not_be_created_again_is_not_deleted() {
    let world = World::new("forcebad").await;
    let repo = world.repo("config");
    repo.write(
        "job.yaml",
        &with_options(&job("work:1"), "Replace=true,Force=true"),
    );
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    let first = world.object("work", "there", |_: &Job| true).await.uid();
    let broken = job("work:2").replace("restartPolicy: Never", "restartPolicy: Sometimes");
    let failed = commit_and_sync(
        &app,
        || {
            repo.write(
                "job.yaml",
                &with_options(&broken, "Replace=true,Force=true"),
            )
        },
        json!({}),
    )
    .await;
    assert_eq!(failed.phase, OperationPhase::Failed);
    assert!(
        failed.message.contains("restartPolicy"),
        "{}",
        failed.message
    );
    let still = world.object("work", "there", |_: &Job| true).await;
    assert_eq!(still.uid(), first);
    assert!(still.metadata.deletion_timestamp.is_none());
}

#[tokio::test]
async fn the_role_of_a_binding_is_changed_without_being_forced() {
    let world = World::new("binding").await;
    let repo = world.repo("config");
    let binding = |role: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: readers\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
             subjects: [{{kind: ServiceAccount, name: default}}]\n"
        )
    };
    repo.write("binding.yaml", &binding("view"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    repo.write("binding.yaml", &binding("edit"));
    world
        .object("readers", "edit", |binding: &RoleBinding| {
            binding.role_ref.name == "edit"
        })
        .await;
    app.synced().await;
}

#[tokio::test]
async fn a_replaced_object_keeps_nothing_but_its_manifest() {
    let world = World::new("replace").await;
    let repo = world.repo("config");
    // Too big for the annotation of client-side apply.
    let big = |value: &str| {
        format!(
            "{}  big: {}\n",
            config_map("settings", value),
            "x".repeat(400_000)
        )
    };
    repo.write("map.yaml", &big("1"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    let maps = world.api::<ConfigMap>();
    let edit = Patch::Merge(json!({"data": {"extra": "mine"},
        "metadata": {"labels": {"mine": "1"}, "finalizers": ["example.com/mine"]}}));
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let edited = maps.patch("settings", &params, &edit).await.unwrap();

    // Merged, what others set stays.
    let merged = commit_and_sync(&app, || repo.write("map.yaml", &big("2")), json!({})).await;
    assert!(merged.phase.is_successful(), "{}", merged.message);
    let map = world.config_map_is("settings", "2").await;
    assert_eq!(map.data.unwrap()["extra"], "mine");

    let options = json!({"syncOptions": ["Replace=true"]});
    let replaced = commit_and_sync(&app, || repo.write("map.yaml", &big("3")), options).await;
    assert!(replaced.phase.is_successful(), "{}", replaced.message);
    let map = world.config_map_is("settings", "3").await;
    assert_eq!(map.uid(), edited.uid(), "replaced, not created again");
    assert!(!map.data.as_ref().unwrap().contains_key("extra"));
    assert!(!map.labels().contains_key("mine"));
    assert_eq!(
        map.finalizers(),
        ["example.com/mine"],
        "who set it still counts on it"
    );
    app.synced().await;
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("settings", &params, &free).await.unwrap();
}

#[tokio::test]
async fn an_unknown_field_is_named_and_left_out_unless_validation_is_strict() {
    let world = World::new("validate").await;
    let repo = world.repo("config");
    let wrong = deployment("web", 1, "web:1")
        .replace("  replicas: 1", "  replicas: 1\n  replcas: 3")
        .replace("          image:", "          imagge: x\n          image:");
    repo.write("web.yaml", &with_options(&wrong, "Validate=strict"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let failed = operation(&app.sync(json!({})).await);
    assert_eq!(failed.phase, OperationPhase::Failed);
    assert!(
        failed.message.contains("replcas") && failed.message.contains("web.yaml"),
        "{}",
        failed.message
    );
    assert!(!world.exists::<Deployment>("web").await);

    let done = commit_and_sync(&app, || repo.write("web.yaml", &wrong), json!({})).await;
    assert!(done.phase.is_successful(), "{}", done.message);
    app.synced().await;
    world.object("web", "there", |_: &Deployment| true).await;
    let told = ["apps/Deployment", "replcas", "web.yaml"];
    app.condition("LeftOutWarning", &told).await;
    // Another agent has not asked about it, and says so all the same.
    world.agent().restart();
    let after = app.refresh("normal").await;
    assert!(is_synced(&after), "{:?}", status(&after).sync);
    app.condition("LeftOutWarning", &told).await;
    app.condition("LeftOutWarning", &["imagge"]).await;
    let right = deployment("web", 1, "web:2");
    let commit = repo.write("web.yaml", &right);
    app.compared_to(&commit).await;
    app.sync(json!({})).await;
    app.wait("nothing is left out", |app| {
        let told = conditions(app);
        told.iter().all(|(kind, _)| kind != "LeftOutWarning")
    })
    .await;
}

#[tokio::test]
async fn what_depends_on_a_pruned_object_goes_or_stays_as_asked() {
    let world = World::new("propagation").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("kept.yaml", Some(&config_map("kept", "1"))),
        ("one.yaml", Some(&deployment("one", 1, "web:1"))),
        ("two.yaml", Some(&deployment("two", 1, "web:1"))),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .set(
            "/spec/syncPolicy",
            json!({"syncOptions": ["PrunePropagationPolicy=orphan"]}),
        )
        .create()
        .await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    app.healthy().await;
    let sets = async |name: &str| {
        let params = ListParams::default().labels(&format!("app={name}"));
        world.api::<ReplicaSet>().list(&params).await.unwrap().items
    };
    let (one, two) = (sets("one").await, sets("two").await);
    assert_eq!((one.len(), two.len()), (1, 1));
    let done = commit_and_sync(&app, || repo.remove("one.yaml"), json!({"prune": true})).await;
    assert!(done.phase.is_successful(), "{}", done.message);
    world.object_gone::<Deployment>("one").await;
    let orphan = world
        .object(&one[0].name_any(), "let go", |set: &ReplicaSet| {
            set.owner_references().is_empty()
        })
        .await;
    assert!(orphan.metadata.deletion_timestamp.is_none());

    let request = json!({"prune": true, "syncOptions": ["PrunePropagationPolicy=background"]});
    let done = commit_and_sync(&app, || repo.remove("two.yaml"), request).await;
    assert!(done.phase.is_successful(), "{}", done.message);
    world.object_gone::<Deployment>("two").await;
    world.object_gone::<ReplicaSet>(&two[0].name_any()).await;
}

#[tokio::test]
async fn a_shared_object_fails_the_sync_when_that_is_asked_for() {
    let world = World::new("shared").await;
    let first = world.repo("first");
    first.write("map.yaml", &config_map("shared", "first"));
    world
        .app("first")
        .repo(&first)
        .automated()
        .create()
        .await
        .synced()
        .await;
    let second = world.repo("second");
    second.commit(&[
        ("map.yaml", Some(&config_map("shared", "second"))),
        ("own.yaml", Some(&config_map("own", "1"))),
    ]);
    let app = world
        .app("second")
        .repo(&second)
        .set(
            "/spec/syncPolicy",
            json!({"syncOptions": ["FailOnSharedResource=true"]}),
        )
        .create()
        .await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let failed = operation(&app.sync(json!({})).await);
    assert_eq!(failed.phase, OperationPhase::Failed);
    for text in ["FailOnSharedResource", "shared", "application first"] {
        assert!(failed.message.contains(text), "{}", failed.message);
    }
    assert!(
        !world.exists::<ConfigMap>("own").await,
        "nothing was applied"
    );
    // Without the option the rest is delivered.
    let options = json!({"syncOptions": ["FailOnSharedResource=false"]});
    app.sync(options).await;
    world.config_map_is("own", "1").await;
    world.config_map_is("shared", "first").await;
}

#[tokio::test]
async fn a_prune_that_comes_last_waits_for_health() {
    let world = World::new("prunelast").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("web.yaml", Some(&deployment("web", 1, "web:1"))),
        (
            "late.yaml",
            Some(&with_options(&config_map("late", "1"), "PruneLast=true")),
        ),
        ("soon.yaml", Some(&config_map("soon", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    app.healthy().await;
    let hanging = deployment("web", 1, "web:2").replace(
        "    metadata:\n      labels:",
        "    metadata:\n      annotations: {gitops-test/outcome: hang}\n      labels:",
    );
    let commit = repo.commit(&[
        ("web.yaml", Some(&hanging)),
        ("late.yaml", None),
        ("soon.yaml", None),
    ]);
    app.compared_to(&commit).await;
    app.patch(json!({"operation": {"sync": {"prune": true}}}))
        .await;
    world.object_gone::<ConfigMap>("soon").await;
    app.wait("waiting for the Deployment", |app| {
        let state = operation(app);
        state.phase == OperationPhase::Running && state.message.contains("Deployment")
    })
    .await;
    let late = world.object("late", "there", |_: &ConfigMap| true).await;
    assert!(late.metadata.deletion_timestamp.is_none());
    app.patch(json!({"status": {"operationState": {"phase": "Terminating"}}}))
        .await;
    app.wait("ended", |app| {
        operation(app).phase == OperationPhase::Failed
    })
    .await;
}

#[tokio::test]
async fn what_nobody_can_read_is_named_with_what_was_meant() {
    let world = World::new("unknown").await;
    let repo = world.repo("config");
    repo.commit(&[
        (
            "a.yaml",
            Some(&with_options(&config_map("a", "1"), "Prune=flase")),
        ),
        (
            "b.yaml",
            Some(&annotated(
                &config_map("b", "1"),
                "argocd.argoproj.io/sync-wave: \"99999999999999999999\", \
                 argocd.argoproj.io/hook-delete-policy: HookSuceeded, \
                 argocd.argoproj.io/hok: PreSync",
            )),
        ),
        (
            "c.yaml",
            Some(&annotated(
                &config_map("c", "1"),
                "argocd.argoproj.io/hook: PreSynk",
            )),
        ),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .set(
            "/spec/syncPolicy",
            json!({"automated": {}, "syncOptions": ["CreateNamespaces=true"]}),
        )
        .create()
        .await;
    let kind = "InvalidSettingWarning";
    app.condition(
        kind,
        &[
            "spec.syncPolicy.syncOptions",
            "did you mean CreateNamespace=true?",
        ],
    )
    .await;
    let table: [&[&str]; 5] = [
        &[
            "ConfigMap",
            "/a (a.yaml",
            "Prune takes true, false or confirm",
        ],
        &["/b (b.yaml", "argocd.argoproj.io/sync-wave", "no integer"],
        &["/b (b.yaml", "did you mean HookSucceeded?"],
        &[
            "/b (b.yaml",
            "argocd.argoproj.io/hok is unknown; did you mean argocd.argoproj.io/hook?",
        ],
        &["/c (c.yaml", "the hook never runs; did you mean PreSync?"],
    ];
    for texts in table {
        app.condition(kind, texts).await;
    }
    // What can be read is delivered all the same.
    let done = app.synced().await;
    assert!(resource(&done, "ConfigMap", "b").is_some());
    world.config_map_is("a", "1").await;
    assert!(!world.exists::<ConfigMap>("c").await);
}

#[tokio::test]
async fn an_object_of_an_older_version_of_its_kind_stays_synced() {
    let world = World::new("versions").await;
    let group = format!("{}.example.com", world.namespace);
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "properties": {
                "size": {"type": "integer"}, "color": {"type": "string", "default": "blue"}}}}}}})
    };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "conversion": {"strategy": "None"},
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [version("v1alpha1", false), version("v1", true)]},
    });
    let widget = |size: u32| {
        format!(
            "apiVersion: {group}/v1alpha1\nkind: Widget\nmetadata:\n  name: one\nspec:\n  size: {size}\n"
        )
    };
    let repo = world.repo("config");
    repo.commit(&[
        ("definition.json", Some(&definition.to_string())),
        ("widget.yaml", Some(&widget(1))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    let done = app.synced().await;
    assert!(resource(&done, "Widget", "one").is_some());
    world.agent().restart();
    let after = app.refresh("normal").await;
    assert!(is_synced(&after), "{:?}", status(&after).resources);
    let commit = repo.write("widget.yaml", &widget(2));
    let after = app.synced_to(&commit).await;
    assert!(operation(&after).phase.is_successful());
    let kind =
        kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(&group, "v1", "Widget"));
    let api: kube::Api<kube::api::DynamicObject> =
        kube::Api::namespaced_with(world.plane.client.clone(), &world.target, &kind);
    assert_eq!(api.get("one").await.unwrap().data["spec"]["size"], 2);
}
