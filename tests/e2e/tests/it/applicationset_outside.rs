//! ApplicationSets whose parameters others decide: objects that name clusters, and a plugin. The plugin is a
//! double that speaks Argo CD's plugin protocol: it answers what the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use gitops_api::application_set::ApplicationSet;
use gitops_e2e::{World, wait};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// What the double answers: a status and a body.
type Answer = Arc<Mutex<(u16, Value)>>;

/// A plugin that answers requests; each request is told with its `Authorization` header.
fn plugin(answer: Answer) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut reader = BufReader::new(stream);
            let (mut length, mut authorization, mut line) = (0, String::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                let (name, value) = line.split_once(':').unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().unwrap_or(0),
                    "authorization" => value.trim().clone_into(&mut authorization),
                    _ => {}
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let (status, body_back) = answer.lock().unwrap().clone();
            let text = body_back.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            drop(reader.get_mut().write_all(head.as_bytes()));
            let body = serde_json::from_slice(&body).unwrap_or_default();
            if sender.send((authorization, body)).is_err() {
                return;
            }
        }
    });
    (url, asked)
}

fn sets(world: &World) -> Api<ApplicationSet> {
    Api::namespaced(world.plane.client.clone(), &world.namespace)
}

async fn set(world: &World, generator: &Value, name: &str) {
    let value = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "fleet", "namespace": world.namespace},
        "spec": {"goTemplate": true, "goTemplateOptions": ["missingkey=error"], "generators": [generator],
            "template": {"metadata": {"name": name}, "spec": {"project": "default",
                "source": {"repoURL": "https://git.invalid/none.git", "path": ".", "targetRevision": "main"},
                "destination": {"name": "in-cluster", "namespace": world.target}}}},
    });
    world.plane.apply_value_as("gitops-e2e", value).await;
}

/// Waits until the set lists these Applications, and says these texts when there is something wrong.
async fn shows(world: &World, names: &[&str], says: &[&str]) {
    let is_so = |set: Option<&ApplicationSet>| {
        let Some(status) = set.and_then(|set| set.status.as_ref()) else {
            return false;
        };
        let listed: Vec<&str> = status.resources.iter().map(|one| &*one.name).collect();
        let error = status
            .conditions
            .iter()
            .find(|one| one.condition_type == "ErrorOccurred");
        let is_error = !says.is_empty();
        listed == names
            && error.is_some_and(|one| {
                (one.status == "True") == is_error
                    && says.iter().all(|part| one.message.contains(part))
            })
    };
    if let Err(last) = wait::until(sets(world), "fleet", is_so).await {
        panic!(
            "the set does not list {names:?} and say {says:?}:\n{last}\n{}",
            world.agent_tail()
        );
    }
}

async fn refresh(world: &World) {
    let patch = json!({"metadata": {"annotations": {"argocd.argoproj.io/application-set-refresh": "true"}}});
    let params = PatchParams::default();
    sets(world)
        .patch("fleet", &params, &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_plugin_is_asked_with_its_token_and_what_it_says_wrong_deletes_nothing() {
    let world = World::new("setplugin").await;
    let answer = Answer::default();
    *answer.lock().unwrap() = (
        200,
        json!({"output": {"parameters": [{"env": "dev", "n": 1_234_567}, {"env": "prod", "n": 2}]}}),
    );
    let (url, asked) = plugin(Arc::clone(&answer));
    world
        .configure(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: where\ndata:\n  baseUrl: {url}/\n  token: $teams:key\n"
        ))
        .await;
    let generator = json!({"plugin": {"configMapRef": {"name": "where"}, "input": {"parameters": {"team": "core"}},
        "values": {"v": "{{.env}}!"}}});
    set(
        &world,
        &generator,
        "{{.env}}-{{.n}}-{{.generator.input.parameters.team}}",
    )
    .await;
    shows(&world, &[], &["there is no Secret teams"]).await;
    world
        .configure(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: teams\nstringData:\n  key: hunter2\n",
        )
        .await;
    refresh(&world).await;
    let fleet = ["dev-1234567-core", "prod-2-core"];
    shows(&world, &fleet, &[]).await;
    let (authorization, body) = asked.recv().unwrap();
    assert_eq!(authorization, "Bearer hunter2");
    assert_eq!(
        body,
        json!({"applicationSetName": "fleet", "input": {"parameters": {"team": "core"}}})
    );

    for (wrong, says) in [
        ((503, json!("busy")), "answered 503"),
        (
            (404, json!({"message": "no such plugin"})),
            "no such plugin",
        ),
        (
            (200, json!({"output": {"parameters": {"env": "dev"}}})),
            "is no list",
        ),
    ] {
        *answer.lock().unwrap() = wrong;
        refresh(&world).await;
        shows(&world, &fleet, &[says]).await;
    }
    let all = world.all_events().await + &world.agent().log();
    assert!(!all.contains("hunter2"), "the token was told");
}

#[tokio::test]
async fn objects_that_decide_name_the_clusters() {
    let world = World::new("setdecides").await;
    let group = format!("{}.example.com", world.namespace);
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("placements.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": "placements", "singular": "placement", "kind": "Placement", "listKind": "PlacementList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    world.plane.apply_value_as("gitops-e2e", definition).await;
    world
        .configure(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: how\ndata:\n  apiVersion: {group}/v1\n  kind: placements\n  \
             statusListKey: decisions\n  matchKey: clusterName\n"
        ))
        .await;
    let generator = json!({"clusterDecisionResource": {"configMapRef": "how",
        "labelSelector": {"matchLabels": {"for": "shop"}}}});
    set(&world, &generator, "{{.name}}-{{.score}}").await;
    shows(&world, &[], &["there are no placements with for=shop"]).await;
    let placement = |decisions: Value| {
        json!({"apiVersion": format!("{group}/v1"), "kind": "Placement",
            "metadata": {"name": "shop", "namespace": world.namespace, "labels": {"for": "shop"}},
            "status": {"decisions": decisions}})
    };
    let decided = json!([{"clusterName": "in-cluster", "score": 1_234_567}, {"clusterName": "moon", "score": 1}]);
    world
        .plane
        .apply_value_as("gitops-e2e", placement(decided))
        .await;
    refresh(&world).await;
    shows(&world, &["in-cluster-1234567"], &[]).await;
    world
        .plane
        .apply_value_as("gitops-e2e", placement(json!("in-cluster")))
        .await;
    refresh(&world).await;
    shows(&world, &["in-cluster-1234567"], &["is no list"]).await;
}
