//! A CustomResourceDefinition and objects of it in one commit.

use gitops_e2e::World;
use gitops_e2e::application::{is_synced, resource};

#[tokio::test]
async fn definitions_are_applied_before_their_objects() {
    let world = World::new("crd").await;
    let repo = world.repo("config");
    // Named so that a plain order of files would apply the object first.
    let group = format!("{}.example.com", world.namespace);
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.{group}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                size: {{type: integer}}
"
    );
    let object = |size: u8| {
        format!(
            "apiVersion: {group}/v1\nkind: Widget\nmetadata:\n  name: one\nspec:\n  size: {size}\n"
        )
    };
    repo.commit(&[
        ("a-object.yaml", Some(&object(1))),
        ("b-definition.yaml", Some(&definition)),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.wait("both Synced", |app| {
        is_synced(app) && resource(app, "Widget", "one").is_some()
    })
    .await;
    let commit = repo.write("a-object.yaml", &object(2));
    app.synced_to(&commit).await;
    let kind = format!("widgets.{group}");
    let size = world
        .plane
        .kubectl(&[
            "get",
            &kind,
            "one",
            "-n",
            &world.target,
            "-o",
            "jsonpath={.spec.size}",
        ])
        .unwrap();
    assert_eq!(size, "2");
}
