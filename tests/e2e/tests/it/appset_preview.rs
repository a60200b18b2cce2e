//! `appset preview` and `appset generate`: what a set would do, from the cluster, a file and a clone.

use gitops_api::Application;
use gitops_e2e::manifests::config_map;
use gitops_e2e::{World, wait};
use kube::Api;
use serde_json::{Value, json};

fn set(world: &World, generators: &Value, revision: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "fleet", "namespace": world.namespace},
        "spec": {
            "goTemplate": true, "goTemplateOptions": ["missingkey=error"],
            "generators": generators,
            "template": {
                "metadata": {"name": "{{.path.basename}}"},
                "spec": {
                    "project": "default",
                    "source": {"repoURL": world.repo("fleet").url(), "path": "{{.path.path}}", "targetRevision": revision},
                    "destination": {"name": "in-cluster", "namespace": world.target},
                    "syncPolicy": {"automated": {}},
                },
            },
        },
    })
}

#[tokio::test]
async fn a_preview_says_what_a_commit_to_a_set_would_do_and_does_nothing() {
    let world = World::new("setpreview").await;
    let repo = world.repo("fleet");
    repo.commit(&[
        ("apps/dev/map.yaml", Some(&config_map("of-dev", "1"))),
        ("apps/test/map.yaml", Some(&config_map("of-test", "1"))),
        ("apps/prod/map.yaml", Some(&config_map("of-prod", "1"))),
    ]);
    let generators = json!([{"git": {
        "repoURL": repo.url(), "revision": "HEAD", "directories": [{"path": "apps/*"}],
    }}]);
    let written = set(&world, &generators, "main");
    world
        .plane
        .apply_value_as("gitops-e2e", written.clone())
        .await;
    world.config_map_is("of-dev", "1").await;
    world.config_map_is("of-test", "1").await;
    world.config_map_is("of-prod", "1").await;
    let api: Api<Application> = Api::namespaced(world.plane.client.clone(), &world.namespace);
    let listed = |one: Option<&Application>| {
        let status = one.and_then(|one| one.status.as_ref());
        status.is_some_and(|status| status.resources.len() == 1)
    };
    let test = wait::until(api.clone(), "test", listed).await;
    let test = test.unwrap().unwrap();

    // A clone of the repository stands for it.
    let person = world.person();
    let arguments = ["remote", "add", "served", &repo.url()].map(str::to_owned);
    let mut git = std::process::Command::new("git");
    let added = git.current_dir(repo.path()).args(arguments).status();
    assert!(added.unwrap().success());
    let clone = repo.path().to_str().unwrap().to_owned();
    let local = ["--local", &clone];
    let preview = async |more: &[&str]| {
        let arguments = [&["appset", "preview"], more, &local].concat();
        person.gitops(&arguments).run().await
    };
    let same = preview(&["fleet"]).await;
    same.exits(0)
        .prints("fleet: nothing changes (3 Applications as generated)");

    // What is not committed counts, and what is ignored does not.
    let folder = repo.path().join("apps/new");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("map.yaml"), config_map("of-new", "1")).unwrap();
    std::fs::remove_dir_all(repo.path().join("apps/test")).unwrap();
    std::fs::create_dir_all(repo.path().join("apps/out")).unwrap();
    std::fs::write(repo.path().join("apps/out/.gitignore"), "*\n").unwrap();
    let file = repo.path().join("set.yaml");
    let changed = set(&world, &generators, "v2");
    std::fs::write(&file, changed.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let told = preview(&["-f", file]).await;
    told.exits(1)
        .prints("- test  nothing gives it any more; 1 object goes with it")
        .prints("~ dev\n    spec.source.targetRevision: main → v2")
        .prints("+ new")
        .prints("spec.source.path: apps/new")
        .prints("fleet: 1 created, 2 changed, 1 deleted, 0 as they are");
    let comment = preview(&["-f", file, "--markdown"]).await;
    comment
        .exits(1)
        .prints("### ApplicationSet `fleet`: 1 created, 2 changed, 1 deleted")
        .prints("| `- test` | delete |");
    let document = preview(&["-f", file, "-o", "json"]).await;
    let document: Value = serde_json::from_str(&document.exits(1).stdout).unwrap();
    assert_eq!(document["version"], "gitops-agent.io/appset-preview.v1");
    assert_eq!(document["different"], true);
    assert_eq!(document["applications"][0]["name"], "test");
    assert_eq!(document["applications"][0]["action"], "Delete");

    // Many deletions would wait for an approval.
    let none = set(&world, &json!([{"list": {"elements": []}}]), "main");
    std::fs::write(file, none.to_string()).unwrap();
    let held = preview(&["-f", file]).await;
    held.exits(1)
        .prints("waits for: kubectl gitops appset approve fleet")
        .prints("3 deleted after an approval");

    // Nothing was done.
    let now = api.get("test").await.unwrap();
    assert_eq!(now.metadata.uid, test.metadata.uid);
    assert!(api.get_opt("new").await.unwrap().is_none());

    // What only the agent can ask is said, and so is a wrong clone.
    let plugin = json!([{"plugin": {"configMapRef": {"name": "plugin"}}}]);
    std::fs::write(file, set(&world, &plugin, "main").to_string()).unwrap();
    let asked = preview(&["-f", file]).await;
    asked
        .exits(2)
        .says("only the agent asks the plugin of ConfigMap plugin");
    let other = json!([{"git": {
        "repoURL": "https://git.invalid/none.git", "revision": "HEAD", "directories": [{"path": "*"}],
    }}]);
    std::fs::write(file, set(&world, &other, "main").to_string()).unwrap();
    let wrong = preview(&["-f", file]).await;
    wrong
        .exits(2)
        .says("is no clone of https://git.invalid/none.git");

    // Without a cluster.
    std::fs::write(file, changed.to_string()).unwrap();
    let arguments = ["appset", "generate", "-f", file, "--local", &clone];
    let generated = person
        .plugin(&[&arguments[..], &["--kubeconfig", "/nowhere", "-o", "name"]].concat())
        .run()
        .await;
    let expected = ["dev", "new", "prod"].map(|name| format!("application.argoproj.io/{name}\n"));
    assert_eq!(generated.exits(0).stdout, expected.concat());
}
