//! Admission webhooks: what they add is no drift, what they overrule is said, what they refuse is
//! reported in their words and goes on when they do.

use gitops_api::{Application, OperationPhase};
use gitops_e2e::application::{conditions, is_synced, operation, status};
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::webhook::{Webhook, allowed, changed, denied};
use gitops_e2e::{App, World};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// Has a webhook asked about objects of the target namespace; returns the configuration's name
/// when it is in force.
async fn installed(world: &World, kind: &str, webhook: &Webhook) -> String {
    let name = format!("{}.webhook.test", world.target);
    let rule = |group: &str, version: &str, resources: Value| {
        json!({"apiGroups": [group], "apiVersions": [version], "resources": resources,
            "operations": ["CREATE", "UPDATE"]})
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": format!("{kind}WebhookConfiguration"),
        "metadata": {"name": name},
        "webhooks": [{
            "name": name, "clientConfig": webhook.client_config(),
            "rules": [rule("apps", "v1", json!(["deployments"])),
                      rule("", "v1", json!(["configmaps", "secrets"]))],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.target}},
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 10,
        }],
    });
    let applied = world.plane.apply_value_as("gitops-e2e", configuration);
    applied.await;
    // It takes effect some time later, and nothing says when.
    let probe = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let maps: Api<ConfigMap> = world.api();
    while webhook.asked() == 0 {
        let _ = maps.create(&dry_run, &probe).await;
    }
    name
}

fn removed(world: &World, kind: &str, name: &str) {
    let kind = format!("{kind}webhookconfiguration");
    world.plane.kubectl(&["delete", &kind, name]).unwrap();
}

fn overruled(app: &Application) -> Vec<String> {
    let all = conditions(app).into_iter();
    all.filter(|(kind, _)| kind == "OverruledWarning")
        .map(|(_, message)| message)
        .collect()
}

/// Nothing was synced since, also after the agent began anew, and nobody is told of a difference.
async fn in_peace(world: &World, app: &App<'_>, before: &Application) {
    for restart in [false, true] {
        if restart {
            world.agent().kill();
            world.agent().restart();
        }
        let after = app.refresh("hard").await;
        assert!(is_synced(&after));
        assert_eq!(
            status(&after).operation_state,
            status(before).operation_state
        );
    }
    let person = world.person();
    person.gitops(&["diff", "shop"]).run().await.exits(0);
    assert!(world.agent().metric("gitops_agent_heals_total") < 1.0);
}

#[tokio::test]
async fn what_a_webhook_adds_is_neither_drift_nor_taken_back() {
    let world = World::new("mutates").await;
    let webhook = Webhook::start(|request| {
        let object = &request["object"];
        if request["kind"]["kind"] != "Deployment" {
            return allowed();
        }
        let mut patch = vec![
            json!({"op": "add", "path": "/metadata/labels/injected", "value": "yes"}),
            json!({"op": "add", "path": "/spec/template/spec/priorityClassName",
                "value": "system-node-critical"}),
        ];
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        if containers.is_some_and(|list| list.iter().all(|one| one["name"] != "sidecar")) {
            patch.push(
                json!({"op": "add", "path": "/spec/template/spec/containers/0",
                "value": {"name": "sidecar", "image": "proxy:1"}}),
            );
        }
        changed(&json!(patch))
    });
    let name = installed(&world, "Mutating", &webhook).await;
    let repo = world.repo("config");
    let commit = repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let before = app.healthy().await;
    let has_sidecar = |web: &Deployment| {
        let pods = web
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref());
        let containers = pods.map_or(&[][..], |pods| &pods.containers);
        containers.iter().any(|one| one.name == "sidecar") && web.labels()["injected"] == "yes"
    };
    let live = world.object("web", "injected", has_sidecar).await;
    in_peace(&world, &app, &before).await;
    assert!(overruled(&app.get().await).is_empty());
    let same = world.api::<Deployment>().get("web").await.unwrap();
    assert_eq!(same.metadata.generation, live.metadata.generation);

    // A new version is delivered beside it, and a change of somebody else is healed.
    let commit = repo.write("web.yaml", &deployment("web", 1, "web:2"));
    app.synced_to(&commit).await;
    let by = PatchParams {
        field_manager: Some("kubectl-scale".into()),
        ..PatchParams::default()
    };
    let scale = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let deployments = world.api::<Deployment>();
    deployments.patch("web", &by, &scale).await.unwrap();
    let message = world.event("Deployment", "web", "SelfHealed").await;
    assert!(message.contains(".spec.replicas is 2"), "{message}");
    app.healthy().await;
    world.object("web", "still injected", has_sidecar).await;
    removed(&world, "mutating", &name);
}

#[tokio::test]
async fn what_a_webhook_overrules_is_said_not_fought_and_healed_when_it_is_gone() {
    let world = World::new("overrules").await;
    let webhook = Webhook::start(
        |request| match request["object"]["data"]["value"].as_str() {
            Some("quiet") | None => allowed(),
            Some(_) => {
                changed(&json!([{"op": "replace", "path": "/data/value", "value": "policy"}]))
            }
        },
    );
    let name = installed(&world, "Mutating", &webhook).await;
    let repo = world.repo("config");
    let commit = repo.commit(&[
        ("loud.yaml", Some(&config_map("loud", "git"))),
        ("quiet.yaml", Some(&config_map("quiet", "quiet"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    world.config_map_is("loud", "policy").await;
    let texts = [
        "ConfigMap",
        "loud",
        r#".data.value is "policy" instead of "git""#,
        &name,
        "MutatingWebhookConfiguration",
    ];
    let before = app.condition("OverruledWarning", &texts).await;
    assert_eq!(overruled(&before).len(), 1, "{:?}", overruled(&before));
    in_peace(&world, &app, &before).await;
    // The agent that began anew says it, too.
    app.condition("OverruledWarning", &texts).await;

    let told = world.person().gitops(&["explain", "shop"]).run().await;
    told.prints("admission overrules Git").prints(&name);

    // Somebody's change passes the webhook as well: still nothing to heal.
    let by = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let edit = Patch::Merge(json!({"data": {"value": "mine"}}));
    world
        .api::<ConfigMap>()
        .patch("loud", &by, &edit)
        .await
        .unwrap();
    in_peace(&world, &app, &before).await;

    removed(&world, "mutating", &name);
    // It is still asked for some time, and nothing says how long.
    let probe =
        serde_json::from_value(json!({"metadata": {"name": "probe"}, "data": {"value": "x"}}));
    let probe: ConfigMap = probe.unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let maps = world.api::<ConfigMap>();
    loop {
        let made = maps.create(&dry_run, &probe).await.unwrap();
        if made.data.is_some_and(|data| data["value"] == "x") {
            break;
        }
    }
    app.refresh("normal").await;
    world.config_map_is("loud", "git").await;
    app.wait("Synced without a warning", |app| {
        is_synced(app) && overruled(app).is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_a_webhook_refuses_is_told_in_its_words_and_goes_on_when_it_agrees() {
    let world = World::new("rejects").await;
    let webhook = Webhook::start(|request| {
        if request["object"]["data"]["value"] == "forbidden" {
            return denied("value must not be forbidden, see POLICY-7");
        }
        let secret = request["kind"]["kind"] == "Secret";
        if secret && request["object"]["data"]["password"] == "aHVudGVyMg==" {
            return json!({"allowed": false, "status": {"code": 422, "reason": "Invalid",
                "message": "the password hunter2 is too short"}});
        }
        allowed()
    });
    let name = installed(&world, "Validating", &webhook).await;
    let (repo, other) = (world.repo("config"), world.repo("other"));
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  password: hunter2\n";
    repo.commit(&[
        ("good.yaml", Some(&config_map("good", "1"))),
        ("bad.yaml", Some(&config_map("bad", "forbidden"))),
    ]);
    let commit = other.write("map.yaml", &config_map("elsewhere", "1"));
    let retry = json!({"limit": -1, "backoff": {"duration": "1s", "factor": 1}});
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/syncPolicy/retry", retry)
        .create()
        .await;
    let failed = app
        .wait("refused", |app| operation(app).message.contains("POLICY-7"))
        .await;
    let message = operation(&failed).message;
    for text in ["ConfigMap", "bad", "bad.yaml", &name, "denied the request"] {
        assert!(message.contains(text), "{text}: {message}");
    }
    let results = operation(&failed).sync_result.unwrap().resources;
    let of = |name: &str| results.iter().find(|result| result.name == name).unwrap();
    assert!(of("bad").message.contains("POLICY-7"), "{:?}", of("bad"));
    // The others of its wave are there, and so are other applications.
    world.config_map_is("good", "1").await;
    assert!(!world.exists::<ConfigMap>("bad").await);
    let next = world.app("next").repo(&other).automated().create().await;
    next.synced_to(&commit).await;
    let told = world.person().gitops(&["explain", "shop"]).run().await;
    told.prints("POLICY-7");

    // What is said about a Secret may quote it: the webhook is named, its words are withheld.
    repo.write("login.yaml", secret);
    let failed = app
        .wait("refused", |app| operation(app).message.contains("Secret"))
        .await;
    let message = operation(&failed).message;
    for text in [&name, "login", "withheld"] {
        assert!(message.contains(text), "{text}: {message}");
    }
    let told = world.person().gitops(&["explain", "shop"]).run().await;
    let said = serde_json::to_string(&failed).unwrap() + &world.all_events().await;
    for secret in ["hunter2", "aHVudGVyMg"] {
        assert!(!said.contains(secret) && !world.agent().log().contains(secret));
        told.never_shows(secret);
    }

    // A change in Git cures it without anybody's help.
    let cured = secret.replace("hunter2", "correct horse");
    repo.commit(&[
        ("bad.yaml", Some(&config_map("bad", "fine"))),
        ("login.yaml", Some(&cured)),
    ]);
    world.config_map_is("bad", "fine").await;
    app.healthy().await;
    assert!(world.exists::<Secret>("login").await);

    // And when the webhook is gone, what it refused is delivered.
    let last = repo.write("bad.yaml", &config_map("bad", "forbidden"));
    app.wait("refused again", |app| {
        operation(app).message.contains("POLICY-7")
    })
    .await;
    removed(&world, "validating", &name);
    world.config_map_is("bad", "forbidden").await;
    let done = app.synced_to(&last).await;
    assert_eq!(operation(&done).phase, OperationPhase::Succeeded);
}
