//! The proxy that hurts an agent's requests does what the tests of faults rely on.

use std::time::{Duration, Instant};

use futures::StreamExt;
use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::fault_proxy::{Fault, Requests, Verb};
use gitops_e2e::manifests::config_map;
use gitops_e2e::world::unique;
use gitops_e2e::{FaultProxy, World};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Error};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

/// A namespace seen through a proxy and past it.
struct Views {
    proxy: FaultProxy,
    through: Api<ConfigMap>,
    past: Api<ConfigMap>,
    _folder: TempDir,
}

async fn views(name: &str) -> Views {
    let plane = ControlPlane::shared().await;
    let namespace = unique(name);
    plane.namespace(&namespace).await;
    let folder = TempDir::new().unwrap();
    let proxy = FaultProxy::start(plane.kubeconfig());
    let through = ControlPlane::bare(&proxy.kubeconfig(folder.path())).await;
    Views {
        proxy,
        through: Api::namespaced(through.client, &namespace),
        past: Api::namespaced(plane.client, &namespace),
        _folder: folder,
    }
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

#[tokio::test]
async fn requests_are_refused_swallowed_cut_and_held_by_rules() {
    let Views {
        proxy,
        through,
        past,
        _folder,
    } = views("faultproxy").await;
    let create = PostParams::default();
    through.create(&create, &map("a")).await.unwrap();
    past.get("a").await.unwrap();
    let creates = Requests::of(Verb::Create).resource("configmaps");
    assert_eq!(proxy.count(&creates), 1);
    assert_eq!(proxy.requests()[0].answered, Some(201));

    let second = proxy.on(Requests::of(Verb::Get).name("a").nth(2), Fault::busy(7));
    through.get("a").await.unwrap();
    let started = Instant::now();
    // The client of the tests obeys, once and for all.
    let refused = timeout(LONG, through.get("a")).await.unwrap();
    assert!(refused.is_ok() && started.elapsed() > Duration::from_secs(6));
    assert_eq!(second.hits(), 1);
    proxy.heal();

    proxy.on(Requests::of(Verb::Get), Fault::status(500));
    assert!(matches!(through.get("a").await, Err(Error::Api(status)) if status.code == 500));
    proxy.heal();

    let swallowed = proxy.on(creates.clone(), Fault::Swallow);
    assert!(
        timeout(SHORT, through.create(&create, &map("b")))
            .await
            .is_err()
    );
    swallowed.hit(1).await;
    assert!(past.get_opt("b").await.unwrap().is_none());
    proxy.heal();
    proxy.on(creates.clone(), Fault::Cut);
    through.create(&create, &map("b")).await.unwrap_err();
    assert!(past.get_opt("b").await.unwrap().is_none());
    proxy.heal();
    proxy.on(creates.clone(), Fault::CutAnswer);
    through.create(&create, &map("b")).await.unwrap_err();
    assert!(past.get_opt("b").await.unwrap().is_some());
    proxy.heal();
    proxy.on(creates.clone(), Fault::CutWithinAnswer);
    through.create(&create, &map("c")).await.unwrap_err();
    assert!(past.get_opt("c").await.unwrap().is_some());
    proxy.heal();

    let held = proxy.on(Requests::of(Verb::Delete), Fault::Pause);
    let delete = DeleteParams::default();
    let delete = through.delete("c", &delete);
    let meanwhile = async {
        held.hit(1).await;
        assert!(past.get_opt("c").await.unwrap().is_some(), "not yet sent");
        held.release();
    };
    let (deleted, ()) = tokio::join!(delete, meanwhile);
    deleted.unwrap();
    assert!(past.get_opt("c").await.unwrap().is_none());

    proxy.away(true);
    through.get("a").await.unwrap_err();
    proxy.away(false);
    through.get("a").await.unwrap();
    proxy.silent(true);
    assert!(timeout(SHORT, through.get("a")).await.is_err());
    proxy.silent(false);
    through.get("a").await.unwrap();
}

#[tokio::test]
async fn watches_are_held_delayed_and_cut() {
    let Views {
        proxy,
        through,
        past,
        _folder,
    } = views("faultwatch").await;
    let events = through.watch(&WatchParams::default(), "0").await.unwrap();
    let mut events = events.boxed();
    let mut next = async |what: &str| loop {
        let event = timeout(LONG, events.next()).await.expect(what);
        match event {
            Some(Ok(WatchEvent::Added(map))) if map.metadata.name.as_deref() == Some(what) => {
                return true;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
    };
    let create = PostParams::default();
    past.create(&create, &map("a")).await.unwrap();
    assert!(next("a").await);
    proxy.hold_watches("configmaps");
    past.create(&create, &map("b")).await.unwrap();
    assert!(timeout(SHORT, next("b")).await.is_err());
    proxy.let_watches_go("configmaps");
    assert!(next("b").await);
    let late = Duration::from_secs(1);
    proxy.delay_watches("configmaps", late);
    let started = Instant::now();
    past.create(&create, &map("c")).await.unwrap();
    assert!(next("c").await && started.elapsed() >= late);
    proxy.cut_watches();
    assert!(!next("d").await, "it was cut");
    through.get("a").await.unwrap();
}

#[tokio::test]
async fn an_agent_works_through_the_proxy() {
    let world = World::behind_proxy("faultagent").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let applies = Requests::of(Verb::Patch).name("settings").dry_run(false);
    assert_eq!(world.proxy().count(&applies), 1);
}
