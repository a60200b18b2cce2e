//! What `targetRevision` may be, and how it is followed.

use gitops_e2e::World;
use gitops_e2e::application::revision;
use gitops_e2e::manifests::config_map;
use serde_json::json;

#[tokio::test]
async fn branches_tags_ranges_and_commits_are_resolved() {
    let world = World::new("revisions").await;
    let repo = world.repo("config");
    let first = repo.write("a.yaml", &config_map("settings", "one"));
    repo.git(&["tag", "v1.0.0"]);
    let second = repo.write("a.yaml", &config_map("settings", "two"));
    repo.git(&["tag", "-a", "-m", "annotated", "v1.2.0"]);
    let third = repo.write("a.yaml", &config_map("settings", "three"));
    repo.git(&["tag", "v2.0.0"]);
    repo.push(&["--tags"]);
    repo.push(&["HEAD~1:refs/heads/release/one"]);

    let app = world
        .app("shop")
        .repo(&repo)
        .revision("v1.0.0")
        .automated()
        .create()
        .await;
    app.synced_to(&first).await;
    for (target, expected) in [
        ("v1.2.0", &second),
        ("main", &third),
        ("release/one", &second),
        ("HEAD", &third),
        ("~1.0", &first),
        ("1.x", &second),
        (">=1.0.0", &third),
        (first.as_str(), &first),
        (&second[..9], &second),
    ] {
        app.patch(json!({"spec": {"source": {"targetRevision": target}}}))
            .await;
        let app = app.synced_to(expected).await;
        assert_eq!(revision(&app), expected, "{target}");
    }
    app.patch(json!({"spec": {"source": {"targetRevision": "1.x"}}}))
        .await;
    app.synced_to(&second).await;
    repo.git(&["tag", "v1.3.0", &third]);
    repo.push(&["--tags"]);
    app.synced_to(&third).await;
}

#[tokio::test]
async fn a_force_push_is_followed_and_a_deleted_branch_keeps_what_runs() {
    let world = World::new("force").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    repo.write("a.yaml", &config_map("settings", "two"));
    repo.push(&["HEAD:refs/heads/feature"]);
    let app = world
        .app("shop")
        .repo(&repo)
        .revision("feature")
        .automated()
        .create()
        .await;
    app.synced().await;
    world.config_map_is("settings", "two").await;

    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    std::fs::write(
        repo.path().join("a.yaml"),
        config_map("settings", "rewritten"),
    )
    .unwrap();
    repo.git(&["commit", "-q", "-a", "-m", "rewritten"]);
    repo.push(&["--force", "HEAD:refs/heads/feature"]);
    let rewritten = repo.head();
    app.synced_to(&rewritten).await;
    world.config_map_is("settings", "rewritten").await;

    repo.push(&["--delete", "feature"]);
    app.condition("ComparisonError", &["feature"]).await;
    world.config_map_is("settings", "rewritten").await;
    repo.push(&["HEAD:refs/heads/feature"]);
    app.wait("without conditions", |app| {
        gitops_e2e::application::conditions(app).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_missing_revision_is_answered_with_the_nearest_names() {
    let world = World::new("norevision").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    repo.push(&["HEAD:refs/heads/production"]);
    let app = world
        .app("shop")
        .repo(&repo)
        .revision("prodution")
        .automated()
        .create()
        .await;
    app.condition("ComparisonError", &["prodution", "production"])
        .await;
    app.patch(json!({"spec": {"source": {"targetRevision": "production"}}}))
        .await;
    app.synced().await;
}

#[tokio::test]
async fn a_commit_renders_only_the_application_it_touches() {
    let world = World::new("onerender").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("one/a.yaml", Some(&config_map("one", "1"))),
        ("two/a.yaml", Some(&config_map("two", "1"))),
        ("three/a.yaml", Some(&config_map("three", "1"))),
    ]);
    let mut apps = Vec::new();
    for name in ["one", "two", "three"] {
        apps.push(
            world
                .app(name)
                .repo(&repo)
                .path(name)
                .automated()
                .create()
                .await,
        );
    }
    for app in &apps {
        app.synced().await;
    }
    let rendered = || {
        world
            .agent()
            .metric("gitops_agent_renders_total{outcome=\"rendered\"}")
    };
    let before = rendered();
    let commit = repo.write("two/a.yaml", &config_map("two", "2"));
    for app in &apps {
        app.synced_to(&commit).await;
    }
    world.config_map_is("two", "2").await;
    assert!(
        (rendered() - before - 1.0).abs() < 0.5,
        "rendered {} times",
        rendered() - before
    );
}
