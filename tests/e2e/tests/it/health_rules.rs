//! Health rules of users in argocd-cm: Lua and CEL, changed while the agent runs.

use gitops_e2e::World;
use gitops_e2e::application::{App, resource};
use gitops_e2e::manifests::config_map;

/// argocd-cm with one rule for Things.
async fn rule(world: &World, key: &str, script: &str) {
    let script = script.replace('\n', "\n    ");
    world
        .configure(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  labels:\n    \
             app.kubernetes.io/part-of: argocd\ndata:\n  {key}.{}.example.com_Thing: |\n    {script}\n",
            world.namespace
        ))
        .await;
}

/// Waits for a verdict on the Thing.
async fn judged(app: &App<'_>, status: &str, message: &str) {
    app.wait(&format!("{status}: {message}"), |app| {
        resource(app, "Thing", "one")
            .and_then(|thing| thing.health)
            .is_some_and(|health| {
                health.status.as_str() == status && health.message.contains(message)
            })
    })
    .await;
}

const LUA: &str = "resource.customizations.health";
const CEL: &str = "resource.customizations.health.cel";

#[tokio::test]
async fn rules_judge_at_once_and_harm_nobody() {
    let world = World::new("healthrules").await;
    let group = format!("{}.example.com", world.namespace);
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.{group}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: things, singular: thing, kind: Thing, listKind: ThingList}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
"
    );
    let thing = |size: u8| {
        format!(
            "apiVersion: {group}/v1\nkind: Thing\nmetadata:\n  name: one\nspec:\n  size: {size}\n"
        )
    };
    rule(
        &world,
        LUA,
        "if obj.spec.size > 1 then\n  return {status = \"Healthy\", message = \"big\"}\nend\n\
         return {status = \"Degraded\", message = \"size \" .. obj.spec.size}",
    )
    .await;
    let repo = world.repo("config");
    repo.commit(&[
        ("definition.yaml", Some(&definition)),
        ("thing.yaml", Some(&thing(1))),
    ]);
    let app = world.app("things").repo(&repo).automated().create().await;
    judged(&app, "Degraded", "size 1").await;
    app.wait("Degraded as a whole", |app| {
        gitops_e2e::application::health(app).is_some_and(|health| health.as_str() == "Degraded")
    })
    .await;
    repo.write("thing.yaml", &thing(2));
    judged(&app, "Healthy", "big").await;

    // Another rule, the same object.
    rule(
        &world,
        LUA,
        "return {status = \"Suspended\", message = \"so be it\"}",
    )
    .await;
    judged(&app, "Suspended", "so be it").await;
    rule(
        &world,
        CEL,
        "object.spec.size == 2 ? {'status': 'Progressing', 'message': 'two'} : 'Healthy'",
    )
    .await;
    judged(&app, "Progressing", "two").await;

    // A rule that fails is named; one that loops is ended, and others get their turn.
    rule(&world, LUA, "local a = 1\nreturn {status = obj.none.here}").await;
    judged(&app, "Unknown", "line 2: attempt to index field 'none'").await;
    rule(&world, LUA, "local a = 1\nwhile true do pcall(error) end").await;
    judged(&app, "Unknown", "does it loop?").await;
    let other = world.repo("other");
    let commit = other.write("a.yaml", &config_map("settings", "one"));
    let other = world.app("other").repo(&other).automated().create().await;
    other.synced_to(&commit).await;
    other.healthy().await;

    rule(
        &world,
        LUA,
        "return {status = \"Healthy\", message = \"again\"}",
    )
    .await;
    judged(&app, "Healthy", "again").await;
}
