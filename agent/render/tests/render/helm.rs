//! Charts.

use gitops_render::{MemoryTree, RenderError, SourceType};
use serde_json::{Value, json};

use crate::support::{at, names, origins, render, renderer, request, tree};

pub(crate) fn chart() -> MemoryTree {
    tree(&[
        (
            "charts/web/Chart.yaml",
            "apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: '9'\n",
        ),
        (
            "charts/web/values.yaml",
            "replicas: 1\nimage: {repository: shop/web, tag: '1'}\nlist: [a]\nnote: ''\n",
        ),
        ("charts/web/.helmignore", "*.bak\n"),
        (
            "charts/web/templates/_helpers.tpl",
            "{{- define \"web.name\" -}}{{ .Release.Name }}-{{ .Chart.Name }}{{- end -}}\n",
        ),
        (
            "charts/web/templates/deployment.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ include \"web.name\" . }}\n  namespace: {{ .Release.Namespace }}\n  annotations:\n    kube: {{ .Capabilities.KubeVersion.Version | quote }}\n    monitoring: {{ .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" | quote }}\n    lookup: {{ lookup \"v1\" \"Secret\" \"x\" \"y\" | toJson | quote }}\n    note: {{ .Values.note | quote }}\n    list: {{ join \"|\" .Values.list | quote }}\nspec:\n  replicas: {{ .Values.replicas }}\n  template: {spec: {containers: [{name: web, image: \"{{ .Values.image.repository }}:{{ .Values.image.tag }}\"}]}}\n",
        ),
        ("charts/web/templates/deployment.yaml.bak", "{{ broken"),
        (
            "charts/web/templates/service.yaml",
            "{{- range $i := until 2 }}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s{{ $i }}}\n{{- end }}\n",
        ),
        (
            "charts/web/templates/hook.yaml",
            "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-install}}\n",
        ),
        (
            "charts/web/templates/tests/t.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n",
        ),
        ("charts/web/templates/NOTES.txt", "Thank you\n"),
        (
            "charts/web/crds/thing.yaml",
            "# things\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n",
        ),
    ])
}

pub(crate) fn helm(options: Value) -> Value {
    json!({"repoURL": "x", "path": "charts/web", "helm": options})
}

#[tokio::test]
async fn a_chart_in_a_repository() {
    let rendered = render(&chart(), at("charts/web")).await.unwrap();
    assert_eq!(rendered.source_type, SourceType::Helm);
    assert_eq!(
        names(&rendered),
        [
            "CustomResourceDefinition/things.example.com",
            "Service/s0",
            "Service/s1",
            "Deployment/web-web",
            "Pod/t",
            "Job/migrate"
        ]
    );
    assert_eq!(
        origins(&rendered),
        [
            "charts/web/crds/thing.yaml:2",
            "charts/web/templates/service.yaml",
            "charts/web/templates/service.yaml",
            "charts/web/templates/deployment.yaml",
            "charts/web/templates/tests/t.yaml",
            "charts/web/templates/hook.yaml",
        ]
    );
    let deployment = &rendered.objects[3].value;
    assert_eq!(deployment["metadata"]["namespace"], json!("shop"));
    assert_eq!(
        deployment["metadata"]["annotations"],
        json!({"kube": "v1.36.3", "monitoring": "true", "lookup": "{}", "note": "", "list": "a"})
    );
}

#[tokio::test]
async fn options_of_the_application() {
    let crd = "CustomResourceDefinition/things.example.com".to_owned();
    let all = names(&render(&chart(), helm(json!({}))).await.unwrap());
    let no_crds = names(
        &render(&chart(), helm(json!({"skipCrds": true})))
            .await
            .unwrap(),
    );
    assert!(all.contains(&crd) && !no_crds.contains(&crd));
    let no_tests = names(
        &render(&chart(), helm(json!({"skipTests": true})))
            .await
            .unwrap(),
    );
    assert!(
        !no_tests.contains(&"Pod/t".to_owned()) && no_tests.contains(&"Job/migrate".to_owned())
    );
    let rendered = render(
        &chart(),
        helm(json!({"releaseName": "shop", "namespace": "other", "kubeVersion": "1.30.1", "apiVersions": ["x/v1"]})),
    )
    .await
    .unwrap();
    let metadata = &rendered
        .objects
        .iter()
        .find(|o| o.value["kind"] == "Deployment")
        .unwrap()
        .value["metadata"];
    assert_eq!(metadata["name"], json!("shop-web"));
    assert_eq!(metadata["namespace"], json!("other"));
    assert_eq!(metadata["annotations"]["kube"], json!("v1.30.1"));
    assert_eq!(metadata["annotations"]["monitoring"], json!("false"));
}

#[tokio::test]
async fn an_archive_is_its_own_root() {
    let mut archive = MemoryTree::new();
    let repository = chart();
    for path in repository.paths() {
        let content = gitops_render::SourceTree::read(&repository, path).unwrap();
        archive.insert(path.trim_start_matches("charts/web/"), content.to_vec());
    }
    let mut request = request(
        &archive,
        json!({"repoURL": "x", "chart": "web", "targetRevision": "1.2.3"}),
    );
    request.source.is_chart_archive = true;
    let rendered = renderer().render(request).await.unwrap();
    assert_eq!(rendered.objects.len(), 6);
    assert_eq!(origins(&rendered)[0], "crds/thing.yaml:2");
}

#[tokio::test]
async fn vendored_dependencies_are_rendered_and_missing_ones_named() {
    let mut tree = chart();
    tree.insert(
        "charts/web/Chart.yaml",
        "apiVersion: v2\nname: web\nversion: 1.2.3\ndependencies:\n- {name: cache, version: ~1.0, repository: 'https://charts.example.com', condition: cache.enabled}\n",
    );
    match render(&tree, at("charts/web")).await.unwrap_err() {
        RenderError::MissingDependencies {
            path,
            dependencies,
            message,
        } => {
            assert_eq!(path, "charts/web/Chart.yaml");
            assert_eq!(dependencies.len(), 1);
            assert_eq!(dependencies[0].name, "cache");
            assert_eq!(dependencies[0].version, "~1.0");
            assert_eq!(dependencies[0].repository, "https://charts.example.com");
            assert!(
                message.contains("cache") && message.contains("helm dependency build"),
                "{message}"
            );
        }
        other => panic!("{other}"),
    }
    tree.insert(
        "charts/web/charts/cache/Chart.yaml",
        "apiVersion: v2\nname: cache\nversion: 1.0.0\n",
    );
    tree.insert(
        "charts/web/charts/cache/templates/c.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.title }}}\n",
    );
    tree.insert("charts/web/charts/cache/values.yaml", "title: cache\n");
    let rendered = render(&tree, at("charts/web")).await.unwrap();
    assert!(names(&rendered).contains(&"ConfigMap/cache".to_owned()));
    assert!(origins(&rendered).contains(&"charts/web/charts/cache/templates/c.yaml".to_owned()));
    let off = helm(json!({"valuesObject": {"cache": {"enabled": false}}}));
    assert!(!names(&render(&tree, off).await.unwrap()).contains(&"ConfigMap/cache".to_owned()));
}

#[tokio::test]
async fn errors_say_what_to_do_and_no_more() {
    let with = |file: &str, content: &str| {
        let mut tree = chart();
        tree.insert(format!("charts/web/{file}"), content);
        tree
    };
    let long = "x".repeat(5000);
    for (tree, options, expected) in [
        (
            with("templates/a.yaml", "{{ .Values.a.b.c }}"),
            json!({}),
            "helm: chart web: web/templates/a.yaml:1:",
        ),
        (
            with(
                "templates/a.yaml",
                "{{ required \"set image.tag\" .Values.none }}",
            ),
            json!({}),
            "set image.tag",
        ),
        (
            with("templates/a.yaml", "{{ include \"none\" . }}"),
            json!({}),
            "none",
        ),
        (
            with("templates/a.yaml", "{{ if }}"),
            json!({}),
            "web/templates/a.yaml:1",
        ),
        (
            with(
                "templates/a.yaml",
                &format!("{{{{ tpl \"{long} {{{{ .Values.a.b.c }}}}\" . }}}}"),
            ),
            json!({}),
            "web/templates/a.yaml",
        ),
        (
            with(
                "templates/a.yaml",
                "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {p: 'hunter2}\n",
            ),
            json!({}),
            "web/templates/a.yaml",
        ),
        (
            with(
                "templates/a.yaml",
                "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {p: hunter2: x}\n",
            ),
            json!({}),
            "web/templates/a.yaml: its output is not valid YAML, line 3 of it",
        ),
        (
            with("Chart.yaml", "name: web\n"),
            json!({}),
            "chart charts/web",
        ),
        (
            with(
                "Chart.yaml",
                "apiVersion: v2\nname: web\nversion: 1.0.0\ntype: library\n",
            ),
            json!({}),
            "library charts are not installable",
        ),
        (
            with(
                "Chart.yaml",
                "apiVersion: v2\nname: web\nversion: 1.0.0\nkubeVersion: '<1.20'\n",
            ),
            json!({}),
            "requires kubeVersion <1.20",
        ),
        (with("values.yaml", "a: [\n"), json!({}), "values.yaml"),
        (
            with(
                "values.schema.json",
                "{\"properties\": {\"replicas\": {\"type\": \"string\"}}}",
            ),
            json!({}),
            "replicas",
        ),
        (chart(), json!({"kubeVersion": "newest"}), "kubeVersion"),
        (chart(), json!({"releaseName": "Not_Valid"}), "release name"),
        (
            chart(),
            json!({"values": "a: ["}),
            "spec.source.helm.values is not valid YAML",
        ),
        (
            chart(),
            json!({"parameters": [{"name": "list[x]", "value": "hunter2"}]}),
            "spec.source.helm.parameters: list[x]",
        ),
    ] {
        let error = match render(&tree, helm(options)).await {
            Ok(_) => panic!("an error with {expected} is missing"),
            Err(error) => error.to_string(),
        };
        assert!(
            error.contains(expected),
            "expected {expected}\ngot: {error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.len() < 1000, "{error}");
    }
    let skip = render(
        &with(
            "values.schema.json",
            "{\"properties\": {\"replicas\": {\"type\": \"string\"}}}",
        ),
        helm(json!({"skipSchemaValidation": true})),
    )
    .await;
    assert!(skip.is_ok());
}

#[tokio::test]
async fn a_template_has_no_way_out() {
    let mut tree = chart();
    tree.insert(
        "charts/web/templates/way-out.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: out}\ndata:\n  host: {{ getHostByName \"localhost\" | quote }}\n  file: {{ .Files.Get \"/etc/hostname\" | quote }}\n  up: {{ .Files.Get \"../../x\" | quote }}\n  zone: {{ dateInZone \"2006-01-02 15:04\" (toDate \"2006-01-02\" \"2026-07-01\") \"Europe/Berlin\" | quote }}\n",
    );
    tree.insert("x", "secret");
    let rendered = render(&tree, at("charts/web")).await.unwrap();
    let data = &rendered
        .objects
        .iter()
        .find(|o| o.value["metadata"]["name"] == "out")
        .unwrap()
        .value["data"];
    assert_eq!(
        *data,
        json!({"host": "", "file": "", "up": "", "zone": "2026-07-01 02:00"})
    );
}

#[tokio::test]
async fn a_link_to_a_directory_above_itself_ends() {
    let mut tree = chart();
    tree.insert_symlink("charts/web/files/loop", "..");
    let error = render(&tree, at("charts/web"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("nested more than"), "{error}");
}
