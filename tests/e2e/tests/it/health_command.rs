//! `kubectl gitops health`: judges files without a cluster, on a pipe and on a terminal.

use gitops_e2e::Person;
use serde_json::{Value, json};

const OBJECTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, generation: 2}
spec: {replicas: 3}
status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3, availableReplicas: 1}
---
apiVersion: v1
kind: List
items:
- apiVersion: external-secrets.io/v1
  kind: ExternalSecret
  metadata: {name: db}
  status: {conditions: [{type: Ready, status: "False", message: no such key}]}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: one}
status: {phase: Ready}
---
apiVersion: example.org/v1
kind: Gadget
metadata: {name: two}
status: {phase: Ready}
"#;

const SETTINGS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm}
data:
  timeout.reconciliation: 180s
  resource.customizations.health.example.org_Widget: |
    return {status = "Suspended", message = "phase " .. obj.status.phase}
  resource.customizations.health.cel.example.org_Gadget: |
    object.status.phase == 'Ready' ? {'status': 'Healthy', 'message': 'as CEL says'} : {'status': 'Degraded'}
"#;

/// Needs no cluster and no kubeconfig.
fn person() -> Person {
    let person = Person::new();
    person.writes("objects.yaml", OBJECTS);
    person.writes("argocd-cm.yaml", SETTINGS);
    person
}

fn documents(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_pipe_gets_one_document_a_line() {
    let person = person();
    let file = person.path("objects.yaml").to_string_lossy().into_owned();
    let json = person
        .gitops(&["health", "-f", &file, "-o", "json"])
        .run()
        .await;
    json.exits(0).is_quiet().is_plain();
    assert_eq!(
        documents(&json.stdout),
        [
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web",
                "status": "Progressing", "message": "1 of 3 updated replicas are available"}),
            json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "db",
                "status": "Degraded", "message": "no such key"}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "settings", "status": null, "message": ""}),
            json!({"apiVersion": "example.org/v1", "kind": "Widget", "name": "one", "status": null, "message": ""}),
            json!({"apiVersion": "example.org/v1", "kind": "Gadget", "name": "two", "status": null, "message": ""}),
        ]
    );

    // The same from standard input, with the rules of argocd-cm.
    let settings = person.path("argocd-cm.yaml").to_string_lossy().into_owned();
    let line = ["health", "-f", "-", "--settings", &settings, "-o", "json"];
    let ruled = person.gitops(&line).input(OBJECTS).run().await;
    ruled.exits(0).is_quiet();
    let verdicts: Vec<(Value, Value)> = documents(&ruled.stdout)
        .into_iter()
        .map(|verdict| (verdict["status"].clone(), verdict["message"].clone()))
        .collect();
    assert_eq!(verdicts[3], (json!("Suspended"), json!("phase Ready")));
    assert_eq!(verdicts[4], (json!("Healthy"), json!("as CEL says")));

    // What CI asks.
    let ask = ["health", "-f", &file, "--exit-code"];
    let ask = person.gitops(&ask).run().await;
    ask.exits(1).is_quiet().prints("no such key");
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let healthy = person
        .gitops(&["health", "-f", "-", "--exit-code"])
        .input(settings)
        .run()
        .await;
    healthy.exits(0).is_quiet();
}

#[tokio::test]
async fn a_person_sees_a_table_and_a_sum() {
    let person = person();
    let file = person.path("objects.yaml").to_string_lossy().into_owned();
    let line = ["health", "-f", &file];
    let wide = person.gitops(&line).on_terminal(120, 30).ends().await;
    wide.exits(0)
        .is_tidy()
        .shows("HEALTH")
        .shows("ExternalSecret")
        .shows("no such key")
        .shows("5 objects: 1 Degraded, 1 Progressing, 3 without health");
    let narrow = person.gitops(&line).on_terminal(40, 30).ends().await;
    narrow.exits(0).is_tidy().shows("Degraded");
}

#[tokio::test]
async fn bad_input_is_named_with_file_and_line() {
    let person = person();
    let write = |name: &str, text: &str| {
        person.writes(name, text);
        person.path(name).to_string_lossy().into_owned()
    };
    let yaml = write("broken.yaml", "apiVersion: v1\nkind: [Pod\n");
    let bare = write("bare.yaml", "apiVersion: v1\nkind: Pod\n---\nname: web\n");
    let bare_pod = write("pod.yaml", "apiVersion: v1\nkind: Pod\n");
    let empty = write("empty.yaml", "# nothing\n");
    let rules = write(
        "rules.yaml",
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  resource.customizations.health.example.org_Widget: return {\n",
    );
    let file = person.path("objects.yaml").to_string_lossy().into_owned();
    for (line, says) in [
        (vec!["health"], "--filename"),
        (vec!["health", "-f", "nowhere.yaml"], "nowhere.yaml"),
        (vec!["health", "-f", &yaml], "broken.yaml:2: not YAML"),
        (vec!["health", "-f", &bare], "bare.yaml:4: not an object"),
        (vec!["health", "-f", &empty], "there is no object in"),
        (
            vec!["health", "-f", &file, "--settings", &bare_pod],
            "there is no ConfigMap argocd-cm",
        ),
        (vec!["health", "-f", "-", "-f", "-"], "only once"),
    ] {
        let outcome = person.gitops(&line).input("").run().await;
        outcome.fails(2).says(says);
    }

    // A rule that cannot run makes its objects Unknown, and is told with its place.
    let line = ["health", "-f", &file, "--settings", &rules, "-o", "json"];
    let outcome = person.gitops(&line).run().await;
    outcome
        .exits(0)
        .says("rules.yaml: argocd-cm key resource.customizations.health.example.org_Widget");
    let unknown = &documents(&outcome.stdout)[3];
    assert_eq!(unknown["status"], "Unknown", "{unknown}");
}
