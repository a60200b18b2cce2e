//! `kubectl gitops status` against a real control plane.

use std::process::Command;

use gitops_e2e::{Environment, World, manifests::config_map};

fn status(world: &World, arguments: &[&str]) -> (String, Option<i32>) {
    let environment = Environment::get();
    let output = Command::new(environment.programs.join("kubectl-gitops"))
        .arg("status")
        .args(arguments)
        .args(["--namespace", &world.namespace])
        .env("KUBECONFIG", &environment.kubeconfig)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (text, output.status.code())
}

#[tokio::test]
async fn status_lists_applications_and_describes_one() {
    let world = World::new("status").await;
    let repo = world.repo("config");
    let commit = repo.commit(&[
        ("good/a.yaml", Some(&config_map("settings", "one"))),
        (
            "bad/a.yaml",
            Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n"),
        ),
    ]);
    world
        .app("good")
        .repo(&repo)
        .path("good")
        .automated()
        .create()
        .await
        .healthy()
        .await;
    let bad = world
        .app("bad")
        .repo(&repo)
        .path("bad")
        .automated()
        .create()
        .await;
    bad.condition("ComparisonError", &["bad/a.yaml"]).await;
    let (list, _) = status(&world, &[]);
    assert!(
        list.contains("good") && list.contains("Synced") && list.contains("Healthy"),
        "{list}"
    );
    assert!(
        list.contains("bad") && list.contains("bad/a.yaml"),
        "{list}"
    );
    let (one, _) = status(&world, &["good"]);
    assert!(
        one.contains("settings") && one.contains(&commit[..7]),
        "{one}"
    );
    let (none, code) = status(&world, &["goood"]);
    assert!(none.contains("good") && code != Some(0), "{none}");
}
