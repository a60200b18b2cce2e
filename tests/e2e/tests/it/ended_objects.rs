//! Objects the cluster ends by itself, and fields it fills in: no difference, and no fight.
//!
//! Question: what is gone or other than Git says without anybody being wrong? Answer: a Job whose time to
//! live is over (also across a restart of the agent), while one that a person deletes before is made again;
//! the rules of an aggregated role; an authority that an injector writes; a status in Git. A fight that is
//! real is named after the third round.

use gitops_api::HealthStatusCode;
use gitops_e2e::World;
use gitops_e2e::application::{health, is_healthy, is_synced, resource, status};
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

fn job(name: &str, image: &str, ttl: Option<u32>) -> String {
    let ttl = ttl.map_or(String::new(), |ttl| {
        format!("  ttlSecondsAfterFinished: {ttl}\n")
    });
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\nspec:\n{ttl}  template:\n    spec:\n      \
         restartPolicy: Never\n      containers:\n        - name: work\n          image: {image}\n"
    )
}

#[tokio::test]
async fn a_job_that_is_over_is_no_difference_until_git_changes_it() {
    let world = World::new("ended").await;
    let repo = world.repo("config");
    let commit = repo.commit(&[
        ("job.yaml", Some(&job("once", "work:1", Some(0)))),
        (
            "later.yaml",
            Some(&config_map("later", "1").replace(
                "name: later",
                "name: later\n  annotations:\n    argocd.argoproj.io/sync-wave: \"1\"",
            )),
        ),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    world.object_gone::<Job>("once").await;
    let over = |app: &gitops_api::Application| {
        is_synced(app)
            && is_healthy(app)
            && resource(app, "Job", "once").is_some_and(|job| {
                !job.completed.is_empty()
                    && job
                        .health
                        .is_some_and(|it| it.status == HealthStatusCode::Healthy)
            })
    };
    app.wait("synced without the Job", over).await;
    let before = status(&app.get().await).history.len();
    // Neither a hard refresh nor an agent that remembers nothing makes it again.
    app.refresh("hard").await;
    app.wait("still synced", over).await;
    world.agent().restart_anew();
    app.refresh("normal").await;
    let after = app.wait("synced under a new agent", over).await;
    assert_eq!(status(&after).history.len(), before);
    assert!(!world.exists::<Job>("once").await);
    // Another manifest is another Job; one without a time to live that is deleted is missing.
    let commit = repo.commit(&[("job.yaml", Some(&job("once", "work:2", None)))]);
    app.synced_to(&commit).await;
    let made = world
        .object("once", "made anew", |job: &Job| {
            job.status.as_ref().is_some_and(|s| s.succeeded == Some(1))
        })
        .await;
    world
        .api::<Job>()
        .delete("once", &DeleteParams::background())
        .await
        .unwrap();
    world
        .object("once", "another one", |job: &Job| {
            job.metadata.uid != made.metadata.uid
        })
        .await;
}

#[tokio::test]
async fn what_the_control_plane_fills_in_is_left_to_it() {
    let world = World::new("filled").await;
    let repo = world.repo("config");
    let name = world.target.clone();
    let manifests = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {name}-sum\n\
         aggregationRule:\n  clusterRoleSelectors:\n    - matchLabels:\n        into: {name}\nrules: []\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {name}-part\n  labels:\n    \
         into: {name}\nrules:\n  - apiGroups: [\"\"]\n    resources: [pods]\n    verbs: [get]\n"
    );
    let hook = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata:\n  \
         name: {name}\n  annotations:\n    cert-manager.io/inject-ca-from: a/b\nwebhooks:\n  - name: check.example.com\n    \
         sideEffects: None\n    admissionReviewVersions: [v1]\n    clientConfig:\n      url: https://check.example.com\n      \
         caBundle: \"\"\n    rules: []\n"
    );
    let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata:\n  name: budget\nspec:\n  \
                  minAvailable: 1\n  selector:\n    matchLabels:\n      app: x\nstatus:\n  currentHealthy: 7\n  \
                  desiredHealthy: 0\n  disruptionsAllowed: 0\n  expectedPods: 0\n";
    let commit = repo.commit(&[
        ("roles.yaml", Some(&manifests)),
        ("hook.yaml", Some(&hook)),
        ("budget.yaml", Some(budget)),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .cascading()
        .create()
        .await;
    app.synced_to(&commit).await;
    let kubectl = |arguments: &[&str]| world.plane.kubectl(arguments).unwrap();
    // An injector writes the authority.
    let bundle = "Q0E=";
    let patch =
        json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle}])
            .to_string();
    kubectl(&[
        "patch",
        "validatingwebhookconfiguration",
        &name,
        "--type=json",
        "-p",
        &patch,
    ]);
    app.refresh("hard").await;
    app.healthy().await;
    let found = kubectl(&[
        "get",
        "validatingwebhookconfiguration",
        &name,
        "-o",
        "jsonpath={.webhooks[0].clientConfig.caBundle}",
    ]);
    assert_eq!(found, bundle);
    let rules = kubectl(&[
        "get",
        "clusterrole",
        &format!("{name}-sum"),
        "-o",
        "jsonpath={.rules[*].resources[*]}",
    ]);
    assert_eq!(rules, "pods");
    assert!(world.agent().metric("gitops_agent_heals_total") < 1.0);
    app.delete().await;
    app.gone().await;
}

#[tokio::test]
async fn a_fight_is_named_after_the_third_round() {
    let world = World::new("fight").await;
    let repo = world.repo("config");
    repo.write("settings.yaml", &config_map("settings", "git"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let live = world.api::<ConfigMap>();
    let by = PatchParams {
        field_manager: Some("rival".into()),
        ..PatchParams::default()
    };
    for round in 0..4 {
        world.config_map_is("settings", "git").await;
        if round == 3 {
            break;
        }
        let patch = json!({"data": {"value": format!("rival {round}")}});
        live.patch("settings", &by, &Patch::Merge(&patch))
            .await
            .unwrap();
    }
    let patch = json!({"data": {"value": "rival again"}});
    live.patch("settings", &by, &Patch::Merge(&patch))
        .await
        .unwrap();
    app.wait("the rival is named", |app| {
        status(app)
            .reasons
            .iter()
            .any(|reason| reason.message.contains("rival"))
    })
    .await;
    assert_eq!(health(&app.get().await), Some(HealthStatusCode::Healthy));
}
