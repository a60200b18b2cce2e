//! Jsonnet files of a directory: variables, imports, what is read, and what is refused.

use gitops_render::{RenderError, Renderer, RendererConfig};
use serde_json::{Value, json};

use crate::support::{at, config, names, origins, render, renderer, request, tree};

fn with(options: Value) -> Value {
    let mut source = at("app");
    source["directory"] = json!({"jsonnet": options});
    source
}

#[tokio::test]
async fn variables_hold_the_build_environment_as_in_argo_cd() {
    let files = tree(&[(
        "app/a.jsonnet",
        "function(name, count) {apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: name},
            data: {count: std.toString(count + 1), region: std.extVar('region'), file: std.thisFile}}",
    )]);
    let rendered = render(
        &files,
        with(json!({
            "tlas": [{"name": "name", "value": "$ARGOCD_APP_NAME-config"}, {"name": "count", "value": "2", "code": true}],
            "extVars": [{"name": "region", "value": "eu"}],
        })),
    )
    .await
    .unwrap();
    assert_eq!(names(&rendered), ["ConfigMap/web-config"]);
    assert_eq!(origins(&rendered), ["app/a.jsonnet"]);
    let data = &rendered.objects[0].value["data"];
    assert_eq!(data["count"], "3");
    assert_eq!(data["region"], "eu");
    assert_eq!(data["file"], "app/a.jsonnet");
}

#[tokio::test]
async fn every_file_that_is_imported_or_could_have_been_is_an_input() {
    let mut files = tree(&[
        ("app/a.jsonnet", "import 'lib.libsonnet'"),
        ("vendor/lib.libsonnet", "import 'deep.json'"),
        (
            "vendor/deep.json",
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}"#,
        ),
        ("other/file.libsonnet", "{}"),
    ]);
    let source = with(json!({"libs": ["vendor", "/other"]}));
    let rendered = render(&files, source).await.unwrap();
    let refs = std::collections::BTreeMap::new();
    let same = |files: &gitops_render::MemoryTree| rendered.inputs.unchanged(files, &refs).unwrap();
    assert!(same(&files));
    files.insert("other/another.libsonnet", "{}");
    files.insert("README.md", "x");
    assert!(same(&files));
    for (path, content) in [
        ("vendor/deep.json", "{}"),
        ("vendor/lib.libsonnet", "{}"),
        // Each of these is looked for first.
        ("app/lib.libsonnet", "{}"),
        ("other/lib.libsonnet", "{}"),
    ] {
        let mut changed = files.clone();
        changed.insert(path, content);
        assert!(!same(&changed), "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_place() {
    for (content, expected) in [
        ("{", "app/a.jsonnet:1: "),
        (
            "{\n  a: 1,\n  b: error 'no region'\n}",
            "app/a.jsonnet:3: no region",
        ),
        (
            "import 'lib.libsonnet'",
            "app/a.jsonnet: in vendor/lib.libsonnet:2: ",
        ),
        (
            "import 'nothing.libsonnet'",
            "app/a.jsonnet imports nothing.libsonnet, which is neither",
        ),
        (
            "importstr '/etc/passwd'",
            "app/a.jsonnet imports /etc/passwd, an absolute path",
        ),
        (
            "importstr '../../../etc/passwd'",
            "leads out of the repository",
        ),
        (
            "import 'out'",
            "app/out is a symbolic link to ../../etc/passwd, which is outside",
        ),
        ("importstr 'image.bin'", "is a pointer of Git LFS"),
        (
            "local f(x) = f(x + 1) + 1; f(1)",
            "functions call each other more than 500 deep",
        ),
        (
            "local a = {b: a.b}; a",
            "functions call each other more than 500 deep",
        ),
        ("std.extVar('password')", "app/a.jsonnet:1: "),
        ("function(password) {}", "app/a.jsonnet"),
        ("std.native('exec')('id')", "app/a.jsonnet:1: "),
        ("'text'", "is not a Kubernetes object"),
        ("[[]]", "is not a Kubernetes object"),
        (
            "[{apiVersion: 'v1', kind: 'X'}, {kind: 'Y'}]",
            "document 2 has no apiVersion",
        ),
        (
            "local s = {password: 'hunter2-long'}; error 'it was ' + s.password",
            "app/a.jsonnet:1: it was ***",
        ),
    ] {
        let mut files = tree(&[
            ("app/a.jsonnet", content),
            (
                "app/image.bin",
                "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
            ),
            ("vendor/lib.libsonnet", "{a:\n  {}.nothing}"),
        ]);
        files.insert_symlink("app/out", "../../etc/passwd");
        let source = with(json!({"libs": ["vendor"]}));
        let text = render(&files, source).await.unwrap_err().to_string();
        assert!(text.contains(expected), "{content}\ngave: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let files = tree(&[("app/a.jsonnet", "{}")]);
    let error = render(&files, with(json!({"libs": ["../vendor"]}))).await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("spec.source.directory.jsonnet.libs: ../vendor leads out"),
        "{text}"
    );
}

#[tokio::test]
async fn memory_time_and_output_are_bounded_and_others_are_not_affected() {
    let small = Renderer::new(RendererConfig {
        timeout: std::time::Duration::from_secs(20),
        memory_bytes: 192 << 20,
        ..config()
    });
    for content in [
        "std.foldl(function(a, b) a + a, std.range(1, 40), 'x')",
        "[std.repeat([1], 100000000)]",
        "std.makeArray(1000000000, function(i) [i])",
        "local f(n) = if n == 0 then [] else local r = f(n - 1); r + r + [n]; f(40)",
    ] {
        let files = tree(&[("app/a.jsonnet", content)]);
        let error = small.render(request(&files, at("app"))).await.unwrap_err();
        // Where memory ends, Go's runtime does not always come to say so.
        assert!(
            matches!(
                error,
                RenderError::OutOfMemory(_)
                    | RenderError::OutputTooLarge(_)
                    | RenderError::Crashed { .. }
            ),
            "{content}: {error}"
        );
    }
    let endless = Renderer::new(RendererConfig {
        timeout: std::time::Duration::from_secs(2),
        ..config()
    });
    let files = tree(&[("app/a.jsonnet", "local f(x) = f(x + 1) tailstrict; f(1)")]);
    let error = endless
        .render(request(&files, at("app")))
        .await
        .unwrap_err();
    // Whichever is reached first: the time, or the end of the stack.
    assert!(
        matches!(error, RenderError::Timeout(_) | RenderError::Crashed { .. }),
        "{error}"
    );
    let fine = tree(&[(
        "app/a.jsonnet",
        "{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'a'}}",
    )]);
    for renderer in [&small, &renderer()] {
        let rendered = renderer.render(request(&fine, at("app"))).await.unwrap();
        assert_eq!(names(&rendered), ["ConfigMap/a"]);
    }
}

/// Nested without a function: neither the parser nor the manifest may take the process along unnoticed.
#[tokio::test]
async fn depth_without_calls_is_bounded_too() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let files = tree(&[("app/a.jsonnet", deep.as_str())]);
    let error = render(&files, at("app")).await.unwrap_err();
    assert!(!error.to_string().is_empty());
    let fine = tree(&[("app/b.jsonnet", "[]")]);
    assert!(render(&fine, at("app")).await.unwrap().objects.is_empty());
}
