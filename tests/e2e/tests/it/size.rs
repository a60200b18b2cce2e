//! Much, and one broken among many.

use futures::future::join_all;
use gitops_e2e::World;
use gitops_e2e::application::status;
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;

#[tokio::test]
async fn one_broken_application_among_a_hundred_disturbs_none() {
    const COUNT: usize = 100;
    let world = World::new("hundred").await;
    let repo = world.repo("config");
    for number in 0..COUNT {
        let folder = repo.path().join(format!("app-{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("a.yaml"),
            config_map(&format!("map-{number}"), "1"),
        )
        .unwrap();
    }
    let commit = repo.write(
        "broken/a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n",
    );
    let broken = world
        .app("broken")
        .repo(&repo)
        .path("broken")
        .automated()
        .create()
        .await;
    let apps = join_all((0..COUNT).map(async |number| {
        let name = format!("app-{number}");
        world
            .app(&name)
            .repo(&repo)
            .path(&name)
            .automated()
            .create()
            .await
    }))
    .await;
    let mut synced = 0;
    for app in &apps {
        app.synced_to(&commit).await;
        synced += 1;
    }
    assert_eq!(synced, COUNT);
    broken
        .condition("ComparisonError", &["broken/a.yaml"])
        .await;
    let fetched = world
        .agent()
        .metric("gitops_agent_git_requests_total{outcome=\"fetched\"}");
    assert!(
        (fetched - 1.0).abs() < 0.5,
        "{fetched} fetches for one repository"
    );
    let before = world
        .agent()
        .metric("gitops_agent_renders_total{outcome=\"rendered\"}");
    let commit = repo.write("app-7/a.yaml", &config_map("map-7", "2"));
    for app in &apps {
        app.synced_to(&commit).await;
    }
    world.config_map_is("map-7", "2").await;
    let rendered = world
        .agent()
        .metric("gitops_agent_renders_total{outcome=\"rendered\"}")
        - before;
    assert!(
        (rendered - 1.0).abs() < 0.5,
        "{rendered} renders for a commit that touches one"
    );
}

#[tokio::test]
async fn twenty_megabytes_of_manifests_are_applied() {
    const COUNT: usize = 23;
    let world = World::new("large").await;
    let repo = world.repo("config");
    let value = "x".repeat(900_000);
    for number in 0..COUNT {
        let text = config_map(&format!("large-{number}"), &value);
        std::fs::write(repo.path().join(format!("{number}.yaml")), text).unwrap();
    }
    let commit = repo.commit_all("large");
    let small = world.repo("small");
    small.write("a.yaml", &config_map("small", "1"));
    let app = world.app("large").repo(&repo).automated().create().await;
    let other = world.app("small").repo(&small).automated().create().await;
    other.synced().await;
    app.synced_to(&commit).await;
    assert!(
        world
            .exists::<ConfigMap>(&format!("large-{}", COUNT - 1))
            .await
    );
}

/// A file of many small objects in one application.
fn many(count: usize, changed: Option<usize>) -> String {
    let objects = (0..count).map(|number| {
        let value = if changed == Some(number) { "2" } else { "1" };
        config_map(&format!("map-{number}"), value)
    });
    objects.collect::<Vec<_>>().join("---\n")
}

#[tokio::test]
async fn ten_thousand_objects_are_one_application_and_disturb_no_other() {
    const COUNT: usize = 10_000;
    let world = World::new("many").await;
    let repo = world.repo("config");
    let commit = repo.write("all.yaml", &many(COUNT, None));
    let small = world.repo("small");
    small.write("a.yaml", &config_map("small", "1"));
    let app = world.app("many").repo(&repo).automated().create().await;
    let other = world.app("small").repo(&small).automated().create().await;
    other.synced().await;
    let unfinished = !world.exists::<ConfigMap>("map-9999").await;
    assert!(unfinished, "the small one does not wait for the large one");
    let done = app.synced_to(&commit).await;
    // What is stored of it fits into what etcd takes; the counts are of all objects.
    let state = status(&done).operation_state.unwrap();
    assert!(state.message.contains("10000 objects"), "{}", state.message);
    assert!(status(&done).resources.len() < COUNT);

    // One of them is changed in Git, and one by hand: nothing else is applied.
    let commit = repo.write("all.yaml", &many(COUNT, Some(7)));
    let done = app.synced_to(&commit).await;
    let state = status(&done).operation_state.unwrap();
    assert_eq!(state.sync_result.unwrap().resources.len(), 1);
    world.config_map_is("map-7", "2").await;
    let maps = world.api::<ConfigMap>();
    maps.delete("map-8", &DeleteParams::default())
        .await
        .unwrap();
    world.config_map_is("map-8", "1").await;

    world.agent().restart();
    let commit = repo.write("all.yaml", &many(COUNT - 1, Some(7)));
    let done = app.synced_to(&commit).await;
    let state = status(&done).operation_state.unwrap();
    assert_eq!(state.sync_result.unwrap().resources.len(), 1, "one is gone");
    world.object_gone::<ConfigMap>("map-9999").await;
}
