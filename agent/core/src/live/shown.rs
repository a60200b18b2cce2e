//! What a live object contributes to `status.summary`: the images it runs, and the addresses by
//! which people reach it.
//!
//! Argo CD reads images from Pods. No Pods are watched here: what a workload runs follows from the
//! template it has in the cluster, where it runs anything at all. Addresses are Argo CD's ("Ingress
//! external URLs", "External URL links"): hosts and paths of an Ingress, and the link annotations of
//! any object, so also those of a Service or of a route of the Gateway API.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::manifest::images::images;
use crate::manifest::object;

/// Annotations that begin so are links.
const LINK: &str = "link.argocd.argoproj.io/";
/// The annotation that leaves out what follows from an Ingress by itself.
const IGNORE_DEFAULT_LINKS: &str = "argocd.argoproj.io/ignore-default-links";

/// Images and addresses of a live object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Images of the containers it runs, sorted.
    pub images: Box<[String]>,
    /// Addresses, or `title|address`, sorted.
    pub urls: Box<[String]>,
}

impl Shown {
    /// Reads an object; `None` for the many that run nothing and have no address.
    pub fn of(object: &Value) -> Option<Box<Self>> {
        let images = if runs(object) {
            images(object)
        } else {
            Vec::new()
        };
        let urls = urls(object);
        (!images.is_empty() || !urls.is_empty()).then(|| {
            Box::new(Self {
                images: images.into(),
                urls: urls.into_iter().collect(),
            })
        })
    }
}

/// Whether a workload has Pods, now or of what it did.
fn runs(object: &Value) -> bool {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    if number("/spec/replicas") == Some(0) || number("/status/desiredNumberScheduled") == Some(0) {
        return false;
    }
    match object["kind"].as_str() {
        Some("CronJob") => {
            let active = object.pointer("/status/active").and_then(Value::as_array);
            active.is_some_and(|jobs| !jobs.is_empty())
                || object.pointer("/status/lastScheduleTime").is_some()
        }
        Some("Job") => object["spec"]["suspend"] != true,
        _ => true,
    }
}

fn urls(object: &Value) -> BTreeSet<String> {
    let annotations = object["metadata"]["annotations"].as_object();
    let links = annotations
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with(LINK))
        .filter_map(|(_, value)| value.as_str())
        .filter(|link| is_address(link.split_once('|').map_or(*link, |(_, address)| address)));
    let mut urls: BTreeSet<String> = links.map(str::to_owned).collect();
    let ignored = object::annotation(object, IGNORE_DEFAULT_LINKS);
    // The spellings of Go's strconv.ParseBool.
    let ignored =
        ignored.is_some_and(|it| matches!(it, "1" | "t" | "T" | "true" | "True" | "TRUE"));
    let group = object["apiVersion"]
        .as_str()
        .and_then(|it| it.split_once('/'));
    let is_ingress = object["kind"] == "Ingress"
        && matches!(group, Some(("networking.k8s.io" | "extensions", _)));
    if is_ingress && !ignored {
        urls.extend(ingress(object));
    }
    urls
}

/// Whether a browser may be sent there: never to a script.
fn is_address(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| it.eq_ignore_ascii_case("http") || it.eq_ignore_ascii_case("https"))
}

fn ingress(object: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let points = list(&object["status"]["loadBalancer"]["ingress"]);
    let point = points.iter().find_map(|point| {
        let named = |name: &str| point[name].as_str().filter(|text| !text.is_empty());
        named("hostname").or_else(|| named("ip")).map(str::to_owned)
    });
    let tls = list(&object["spec"]["tls"]);
    let mut urls = Vec::new();
    for rule in list(&object["spec"]["rules"]) {
        let host = rule["host"].as_str().filter(|host| !host.is_empty());
        let Some(host) = host.map(str::to_owned).or_else(|| point.clone()) else {
            continue;
        };
        let secured = tls.iter().any(|entry| {
            entry["secretName"].is_string() || list(&entry["hosts"]).iter().any(|it| *it == *host)
        });
        let scheme = if secured { "https" } else { "http" };
        for path in list(&rule["http"]["paths"]) {
            let path = path["path"].as_str().unwrap_or_default();
            let path = path.strip_suffix('*').unwrap_or(path);
            urls.push(format!("{scheme}://{host}{path}"));
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Value {
        json!({"spec": {"containers": [{"image": "web:2"}], "initContainers": [{"image": "init:1"}]}})
    }

    #[test]
    fn images_are_those_of_workloads_that_run() {
        let both = ["init:1", "web:2"].as_slice();
        let none = [].as_slice();
        let cases = [
            (
                "Deployment",
                json!({"template": template()}),
                json!({}),
                both,
            ),
            (
                "Deployment",
                json!({"replicas": 2, "template": template()}),
                json!({}),
                both,
            ),
            (
                "Deployment",
                json!({"replicas": 0, "template": template()}),
                json!({}),
                none,
            ),
            (
                "StatefulSet",
                json!({"replicas": 0, "template": template()}),
                json!({}),
                none,
            ),
            (
                "DaemonSet",
                json!({"template": template()}),
                json!({"desiredNumberScheduled": 0}),
                none,
            ),
            (
                "DaemonSet",
                json!({"template": template()}),
                json!({"desiredNumberScheduled": 3}),
                both,
            ),
            (
                "Job",
                json!({"template": template()}),
                json!({"succeeded": 1}),
                both,
            ),
            (
                "Job",
                json!({"suspend": true, "template": template()}),
                json!({}),
                none,
            ),
            (
                "CronJob",
                json!({"jobTemplate": {"spec": {"template": template()}}}),
                json!({}),
                none,
            ),
            (
                "CronJob",
                json!({"jobTemplate": {"spec": {"template": template()}}}),
                json!({"lastScheduleTime": "2026-01-01T00:00:00Z"}),
                both,
            ),
            ("Pod", template()["spec"].clone(), json!({}), both),
            ("ConfigMap", json!(null), json!({}), none),
        ];
        for (kind, spec, status, expected) in cases {
            let object =
                json!({"kind": kind, "metadata": {"name": "a"}, "spec": spec, "status": status});
            let shown = Shown::of(&object).unwrap_or_default();
            assert_eq!(&*shown.images, expected, "{kind} {spec} {status}");
        }
    }

    #[test]
    fn addresses_are_those_of_ingresses_and_links() {
        let ingress = |annotations: Value, tls: Value, host: Value, path: &str| {
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"annotations": annotations},
                "spec": {"tls": tls, "rules": [{"host": host, "http": {"paths": [{"path": path}]}}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}})
        };
        let service = |kind: &str, links: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {"annotations": links}});
        let none = || json!({});
        let cases = [
            (
                ingress(none(), json!([]), json!("a.test"), "/"),
                vec!["http://a.test/"],
            ),
            (
                ingress(none(), json!([]), json!("a.test"), "/shop*"),
                vec!["http://a.test/shop"],
            ),
            (
                ingress(none(), json!([{"hosts": ["a.test"]}]), json!("a.test"), "/"),
                vec!["https://a.test/"],
            ),
            (
                ingress(none(), json!([{"hosts": ["b.test"]}]), json!("a.test"), "/"),
                vec!["http://a.test/"],
            ),
            (
                ingress(none(), json!([{"secretName": "s"}]), json!("a.test"), "/"),
                vec!["https://a.test/"],
            ),
            (
                ingress(none(), json!([]), json!(null), "/"),
                vec!["http://192.0.2.7/"],
            ),
            (
                ingress(
                    json!({IGNORE_DEFAULT_LINKS: "true"}),
                    json!([]),
                    json!("a.test"),
                    "/",
                ),
                vec![],
            ),
            (
                ingress(
                    json!({IGNORE_DEFAULT_LINKS: "false", "link.argocd.argoproj.io/d": "Docs|https://d.test"}),
                    json!([]),
                    json!("a.test"),
                    "/",
                ),
                vec!["Docs|https://d.test", "http://a.test/"],
            ),
            (
                service(
                    "Service",
                    json!({"link.argocd.argoproj.io/e": "http://e.test"}),
                ),
                vec!["http://e.test"],
            ),
            (
                service(
                    "HTTPRoute",
                    json!({"link.argocd.argoproj.io/e": "javascript:alert(1)"}),
                ),
                vec![],
            ),
            (
                service(
                    "ConfigMap",
                    json!({"link.argocd.argoproj.io/e": "x|javascript://https://e"}),
                ),
                vec![],
            ),
            (
                service("ConfigMap", json!({"other/e": "http://e.test"})),
                vec![],
            ),
        ];
        for (object, expected) in cases {
            let shown = Shown::of(&object).unwrap_or_default();
            assert_eq!(&*shown.urls, expected, "{object}");
        }
    }
}
