//! A requested sync that fails is tried again as it says; one that takes too long is ended.

use gitops_api::{Application, OperationPhase};
use gitops_e2e::World;
use gitops_e2e::application::{is_out_of_sync, operation};
use gitops_e2e::fault_proxy::{Fault, Requests, Verb};
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

/// A manifest the API server refuses.
fn broken() -> String {
    deployment("web", 1, "web:1").replace("  replicas: 1", "  replicas: -1")
}

#[tokio::test]
async fn attempts_are_counted_and_end() {
    let world = World::new("retries").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &broken());
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let retry = json!({"limit": 2, "backoff": {"duration": "1s", "factor": 1}});
    let info = json!([{"name": "reason", "value": "a test"}]);
    app.patch(
        json!({"operation": {"sync": {}, "retry": retry, "info": info,
        "initiatedBy": {"username": "tester"}}}),
    )
    .await;
    let first = app
        .wait("waiting for the first retry", |app| {
            let state = operation(app);
            state.phase == OperationPhase::Running && state.retry_count == 1
        })
        .await;
    let state = operation(&first);
    assert!(state.finished_at.is_some());
    assert!(
        state.message.contains("spec.replicas")
            && state.message.contains("retrying attempt #1 at "),
        "{}",
        state.message
    );
    assert!(
        first.operation.is_some(),
        "no other can be asked for meanwhile"
    );
    let done = app
        .wait("the end", |app| {
            operation(app).phase == OperationPhase::Failed
        })
        .await;
    let state = operation(&done);
    assert_eq!(state.retry_count, 2);
    assert!(!state.message.contains("retrying"), "{}", state.message);
    let asked = state.operation;
    assert_eq!(asked.initiated_by.unwrap().username, "tester");
    assert_eq!(asked.info[0].value, "a test");
    assert!(done.operation.is_none());
}

#[tokio::test]
async fn a_new_commit_is_taken_only_with_refresh() {
    let world = World::new("retryrefresh").await;
    let repo = world.repo("config");
    let first = repo.write("web.yaml", &broken());
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let waits = |app: &Application| {
        let state = operation(app);
        state.phase == OperationPhase::Running && state.retry_count > 0
    };
    let retry = |refresh: bool| json!({"limit": 2, "refresh": refresh, "backoff": {"duration": "2s", "factor": 1}});
    app.patch(json!({"operation": {"sync": {}, "retry": retry(false)}}))
        .await;
    app.wait("a retry", waits).await;
    repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let failed = app
        .wait("the end", |app| {
            operation(app).phase == OperationPhase::Failed
        })
        .await;
    assert_eq!(operation(&failed).sync_result.unwrap().revision, first);

    repo.write("web.yaml", &broken());
    app.refresh("normal").await;
    app.patch(json!({"operation": {"sync": {}, "retry": retry(true)}}))
        .await;
    app.wait("a retry", waits).await;
    let fixed = repo.write("web.yaml", &deployment("web", 1, "web:2"));
    let done = app
        .wait("success", |app| {
            operation(app).phase == OperationPhase::Succeeded
        })
        .await;
    assert_eq!(operation(&done).sync_result.unwrap().revision, fixed);
    app.synced_to(&fixed).await;
}

#[tokio::test]
async fn a_sync_that_waits_for_its_retry_can_be_ended_and_survives_the_agent() {
    let world = World::new("retryend").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &broken());
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let retry = json!({"limit": -1, "backoff": {"duration": "10m", "maxDuration": "10m"}});
    app.patch(json!({"operation": {"sync": {}, "retry": retry}}))
        .await;
    let waits = |app: &Application| operation(app).retry_count == 1;
    app.wait("a retry", waits).await;
    world.agent().restart();
    let after = app.refresh("normal").await;
    assert_eq!(operation(&after).phase, OperationPhase::Running);
    assert_eq!(
        operation(&after).retry_count,
        1,
        "it waits as long as it was to"
    );
    app.patch(json!({"status": {"operationState": {"phase": "Terminating"}}}))
        .await;
    let done = app
        .wait("the end", |app| {
            operation(app).phase == OperationPhase::Failed
        })
        .await;
    assert_eq!(operation(&done).message, "operation terminated");
    assert!(done.operation.is_none());
}

#[tokio::test]
async fn a_hook_that_never_ends_is_ended_when_the_time_is_over() {
    ended_when_the_time_is_over(&World::new("timeout").await).await;
}

#[tokio::test]
async fn a_hook_that_cannot_be_ended_is_ended_when_it_can() {
    let world = World::behind_proxy("timeout-refused").await;
    let deletes = Requests::of(Verb::Delete).resource("pods");
    let refused = world.proxy().on(deletes, Fault::status(403));
    let lifted = async {
        world.logged("hook could not be stopped").await;
        refused.lift();
    };
    let ended = ended_when_the_time_is_over(&world);
    tokio::join!(lifted, ended);
}

/// Whoever runs a hook's Pod writes its status at any moment, also in the one in which it is let go.
#[tokio::test]
async fn a_hook_that_others_write_meanwhile_is_ended_all_the_same() {
    let world = World::behind_proxy("timeout-conflict").await;
    let conflict = Fault::status(409);
    let lets_go = Requests::of(Verb::Patch)
        .resource("pods")
        .that(|request| !request.apply)
        .times(3);
    let conflicts = world.proxy().on(lets_go, conflict);
    ended_when_the_time_is_over(&world).await;
    assert_eq!(conflicts.hits(), 3);
}

async fn ended_when_the_time_is_over(world: &World) {
    let parameters = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cmd-params-cm\n  labels: \
                      {app.kubernetes.io/part-of: argocd}\ndata:\n  controller.sync.timeout.seconds: \"2\"\n";
    world.configure(parameters).await;
    let repo = world.repo("config");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: check\n  annotations:\n    \
               argocd.argoproj.io/hook: PreSync\n    gitops-test/outcome: hang\nspec:\n  \
               restartPolicy: Never\n  containers: [{name: work, image: work:1}]\n";
    repo.commit(&[
        ("pod.yaml", Some(pod)),
        ("map.yaml", Some(&config_map("settings", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let retry = json!({"limit": 5, "backoff": {"duration": "1s"}});
    app.patch(json!({"operation": {"sync": {}, "retry": retry}}))
        .await;
    let done = app
        .wait("the end", |app| {
            operation(app).phase == OperationPhase::Failed
        })
        .await;
    let state = operation(&done);
    for text in [
        "longer than 2 s",
        "PreSync",
        "Pod",
        "check",
        "controller.sync.timeout.seconds",
    ] {
        assert!(state.message.contains(text), "{text}: {}", state.message);
    }
    assert_eq!(
        state.retry_count, 0,
        "what took too long is not tried again"
    );
    world.object_gone::<Pod>("check").await;
    assert!(!world.exists::<ConfigMap>("settings").await);
}

#[tokio::test]
async fn an_admission_webhook_that_is_down_is_waited_for() {
    let world = World::new("webhookdown").await;
    let repo = world.repo("config");
    repo.write("map.yaml", &config_map("settings", "1"));
    // Nobody listens there.
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(world.plane.client.clone());
    let name = format!("{}.down.test", world.target);
    let configuration = serde_json::from_value(json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": name, "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                       "operations": ["CREATE", "UPDATE"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.target}},
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
        }],
    }))
    .unwrap();
    webhooks
        .create(&PostParams::default(), &configuration)
        .await
        .unwrap();
    // It takes effect some time later, and nothing says when.
    let probe: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    while world.api::<ConfigMap>().create(&dry, &probe).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let retry = json!({"limit": -1, "backoff": {"duration": "1s", "factor": 1}});
    app.patch(json!({"operation": {"sync": {}, "retry": retry}}))
        .await;
    let waits = app
        .wait("a retry", |app| operation(app).retry_count > 0)
        .await;
    let state = operation(&waits);
    assert!(
        state.message.contains("webhook") && state.message.contains("retrying attempt"),
        "{}",
        state.message
    );
    let result = state.sync_result.unwrap().resources.remove(0);
    assert!(result.message.contains("webhook"), "{}", result.message);
    assert!(!world.exists::<ConfigMap>("settings").await);
    webhooks
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    app.wait("success", |app| {
        operation(app).phase == OperationPhase::Succeeded
    })
    .await;
    world.config_map_is("settings", "1").await;
}
