//! Files of other servers: a render says which it needs, and uses them when it has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_render::{MemoryTree, Remote, RemoteKind, RenderError, Rendered, SourceTree};
use serde_json::{Value, json};

use crate::support::{DEPLOYMENT, app, at, names, origins, renderer, request, tree};

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\n";

/// Renders, and again with what is asked for from these servers. Answers what was asked for, too.
async fn rendered(
    files: &MemoryTree,
    servers: &BTreeMap<&str, &str>,
    source: Value,
) -> (Result<Rendered, RenderError>, Vec<String>) {
    let renderer = renderer();
    let mut request = request(files, source);
    let mut asked = Vec::new();
    for _ in 0..8 {
        let remotes = match renderer.render(request.clone()).await {
            Err(RenderError::MissingRemotes { remotes, .. }) => remotes,
            result => return (result, asked),
        };
        for remote in remotes {
            assert_eq!(remote.kind, RemoteKind::File, "{remote:?}");
            asked.push(remote.url.clone());
            let path = remote.url.split('?').next().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            let content = servers[remote.url.as_str()];
            let found: Arc<dyn SourceTree> = Arc::new(tree(&[(name, content)]));
            request.source.remotes.insert(remote, found);
        }
    }
    panic!("it asks for ever: {asked:?}");
}

/// Every field of a kustomization that may name a file, each with an address in it, and a text that the result has then.
const FIELDS: &[(&str, &str, &str)] = &[
    ("resources: [URL]", CONFIG_MAP, "there"),
    ("bases: [URL]", CONFIG_MAP, "there"),
    (
        "resources: [web.yaml]\npatches: [{path: URL}]",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 47}",
        "47",
    ),
    (
        "resources: [web.yaml]\npatches: [{path: URL, target: {kind: Deployment}}]",
        "- {op: add, path: /spec/replicas, value: 47}",
        "47",
    ),
    (
        "resources: [web.yaml]\npatchesStrategicMerge: [URL]",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 47}",
        "47",
    ),
    (
        "resources: [web.yaml]\npatchesJson6902: [{path: URL, target: {group: apps, version: v1, kind: Deployment, name: web}}]",
        "- {op: add, path: /spec/replicas, value: 47}",
        "47",
    ),
    (
        "resources: [web.yaml]\nreplacements: [{path: URL}]",
        "source: {kind: Deployment, fieldPath: metadata.name}\ntargets: [{select: {kind: Deployment}, fieldPaths: [metadata.labels.app]}]",
        "web",
    ),
    (
        "configMapGenerator: [{name: there, files: [URL]}]",
        "{\"panel\": 47}",
        "\"file.yaml\":\"{\\\"panel\\\": 47}\"",
    ),
    (
        "configMapGenerator: [{name: there, files: [key.json=URL]}]",
        "{\"panel\": 47}",
        "\"key.json\":",
    ),
    (
        "configMapGenerator: [{name: there, envs: [URL]}]",
        "A=47\n",
        "\"A\":\"47\"",
    ),
    (
        "configMapGenerator: [{name: there, env: URL}]",
        "A=47\n",
        "\"A\":\"47\"",
    ),
    (
        "secretGenerator: [{name: there, envs: [URL]}]",
        "A=47\n",
        "\"A\":\"NDc=\"",
    ),
    (
        "resources: [web.yaml]\nnamePrefix: x-\nconfigurations: [URL]",
        "namePrefix: [{path: metadata/name}]",
        "x-web",
    ),
    ("resources: [web.yaml]\ncrds: [URL]", "{}", "web"),
    (
        "resources: [web.yaml]\nopenapi: {path: URL}",
        "{\"definitions\": {}}",
        "web",
    ),
    (
        "resources: [web.yaml]\ntransformers: [URL]",
        "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: p}\nprefix: x-\nfieldSpecs: [{path: metadata/name}]",
        "x-web",
    ),
    (
        "generators: [URL]",
        "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: there}\nliterals: [a=47]",
        "47",
    ),
];

#[tokio::test]
async fn each_field_of_a_kustomization_may_name_a_file_of_another_server() {
    for scheme in ["https", "http"] {
        let url = format!("{scheme}://files.example.com/v1/file.yaml");
        for (kustomization, content, expected) in FIELDS {
            let kustomization = kustomization.replace("URL", &url);
            let files = tree(&[
                ("app/kustomization.yaml", kustomization.as_str()),
                ("app/web.yaml", DEPLOYMENT),
            ]);
            let servers = BTreeMap::from([(url.as_str(), *content)]);
            let (result, asked) = rendered(&files, &servers, at("app")).await;
            let rendered = result.unwrap_or_else(|error| panic!("{kustomization}: {error}"));
            assert_eq!(asked, [url.as_str()], "{kustomization}");
            let values: Vec<_> = rendered.objects.iter().map(|one| &one.value).collect();
            let text = serde_json::to_string(&values).unwrap();
            assert!(text.contains(expected), "{kustomization}: {text}");
            let remote = Remote {
                kind: RemoteKind::File,
                url: url.clone(),
                name: String::new(),
                revision: String::new(),
            };
            assert!(rendered.inputs.has_read(&remote.tree()), "{kustomization}");
            assert!(rendered.warnings.is_empty(), "{:?}", rendered.warnings);
        }
    }
}

#[tokio::test]
async fn all_files_of_a_kustomization_are_asked_for_at_once_and_an_object_names_its_address() {
    let urls = [
        "https://raw.githubusercontent.com/o/o.github.io/main/crds",
        "https://github.com/o/r/releases/download/v1/install.yaml",
        "https://gitlab.example.com/o/r/-/raw/v1/a.yaml?inline=false&private_token=hush",
    ];
    let kustomization = format!("resources: ['{}']\n", urls.join("', '"));
    let files = tree(&[("app/kustomization.yaml", kustomization.as_str())]);
    let object =
        |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n");
    let contents = [object("a"), object("b"), object("c")];
    let servers = urls.into_iter().zip(contents.iter().map(String::as_str));
    let (result, asked) = rendered(&files, &servers.collect(), at("app")).await;
    let found = result.unwrap();
    assert_eq!(asked, urls);
    assert_eq!(names(&found), ["ConfigMap/a", "ConfigMap/b", "ConfigMap/c"]);
    let shown = origins(&found);
    assert_eq!(shown[0], format!("{}:1", urls[0]));
    assert_eq!(shown[2], "https://gitlab.example.com/o/r/-/raw/v1/a.yaml:1");
    let warnings = found.warnings.join("\n");
    assert!(
        warnings.contains("/main/crds, and what is behind main changes"),
        "{warnings}"
    );
    assert_eq!(found.warnings.len(), 1, "{warnings}");
}

#[tokio::test]
async fn what_an_application_adds_to_a_kustomization_may_be_elsewhere() {
    let url = "https://files.example.com/patch.yaml";
    let files = tree(&[
        ("app/kustomization.yaml", "resources: [web.yaml]"),
        ("app/web.yaml", DEPLOYMENT),
    ]);
    let patch =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 47}";
    let mut source = at("app");
    source["kustomize"] = json!({"patches": [{"path": url}]});
    let (result, asked) = rendered(&files, &BTreeMap::from([(url, patch)]), source).await;
    assert_eq!(result.unwrap().objects[0].value["spec"]["replicas"], 47);
    assert_eq!(asked, [url]);
}

#[tokio::test]
async fn a_broken_file_of_another_server_is_named_by_its_address() {
    let url = "https://files.example.com/broken.yaml";
    for (field, content, expected) in [
        ("resources: [URL]", "a: [", url),
        ("resources: [URL]", "<html><body>sign in</body></html>", url),
        ("resources: [web.yaml]\npatches: [{path: URL}]", "a: [", url),
    ] {
        let field = field.replace("URL", url);
        let files = tree(&[
            ("app/kustomization.yaml", field.as_str()),
            ("app/web.yaml", DEPLOYMENT),
        ]);
        let (result, _) = rendered(&files, &BTreeMap::from([(url, content)]), at("app")).await;
        let text = match result {
            Ok(found) => panic!("{field}: {:?}", names(&found)),
            Err(error) => error.to_string(),
        };
        assert!(text.contains(expected), "{field}: {text}");
        assert!(!text.contains("gitops-agent-fetched"), "{field}: {text}");
    }
}

#[tokio::test]
async fn what_no_file_can_be_had_from_is_refused_with_the_way_out() {
    for entry in [
        "ftp://files.example.com/a.yaml",
        "git::https://files.example.com/o/r//a.yaml",
        "file:///etc/passwd",
        "s3://bucket/a.yaml",
    ] {
        let kustomization = format!("resources: [web.yaml]\npatches: [{{path: '{entry}'}}]");
        let files = tree(&[
            ("app/kustomization.yaml", kustomization.as_str()),
            ("app/web.yaml", DEPLOYMENT),
        ]);
        let (result, asked) = rendered(&files, &BTreeMap::new(), at("app")).await;
        let text = result.unwrap_err().to_string();
        let expected = format!(
            "app/kustomization.yaml: patches has the entry {entry}, and single files are only had"
        );
        assert!(text.contains(&expected), "{text}");
        assert!(asked.is_empty());
    }
}

#[tokio::test]
async fn a_file_of_that_name_in_the_repository_is_the_one_that_is_meant() {
    let files = tree(&[
        (
            "app/kustomization.yaml",
            "configMapGenerator: [{name: a, files: ['x?ref=1']}]",
        ),
        ("app/x?ref=1", "here"),
    ]);
    let (result, asked) = rendered(&files, &BTreeMap::new(), at("app")).await;
    // The key is none that a ConfigMap can have, which kustomize says; nothing is asked for.
    assert!(result.is_err());
    assert!(asked.is_empty());
}

const CHART: &[(&str, &str)] = &[
    (
        "app/Chart.yaml",
        "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    ),
    ("app/values.yaml", "a: chart\nb: chart\nc: chart\n"),
    ("app/here.yaml", "b: here\nc: here\n"),
    (
        "app/templates/a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\ndata:\n  all: {{ .Values.a }} {{ .Values.b }} {{ .Values.c }} {{ .Values.file }}\n",
    ),
];

#[tokio::test]
async fn values_files_of_other_servers_are_merged_in_their_order() {
    let (one, two, three) = (
        "https://files.example.com/one.yaml",
        "https://files.example.com/web/two[1]*.yaml?token=hush",
        "https://files.example.com/three.txt",
    );
    let files = tree(CHART);
    let mut source = at("app");
    source["helm"] = json!({
        "valueFiles": ["https://files.example.com/one.yaml", "here.yaml", two],
        "fileParameters": [{"name": "file", "path": three}],
    });
    let servers = BTreeMap::from([
        (one, "a: one\nb: one\n"),
        (two, "c: two\n"),
        (three, "three"),
    ]);
    let (result, asked) = rendered(&files, &servers, source.clone()).await;
    let found = result.unwrap();
    assert_eq!(found.objects[0].value["data"]["all"], "one here two three");
    assert_eq!(asked, [one, two, three]);

    let servers = BTreeMap::from([(one, "a: ["), (two, ""), (three, "")]);
    let (result, _) = rendered(&files, &servers, source.clone()).await;
    let text = result.unwrap_err().to_string();
    assert!(
        text.contains("https://files.example.com/one.yaml: not valid YAML"),
        "{text}"
    );
}

#[tokio::test]
async fn values_files_are_had_by_the_schemes_that_the_installation_allows() {
    let files = tree(CHART);
    for (entry, schemes, expected) in [
        (
            "https://files.example.com/a.yaml",
            &[] as &[&str],
            "helm.valuesFileSchemes of argocd-cm does not have https",
        ),
        (
            "http://files.example.com/a.yaml",
            &["https"],
            "helm.valuesFileSchemes of argocd-cm does not have http",
        ),
        (
            "s3://bucket/a.yaml",
            &["s3", "https"],
            "is neither https:// nor http://",
        ),
        (
            "secrets://a.yaml",
            &["secrets"],
            "is neither https:// nor http://",
        ),
    ] {
        let mut source = at("app");
        source["helm"] = json!({"valueFiles": [entry]});
        let mut request = request(&files, source);
        request.app = gitops_render::AppContext {
            values_schemes: schemes.iter().map(|&scheme| scheme.to_owned()).collect(),
            ..app()
        };
        let error = renderer().render(request).await.unwrap_err();
        assert!(
            matches!(error, RenderError::Unsupported { .. }),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains(entry), "{text}");
    }
}

#[tokio::test]
async fn a_schema_of_values_may_refer_to_schemas_at_addresses() {
    let (whole, part) = (
        "https://files.example.com/schemas/values.json",
        "https://files.example.com/schemas/part.json",
    );
    let schema = r#"{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "https://files.example.com/schemas/values.json"}"#;
    let servers = BTreeMap::from([
        (
            whole,
            r#"{"properties": {"a": {"$ref": "part.json#/definitions/text"}}}"#,
        ),
        (part, r#"{"definitions": {"text": {"type": "string"}}}"#),
    ]);
    let chart = |values: &str| {
        let mut files = tree(CHART);
        for folder in ["app", "kustomized/charts/web"] {
            for (path, content) in CHART {
                files.insert(path.replacen("app", folder, 1), *content);
            }
            files.insert(format!("{folder}/values.schema.json"), schema);
            files.insert(format!("{folder}/values.yaml"), values);
        }
        files.insert("kustomized/kustomization.yaml", "helmCharts: [{name: web}]");
        files
    };
    for path in ["app", "kustomized"] {
        let (result, asked) = rendered(&chart("a: text\n"), &servers, at(path)).await;
        assert_eq!(names(&result.unwrap()), ["ConfigMap/there"], "{path}");
        assert_eq!(asked, [whole, part], "{path}");
        let (result, _) = rendered(&chart("a: 1\n"), &servers, at(path)).await;
        let text = result.unwrap_err().to_string();
        assert!(text.contains("got number, want string"), "{path}: {text}");
        assert!(text.contains("web:"), "{path}: {text}");
    }
    let mut source = at("app");
    source["helm"] = json!({"skipSchemaValidation": true});
    let (result, asked) = rendered(&chart("a: 1\n"), &servers, source).await;
    assert!(
        result.is_ok() && asked.is_empty(),
        "nothing is asked for a check that is left out"
    );
}
