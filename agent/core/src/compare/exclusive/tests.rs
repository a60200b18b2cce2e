//! Question: where may only one of several fields be set, and how does the API server say so? It names
//! the member Git has (probes, volumes, `valueFrom`), the one that is in the way (`rollingUpdate`), or
//! the map around both (disruption budgets, `oneOf` and rules of custom resources).

use super::*;

fn cause(field: &str, message: &str) -> Vec<Cause> {
    vec![Cause {
        field: field.into(),
        message: message.into(),
    }]
}

fn first(live: &Value, git: &Value, causes: &[Cause]) -> Vec<String> {
    let attempts = attempts(live, git, causes);
    let first = attempts.first().cloned().unwrap_or_default();
    first.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_in_the_way_is_found_where_the_refusal_points() {
    let pod = |inner: Value| json!({"spec": {"template": {"spec": inner}}});
    let container = |inner: Value| {
        let mut container = json!({"name": "web"});
        container
            .as_object_mut()
            .unwrap()
            .extend(inner.as_object().unwrap().clone());
        pod(json!({"containers": [container]}))
    };
    let table = [
        (
            container(json!({"env": [{"name": "A", "value": "x"}, {"name": "B", "value": "y"}]})),
            container(
                json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {}}}, {"name": "B", "value": "y"}]}),
            ),
            cause(
                "spec.template.spec.containers[0].env[0].valueFrom",
                "Invalid value: \"\": may not be specified when `value` is not empty",
            ),
            vec![".spec.template.spec.containers[name=web].env[name=A].value"],
        ),
        (
            container(json!({"readinessProbe": {"httpGet": {"path": "/"}, "periodSeconds": 10}})),
            container(json!({"readinessProbe": {"tcpSocket": {"port": 80}}})),
            cause(
                "spec.template.spec.containers[0].readinessProbe.tcpSocket",
                "Forbidden: may not specify more than 1 handler type",
            ),
            vec![".spec.template.spec.containers[name=web].readinessProbe.httpGet"],
        ),
        (
            container(json!({"lifecycle": {"preStop": {"httpGet": {"path": "/"}}}})),
            container(json!({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}})),
            cause(
                "spec.template.spec.containers[0].lifecycle.preStop.httpGet",
                "Forbidden: may not specify more than 1 handler type",
            ),
            vec![".spec.template.spec.containers[name=web].lifecycle.preStop.httpGet"],
        ),
        (
            pod(json!({"volumes": [{"name": "a", "emptyDir": {}}]})),
            pod(json!({"volumes": [{"name": "a", "configMap": {"name": "x"}}]})),
            cause(
                "spec.template.spec.volumes[0].configMap",
                "Forbidden: may not specify more than 1 volume type",
            ),
            vec![".spec.template.spec.volumes[name=a].emptyDir"],
        ),
        (
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
            cause(
                "spec.strategy.rollingUpdate",
                "Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ),
            vec![".spec.strategy.rollingUpdate"],
        ),
        (
            json!({"spec": {"minAvailable": 1, "selector": {}, "unhealthyPodEvictionPolicy": "x"}}),
            json!({"spec": {"maxUnavailable": 1, "selector": {}}}),
            cause(
                "spec",
                "Invalid value: {}: minAvailable and maxUnavailable cannot be both set",
            ),
            vec![".spec.minAvailable"],
        ),
        (
            json!({"spec": {"defaultBackend": {"service": {"name": "a"}}}}),
            json!({"spec": {"defaultBackend": {"resource": {"name": "b"}}}}),
            cause(
                "spec.defaultBackend",
                "Invalid value: \"\": cannot set both resource and service backends",
            ),
            vec![".spec.defaultBackend.service"],
        ),
        // Custom resources: a schema's oneOf names no field, a rule the map around them.
        (
            json!({"spec": {"s3": {"bucket": "a"}, "size": 1}}),
            json!({"spec": {"disk": {"path": "b"}, "size": 1}}),
            cause(
                "<nil>",
                "Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ),
            vec![".spec.s3"],
        ),
        (
            json!({"spec": {"target": {"file": "a"}}}),
            json!({"spec": {"target": {"url": "b"}}}),
            cause(
                "spec.target",
                "Invalid value: \"object\": exactly one of file or url",
            ),
            vec![".spec.target.file"],
        ),
        // Another mistake: nothing is in the way.
        (
            json!({"spec": {"replicas": 1}}),
            json!({"spec": {"replicas": -1}}),
            cause(
                "spec.replicas",
                "Invalid value: -1: must be greater than or equal to 0",
            ),
            vec![],
        ),
        (
            json!({"metadata": {"labels": {"a": "b", "other": "x"}}}),
            json!({"metadata": {"labels": {"a": "-"}}}),
            cause(
                "metadata.labels",
                "Invalid value: \"-\": a valid label must be …",
            ),
            vec![],
        ),
    ];
    for (live, git, causes, expected) in table {
        assert_eq!(first(&live, &git, &causes), expected, "{causes:?}");
    }
}

#[test]
fn wider_attempts_follow_and_never_hold_what_git_sets() {
    let live = json!({"spec": {"a": {}, "b": 1, "c": "x", "own": 1}});
    let git = json!({"spec": {"d": {}, "own": 1}});
    let found = attempts(&live, &git, &cause("spec.d", "Forbidden: only one"));
    let texts: Vec<Vec<String>> = found
        .iter()
        .map(|paths| paths.iter().map(ToString::to_string).collect())
        .collect();
    assert_eq!(
        texts,
        [vec![".spec.a"], vec![".spec.a", ".spec.b", ".spec.c"]]
    );
    let without = replaced(&live, &git, &found[0]);
    assert_eq!(
        without,
        json!({"spec": {"b": 1, "c": "x", "d": {}, "own": 1}})
    );
}

#[test]
fn what_is_in_the_way_is_held_by_the_agent_alone() {
    let env = |inner: Value| {
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {},
            "f:env": {"k:{\"name\":\"A\"}": inner}}}}})
    };
    let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields});
    let live = json!({
        "metadata": {"managedFields": [
            entry("gitops-agent", "Apply", env(json!({".": {}, "f:name": {}}))),
            entry("kubectl-set", "Update", env(json!({"f:value": {}}))),
        ]},
        "spec": {"containers": [{"name": "web", "env": [{"name": "A", "value": "x"}]}],
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
    });
    let path = Path::from_fields(&["spec", "containers"])
        .child(Segment::Key("name".into(), "web".into()))
        .child(Segment::Field("env".into()))
        .child(Segment::Key("name".into(), "A".into()))
        .child(Segment::Field("value".into()));
    // What the API server filled in is held by nobody.
    let default = Path::from_fields(&["spec", "strategy", "rollingUpdate"]);
    let list = held_alone(&live, "gitops-agent", &[path, default]).unwrap();
    let mut own = env(json!({".": {}, "f:name": {}, "f:value": {}}));
    own["f:spec"]["f:strategy"] = json!({"f:rollingUpdate": {".": {}, "f:maxSurge": {}}});
    assert_eq!(list[0]["fieldsV1"], own);
    let others = list[1]["fieldsV1"].to_string();
    assert!(!others.contains("f:value"), "{others}");
}
