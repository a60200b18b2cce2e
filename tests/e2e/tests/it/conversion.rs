//! Objects that a conversion webhook stores in another version, with other names of fields.

use gitops_api::{Application, OperationPhase};
use gitops_e2e::application::{conditions, is_out_of_sync, is_synced, operation, resource};
use gitops_e2e::manifests::config_map;
use gitops_e2e::webhook::Webhook;
use gitops_e2e::{App, World};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

/// Old and new name of a field.
const RENAMED: [(&str, &str); 2] = [("size", "replicas"), ("colour", "color")];

/// What was `size` and `colour` in v1alpha1 is `replicas` and `color` in v1.
fn converted(object: &Value, version: &str) -> Value {
    let mut object = object.clone();
    let to_new = version.ends_with("/v1");
    if object["apiVersion"] != version
        && let Some(spec) = object["spec"].as_object_mut()
    {
        for (old, new) in RENAMED {
            let (from, to) = if to_new { (old, new) } else { (new, old) };
            if let Some(value) = spec.remove(from) {
                spec.insert(to.into(), value);
            }
        }
    }
    object["apiVersion"] = version.into();
    object
}

fn converter() -> Webhook {
    Webhook::start(|request| {
        let version = request["desiredAPIVersion"].as_str().unwrap_or_default();
        let objects = request["objects"].as_array().into_iter().flatten();
        let objects: Vec<_> = objects.map(|object| converted(object, version)).collect();
        json!({"convertedObjects": objects, "result": {"status": "Success"}})
    })
}

/// A kind of this world's own, stored as v1; it is converted where `client_config` says.
struct Kind<'a> {
    world: &'a World,
    group: String,
}

impl Kind<'_> {
    async fn defined<'a>(world: &'a World, client_config: &Value) -> Kind<'a> {
        let kind = Kind {
            world,
            group: format!("{}.test", world.namespace),
        };
        kind.converts(client_config).await;
        let name = format!("crd/widgets.{}", kind.group);
        let arguments = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            &name,
        ];
        world.plane.kubectl(&arguments).unwrap();
        kind
    }

    async fn converts(&self, client_config: &Value) {
        let version = |name: &str, fields: [&str; 2]| {
            let spec = json!({fields[0]: {"type": "integer"}, fields[1]: {"type": "string"}});
            json!({
                "name": name, "served": true, "storage": name == "v1",
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": spec},
                }}},
            })
        };
        let [(old_size, size), (old_color, color)] = RENAMED;
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{}", self.group)},
            "spec": {
                "group": self.group, "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [version("v1", [size, color]),
                             version("v1alpha1", [old_size, old_color])],
                "conversion": {"strategy": "Webhook", "webhook": {
                    "conversionReviewVersions": ["v1"], "clientConfig": client_config}},
            },
        });
        let applied = self.world.plane.apply_value_as("gitops-e2e", definition);
        applied.await;
    }

    fn widget(&self, size: u8, colour: &str) -> String {
        format!(
            "apiVersion: {}/v1alpha1\nkind: Widget\nmetadata:\n  name: one\nspec:\n  \
             size: {size}\n  colour: {colour}\n",
            self.group
        )
    }

    fn stored(&self) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(&self.group, "v1", "Widget");
        let resource = ApiResource::from_gvk(&gvk);
        Api::namespaced_with(
            self.world.plane.client.clone(),
            &self.world.target,
            &resource,
        )
    }

    async fn spec(&self) -> Value {
        self.stored().get("one").await.unwrap().data["spec"].clone()
    }

    /// Reads the object until that works, or does no more.
    async fn readable(&self, wanted: bool) {
        while self.stored().get("one").await.is_ok() != wanted {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Kind<'_> {
    /// Other tests list all kinds; one whose converter is gone would be in their way.
    fn drop(&mut self) {
        let name = format!("widgets.{}", self.group);
        let arguments = ["delete", "crd", &name, "--wait=false"];
        let _ = self.world.plane.kubectl(&arguments);
    }
}

async fn unmoved(app: &App<'_>, before: &Application) {
    let after = app.refresh("hard").await;
    assert!(is_synced(&after), "{:?}", conditions(&after));
    assert_eq!(operation(&after), operation(before));
}

#[tokio::test]
async fn what_is_stored_in_another_version_stays_synced_and_is_healed_like_any_other() {
    let world = World::new("converts").await;
    let webhook = converter();
    let kind = Kind::defined(&world, &webhook.client_config()).await;
    let repo = world.repo("config");
    let commit = repo.write("widget.yaml", &kind.widget(3, "red"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    let before = app.synced_to(&commit).await;
    assert_eq!(kind.spec().await, json!({"replicas": 3, "color": "red"}));
    assert!(webhook.asked() > 0, "it was converted by the webhook");
    unmoved(&app, &before).await;
    world.agent().kill();
    world.agent().restart();
    unmoved(&app, &before).await;
    let person = world.person();
    person.gitops(&["diff", "shop"]).run().await.exits(0);
    assert!(world.agent().metric("gitops_agent_heals_total") < 1.0);

    // Somebody changes it in the version it is stored in.
    let by = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let edit = Patch::Merge(json!({"spec": {"replicas": 5}}));
    kind.stored().patch("one", &by, &edit).await.unwrap();
    let message = world.event("Widget", "one", "SelfHealed").await;
    assert!(
        message.contains(".spec.size is 5 instead of 3"),
        "{message}"
    );
    assert!(message.contains("kubectl-edit"), "{message}");
    let before = app
        .wait("healed", |app| {
            is_synced(app) && operation(app).phase == OperationPhase::Succeeded
        })
        .await;
    assert_eq!(kind.spec().await, json!({"replicas": 3, "color": "red"}));
    unmoved(&app, &before).await;

    // Git takes the new version: the same object, nothing lost.
    let new = kind
        .widget(3, "red")
        .replace("/v1alpha1", "/v1")
        .replace("size", "replicas")
        .replace("colour", "color");
    let uid = kind.stored().get("one").await.unwrap().metadata.uid;
    let commit = repo.write("widget.yaml", &new);
    let before = app.synced_to(&commit).await;
    unmoved(&app, &before).await;
    let live = kind.stored().get("one").await.unwrap();
    assert_eq!(live.metadata.uid, uid);
    assert_eq!(live.data["spec"], json!({"replicas": 3, "color": "red"}));
}

#[tokio::test]
async fn a_converter_that_is_down_is_named_and_waited_for_and_others_go_on() {
    let world = World::new("converterdown").await;
    let webhook = converter();
    let kind = Kind::defined(&world, &webhook.client_config()).await;
    let (repo, other) = (world.repo("config"), world.repo("other"));
    let commit = repo.write("widget.yaml", &kind.widget(3, "red"));
    let retry = json!({"limit": -1, "backoff": {"duration": "1s", "factor": 1}});
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/syncPolicy/retry", retry)
        .create()
        .await;
    app.synced_to(&commit).await;
    let next = world.app("next").repo(&other).automated().create().await;
    let first = other.write("map.yaml", &config_map("settings", "1"));
    next.synced_to(&first).await;

    // Nobody listens there.
    let nowhere = json!({"url": "https://127.0.0.1:1/"});
    kind.converts(&nowhere).await;
    // Reading the stored version needs no conversion; the other does.
    let old = ApiResource::from_gvk(&GroupVersionKind::gvk(&kind.group, "v1alpha1", "Widget"));
    let old: Api<DynamicObject> =
        Api::namespaced_with(world.plane.client.clone(), &world.target, &old);
    while old.get("one").await.is_ok() {
        tokio::task::yield_now().await;
    }
    let second = repo.write("widget.yaml", &kind.widget(4, "red"));
    let told = app
        .wait("told about the webhook", |app| {
            let said = conditions(app).into_iter().map(|(_, message)| message);
            let said: String = said.chain([operation(app).message]).collect();
            said.contains("conversion webhook for") && said.contains("Widget")
        })
        .await;
    assert!(
        resource(&told, "Widget", "one").is_some(),
        "it is not given up"
    );
    let explained = world.person().gitops(&["explain", "shop"]).run().await;
    explained.prints("conversion webhook for");
    let commit = other.write("map.yaml", &config_map("settings", "2"));
    next.synced_to(&commit).await;
    world.config_map_is("settings", "2").await;
    assert!(world.exists::<ConfigMap>("settings").await);

    kind.converts(&webhook.client_config()).await;
    kind.readable(true).await;
    app.synced_to(&second).await;
    assert_eq!(kind.spec().await, json!({"replicas": 4, "color": "red"}));
    assert!(!is_out_of_sync(&app.get().await));
}
