//! Charts from a Helm repository and from a registry.

use std::path::Path;
use std::process::Command;

use gitops_e2e::application::{revision, status};
use gitops_e2e::manifests::chart;
use gitops_e2e::{Environment, World};
use serde_json::json;

fn helm(arguments: &[&str]) {
    let output = Command::new(&Environment::get().helm)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "helm {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn package(folder: &Path, name: &str, version: &str) -> String {
    let source = folder.join(format!("{name}-{version}-source")).join(name);
    for (path, text) in chart(name, version) {
        let file = source.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    helm(&[
        "package",
        &source.to_string_lossy(),
        "-d",
        &folder.to_string_lossy(),
    ]);
    folder
        .join(format!("{name}-{version}.tgz"))
        .to_string_lossy()
        .into_owned()
}

/// Writes the index with a time of its own: servers tell changes by the second.
fn index(folder: &Path, age: u64) {
    helm(&["repo", "index", &folder.to_string_lossy()]);
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
    let file = std::fs::File::options()
        .write(true)
        .open(folder.join("index.yaml"))
        .unwrap();
    file.set_modified(time).unwrap();
}

#[tokio::test]
async fn a_chart_of_a_repository_is_pinned_or_followed() {
    let world = World::new("charts").await;
    let servers = &Environment::get().servers;
    let folder = servers.charts_root.join(&world.namespace);
    std::fs::create_dir_all(&folder).unwrap();
    package(&folder, "web", "1.0.0");
    package(&folder, "web", "1.1.0");
    index(&folder, 100);
    let url = format!("{}/{}", servers.charts, world.namespace);
    let source = json!({
        "repoURL": url, "chart": "web", "targetRevision": "1.0.0",
        "helm": {"releaseName": "live", "values": "value: inline\n"},
    });
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source", source)
        .create()
        .await;
    let synced = app.synced_to("1.0.0").await;
    assert_eq!(status(&synced).source_type, "Helm");
    let map = world.config_map_is("live-map", "inline").await;
    assert_eq!(map.data.unwrap()["chart"], "web-1.0.0");

    app.patch(json!({"spec": {"source": {"targetRevision": "^1.0.0"}}}))
        .await;
    app.synced_to("1.1.0").await;
    package(&folder, "web", "1.2.0");
    index(&folder, 50);
    app.synced_to("1.2.0").await;

    app.patch(json!({"spec": {"source": {"targetRevision": "9.9.9"}}}))
        .await;
    let missing = app.condition("ComparisonError", &["web", "9.9.9"]).await;
    assert_ne!(revision(&missing), "9.9.9");
}

#[tokio::test]
async fn a_chart_of_a_registry() {
    let world = World::new("oci").await;
    let servers = &Environment::get().servers;
    let archive = package(world.folder(), "web", "2.0.0");
    let place = format!("oci://{}/{}", servers.oci, world.namespace);
    helm(&["push", &archive, &place, "--plain-http"]);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "registry", "namespace": world.namespace,
            "labels": {"argocd.argoproj.io/secret-type": "repository"},
        },
        "stringData": {
            "url": format!("{}/{}", servers.oci, world.namespace),
            "type": "helm", "enableOCI": "true", "insecureOCIForceHttp": "true",
        },
    });
    world.plane.apply_value_as("gitops-e2e", secret).await;
    let source = json!({
        "repoURL": format!("{}/{}", servers.oci, world.namespace), "chart": "web",
        "targetRevision": "2.0.0", "helm": {"releaseName": "live"},
    });
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source", source)
        .create()
        .await;
    app.synced_to("2.0.0").await;
    world.config_map_is("live-map", "default").await;
}

#[tokio::test]
async fn a_chart_repository_with_a_password() {
    let world = World::new("chartlogin").await;
    let servers = &Environment::get().servers;
    let folder = servers.charts_root.join(&world.namespace);
    std::fs::create_dir_all(&folder).unwrap();
    package(&folder, "web", "1.0.0");
    index(&folder, 0);
    let url = format!("{}/{}", servers.charts_private, world.namespace);
    let source = json!({
        "repoURL": url, "chart": "web", "targetRevision": "1.0.0", "helm": {"releaseName": "live"},
    });
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source", source)
        .create()
        .await;
    app.condition("ComparisonError", &["credentials", "401"])
        .await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "charts", "namespace": world.namespace,
            "labels": {"argocd.argoproj.io/secret-type": "repository"},
        },
        "stringData": {
            "url": url, "type": "helm", "name": "charts",
            "username": servers.username, "password": servers.password,
        },
    });
    world.plane.apply_value_as("gitops-e2e", secret).await;
    app.synced_to("1.0.0").await;
}
