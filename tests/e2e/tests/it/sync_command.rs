//! `kubectl gitops sync`, `refresh` and `terminate`: what is asked, what is told, how they end.

use gitops_e2e::application::{is_out_of_sync, status};
use gitops_e2e::manifests::config_map;
use gitops_e2e::{Person, World};
use k8s_openapi::api::core::v1::ConfigMap;

/// A manifest that is no YAML.
const BROKEN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n";

/// An Application without automation, OutOfSync with two ConfigMaps in Git.
async fn manual(name: &str) -> (World, gitops_e2e::repository::Repo, Person) {
    let world = World::new(name).await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("kept", "1"))),
        ("b.yaml", Some(&config_map("removed", "1"))),
    ]);
    let app = world.app("web").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let person = world.person();
    (world, repo, person)
}

#[tokio::test]
async fn a_sync_is_shown_and_followed_and_deletes_only_what_was_confirmed() {
    let (world, repo, person) = manual("syncing").await;
    let app = world.existing_app("web");
    let first = person.gitops(&["sync", "web"]).run().await;
    first.exits(0).is_plain();
    first
        .prints("web: sync to main at ")
        .prints("ConfigMap/kept");
    first.says("ConfigMap/kept created").says("Synced, Healthy");
    world.config_map_is("removed", "1").await;
    let state = status(&app.get().await).operation_state.unwrap();
    let who = state.operation.initiated_by.unwrap().username;
    assert!(!who.is_empty() && who != "kubectl-gitops", "{who}");

    let commit = repo.remove("b.yaml");
    app.compared_to(&commit).await;
    let kept = person.gitops(&["sync", "web"]).run().await;
    kept.exits(0).prints("stays without --prune");
    assert!(world.exists::<ConfigMap>("removed").await);

    let refused = person.gitops(&["sync", "web", "--prune"]).run().await;
    refused
        .exits(4)
        .says("--yes")
        .says("delete ConfigMap/removed?");
    let mut terminal = person
        .gitops(&["sync", "web", "--prune"])
        .on_terminal(100, 30);
    terminal.shows("delete ConfigMap/removed? [y/N]").await;
    terminal.enter("");
    let declined = terminal.ends().await;
    declined.exits(4).is_tidy().shows("nothing was changed");
    assert!(world.exists::<ConfigMap>("removed").await);

    let mut terminal = person
        .gitops(&["sync", "web", "--prune"])
        .on_terminal(100, 30);
    terminal.shows("[y/N]").await;
    terminal.enter("y");
    let done = terminal.ends().await;
    done.exits(0).is_tidy().shows("Synced, Healthy");
    world.object_gone::<ConfigMap>("removed").await;
    let again = person.gitops(&["sync", "web", "--prune"]).run().await;
    again.exits(0).prints("nothing differs");
}

#[tokio::test]
async fn a_dry_run_and_a_selection_do_no_more_than_they_say() {
    let (world, _, person) = manual("choosing").await;
    let dry = person.gitops(&["sync", "web", "--dry-run"]).run().await;
    dry.exits(0).says("would apply 2");
    assert!(!world.exists::<ConfigMap>("kept").await);
    let typo = ["sync", "web", "--resource", "ConfigMap/kep"];
    let typo = person.gitops(&typo).run().await;
    typo.fails(2).says("did you mean ConfigMap/kept");
    let one = ["sync", "web", "--resource", "configmap/kept"];
    person.gitops(&one).run().await.exits(0);
    world.config_map_is("kept", "1").await;
    assert!(!world.exists::<ConfigMap>("removed").await);
}

#[tokio::test]
async fn what_is_refused_is_told_with_its_reason() {
    let (world, repo, person) = manual("failing").await;
    let commit = repo.write(
        "c.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999999}]}\n",
    );
    world.existing_app("web").compared_to(&commit).await;
    let failed = person.gitops(&["sync", "web"]).run().await;
    failed.exits(1).is_plain();
    failed
        .says("Service/web")
        .says("sync failed")
        .says("99999999");
}

#[tokio::test]
async fn one_sync_at_a_time_and_it_can_be_taken_back() {
    let (world, _, person) = manual("waiting").await;
    world.agent().kill();
    let asked = person.gitops(&["sync", "web", "--no-wait"]).run().await;
    asked.exits(0).says("asked for");
    let second = person.gitops(&["sync", "web"]).run().await;
    second.fails(4).says("a sync is asked for already");
    second.says("kubectl gitops terminate web");
    let taken = person.gitops(&["terminate", "web"]).run().await;
    taken.exits(0).says("cancelled the sync");
    let nothing = person.gitops(&["terminate", "web"]).run().await;
    nothing.exits(0).says("nothing is under way");

    // Waiting stops at once, and says what the cluster does.
    let mut terminal = person.gitops(&["sync", "web"]).on_terminal(100, 30);
    terminal.shows("waiting for the agent to begin").await;
    terminal.interrupt();
    let stopped = terminal.ends().await;
    stopped.exits(130).is_tidy().shows("goes on by itself");
    world.agent().restart();
    world.config_map_is("kept", "1").await;
}

#[tokio::test]
async fn a_refresh_looks_again_and_tells_what_it_found() {
    let (world, repo, person) = manual("refreshing").await;
    let done = person.gitops(&["refresh", "web"]).run().await;
    done.exits(0).prints_nothing().says("OutOfSync").is_plain();
    repo.write("a.yaml", BROKEN);
    let broken = person.gitops(&["refresh", "web", "--hard"]).run().await;
    broken.exits(1).says("a.yaml");
    world.agent().kill();
    repo.write("a.yaml", &config_map("kept", "2"));
    let late = ["refresh", "web", "--timeout", "1s"];
    let late = person.gitops(&late).run().await;
    late.exits(1).says("not in time");
}
