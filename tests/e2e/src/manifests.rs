//! Short manifests that tests commit.

/// A ConfigMap with one key, `value`.
pub fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: {value:?}\n"
    )
}

/// A Deployment of one container named `web`.
pub fn deployment(name: &str, replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels:
    app: {name}
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      containers:
        - name: web
          image: {image}
"
    )
}

/// A Helm chart with one ConfigMap whose `value` and `release` come from values and the release.
pub fn chart(name: &str, version: &str) -> [(String, String); 3] {
    [
        (
            "Chart.yaml".into(),
            format!("apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: \"9\"\n"),
        ),
        ("values.yaml".into(), "value: default\n".into()),
        (
            "templates/map.yaml".into(),
            "apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-map
  namespace: {{ .Release.Namespace }}
data:
  value: {{ .Values.value | quote }}
  chart: {{ .Chart.Name }}-{{ .Chart.Version }}
"
            .into(),
        ),
    ]
}
