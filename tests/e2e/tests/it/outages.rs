//! Servers that go away, and an agent that is killed: what runs stays, and work goes on after.

use std::collections::BTreeMap;

use gitops_e2e::application::conditions;
use gitops_e2e::cluster::Cluster;
use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::{Environment, World};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn drift_is_healed_while_the_git_server_is_away() {
    let world = World::new("gitaway").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let servers = &Environment::get().servers;
    servers.away(repo.name());
    app.condition("ComparisonError", &[repo.name()]).await;
    let edit = json!({"data": {"value": "drifted"}});
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    world
        .api::<ConfigMap>()
        .patch("settings", &params, &Patch::Merge(&edit))
        .await
        .unwrap();
    world.event("ConfigMap", "settings", "SelfHealed").await;
    world.config_map_is("settings", "one").await;
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    servers.back(repo.name());
    app.synced_to(&commit).await;
    app.wait("without conditions", |app| conditions(app).is_empty())
        .await;
}

#[tokio::test]
async fn the_api_server_may_go_away_for_a_while() {
    let cluster = Cluster::up("fake", &[]);
    let plane = ControlPlane::connect(&cluster.kubeconfig()).await;
    let world = World::on(plane, "apiaway").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let uid = world.config_map_is("settings", "one").await.uid();
    cluster.hold("kube-apiserver");
    world.logged("watch disconnected").await;
    // Longer than the agent's lease lasts: three renewals failed.
    world.logged_again("the lease cannot be renewed", 2).await;
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    cluster.release("kube-apiserver");
    app.synced_to(&commit).await;
    assert_eq!(world.config_map_is("settings", "two").await.uid(), uid);
    assert!(
        !world.agent().log().contains("--- ended"),
        "the agent ended"
    );
    // Drift is still seen: the watches were taken up again.
    let edit = json!({"data": {"value": "drifted"}});
    let params = PatchParams::default();
    world
        .api::<ConfigMap>()
        .patch("settings", &params, &Patch::Merge(&edit))
        .await
        .unwrap();
    world.event("ConfigMap", "settings", "SelfHealed").await;
    world.config_map_is("settings", "two").await;
}

async fn uids(world: &World) -> BTreeMap<String, String> {
    let list = world
        .api::<ConfigMap>()
        .list(&ListParams::default())
        .await
        .unwrap();
    list.items
        .into_iter()
        .filter(|map| map.name_any() != "kube-root-ca.crt")
        .map(|map| (map.name_any(), map.uid().unwrap_or_default()))
        .collect()
}

#[tokio::test]
async fn a_killed_agent_goes_on_where_it_was() {
    const COUNT: usize = 30;
    let world = World::new("killed").await;
    let repo = world.repo("config");
    let write = |value: &str, count: usize| {
        for number in 0..COUNT {
            let file = repo.path().join(format!("map-{number}.yaml"));
            if number < count {
                std::fs::write(file, config_map(&format!("map-{number}"), value)).unwrap();
            } else {
                std::fs::remove_file(file).unwrap();
            }
        }
        repo.write("web.yaml", &deployment("web", 1, &format!("web:{value}")))
    };
    let mut commit = write("one", COUNT);
    let app = world.app("shop").repo(&repo).automated().create().await;
    // During the first sync.
    world.logged("syncing").await;
    world.agent().kill();
    let early = uids(&world).await;
    world.agent().restart();
    app.synced_to(&commit).await;
    let all = uids(&world).await;
    assert_eq!(all.len(), COUNT);
    assert!(
        early.iter().all(|(name, uid)| all[name] == *uid),
        "an object was made anew"
    );

    // During a later sync, losing its caches.
    let already = world.times_logged("syncing");
    commit = write("two", COUNT);
    world.logged_again("syncing", already).await;
    world.agent().restart_anew();
    app.synced_to(&commit).await;
    assert_eq!(uids(&world).await, all);

    // Just after it was asked, before it can have begun.
    commit = write("three", COUNT);
    world.agent().restart();
    app.synced_to(&commit).await;
    assert_eq!(uids(&world).await, all);

    // While it is gone: a commit that removes an object, a deleted object, and drift.
    world.agent().kill();
    commit = write("four", COUNT - 1);
    let maps = world.api::<ConfigMap>();
    maps.delete("map-0", &DeleteParams::default())
        .await
        .unwrap();
    let edit = json!({"data": {"value": "drifted"}});
    maps.patch("map-1", &PatchParams::default(), &Patch::Merge(&edit))
        .await
        .unwrap();
    world.agent().restart();
    app.synced_to(&commit).await;
    world.config_map_is("map-0", "four").await;
    world.config_map_is("map-1", "four").await;
    let after = uids(&world).await;
    assert_eq!(after.len(), COUNT - 1);
    assert!(
        after
            .iter()
            .all(|(name, uid)| name == "map-0" || all[name] == *uid)
    );
    // Drift while it is gone, without any commit.
    world.agent().kill();
    maps.patch("map-1", &PatchParams::default(), &Patch::Merge(&edit))
        .await
        .unwrap();
    world.agent().restart();
    world.config_map_is("map-1", "four").await;
    app.healthy().await;
    assert_eq!(uids(&world).await, after);
}

#[tokio::test]
async fn an_agent_that_is_told_to_stop_ends_well() {
    let world = World::new("stop").await;
    assert_eq!(world.agent().get("/healthz").trim(), "ok");
    assert_eq!(world.agent().get("/readyz").trim(), "ok");
    assert!(world.stop().await, "{}", world.agent_tail());
    world.agent().restart();
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    world
        .app("shop")
        .repo(&repo)
        .automated()
        .create()
        .await
        .synced()
        .await;
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_nobody_else() {
    let world = World::new("hanging").await;
    let repo = world.repo("config");
    // More than there are workers.
    let names: Vec<String> = (0..10).map(|number| format!("stuck-{number}")).collect();
    for name in &names {
        repo.write(&format!("{name}/a.yaml"), &config_map(name, "one"));
    }
    let servers = &Environment::get().servers;
    servers.hang(repo.name());
    let mut stuck = Vec::new();
    for name in &names {
        let app = world.app(name).repo(&repo).automated();
        stuck.push(app.set("/spec/source/path", json!(name)).create().await);
    }
    let mut others = Vec::new();
    for number in 0..12 {
        let other = world.repo(&format!("other-{number}"));
        other.write("a.yaml", &config_map(&format!("other-{number}"), "one"));
        let app = world
            .app(&format!("other-{number}"))
            .repo(&other)
            .automated()
            .create()
            .await;
        others.push((other, app));
    }
    for (_, app) in &others {
        app.synced().await;
    }
    servers.back(repo.name());
    for app in &stuck {
        app.synced().await;
    }
}

#[tokio::test]
async fn a_damaged_cache_is_made_anew() {
    let world = World::new("damaged").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    world.agent().kill();
    let damaged = damage(&world.folder().join("cache"));
    assert!(damaged > 0, "there was no cache");
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    world.agent().restart();
    app.synced_to(&commit).await;
    world.config_map_is("settings", "two").await;
}

/// Overwrites every file below a folder; returns how many.
fn damage(folder: &std::path::Path) -> usize {
    use std::os::unix::fs::PermissionsExt;
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += damage(&path);
        } else {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            std::fs::write(&path, "damaged").unwrap();
            count += 1;
        }
    }
    count
}
