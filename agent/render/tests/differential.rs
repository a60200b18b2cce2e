//! The same fixtures through the render worker and through the `kustomize` and `helm` commands of the same versions,
//! compared object by object as JSON, in order. Plain directories are compared with what kubectl reads.
//!
//! Cases are in tests/fixtures/render, one file for each subject; `fixture` says how they are written. The commands are
//! found, or built once into a cache directory, by `tools`.

// Outside of `#[test]` functions clippy does not know that this is a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

#[path = "differential/fixture.rs"]
mod fixture;
#[path = "differential/reference.rs"]
mod reference;
#[path = "differential/tools.rs"]
mod tools;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use fixture::{Case, Expected, Kind};
use gitops_render::{
    AppContext, KustomizeBuild, MemoryTree, RemoteKind, RenderError, RenderRequest, Rendered,
    Renderer, RendererConfig, SourceRequest, SourceSpec, SourceTree,
};
use serde_json::{Value, json};

/// Fewest cases there must be; a fixture that is no longer read would otherwise go unnoticed.
const FEWEST_CASES: usize = 100;

macro_rules! subjects {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                compare(stringify!($name)).await;
            }
        )*

        const SUBJECTS: &[&str] = &[$(stringify!($name)),*];
    };
}

subjects!(
    directory_jsonnet,
    directory_yaml,
    helm_charts,
    helm_dependencies,
    helm_templates,
    helm_values,
    kustomize_application,
    kustomize_charts,
    kustomize_generators,
    kustomize_layout,
    kustomize_names,
    kustomize_patches,
    kustomize_remote,
    kustomize_transformers,
);

#[test]
fn every_fixture_is_compared() {
    let mut count = 0;
    for name in fixture::subjects() {
        assert!(
            SUBJECTS.contains(&name.as_str()),
            "{name} has no test: add it to subjects!"
        );
        count += fixture::cases(&name).len();
    }
    assert!(count >= FEWEST_CASES, "only {count} cases");
}

async fn compare(subject: &str) {
    let renderer = Renderer::new(RendererConfig {
        max_workers: 1,
        ..RendererConfig::new(tools::renderer())
    });
    let mut problems = String::new();
    let cases = fixture::cases(subject);
    for case in &cases {
        if let Err(problem) = compare_one(&renderer, case).await {
            let _ = write!(
                problems,
                "\n\n== {subject}: {} (line {})\n{problem}",
                case.name, case.line
            );
        }
    }
    eprintln!("{subject}: {} cases", cases.len());
    assert!(problems.is_empty(), "{problems}");
}

async fn compare_one(renderer: &Renderer, case: &Case) -> Result<(), String> {
    let reference = reference::objects(case);
    let ours = rendered(renderer, case).await;
    let ours = ours.map(|rendered| {
        rendered
            .objects
            .into_iter()
            .map(|o| o.value)
            .collect::<Vec<_>>()
    });
    match (&case.expected, reference, ours) {
        (Expected::Error(part), Err(_), Err(error)) => {
            let text = error.to_string();
            text.contains(part)
                .then_some(())
                .ok_or(format!("the error does not say {part:?}: {text}"))
        }
        (Expected::Error(_), Err(_), Ok(objects)) => Err(format!(
            "the command fails, the worker gives {} objects",
            objects.len()
        )),
        (Expected::Nothing, Err(_), Ok(objects)) if objects.is_empty() => Ok(()),
        (Expected::Error(_) | Expected::Nothing, Ok(_), _) => {
            Err("the command was expected to fail".to_owned())
        }
        (_, Err(failed), _) => Err(format!("the command failed: {failed}")),
        (_, Ok(_), Err(error)) => Err(format!("the worker failed: {}", described(&error))),
        (Expected::Difference, Ok(reference), Ok(ours)) => difference(&reference, &ours)
            .map(|_| ())
            .ok_or("there is no difference any more".to_owned()),
        (Expected::Objects(count), Ok(reference), Ok(ours)) => {
            if reference.len() != *count {
                return Err(format!(
                    "the command gives {} objects, not {count}",
                    reference.len()
                ));
            }
            difference(&reference, &ours).map_or(Ok(()), Err)
        }
    }
}

/// Renders, and again with the repositories that it asks for.
async fn rendered(renderer: &Renderer, case: &Case) -> Result<Rendered, RenderError> {
    let mut request = request(case);
    let repositories = case.repositories();
    loop {
        let remotes = match renderer.render(request.clone()).await {
            Err(RenderError::MissingRemotes { remotes, .. })
                if remotes.iter().all(|remote| remote.kind == RemoteKind::Git)
                    && !request.source.remotes.contains_key(&remotes[0]) =>
            {
                remotes
            }
            result => return result,
        };
        for remote in remotes {
            let name = remote.url.rsplit('/').next().unwrap_or_default();
            let name = name.strip_suffix(".git").unwrap_or(name);
            let files = repositories.get(name).cloned().unwrap_or_default();
            request.source.remotes.insert(remote, tree(files));
        }
    }
}

fn tree<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a fixture::Content)>,
) -> Arc<dyn SourceTree> {
    let mut tree = MemoryTree::new();
    for (path, content) in files {
        match content {
            fixture::Content::Text(text) => tree.insert(path, text.clone()),
            fixture::Content::Link(target) => tree.insert_symlink(path, target.clone()),
        }
    }
    Arc::new(tree)
}

fn described(error: &RenderError) -> String {
    format!("{error} ({error:?})")
}

fn request(case: &Case) -> RenderRequest {
    let tree = tree(
        case.own_files()
            .map(|(path, content)| (path.as_str(), content)),
    );
    let mut spec = json!({"repoURL": "https://git.example.com/repo", "path": case.path});
    spec[case.kind.field()] = case.options.clone();
    RenderRequest {
        app: AppContext {
            name: reference::RELEASE.to_owned(),
            destination_namespace: reference::NAMESPACE.to_owned(),
            project: "default".to_owned(),
            kube_version: reference::KUBE_VERSION.to_owned(),
            api_versions: case.api_versions.clone().into(),
            kustomize: KustomizeBuild::default(),
            values_schemes: Arc::new([]),
        },
        source: SourceRequest {
            spec: SourceSpec::from_json(spec)
                .unwrap_or_else(|error| panic!("{}: {error}", case.name)),
            tree,
            revision: "0".repeat(40),
            refs: BTreeMap::new(),
            is_chart_archive: false,
            packaged: Vec::new(),
            remotes: BTreeMap::new(),
        },
    }
}

/// What differs first, with both sides, or nothing.
fn difference(reference: &[Value], ours: &[Value]) -> Option<String> {
    let name = |object: &Value| format!("{}/{}", object["kind"], object["metadata"]["name"]);
    let names = |objects: &[Value]| objects.iter().map(name).collect::<Vec<_>>().join(", ");
    if names(reference) != names(ours) {
        return Some(format!(
            "command: {}\nworker:  {}",
            names(reference),
            names(ours)
        ));
    }
    let (left, right) = reference
        .iter()
        .zip(ours)
        .find(|(left, right)| !equal(left, right))?;
    Some(format!("{}\ncommand: {left}\nworker:  {right}", name(left)))
}

/// Equal as Kubernetes sees it: above the largest signed integer every number is a float there.
fn equal(left: &Value, right: &Value) -> bool {
    let beyond = |value: &Value| {
        value
            .as_u64()
            .is_some_and(|number| i64::try_from(number).is_err())
    };
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, left)| right.get(key).is_some_and(|right| equal(left, right)))
        }
        _ if beyond(left) || beyond(right) => left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

impl Kind {
    fn field(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Helm => "helm",
            Self::Kustomize => "kustomize",
        }
    }
}
