//! Charts from a Helm repository and from a registry.

use std::path::Path;
use std::process::Command;

use gitops_e2e::application::{revision, status};
use gitops_e2e::manifests::{chart, config_map};
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

pub(crate) fn package(folder: &Path, name: &str, version: &str) -> String {
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
pub(crate) fn index(folder: &Path, age: u64) {
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

/// What else `helm dependency build` puts in order: a chart that comes along beside one that does not, one chart in two
/// versions, an archive of another version, files that a package leaves out and those it does not.
#[tokio::test]
async fn dependencies_of_every_shape() {
    let world = World::new("shapes").await;
    let repo = world.repo("config");
    let map = |name: &str| config_map(name, "x");
    let alias = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Chart.Name }}-{{ .Chart.Version }}\"}\n";
    let charts = repo.path().join("app/charts");
    std::fs::create_dir_all(&charts).unwrap();
    package(&charts, "stale", "0.0.9");
    std::fs::remove_dir_all(charts.join("stale-0.0.9-source")).unwrap();
    repo.commit(&[
        (
            "app/Chart.yaml",
            Some(
                "apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n- {name: local, version: 0.1.0}\n- {name: lib, alias: one, version: 0.1.0, repository: 'file://../lib1'}\n- {name: lib, alias: two, version: 0.2.0, repository: 'file://../lib2'}\n- {name: stale, version: 0.1.0, repository: 'file://../stale'}\n",
            ),
        ),
        ("app/.helmignore", Some("tests/\n")),
        ("app/charts/local/Chart.yaml", Some("{apiVersion: v2, name: local, version: 0.1.0}\n")),
        ("app/charts/local/templates/a.yaml", Some(&map("local"))),
        ("lib1/Chart.yaml", Some("{apiVersion: v2, name: lib, version: 0.1.0}\n")),
        ("lib1/templates/tests/a.yaml", Some(alias)),
        ("lib2/Chart.yaml", Some("{apiVersion: v2, name: lib, version: 0.2.0}\n")),
        ("lib2/templates/a.yaml", Some(alias)),
        ("stale/Chart.yaml", Some("{apiVersion: v2, name: stale, version: 0.1.0}\n")),
        ("stale/.helmignore", Some("templates/left-out.yaml\n")),
        ("stale/templates/new.yaml", Some(&map("new"))),
        ("stale/templates/left-out.yaml", Some(&map("left-out"))),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .path("app")
        .automated()
        .create()
        .await;
    let synced = app.synced().await;
    let mut names: Vec<String> = status(&synced)
        .resources
        .iter()
        .map(|resource| format!("{}/{}", resource.kind, resource.name))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "ConfigMap/local",
            "ConfigMap/new",
            "ConfigMap/one-0.1.0",
            "ConfigMap/two-0.2.0"
        ]
    );
}
