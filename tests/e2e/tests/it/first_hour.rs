//! What a person sees is true first: which commit is tracked, live and good; what "now" means; fields that
//! mean nothing.

use gitops_e2e::World;
use gitops_e2e::application::{is_synced, status};
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

/// A manifest that is no YAML.
const BROKEN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n";

#[tokio::test]
async fn a_commit_that_does_not_render_has_a_name_and_the_way_back_changes_nothing() {
    let world = World::new("tip").await;
    let repo = world.repo("config");
    let first = repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&first).await;
    app.healthy().await;
    let second = repo.write("web.yaml", &deployment("web", 2, "web:2"));
    app.synced_to(&second).await;
    app.wait("healthy again", |app| {
        let newest = status(app).history.pop();
        newest.is_some_and(|entry| entry.revision == second && entry.healthy_at.is_some())
    })
    .await;
    let broken = repo.write("web.yaml", BROKEN);
    let seen = app
        .wait("the tip", |app| {
            status(app)
                .tracked
                .is_some_and(|tip| tip.revision == broken)
        })
        .await;
    let live = status(&seen).live.unwrap();
    assert_eq!(
        (live.commit.revision.as_str(), live.behind),
        (second.as_str(), 1)
    );

    let person = world.person();
    let listed = person.gitops(&["status"]).run().await;
    listed.prints("web.yaml");
    let detail = person.gitops(&["status", "shop"]).run().await;
    detail.prints(&format!("main at {}", &broken[..7]));
    detail
        .prints("cannot be compared")
        .prints("1 commit behind");
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained.prints(&format!("main is at {}", &broken[..7]));
    let history = person.gitops(&["history", "shop"]).run().await;
    history.prints(&broken[..7]).prints("not deployed");
    // What will not come is said at once, not after a minute.
    let wait = ["wait", "shop", "--commit", &broken, "--timeout", "40s"];
    person.gitops(&wait).run().await.exits(1).says("web.yaml");
    // Back to what is live and good, not to the release before.
    let plan = person
        .gitops(&["rollback", "shop", "--dry-run"])
        .run()
        .await;
    plan.exits(0).prints(&second[..7]).never_shows(&first[..7]);
    plan.never_shows("spec.replicas");
    repo.write("web.yaml", &deployment("web", 2, "web:2"));
    app.wait("no tip of its own", |app| {
        status(app).tracked.is_none() && is_synced(app)
    })
    .await;
}

#[tokio::test]
async fn now_means_the_remote_for_who_asks_and_for_all_who_follow() {
    let world = World::new("remote").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("one/a.yaml", Some(&config_map("one", "1"))),
        ("one/gone.yaml", Some(&config_map("gone", "1"))),
        ("two/b.yaml", Some(&config_map("two", "1"))),
    ]);
    let manual = world.app("one").repo(&repo).path("one").create().await;
    let two = world
        .app("two")
        .repo(&repo)
        .path("two")
        .automated()
        .create();
    let two = two.await;
    two.synced().await;
    manual.compared_to(&repo.head()).await;
    {
        let mut agent = world.agent();
        agent.polls_every("1h");
        agent.restart();
    }
    let person = world.person();
    // The start lists everything once.
    person
        .gitops(&["refresh", "one", "two"])
        .run()
        .await
        .exits(0);

    let pushed = repo.write("one/a.yaml", &config_map("one", "2"));
    let synced = person.gitops(&["sync", "one"]).run().await;
    synced.exits(0).prints(&pushed[..7]);
    world.config_map_is("one", "2").await;
    // A client that only writes the operation gets the same.
    let pushed = repo.write("one/a.yaml", &config_map("one", "3"));
    let ended = manual.sync(json!({})).await;
    let result = status(&ended).operation_state.unwrap().sync_result.unwrap();
    assert_eq!(result.revision, pushed);
    world.config_map_is("one", "3").await;
    // Who looks lets all look: nobody waits for the poll of another.
    let pushed = repo.commit(&[
        ("two/b.yaml", Some(&config_map("two", "2"))),
        ("one/gone.yaml", None),
    ]);
    person.gitops(&["refresh", "one"]).run().await.exits(0);
    two.synced_to(&pushed).await;
    world.config_map_is("two", "2").await;
    // `wait` asks, too.
    let pushed = repo.write("two/b.yaml", &config_map("two", "3"));
    let wait = ["wait", "two", "--commit", &pushed, "--healthy-for", "0s"];
    person.gitops(&wait).run().await.exits(0);
    world.config_map_is("two", "3").await;
    // What would be taken away again a moment later is not begun.
    let branch = person.gitops(&["sync", "two", "--revision", "topic"]);
    let refused = branch.run().await;
    refused
        .fails(4)
        .says("synced automatically")
        .says("rollback two");
}

/// Sets whether the Pods of `web` are ready, as their kubelet would when a container ends or starts.
async fn ready(world: &World, is_ready: bool) {
    let pods = world.api::<Pod>();
    let params = ListParams::default().labels("app=web");
    let status = if is_ready { "True" } else { "False" };
    for pod in pods.list(&params).await.unwrap() {
        let condition = |kind: &str| json!({"type": kind, "status": status});
        let patch = json!({"status": {"conditions": [
            condition("Ready"), condition("ContainersReady")]}});
        pods.patch_status(
            &pod.name_any(),
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn what_was_healthy_for_a_moment_is_not_gone_back_to() {
    let world = World::new("earned").await;
    let repo = world.repo("config");
    let first = repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&first).await;
    app.healthy().await;
    let crashing = repo.write("web.yaml", &deployment("web", 1, "web:2"));
    app.synced_to(&crashing).await;
    let healthy = |commit: String| {
        move |app: &gitops_api::Application| {
            let newest = status(app).history.pop();
            newest.is_some_and(|one| one.revision == commit && one.healthy_since.is_some())
        }
    };
    app.wait("healthy for a moment", healthy(crashing.clone()))
        .await;
    let person = world.person();
    let new = person.gitops(&["history", "shop"]).run().await;
    new.prints("good after");
    ready(&world, false).await;
    let lost = app
        .wait("its health is lost", |app| {
            let newest = status(app).history.pop();
            newest.is_some_and(|one| one.lost_at.is_some() && one.healthy_since.is_none())
        })
        .await;
    assert_eq!(status(&lost).history.len(), 2);
    let told = person.gitops(&["history", "shop"]).run().await;
    told.prints("lost after");
    // It starts again, and is no better for it.
    ready(&world, true).await;
    app.wait("healthy again", healthy(crashing.clone())).await;
    let waited = ["wait", "shop", "--timeout", "2s"];
    person
        .gitops(&waited)
        .run()
        .await
        .exits(1)
        .says("good after");
    let third = repo.write("web.yaml", &deployment("web", 1, "web:3"));
    app.synced_to(&third).await;
    app.wait("healthy for a moment", healthy(third.clone()))
        .await;
    let plan = person
        .gitops(&["rollback", "shop", "--dry-run"])
        .run()
        .await;
    plan.exits(0)
        .prints(&first[..7])
        .prints("last Synced and Healthy");
}

#[tokio::test]
async fn fields_that_mean_nothing_are_named_with_what_was_meant() {
    let world = World::new("fields").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated();
    let app = app
        .set("/spec/source/targetRevison", json!("topic"))
        .create();
    let app = app.await;
    app.condition(
        "InvalidSettingWarning",
        &["spec.source.targetRevison", "did you mean targetRevision?"],
    )
    .await;
    let person = world.person();
    person
        .gitops(&["doctor"])
        .run()
        .await
        .prints("targetRevison");
}

#[tokio::test]
async fn what_changed_nothing_is_no_deployment_and_no_time_is_invented() {
    let world = World::new("honest").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 2, "web:1"));
    let app = world.app("shop").repo(&repo).create().await;
    let person = world.person();
    person.gitops(&["sync", "shop"]).run().await.exits(0);
    app.healthy().await;
    // Nothing to do: no deployment.
    person.gitops(&["sync", "shop"]).run().await.exits(0);
    let again = app.get().await;
    assert_eq!(status(&again).history.len(), 1);
    let dry = person.gitops(&["sync", "shop", "--dry-run"]).run().await;
    dry.exits(0);
    let detail = person.gitops(&["status", "shop"]).run().await;
    detail.prints("dry run").never_shows("last sync");

    // kubectl scale writes no time into managedFields.
    let scale = [
        "scale",
        "deployment/web",
        "--replicas=3",
        "-n",
        &world.target,
    ];
    world.plane.kubectl(&scale).unwrap();
    app.wait("drift", |app| {
        let mut resources = status(app).resources.into_iter();
        resources.any(|one| !one.drift.is_empty())
    })
    .await;
    let diff = person.gitops(&["diff", "shop", "-o", "json"]).run().await;
    diff.check(!diff.stdout.contains("\"since\""), "invents no time");

    // What is reverted is in status, and in a pipe.
    let automated = json!({"spec": {"syncPolicy": {"automated": {"selfHeal": true}}}});
    app.patch(automated).await;
    app.wait("a heal", |app| !status(app).heals.is_empty())
        .await;
    let detail = person.gitops(&["status", "shop"]).run().await;
    detail.prints("reverted").prints(".spec.replicas");
    let history = person.gitops(&["history", "shop"]).run().await;
    history.prints(".spec.replicas");
    let none = person
        .gitops(&["rollback", "shop", "--to", "17"])
        .run()
        .await;
    none.exits(4).says("the history has 0 to");
}
