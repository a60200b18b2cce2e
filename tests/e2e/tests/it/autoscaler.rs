//! A real HorizontalPodAutoscaler beside replicas that are in Git and ignored.

use gitops_api::HealthStatusCode;
use gitops_e2e::World;
use gitops_e2e::application::{health, is_synced, resource, settled, status};
use gitops_e2e::manifests::deployment;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

fn autoscaler(least: u8) -> String {
    format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: web\nspec:\n  \
         scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}\n  \
         minReplicas: {least}\n  maxReplicas: 9\n  metrics:\n    - type: Resource\n      \
         resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}\n"
    )
}

fn replicas(web: &Deployment) -> Option<i32> {
    web.spec.as_ref().and_then(|spec| spec.replicas)
}

#[tokio::test]
async fn an_autoscaler_decides_how_many_and_git_all_the_rest() {
    let world = World::new("autoscaler").await;
    let repo = world.repo("config");
    let commit = repo.commit(&[
        ("web.yaml", Some(&deployment("web", 1, "web:1"))),
        ("autoscaler.yaml", Some(&autoscaler(3))),
    ]);
    let rule = json!([{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/ignoreDifferences", rule)
        .set(
            "/spec/syncPolicy/syncOptions",
            json!(["RespectIgnoreDifferences=true"]),
        )
        .create()
        .await;
    app.synced_to(&commit).await;
    world
        .object("web", "three replicas", |web| replicas(web) == Some(3))
        .await;
    // Nobody measures anything here, which its own controller calls a failure.
    let judged = app
        .wait("Synced, with an autoscaler that cannot measure", |app| {
            is_synced(app)
                && settled(app)
                && resource(app, "Deployment", "web").is_some_and(|web| {
                    web.ignored_fields == [".spec.replicas"]
                        && web
                            .health
                            .is_some_and(|it| it.status == HealthStatusCode::Healthy)
                })
                && resource(app, "HorizontalPodAutoscaler", "web")
                    .and_then(|scaler| scaler.health)
                    .is_some_and(|it| {
                        it.status == HealthStatusCode::Degraded && it.message.contains("metrics")
                    })
        })
        .await;
    assert_eq!(health(&judged), Some(HealthStatusCode::Degraded));
    let message = status(&judged).health.unwrap().message;
    assert!(message.contains("HorizontalPodAutoscaler"), "{message}");

    // A release leaves the number alone; what Git says about the autoscaler counts.
    let commit = repo.commit(&[
        ("web.yaml", Some(&deployment("web", 1, "web:2"))),
        ("autoscaler.yaml", Some(&autoscaler(4))),
    ]);
    app.synced_to(&commit).await;
    world
        .object("web", "four replicas", |web| replicas(web) == Some(4))
        .await;
    let web = world.api::<Deployment>().get("web").await.unwrap();
    let pods = web.spec.unwrap().template.spec.unwrap();
    assert_eq!(pods.containers[0].image.as_deref(), Some("web:2"));
    app.refresh("hard").await;
    let web = world.api::<Deployment>().get("web").await.unwrap();
    assert_eq!(replicas(&web), Some(4));
    assert!(world.agent().metric("gitops_agent_heals_total") < 1.0);
}
