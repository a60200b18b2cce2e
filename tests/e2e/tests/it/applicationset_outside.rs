//! ApplicationSets whose parameters others decide: objects that name clusters, a plugin, and a forge. Plugin and
//! forge are doubles that speak Argo CD's plugin protocol and Gitea's API: they answer what the test says.

use std::sync::{Arc, Mutex};

use gitops_api::application_set::ApplicationSet;
use gitops_e2e::manifests::definition;
use gitops_e2e::{World, wait};
use gitops_http_double::{Answer, HttpDouble};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// What a double answers: a status and a document.
type Said = Arc<Mutex<(u16, Value)>>;

/// A plugin that answers every request with what is said now.
fn plugin(said: &Said) -> HttpDouble {
    let said = Arc::clone(said);
    HttpDouble::start(move |_, _| {
        let (status, document) = said.lock().unwrap().clone();
        Answer::json(status, &document)
    })
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
    let answer = Said::default();
    *answer.lock().unwrap() = (
        200,
        json!({"output": {"parameters": [{"env": "dev", "n": 1_234_567}, {"env": "prod", "n": 2}]}}),
    );
    let plugin = plugin(&answer);
    let url = &plugin.address;
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
    let asked = plugin.asked();
    assert_eq!(asked[0].authorization, "Bearer hunter2");
    assert_eq!(
        asked[0].body,
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
    let definition = definition(&group, "Placement");
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

const SHA: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334";

/// A forge that speaks Gitea's API: an organization, whose repositories have one branch each, and a folder
/// `deploy` but for one of them. `said` is the list of repositories.
fn forge(said: &Said) -> HttpDouble {
    let said = Arc::clone(said);
    HttpDouble::start(move |asked, _| {
        let path = asked.target.split('?').next().unwrap();
        let (status, repositories) = said.lock().unwrap().clone();
        match path.rsplit('/').next().unwrap() {
            "repos" => Answer::json(status, &repositories),
            "labels" => Answer::json(200, &json!([{"name": "deploy"}])),
            "main" => Answer::json(200, &json!({"name": "main", "commit": {"id": SHA}})),
            "deploy" if !path.contains("/docs/") => Answer::json(200, &json!([])),
            _ => Answer::json(404, &json!({"message": "Not Found"})),
        }
    })
}

#[tokio::test]
async fn repositories_of_a_forge_and_an_answer_that_is_none_deletes_nothing() {
    let world = World::new("setforge").await;
    let repository = |id: u64, name: &str| {
        json!({"id": id, "name": name, "default_branch": "main", "ssh_url": format!("git@h:acme/{name}.git"),
            "html_url": format!("https://h/acme/{name}"), "empty": false})
    };
    let said = Said::default();
    let three = json!([
        repository(1, "web"),
        repository(2, "api"),
        repository(3, "docs")
    ]);
    *said.lock().unwrap() = (200, three.clone());
    let forge = forge(&said);
    world
        .configure(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: forge\nstringData:\n  token: hunter2\n",
        )
        .await;
    world
        .configure(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: prod\n  labels:\n    \
             argocd.argoproj.io/secret-type: cluster\nstringData:\n  name: prod\n  server: https://prod.invalid\n  \
             token: hunter3\n",
        )
        .await;
    let generator = |secret: &str| {
        json!({"scmProvider": {"gitea": {"owner": "acme", "api": forge.address,
            "tokenRef": {"secretName": secret, "key": "token"}},
            "filters": [{"pathsExist": ["deploy/"]}], "values": {"v": "{{.short_sha_7}}"}}})
    };
    set(&world, &generator("prod"), "{{.repository}}").await;
    shows(&world, &[], &["opens more than a forge and is not sent"]).await;
    set(
        &world,
        &generator("forge"),
        "{{.repository}}-{{.repository_id}}-{{.values.v}}",
    )
    .await;
    let fleet = ["api-2-a1b2c3d", "web-1-a1b2c3d"];
    shows(&world, &fleet, &[]).await;
    assert!(
        forge
            .asked()
            .iter()
            .all(|one| one.authorization == "token hunter2")
    );
    let asked = forge.asked().len();

    for (wrong, says) in [
        (
            (401, json!({"message": "token is required"})),
            "token is required",
        ),
        ((404, json!({"message": "Not Found"})), "it answered 404"),
        ((502, json!("bad gateway")), "it answered 502"),
        ((200, json!({"ok": true})), "is no list"),
    ] {
        *said.lock().unwrap() = wrong;
        refresh(&world).await;
        shows(&world, &fleet, &[says]).await;
    }
    assert!(forge.asked().len() > asked);
    *said.lock().unwrap() = (200, three);
    refresh(&world).await;
    shows(&world, &fleet, &[]).await;
    let all = world.all_events().await + &world.agent().log();
    assert!(!all.contains("hunter2"), "the token was told");
}
