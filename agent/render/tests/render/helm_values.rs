//! Where a chart's values come from, and which wins.

use serde_json::{Value, json};

use crate::helm::{chart, helm};
use crate::support::{render, renderer, request_with_ref, tree};

fn result(rendered: &gitops_render::Rendered) -> Value {
    let deployment = rendered
        .objects
        .iter()
        .find(|o| o.value["kind"] == "Deployment")
        .unwrap();
    let annotations = &deployment.value["metadata"]["annotations"];
    json!([
        deployment.value["spec"]["replicas"],
        deployment.value["spec"]["template"]["spec"]["containers"][0]["image"],
        annotations["note"],
        annotations["list"],
    ])
}

#[tokio::test]
async fn sources_of_values_in_their_order() {
    let mut repository = chart();
    repository.insert("charts/web/prod.yaml", "replicas: 3\nnote: prod\n");
    repository.insert("shared/eu.yaml", "note: eu\n");
    repository.insert("shared/regions/a.yaml", "note: a\n");
    repository.insert("shared/regions/deep/b.yaml", "note: b\n");
    repository.insert("charts/web/note.txt", "from a file, with: {braces}\n");
    for (options, expected) in [
        (json!({}), json!([1, "shop/web:1", "", "a"])),
        (
            json!({"valueFiles": ["prod.yaml"]}),
            json!([3, "shop/web:1", "prod", "a"]),
        ),
        (
            json!({"valueFiles": ["prod.yaml", "/shared/eu.yaml"]}),
            json!([3, "shop/web:1", "eu", "a"]),
        ),
        (
            json!({"valueFiles": ["/shared/eu.yaml", "prod.yaml"]}),
            json!([3, "shop/web:1", "prod", "a"]),
        ),
        (
            json!({"valueFiles": ["../../shared/eu.yaml"]}),
            json!([1, "shop/web:1", "eu", "a"]),
        ),
        (
            json!({"valueFiles": ["/shared/$ARGOCD_APP_NAME.yaml"], "ignoreMissingValueFiles": true}),
            json!([1, "shop/web:1", "", "a"]),
        ),
        (
            json!({"valueFiles": ["/shared/regions/*.yaml"]}),
            json!([1, "shop/web:1", "a", "a"]),
        ),
        (
            json!({"valueFiles": ["/shared/**/*.yaml"]}),
            json!([1, "shop/web:1", "b", "a"]),
        ),
        (
            json!({"valueFiles": ["/shared/**/*.yaml", "/shared/eu.yaml"]}),
            json!([1, "shop/web:1", "eu", "a"]),
        ),
        (
            json!({"valueFiles": ["/shared/regions/none-*.yaml"], "ignoreMissingValueFiles": true}),
            json!([1, "shop/web:1", "", "a"]),
        ),
        (
            json!({"valueFiles": ["prod.yaml"], "values": "note: inline\n"}),
            json!([3, "shop/web:1", "inline", "a"]),
        ),
        (
            json!({"values": "note: text\n", "valuesObject": {"note": "object"}}),
            json!([1, "shop/web:1", "object", "a"]),
        ),
        (
            json!({"valuesObject": {"note": "object"}, "parameters": [{"name": "note", "value": "set"}]}),
            json!([1, "shop/web:1", "set", "a"]),
        ),
        (
            json!({"parameters": [{"name": "note", "value": "a,b=c"}]}),
            json!([1, "shop/web:1", "a,b=c", "a"]),
        ),
        (
            json!({"parameters": [{"name": "list", "value": "{x,y}"}]}),
            json!([1, "shop/web:1", "", "x|y"]),
        ),
        (
            json!({"parameters": [{"name": "image.tag", "value": "$ARGOCD_APP_REVISION_SHORT_8"}]}),
            json!([1, "shop/web:01234567", "", "a"]),
        ),
        (
            json!({"parameters": [{"name": "image.tag", "value": "1e3", "forceString": true}]}),
            json!([1, "shop/web:1e3", "", "a"]),
        ),
        (
            json!({"fileParameters": [{"name": "note", "path": "note.txt"}]}),
            json!([1, "shop/web:1", "from a file, with: {braces}\n", "a"]),
        ),
    ] {
        let rendered = render(&repository, helm(options.clone())).await.unwrap();
        assert_eq!(result(&rendered), expected, "{options}");
    }
}

#[tokio::test]
async fn value_files_of_another_source() {
    let values = tree(&[
        ("envs/prod.yaml", "replicas: 5\n"),
        ("envs/note.txt", "noted"),
        ("envs/many/1.yaml", "note: one\n"),
        ("envs/many/2.yaml", "note: two\n"),
    ]);
    let source = helm(json!({
        "valueFiles": ["$values/envs/prod.yaml", "$values/envs/many/*.yaml"],
        "fileParameters": [{"name": "image.tag", "path": "$values/envs/note.txt"}],
    }));
    let rendered = renderer()
        .render(request_with_ref(&chart(), &values, source))
        .await
        .unwrap();
    assert_eq!(result(&rendered), json!([5, "shop/web:noted", "two", "a"]));
    let read: Vec<_> = rendered
        .inputs
        .paths()
        .filter(|(tree, _)| *tree == "$values")
        .map(|(_, path)| path)
        .collect();
    assert_eq!(
        read,
        [
            "envs/many/1.yaml",
            "envs/many/2.yaml",
            "envs/note.txt",
            "envs/prod.yaml"
        ]
    );
}

#[tokio::test]
async fn what_is_missing_or_outside_is_named() {
    for (options, expected) in [
        (
            json!({"valueFiles": ["none.yaml"]}),
            "spec.source.helm.valueFiles: none.yaml does not exist (looked for charts/web/none.yaml)",
        ),
        (
            json!({"valueFiles": ["/none/*.yaml"]}),
            "/none/*.yaml matches no file",
        ),
        (
            json!({"valueFiles": ["../../../etc/passwd"]}),
            "spec.source.helm.valueFiles: ../../../etc/passwd leads out of the repository",
        ),
        (
            json!({"valueFiles": ["https://example.com/v.yaml"]}),
            "https://example.com/v.yaml, which is not in this repository",
        ),
        (
            json!({"valueFiles": ["$other/v.yaml"]}),
            "no source has ref: other",
        ),
        (
            json!({"valueFiles": ["templates"]}),
            "templates is a directory",
        ),
        (
            json!({"fileParameters": [{"name": "a", "path": "none.txt"}]}),
            "spec.source.helm.fileParameters: none.txt is not a file",
        ),
    ] {
        let error = render(&chart(), helm(options))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected),
            "expected {expected}\ngot: {error}"
        );
    }
}
