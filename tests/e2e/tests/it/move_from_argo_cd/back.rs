//! The way back to Argo CD.

use gitops_e2e::fault_proxy::{Fault, Requests};
use gitops_e2e::recorded::Definitions;
use gitops_e2e::{FaultProxy, Person};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Moved, STATES};

/// A cluster that was moved, and on which a commit arrived since; the agent has ended.
async fn moved_and_changed() -> Moved {
    let mut moved = Moved::new(Definitions::ArgoCd).await;
    moved.looked_at().await;
    let work = moved.recorded.checkout("config");
    let file = work.path().join("plain-web/all.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("level: \"info\"", "level: \"debug\"")).unwrap();
    moved.recorded.push(&work, "More");
    moved.world.logged("syncing").await;
    moved.refreshed().await;
    assert_eq!(moved.find(CHANGED).await.unwrap()["data"]["level"], "debug");
    assert!(moved.world.stop().await);
    moved
}

/// What the commit of [`moved_and_changed`] changed.
const CHANGED: &str = "ConfigMap plain-web/web-config";

/// What Argo CD goes by is as it needs it, and nothing else was changed.
async fn is_given_back(moved: &mut Moved) {
    let live = moved.find(CHANGED).await.unwrap();
    let metadata = &live["metadata"];
    let managers = metadata["managedFields"].as_array().unwrap();
    assert!(
        managers
            .iter()
            .all(|entry| entry["manager"] != "gitops-agent"),
        "{managers:?}"
    );
    assert!(metadata["labels"]["gitops-agent.io/managed-by"].is_null());
    let applied = metadata["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        .as_str()
        .unwrap();
    let applied: Value = serde_json::from_str(applied).unwrap();
    assert_eq!(
        applied["data"],
        json!({"level": "debug", "url": "http://api"})
    );
    let tracking = "plain-web:/ConfigMap:plain-web/web-config";
    assert_eq!(
        applied["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"],
        tracking
    );
    let changes = moved
        .changes(&[
            CHANGED,
            "Deployment argocd/argocd-applicationset-controller",
            "StatefulSet argocd/argocd-application-controller",
        ])
        .await;
    assert!(changes.is_empty(), "{changes:#?}");
    for (name, _) in STATES {
        let app = moved.applications().get(name).await.unwrap();
        assert!(
            !app.annotations().contains_key("gitops-agent.io/memory"),
            "{name}"
        );
    }
}

/// The way back: what Argo CD goes by is as it needs it.
#[tokio::test]
async fn the_way_back_gives_argo_cd_what_it_needs() {
    let mut moved = Box::pin(moved_and_changed()).await;
    let back = moved
        .world
        .person()
        .gitops(&["uninstall", "--restore-argocd", "--yes"])
        .run()
        .await;
    back.exits(0).says("with their finalizers");
    is_given_back(&mut moved).await;
}

/// A way back that is cut short anywhere is gone on with by the same command.
#[tokio::test]
async fn a_way_back_that_is_cut_short_is_finished_by_the_next_one() {
    let mut moved = Box::pin(moved_and_changed()).await;
    let proxy = FaultProxy::start(moved.recorded.plane.kubeconfig());
    let person = Person::with_kubeconfig(&proxy.kubeconfig(moved.world.folder()));
    let person = person.in_namespace("argocd");
    let back = ["uninstall", "--restore-argocd", "--yes"];
    let mut cut_short = 0;
    for fault in [Fault::Cut, Fault::CutAnswer] {
        for write in [1, 2, 3, 5, 8, 13, 21, 34] {
            proxy.heal();
            proxy.on(Requests::writes().from(write), fault.clone());
            let ended = person.gitops(&back).run().await;
            if ended.code == Some(0) {
                break;
            }
            cut_short += 1;
        }
    }
    assert!(cut_short > 5, "it was cut short only {cut_short} times");
    proxy.heal();
    // All of it may have been done by the last one that was not told so.
    let ended = person.gitops(&back).run().await;
    if ended.code != Some(0) {
        ended.says("there is no agent");
    }
    is_given_back(&mut moved).await;
    let stopped = moved.recorded.plane.kubectl(&[
        "get",
        "statefulset/argocd-application-controller",
        "-n",
        "argocd",
        "-o",
        "jsonpath={.spec.replicas}",
    ]);
    assert_eq!(stopped.unwrap(), "1", "Argo CD is started");
}
