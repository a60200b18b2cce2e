//! The recorded inputs are exact: whatever file of a repository is changed, added or removed, an application whose
//! result may change says so, and the others do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gitops_render::{InputSet, MemoryTree, RenderRequest, SourceTree};
use serde_json::{Value, json};

use crate::support::{DEPLOYMENT, SERVICE, renderer, request, tree};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

fn repository() -> MemoryTree {
    let mut repository = tree(&[
        ("README.md", "read me"),
        (
            "base/kustomization.yaml",
            "resources: [deployment.yaml, service.yaml]\n",
        ),
        ("base/deployment.yaml", DEPLOYMENT),
        ("base/service.yaml", SERVICE),
        ("base/unused.yaml", SERVICE),
        (
            "components/debug/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches: [{path: p.yaml}]\n",
        ),
        (
            "components/debug/p.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {debug: 'on'}}\n",
        ),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\ncomponents: [../components/debug]\nconfigMapGenerator: [{name: g, files: [g.txt]}]\n",
        ),
        ("prod/g.txt", "generated"),
        ("prod/notes.txt", "not read"),
        ("staging/kustomization.yaml", "resources: [../base]\n"),
        (
            "chart/Chart.yaml",
            "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
        ),
        ("chart/values.yaml", "name: chart\n"),
        (
            "chart/templates/c.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.name }}}\n",
        ),
        ("chart/.helmignore", "ignored\n"),
        ("chart/ignored/big.bin", "ignored"),
        ("values/chart/prod.yaml", "name: prod\n"),
        ("values/chart/regions/eu.yaml", "a: b\n"),
        ("values/other.yaml", "x: y\n"),
        ("plain/a.yaml", CONFIG),
        ("plain/b.yaml", CONFIG),
        ("plain/notes.md", "not read"),
        ("plain/below/c.yaml", CONFIG),
    ]);
    repository.insert_symlink("plain/linked.yaml", "../shared/linked.yaml");
    repository.insert("shared/linked.yaml", CONFIG);
    repository
}

/// Name, source, and the files that are its inputs.
fn applications() -> Vec<(&'static str, Value, Vec<&'static str>)> {
    let source = |path: &str, extra: Value| {
        let mut source = json!({"repoURL": "x", "path": path});
        source
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        source
    };
    vec![
        (
            "prod",
            source("prod", json!({})),
            vec![
                "base/kustomization.yaml",
                "base/deployment.yaml",
                "base/service.yaml",
                "components/debug/kustomization.yaml",
                "components/debug/p.yaml",
                "prod/kustomization.yaml",
                "prod/g.txt",
            ],
        ),
        (
            "staging",
            source("staging", json!({"kustomize": {"nameSuffix": "-s"}})),
            vec![
                "base/kustomization.yaml",
                "base/deployment.yaml",
                "base/service.yaml",
                "staging/kustomization.yaml",
            ],
        ),
        (
            "chart",
            source(
                "chart",
                json!({"helm": {"valueFiles": ["$values/values/chart/prod.yaml", "$values/values/chart/regions/*.yaml"]}}),
            ),
            vec![
                "chart/Chart.yaml",
                "chart/values.yaml",
                "chart/templates/c.yaml",
                "chart/.helmignore",
                "values/chart/prod.yaml",
                "values/chart/regions/eu.yaml",
            ],
        ),
        (
            "plain",
            source(
                "plain",
                json!({"directory": {"include": "{a,linked}.yaml"}}),
            ),
            vec!["plain/a.yaml", "plain/linked.yaml", "shared/linked.yaml"],
        ),
    ]
}

fn refs(tree: &MemoryTree) -> BTreeMap<String, Arc<dyn SourceTree>> {
    let tree: Arc<dyn SourceTree> = Arc::new(tree.clone());
    BTreeMap::from([("$values".to_owned(), tree)])
}

fn request_for(name: &str, source: Value, tree: &MemoryTree) -> RenderRequest {
    let mut request = request(tree, source);
    name.clone_into(&mut request.app.name);
    request.source.refs = refs(tree);
    request
}

/// Which applications would render again on this tree.
fn changed(inputs: &BTreeMap<&str, InputSet>, tree: &MemoryTree) -> BTreeSet<String> {
    inputs
        .iter()
        .filter(|(_, inputs)| !inputs.unchanged(tree, &refs(tree)).unwrap())
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

async fn recorded(repository: &MemoryTree) -> BTreeMap<&'static str, InputSet> {
    let renderer = renderer();
    let mut inputs = BTreeMap::new();
    for (name, source, _) in applications() {
        let rendered = renderer
            .render(request_for(name, source, repository))
            .await
            .unwrap();
        // A record survives being stored.
        let stored = serde_json::to_string(&rendered.inputs).unwrap();
        inputs.insert(name, serde_json::from_str(&stored).unwrap());
    }
    inputs
}

#[tokio::test]
async fn changing_every_file_in_turn_renders_exactly_its_readers_again() {
    let repository = repository();
    let inputs = recorded(&repository).await;
    assert_eq!(changed(&inputs, &repository), BTreeSet::new());
    let paths: Vec<String> = repository.paths().map(str::to_owned).collect();
    for path in &paths {
        let readers: BTreeSet<String> = applications()
            .iter()
            .filter(|(_, _, files)| files.contains(&path.as_str()))
            .map(|(name, _, _)| (*name).to_owned())
            .collect();
        let mut edited = repository.clone();
        edited.insert(path.clone(), "changed: true\n");
        assert_eq!(changed(&inputs, &edited), readers, "{path} edited");
    }
}

#[tokio::test]
async fn a_file_added_or_removed_is_noticed_where_names_matter() {
    let repository = repository();
    let inputs = recorded(&repository).await;
    for (path, expected) in [
        // Directories whose names were listed.
        ("plain/z.yaml", vec!["plain"]),
        ("chart/templates/new.yaml", vec!["chart"]),
        ("values/chart/regions/us.yaml", vec!["chart"]),
        // Names that were looked for and not found.
        ("prod/.argocd-source.yaml", vec!["prod"]),
        ("staging/.argocd-source-staging.yaml", vec!["staging"]),
        ("staging/.argocd-source-prod.yaml", vec![]),
        ("base/kustomization.yml", vec!["prod", "staging"]),
        // A kustomization counts before a chart beside it.
        ("prod/Chart.yaml", vec![]),
        // Explicit kind: a chart there would change nothing.
        ("staging/Chart.yaml", vec![]),
        // Nobody looked.
        ("prod/new.yaml", vec![]),
        ("plain/below/new.yaml", vec![]),
        ("other/kustomization.yaml", vec![]),
    ] {
        let mut added = repository.clone();
        added.insert(path, CONFIG);
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(changed(&inputs, &added), expected, "{path} added");
    }
    for (name, _, files) in applications() {
        for file in files {
            let mut removed = repository.clone();
            removed.remove(file);
            assert!(
                changed(&inputs, &removed).contains(name),
                "{name} without {file}"
            );
        }
    }
}

/// Soundness by force: whatever single edit keeps a record unchanged must leave the result as it is.
#[tokio::test]
async fn an_unchanged_record_means_an_equal_result() {
    let repository = repository();
    let inputs = recorded(&repository).await;
    let renderer = renderer();
    let paths: Vec<String> = repository.paths().map(str::to_owned).collect();
    for (name, source, _) in applications() {
        let before = renderer
            .render(request_for(name, source.clone(), &repository))
            .await
            .unwrap();
        for path in &paths {
            let mut removed = repository.clone();
            removed.remove(path);
            if inputs[name].unchanged(&removed, &refs(&removed)).unwrap() {
                let after = renderer
                    .render(request_for(name, source.clone(), &removed))
                    .await
                    .unwrap();
                assert_eq!(before.objects, after.objects, "{name} without {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_result_that_holds_the_revision_is_never_unchanged() {
    let repository = repository();
    let source = json!({"repoURL": "x", "path": "staging", "kustomize": {"commonLabels": {"rev": "$ARGOCD_APP_REVISION_SHORT"}}});
    let rendered = renderer()
        .render(request(&repository, source))
        .await
        .unwrap();
    assert!(rendered.inputs.uses_revision());
    assert!(
        !rendered
            .inputs
            .unchanged(&repository, &refs(&repository))
            .unwrap()
    );
}
