//! `kubectl gitops diff`: what it shows of drift and of a branch, what it never shows, whom it
//! asks, and how it ends.

use std::time::Duration;

use gitops_api::Preview;
use gitops_e2e::application::is_out_of_sync;
use gitops_e2e::checkout::{Checkout, State};
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::snapshot::redacted;
use gitops_e2e::{Repo, World};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// What a Secret holds; no command may ever show it, plain or in base64.
const VALUES: [&str; 3] = ["hunter2-live", "hunter2-git", "hunter2-next"];

fn secret(value: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\nstringData:\n  key: {value}\n")
}

fn nginx(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: nginx\ndata:\n  site.conf: |\n    server {{\n      \
         listen 80;\n      proxy_pass http://web:{port};\n    }}\n"
    )
}

fn no_values(text: &str) {
    for value in VALUES {
        let encoded = k8s_openapi::ByteString(value.into());
        let encoded = serde_json::to_value(encoded).unwrap();
        let encoded = encoded.as_str().unwrap().trim_end_matches('=');
        assert!(!text.contains(value) && !text.contains(encoded), "{text}");
    }
}

fn shop(repo: &Repo) -> String {
    repo.commit(&[
        ("web.yaml", Some(&deployment("web", 3, "web:1"))),
        ("token.yaml", Some(&secret("hunter2-git"))),
        ("gone.yaml", Some(&config_map("gone", "1"))),
        ("nginx.yaml", Some(&nginx(80))),
    ])
}

/// Commits `next` besides `main`: another image, secret and file, a new object, and one less.
fn next(repo: &Repo) -> String {
    repo.git(&["checkout", "-q", "-b", "next"]);
    std::fs::remove_file(repo.path().join("gone.yaml")).unwrap();
    for (file, text) in [
        ("web.yaml", deployment("web", 3, "web:2")),
        ("token.yaml", secret("hunter2-next")),
        ("nginx.yaml", nginx(8080)),
        ("new.yaml", config_map("new", "1")),
    ] {
        std::fs::write(repo.path().join(file), text).unwrap();
    }
    let commit = repo.commit_all("next");
    repo.push(&["next"]);
    repo.git(&["checkout", "-q", "main"]);
    commit
}

async fn edit(world: &World, manager: &str, replicas: u32) {
    let by = PatchParams {
        field_manager: Some(manager.into()),
        ..PatchParams::default()
    };
    let scaled = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let api = world.api::<Deployment>();
    api.patch("web", &by, &scaled).await.unwrap();
    let changed = Patch::Merge(json!({"stringData": {"key": "hunter2-live"}}));
    let api = world.api::<Secret>();
    api.patch("token", &by, &changed).await.unwrap();
}

async fn questions(world: &World) -> Vec<Preview> {
    let api: Api<Preview> = Api::namespaced(world.plane.client.clone(), &world.namespace);
    api.list(&ListParams::default()).await.unwrap().items
}

#[tokio::test]
async fn drift_is_shown_field_by_field_with_who_did_it() {
    let world = World::new("diff").await;
    let repo = world.repo("config");
    let commit = shop(&repo);
    let manual = json!({"prune": true});
    let app = world
        .app("shop")
        .repo(&repo)
        .set("/spec/syncPolicy/automated", manual);
    let app = app.create().await;
    app.synced_to(&commit).await;
    let person = world.person();

    let equal = person.gitops(&["diff", "shop"]).run().await;
    equal.exits(0).is_quiet().is_plain();
    equal
        .prints("shop: live in prod-eu1")
        .prints("no difference: 4 objects");

    edit(&world, "kubectl-edit", 5).await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let drift = person.gitops(&["diff", "shop"]).run().await;
    drift.exits(1).is_quiet().is_plain();
    drift.prints(".spec.replicas").prints("live: kubectl-edit");
    drift.prints("0 to create, 2 to change, 0 to prune, 2 equal");
    no_values(&drift.stdout);
    redacted(&[(&world.target, "TARGET"), (&world.namespace, "NAMESPACE")]).bind(|| {
        insta::assert_snapshot!("diff_drift", drift.stdout);
    });
    let ignored = person
        .gitops(&["diff", "shop", "--exit-code=false"])
        .run()
        .await;
    ignored.exits(0).prints(".spec.replicas");

    let json = person.gitops(&["diff", "shop", "-o", "json"]).run().await;
    json.exits(1).is_quiet();
    no_values(&json.stdout);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["version"], "gitops-agent.io/diff.v1");
    assert_eq!(document["different"], true);
    assert_eq!(document["counts"]["change"], 2);
    assert_eq!(document["objects"][1]["fields"][0]["live"], "5");
    assert_eq!(document["objects"][1]["origin"], "web.yaml:1");
    let names = person.gitops(&["diff", "shop", "-o", "name"]).run().await;
    assert_eq!(names.exits(1).stdout, "secret/token\ndeployment.apps/web\n");
    assert_eq!(questions(&world).await.len(), 0, "questions were left");

    // On a terminal there is color, and it says what to do next.
    let mut terminal = person.gitops(&["diff", "shop"]).on_terminal(80, 30);
    terminal.shows("Next: kubectl gitops sync shop").await;
    terminal.ends().await.exits(1).is_tidy();
}

#[tokio::test]
async fn a_branch_is_compared_with_what_is_live() {
    let world = World::new("diffbranch").await;
    let repo = world.repo("config");
    let commit = shop(&repo);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let other = next(&repo);
    let person = world.person();

    let diff = person
        .gitops(&["diff", "shop", "--revision", "next", "--full"])
        .run()
        .await;
    diff.exits(1).is_quiet().is_plain();
    diff.prints(&format!("Git next@{}", &other[..7]));
    diff.prints("+   proxy_pass http://web:8080;")
        .prints("*** (before)");
    diff.prints("1 to create, 3 to change, 1 to prune, 0 equal");
    no_values(&diff.stdout);
    redacted(&[(&world.target, "TARGET"), (&world.namespace, "NAMESPACE")]).bind(|| {
        insta::assert_snapshot!("diff_branch", diff.stdout);
    });
    let commit = person
        .gitops(&["diff", "shop", "--revision", &other])
        .run()
        .await;
    commit.exits(1).prints("web:2");
    // Nothing came of it.
    assert!(
        !world
            .exists::<k8s_openapi::api::core::v1::ConfigMap>("new")
            .await
    );

    let wrong = person
        .gitops(&["diff", "shop", "--revision", "nonsuch"])
        .run()
        .await;
    wrong.fails(2).says("nonsuch");
    let typo = person.gitops(&["diff", "shpo"]).run().await;
    typo.fails(2).says("did you mean shop?");
    person.gitops(&["diff"]).run().await.exits(2);
    assert_eq!(questions(&world).await.len(), 0, "questions were left");
}

#[tokio::test]
async fn another_program_compares_as_for_kubectl() {
    let world = World::new("diffext").await;
    let repo = world.repo("config");
    let commit = shop(&repo);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    next(&repo);
    let person = world.person();
    person.script(
        "compare",
        "echo \"$@\"; cd $(dirname $1); ls -d LIVE-* MERGED-*; ls LIVE-* MERGED-*; cat LIVE-*/* MERGED-*/*; exit 1",
    );
    let with = |variable: &str| {
        let diff = person.gitops(&["diff", "shop", "--revision", "next"]);
        diff.with("KUBECTL_EXTERNAL_DIFF", variable)
    };
    let shown = with("compare --side-by-side /etc/passwd -x=1").run().await;
    shown.exits(1).is_quiet();
    let first = shown.stdout.lines().next().unwrap();
    let words: Vec<&str> = first.split(' ').collect();
    assert!(
        words[0].contains("/tmp/LIVE-") && words[1].contains("/tmp/MERGED-"),
        "{first}"
    );
    assert_eq!(words[2..], ["--side-by-side", "-x=1"]);
    let deployment = format!("apps.v1.Deployment.{}.web", world.target);
    assert_eq!(
        shown.stdout.matches(&deployment).count(),
        2,
        "{}",
        shown.stdout
    );
    shown
        .prints("image: web:1")
        .prints("image: web:2")
        .prints("*** (before)");
    no_values(&shown.stdout);
    assert_eq!(person.leftovers(), Vec::<String>::new());

    let unified = with("diff -u -N").run().await;
    unified
        .exits(1)
        .prints("-      - image: web:1")
        .prints("+++");
    person.script("satisfied", "exit 0");
    with("satisfied").run().await.exits(0).prints_nothing();
    person.script("broken", "exit 7");
    with("broken").run().await.fails(2).says("exit status: 7");
    with("nonsuch").run().await.fails(2).says("nonsuch");
    assert_eq!(person.leftovers(), Vec::<String>::new());
    // Documents are for programs, which do not want another program.
    let json = person.gitops(&["diff", "shop", "-o", "json"]);
    json.with("KUBECTL_EXTERNAL_DIFF", "broken")
        .run()
        .await
        .exits(0);
}

#[tokio::test]
async fn who_may_not_ask_is_told_what_to_be_granted() {
    let world = World::new("diffrbac").await;
    let repo = world.repo("config");
    let commit = shop(&repo);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let read = json!({"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list"]});
    let reader = world.person_with("reader", json!([read])).await;
    let refused = reader.gitops(&["diff", "shop"]).run().await;
    refused.fails(3).says("you may not ask the agent");
    refused
        .says("kubectl create role gitops-preview")
        .says(&format!("--serviceaccount={}:reader", world.namespace))
        .says("previews.gitops-agent.io");

    let ask = json!({"apiGroups": ["gitops-agent.io"], "resources": ["previews"],
                     "verbs": ["create", "get", "list", "watch", "delete"]});
    let asker = world.person_with("asker", json!([read, ask])).await;
    // What they may not read themselves is not shown to them.
    let objects = json!([{"apiGroups": ["", "apps"], "resources": ["*"], "verbs": ["get"]}]);
    let account = (world.namespace.as_str(), "asker");
    world.plane.allow(&world.target, account, objects).await;
    let allowed = asker.gitops(&["diff", "shop"]).run().await;
    allowed.exits(0).prints("no difference");
    assert_eq!(questions(&world).await.len(), 0, "questions were left");
}

#[tokio::test]
async fn without_an_agent_it_says_so_and_leaves_nothing() {
    let world = World::new("diffdown").await;
    let repo = world.repo("config");
    let commit = shop(&repo);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    assert!(world.stop().await);
    let person = world.person();
    let silent = person.gitops(&["diff", "shop"]).run().await;
    silent.fails(3).says("agent");
    assert_eq!(questions(&world).await.len(), 0, "questions were left");

    // Ctrl-C while it waits.
    let mut terminal = person.gitops(&["diff", "shop"]).on_terminal(80, 10);
    terminal.shows("asking the agent").await;
    let asked = tokio::time::timeout(Duration::from_secs(20), async {
        while questions(&world).await.is_empty() {
            tokio::task::yield_now().await;
        }
    });
    asked.await.unwrap();
    terminal.interrupt();
    terminal.ends().await.exits(130);
    assert_eq!(questions(&world).await.len(), 0, "questions were left");
}

#[tokio::test]
async fn a_working_tree_is_compared_before_it_is_committed() {
    let world = World::new("difflocal").await;
    let repo = world.repo("config");
    let commit = shop(&repo);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    // None of what follows needs the agent.
    assert!(world.stop().await);
    let person = world.person();
    let clone = Checkout::of(&person, &repo, State::Clean, "web.yaml");
    let local = |folder: &str| {
        person
            .gitops(&["diff", "shop", "--local", folder])
            .from(clone.path())
    };

    let equal = local(".").run().await;
    equal.exits(0).is_quiet().is_plain();
    equal
        .prints("working tree . (main@")
        .prints("as committed)")
        .prints("4 objects as Git says");
    clone.is_untouched();

    let write = |file: &str, text: &str| std::fs::write(clone.path().join(file), text).unwrap();
    write("web.yaml", &deployment("web", 4, "web:1"));
    write("token.yaml", &secret("hunter2-next"));
    write("new.yaml", &config_map("new", "1"));
    write(
        "bad.yaml",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: bad\nspec:\n  ports: [{port: 99999}]\n",
    );
    write(
        "unknown.yaml",
        "apiVersion: example.com/v1\nkind: Gadget\nmetadata:\n  name: g\n",
    );
    std::fs::remove_file(clone.path().join("gone.yaml")).unwrap();
    std::fs::create_dir(clone.path().join("charts")).unwrap();
    let diff = local("charts").run().await;
    diff.exits(1).is_quiet().is_plain();
    diff.prints("1 to create, 2 to change, 1 to prune, 1 equal, 2 that cannot be applied");
    no_values(&diff.stdout);
    redacted(&[(&world.target, "TARGET"), (&world.namespace, "NAMESPACE")]).bind(|| {
        insta::assert_snapshot!("diff_local", diff.stdout);
    });
    assert!(
        !world
            .exists::<k8s_openapi::api::core::v1::ConfigMap>("new")
            .await
    );
    let external = local(".")
        .with("KUBECTL_EXTERNAL_DIFF", "diff -u -N")
        .run()
        .await;
    external.exits(1).prints("+  replicas: 4").says("99999");
    no_values(&external.stdout);
    assert_eq!(person.leftovers(), Vec::<String>::new());

    write(
        "web.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n",
    );
    local(".").run().await.fails(2).says("web.yaml");
    local(".")
        .with("GITOPS_RENDERER", "/nonsuch")
        .run()
        .await
        .fails(2)
        .says("render worker");
    local("nonsuch")
        .run()
        .await
        .fails(2)
        .says("nonsuch is not a directory");
    let outside = local(&person.path("tmp").to_string_lossy()).run().await;
    outside.fails(2).says("is not in a working tree");
    let other = world.repo("other");
    other.write("a.yaml", "a: 1\n");
    other.write("a.yaml", "a: 2\n");
    let other = Checkout::of(&person, &other, State::Shallow, "a.yaml");
    let wrong = local(&other.path().to_string_lossy()).run().await;
    wrong
        .fails(2)
        .says("is no clone of a repository Application shop is made from");
    let both = person.gitops(&["diff", "shop", "--local", ".", "--revision", "x"]);
    both.run().await.exits(2).says("cannot be used with");
}

#[tokio::test]
async fn a_working_tree_is_compared_with_the_persons_own_rights() {
    let world = World::new("difflocalrbac").await;
    let repo = world.repo("config");
    let commit = shop(&repo);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let read =
        json!({"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get"]});
    let person = world.person_with("reader", json!([read])).await;
    let clone = Checkout::of(&person, &repo, State::Clean, "web.yaml");
    let local = person
        .gitops(&["diff", "shop", "--local", "."])
        .from(clone.path());
    let refused = local.run().await;
    refused.fails(3).says("you may not compare 4 of 4 objects");
    refused.says("--revision BRANCH");
}
