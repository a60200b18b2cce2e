//! The worker's executable, a renderer, and short ways to say what is rendered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use gitops_render::{
    AppContext, KustomizeBuild, MemoryTree, RenderError, RenderRequest, Rendered, Renderer,
    RendererConfig, SourceRequest, SourceSpec, SourceTree,
};
use serde_json::{Value, json};

/// The worker: `GITOPS_RENDERER`, or built here from agent/renderer (Go's own cache makes that quick the second time).
pub(crate) fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            if let Some(given) = std::env::var_os("GITOPS_RENDERER") {
                return given.into();
            }
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../renderer");
            let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gitops-renderer");
            let fresh = built.with_extension(std::process::id().to_string());
            let status = Command::new("go")
                .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
                .arg(&fresh)
                .arg(".")
                .current_dir(directory)
                .env("CGO_ENABLED", "0")
                .status()
                .expect("the go command is needed to build the render worker");
            assert!(status.success(), "go build of the render worker failed");
            std::fs::rename(&fresh, &built).expect("the worker's program is put in place");
            built
        })
        .clone()
}

pub(crate) fn config() -> RendererConfig {
    RendererConfig {
        max_workers: 2,
        ..RendererConfig::new(program())
    }
}

pub(crate) fn renderer() -> Renderer {
    Renderer::new(config())
}

/// A tree from paths and contents.
pub(crate) fn tree(files: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for (path, content) in files {
        tree.insert(*path, *content);
    }
    tree
}

pub(crate) fn app() -> AppContext {
    AppContext {
        name: "web".to_owned(),
        destination_namespace: "shop".to_owned(),
        project: "default".to_owned(),
        kube_version: "v1.36.3".to_owned(),
        api_versions: Arc::new(["monitoring.coreos.com/v1".to_owned()]),
        kustomize: KustomizeBuild::default(),
        values_schemes: Arc::new(["https".to_owned()]),
    }
}

/// A request for `source` (JSON as in an Application) from a tree.
pub(crate) fn request(tree: &MemoryTree, source: Value) -> RenderRequest {
    RenderRequest {
        app: app(),
        source: SourceRequest {
            spec: SourceSpec::from_json(source).expect("a source"),
            tree: Arc::new(tree.clone()),
            revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            refs: BTreeMap::new(),
            is_chart_archive: false,
            packaged: Vec::new(),
            remotes: BTreeMap::new(),
        },
    }
}

/// The same with another tree as `$values`.
pub(crate) fn request_with_ref(
    tree: &MemoryTree,
    values: &MemoryTree,
    source: Value,
) -> RenderRequest {
    let mut request = request(tree, source);
    let values: Arc<dyn SourceTree> = Arc::new(values.clone());
    request.source.refs.insert("$values".to_owned(), values);
    request
}

pub(crate) async fn render(tree: &MemoryTree, source: Value) -> Result<Rendered, RenderError> {
    renderer().render(request(tree, source)).await
}

/// `Kind/name` of every object, in order.
pub(crate) fn names(rendered: &Rendered) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rendered
        .objects
        .iter()
        .map(|object| {
            format!(
                "{}/{}",
                text(&object.value["kind"]),
                text(&object.value["metadata"]["name"])
            )
        })
        .collect()
}

/// `path:line` of every object, in order.
pub(crate) fn origins(rendered: &Rendered) -> Vec<String> {
    rendered
        .objects
        .iter()
        .map(|object| match object.origin.line {
            Some(line) => format!("{}:{line}", object.origin.path),
            None => object.origin.path.clone(),
        })
        .collect()
}

pub(crate) fn at(path: &str) -> Value {
    json!({"repoURL": "https://git.example.com/r.git", "path": path})
}

pub(crate) const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry:5000/shop/web:1.0.0
";

pub(crate) const SERVICE: &str = "apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports: [{port: 80}]
";
