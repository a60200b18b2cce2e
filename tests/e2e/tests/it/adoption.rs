//! Objects that others made: taken over with their fields, so that a field removed from Git goes.

use gitops_e2e::World;
use gitops_e2e::application::is_synced;
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;

fn two_keys(name: &str, namespace: &str) -> String {
    config_map(name, "1").replace("  name:", &format!("  namespace: {namespace}\n  name:"))
        + "  obsolete: \"yes\"\n"
}

async fn adopts(world: &World, name: &str) {
    let before = world.config_map_is(name, "1").await;
    assert!(before.data.as_ref().unwrap().contains_key("obsolete"));
    let repo = world.repo(name);
    repo.write("a.yaml", &(config_map(name, "1") + "  obsolete: \"yes\"\n"));
    let app = world.app(name).repo(&repo).automated().create().await;
    app.synced().await;
    let commit = repo.write("a.yaml", &config_map(name, "2"));
    app.synced_to(&commit).await;
    let after = world.config_map_is(name, "2").await;
    assert_eq!(after.uid(), before.uid(), "the object was made anew");
    assert!(
        !after.data.as_ref().unwrap().contains_key("obsolete"),
        "{:?}",
        after.data
    );
    assert!(is_synced(&app.refresh("normal").await));
}

#[tokio::test]
async fn objects_of_client_side_apply_are_adopted() {
    let world = World::new("adoptkubectl").await;
    let file = world.folder().join("map.yaml");
    std::fs::write(&file, two_keys("settings", &world.target)).unwrap();
    world
        .plane
        .kubectl(&["apply", "-f", &file.to_string_lossy()])
        .unwrap();
    adopts(&world, "settings").await;
}

#[tokio::test]
async fn objects_of_argo_cd_are_adopted() {
    let world = World::new("adoptargo").await;
    let text = two_keys("settings", &world.target);
    world.plane.apply_as("argocd-controller", &text).await;
    adopts(&world, "settings").await;
}

#[tokio::test]
async fn objects_of_helm_are_adopted() {
    let world = World::new("adopthelm").await;
    let text = two_keys("settings", &world.target);
    let file = world.folder().join("map.yaml");
    std::fs::write(&file, text).unwrap();
    // Helm creates with a plain request under its own name.
    let path = file.to_string_lossy();
    world
        .plane
        .kubectl(&["create", "--field-manager=helm", "-f", &path])
        .unwrap();
    adopts(&world, "settings").await;
}

#[tokio::test]
async fn an_object_of_another_manager_keeps_what_git_does_not_set() {
    let world = World::new("adoptother").await;
    world
        .plane
        .apply_as("some-controller", &two_keys("settings", &world.target))
        .await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "2"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let map: ConfigMap = world.config_map_is("settings", "2").await;
    assert_eq!(map.data.as_ref().unwrap()["obsolete"], "yes");
}
