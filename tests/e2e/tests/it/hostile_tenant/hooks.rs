//! Hooks of a committer: not beyond the project, and never in place of what is not a hook of the
//! application.

use gitops_e2e::World;
use gitops_e2e::application::{is_synced, status};
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::PatchParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{failed_with, fenced, project};

const PHASES: [&str; 8] = [
    "argocd.argoproj.io/hook: PreSync",
    "argocd.argoproj.io/hook: Sync",
    "argocd.argoproj.io/hook: PostSync",
    "argocd.argoproj.io/hook: SyncFail",
    "argocd.argoproj.io/hook: PreDelete",
    "argocd.argoproj.io/hook: PostDelete",
    "helm.sh/hook: pre-install",
    "helm.sh/hook: post-delete",
];

fn cluster_admin(name: &str, mark: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: \
         {name}\n  annotations:\n    {mark}\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  \
         kind: ClusterRole\n  name: cluster-admin\nsubjects: []\n"
    )
}

fn hook(name: &str, namespace: &str, mark: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  \
         annotations:\n    {mark}\ndata:\n  value: hook\n"
    )
}

#[tokio::test]
async fn a_hook_of_no_phase_reaches_a_kind_or_a_namespace_the_project_denies() {
    let world = World::new("hookfence").await;
    fenced(&world).await;
    let elsewhere = format!("{}-elsewhere", world.target);
    world.plane.namespace(&elsewhere).await;
    for (place, mark) in PHASES.iter().enumerate() {
        let name = format!("{}-admin-{place}", world.target);
        let repo = world.repo(&format!("kinds{place}"));
        repo.commit(&[
            ("a.yaml", Some(&config_map(&format!("a{place}"), "one"))),
            ("hook.yaml", Some(&cluster_admin(&name, mark))),
        ]);
        let app = world.app(&format!("kinds{place}")).repo(&repo).automated();
        let app = app.set("/spec/project", json!("fenced")).create().await;
        app.condition(
            "SyncError",
            &[
                "hook.yaml",
                "ClusterRoleBinding",
                "clusterResourceWhitelist",
            ],
        )
        .await;

        let repo = world.repo(&format!("spaces{place}"));
        repo.commit(&[
            ("a.yaml", Some(&config_map(&format!("b{place}"), "one"))),
            ("hook.yaml", Some(&hook("planted", &elsewhere, mark))),
        ]);
        let app = world.app(&format!("spaces{place}")).repo(&repo).automated();
        let app = app.set("/spec/project", json!("fenced")).create().await;
        app.condition("SyncError", &["hook.yaml", &elsewhere, "destinations"])
            .await;
    }
    let bindings: Api<ClusterRoleBinding> = Api::all(world.plane.client.clone());
    for place in 0..PHASES.len() {
        let name = format!("{}-admin-{place}", world.target);
        assert!(bindings.get_opt(&name).await.unwrap().is_none(), "{name}");
        for object in ["a", "b"] {
            let object = format!("{object}{place}");
            assert!(!world.exists::<ConfigMap>(&object).await, "{object}");
        }
    }
    let maps: Api<ConfigMap> = Api::namespaced(world.plane.client.clone(), &elsewhere);
    assert!(maps.get_opt("planted").await.unwrap().is_none());
}

#[tokio::test]
async fn a_hook_at_deletion_reaches_nothing_the_project_denies() {
    let world = World::new("deletefence").await;
    fenced(&world).await;
    let name = format!("{}-admin", world.target);
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("a", "one"))),
        (
            "hook.yaml",
            Some(&cluster_admin(&name, "argocd.argoproj.io/hook: PostDelete")),
        ),
    ]);
    // Never synced, and the finalizers set by hand.
    let app = world.app("shop").repo(&repo);
    let app = app.set("/spec/project", json!("fenced"));
    let finalizers = json!([
        "pre-delete-finalizer.argocd.argoproj.io",
        "post-delete-finalizer.argocd.argoproj.io"
    ]);
    let app = app.set("/metadata/finalizers", finalizers).create().await;
    app.condition("SyncError", &["ClusterRoleBinding"]).await;
    app.delete().await;
    app.condition("DeletionError", &[&name]).await;
    let bindings: Api<ClusterRoleBinding> = Api::all(world.plane.client.clone());
    assert!(bindings.get_opt(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn a_hook_replaces_no_object_that_is_not_a_hook_of_the_application() {
    let world = World::new("hookname").await;
    fenced(&world).await;
    // One that nobody tracks, one that another application delivered.
    let by_hand = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: by-hand\n  namespace: {}\ndata:\n  \
         value: precious\n",
        world.target
    );
    let by_hand = world.plane.apply(&by_hand).await["metadata"]["uid"].clone();
    let repo = world.repo("bank");
    repo.write("a.yaml", &config_map("of-bank", "precious"));
    let bank = world.app("bank").repo(&repo).automated().create().await;
    bank.synced().await;
    let of_bank = world.config_map_is("of-bank", "precious").await.uid();
    let policies = ["BeforeHookCreation", "HookSucceeded"];
    for (name, owner) in [("by-hand", "tracking"), ("of-bank", "application bank")] {
        for policy in policies {
            let mark = format!(
                "argocd.argoproj.io/hook: PreSync\n    argocd.argoproj.io/hook-delete-policy: {policy}"
            );
            let id = format!("{name}-{policy}").to_lowercase();
            let repo = world.repo(&id);
            repo.commit(&[
                ("a.yaml", Some(&config_map(&format!("a-{id}"), "one"))),
                ("hook.yaml", Some(&hook(name, &world.target, &mark))),
            ]);
            let app = world.app(&id).repo(&repo).automated();
            let app = app.set("/spec/project", json!("fenced")).create().await;
            app.wait("a sync that failed", move |app| failed_with(app, &[owner]))
                .await;
            assert!(!world.exists::<ConfigMap>(&format!("a-{id}")).await, "{id}");
        }
    }
    let kept = world.config_map_is("by-hand", "precious").await;
    assert_eq!(by_hand, json!(kept.uid()));
    assert_eq!(
        of_bank,
        world.config_map_is("of-bank", "precious").await.uid()
    );
}

#[tokio::test]
async fn a_hook_of_an_earlier_sync_is_still_replaced() {
    let world = World::new("hookagain").await;
    fenced(&world).await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("a", "one"))),
        (
            "hook.yaml",
            Some(&hook(
                "h",
                &world.target,
                "argocd.argoproj.io/hook: PreSync",
            )),
        ),
    ]);
    let app = world.app("shop").repo(&repo).automated();
    let app = app.set("/spec/project", json!("fenced")).create().await;
    app.synced().await;
    let first = world.config_map_is("h", "hook").await.uid();
    let commit = repo.write("a.yaml", &config_map("a", "two"));
    app.synced_to(&commit).await;
    world
        .object("h", "a new hook", |hook: &ConfigMap| hook.uid() != first)
        .await;
}

#[tokio::test]
async fn a_project_that_is_narrowed_stops_what_is_left_of_a_sync() {
    let world = World::new("narrowed").await;
    fenced(&world).await;
    let repo = world.repo("config");
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: slow\n  annotations:\n    \
               argocd.argoproj.io/hook: PreSync\nspec:\n  template:\n    metadata:\n      \
               annotations:\n        gitops-test/outcome: \"hangs\"\n    spec:\n      \
               restartPolicy: Never\n      containers:\n        - name: work\n          image: \
               work:1\n";
    repo.commit(&[
        ("a.yaml", Some(&config_map("a", "one"))),
        ("job.yaml", Some(job)),
    ]);
    let app = world.app("shop").repo(&repo).automated();
    let app = app.set("/spec/project", json!("fenced")).create().await;
    app.wait("a hook that runs", |app| {
        let state = status(app).operation_state;
        state.is_some_and(|state| state.message.contains("slow"))
    })
    .await;
    let spec = json!({
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": world.target}],
        "namespaceResourceBlacklist": [{"group": "", "kind": "ConfigMap"}],
    });
    project(&world, "fenced", spec).await;
    app.condition("SyncError", &["ConfigMap"]).await;
    let done = json!({"status": {"succeeded": 1, "conditions": [
        {"type": "Complete", "status": "True"}, {"type": "SuccessCriteriaMet", "status": "True"}]}});
    let jobs: Api<k8s_openapi::api::batch::v1::Job> =
        Api::namespaced(world.plane.client.clone(), &world.target);
    let _ = jobs
        .patch_status(
            "slow",
            &PatchParams::default(),
            &kube::api::Patch::Merge(&done),
        )
        .await;
    let app = app.refresh("normal").await;
    assert!(!is_synced(&app));
    assert!(!world.exists::<ConfigMap>("a").await);
}

#[tokio::test]
async fn a_namespace_is_made_or_labelled_only_where_the_project_allows_it() {
    let world = World::new("nsfence").await;
    let target = format!("{}-new", world.target);
    let spec = json!({"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]});
    project(&world, "fenced", spec.clone()).await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("a", "one"));
    let app = world.app("shop").repo(&repo).automated();
    let app = app
        .set("/spec/project", json!("fenced"))
        .set("/spec/destination/namespace", json!(target))
        .set(
            "/spec/syncPolicy/syncOptions",
            json!(["CreateNamespace=true"]),
        );
    let app = app.create().await;
    app.wait("a sync that failed", |app| {
        failed_with(app, &["Namespace", "clusterResourceWhitelist"])
    })
    .await;
    let namespaces: Api<Namespace> = Api::all(world.plane.client.clone());
    assert!(namespaces.get_opt(&target).await.unwrap().is_none());

    let labels = json!({"labels": {"pod-security.kubernetes.io/enforce": "privileged"}});
    let existing = world.app("existing").repo(&repo).automated();
    let existing = existing
        .set("/spec/project", json!("fenced"))
        .set(
            "/spec/syncPolicy/syncOptions",
            json!(["CreateNamespace=true"]),
        )
        .set("/spec/syncPolicy/managedNamespaceMetadata", labels);
    let existing = existing.create().await;
    existing
        .condition("SyncError", &["Namespace", "clusterResourceWhitelist"])
        .await;
    let found = namespaces.get(&world.target).await.unwrap();
    let label = found.labels().get("pod-security.kubernetes.io/enforce");
    assert_eq!(label, None);

    let mut spec = spec;
    spec["clusterResourceWhitelist"] = json!([{"group": "", "kind": "Namespace", "name": target}]);
    project(&world, "fenced", spec).await;
    app.refresh("normal").await;
    app.sync(json!({})).await;
    app.synced().await;
}
