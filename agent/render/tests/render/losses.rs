//! What else could be lost without a word: files that only stand for others, keys and objects that are there twice, folders
//! that are no part of the commit, charts that are laid into a chart.

use gitops_render::{MemoryTree, Packaged, RenderError, SourceType};
use serde_json::{Value, json};

use crate::support::{at, names, render, renderer, request, tree};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n";

fn map(name: &str) -> String {
    MAP.replace("NAME", name)
}

fn directory(options: Value) -> Value {
    json!({"repoURL": "x", "path": ".", "directory": options})
}

#[tokio::test]
async fn what_only_stands_for_a_file_is_an_error_that_names_it() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n";
    for (content, says) in [
        (pointer, "app/a.yaml is a pointer of Git LFS"),
        ("\0GITCRYPT\0\u{1}", "app/a.yaml is encrypted by git-crypt"),
        (
            "age-encryption.org/v1\n-> X25519",
            "app/a.yaml is encrypted",
        ),
        (
            "-----BEGIN PGP MESSAGE-----\n\nhQ==\n",
            "app/a.yaml is encrypted",
        ),
    ] {
        let plain = tree(&[("app/a.yaml", content), ("app/b.yaml", &map("b"))]);
        let kustomization = tree(&[
            ("app/kustomization.yaml", "resources: [a.yaml]\n"),
            ("app/a.yaml", content),
        ]);
        for files in [plain, kustomization] {
            let error = render(&files, at("app")).await.unwrap_err();
            assert!(matches!(error, RenderError::Invalid { .. }), "{error}");
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }
}

#[tokio::test]
async fn files_that_hold_nothing_are_told() {
    let files = tree(&[
        ("app/cut.yaml", "apiVer"),
        ("app/empty.yaml", ""),
        ("app/blank.yml", "\n  \n"),
        (
            "app/commented.yaml",
            "# apiVersion: v1\n# kind: ConfigMap\n",
        ),
        ("app/values.yaml", "replicas: 3\n"),
        ("app/one.yaml", &map("one")),
    ]);
    let rendered = render(&files, at("app"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(names(&rendered), ["ConfigMap/one"]);
    assert_eq!(
        rendered.without,
        [
            "app/blank.yml",
            "app/cut.yaml",
            "app/empty.yaml",
            "app/values.yaml"
        ]
    );
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_an_error() {
    let mut files = tree(&[("app/one.yaml", &map("one"))]);
    files.insert_symlink("app/two.yaml", "gone.yaml");
    let error = render(&files, at("app")).await.unwrap_err().to_string();
    assert!(error.contains("app/two.yaml"), "{error}");
}

/// A submodule that no file is wanted of does not matter; one that could hold wanted files does.
#[tokio::test]
async fn a_submodule_is_entered_only_for_what_it_may_hold() {
    let files = || {
        let mut files = tree(&[("apps/web/a.yaml", &map("a")), ("b.yaml", &map("b"))]);
        files.insert_submodule("vendor/private");
        files
    };
    for options in [
        json!({"recurse": true, "exclude": "{vendor/*,vendor/**,vendor/**/*}"}),
        json!({"recurse": true, "exclude": "vendor/**"}),
        json!({"recurse": true, "exclude": "vendor/*"}),
        json!({"recurse": true, "include": "apps/**"}),
        json!({"recurse": true, "include": "{apps/*,b.yaml}"}),
        json!({"recurse": false}),
    ] {
        let rendered = render(&files(), directory(options.clone())).await;
        let rendered = rendered.unwrap_or_else(|error| panic!("{options}: {error}"));
        assert!(!rendered.objects.is_empty(), "{options}");
    }
    for options in [
        json!({"recurse": true}),
        json!({"recurse": true, "exclude": "vendor/*.json"}),
        json!({"recurse": true, "include": "*.yaml"}),
        json!({"recurse": true, "exclude": "vendored/**"}),
    ] {
        let error = render(&files(), directory(options.clone()))
            .await
            .unwrap_err();
        assert!(
            matches!(error, RenderError::Submodule { .. }),
            "{options}: {error}"
        );
    }
}

#[tokio::test]
async fn keys_that_are_there_twice() {
    let twice = format!("{}data: {{a: b}}\ndata: {{c: d}}\n", map("a"));
    let error = render(&tree(&[("app/a.yaml", &twice)]), at("app"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("app/a.yaml:5: the key data is there twice"),
        "{error}"
    );
    let chart = tree(&[
        (
            "c/Chart.yaml",
            "{apiVersion: v2, name: c, version: 0.1.0}\n",
        ),
        ("c/values.yaml", ""),
        ("c/prod.yaml", "size: 1\nsize: 2\n"),
        ("c/templates/a.yaml", &twice),
    ]);
    let source = json!({"repoURL": "x", "path": "c", "helm": {"valueFiles": ["prod.yaml"]}});
    let rendered = render(&chart, source)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let said = rendered.warnings.join("\n");
    assert!(
        said.contains("c/prod.yaml:2: the key size is there twice"),
        "{said}"
    );
    assert!(
        said.contains("c/templates/a.yaml: its output, document 1, line 5"),
        "{said}"
    );
}

#[tokio::test]
async fn a_kustomization_beside_a_chart_is_what_counts() {
    let files = tree(&[
        ("Chart.yaml", "{apiVersion: v2, name: c, version: 0.1.0}\n"),
        ("templates/a.yaml", &map("from-helm")),
        ("kustomization.yaml", "resources: [k.yaml]\n"),
        ("k.yaml", &map("from-kustomize")),
    ]);
    let rendered = render(&files, at("."))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(rendered.source_type, SourceType::Kustomize);
    let forced = json!({"repoURL": "x", "path": ".", "helm": {"releaseName": "r"}});
    let rendered = render(&files, forced)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(names(&rendered), ["ConfigMap/from-helm"]);
}

/// The rules of a chart's .helmignore end where a package begins; those of a folder that Helm would
/// make a package of are its own.
#[tokio::test]
async fn ignored_files_of_a_chart_and_of_charts_laid_into_it() {
    let files: MemoryTree = tree(&[
        (
            "app/Chart.yaml",
            "{apiVersion: v2, name: app, version: 0.1.0}\n",
        ),
        ("app/.helmignore", "tests/\n"),
        ("app/templates/tests/own.yaml", &map("own")),
        (
            "app/charts/lib/Chart.yaml",
            "{apiVersion: v2, name: lib, version: 0.1.0}\n",
        ),
        ("app/charts/lib/.helmignore", "templates/left-out.yaml\n"),
        ("app/charts/lib/templates/tests/a.yaml", &map("in-tests")),
        ("app/charts/lib/templates/left-out.yaml", &map("left-out")),
    ]);
    for (packaged, expected) in [
        (None, vec!["ConfigMap/left-out"]),
        (Some(true), vec!["ConfigMap/in-tests"]),
        (
            Some(false),
            vec!["ConfigMap/in-tests", "ConfigMap/left-out"],
        ),
    ] {
        let mut asked = request(&files, at("app"));
        asked.source.packaged = packaged
            .map(|folder| Packaged {
                path: "charts/lib".into(),
                folder,
            })
            .into_iter()
            .collect();
        let rendered = renderer()
            .render(asked)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let mut found = names(&rendered);
        found.sort();
        assert_eq!(found, expected, "{packaged:?}");
    }
}

#[tokio::test]
async fn messages_name_the_reason() {
    let component = [
        ("kustomization.yaml", "resources: [base]\n"),
        ("base/kustomization.yaml", "components: [../component]\n"),
        (
            "component/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nconfigMapGenerator: [{name: a, files: [missing.txt]}]\n",
        ),
    ];
    let inside = [
        ("kustomization.yaml", "components: [one]\n"),
        (
            "one/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [gone.yaml]\n",
        ),
    ];
    let with = |content: &'static str| vec![("kustomization.yaml", content)];
    let generator = vec![
        ("kustomization.yaml", "generators: [g.yaml]\n"),
        (
            "g.yaml",
            "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: g}\nname: podinfo\n",
        ),
    ];
    let plugin = vec![
        ("kustomization.yaml", "generators: [g.yaml]\n"),
        (
            "g.yaml",
            "apiVersion: viaduct.ai/v1\nkind: ksops\nmetadata:\n  name: g\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ksops}\n",
        ),
    ];
    for (files, says) in [
        (component.to_vec(), "missing.txt"),
        (inside.to_vec(), "gone.yaml"),
        (
            with("openapi: {path: 'https://example.com/s.json'}\n"),
            "kustomization.yaml refers to https://example.com/s.json, which is not",
        ),
        (
            with("patches: [{path: 's3://example/p.yaml'}]\n"),
            "kustomization.yaml: patches has the entry",
        ),
        (
            with("configMapGenerator: [{name: a, files: ['k=s3://example/f']}]\n"),
            "kustomization.yaml: configMapGenerator has the entry s3://example/f",
        ),
        (
            generator,
            "the repository's root: chart podinfo has no repo to fetch it from",
        ),
        (plugin, "programs or containers are not run here"),
    ] {
        let error = render(&tree(&files), at("."))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}
