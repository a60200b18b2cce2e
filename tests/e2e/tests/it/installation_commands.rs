//! `kubectl gitops completion`, `version` and `doctor` against a real cluster, and through kubectl.

use gitops_e2e::World;
use gitops_e2e::manifests::config_map;
use serde_json::json;

#[tokio::test]
async fn kubectl_completes_names_of_applications() {
    let world = World::new("completion").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    world.app("payments").repo(&repo).create().await;
    world.app("web").repo(&repo).create().await;
    let person = world.person();
    let folder = person.path("bin").to_string_lossy().into_owned();
    let install = [
        "kubectl",
        "gitops",
        "completion",
        "kubectl",
        "--install",
        &folder,
    ];
    let installed = person.types(&install).run().await;
    installed
        .exits(0)
        .prints("kubectl_complete-gitops")
        .is_quiet();
    person.types(&install).run().await.exits(0);

    let complete = |words: &[&str]| {
        let line = [&["kubectl_complete-gitops"], words].concat();
        person.types(&line)
    };
    let names = complete(&["status", "-n", &world.namespace, ""])
        .run()
        .await;
    names.exits(0).is_quiet().prints("payments\nweb\n");
    let one = complete(&["-n", &world.namespace, "wait", "pay"])
        .run()
        .await;
    assert_eq!(one.stdout, "payments\n:4\n");
    let contexts = complete(&["status", "--context", "pr"]).run().await;
    assert_eq!(contexts.stdout, "prod-eu1\n:4\n");

    // What cannot be known is not waited for, and nothing is said about it.
    let nowhere = person.other_kubeconfig("nowhere", |config| {
        config["clusters"][0]["cluster"] = json!({"server": "https://127.0.0.1:1"});
    });
    let none = complete(&["status", "--kubeconfig", &nowhere, ""])
        .run()
        .await;
    none.exits(0).is_quiet();
    assert_eq!(none.stdout, ":4\n");

    person.script("kubectl_complete-gitops", "echo mine");
    let other = person.types(&install).run().await;
    other.fails(4).says("was left as it is");
}

#[tokio::test]
async fn bash_completes_with_the_script() {
    let world = World::new("bashcompletion").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    world.app("payments").repo(&repo).create().await;
    let person = world.person();
    let script = format!(
        "eval \"$(kubectl-gitops completion bash)\"
        COMP_WORDS=(kubectl-gitops -n {} status pay); COMP_CWORD=4; COMP_TYPE=9
        _clap_complete_kubectl_gitops kubectl-gitops pay status && echo \"${{COMPREPLY[*]}}\"",
        world.namespace
    );
    let completed = person.types(&["bash", "-c", &script]).run().await;
    completed.exits(0).prints("payments");
    for shell in ["zsh", "fish", "powershell"] {
        let script = person.types(&["kubectl", "gitops", "completion", shell]);
        script.run().await.exits(0).prints("kubectl-gitops");
    }
}

#[tokio::test]
async fn doctor_finds_what_is_missing_and_says_what_to_do() {
    let world = World::new("doctor").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    world.app("web").repo(&repo).create().await;
    let person = world.person();
    // The agent of a test is a process, not a Deployment.
    let fine = person.gitops(&["doctor"]).run().await;
    fine.exits(0)
        .is_plain()
        .prints("Kubernetes v")
        .prints("renewed");
    let document = person.gitops(&["doctor", "-o", "json"]).run().await;
    document.exits(0);
    assert_eq!(document.json()["ok"], json!(true));

    let rules = json!([
        {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list"]},
    ]);
    let viewer = world.person_with("viewer", rules).await;
    let limited = viewer.gitops(&["doctor"]).run().await;
    limited.exits(0).prints("not for sync, refresh, terminate");

    person.script("kubectl-gitops-status", "echo kubectl-gitops-status 0.0.1");
    let old = person.types(&["kubectl-gitops", "doctor", "-n", &world.namespace]);
    old.run()
        .await
        .exits(0)
        .prints("kubectl-gitops-status is 0.0.1");

    let empty = person.types(&["kubectl", "gitops", "doctor", "-n", "default"]);
    let empty = empty.run().await;
    empty.exits(1).prints("there is none in namespace default");
    empty.prints("kubectl gitops bootstrap");
    let nowhere = person.other_kubeconfig("nowhere", |config| {
        config["clusters"][0]["cluster"] = json!({"server": "https://127.0.0.1:1"});
    });
    let nowhere = person
        .gitops(&["doctor", "--kubeconfig", &nowhere])
        .run()
        .await;
    nowhere
        .exits(1)
        .prints("cannot reach the cluster")
        .prints("fix: ");
}

#[tokio::test]
async fn versions_are_those_of_client_and_cluster() {
    let world = World::new("version").await;
    let person = world.person();
    let version = person.gitops(&["version"]).run().await;
    version.exits(0).is_plain();
    version
        .prints(env!("CARGO_PKG_VERSION"))
        .prints("serves  Application.argoproj.io/v1alpha1");
    let client = person.gitops(&["version", "--client", "-o", "jsonpath={.client.version}"]);
    let client = client.without("KUBECONFIG").run().await;
    assert_eq!(client.stdout, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn credentials_of_a_program_are_used() {
    let world = World::new("exec").await;
    let rules = json!([
        {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list"]},
    ]);
    let person = world.person_with("robot", rules).await;
    let config = person.kubeconfig();
    let token = config["users"][0]["user"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token},
    });
    let program = person.script("corporate-login", &format!("echo '{credential}'"));
    let kubeconfig = person.other_kubeconfig("exec", |config| {
        config["users"][0]["user"] = json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": program.to_string_lossy(),
            "interactiveMode": "Never",
        }});
    });
    let status = person.gitops(&["status", "-o", "json", "--kubeconfig", &kubeconfig]);
    let status = status.run().await;
    status.exits(0).never_shows(&token);
    assert_eq!(status.json()["applications"], json!([]));
}
