//! `explain`: real troubles, and what is said about them.

use futures::StreamExt;
use gitops_e2e::application::is_out_of_sync;
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::{World, wait};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, watcher};
use serde_json::{Value, json};

/// A Deployment whose Pods get a wrong end; see tests/cluster/README.md.
pub(crate) fn with_outcome(manifest: &str, outcome: &str) -> String {
    manifest.replace(
        "  template:\n    metadata:\n",
        &format!(
            "  template:\n    metadata:\n      annotations:\n        gitops-test/outcome: {outcome}\n"
        ),
    )
}

/// The causes named in a document.
fn causes(document: &Value) -> Vec<&str> {
    let causes = document["causes"].as_array();
    causes
        .into_iter()
        .flatten()
        .filter_map(|cause| cause["cause"].as_str())
        .collect()
}

fn by(manager: &str) -> PatchParams {
    PatchParams {
        field_manager: Some(manager.into()),
        ..PatchParams::default()
    }
}

/// Waits until so many repairs were recorded: the agent does not wait for its events.
async fn healed(world: &World, times: i32) {
    let config = watcher::Config::default().fields("reason=SelfHealed");
    let mut events = watcher(world.api::<Event>(), config).boxed();
    let waiting = async {
        // The same again becomes a series of one event.
        let mut seen = 0;
        while seen < times {
            if let Some(Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event))) =
                events.next().await
            {
                let series = event.series.and_then(|series| series.count);
                seen = seen.max(series.unwrap_or(1));
            }
        }
    };
    let waited = tokio::time::timeout(wait::LIMIT, waiting).await;
    assert!(waited.is_ok(), "{}", world.agent_tail());
}

#[tokio::test]
async fn what_is_fine_is_fine() {
    let world = World::new("explainfine").await;
    let repo = world.repo("config");
    let commit = repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let person = world.person();
    let fine = person.gitops(&["explain", "shop"]).run().await;
    fine.exits(0).is_quiet().is_plain();
    fine.prints("shop is fine: Synced and Healthy")
        .prints(&commit[..7]);
    let document = person
        .gitops(&["explain", "shop", "-o", "json"])
        .run()
        .await;
    let document = document.exits(0).json();
    assert_eq!(document["ok"], true);
    // By its object, its Pod, and its full name.
    let pods = world
        .api::<Pod>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let pod = pods.items[0].metadata.name.clone().unwrap();
    for object in [
        "deploy/web".to_owned(),
        format!("pod/{pod}"),
        "deployments.apps/web".into(),
    ] {
        let explained = person.gitops(&["explain", &object, "-n", &world.target]);
        let explained = explained.run().await;
        explained
            .exits(0)
            .prints("is fine")
            .prints("Application/shop");
    }
    let full = format!("{}/shop", world.namespace);
    let full = person
        .types(&["kubectl", "gitops", "explain", &full])
        .run()
        .await;
    full.exits(0).prints("shop is fine");
    for (target, code, says) in [
        ("shp", 2, "did you mean shop?"),
        ("deploy/wbe", 2, "there is no Deployment/wbe"),
    ] {
        let failed = person.gitops(&["explain", target]).run().await;
        failed.fails(code).says(says);
    }
    for (target, says) in [
        ("nothing/shop", "there is no Application"),
        ("a/b/c", "NAMESPACE/NAME"),
    ] {
        let failed = person.types(&["kubectl", "gitops", "explain", target]);
        failed.run().await.fails(2).says(says);
    }
}

#[tokio::test]
async fn manifests_that_do_not_render_are_named_by_file() {
    let world = World::new("explainrender").await;
    let repo = world.repo("config");
    repo.write(
        "b.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [broken\n",
    );
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.condition("ComparisonError", &["b.yaml"]).await;
    let person = world.person();
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained.exits(1).is_quiet().is_plain();
    explained
        .prints("cannot be rendered: b.yaml")
        .prints("kubectl gitops refresh shop");
    app.patch(json!({"spec": {"source": {"targetRevision": "mian"}}}))
        .await;
    app.condition("ComparisonError", &["mian"]).await;
    let document = person
        .gitops(&["explain", "shop", "-o", "json"])
        .run()
        .await;
    assert_eq!(causes(&document.exits(1).json()), ["RevisionUnknown"]);
    app.patch(json!({"spec": {"project": "nowhere"}})).await;
    app.condition("InvalidSpecError", &["nowhere"]).await;
    let document = person
        .gitops(&["explain", "shop", "-o", "json"])
        .run()
        .await;
    assert_eq!(causes(&document.exits(1).json()), ["ProjectMissing"]);
    app.patch(
        json!({"spec": {"project": "default", "source": {"repoURL": "http://127.0.0.1:1/x.git"}}}),
    )
    .await;
    app.condition("ComparisonError", &["127.0.0.1:1"]).await;
    let document = person
        .gitops(&["explain", "shop", "-o", "json"])
        .run()
        .await;
    assert_eq!(causes(&document.exits(1).json()), ["RepositoryUnreachable"]);
}

#[tokio::test]
async fn drift_is_told_with_who_and_what_to_do() {
    let world = World::new("explaindrift").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 2, "web:1"));
    let app = world.app("shop").repo(&repo);
    let app = app.set("/spec/syncPolicy/automated", json!({"prune": true}));
    let app = app.create().await;
    app.healthy().await;
    let edit = Patch::Merge(json!({"spec": {"replicas": 4}}));
    let deployments = world.api::<Deployment>();
    deployments
        .patch("web", &by("kubectl-scale"), &edit)
        .await
        .unwrap();
    app.wait("OutOfSync", is_out_of_sync).await;
    let person = world.person();
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained.exits(1).is_quiet().is_plain();
    explained
        .prints("self-heal is off")
        .prints(".spec.replicas 4≠2 by kubectl-scale")
        .prints("kubectl gitops sync shop");
    let object = person.gitops(&["explain", "deploy/web", "-n", &world.target]);
    object
        .run()
        .await
        .exits(1)
        .prints("Deployment/web is OutOfSync")
        .prints("kubectl-scale");
    app.patch(json!({"spec": {"syncPolicy": {"automated": null}}}))
        .await;
    let document = person
        .gitops(&["explain", "shop", "-o", "json"])
        .run()
        .await;
    assert_eq!(causes(&document.exits(1).json()), ["DriftAutoSyncOff"]);
    let narrow = person.gitops(&["explain", "shop"]).on_terminal(80, 24);
    narrow.ends().await.exits(1).is_tidy();
}

#[tokio::test]
async fn a_fight_over_a_field_is_seen() {
    let world = World::new("explainfight").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let maps = world.api::<ConfigMap>();
    for number in 0..3 {
        let edit = json!({"data": {"value": format!("mine-{number}")}});
        maps.patch("settings", &by("other-operator"), &Patch::Merge(&edit))
            .await
            .unwrap();
        world.config_map_is("settings", "one").await;
    }
    healed(&world, 3).await;
    app.healthy().await;
    let explained = world.person().gitops(&["explain", "shop"]).run().await;
    explained
        .exits(1)
        .prints("somebody keeps changing ConfigMap/settings");
    explained
        .prints("other-operator")
        .prints("--show-managed-fields");
}

#[tokio::test]
async fn refused_objects_are_told_in_the_servers_words() {
    let world = World::new("explainrefused").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let changed = deployment("web", 1, "web:1").replace("app: web", "app: other");
    repo.write("web.yaml", &changed);
    app.condition("SyncError", &["immutable"]).await;
    let person = world.person();
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained.exits(1).is_quiet().is_plain();
    explained
        .prints("Deployment/web cannot take the change")
        .prints("field is immutable")
        .prints("web.yaml")
        .prints("kubectl gitops rollback shop");
}

#[tokio::test]
async fn pods_that_fail_are_told_with_their_reason() {
    let world = World::new("explainpods").await;
    let repo = world.repo("config");
    repo.commit(&[
        (
            "a.yaml",
            Some(&with_outcome(
                &deployment("image", 1, "registry.example/web:404"),
                "image-pull-error",
            )),
        ),
        (
            "b.yaml",
            Some(&with_outcome(
                &deployment("crash", 1, "web:1"),
                "crash-loop",
            )),
        ),
        (
            "c.yaml",
            Some(
                &with_outcome(&deployment("quota", 1, "web:1"), "hang").replace(
                    "image: web:1",
                    "image: web:1\n          resources: {requests: {cpu: \"2000000\"}}",
                ),
            ),
        ),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let person = world.person();
    let mut watched = person
        .gitops(&["status", "shop", "-w"])
        .on_terminal(160, 50);
    watched
        .shows("ImagePullBackOff")
        .await
        .shows("CrashLoopBackOff")
        .await
        .shows("nodes are available")
        .await;
    drop(watched);
    // What a real kubelet would add.
    let pods = world.api::<Pod>();
    let crashed = pods
        .list(&ListParams::default().labels("app=crash"))
        .await
        .unwrap();
    let name = crashed.items[0].metadata.name.clone().unwrap();
    let ended = json!({"status": {"containerStatuses": [{
        "name": "web", "image": "web:1", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }]}});
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&ended))
        .await
        .unwrap();

    let document = person
        .gitops(&["explain", "shop", "-o", "json"])
        .run()
        .await;
    let document = document.exits(1).json();
    let mut found = causes(&document);
    found.sort_unstable();
    assert_eq!(
        found,
        ["ImagePull", "OutOfMemory", "Unschedulable"],
        "{document:#}"
    );
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained.is_quiet().is_plain();
    explained
        .prints("registry.example/web:404: back-off pulling the image")
        .prints("exit code 137, OOMKilled, 3 restarts")
        .prints("--previous")
        .prints("Insufficient cpu");
    let pod = person.gitops(&["explain", &format!("pod/{name}"), "-n", &world.target]);
    let pod = pod.run().await;
    pod.exits(1).prints(&format!("Pod/{name} is killed"));
    pod.prints("Deployment/crash")
        .never_shows("registry.example");
    for width in [80, 200] {
        let screen = person.gitops(&["explain", "shop"]).on_terminal(width, 60);
        screen.ends().await.exits(1).is_tidy();
    }
}

#[tokio::test]
async fn what_belongs_to_nobody_is_said() {
    let world = World::new("explainnobody").await;
    let map = gitops_e2e::control_plane::typed(json!({"metadata": {"name": "loose"}}));
    world
        .api::<ConfigMap>()
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    let person = world.person();
    let loose = person.gitops(&["explain", "cm/loose", "-n", &world.target]);
    loose
        .run()
        .await
        .exits(1)
        .prints("ConfigMap/loose belongs to no application");
}

#[tokio::test]
async fn a_silent_agent_is_the_first_thing_said() {
    let world = World::new("explainsilent").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    world.stop().await;
    let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
        kube::Api::namespaced(world.plane.client.clone(), &world.namespace);
    let long_ago =
        json!({"spec": {"holderIdentity": "gone", "renewTime": "2026-01-01T00:00:00.000000Z"}});
    leases
        .patch(
            "gitops-agent",
            &PatchParams::default(),
            &Patch::Merge(&long_ago),
        )
        .await
        .unwrap();
    let explained = world.person().gitops(&["explain", "shop"]).run().await;
    explained
        .exits(1)
        .prints("the agent has been silent for")
        .prints("kubectl get pods -n");
}

#[tokio::test]
async fn a_deletion_that_hangs_names_the_finalizer() {
    let world = World::new("explaindelete").await;
    let repo = world.repo("config");
    let held = config_map("settings", "one").replace(
        "  name: settings\n",
        "  name: settings\n  finalizers: [example.com/wait]\n",
    );
    repo.write("a.yaml", &held);
    let app = world.app("shop").repo(&repo);
    let app = app.cascading();
    let app = app.automated().create().await;
    app.healthy().await;
    let applications: kube::Api<gitops_api::Application> =
        kube::Api::namespaced(world.plane.client.clone(), &world.namespace);
    applications
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    world
        .object("settings", "being deleted", |map: &ConfigMap| {
            map.metadata.deletion_timestamp.is_some()
        })
        .await;
    let explained = world.person().gitops(&["explain", "shop"]).run().await;
    explained.exits(1).prints("it is being deleted");
    explained.prints("resources-finalizer.argocd.argoproj.io");
    explained.prints("ConfigMap/settings is being deleted too");
    let free = json!({"metadata": {"finalizers": null}});
    let maps = world.api::<ConfigMap>();
    maps.patch("settings", &by("test"), &Patch::Merge(&free))
        .await
        .unwrap();
    app.gone().await;
}
