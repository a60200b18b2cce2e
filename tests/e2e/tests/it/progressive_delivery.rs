//! A canary of Argo Rollouts under the agent; the tests act as its controller, and write what it
//! writes: status, annotations, the selectors of Services, the scale of a Deployment.

use std::path::Path;

use gitops_api::{Application, HealthStatusCode, OperationPhase};
use gitops_e2e::application::{
    health, is_healthy, is_synced, operation, resource, revision, settled, status,
};
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::rollouts::{Controller, HASH, definitions};
use gitops_e2e::{App, Repo, World};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const STABLE: &str = "payments-stable";
const CANARY: &str = "payments-canary";

/// Changes an object as a person does.
async fn edit<K>(world: &World, name: &str, patch: Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let patch = Patch::Strategic(patch);
    world.api::<K>().patch(name, &params, &patch).await.unwrap();
}

/// The canary of the examples, with Pods and Services.
fn rollout(image: &str) -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/examples/000-payments-rollout.yaml");
    let example = std::fs::read_to_string(example).unwrap();
    format!(
        "{example}      canaryService: {CANARY}\n      stableService: {STABLE}\n  replicas: 4\n  selector:\n    \
         matchLabels: {{app: payments}}\n  template:\n    metadata:\n      labels: {{app: payments}}\n    \
         spec:\n      containers: [{{name: payments, image: {image}}}]\n"
    )
}

fn service(name: &str, selector: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  \
         selector: {{{selector}}}\n  ports: [{{name: http, port: 80, targetPort: 80}}]\n"
    )
}

async fn selector(world: &World, name: &str) -> Value {
    let service = world.api::<Service>().get(name).await.unwrap();
    json!(service.spec.unwrap().selector)
}

fn target(service: &Service) -> Value {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    ports.map_or(Value::Null, |ports| json!(ports[0].target_port))
}

async fn stands(app: &App<'_>, wanted: HealthStatusCode, message: &str) -> Application {
    app.wait(&format!("Synced and {wanted}: {message}"), |app| {
        is_synced(app)
            && settled(app)
            && health(app) == Some(wanted)
            && resource(app, "Rollout", "payments").is_some_and(|rollout| {
                rollout.health.is_some_and(|health| {
                    health.status == wanted && health.message.contains(message)
                })
            })
    })
    .await
}

/// A released first version: Synced and Healthy.
async fn released<'a>(world: &'a World, repo: &Repo) -> App<'a> {
    let commit = repo.commit(&[
        ("rollout.yaml", Some(&rollout("payments:1"))),
        ("stable.yaml", Some(&service(STABLE, "app: payments"))),
        ("canary.yaml", Some(&service(CANARY, "app: payments"))),
    ]);
    let app = world.app("payments").repo(repo).automated().create().await;
    app.synced_to(&commit).await;
    stands(&app, HealthStatusCode::Progressing, "latest change").await;
    let controller = Controller(world);
    controller.revision("1").await;
    for service in [STABLE, CANARY] {
        controller.selects(service, "h1").await;
    }
    let stable = json!({"currentPodHash": "h1", "stableRS": "h1", "replicas": 4});
    controller.sees("Healthy", "", stable).await;
    app.healthy().await;
    app
}

#[tokio::test]
async fn a_canary_pauses_is_aborted_and_a_revert_makes_it_healthy() {
    let world = World::new("canary").await;
    definitions(&world).await;
    let repo = world.repo("config");
    let app = released(&world, &repo).await;
    let controller = Controller(&world);

    let second = repo.write("rollout.yaml", &rollout("payments:2"));
    app.synced_to(&second).await;
    // What was true of the version before says nothing about this one.
    stands(&app, HealthStatusCode::Progressing, "latest change").await;
    controller.revision("2").await;
    controller.selects(CANARY, "h2").await;
    let steps = json!({"currentPodHash": "h2", "currentStepIndex": 0});
    let more = "more replicas need to be updated";
    controller.sees("Progressing", more, steps).await;
    stands(&app, HealthStatusCode::Progressing, more).await;

    let pause = json!([{"reason": "CanaryPauseStep", "startTime": "2026-01-02T03:04:05Z"}]);
    let paused = json!({"pauseConditions": pause, "controllerPause": true, "currentStepIndex": 1});
    controller.sees("Paused", "CanaryPauseStep", paused).await;
    let before = stands(&app, HealthStatusCode::Suspended, "CanaryPauseStep").await;
    let message = status(&before).health.unwrap().message;
    assert!(
        message.contains("Rollout") && message.contains("payments"),
        "{message}"
    );
    let told = world.person().gitops(&["explain", "payments"]).run().await;
    told.prints("suspended: CanaryPauseStep");

    // Somebody pauses and resumes it beside Git, which says nothing about that.
    for paused in [json!(true), json!(null)] {
        controller.notes(json!({"spec": {"paused": paused}})).await;
        controller
            .sees("Paused", "manually paused", json!({}))
            .await;
        stands(&app, HealthStatusCode::Suspended, "manually paused").await;
    }
    let after = app.refresh("normal").await;
    assert!(is_synced(&after));
    assert_eq!(
        status(&after).operation_state,
        status(&before).operation_state,
        "what the controller writes was neither drift nor taken back"
    );
    assert!(world.agent().metric("gitops_agent_heals_total") < 1.0);
    assert_eq!(
        selector(&world, CANARY).await,
        json!({"app": "payments", HASH: "h2"})
    );

    // Nor is it after a restart, when the agent knows nothing but what is in the cluster.
    world.agent().kill();
    world.agent().restart();
    app.refresh("normal").await;
    let again = stands(&app, HealthStatusCode::Suspended, "manually paused").await;
    assert_eq!(
        status(&again).operation_state,
        status(&before).operation_state
    );

    let abort = json!({"abort": true, "abortedAt": "2026-01-02T03:09:05Z", "pauseConditions": null,
        "controllerPause": false});
    let reason = "RolloutAborted: Rollout aborted update to revision 2";
    controller.sees("Degraded", reason, abort).await;
    stands(&app, HealthStatusCode::Degraded, reason).await;
    let told = world.person().gitops(&["explain", "payments"]).run().await;
    told.prints(reason);

    repo.git(&["revert", "--no-edit", "HEAD"]);
    repo.push(&["HEAD"]);
    app.synced_to(&repo.head()).await;
    stands(&app, HealthStatusCode::Progressing, "latest change").await;
    controller.revision("3").await;
    controller.selects(CANARY, "h1").await;
    let stable = json!({"abort": null, "abortedAt": null, "currentPodHash": "h1"});
    controller.sees("Healthy", "", stable).await;
    app.healthy().await;
    assert_eq!(
        selector(&world, CANARY).await,
        json!({"app": "payments", HASH: "h1"})
    );
}

#[tokio::test]
async fn where_the_controller_sends_traffic_stays_whatever_else_is_applied() {
    let world = World::new("traffic").await;
    definitions(&world).await;
    let repo = world.repo("config");
    let app = released(&world, &repo).await;
    let controller = Controller(&world);

    // A heal of another field applies the Service, and with it its selector.
    let ports = json!({"spec": {"ports": [{"port": 80, "targetPort": 81}]}});
    edit::<Service>(&world, STABLE, ports).await;
    let message = world.event("Service", STABLE, "SelfHealed").await;
    assert!(message.contains("targetPort"), "{message}");
    assert!(!message.contains(HASH), "{message}");
    world
        .object(STABLE, "port 80", |service: &Service| target(service) == 80)
        .await;
    app.healthy().await;
    assert_eq!(
        selector(&world, STABLE).await,
        json!({"app": "payments", HASH: "h1"})
    );

    // A selector that is wrong where Git speaks is healed there.
    edit::<Service>(
        &world,
        STABLE,
        json!({"spec": {"selector": {"app": "else"}}}),
    )
    .await;
    world
        .object(STABLE, "its app", |service: &Service| {
            let selector = service
                .spec
                .as_ref()
                .and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| selector["app"] == "payments")
        })
        .await;
    app.healthy().await;
    assert_eq!(
        selector(&world, STABLE).await,
        json!({"app": "payments", HASH: "h1"})
    );

    // Git changes the selector, takes the change back, and the controller goes on.
    for (text, expected) in [
        (
            "app: payments, tier: web",
            json!({"app": "payments", "tier": "web", HASH: "h1"}),
        ),
        ("app: payments", json!({"app": "payments", HASH: "h1"})),
    ] {
        let commit = repo.write("stable.yaml", &service(STABLE, text));
        app.synced_to(&commit).await;
        assert_eq!(selector(&world, STABLE).await, expected, "{text}");
    }
    world.agent().kill();
    world.agent().restart();
    let before = app.refresh("normal").await;
    controller.selects(STABLE, "h2").await;
    world.agent().kill();
    world.agent().restart();
    let after = app.refresh("hard").await;
    assert!(is_synced(&after));
    assert_eq!(
        status(&after).operation_state,
        status(&before).operation_state
    );
    let person = world.person();
    person.gitops(&["diff", "payments"]).run().await.exits(0);
    assert_eq!(
        selector(&world, STABLE).await,
        json!({"app": "payments", HASH: "h2"})
    );

    // Git has the last word where it speaks, also about this entry.
    let text = format!("app: payments, {HASH}: pinned");
    let commit = repo.write("stable.yaml", &service(STABLE, &text));
    app.synced_to(&commit).await;
    assert_eq!(
        selector(&world, STABLE).await,
        json!({"app": "payments", HASH: "pinned"})
    );
}

#[tokio::test]
async fn what_the_controller_makes_is_its_own_and_a_workload_it_scales_down_stays_down() {
    let world = World::new("workloadref").await;
    definitions(&world).await;
    let repo = world.repo("config");
    let workload = |image: &str| deployment("web", 1, image).replace("  replicas: 1\n", "");
    let rollout = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata:\n  name: payments\nspec:\n  \
                   replicas: 2\n  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: web, \
                   scaleDown: onsuccess}\n  strategy: {canary: {steps: [{setWeight: 10}]}}\n";
    let commit = repo.commit(&[
        ("rollout.yaml", Some(rollout)),
        ("web.yaml", Some(&workload("web:1"))),
    ]);
    let app = world.app("payments").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let controller = Controller(&world);
    let generation = |generation: &str| {
        let annotations = json!({"rollout.argoproj.io/workload-generation": generation});
        json!({"metadata": {"annotations": annotations}})
    };
    controller.notes(generation("1")).await;
    let observed = json!({"workloadObservedGeneration": "1"});
    controller.sees("Healthy", "", observed).await;
    app.healthy().await;

    // Its ReplicaSet bears the annotations of the Rollout, marks of the agent among them.
    let owner = controller.of("Rollout").get("payments").await.unwrap();
    let set = serde_json::from_value(json!({
        "metadata": {"name": "payments-h1", "annotations": owner.annotations(),
            "labels": {"app": "web", "gitops-agent.io/managed-by": world.namespace, HASH: "h1"},
            "ownerReferences": [{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
                "name": "payments", "uid": owner.uid(), "controller": true}]},
        "spec": {"replicas": 0, "selector": {"matchLabels": {HASH: "h1"}},
            "template": {"metadata": {"labels": {HASH: "h1"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
    }));
    let sets = world.api::<ReplicaSet>();
    sets.create(&PostParams::default(), &set.unwrap())
        .await
        .unwrap();
    let down = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let deployments = world.api::<Deployment>();
    deployments
        .patch_scale("web", &Controller::writes(), &down)
        .await
        .unwrap();

    let commit = repo.write("web.yaml", &workload("web:2"));
    app.synced_to(&commit).await;
    controller.notes(generation("3")).await;
    app.wait("Progressing until the workload is seen", |app| {
        health(app) == Some(HealthStatusCode::Progressing)
    })
    .await;
    let observed = json!({"workloadObservedGeneration": "3"});
    controller.sees("Healthy", "", observed).await;
    let done = app.healthy().await;
    assert!(resource(&done, "ReplicaSet", "payments-h1").is_none());
    assert!(world.exists::<ReplicaSet>("payments-h1").await);
    let web = deployments.get("web").await.unwrap();
    assert_eq!(web.spec.unwrap().replicas, Some(0));
    assert!(world.agent().metric("gitops_agent_heals_total") < 1.0);
}

#[tokio::test]
async fn what_comes_after_a_canary_waits_for_its_promotion_and_for_its_analysis() {
    let world = World::new("analysis").await;
    definitions(&world).await;
    let repo = world.repo("config");
    let analysis = "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisRun\nmetadata:\n  generateName: \
                    success-rate-\n  annotations: {argocd.argoproj.io/hook: PostSync}\nspec:\n  \
                    metrics: [{name: success-rate, provider: {}}]\n";
    let later = config_map("later", "1").replace(
        "name: later",
        "name: later\n  annotations: {argocd.argoproj.io/sync-wave: \"1\"}",
    );
    let first = repo.commit(&[
        ("rollout.yaml", Some(&rollout("payments:1"))),
        ("later.yaml", Some(&later)),
        ("analysis.yaml", Some(analysis)),
    ]);
    let app = world.app("payments").repo(&repo).automated().create().await;
    app.compared_to(&first).await;
    let controller = Controller(&world);
    let waits = move |text: &'static str| {
        move |app: &Application| {
            let operation = operation(app);
            operation.phase == OperationPhase::Running && operation.message.contains(text)
        }
    };
    app.wait("for the Rollout", waits("Rollout")).await;
    controller
        .sees("Paused", "CanaryPauseStep", json!({}))
        .await;
    app.wait("Suspended", |app| {
        health(app) == Some(HealthStatusCode::Suspended) && waits("Rollout")(app)
    })
    .await;
    assert!(!world.exists::<ConfigMap>("later").await);
    controller.sees("Healthy", "", json!({})).await;
    world.config_map_is("later", "1").await;

    let waiting = app.wait("for the analysis", waits("AnalysisRun")).await;
    let run = hook_of(&waiting);
    let runs = controller.of("AnalysisRun");
    let judged = |phase: &str, message: &str| {
        Patch::Merge(json!({"status": {"phase": phase, "message": message}}))
    };
    let failed = judged(
        "Failed",
        "success-rate assessed Failed due to failed (1) > failureLimit (0)",
    );
    runs.patch_status(&run, &Controller::writes(), &failed)
        .await
        .unwrap();
    let ended = app
        .wait("Failed", |app| {
            // A failed attempt may be waiting for the next one.
            operation(app).message.contains("failureLimit")
        })
        .await;
    assert!(operation(&ended).message.contains("AnalysisRun"));

    let second = repo.write("later.yaml", &later.replace("value: \"1\"", "value: \"2\""));
    world.config_map_is("later", "2").await;
    let waiting = app
        .wait("for the next analysis", |app| {
            revision(app) == second && waits("AnalysisRun")(app) && hook_of(app) != run
        })
        .await;
    let run = hook_of(&waiting);
    runs.patch_status(&run, &Controller::writes(), &judged("Successful", ""))
        .await
        .unwrap();
    let done = app.synced_to(&second).await;
    assert_eq!(operation(&done).phase, OperationPhase::Succeeded);
    assert!(is_healthy(&done));
}

/// The AnalysisRun among the results.
fn hook_of(app: &Application) -> String {
    let result = status(app)
        .operation_state
        .and_then(|state| state.sync_result);
    let mut resources = result.unwrap_or_default().resources.into_iter();
    let run = resources.find(|resource| resource.kind == "AnalysisRun");
    run.map_or_else(String::new, |run| run.name)
}
