//! Stop means stop: what is paused is compared and left as it is, also by another agent; resume shows
//! first what it reverts.

use gitops_api::OperationPhase;
use gitops_e2e::World;
use gitops_e2e::application::{conditions, is_out_of_sync, status};
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

async fn edit(world: &World, value: &str) {
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"data": {"value": value}}));
    let maps = world.api::<ConfigMap>();
    maps.patch("settings", &params, &patch).await.unwrap();
}

/// What gitops-operator may, as the installation has it.
fn operator() -> Value {
    let roles = include_str!("../../../../manifests/base/user-roles.yaml");
    let operator = roles.split("\n---\n").nth(1).unwrap();
    let role: Value = serde_saphyr::from_str(operator).unwrap();
    assert_eq!(role["metadata"]["name"], "gitops-operator");
    role["rules"].clone()
}

#[tokio::test]
async fn a_paused_application_is_compared_and_left_as_it_is() {
    let world = World::new("pause").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let person = world.person_with("oncall", operator()).await;
    let pause = ["pause", "shop", "--reason", "INC-7", "--for", "2h"];
    let paused = person.gitops(&pause).run().await;
    paused
        .exits(0)
        .says("oncall")
        .says("INC-7")
        .says("resume shop");
    app.condition("PausedWarning", &["oncall", "INC-7", "until 20"])
        .await;

    // Neither a change of the cluster nor a commit is acted upon, and both are told.
    edit(&world, "mine").await;
    let second = repo.write("b.yaml", &config_map("second", "two"));
    app.refresh("normal").await;
    let seen = app
        .wait("both differences", |app| {
            let resources = status(app).resources;
            is_out_of_sync(app)
                && resources.iter().any(|one| !one.drift.is_empty())
                && resources.iter().any(|one| one.name == "second")
        })
        .await;
    assert!(
        conditions(&seen)
            .iter()
            .any(|(kind, _)| kind == "PausedWarning")
    );
    let asked = status(&app.sync(json!({})).await).operation_state.unwrap();
    assert_eq!(asked.phase, OperationPhase::Error);
    assert!(asked.message.contains("paused by"), "{}", asked.message);
    let refused = person.gitops(&["sync", "shop"]).run().await;
    refused.fails(4).says("INC-7").says("resume shop");
    let waiting = person.gitops(&["wait", "shop"]).run().await;
    waiting.exits(1).says("paused by").says("INC-7");
    person.gitops(&["status"]).run().await.prints("paused by");
    let detail = person.gitops(&["status", "shop"]).run().await;
    detail.prints("INC-7").prints("self-heal on");
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained
        .prints("paused by")
        .prints("kubectl gitops resume shop");

    // Another agent keeps to it, too.
    assert!(world.stop().await);
    world.agent().restart();
    edit(&world, "still mine").await;
    app.refresh("normal").await;
    world.config_map_is("settings", "still mine").await;
    assert!(!world.exists::<ConfigMap>("second").await);
    assert_eq!(status(&app.get().await).heals, []);

    // What will be reverted is shown, and nobody but a user agrees to it.
    let asks = person.gitops(&["resume", "shop"]).run().await;
    asks.exits(4)
        .prints("~ ConfigMap/settings")
        .prints("+ ConfigMap/second");
    world.config_map_is("settings", "still mine").await;
    let resumed = person.gitops(&["resume", "shop", "--yes"]).run().await;
    resumed.exits(0).says("shop: resumed");
    world.config_map_is("settings", "one").await;
    world.config_map_is("second", "two").await;
    app.synced_to(&second).await;
    let again = person.gitops(&["resume", "shop"]).run().await;
    again.exits(0).says("not paused");
}

#[tokio::test]
async fn everything_is_paused_at_once_and_ends_by_itself() {
    let world = World::new("pause-all").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let person = world.person_with("oncall", operator()).await;
    let paused = person
        .gitops(&["pause", "--all", "--reason", "move"])
        .run()
        .await;
    paused.exits(0).says("everything is paused: 1 Application");
    edit(&world, "mine").await;
    // One that is made only now is paused, too.
    let late = world.app("late").repo(&repo).automated().create().await;
    late.condition("PausedWarning", &["all applications", "move"])
        .await;
    app.wait("drift that is told", is_out_of_sync).await;
    let one = person.gitops(&["resume", "shop"]).run().await;
    one.exits(0).says("resume --all");
    let shown = person.gitops(&["resume", "--all", "--dry-run"]).run().await;
    shown.exits(0).prints("~ ConfigMap/settings");
    world.config_map_is("settings", "mine").await;
    // Written anew with an end, it ends without anybody's doing.
    let short = ["pause", "--all", "--for", "3s"];
    person.gitops(&short).run().await.exits(0);
    world.config_map_is("settings", "one").await;
    app.synced().await;
    let told = app.wait("no pause", |app| conditions(app).is_empty()).await;
    assert_eq!(conditions(&told), []);
}

#[tokio::test]
async fn an_agent_does_not_start_itself_again() {
    let world = World::new("stopped").await;
    let repo = world.repo("config");
    let agent = deployment("gitops-agent", 1, "agent:1").replacen(
        "app: gitops-agent",
        "app.kubernetes.io/name: gitops-agent",
        1,
    );
    repo.commit(&[
        ("agent.yaml", Some(&agent)),
        ("web.yaml", Some(&deployment("web", 1, "web:1"))),
    ]);
    let app = world.app("agent").repo(&repo).automated().create().await;
    app.healthy().await;
    let live = world.api::<Deployment>();
    let zero = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let params = PatchParams {
        field_manager: Some("kubectl-scale".into()),
        ..PatchParams::default()
    };
    live.patch("gitops-agent", &params, &zero).await.unwrap();
    live.patch("web", &params, &zero).await.unwrap();
    // The one is healed, so the other was looked at.
    world.event("Deployment", "web", "SelfHealed").await;
    app.wait("the difference", |app| {
        let mut resources = status(app).resources.into_iter();
        resources.any(|one| one.name == "gitops-agent" && !one.drift.is_empty())
    })
    .await;
    // Nor does a commit start it.
    let head = repo.commit(&[
        ("agent.yaml", Some(&agent.replace("agent:1", "agent:2"))),
        ("more.yaml", Some(&config_map("more", "1"))),
    ]);
    world.config_map_is("more", "1").await;
    app.compared_to(&head).await;
    let replicas = |live: &Deployment| live.spec.as_ref().and_then(|spec| spec.replicas);
    let stopped = live.get("gitops-agent").await.unwrap();
    assert_eq!(replicas(&stopped), Some(0));
}
