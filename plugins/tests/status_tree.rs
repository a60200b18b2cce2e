//! The screen of one application with what runs beneath it, its live commit and its hold.

#![allow(clippy::expect_used, reason = "helpers of tests may panic")]

use gitops_api::Application;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::pods::problem;
use gitops_views::pods::tree::Workloads;
use gitops_views::status::agent::Agent;
use gitops_views::status::application::Summary;
use jiff::Timestamp;
use kubectl_gitops::commands::status::{detail, list};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const COMMIT: &str = "91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687";
const GOOD: &str = "4c1d88e0c2f5e1d4b3a29687f0e1d2c3b4a59687";

const TERMINAL: View = View {
    width: Some(100),
    color: false,
    unicode: true,
    interactive: true,
};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("a time")
}

fn agent() -> Agent {
    Agent::Running { renewed: now() }
}

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

fn owned(kind: &str, name: &str, owner: (&str, &str, &str)) -> Value {
    let (version, owner_kind, owner_name) = owner;
    let own_version = match kind {
        "ReplicaSet" => "apps/v1",
        "Job" => "batch/v1",
        _ => "v1",
    };
    json!({
        "apiVersion": own_version, "kind": kind,
        "metadata": {
            "name": name, "namespace": "shop", "creationTimestamp": "2026-11-21T11:50:00Z",
            "ownerReferences": [{"apiVersion": version, "kind": owner_kind, "name": owner_name, "uid": "u", "controller": true}],
        },
    })
}

fn replica_set(name: &str, owner: &str, wanted: i32, ready: i32, created: &str) -> Value {
    let mut set = owned("ReplicaSet", name, ("apps/v1", "Deployment", owner));
    set["metadata"]["creationTimestamp"] = created.into();
    set["spec"] = json!({"replicas": wanted, "selector": {}});
    set["status"] = json!({"replicas": wanted, "readyReplicas": ready});
    set
}

fn pod(name: &str, owner: &str, status: Value) -> Value {
    let mut pod = owned("Pod", name, ("apps/v1", "ReplicaSet", owner));
    pod["spec"] = json!({"nodeName": "node-1", "containers": [{"name": "web", "image": "registry.example/web:2.1"}]});
    pod["status"] = status;
    pod
}

fn running() -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
           "containerStatuses": [{"name": "web", "image": "registry.example/web:2.1", "imageID": "", "ready": true, "restartCount": 0,
                                  "state": {"running": {}}}]})
}

fn waiting(reason: &str, message: &str, last: &Value) -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-21T11:50:00Z"}],
           "containerStatuses": [{"name": "web", "image": "registry.example/web:2.1", "imageID": "", "ready": false, "restartCount": 7,
                                  "state": {"waiting": {"reason": reason, "message": message}}, "lastState": last}]})
}

fn unschedulable() -> Value {
    json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
           "message": "0/3 nodes are available: 3 Insufficient memory.\npreemption: not helpful"}]})
}

fn workloads() -> Workloads {
    let crashed = json!({"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-21T11:57:00Z"}});
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-21T11:57:00Z"}});
    let mut restarted = running();
    restarted["containerStatuses"][0]["lastState"] = killed.clone();
    let mut bare = pod("probe", "", running());
    bare["metadata"]["ownerReferences"] = json!([]);
    let mut job = owned("Job", "sweep-1", ("batch/v1", "CronJob", "sweep"));
    job["status"] = json!({"conditions": [{"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]});
    let mut swept = pod(
        "sweep-1-x",
        "",
        json!({"phase": "Failed", "containerStatuses": [
        {"name": "web", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 3}}}]}),
    );
    swept["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "sweep-1", "uid": "u"}]);
    let mut pods = vec![
        pod(
            "api-new-1",
            "api-new",
            waiting(
                "ImagePullBackOff",
                "Back-off pulling image \"registry.example/web:2.1\": not found",
                &json!({}),
            ),
        ),
        pod("api-new-2", "api-new", unschedulable()),
        pod("api-old-1", "api-old", running()),
        pod("api-old-2", "api-old", running()),
        pod("api-old-3", "api-old", restarted),
        pod(
            "worker-1-a",
            "worker-1",
            waiting("CrashLoopBackOff", "back-off 5m0s", &crashed),
        ),
        pod(
            "worker-1-b",
            "worker-1",
            waiting("CrashLoopBackOff", "back-off 5m0s", &killed),
        ),
        bare,
        swept,
    ];
    for number in 0..8 {
        let state = waiting(
            "CreateContainerConfigError",
            "secret \"login\" not found",
            &json!({}),
        );
        pods.push(pod(&format!("many-1-{number}"), "many-1", state));
    }
    Workloads {
        pods: pods.into_iter().map(of).collect(),
        replica_sets: [
            replica_set("api-new", "api", 2, 0, "2026-11-21T11:55:00Z"),
            replica_set("api-old", "api", 3, 3, "2026-11-20T11:55:00Z"),
            replica_set("api-oldest", "api", 0, 0, "2026-11-19T11:55:00Z"),
            replica_set("worker-1", "worker", 2, 0, "2026-11-21T11:55:00Z"),
            replica_set("many-1", "many", 8, 0, "2026-11-21T11:55:00Z"),
        ]
        .into_iter()
        .map(of)
        .collect(),
        jobs: vec![of(job)],
        unread: vec!["Pods in namespace monitoring: you may not list them".into()],
    }
}

fn resource(group: &str, kind: &str, name: &str, health: &str) -> Value {
    json!({"group": group, "version": "v1", "kind": kind, "namespace": "shop", "name": name, "status": "Synced", "health": {"status": health}})
}

fn application() -> Application {
    let mut worker = resource("apps", "Deployment", "worker", "Progressing");
    worker["status"] = "OutOfSync".into();
    worker["drift"] = json!([{"path": ".spec.replicas", "desired": "1", "live": "2", "manager": "kubectl-scale", "since": "2026-11-21T11:58:00Z"}]);
    of(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd", "annotations": {
            "gitops-agent.io/hold": json!({"revision": GOOD, "insteadOf": COMMIT, "until": "2026-11-21T18:00:00Z",
                                           "by": "ana", "reason": "the new version loses orders"}).to_string()}},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example/acme/config.git", "targetRevision": "main", "path": "shop"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        },
        "status": {
            "sync": {"status": "OutOfSync", "revision": COMMIT}, "health": {"status": "Degraded"},
            "reconciledAt": "2026-11-21T11:59:48Z",
            "live": {
                "commit": {"revision": COMMIT, "author": "eve", "subject": "Docs", "time": "2026-11-21T09:00:00Z"},
                "changed": {"revision": GOOD, "author": "ana", "subject": "Bump web to 1.9.2", "time": "2026-11-19T12:00:00Z"},
                "behind": 2,
            },
            "conditions": [{"type": "HeldWarning", "message": "held at 4c1d88e"}],
            "resources": [
                resource("apps", "Deployment", "api", "Degraded"), worker,
                resource("apps", "Deployment", "many", "Progressing"),
                resource("batch", "CronJob", "sweep", "Healthy"),
                resource("", "Pod", "probe", "Healthy"),
                resource("", "Service", "api", "Healthy"),
            ],
        },
    }))
}

fn screen(view: View) -> String {
    let workloads = workloads();
    detail::screen(
        &detail::Detail {
            application: &application(),
            agent: agent(),
            workloads: &workloads,
            now: now(),
        },
        &view,
    )
}

#[test]
fn pods_stand_beneath_their_workloads() {
    insta::assert_snapshot!("tree_terminal", screen(TERMINAL));
    let view = |width, unicode| View {
        width,
        unicode,
        ..TERMINAL
    };
    insta::assert_snapshot!("tree_pipe", screen(view(None, true)));
    insta::assert_snapshot!("tree_ascii_narrow", screen(view(Some(60), false)));
}

#[test]
fn no_screen_is_wider_than_the_terminal() {
    for width in 30..160 {
        for unicode in [true, false] {
            let view = View {
                width: Some(width),
                unicode,
                ..TERMINAL
            };
            let screen = screen(view);
            for line in screen.lines() {
                assert!(text::width(line) <= width, "{width}: {line}");
            }
            assert!(unicode || screen.is_ascii());
        }
    }
}

#[test]
fn what_is_live_is_a_column_where_there_is_room() {
    let draw = |width, wide| {
        let list = list::List {
            height: None,
            must_fit: false,
            applications: vec![Summary::of(&application(), now(), true)],
            agent: agent(),
            place: "prod".into(),
            all_namespaces: false,
            wide,
            headings: true,
            now: now(),
        };
        let view = View { width, ..TERMINAL };
        list::screen(&list, &view)
    };
    for (width, wide, shown) in [
        (Some(80), false, false),
        (Some(200), false, true),
        (Some(200), true, true),
        (None, false, true),
    ] {
        let screen = draw(width, wide);
        assert_eq!(screen.contains("BEHIND"), shown, "{screen}");
    }
    insta::assert_snapshot!("list_live", draw(Some(160), false));
}

/// Name, status of the Pod, and fault, state and detail of the problem.
type Row = (
    &'static str,
    Value,
    Option<(&'static str, &'static str, &'static str)>,
);

#[test]
fn problems_of_pods() {
    let table: Vec<Row> = vec![
        ("works", running(), None),
        ("completed", json!({"phase": "Succeeded"}), None),
        ("starts", json!({"phase": "Pending"}), None),
        (
            "creating",
            waiting("ContainerCreating", "", &json!({})),
            Some(("NotReady", "NotReady", "not ready for 10m (container web)")),
        ),
        (
            "image",
            waiting("ErrImagePull", "no such host", &json!({})),
            Some((
                "ImagePull",
                "ErrImagePull",
                "registry.example/web:2.1: no such host",
            )),
        ),
        (
            "configuration",
            waiting(
                "CreateContainerConfigError",
                "configmap \"a\" not found",
                &json!({}),
            ),
            Some((
                "Configuration",
                "CreateContainerConfigError",
                "configmap \"a\" not found",
            )),
        ),
        (
            "crash",
            waiting(
                "CrashLoopBackOff",
                "back-off",
                &json!({"terminated": {"exitCode": 2, "message": "no config\n"}}),
            ),
            Some((
                "CrashLoop",
                "CrashLoopBackOff",
                "exit code 2, 7 restarts: no config",
            )),
        ),
        (
            "memory",
            waiting(
                "CrashLoopBackOff",
                "back-off",
                &json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            ),
            Some((
                "OutOfMemory",
                "CrashLoopBackOff",
                "exit code 137, OOMKilled, 7 restarts",
            )),
        ),
        (
            "no node",
            unschedulable(),
            Some((
                "Unschedulable",
                "Pending",
                "0/3 nodes are available: 3 Insufficient memory. preemption: not helpful",
            )),
        ),
        (
            "evicted",
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
            Some((
                "PodFailed",
                "Evicted",
                "The node was low on resource: memory.",
            )),
        ),
        (
            "init container",
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "wait", "image": "i", "imageID": "", "ready": false,
                   "restartCount": 1, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
            Some(("CrashLoop", "Error", "init container wait: exit code 1")),
        ),
        (
            "escape sequences",
            waiting("ErrImagePull", "\u{1b}[2Jgone", &json!({})),
            Some((
                "ImagePull",
                "ErrImagePull",
                "registry.example/web:2.1: [2Jgone",
            )),
        ),
    ];
    for (name, status, expected) in table {
        let found = problem::of(&of(pod("p", "r", status)), now());
        let found = found.as_ref().map(|found| {
            (
                found.fault.as_str(),
                found.state.as_str(),
                found.detail.as_str(),
            )
        });
        assert_eq!(found, expected, "{name}");
    }
    let mut stuck = pod("p", "r", running());
    stuck["metadata"]["deletionTimestamp"] = "2026-11-21T11:30:00Z".into();
    stuck["metadata"]["finalizers"] = json!(["example.com/wait"]);
    let found = problem::of(&of(stuck), now()).expect("a problem");
    assert_eq!(
        found.detail,
        "should be gone for 30m, held by finalizer example.com/wait"
    );
}
