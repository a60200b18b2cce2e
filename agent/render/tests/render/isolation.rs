//! What keeps renders apart: no worker meets two projects, or goes on after a job that may have left something behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use gitops_render::{MemoryTree, RenderError, RenderRequest, Renderer, RendererConfig};

use crate::faults::workers;
use crate::support::{DEPLOYMENT, SERVICE, at, config, request, tree};

fn of_project(project: &str, tree: &MemoryTree) -> RenderRequest {
    let mut request = request(tree, at("."));
    project.clone_into(&mut request.app.project);
    request
}

fn plain() -> MemoryTree {
    tree(&[("s.yaml", SERVICE)])
}

fn with_workers(memory_bytes: u64, max_workers: usize) -> Renderer {
    Renderer::new(RendererConfig {
        memory_bytes,
        max_workers,
        ..config()
    })
}

/// The workers after a render that succeeds.
async fn after(renderer: &Renderer, memory: u64, project: &str) -> Vec<u32> {
    let rendered = renderer.render(of_project(project, &plain())).await;
    assert!(rendered.is_ok());
    let mut found = workers(memory);
    found.sort_unstable();
    found
}

#[tokio::test]
async fn two_projects_never_share_a_worker() {
    const MEMORY: u64 = (512 << 20) + 11;
    let renderer = with_workers(MEMORY, 2);
    let first = after(&renderer, MEMORY, "a").await;
    assert_eq!(first.len(), 1);
    let both = after(&renderer, MEMORY, "b").await;
    assert_eq!(both.len(), 2, "the idle worker is the other project's");
    assert_eq!(after(&renderer, MEMORY, "a").await, both);
    assert_eq!(after(&renderer, MEMORY, "b").await, both);
    let third = after(&renderer, MEMORY, "c").await;
    assert_eq!(third.len(), 2, "there are never more workers than slots");
    assert_eq!(
        third.iter().filter(|pid| both.contains(pid)).count(),
        1,
        "one idle worker made room"
    );
}

#[tokio::test]
async fn a_lone_slot_goes_from_project_to_project_with_new_workers() {
    const MEMORY: u64 = (512 << 20) + 12;
    let renderer = with_workers(MEMORY, 1);
    let first = after(&renderer, MEMORY, "a").await;
    let second = after(&renderer, MEMORY, "b").await;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
    assert_eq!(after(&renderer, MEMORY, "b").await, second);
}

/// A kustomization whose schema has containers as a list without a key.
fn with_schema(schema: &str) -> MemoryTree {
    let kustomization =
        "openapi: {path: schema.json}\nresources: [d.yaml]\npatches:\n- path: p.yaml\n";
    let patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, image: x}]}}}\n";
    tree(&[
        ("kustomization.yaml", kustomization),
        ("d.yaml", DEPLOYMENT),
        ("p.yaml", patch),
        ("schema.json", schema),
    ])
}

const LIST_SCHEMA: &str = r#"{"definitions": {"io.k8s.api.apps.v1.Deployment": {"type": "object",
  "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}],
  "properties": {"spec": {"properties": {"template": {"properties": {"spec": {"properties":
    {"containers": {"type": "array", "items": {"type": "object"}}}}}}}}}}}}"#;

/// One at which a library panics.
const BROKEN_SCHEMA: &str = r#"{"definitions": {"x": {"x-kubernetes-group-version-kind":
  [{"group": "apps", "kind": 5, "version": "v1"}]}}}"#;

#[tokio::test]
async fn a_worker_that_met_another_schema_or_a_panic_takes_no_other_job() {
    const MEMORY: u64 = (512 << 20) + 13;
    let renderer = with_workers(MEMORY, 1);
    let patch = r#"{"definitions": {}}"#;
    for (schema, works) in [(LIST_SCHEMA, true), (BROKEN_SCHEMA, false), (patch, true)] {
        let before = after(&renderer, MEMORY, "a").await;
        let hostile = renderer.render(of_project("a", &with_schema(schema))).await;
        assert_eq!(hostile.is_ok(), works, "{hostile:?}");
        let next = after(&renderer, MEMORY, "a").await;
        assert_ne!(before, next, "{schema}");
    }
}

#[tokio::test]
async fn a_schema_changes_no_other_render() {
    let renderer = with_workers((512 << 20) + 14, 1);
    let own = with_schema("{}");
    let mut victim = own.clone();
    victim.insert(
        "kustomization.yaml",
        "resources: [d.yaml]\npatches:\n- path: p.yaml\n",
    );
    victim.insert(
        "d.yaml",
        DEPLOYMENT.replace("image:", "ports: [{containerPort: 80}]\n        image:"),
    );
    let alone = renderer.render(of_project("a", &victim)).await.unwrap();
    let container = "/spec/template/spec/containers/0/ports/0/containerPort";
    assert_eq!(
        alone.objects[0]
            .value
            .pointer(container)
            .and_then(serde_json::Value::as_u64),
        Some(80)
    );
    assert!(
        renderer
            .render(of_project("a", &with_schema(LIST_SCHEMA)))
            .await
            .is_ok()
    );
    let after = renderer.render(of_project("a", &victim)).await.unwrap();
    assert_eq!(alone.objects, after.objects);
}

/// A program that greets as a worker whose jail has no Landlock.
fn halfway_jailed(directory: &Path) -> std::path::PathBuf {
    let hello = r#"{"type":"hello","protocol":3,"kustomize":"v5","helm":"v4","landlock":"this kernel has none","seccomp":"on"}"#;
    let program = directory.join("worker");
    let text = format!(
        "#!/bin/sh\nprintf '\\000\\000\\000\\{:03o}\\000\\000\\000\\000'\nprintf '%s' '{hello}'\nread -r forever\n",
        hello.len()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[tokio::test]
async fn a_missing_layer_of_the_jail_is_told_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let program = halfway_jailed(directory.path());
    let lenient = Renderer::new(RendererConfig {
        executable: program.clone(),
        ..config()
    });
    let jail = lenient.probe().await.unwrap();
    assert_eq!(jail.layers(), [("landlock", false), ("seccomp", true)]);
    let strict = Renderer::new(RendererConfig {
        executable: program,
        require_jail: true,
        ..config()
    });
    for error in [
        strict.probe().await.unwrap_err(),
        strict.render(of_project("a", &plain())).await.unwrap_err(),
    ] {
        assert!(matches!(error, RenderError::Unavailable { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("no Landlock (this kernel has none)"),
            "{text}"
        );
        assert!(text.contains("--require-jail"), "{text}");
    }
}

#[tokio::test]
async fn a_probe_starts_a_worker_and_ends_it() {
    const MEMORY: u64 = (512 << 20) + 15;
    let renderer = with_workers(MEMORY, 1);
    let jail = renderer.probe().await.unwrap();
    assert!(!jail.seccomp.is_empty() && !jail.landlock.is_empty());
    assert_eq!(workers(MEMORY), [] as [u32; 0]);
}
