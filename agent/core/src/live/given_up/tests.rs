//! Question: who else may hold what Git gives up? Whoever sent the whole object by hand or by another
//! tool (create, server-side apply, Terraform), a person who edited this value, a controller that writes
//! a few fields, an autoscaler by the subresource. And what is given up: a scalar, a key of a map, an
//! element of a list, a whole structure.

use super::*;

const MANAGER: &str = "gitops-agent";

fn manifest() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {"replicas": 3, "template": {"spec": {
            "nodeSelector": {"os": "linux"}, "containers": [
                {"name": "web", "image": "web:1", "env": [{"name": "REGION", "value": "x"}, {"name": "DEBUG", "value": "1"}],
                 "livenessProbe": {"httpGet": {"path": "/"}}}]}}}})
}

/// The fields of the manifest above, as an apply of it holds them.
fn fields() -> Value {
    json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {
        "f:nodeSelector": {"f:os": {}},
        "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {},
            "f:env": {"k:{\"name\":\"REGION\"}": {".": {}, "f:name": {}, "f:value": {}},
                      "k:{\"name\":\"DEBUG\"}": {".": {}, "f:name": {}, "f:value": {}}},
            "f:livenessProbe": {"f:httpGet": {"f:path": {}}}}}}}}})
}

#[expect(clippy::needless_pass_by_value, reason = "calls are shorter")]
fn entry(manager: &str, operation: &str, subresource: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1",
        "subresource": subresource, "fieldsV1": fields})
}

fn live(others: &[Value]) -> Value {
    let mut live = manifest();
    let own = entry(MANAGER, "Apply", "", fields());
    live["metadata"]["managedFields"] = std::iter::once(&own).chain(others).cloned().collect();
    live
}

fn at<'a>(list: &'a Value, manager: &str) -> Option<&'a Value> {
    let mut entries = list.as_array().unwrap().iter();
    Some(&entries.find(|entry| entry["manager"] == manager)?["fieldsV1"])
}

#[test]
fn what_another_sender_of_the_same_object_holds_goes_with_git() {
    let mut git = manifest();
    let spec = &mut git["spec"]["template"]["spec"];
    spec.as_object_mut().unwrap().remove("nodeSelector");
    spec["containers"][0]["env"] = json!([{"name": "REGION", "value": "x"}]);
    spec["containers"][0]
        .as_object_mut()
        .unwrap()
        .remove("livenessProbe");
    // As `kubectl create` holds it: with what the API server filled in, and a key of its own.
    let mut created = fields();
    let theirs = &mut created["f:spec"]["f:template"]["f:spec"];
    theirs["f:nodeSelector"] = json!({".": {}, "f:os": {}, "f:disk": {}});
    let container = &mut theirs["f:containers"]["k:{\"name\":\"web\"}"];
    container["f:livenessProbe"]["f:failureThreshold"] = json!({});
    for (manager, operation) in [
        ("kubectl-create", "Update"),
        ("kubectl", "Apply"),
        ("kustomize-controller", "Apply"),
        ("HashiCorp", "Update"),
        ("OpenAPI-Generator", "Update"),
    ] {
        let live = live(&[entry(manager, operation, "", created.clone())]);
        assert!(is_shared(&live, MANAGER));
        let given_up = of(&live, &git, MANAGER);
        assert_eq!(given_up.kept, []);
        let list = given_up.list.unwrap();
        assert_eq!(
            at(&list, MANAGER),
            Some(&fields()),
            "the agent holds it alone"
        );
        let left = &at(&list, manager).unwrap()["f:spec"]["f:template"]["f:spec"];
        let container = &left["f:containers"]["k:{\"name\":\"web\"}"];
        assert_eq!(
            container["f:env"].as_object().unwrap().len(),
            1,
            "{manager}"
        );
        assert_eq!(container["f:livenessProbe"], Value::Null);
        assert_eq!(left["f:nodeSelector"], json!({".": {}, "f:disk": {}}));
    }
}

#[test]
fn what_a_controller_keeps_stays_and_who_keeps_it_is_said() {
    let mut git = manifest();
    git["metadata"].as_object_mut().unwrap().remove("labels");
    git["spec"].as_object_mut().unwrap().remove("replicas");
    let label = entry(
        "labeler",
        "Update",
        "",
        json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}),
    );
    let scale = entry(
        "kube-controller-manager",
        "Update",
        "scale",
        json!({"f:spec": {"f:replicas": {}}}),
    );
    let given_up = of(&live(&[label, scale]), &git, MANAGER);
    let kept = |field: &str, manager: &str| Kept {
        field: field.into(),
        manager: manager.into(),
    };
    assert_eq!(
        given_up.kept,
        [
            kept(".metadata.labels.a", "labeler"),
            kept(".spec.replicas", "kube-controller-manager")
        ]
    );
    // A person's edit of the same value is no wish to keep it.
    let edited = entry(
        "kubectl-edit",
        "Update",
        "",
        json!({"f:metadata": {"f:labels": {"f:a": {}}}}),
    );
    let given_up = of(&live(&[edited]), &git, MANAGER);
    assert_eq!(given_up.kept, []);
    assert_eq!(at(&given_up.list.unwrap(), "kubectl-edit"), None);
}

#[test]
fn the_number_of_replicas_is_let_go_and_nothing_else_is() {
    let mut git = manifest();
    git["spec"].as_object_mut().unwrap().remove("replicas");
    let alone = live(&[]);
    assert!(holds_replicas(&alone, MANAGER) && !is_shared(&alone, MANAGER));
    let list = of(&alone, &git, MANAGER).list.unwrap();
    assert_eq!(
        at(&list, MANAGER).unwrap()["f:spec"]["f:replicas"],
        Value::Null
    );
    // What nobody else holds, an apply takes away by itself.
    git["spec"]["replicas"] = json!(3);
    git["spec"]["template"]["spec"]["containers"][0]["env"] = json!([]);
    assert_eq!(of(&alone, &git, MANAGER), GivenUp::default());
    assert_eq!(of(&alone, &manifest(), MANAGER), GivenUp::default());
}

#[test]
fn objects_that_nobody_else_sent_are_known_without_a_request() {
    let mut config = json!({"metadata": {"managedFields": [
        entry(MANAGER, "Apply", "", json!({"f:data": {"f:a": {}}}))]}});
    assert!(!is_shared(&config, MANAGER));
    let beside =
        json!({"f:data": {".": {}, "f:b": {}}, "f:metadata": {"f:annotations": {".": {}}}});
    let list = config["metadata"]["managedFields"].as_array_mut().unwrap();
    list.push(entry("kubectl-edit", "Update", "", beside));
    assert!(
        !is_shared(&config, MANAGER),
        "other keys of the same map are not shared"
    );
    let list = config["metadata"]["managedFields"].as_array_mut().unwrap();
    list.push(entry("x", "Update", "", json!({"f:data": {"f:a": {}}})));
    assert!(is_shared(&config, MANAGER));
}
