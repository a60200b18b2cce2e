//! Every hook of Git runs once a sync, whatever names they share, and one that never began is given up for a
//! newer commit.
//!
//! Question: what may two hooks share? Answer: the beginning of a generated name, a fixed name in two phases,
//! a fixed name in one phase; and one manifest may be a hook of two phases. What may be in the way? An object
//! of the name that nobody marked, and that is on its way out.

use std::collections::BTreeSet;

use gitops_api::OperationPhase;
use gitops_e2e::World;
use gitops_e2e::application::status;
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::ListParams;

fn job(metadata: &str, phase: &str, image: &str, outcome: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  {metadata}\n  annotations:\n    \
         argocd.argoproj.io/hook: {phase}\nspec:\n  backoffLimit: 3\n  template:\n    metadata:\n      annotations:\n        \
         gitops-test/outcome: \"{outcome}\"\n    spec:\n      restartPolicy: Never\n      containers:\n        - name: work\n          \
         image: {image}\n"
    )
}

#[tokio::test]
async fn hooks_that_share_names_all_run() {
    let world = World::new("counted").await;
    let repo = world.repo("config");
    let long = "a-name-of-a-migration-that-is-as-long-as-people-write-them-";
    let commit = repo.commit(&[
        (
            "a.yaml",
            Some(&job("generateName: migrate-", "PreSync", "first:1", "")),
        ),
        (
            "b.yaml",
            Some(&job("generateName: migrate-", "PreSync", "second:1", "")),
        ),
        ("c.yaml", Some(&job("name: seed", "PreSync", "third:1", ""))),
        (
            "d.yaml",
            Some(&job("name: seed", "PreSync", "fourth:1", "")),
        ),
        (
            "e.yaml",
            Some(&job("name: seed", "PostSync", "fifth:1", "")),
        ),
        (
            "f.yaml",
            Some(&job("name: twice", "PreSync,PostSync", "sixth:1", "")),
        ),
        (
            "g.yaml",
            Some(&job(
                &format!("generateName: {long}"),
                "PreSync",
                "seventh:1",
                "",
            )),
        ),
        ("map.yaml", Some(&config_map("settings", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let done = app
        .wait("a sync that succeeded", |app| {
            status(app)
                .operation_state
                .is_some_and(|state| state.phase == OperationPhase::Succeeded)
        })
        .await;
    let state = status(&done).operation_state.unwrap();
    let ran: Vec<_> = state
        .sync_result
        .unwrap()
        .resources
        .into_iter()
        .filter(|result| result.hook_phase == Some(OperationPhase::Succeeded))
        .map(|result| (result.sync_phase, result.name))
        .collect();
    let distinct: BTreeSet<String> = ran.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!((ran.len(), distinct.len()), (8, 8), "{ran:?}");
    assert!(state.message.contains("ran 8 hooks"), "{}", state.message);
    // Each of the images ran.
    let jobs = world
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let images: BTreeSet<String> = jobs
        .into_iter()
        .filter_map(|job| {
            job.spec?
                .template
                .spec?
                .containers
                .into_iter()
                .next()?
                .image
        })
        .collect();
    for image in [
        "first:1",
        "second:1",
        "fourth:1",
        "fifth:1",
        "sixth:1",
        "seventh:1",
    ] {
        assert!(images.contains(image), "{image} of {images:?}");
    }
    app.condition("InvalidSettingWarning", &["seed", "it runs as seed-2"])
        .await;
}

#[tokio::test]
async fn a_hook_of_which_nothing_ever_ran_is_given_up_for_a_newer_commit() {
    let world = World::new("givehook").await;
    let repo = world.repo("config");
    let suspended = job("name: held", "PreSync", "held:1", "").replace(
        "spec:\n  backoffLimit",
        "spec:\n  suspend: true\n  backoffLimit",
    );
    let cases = [
        // Its image cannot be pulled, and the next commit has another one.
        (
            job("name: pull", "PreSync", "pull:tpyo", "image-pull-error"),
            Some(job("name: pull", "PreSync", "pull:1", "")),
            "pull",
        ),
        // Nobody lets it begin, and the next commit has it no more.
        (suspended, None, "held"),
        // Its ServiceAccount is missing: there is not even a Pod.
        (
            job("name: account", "PreSync", "account:1", "").replace(
                "restartPolicy: Never",
                "restartPolicy: Never\n      serviceAccountName: missing",
            ),
            Some(job("name: account", "PreSync", "account:1", "")),
            "account",
        ),
    ];
    for (index, (broken, mended, name)) in cases.iter().enumerate() {
        let path = format!("{name}/hook.yaml");
        let settings = format!("{name}/settings.yaml");
        let map = |value: &str| config_map(&format!("settings-{name}"), value);
        repo.commit(&[(&path, Some(broken)), (&settings, Some(&map("1")))]);
        let app = world
            .app(&format!("shop{index}"))
            .repo(&repo)
            .path(name)
            .automated()
            .create()
            .await;
        world.object(name, "made", |_: &Job| true).await;
        app.wait("waiting for the hook", |app| {
            status(app).operation_state.is_some_and(|state| {
                state.phase == OperationPhase::Running && state.message.contains(name)
            })
        })
        .await;
        let commit = repo.commit(&[(&path, mended.as_deref()), (&settings, Some(&map("2")))]);
        app.synced_to(&commit).await;
        world.config_map_is(&format!("settings-{name}"), "2").await;
        if mended.is_none() {
            world.object_gone::<Job>(name).await;
        }
    }
}

#[tokio::test]
async fn an_object_of_the_name_that_nobody_marked_is_seen_to_go() {
    let world = World::new("unmarked").await;
    let repo = world.repo("config");
    let foreign = job("name: migrate", "PreSync", "old:1", "").replace(
        "  annotations:\n    argocd.argoproj.io/hook: PreSync\n",
        "  finalizers: [example.com/keep]\n",
    );
    let mut value: serde_json::Value = serde_saphyr::from_str(&foreign).unwrap();
    value["metadata"]["namespace"] = world.target.clone().into();
    world.plane.apply_value_as("somebody", value).await;
    let jobs = world.api::<Job>();
    jobs.delete("migrate", &kube::api::DeleteParams::background())
        .await
        .unwrap();
    repo.commit(&[
        (
            "hook.yaml",
            Some(&job("name: migrate", "PreSync", "new:1", "")),
        ),
        ("map.yaml", Some(&config_map("settings", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.wait("waiting for the other one", |app| {
        status(app)
            .operation_state
            .is_some_and(|state| state.message.contains("migrate"))
    })
    .await;
    assert!(
        jobs.get("migrate")
            .await
            .unwrap()
            .finalizers()
            .contains(&"example.com/keep".into())
    );
    let patch = serde_json::json!({"metadata": {"finalizers": null}});
    jobs.patch(
        "migrate",
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Merge(&patch),
    )
    .await
    .unwrap();
    world.config_map_is("settings", "1").await;
}
