//! `history APP`: what was deployed when, and what came of it.

use gitops_e2e::World;
use gitops_e2e::manifests::{config_map, deployment};

#[tokio::test]
async fn deployments_are_listed_with_their_commits() {
    let world = World::new("history").await;
    let repo = world.repo("config");
    let first = repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    let person = world.person();
    app.synced_to(&first).await;
    app.healthy().await;
    let second = repo.write("a.yaml", &config_map("settings", "two"));
    app.synced_to(&second).await;
    app.wait("noted as healthy", |app| {
        let history = app.status.as_ref().map(|status| &status.history);
        history.is_some_and(|history| {
            history.len() == 2 && history.iter().all(|entry| entry.healthy_at.is_some())
        })
    })
    .await;

    let table = person.gitops(&["history", "shop"]).run().await;
    table.exits(0).is_quiet().is_plain();
    let lines: Vec<&str> = table.stdout.lines().collect();
    table.check(lines.len() == 3, "has a heading and two lines");
    table.check(lines[1].contains(&second[..7]), "has the newest first");
    // The newest has still to earn it.
    table.check(
        lines[1].contains("good after"),
        "says when the newest is good",
    );
    table.check(lines[2].contains("last good"), "marks the last good one");
    table.check(lines[2].contains(&first[..7]), "has the oldest last");
    let document = person
        .gitops(&["history", "shop", "-o", "json"])
        .run()
        .await;
    let document = document.exits(0).json();
    assert_eq!(
        document["deployments"][0]["commit"]["revision"],
        second.as_str()
    );
    assert_eq!(document["deployments"][0]["result"], "Healthy");
    assert_eq!(document["deployments"][1]["automated"], true);
    let good = person.gitops(&["history", "shop", "-o", "jsonpath={.lastGood}"]);
    good.run().await.exits(0).prints("0");
    let ids = person
        .gitops(&["history", "shop", "-o", "name"])
        .run()
        .await;
    assert_eq!(ids.stdout, "1\n0\n");
    for width in [80, 200] {
        let screen = person.gitops(&["history", "shop"]).on_terminal(width, 20);
        let screen = screen.ends().await;
        screen.exits(0).is_tidy().shows(&first[..7]);
    }
}

#[tokio::test]
async fn a_sync_that_failed_stands_on_top() {
    let world = World::new("historyfail").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    let person = world.person();
    app.healthy().await;
    let changed = deployment("web", 1, "web:1").replace("app: web", "app: other");
    let bad = repo.write("web.yaml", &changed);
    app.condition("SyncError", &["immutable"]).await;
    let table = person.gitops(&["history", "shop"]).run().await;
    let lines: Vec<&str> = table.stdout.lines().collect();
    table.check(
        lines[1].starts_with('-') && lines[1].contains(&bad[..7]) && lines[1].contains("immutable"),
        "has the failed sync first",
    );
    let screen = person.gitops(&["history", "shop"]).on_terminal(80, 20);
    screen
        .ends()
        .await
        .exits(0)
        .is_tidy()
        .shows("last sync Failed");
}

#[tokio::test]
async fn what_was_never_deployed_is_said() {
    let world = World::new("historynone").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("compared", |app| app.status.is_some()).await;
    let person = world.person();
    let none = person.gitops(&["history", "shop"]).run().await;
    none.exits(0).prints_nothing().says("never deployed");
    let unknown = person.gitops(&["history", "shp"]).run().await;
    unknown.fails(2).says("did you mean shop?");
}
