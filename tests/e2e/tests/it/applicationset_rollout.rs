//! ApplicationSets that roll: step by step, with the revision that went through the steps before.

use gitops_api::application_set::ApplicationSet;
use gitops_e2e::application::{operation, revision, status};
use gitops_e2e::manifests::config_map;
use gitops_e2e::{Repo, World, wait};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

const NO_CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bad\ndata: [1]\n";

fn sets(world: &World) -> Api<ApplicationSet> {
    Api::namespaced(world.plane.client.clone(), &world.namespace)
}

/// A set of an Application for dev and one for prod, which has its turn when dev is done.
fn fleet(world: &World, repo: &Repo, path: &str) -> Value {
    let step = |env: &str| json!({"matchExpressions": [{"key": "env", "operator": "In", "values": [env]}]});
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "fleet", "namespace": world.namespace},
        "spec": {
            "goTemplate": true, "goTemplateOptions": ["missingkey=error"],
            "generators": [{"list": {"elements": [{"env": "dev"}, {"env": "prod"}]}}],
            "strategy": {"type": "RollingSync", "deletionOrder": "Reverse",
                "rollingSync": {"steps": [step("dev"), step("prod")]}},
            "template": {
                "metadata": {"name": "{{.env}}", "labels": {"env": "{{.env}}"}},
                "spec": {
                    "project": "default",
                    "source": {"repoURL": repo.url(), "path": path, "targetRevision": "main"},
                    "destination": {"name": "in-cluster", "namespace": world.target},
                    "syncPolicy": {"automated": {"prune": true}, "retry": {"limit": 0}},
                },
            },
        },
    })
}

/// Waits until the condition that says where the rollout is has a state and says these texts.
async fn rolls(world: &World, state: &str, texts: &[&str]) {
    let until = wait::until(sets(world), "fleet", |set: Option<&ApplicationSet>| {
        let conditions = set.and_then(|set| set.status.as_ref());
        let mut conditions = conditions.iter().flat_map(|status| &status.conditions);
        conditions
            .find(|one| one.condition_type == "RolloutProgressing")
            .is_some_and(|one| {
                one.status == state && texts.iter().all(|text| one.message.contains(text))
            })
    });
    if let Err(last) = until.await {
        panic!(
            "the rollout is not {state} with {texts:?}:\n{last}\n{}",
            world.agent_tail()
        );
    }
}

async fn enable(world: &World) {
    world
        .configure(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cmd-params-cm\n  labels: \
             {app.kubernetes.io/part-of: argocd}\ndata:\n  \
             applicationsetcontroller.enable.progressive.syncs: \"true\"\n",
        )
        .await;
}

#[tokio::test]
async fn a_commit_goes_from_step_to_step_and_stops_at_the_one_it_breaks() {
    let world = World::new("setroll").await;
    enable(&world).await;
    let repo = world.repo("config");
    let (dev, prod) = (world.existing_app("dev"), world.existing_app("prod"));
    let first = repo.commit(&[
        ("dev/map.yaml", Some(&config_map("of-dev", "1"))),
        ("prod/map.yaml", Some(&config_map("of-prod", "1"))),
    ]);
    let value = fleet(&world, &repo, "{{.env}}");
    world.plane.apply_value_as("gitops-e2e", value).await;
    dev.synced_to(&first).await;
    prod.synced_to(&first).await;
    rolls(&world, "False", &["has completed"]).await;
    let state = operation(&prod.get().await);
    let by = state.operation.initiated_by.unwrap_or_default();
    assert_eq!(by.username, "applicationset-controller");
    let pinned = state.operation.sync.unwrap().revision;
    assert_eq!(pinned, first, "it is pinned to what was compared");

    let broken = repo.commit(&[
        ("dev/bad.yaml", Some(NO_CONFIG_MAP)),
        ("dev/map.yaml", Some(&config_map("of-dev", "2"))),
        ("prod/map.yaml", Some(&config_map("of-prod", "2"))),
    ]);
    rolls(
        &world,
        "True",
        &["rollout of step 1", "goes no further: Application dev"],
    )
    .await;
    prod.compared_to(&broken).await;
    world.config_map_is("of-prod", "1").await;
    prod.wait("whose turn it waits for", |app| {
        let reasons = status(app).reasons;
        reasons.iter().any(|one| one.code == "SetDecidesSync")
    })
    .await;
    let checked = world.person().gitops(&["doctor"]).run().await;
    checked.prints("kubectl gitops appset get fleet shows all of it");
    let mended = repo.commit(&[
        ("dev/bad.yaml", None),
        ("prod/map.yaml", Some(&config_map("of-prod", "3"))),
    ]);
    prod.synced_to(&mended).await;
    world.config_map_is("of-dev", "2").await;
    world.config_map_is("of-prod", "3").await;
    rolls(&world, "False", &["has completed"]).await;
    // What went through the steps is what prod ran with: the broken commit never did.
    let history = prod.get().await.status.unwrap().history;
    assert!(history.iter().all(|one| one.revision != broken));
}

#[tokio::test]
async fn a_new_template_goes_from_step_to_step_a_pause_holds_it_and_the_last_goes_first() {
    let world = World::new("setrollspec").await;
    enable(&world).await;
    let repo = world.repo("config");
    let (dev, prod) = (world.existing_app("dev"), world.existing_app("prod"));
    let head = repo.commit(&[
        ("dev/map.yaml", Some(&config_map("of-dev", "1"))),
        ("prod/map.yaml", Some(&config_map("of-prod", "1"))),
        ("new/dev/map.yaml", Some(&config_map("of-dev", "2"))),
        ("new/dev/bad.yaml", Some(NO_CONFIG_MAP)),
        ("new/prod/map.yaml", Some(&config_map("of-prod", "2"))),
    ]);
    let value = fleet(&world, &repo, "{{.env}}");
    world.plane.apply_value_as("gitops-e2e", value).await;
    dev.synced_to(&head).await;
    prod.synced_to(&head).await;
    rolls(&world, "False", &["has completed"]).await;

    let person = world.person();
    let told = person.gitops(&["appset", "pause", "fleet"]).run().await;
    told.exits(0).says("fleet: its rollout is held");
    let value = fleet(&world, &repo, "new/{{.env}}");
    world.plane.apply_value_as("gitops-e2e", value).await;
    rolls(&world, "True", &["rollout of step 1"]).await;
    let path = async |app: &gitops_e2e::App<'_>| app.get().await.spec.source.unwrap().path;
    assert_eq!(path(&dev).await, "dev", "it is paused");
    let listed = person.gitops(&["appset", "list"]).run().await;
    listed
        .exits(0)
        .prints("paused: ApplicationSet is performing rollout of step 1");
    let told = person.gitops(&["appset", "resume", "fleet"]).run().await;
    told.exits(0).says("fleet: its rollout goes on");
    rolls(&world, "True", &["goes no further: Application dev"]).await;
    let shown = person.gitops(&["appset", "get", "fleet"]).run().await;
    shown
        .exits(0)
        .prints("goes no further: Application dev")
        .prints("Waiting");
    assert_eq!(path(&dev).await, "new/dev");
    assert_eq!(path(&prod).await, "prod", "its step has not come");
    world.config_map_is("of-prod", "1").await;
    let mended = repo.commit(&[("new/dev/bad.yaml", None)]);
    prod.wait("the new path", |app| {
        app.spec.source.as_ref().unwrap().path == "new/prod" && revision(app) == mended
    })
    .await;
    world.config_map_is("of-prod", "2").await;
    rolls(&world, "False", &["has completed"]).await;

    prod.patch(json!({"metadata": {"finalizers": [
        "resources-finalizer.argocd.argoproj.io", "example.com/held"]}}))
        .await;
    sets(&world)
        .delete("fleet", &DeleteParams::default())
        .await
        .unwrap();
    prod.wait("its deletion", |app| {
        app.metadata.deletion_timestamp.is_some()
    })
    .await;
    world.object_gone::<ConfigMap>("of-prod").await;
    assert!(dev.get().await.metadata.deletion_timestamp.is_none());
    prod.patch(json!({"metadata": {"finalizers": null}})).await;
    dev.gone().await;
    world.object_gone::<ConfigMap>("of-dev").await;
    let gone = wait::until(sets(&world), "fleet", |set: Option<&ApplicationSet>| {
        set.is_none()
    });
    gone.await.unwrap();
}
