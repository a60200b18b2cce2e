//! The agent's image as a release pushes it. That it runs is shown in `in_cluster`.

use gitops_e2e::{Environment, http, image};
use serde_json::Value;

fn get(path: &str) -> Value {
    let registry = &Environment::get().servers.oci;
    let body = http::request("GET", &format!("http://{registry}/v2/agent/{path}"));
    serde_json::from_str(&body).unwrap()
}

#[test]
fn the_same_files_give_the_same_image_and_it_says_what_it_is() {
    if !cfg!(target_os = "linux") {
        println!("skipped: the image is made on Linux");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = format!("{}/agent:v1", Environment::get().servers.oci);
    let (first, second) = (folder.path().join("a.tar"), folder.path().join("b.tar"));
    let pushed = image::write(&first, &name, true);
    image::write(&second, &name, false);
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap());

    let manifest = get("manifests/v1");
    let oci = "application/vnd.oci.image.manifest.v1+json";
    assert_eq!(manifest["mediaType"], oci);
    // System, render worker, agent: an upgrade downloads the last.
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
    let digest = manifest["config"]["digest"].as_str().unwrap();
    let config = get(&format!("blobs/{digest}"));
    assert_eq!(config["os"], "linux");
    assert_eq!(config["config"]["User"], "65532");
    assert_eq!(config["config"]["Entrypoint"][0], "/gitops-agent");
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(labels["org.opencontainers.image.version"], version);
    assert!(
        pushed.contains("pushed ") && pushed.contains("@sha256:"),
        "{pushed}"
    );
}
