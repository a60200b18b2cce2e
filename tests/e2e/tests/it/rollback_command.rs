//! `kubectl gitops rollback` as people use it: real agent, real Git server, real control plane.

use gitops_api::Application;
use gitops_api::constants::annotation;
use gitops_e2e::application::status;
use gitops_e2e::checkout::{Checkout, State};
use gitops_e2e::manifests::config_map;
use gitops_e2e::{App, Person, Repo, World};
use kube::ResourceExt;
use serde_json::json;

/// A Deployment whose image can be pulled, or cannot.
fn web(image: &str, works: bool) -> String {
    let outcome = if works {
        ""
    } else {
        "\n      annotations: {gitops-test/outcome: image-pull-error}"
    };
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  progressDeadlineSeconds: 2
  selector:
    matchLabels: {{app: web}}
  template:
    metadata:
      labels: {{app: web}}{outcome}
    spec:
      containers:
        - name: web
          image: {image}
"
    )
}

/// Waits until the newest delivery is of a commit and was seen to work.
async fn worked(app: &App<'_>, commit: &str) -> Application {
    app.wait(&format!("{commit} delivered and healthy"), |app| {
        status(app)
            .history
            .last()
            .is_some_and(|entry| entry.revision == commit && entry.healthy_at.is_some())
    })
    .await
}

/// An Application `web` of folder `apps/web` with a commit that works and one that does not, and
/// a commit for somebody else after each. Returns the good and the bad commit.
async fn broken<'a>(world: &'a World, repo: &Repo) -> (App<'a>, String, String) {
    repo.commit(&[
        ("apps/web/deploy.yaml", Some(&web("web:1", true))),
        ("apps/web/gone.yaml", Some(&config_map("gone", "1"))),
    ]);
    let good = repo.write("other/a.yaml", &config_map("other", "1"));
    let app = world
        .app("web")
        .repo(repo)
        .path("apps/web")
        .automated()
        .create()
        .await;
    worked(&app, &good).await;
    repo.git(&["rm", "-q", "apps/web/gone.yaml"]);
    let bad = repo.commit(&[
        ("apps/web/deploy.yaml", Some(&web("web:2", false))),
        ("apps/web/new.yaml", Some(&config_map("new", "1"))),
    ]);
    app.synced_to(&bad).await;
    app.wait("Degraded", |app| {
        status(app)
            .health
            .is_some_and(|health| health.status.as_str() == "Degraded")
    })
    .await;
    repo.write("other/a.yaml", &config_map("other", "2"));
    (app, good, bad)
}

/// The files of `apps/web` are as they were, every other file as it is at `before`.
fn is_restored(repo: &Repo, good: &str, before: &str) {
    let diff = |one: &str, other: &str, path: &str| {
        repo.bare(&["diff", "--name-only", one, other, "--", path])
    };
    assert_eq!(diff(good, "main", "apps/web"), "");
    assert_eq!(diff(before, "main", ":(exclude)apps/web"), "");
}

fn trailer(repo: &Repo, name: &str) -> String {
    let format = format!("--format=%(trailers:key={name},valueonly,separator=%x2C)");
    repo.bare(&["log", "-1", &format, "main"])
}

#[tokio::test]
async fn a_bad_release_is_taken_back_and_watched_until_it_works() {
    let world = World::new("rollback").await;
    let repo = world.repo("config");
    let (app, good, bad) = broken(&world, &repo).await;
    let before = repo.branch("main").unwrap();
    let person = world.person();

    let plan = person.gitops(&["rollback", "web", "--dry-run"]).run().await;
    plan.exits(0).is_plain();
    plan.prints(&good[..7])
        .prints(&bad[..7])
        .prints("last Synced and Healthy");
    plan.prints("restore 3 files in one commit on main; undoes 1 commit");
    plan.prints("1 other commit since stays");
    plan.prints("~ apps/web/deploy.yaml")
        .prints("- apps/web/new.yaml");
    plan.prints("1 to change, 1 to create, 1 to prune");
    plan.prints("renders exactly as")
        .prints("-          image: web:2");
    assert_eq!(
        repo.branch("main").as_ref(),
        Some(&before),
        "a dry run pushes nothing"
    );

    let asked = person.gitops(&["rollback", "web"]).run().await;
    asked.exits(4).says("--yes");
    assert_eq!(repo.branch("main").as_ref(), Some(&before));

    let done = person
        .gitops(&["rollback", "web", "--yes", "--reason", "INC-4411"])
        .run()
        .await;
    done.exits(0).is_plain();
    done.says("pushed")
        .says("fetched")
        .says("Synced, Healthy after");
    is_restored(&repo, &good, &before);
    let made = repo.branch("main").unwrap();
    assert_eq!(repo.bare(&["rev-parse", "main~1"]), before);
    assert_eq!(
        repo.bare(&["log", "-1", "--format=%an <%ae> %s", "main"]),
        format!(
            "Ana Diaz <ana@example.com> rollback(web): restore apps/web to {}",
            &good[..7]
        )
    );
    assert_eq!(
        trailer(&repo, "Gitops-Rollback-App"),
        format!("{}/web", world.namespace)
    );
    assert_eq!(trailer(&repo, "Gitops-Rollback-From"), before);
    assert_eq!(trailer(&repo, "Gitops-Rollback-To"), good);
    assert_eq!(trailer(&repo, "Gitops-Rollback-Undoes"), bad);
    assert_eq!(trailer(&repo, "Gitops-Rollback-Reason"), "INC-4411");
    let healthy = worked(&app, &made).await;
    let newest = status(&healthy).history.last().cloned().unwrap();
    assert_eq!(
        trailer(&repo, "Gitops-Rollback-Digest"),
        newest.desired_digest
    );
    world.config_map_is("gone", "1").await;

    // Again and again: nothing more happens.
    for words in [
        &["rollback", "web", "--yes"][..],
        &["rollback", "web", "--to", &good, "--yes"],
    ] {
        let again = person.gitops(words).run().await;
        again.exits(0).says("already");
        assert_eq!(repo.branch("main").as_ref(), Some(&made));
    }
    let document = person
        .gitops(&["rollback", "web", "-o", "json"])
        .run()
        .await;
    assert_eq!(document.json()["result"]["outcome"], "AlreadyThere");
    assert_eq!(document.json()["version"], "gitops-agent.io/rollback.v1");

    // And back again, once.
    let undo = ["rollback", "web", "--undo", "--yes", "--no-wait"];
    person.gitops(&undo).run().await.exits(0);
    assert_eq!(
        repo.bare(&["diff", "--name-only", &bad, "main", "--", "apps/web"]),
        ""
    );
    assert_eq!(trailer(&repo, "Gitops-Rollback-Undo-Of"), made);
    person
        .gitops(&undo)
        .run()
        .await
        .exits(0)
        .says("already undone");
    assert!(person.leftovers().is_empty(), "{:?}", person.leftovers());
}

#[tokio::test]
async fn shared_files_are_named_and_left() {
    let world = World::new("shared").await;
    let repo = world.repo("config");
    let kustomization = "resources: [own.yaml, ../../base]\n";
    let version = |own: &str, base: &str| {
        repo.commit(&[
            ("base/kustomization.yaml", Some("resources: [map.yaml]\n")),
            ("base/map.yaml", Some(&config_map("base", base))),
            (
                "apps/web/kustomization.yaml",
                Some(&format!("{kustomization}namePrefix: web-\n")),
            ),
            ("apps/web/own.yaml", Some(&config_map("own", own))),
            (
                "apps/shop/kustomization.yaml",
                Some(&format!("{kustomization}namePrefix: shop-\n")),
            ),
            ("apps/shop/own.yaml", Some(&config_map("own", "1"))),
        ])
    };
    let good = version("1", "1");
    let mut apps = Vec::new();
    for name in ["web", "shop"] {
        let path = format!("apps/{name}");
        let app = world
            .app(name)
            .repo(&repo)
            .path(&path)
            .automated()
            .create()
            .await;
        worked(&app, &good).await;
        apps.push(app);
    }
    let bad = version("2", "2");
    for app in &apps {
        worked(app, &bad).await;
    }
    let person = world.person();
    let plan = person.gitops(&["rollback", "web", "--dry-run"]).run().await;
    plan.exits(0)
        .prints("base/map.yaml  left as it is: shop reads it too (--include-shared)");
    plan.prints("does not render exactly");
    let shared = ["rollback", "web", "--dry-run", "--include-shared"];
    let plan = person.gitops(&shared).run().await;
    plan.exits(0)
        .prints("also read by shop")
        .prints("these change too: shop");

    person
        .gitops(&["rollback", "web", "--yes"])
        .run()
        .await
        .exits(0);
    assert_eq!(
        repo.file("main", "apps/web/own.yaml"),
        config_map("own", "1").trim()
    );
    assert_eq!(
        repo.file("main", "base/map.yaml"),
        config_map("base", "2").trim()
    );
    world.config_map_is("web-own", "1").await;
    world.config_map_is("shop-base", "2").await;

    // Only shared files are left to restore.
    let to = ["rollback", "web", "--to", &good, "--yes"];
    person
        .gitops(&to)
        .run()
        .await
        .fails(4)
        .says("shop")
        .says("--include-shared");
    let mut all = to.to_vec();
    all.push("--include-shared");
    person.gitops(&all).run().await.exits(0);
    world.config_map_is("shop-base", "1").await;
}

#[tokio::test]
async fn only_one_commit_is_undone_and_later_ones_stay() {
    let world = World::new("undone").await;
    let repo = world.repo("config");
    let map = |a: &str, b: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: map\ndata:\n  a: \"{a}\"\n  x1: x\n  x2: x\n  x3: x\n  x4: x\n  b: \"{b}\"\n"
        )
    };
    repo.write("apps/web/map.yaml", &map("1", "1"));
    let app = world
        .app("web")
        .repo(&repo)
        .path("apps/web")
        .automated()
        .create()
        .await;
    app.synced().await;
    let bad = repo.commit(&[
        ("apps/web/map.yaml", Some(&map("2", "1"))),
        ("apps/web/extra.yaml", Some(&config_map("extra", "1"))),
        ("elsewhere.yaml", Some("left: alone\n")),
    ]);
    let later = repo.write("apps/web/map.yaml", &map("2", "2"));
    app.synced_to(&later).await;
    let person = world.person();
    let undo = ["rollback", "web", "--commit", &bad[..8], "--yes"];
    let done = person.gitops(&undo).run().await;
    done.exits(0).prints("take back changes of 2 files");
    assert_eq!(repo.file("main", "apps/web/map.yaml"), map("1", "2").trim());
    assert_eq!(repo.file("main", "elsewhere.yaml"), "left: alone");
    assert_eq!(trailer(&repo, "Gitops-Rollback-Undoes"), bad);
    let made = repo.branch("main");
    person.gitops(&undo).run().await.exits(0).says("already");
    assert_eq!(repo.branch("main"), made);

    // What later commits changed in the same line needs a person.
    repo.pull();
    let first = repo.write("apps/web/map.yaml", &map("3", "2"));
    let second = repo.write("apps/web/map.yaml", &map("4", "2"));
    app.synced_to(&second).await;
    let refused = person
        .gitops(&["rollback", "web", "--commit", &first, "--yes"])
        .run()
        .await;
    refused
        .fails(4)
        .says("apps/web/map.yaml")
        .says("same lines");
    assert_eq!(repo.branch("main"), Some(second));
}

#[tokio::test]
async fn a_clone_is_used_and_left_alone() {
    let world = World::new("clones").await;
    let repo = world.repo("config");
    let good = repo.write("apps/web/a.yaml", &config_map("a", "good"));
    let app = world
        .app("web")
        .repo(&repo)
        .path("apps/web")
        .automated()
        .create()
        .await;
    worked(&app, &good).await;
    let person = world.person();
    for (round, state) in State::ALL.into_iter().enumerate() {
        let bad = repo.write("apps/web/a.yaml", &config_map("a", &format!("bad{round}")));
        app.synced_to(&bad).await;
        let clone = Checkout::of(&person, &repo, state, "apps/web/a.yaml");
        let done = person
            .gitops(&["rollback", "web", "--to", &good, "--yes", "--no-wait"])
            .from(clone.path())
            .run()
            .await;
        done.exits(0);
        clone.is_untouched();
        assert_eq!(
            repo.file("main", "apps/web/a.yaml"),
            config_map("a", "good").trim()
        );
        let cached = person.path(".cache/kubectl-gitops").exists();
        assert_eq!(
            cached,
            round >= 2,
            "only a shallow clone needs a copy: {state:?}"
        );
        repo.pull();
    }
}

#[tokio::test]
async fn others_who_push_at_the_same_time_lose_nothing() {
    let world = World::new("racing").await;
    let repo = world.repo("config");
    let (_app, good, _) = broken(&world, &repo).await;
    let person = world.person();
    repo.race(3);
    let done = person.gitops(&["rollback", "web", "--yes"]).run().await;
    done.exits(0).says("planning again").says("Healthy");
    assert_eq!(
        repo.bare(&["diff", "--name-only", &good, "main", "--", "apps/web"]),
        ""
    );
    for number in 0..3 {
        let path = format!("races/{number}");
        assert_eq!(repo.file("main", &path), format!("race {number}"));
    }
    assert_eq!(repo.bare(&["rev-list", "--count", "--merges", "main"]), "0");
}

#[tokio::test]
async fn a_protected_branch_gets_a_pull_request_and_the_good_version_at_once() {
    let world = World::new("protected").await;
    let repo = world.repo("config");
    let (app, good, _) = broken(&world, &repo).await;
    let before = repo.branch("main").unwrap();
    repo.protect("main");
    let person = world
        .person()
        .with("GITEA_TOKEN", "tok3n")
        .with("GITEA_HOST", &repo.url())
        .with("GITOPS_FORGE", "gitea");
    let branch = format!("gitops/rollback/web/{}", &good[..7]);
    let done = person
        .gitops(&["rollback", "web", "--yes", "--now"])
        .run()
        .await;
    done.says("takes no pushes")
        .says("protected branches")
        .says(&branch);
    done.says("held");
    assert_eq!(repo.branch("main").as_ref(), Some(&before));
    let proposed = repo.branch(&branch).unwrap();
    done.exits(0);
    // The good version runs although Git still says something else.
    world.config_map_is("gone", "1").await;
    let held = app.condition("HeldWarning", &[&good[..7]]).await;
    assert!(held.annotations().contains_key(annotation::HOLD));

    // Twice more: the same branch, the same pull request.
    for _ in 0..2 {
        let again = person
            .gitops(&["rollback", "web", "--yes", "--pr"])
            .run()
            .await;
        again.exits(0).says("open already");
        assert_eq!(repo.branch(&branch).as_ref(), Some(&proposed));
    }
    let pulls = repo.forge()["pulls"].clone();
    assert_eq!(pulls.as_array().map(Vec::len), Some(1), "{pulls}");
    assert_eq!(pulls[0]["head"]["ref"], json!(branch));
    assert_eq!(pulls[0]["base"]["ref"], "main");

    // It is merged: the hold ends, and Git and cluster agree.
    repo.git(&["fetch", "-q", "origin", &branch]);
    repo.git(&["merge", "-q", "--no-ff", "-m", "Merge", "FETCH_HEAD"]);
    repo.push(&["HEAD:main"]);
    let merged = repo.head();
    let after = app.synced_to(&merged).await;
    assert_eq!(after.annotations().get(annotation::HOLD), None);
    is_restored(&repo, &good, &before);
    let again = person.gitops(&["rollback", "web", "--yes"]).run().await;
    again.exits(0).says("already");
}

#[tokio::test]
async fn what_git_cannot_undo_stops_it_until_named() {
    let world = World::new("gates").await;
    let repo = world.repo("config");
    let good = repo.write("web/a.yaml", &config_map("a", "1"));
    let app = world
        .app("web")
        .repo(&repo)
        .path("web")
        .automated()
        .create()
        .await;
    worked(&app, &good).await;
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n";
    let bad = repo.commit(&[
        ("web/claim.yaml", Some(claim)),
        ("web/a.yaml", Some(&config_map("a", "2"))),
    ]);
    app.compared_to(&bad).await;
    app.wait("delivered", |app| {
        status(app)
            .history
            .last()
            .is_some_and(|entry| entry.revision == bad)
    })
    .await;
    let person = world.person();
    let refused = person.gitops(&["rollback", "web", "--yes"]).run().await;
    refused.exits(4).says("data").says("--allow-data-loss");
    assert_eq!(repo.branch("main"), Some(bad));
    let allowed = [
        "rollback",
        "web",
        "--yes",
        "--allow-data-loss",
        "--allow-refused",
    ];
    person.gitops(&allowed).run().await.exits(0);
    assert_eq!(trailer(&repo, "Gitops-Rollback-Allowed"), "data-loss");
}

#[tokio::test]
async fn what_a_commit_cannot_reach_says_what_to_edit() {
    let world = World::new("pinned").await;
    let repo = world.repo("config");
    let first = repo.write("web/a.yaml", &config_map("a", "1"));
    repo.git(&["tag", "v1"]);
    repo.push(&["v1"]);
    let app = world
        .app("web")
        .repo(&repo)
        .path("web")
        .automated()
        .revision("v1");
    let app = app.create().await;
    worked(&app, &first).await;
    let second = repo.write("web/a.yaml", &config_map("a", "2"));
    app.patch(json!({"spec": {"source": {"targetRevision": second}}}))
        .await;
    worked(&app, &second).await;
    let person = world.person();
    let refused = person.gitops(&["rollback", "web", "--yes"]).run().await;
    refused
        .fails(4)
        .says("no branch")
        .says("kubectl edit application web");

    app.patch(
        json!({"metadata": {"labels": {"argocd.argoproj.io/application-set-name": "fleet"}}}),
    )
    .await;
    let refused = person.gitops(&["rollback", "web", "--yes"]).run().await;
    refused.fails(4).says("ApplicationSet fleet");

    let nothing = world.app("new").repo(&repo).path("web").create().await;
    nothing.compared_to(&second).await;
    let refused = person.gitops(&["rollback", "new"]).run().await;
    refused
        .fails(4)
        .says("nothing was ever delivered")
        .says("--to");
    let missing = person.gitops(&["rollback", "wbe"]).run().await;
    missing.fails(2).says("there is no Application");
}

#[tokio::test]
async fn a_person_without_git_rights_or_name_learns_it_before_anything_happens() {
    let world = World::new("nameless").await;
    let repo = world.repo("config");
    let (_app, _, _) = broken(&world, &repo).await;
    let before = repo.branch("main");
    let nobody = world.person();
    nobody.writes(".gitconfig", "[user]\n\tuseConfigOnly = true\n");
    let refused = nobody.gitops(&["rollback", "web", "--yes"]).run().await;
    refused
        .exits(2)
        .says("git does not know who you are")
        .says("user.email");
    assert_eq!(repo.branch("main"), before);
    assert!(nobody.leftovers().is_empty(), "{:?}", nobody.leftovers());
}

#[tokio::test]
async fn on_a_terminal_it_asks_and_no_means_no() {
    let world = World::new("asks").await;
    let repo = world.repo("config");
    let (_app, good, _) = broken(&world, &repo).await;
    let before = repo.branch("main");
    let person: Person = world.person();
    let mut terminal = person.gitops(&["rollback", "web"]).on_terminal(110, 40);
    terminal.shows("Commit and push? [y/N]").await;
    terminal.enter("");
    let ended = terminal.ends().await;
    ended.exits(4).shows("nothing was changed").is_tidy();
    assert_eq!(repo.branch("main"), before);

    let mut terminal = person.gitops(&["rollback", "web"]).on_terminal(110, 40);
    terminal.shows("Commit and push? [y/N]").await;
    terminal.interrupt();
    terminal.ends().await.exits(130).is_tidy();
    assert_eq!(repo.branch("main"), before);

    let mut terminal = person.gitops(&["rollback", "web"]).on_terminal(110, 40);
    terminal.shows("Commit and push? [y/N]").await;
    terminal.enter("y");
    let ended = terminal.ends().await;
    ended
        .exits(0)
        .shows("live")
        .shows("Undo: kubectl gitops rollback web --undo")
        .is_tidy();
    assert_eq!(
        repo.bare(&["diff", "--name-only", &good, "main", "--", "apps/web"]),
        ""
    );
}
