//! The Helm chart: the same objects as install.yaml, what its values change, and its life with the
//! real helm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use gitops_e2e::cluster::Cluster;
use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::{Environment, wait};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests")
}

fn helm(arguments: &[&str]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(&Environment::get().helm)
        .args(arguments)
        .env("HELM_CACHE_HOME", folder.path())
        .env("HELM_CONFIG_HOME", folder.path())
        .env("HELM_DATA_HOME", folder.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn chart() -> String {
    manifests().join("chart").display().to_string()
}

/// Objects by kind and name.
type Objects = BTreeMap<(String, String), Value>;

fn objects(yaml: &str) -> Objects {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    all.into_iter()
        .filter(|object| !object.is_null())
        .map(|object| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
            (key, object)
        })
        .collect()
}

fn rendered(more: &[&str]) -> Result<Objects, String> {
    let chart = chart();
    let mut arguments = vec!["template", "gitops-agent", &chart];
    if !more.contains(&"--namespace") {
        arguments.extend(["--namespace", "argocd"]);
    }
    arguments.extend(more);
    Ok(objects(&helm(&arguments)?))
}

fn of<'a>(objects: &'a Objects, kind: &str, name: &str) -> &'a Value {
    &objects[&(kind.to_owned(), name.to_owned())]
}

#[test]
fn the_chart_holds_what_install_yaml_holds() {
    let mut chart = rendered(&[]).unwrap();
    let mut install = objects(&std::fs::read_to_string(manifests().join("install.yaml")).unwrap());
    // Helm makes the namespace itself.
    install.remove(&("Namespace".to_owned(), "argocd".to_owned()));
    let keys = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&chart), keys(&install));
    for (key, object) in &mut chart {
        if key.0 == "CustomResourceDefinition" {
            let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
            let kept = annotations.remove("helm.sh/resource-policy");
            assert_eq!(kept, Some(json!("keep")), "{key:?}");
            if annotations.is_empty() {
                object["metadata"]
                    .as_object_mut()
                    .unwrap()
                    .remove("annotations");
            }
        }
        assert!(*object == install[key], "{key:?} differs from install.yaml");
    }
}

#[test]
fn the_chart_is_of_this_version_and_without_complaints() {
    let text = std::fs::read_to_string(manifests().join("chart/Chart.yaml")).unwrap();
    let meta: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(meta["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(meta["appVersion"], env!("CARGO_PKG_VERSION"));
    helm(&["lint", "--strict", &chart()]).unwrap();
}

#[test]
fn values_change_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    let given = json!({
        "image": {"repository": "registry.example.com/agent", "tag": "v9", "pullSecrets": ["login"], "pullPolicy": "Always"},
        "replicas": 2,
        "extraArgs": ["--poll-interval", "10s"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "resources": {"requests": {"cpu": "1"}},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "podLabels": {"team": "platform", "app.kubernetes.io/name": "no"},
        "podAnnotations": {"note": "x"},
        "cacheVolume": {"persistentVolumeClaim": {"claimName": "cache"}},
        "serviceAccount": {"annotations": {"cloud/role": "r"}},
        "rbac": {"rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}]},
        "configMaps": {
            "settings": {"timeout.reconciliation": "60s"},
            "knownHosts": "git.example.com ssh-ed25519 AAAA",
            "tlsCertificates": {"git.example.com": "PEM"},
        },
    });
    std::fs::write(&values, given.to_string()).unwrap();
    let file = values.display().to_string();
    let objects = rendered(&["--values", &file, "--namespace", "gitops"]).unwrap();

    let deployment = of(&objects, "Deployment", "gitops-agent");
    assert_eq!(deployment["metadata"]["namespace"], "gitops");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let template = &deployment["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["team"], "platform");
    let selected = &deployment["spec"]["selector"]["matchLabels"];
    let name = "app.kubernetes.io/name";
    assert_eq!(template["metadata"]["labels"][name], selected[name]);
    assert_eq!(template["metadata"]["annotations"]["note"], "x");
    assert_eq!(
        template["metadata"]["annotations"]["prometheus.io/port"],
        "8081"
    );
    let pod = &template["spec"];
    let agent = &pod["containers"][0];
    assert_eq!(agent["image"], "registry.example.com/agent:v9");
    assert_eq!(agent["imagePullPolicy"], "Always");
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "login"}]));
    let arguments = json!(["run", "--namespace", "gitops", "--poll-interval", "10s"]);
    assert_eq!(agent["args"], arguments);
    assert_eq!(agent["env"], given["extraEnv"]);
    assert_eq!(agent["resources"]["requests"]["cpu"], "1");
    assert_eq!(agent["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["nodeSelector"], given["nodeSelector"]);
    assert_eq!(pod["tolerations"], given["tolerations"]);
    let volumes = pod["volumes"].as_array().unwrap();
    let cache = volumes
        .iter()
        .find(|volume| volume["name"] == "cache")
        .unwrap();
    let claim = json!({"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}});
    assert_eq!(*cache, claim);

    let account = of(&objects, "ServiceAccount", "gitops-agent");
    assert_eq!(account["metadata"]["annotations"]["cloud/role"], "r");
    let role = of(&objects, "ClusterRole", "gitops-agent");
    assert_eq!(role["rules"], given["rbac"]["rules"]);
    let people = of(&objects, "ClusterRole", "gitops-viewer");
    assert_ne!(people["rules"], given["rbac"]["rules"]);
    let binding = of(&objects, "ClusterRoleBinding", "gitops-agent");
    assert_eq!(binding["subjects"][0]["namespace"], "gitops");
    let settings = of(&objects, "ConfigMap", "argocd-cm");
    assert_eq!(settings["data"], given["configMaps"]["settings"]);
    let hosts = of(&objects, "ConfigMap", "argocd-ssh-known-hosts-cm");
    let hosts = hosts["data"]["ssh_known_hosts"].as_str().unwrap();
    assert!(hosts.contains("github.com ") && hosts.ends_with("git.example.com ssh-ed25519 AAAA\n"));
    let certificates = of(&objects, "ConfigMap", "argocd-tls-certs-cm");
    assert_eq!(certificates["data"]["git.example.com"], "PEM");

    let digest = format!("image.digest=sha256:{}", "ab".repeat(32));
    let pinned = rendered(&["--set", &digest]).unwrap();
    let container =
        &of(&pinned, "Deployment", "gitops-agent")["spec"]["template"]["spec"]["containers"][0];
    assert!(
        container["image"]
            .as_str()
            .unwrap()
            .contains("gitops-agent@sha256:abab")
    );
}

#[test]
fn parts_can_be_left_out_and_mistakes_are_refused() {
    let kinds = |more: &[&str]| {
        let objects = rendered(more).unwrap();
        objects
            .into_keys()
            .map(|(kind, _)| kind)
            .collect::<Vec<_>>()
    };
    let has = |kinds: &[String], kind: &str| kinds.iter().any(|found| found == kind);
    let no_definitions = kinds(&["--set", "installCRDs=false"]);
    assert!(!has(&no_definitions, "CustomResourceDefinition"));
    let narrow = kinds(&["--set", "rbac.scope=none,rbac.people=false"]);
    assert!(
        has(&narrow, "Role") && !has(&narrow, "ClusterRole") && !has(&narrow, "ClusterRoleBinding")
    );
    let none = kinds(&["--set", "rbac.create=false,rbac.people=false"]);
    assert!(!has(&none, "Role") && has(&none, "ServiceAccount"));
    assert!(!has(
        &kinds(&["--set", "configMaps.create=false"]),
        "ConfigMap"
    ));
    for wrong in [
        "replica=2",
        "rbac.scope=all",
        "image.digest=abc",
        "replicas=two",
    ] {
        let error = rendered(&["--set", wrong]).unwrap_err();
        let name = wrong.split(['=', '.']).next().unwrap();
        assert!(error.contains(name), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn helm_installs_upgrades_and_leaves_the_definitions() {
    let cluster = Cluster::up("fake", &[]);
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let plane = ControlPlane::bare(&cluster.kubeconfig()).await;
    let chart = chart();
    let run = |verb: &[&str]| {
        let mut arguments = verb.to_vec();
        arguments.extend(["--namespace", "gitops", "--kubeconfig", &kubeconfig]);
        helm(&arguments).unwrap()
    };
    let notes = run(&["install", "gitops-agent", &chart, "--create-namespace"]);
    assert!(
        notes.contains("is installed in the namespace gitops"),
        "{notes}"
    );
    let deployments: Api<Deployment> = Api::namespaced(plane.client.clone(), "gitops");
    let ready = |replicas| {
        move |live: Option<&Deployment>| {
            live.and_then(|live| live.status.as_ref()?.ready_replicas) == Some(replicas)
        }
    };
    wait::until(deployments.clone(), "gitops-agent", ready(1))
        .await
        .unwrap();
    run(&["upgrade", "gitops-agent", &chart, "--set", "replicas=2"]);
    wait::until(deployments.clone(), "gitops-agent", ready(2))
        .await
        .unwrap();
    run(&["uninstall", "gitops-agent", "--wait"]);
    let left = plane
        .kubectl(&[
            "get",
            "deployments,serviceaccounts,roles,rolebindings,configmaps",
            "-n",
            "gitops",
            "-o",
            "name",
        ])
        .unwrap();
    assert!(
        !left.contains("gitops-agent") && !left.contains("argocd"),
        "{left}"
    );
    let definitions = plane.kubectl(&["get", "crd", "-o", "name"]).unwrap();
    assert!(
        definitions.contains("applications.argoproj.io"),
        "{definitions}"
    );
}
