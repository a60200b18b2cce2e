//! `kubectl gitops wait`: the verdicts a pipeline relies on.

use gitops_e2e::World;
use gitops_e2e::application::is_out_of_sync;
use gitops_e2e::checkout::{Checkout, State};
use gitops_e2e::manifests::config_map;
use serde_json::json;

#[tokio::test]
async fn a_commit_is_waited_for_and_later_ones_count() {
    let world = World::new("waitcommit").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("web").repo(&repo).automated().create().await;
    app.healthy().await;
    let person = world.person();
    let first = repo.write("a.yaml", &config_map("settings", "two"));
    let live = person.gitops(&["wait", "web", "--commit", &first, "--timeout", "30s"]);
    let live = live.run().await;
    live.exits(0).prints_nothing().is_plain();
    live.says("Synced, Healthy").says(&first[..7]);

    let second = repo.write("a.yaml", &config_map("settings", "three"));
    app.synced_to(&second).await;
    // In a clone git itself says whether one is part of the other.
    let checkout = Checkout::of(&person, &repo, State::Clean, "a.yaml");
    let wait = person.gitops(&["wait", "web", "--commit", &first[..10]]);
    let contained = wait.from(checkout.path()).run().await;
    contained.exits(0).says("which contains").says(&first[..7]);
    let head = person.gitops(&["wait", "web", "--commit", "HEAD"]);
    head.from(checkout.path()).run().await.exits(0);
    checkout.is_untouched();
    // Elsewhere the agent does.
    let contained = person.gitops(&["wait", "web", "--commit", &first, "--timeout", "30s"]);
    contained.run().await.exits(0).says("which contains");
    let head = person.gitops(&["wait", "web", "--commit", "HEAD"]);
    head.run().await.fails(2).says("no clone");
}

#[tokio::test]
async fn what_will_not_come_ends_the_wait_with_the_reason() {
    let world = World::new("waitfail").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let person = world.person();
    let app = world.app("web").repo(&repo).automated().create().await;
    app.healthy().await;

    let checkout = Checkout::of(&person, &repo, State::Ahead, "a.yaml");
    let unpushed = person.gitops(&["wait", "web", "--commit", "HEAD"]);
    let unpushed = unpushed.from(checkout.path()).run().await;
    unpushed.exits(1).says("is not on branch main");

    let refused = repo.write(
        "b.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999999}]}\n",
    );
    let failed = person.gitops(&["wait", "web", "--commit", &refused, "--timeout", "30s"]);
    failed.run().await.exits(1).says("99999999");
    let broken = repo.write(
        "b.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n",
    );
    let failed = person.gitops(&["wait", "web", "--commit", &broken, "--timeout", "30s"]);
    failed.run().await.exits(1).says("b.yaml");

    let manual = world.app("manual").repo(&repo).path("one").create().await;
    let commit = repo.write("one/a.yaml", &config_map("other", "one"));
    manual.wait("OutOfSync", is_out_of_sync).await;
    let nobody = person.gitops(&["wait", "manual", "--commit", &commit, "--timeout", "30s"]);
    let nobody = nobody.run().await;
    nobody.exits(1).says("kubectl gitops sync manual");
    let plain = person.gitops(&["wait", "manual"]).run().await;
    plain.exits(1).says("automated sync is off");
}

#[tokio::test]
async fn waiting_has_an_end() {
    let world = World::new("waitend").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("web").repo(&repo).automated().create().await;
    app.healthy().await;
    let person = world.person();
    person.gitops(&["wait", "web"]).run().await.exits(0);
    world.agent().kill();
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    let late = ["wait", "web", "--commit", &commit, "--timeout", "2s"];
    let late = person.gitops(&late).run().await;
    late.exits(1).says("not in time").is_plain();
    app.delete().await;
    let gone = person.gitops(&["wait", "web"]).run().await;
    gone.fails(2).says("there is no Application");
}

#[tokio::test]
async fn several_are_waited_for_at_once_and_each_has_its_line() {
    let world = World::new("waitmany").await;
    let repo = world.repo("config");
    for name in ["one", "two", "three"] {
        repo.write(&format!("{name}/a.yaml"), &config_map(name, "1"));
    }
    let labels = json!({"team": "payments"});
    for name in ["one", "two"] {
        let app = world.app(name).repo(&repo).path(name).automated();
        app.set("/metadata/labels", labels.clone()).create().await;
    }
    let person = world.person();
    let wait = |arguments: &[&str]| {
        let fixed = ["--healthy-for", "0s", "--timeout", "2m"];
        let arguments: Vec<&str> = ["wait"]
            .iter()
            .chain(arguments)
            .chain(&fixed)
            .copied()
            .collect();
        person.gitops(&arguments)
    };
    let done = wait(&["-l", "team=payments"]).run().await;
    done.exits(0).prints_nothing().is_plain();
    done.says("one: Synced, Healthy")
        .says("two: Synced, Healthy")
        .says("all 2 Applications");
    // One that nobody syncs is the one that fails, and the others are told all the same.
    let manual = world.app("three").repo(&repo).path("three").create().await;
    manual.wait("OutOfSync", is_out_of_sync).await;
    let failed = wait(&["--all"]).run().await;
    failed
        .exits(1)
        .says("one: Synced, Healthy")
        .says("three: OutOfSync, and nobody syncs it")
        .says("1 of 3 Applications are not as wanted");
    wait(&["-l", "team=nobody"])
        .run()
        .await
        .fails(2)
        .says("no Applications with these labels");
    wait(&["--all", "--commit", "1234567"]).run().await.fails(2);
}
