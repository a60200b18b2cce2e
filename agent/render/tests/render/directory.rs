//! Directories of plain manifests.

use gitops_render::{RenderError, SourceType};
use serde_json::json;

use crate::support::{DEPLOYMENT, SERVICE, at, names, origins, render, tree};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n";

fn map(name: &str) -> String {
    MAP.replace("NAME", name)
}

#[tokio::test]
async fn documents_lists_and_json_are_read_with_their_places() {
    let several = format!(
        "# a comment\n---\n{SERVICE}--- # next\n\n{}---\n# nothing\n---\nnull\n",
        map("second")
    );
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMapList, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]}\n";
    let tree = tree(&[
        ("app/a.yaml", &several),
        ("app/b.yml", list),
        (
            "app/c.json",
            r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"c"}}"#,
        ),
        ("app/empty.yaml", "\n# nothing\n"),
        ("app/notes.txt", "not read"),
        (
            "app/skipped.yaml",
            "# +argocd:skip-file-rendering\n{{ broken",
        ),
        ("app/values.yaml", "replicas: 3\n"),
        ("app/bom.yaml", &format!("\u{feff}{}", map("bom"))),
        ("app/below/d.yaml", DEPLOYMENT),
    ]);
    let rendered = render(&tree, at("app")).await.unwrap();
    assert_eq!(rendered.source_type, SourceType::Directory);
    assert_eq!(
        names(&rendered),
        [
            "Service/web",
            "ConfigMap/second",
            "Secret/a",
            "ConfigMap/b",
            "ConfigMap/bom",
            "ServiceAccount/c"
        ]
    );
    assert_eq!(
        origins(&rendered),
        [
            "app/a.yaml:3",
            "app/a.yaml:12",
            "app/b.yml:1",
            "app/b.yml:1",
            "app/bom.yaml:1",
            "app/c.json:1"
        ]
    );
    assert_eq!(rendered.warnings.len(), 1, "{:?}", rendered.warnings);
    assert!(rendered.warnings[0].contains("app/values.yaml"));
}

#[tokio::test]
async fn values_mean_what_kubernetes_reads() {
    let tree = tree(&[(
        "a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nmode: 0644\nyes: yes\nstring: '0644'\nbase: &b {one: 1}\nmerged: {<<: *b, two: 2}\nbig: 9007199254740993\n",
    )]);
    let rendered = render(&tree, at(".")).await.unwrap();
    let value = &rendered.objects[0].value;
    assert_eq!(value["mode"], json!(420));
    assert_eq!(
        value["true"],
        json!(true),
        "a key that is a boolean in YAML 1.1"
    );
    assert_eq!(value["string"], json!("0644"));
    assert_eq!(value["merged"], json!({"one": 1, "two": 2}));
    assert_eq!(value["big"], json!(9_007_199_254_740_993_i64));
}

#[tokio::test]
async fn recurse_include_and_exclude_choose_files() {
    let files: Vec<(String, String)> = ["a.yaml", "b.yaml", "x/c.yaml", "x/test/d.yaml", "e.tmpl"]
        .iter()
        .map(|name| (format!("app/{name}"), map(&name.replace('/', "-"))))
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(p, c)| (p.as_str(), c.as_str()))
        .collect();
    let tree = tree(&files);
    for (directory, expected) in [
        (json!({}), vec!["a.yaml", "b.yaml"]),
        (
            json!({"recurse": true}),
            vec!["a.yaml", "b.yaml", "x-c.yaml", "x-test-d.yaml"],
        ),
        (json!({"include": "{a,e}.*"}), vec!["a.yaml"]),
        (
            json!({"include": "*.yaml", "exclude": "a*"}),
            vec!["b.yaml"],
        ),
        (
            json!({"recurse": true, "exclude": "{x/test/*,b.yaml}"}),
            vec!["a.yaml", "x-c.yaml"],
        ),
        (
            json!({"recurse": true, "include": "x/*"}),
            vec!["x-c.yaml", "x-test-d.yaml"],
        ),
        (
            json!({"disableExtensionFilter": true}),
            vec!["a.yaml", "b.yaml", "e.tmpl"],
        ),
    ] {
        let source = json!({"repoURL": "x", "path": "app", "directory": directory});
        let rendered = render(&tree, source).await.unwrap();
        let expected: Vec<String> = expected.iter().map(|n| format!("ConfigMap/{n}")).collect();
        assert_eq!(names(&rendered), expected, "{directory}");
    }
}

#[tokio::test]
async fn errors_name_file_and_line() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: hunter2\n  broken: [hunter2\n";
    for (name, content, expected) in [
        ("a.yaml", format!("{SERVICE}---\n{secret}"), "app/a.yaml:"),
        (
            "a.yaml",
            format!("{SERVICE}---\nkind: X\nmetadata: {{}}\n"),
            "app/a.yaml:9: document 2 has no apiVersion",
        ),
        (
            "a.yaml",
            format!("{SERVICE}---\napiVersion: v1\nmetadata: {{}}\n"),
            "app/a.yaml:9: document 2 has no kind",
        ),
        (
            "a.yaml",
            format!("{SERVICE}--- x\n"),
            "app/a.yaml:8: only a comment",
        ),
        (
            "a.yaml",
            format!("{SERVICE}---\n- a\n"),
            "app/a.yaml:9: document 2 is not a Kubernetes object",
        ),
        (
            "a.yaml",
            "apiVersion: v1\nkind: X\nmetadata: {}\n\tx: y\n".to_owned(),
            "app/a.yaml:4",
        ),
        (
            "a.json",
            "{\"kind\": \"X\",\n}".to_owned(),
            "app/a.json:2: not valid JSON",
        ),
        (
            "a.json",
            "{\"kind\":\"X\",\"apiVersion\":\"v1\"} {}".to_owned(),
            "app/a.json: a JSON file holds one",
        ),
        (
            "a.jsonnet",
            "{}".to_owned(),
            "app/a.jsonnet: document 1 has no kind",
        ),
    ] {
        let path = format!("app/{name}");
        let error = render(&tree(&[(path.as_str(), content.as_str())]), at("app"))
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{content}\ngave: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_directory_may_be_asked_for_where_another_kind_would_be_found() {
    let tree = tree(&[
        ("app/kustomization.yaml", "resources: [s.yaml]\n"),
        ("app/s.yaml", SERVICE),
    ]);
    let found = render(&tree, at("app")).await.unwrap();
    assert_eq!(found.source_type, SourceType::Kustomize);
    let source = json!({"repoURL": "x", "path": "app", "directory": {"include": "s.yaml"}});
    assert_eq!(
        render(&tree, source).await.unwrap().source_type,
        SourceType::Directory
    );
    let both = json!({"repoURL": "x", "path": "app", "directory": {}, "helm": {}});
    let error = render(&tree, both).await.unwrap_err();
    assert!(matches!(error, RenderError::BadRequest { .. }), "{error}");
    let plugin = json!({"repoURL": "x", "path": "app", "plugin": {"name": "x"}});
    let error = render(&tree, plugin).await.unwrap_err();
    assert!(matches!(error, RenderError::Unsupported { .. }), "{error}");
}
