//! `kubectl gitops status` against a real control plane.

use gitops_e2e::checkout::{Checkout, State};
use gitops_e2e::manifests::config_map;
use gitops_e2e::{Person, World, redacted};
use serde_json::json;

#[tokio::test]
async fn status_lists_applications_and_describes_one() {
    let world = World::new("status").await;
    let repo = world.repo("config");
    let commit = repo.commit(&[
        ("good/a.yaml", Some(&config_map("settings", "one"))),
        (
            "bad/a.yaml",
            Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n"),
        ),
    ]);
    world
        .app("good")
        .repo(&repo)
        .path("good")
        .automated()
        .create()
        .await
        .healthy()
        .await;
    let bad = world
        .app("bad")
        .repo(&repo)
        .path("bad")
        .automated()
        .create()
        .await;
    bad.condition("ComparisonError", &["bad/a.yaml"]).await;
    let person = world.person();
    let list = person.gitops(&["status"]).run().await;
    list.exits(0).is_quiet().is_plain();
    list.prints("good").prints("Synced").prints("Healthy");
    list.prints("bad").prints("bad/a.yaml");
    let one = person.gitops(&["status", "good"]).run().await;
    one.exits(0).prints("settings").prints(&commit[..7]);
    let none = person.gitops(&["status", "goood"]).run().await;
    none.fails(2).says("did you mean good?");

    let screen = person.gitops(&["status"]).on_terminal(120, 30);
    let screen = screen.ends().await;
    screen.exits(0).is_tidy();
    redacted(&[(&world.namespace, "NAMESPACE")])
        .bind(|| insta::assert_snapshot!("status_list", screen.screen));
}

#[tokio::test]
async fn a_watched_list_ends_with_ctrl_c() {
    let world = World::new("watch").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("web").repo(&repo).automated().create().await;
    app.healthy().await;
    let person = world.person();
    let mut terminal = person.gitops(&["status", "--watch"]).on_terminal(100, 20);
    terminal.shows("Synced").await;
    app.patch(json!({"spec": {"source": {"path": "missing"}}}))
        .await;
    terminal.shows("missing").await;
    terminal.interrupt();
    terminal.ends().await.is_tidy();
}

#[tokio::test]
async fn people_see_what_they_may() {
    let world = World::new("rights").await;
    let rules = json!([
        {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list"]},
    ]);
    let reader = world.person_with("reader", rules).await;
    reader.gitops(&["status"]).run().await.exits(0);
    let stranger = world.person_with("stranger", json!([])).await;
    let refused = stranger.gitops(&["status"]).run().await;
    refused.fails(3).says("applications");
    let nobody = Person::new();
    nobody
        .gitops(&["status"])
        .run()
        .await
        .fails(2)
        .says("kubeconfig");
}

#[tokio::test]
async fn clones_are_left_as_they_were() {
    let world = World::new("clones").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    repo.write("a.yaml", &config_map("settings", "two"));
    repo.write("b.yaml", &config_map("others", "one"));
    let person = world.person();
    for state in State::ALL {
        let checkout = Checkout::of(&person, &repo, state, "a.yaml");
        let status = person.gitops(&["status"]).from(checkout.path());
        status.run().await.exits(0);
        checkout.is_untouched();
    }
}
