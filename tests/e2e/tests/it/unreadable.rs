//! What cannot be read is no wish to delete, and what a commit cannot say is told: files that stand for others, keys that
//! are there twice, charts that are not the same twice, tags that move.

use gitops_e2e::application::{App, conditions, is_out_of_sync, revision, status};
use gitops_e2e::manifests::config_map;
use gitops_e2e::{Repo, World};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

async fn pruning<'a>(world: &'a World, repo: &Repo) -> App<'a> {
    let app = world
        .app("shop")
        .repo(repo)
        .set("/spec/syncPolicy/automated", json!({"prune": true}))
        .create()
        .await;
    app.synced().await;
    app
}

/// What else was a manifest and looks now as if it were none: a pointer of Git LFS, an encrypted file, one that was cut
/// off at any place, an empty one, a link to nothing. Deleting the file, or commenting it out, is a wish.
#[tokio::test]
async fn a_file_that_cannot_be_read_any_more_deletes_nothing() {
    let world = World::new("unreadable").await;
    let repo = world.repo("config");
    let second = config_map("second", "one");
    repo.commit(&[
        ("a.yaml", Some(&config_map("first", "one"))),
        ("b.yaml", Some(&second)),
    ]);
    let app = pruning(&world, &repo).await;
    let cut = &second[..6];
    for (content, says) in [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
            "Git LFS",
        ),
        ("\0GITCRYPT\0\u{1}\u{2}", "git-crypt"),
        ("-----BEGIN PGP MESSAGE-----\n\nhQ==\n", "encrypted"),
        (cut, "b.yaml"),
        ("", "nothing of it is deleted"),
        ("\n\n", "nothing of it is deleted"),
        ("replicas: 3\n", "nothing of it is deleted"),
    ] {
        let commit = repo.write("b.yaml", content);
        let told = app.condition("ComparisonError", &["b.yaml", says]).await;
        assert!(!commit.is_empty() && !status(&told).conditions.is_empty());
        assert!(world.exists::<ConfigMap>("second").await, "{content:?}");
        repo.write("b.yaml", &config_map("second", "two"));
        app.wait("without conditions", |app| conditions(app).is_empty())
            .await;
        repo.write("b.yaml", &second);
        app.synced().await;
    }
    std::fs::remove_file(repo.path().join("b.yaml")).unwrap();
    std::os::unix::fs::symlink("gone.yaml", repo.path().join("b.yaml")).unwrap();
    repo.commit_all("a link to nothing");
    app.condition("ComparisonError", &["b.yaml"]).await;
    assert!(world.exists::<ConfigMap>("second").await);
    std::fs::remove_file(repo.path().join("b.yaml")).unwrap();
    repo.commit_all("the file goes");
    world.object_gone::<ConfigMap>("second").await;
    assert!(world.exists::<ConfigMap>("first").await);
    assert!(!is_out_of_sync(&app.synced().await));
}

#[tokio::test]
async fn a_submodule_that_is_left_out_is_not_entered() {
    let world = World::new("submodule").await;
    let repo = world.repo("config");
    repo.commit(&[("apps/web/a.yaml", Some(&config_map("settings", "one")))]);
    repo.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        "160000,5555555555555555555555555555555555555555,vendor/private",
    ]);
    repo.git(&["commit", "-q", "-m", "a private submodule"]);
    repo.push(&["HEAD"]);
    let excluded = world
        .app("excluded")
        .repo(&repo)
        .path(".")
        .set(
            "/spec/source/directory",
            json!({"recurse": true, "exclude": "{vendor/*,vendor/**,vendor/**/*}"}),
        )
        .automated()
        .create()
        .await;
    excluded.synced().await;
    let inside = world
        .app("inside")
        .repo(&repo)
        .path("vendor/private/deploy")
        .automated()
        .create()
        .await;
    inside.condition("ComparisonError", &["submodule"]).await;
}

#[tokio::test]
async fn a_key_that_is_there_twice_is_named() {
    let world = World::new("twicekeys").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = pruning(&world, &repo).await;
    let text = format!("{}data:\n  other: two\n", config_map("settings", "one"));
    repo.write("a.yaml", &text);
    app.condition(
        "ComparisonError",
        &["a.yaml:", "the key data is there twice"],
    )
    .await;
    world.config_map_is("settings", "one").await;
}

fn write_chart(repo: &Repo, template: &str, values: &str) {
    repo.commit(&[
        ("chart/Chart.yaml", Some("{apiVersion: v2, name: dice, version: 0.1.0}\n")),
        ("chart/values.yaml", Some(values)),
        ("chart/templates/a.yaml", Some(template)),
        ("chart/charts/cache/Chart.yaml", Some("{apiVersion: v2, name: cache, version: 0.1.0}\n")),
        ("chart/charts/cache/values.yaml", Some("security: {runAsUser: 1001, runAsNonRoot: true}\ngreeting: hello\n")),
        (
            "chart/charts/cache/templates/b.yaml",
            Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: out}\ndata:\n  value: {{ dict \"s\" .Values.security \"g\" .Values.greeting | toJson | quote }}\n"),
        ),
    ]);
}

#[tokio::test]
async fn a_chart_that_is_not_the_same_twice_says_so() {
    let world = World::new("dice").await;
    let repo = world.repo("config");
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: login}\ndata:\n  value: {{ $old := lookup \"v1\" \"ConfigMap\" .Release.Namespace \"login\" }}{{ if $old }}{{ $old.data.value }}{{ else }}{{ randAlphaNum 24 }}{{ end }}\n";
    write_chart(&repo, template, "");
    let app = world
        .app("shop")
        .repo(&repo)
        .path("chart")
        .automated()
        .create()
        .await;
    app.synced().await;
    app.condition(
        "RenderWarning",
        &[
            "gives another result at every render",
            "randAlphaNum",
            "templates/a.yaml",
        ],
    )
    .await;
    app.condition("RenderWarning", &["lookup finds nothing"])
        .await;
    write_chart(&repo, &config_map("login", "fixed"), "");
    app.wait("without conditions", |app| conditions(app).is_empty())
        .await;
}

#[tokio::test]
async fn a_null_of_a_chart_takes_away_a_default_of_its_subchart() {
    let world = World::new("subnull").await;
    let repo = world.repo("config");
    write_chart(
        &repo,
        &config_map("login", "x"),
        "cache: {security: {runAsUser: null}}\n",
    );
    let app = world
        .app("shop")
        .repo(&repo)
        .path("chart")
        .automated()
        .create()
        .await;
    app.synced().await;
    world
        .config_map_is("out", r#"{"g":"hello","s":{"runAsNonRoot":true}}"#)
        .await;
    app.patch(json!({"spec": {"source": {"helm": {"values": "cache:\n  greeting: null\n"}}}}))
        .await;
    world
        .config_map_is("out", r#"{"g":null,"s":{"runAsNonRoot":true}}"#)
        .await;
}

#[tokio::test]
async fn a_pin_is_a_pin_and_a_tag_that_moves_is_told() {
    let world = World::new("pins").await;
    let repo = world.repo("config");
    let first = repo.write("a.yaml", &config_map("settings", "one"));
    repo.git(&["tag", "1.2"]);
    repo.git(&["tag", "both"]);
    let second = repo.write("a.yaml", &config_map("settings", "two"));
    repo.git(&["tag", "1.2.7"]);
    repo.push(&["--tags"]);
    repo.push(&["HEAD:refs/heads/1.x", "HEAD:refs/heads/both"]);
    let third = repo.write("a.yaml", &config_map("settings", "three"));
    repo.git(&["tag", "1.3.0"]);
    repo.push(&["--tags"]);
    let app = world
        .app("shop")
        .repo(&repo)
        .revision("1.2")
        .automated()
        .create()
        .await;
    app.synced_to(&first).await;
    for (target, expected) in [
        ("1.x", &second),
        ("1.*", &third),
        ("~1.2", &second),
        ("both", &first),
    ] {
        app.patch(json!({"spec": {"source": {"targetRevision": target}}}))
            .await;
        assert_eq!(
            revision(&app.synced_to(expected).await),
            expected,
            "{target}"
        );
    }
    app.condition(
        "RevisionWarning",
        &["both", "refs/tags/both is followed, not refs/heads/both"],
    )
    .await;
    repo.git(&["tag", "-f", "both", &third]);
    repo.push(&["-f", "refs/tags/both"]);
    app.synced_to(&third).await;
    app.condition("RevisionWarning", &["tag both has moved", &first[..7]])
        .await;
}
