//! What faults around the agent must leave: each test is one row of docs/reliability.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gitops_api::{Application, OperationPhase};
use gitops_e2e::application::{is_out_of_sync, operation};
use gitops_e2e::fault_proxy::{Fault, Requests, Verb};
use gitops_e2e::manifests::config_map;
use gitops_e2e::repository::Transport;
use gitops_e2e::{Environment, World};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

fn succeeded(app: &Application) -> bool {
    app.operation.is_none() && operation(app).phase.is_successful()
}

fn retrying(app: &Application) -> bool {
    let state = operation(app);
    app.operation.is_some() && state.phase == OperationPhase::Running && state.retry_count > 0
}

/// An operation that is tried again each second.
fn patient(sync: &Value) -> Value {
    let backoff = json!({"duration": "1s", "factor": 1});
    json!({"operation": {"sync": sync, "retry": {"limit": 100, "backoff": backoff}}})
}

/// Writes of a ConfigMap that are stored.
fn applies(name: &str) -> Requests {
    Requests::of(Verb::Patch).name(name).dry_run(false)
}

#[tokio::test]
async fn a_write_without_an_answer_ends_and_keeps_nobody_else_waiting() {
    let world = World::behind_proxy("noanswer").await;
    let (first, second) = (world.repo("first"), world.repo("second"));
    first.write("a.yaml", &config_map("swallowed", "one"));
    second.write("a.yaml", &config_map("other", "one"));
    let app = world.app("first").repo(&first).automated().create().await;
    let other = world.app("second").repo(&second).automated().create().await;
    app.synced().await;
    other.synced().await;

    let swallowed = world
        .proxy()
        .on(applies("swallowed").nth(1), Fault::Swallow);
    let again = world
        .proxy()
        .on(applies("swallowed").from(2), Fault::call(|_| {}));
    let commit = first.write("a.yaml", &config_map("swallowed", "two"));
    swallowed.hit(1).await;
    let commit_of_other = second.write("a.yaml", &config_map("other", "two"));
    other.synced_to(&commit_of_other).await;
    assert_eq!(again.hits(), 0, "the first is still waited for");
    again.hit(1).await;
    app.synced_to(&commit).await;
    world.config_map_is("swallowed", "two").await;
    assert!(operation(&app.get().await).phase.is_successful());
}

#[tokio::test]
async fn deletes_that_are_refused_for_a_moment_are_sent_again_after_a_pause() {
    let world = World::behind_proxy("refuseddelete").await;
    let repo = world.repo("config");
    let codes = [409, 429, 500, 503];
    let file = |code: u16| format!("{code}.yaml");
    repo.write("kept.yaml", &config_map("kept", "1"));
    for code in codes {
        repo.write(&file(code), &config_map(&format!("pruned-{code}"), "1"));
    }
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    for code in codes {
        let name = format!("pruned-{code}");
        let deletes = Requests::of(Verb::Delete).name(&name);
        let refused = world
            .proxy()
            .on(deletes.clone().times(3), Fault::status(code));
        let commit = repo.remove(&file(code));
        refused.hit(3).await;
        world.object_gone::<ConfigMap>(&name).await;
        let after = app.synced_to(&commit).await;
        assert!(operation(&after).phase.is_successful(), "{code}");
        let asked = world.proxy().requests();
        let at: Vec<_> = asked
            .iter()
            .filter(|asked| asked.verb == Verb::Delete && asked.name == name)
            .map(|asked| asked.at)
            .collect();
        assert_eq!(at.len(), 4, "{code}: not in a tight loop");
        for pair in at.windows(2) {
            let pause = pair[1].duration_since(pair[0]).unwrap_or_default();
            assert!(pause >= Duration::from_millis(90), "{code}: {pause:?}");
        }
    }
}

#[tokio::test]
async fn a_requested_sync_outlasts_a_branch_that_is_away() {
    let world = World::new("branchaway").await;
    let repo = world.repo("config");
    let commit = repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    repo.bare(&["update-ref", "-d", "refs/heads/main"]);
    app.condition("ComparisonError", &["main"]).await;
    app.patch(patient(&json!({}))).await;
    app.wait("waiting for another attempt", retrying).await;
    repo.bare(&["update-ref", "refs/heads/main", &commit]);
    app.wait("synced on request", succeeded).await;
    world.config_map_is("settings", "one").await;
}

#[tokio::test]
async fn a_requested_sync_without_retry_outlasts_a_server_that_is_away() {
    let world = World::new("serveraway").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let servers = &Environment::get().servers;
    servers.away(repo.name());
    let asked = world
        .app("shop")
        .repo(&repo)
        .set("/operation", json!({"sync": {}}));
    let app = asked.create().await;
    app.wait("waiting for another attempt", retrying).await;
    servers.back(repo.name());
    app.wait("synced on request", succeeded).await;
    world.config_map_is("settings", "one").await;
}

#[tokio::test]
async fn a_requested_sync_of_another_revision_needs_nothing_of_the_tracked_one() {
    let world = World::new("otherrevision").await;
    let repo = world.repo("config");
    let good = repo.write("app/a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).path("app").create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    repo.remove("app/a.yaml");
    app.condition("ComparisonError", &["app"]).await;
    app.patch(json!({"operation": {"sync": {"revision": good}}}))
        .await;
    let done = app.wait("synced on request", succeeded).await;
    assert_eq!(operation(&done).sync_result.unwrap().revision, good);
    world.config_map_is("settings", "one").await;
    app.condition("ComparisonError", &["app"]).await;
}

#[tokio::test]
async fn a_commit_that_holds_nothing_prunes_nothing_and_drops_no_sync() {
    let world = World::new("holdsnothing").await;
    let repo = world.repo("config");
    let full = repo.write("app/a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).path("app").automated();
    let app = app.create().await;
    app.synced().await;
    repo.remove("app/a.yaml");
    app.condition("ComparisonError", &["app"]).await;
    app.patch(patient(&json!({"prune": true}))).await;
    app.wait("waiting for another attempt", retrying).await;
    assert!(world.exists::<ConfigMap>("settings").await);
    repo.bare(&["update-ref", "refs/heads/main", &full]);
    app.wait("synced on request", succeeded).await;
    world.config_map_is("settings", "one").await;
}

#[tokio::test]
async fn the_start_waits_for_an_api_server_that_refuses() {
    let world = World::behind_proxy("startwaits").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let but_the_lease = || Requests::all().that(|request| request.resource != "leases");
    let refused = world.proxy().on(but_the_lease(), Fault::status(503));
    world.agent().restart();
    world.logged("the start waits").await;
    assert!(!world.agent().is_ready());
    refused.lift();
    world.logged("the agent runs").await;
    assert!(world.agent().is_ready());
    // The lists of its own namespace are refused as well.
    let lists = Requests::of(Verb::List)
        .or(Verb::Watch)
        .resource("applications");
    let refused = world.proxy().on(lists, Fault::status(500));
    world.agent().restart();
    refused.hit(3).await;
    refused.lift();
    world.logged("the agent runs").await;
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    app.synced_to(&commit).await;
}

/// Makes a watch of the agent lose what happens meanwhile: it begins anew with a list.
async fn unseen(world: &World, resource: &str, change: impl Future<Output = ()>) {
    let proxy = world.proxy();
    proxy.hold_watches(resource);
    change.await;
    let watches = Requests::of(Verb::Watch).resource(resource);
    let expired = proxy.on(watches.times(1), Fault::status(410));
    proxy.cut_watches();
    expired.hit(1).await;
    proxy.let_watches_go(resource);
}

#[tokio::test]
async fn what_changed_while_a_watch_was_away_is_noticed() {
    let world = World::behind_proxy("unseen").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let project = async |windows: Value| {
        let project = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "windows", "namespace": world.namespace},
            "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
                "syncWindows": windows},
        });
        world.plane.apply_value_as("gitops-e2e", project).await;
    };
    let always = json!([{"kind": "deny", "schedule": "* * * * *", "duration": "24h",
        "applications": ["*"]}]);
    project(always).await;
    let app = world.app("shop").repo(&repo).automated();
    let app = app.set("/spec/project", json!("windows")).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    unseen(&world, "appprojects", project(json!([]))).await;
    app.synced().await;

    // Credentials.
    let private = world.repo("private");
    private.write("a.yaml", &config_map("private", "one"));
    let url = private.url_over(Transport::Private);
    let app = world.app("private").automated();
    let app = app.set("/spec/source/repoURL", json!(url)).create().await;
    app.condition("ComparisonError", &["denied"]).await;
    let servers = &Environment::get().servers;
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: private\n  labels:\n    argocd.argoproj.io/secret-type: repository\nstringData:\n  url: {url}\n  username: {}\n  password: {}\n",
        servers.username, servers.password,
    );
    unseen(&world, "secrets", world.configure(&secret)).await;
    app.synced().await;

    // An Application that is deleted, and one that is made, by an edit of its spec.
    let app = world.existing_app("shop");
    let commit = repo.write("b.yaml", &config_map("more", "one"));
    app.synced_to(&commit).await;
    let pinned = json!({"spec": {"source": {"path": "nowhere"}}});
    unseen(&world, "applications", async {
        app.patch(pinned).await;
    })
    .await;
    app.condition("ComparisonError", &["nowhere"]).await;
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[tokio::test]
async fn a_corrupt_mirror_is_fetched_anew_and_not_blamed_on_the_server() {
    let world = World::new("corruptmirror").await;
    let repo = world.repo("config");
    for number in 0..5 {
        repo.write("a.yaml", &config_map("settings", &number.to_string()));
    }
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    world.agent().kill();
    let packs = files(&world.folder().join("cache/git"));
    let packs = packs
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "pack"));
    let mut damaged = 0;
    for pack in packs {
        let mut bytes = fs::read(pack).unwrap();
        for place in 0..8 {
            let at = 12 + place * (bytes.len() - 40) / 8;
            bytes[at] ^= 0xff;
        }
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
        damaged += 1;
    }
    assert!(damaged > 0);
    let commit = repo.write("a.yaml", &config_map("settings", "new"));
    world.agent().restart();
    app.synced_to(&commit).await;
    world.config_map_is("settings", "new").await;
    assert_eq!(
        world.times_logged("does not answer like a Git server: Failed"),
        0
    );
}

#[tokio::test]
async fn an_agent_without_a_usable_cache_says_so_and_comes_back_by_itself() {
    let world = World::new("nocache").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let cache = world.folder().join("cache");
    world.agent().kill();
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "no directory").unwrap();
    world.agent().restart();
    world.logged("the agent runs").await;
    app.condition("ComparisonError", &["cannot use", "cache volume"])
        .await;
    assert!(world.exists::<ConfigMap>("settings").await);
    let unusable = "gitops_agent_cache_faults_total{outcome=\"unusable\"}";
    assert!(world.agent().metric(unusable) >= 1.0);
    fs::remove_file(&cache).unwrap();
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    app.synced_to(&commit).await;
}

/// What a controller writes in between is no reason for a sync to fail, though nobody tries it again.
#[tokio::test]
async fn fields_are_taken_over_from_kubectl_although_others_write_the_object_meanwhile() {
    let world = World::behind_proxy("takeover").await;
    let file = world.folder().join("map.yaml");
    fs::write(&file, config_map("settings", "theirs")).unwrap();
    let line = ["apply", "-n", &world.target, "-f", &file.to_string_lossy()];
    world.plane.kubectl(&line).unwrap();
    let repo = world.repo("config");
    let commit = repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let takes_over = Requests::of(Verb::Patch)
        .resource("configmaps")
        .that(|request| !request.apply);
    let conflicts = world.proxy().on(takes_over.times(3), Fault::status(409));
    let done = app.sync(json!({})).await;
    assert!(operation(&done).phase.is_successful(), "{done:?}");
    assert_eq!(conflicts.hits(), 3);
    app.synced_to(&commit).await;
    let map = world.api::<ConfigMap>().get("settings").await.unwrap();
    assert_eq!(map.data.unwrap_or_default()["value"], "one");
}
