//! `explain`: the decision tree, case by case, and its screens.

#![allow(clippy::expect_used, reason = "helpers of tests may panic")]
#![allow(
    clippy::similar_names,
    reason = "kinds of evidence are named for what they show"
)]

use gitops_api::{Application, SyncPhase};
use gitops_core::manifest::object::ObjectKey;
use gitops_core::reason;
use gitops_core::reason::{ObjectState, Reason, SyncStep};
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::explain::ownership::Subject;
use gitops_views::explain::{Evidence, Explanation, explain};
use gitops_views::pods::tree::Workloads;
use gitops_views::status::agent::Agent;
use jiff::Timestamp;
use kubectl_gitops::commands::explain::document;
use kubectl_gitops::commands::explain::screen::screen;
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

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

fn application(status: Value) -> Value {
    let mut application = json!({
        "metadata": {"name": "web", "namespace": "team-a", "creationTimestamp": "2026-11-20T12:00:00Z"},
        "spec": {
            "project": "payments",
            "source": {"repoURL": "https://git.example/acme/config.git", "targetRevision": "main", "path": "apps/web"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        },
    });
    application["status"] = status;
    application
}

fn status(sync: &str, health: &str) -> Value {
    json!({
        "sync": {"status": sync, "revision": COMMIT}, "health": {"status": health},
        "reconciledAt": "2026-11-21T11:59:48Z", "controllerNamespace": "argocd",
        "operationState": {"phase": "Succeeded", "startedAt": "2026-11-21T11:00:00Z", "finishedAt": "2026-11-21T11:00:03Z",
                           "operation": {}, "syncResult": {"revision": COMMIT}},
    })
}

fn with(mut base: Value, pointer: &str, value: Value) -> Value {
    let mut place = &mut base;
    for part in pointer.split('/').skip(1) {
        place = &mut place[part];
    }
    *place = value;
    base
}

fn resource(kind: &str, name: &str, sync: &str, health: &str) -> Value {
    json!({"group": if kind == "Deployment" { "apps" } else { "" }, "version": "v1", "kind": kind, "namespace": "shop",
           "name": name, "status": sync, "health": {"status": health}})
}

fn evidence(application: Value) -> Evidence {
    Evidence {
        application: Some(of::<Application>(application)),
        subject: None,
        agent: Agent::Running { renewed: now() },
        agent_namespace: "argocd".into(),
        workloads: Workloads::default(),
        claims: Vec::new(),
        live: Vec::new(),
        events: Vec::new(),
        flags: String::new(),
        now: now(),
        unicode: true,
    }
}

fn names(explanation: &Explanation) -> Vec<&'static str> {
    explanation.causes.iter().map(|cause| cause.name).collect()
}

fn condition(kind: &str, message: &str) -> Value {
    json!([{"type": kind, "message": message, "lastTransitionTime": "2026-11-21T11:00:00Z"}])
}

fn fine() -> Value {
    application(status("Synced", "Healthy"))
}

fn failed_sync(code: &str, message: &str) -> Value {
    let state = json!({
        "phase": "Failed", "startedAt": "2026-11-21T11:50:00Z", "finishedAt": "2026-11-21T11:55:00Z", "retryCount": 5,
        "message": "one object failed", "operation": {"initiatedBy": {"automated": true}},
        "syncResult": {"revision": COMMIT, "resources": [
            {"group": "", "version": "v1", "kind": "Service", "namespace": "shop", "name": "web", "status": "Synced"},
            {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "web", "status": "SyncFailed", "message": message, "reason": code}]},
    });
    let status = with(status("OutOfSync", "Missing"), "/operationState", state);
    let resources = json!([resource("Deployment", "web", "OutOfSync", "Missing")]);
    application(with(status, "/resources", resources))
}

fn drifted() -> Value {
    let mut changed = resource("Deployment", "web", "OutOfSync", "Healthy");
    changed["drift"] = json!([
        {"path": ".spec.replicas", "desired": "3", "live": "5", "manager": "kubectl-scale", "since": "2026-11-21T11:58:00Z"}]);
    application(with(
        status("OutOfSync", "Healthy"),
        "/resources",
        json!([changed]),
    ))
}

fn surplus() -> Value {
    let mut surplus = resource("ConfigMap", "old", "OutOfSync", "Healthy");
    surplus["requiresPruning"] = true.into();
    application(with(
        status("OutOfSync", "Healthy"),
        "/resources",
        json!([surplus]),
    ))
}

fn open() -> Value {
    let resources = json!([resource("ConfigMap", "settings", "OutOfSync", "Healthy")]);
    application(with(
        status("OutOfSync", "Healthy"),
        "/resources",
        resources,
    ))
}

fn degraded(health: &str) -> Value {
    let mut broken = resource("Deployment", "web", "Synced", health);
    broken["health"]["message"] = "Deployment web exceeded its progress deadline".into();
    let status = with(status("Synced", health), "/resources", json!([broken]));
    let history = json!([{"id": 1, "revision": GOOD, "deployedAt": null}, {"id": 2, "revision": COMMIT, "deployedAt": null}]);
    application(with(status, "/history", history))
}

fn operation(phase: &str, message: &str, started: &str) -> Value {
    let state = json!({"phase": phase, "startedAt": started, "message": message, "operation": {}});
    let status = with(status("OutOfSync", "Progressing"), "/operationState", state);
    let mut job = resource("Job", "migrate", "", "Progressing");
    job["group"] = "batch".into();
    application(with(status, "/resources", json!([job])))
}

fn running(reason: &Reason, started: &str) -> Value {
    let application = operation("Running", &reason.to_string(), started);
    let entry = json!(reason::entry(reason));
    with(application, "/status/operationState/reason", entry)
}

fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
    ObjectKey {
        group: group.into(),
        kind: kind.into(),
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn step(phase: SyncPhase) -> SyncStep {
    SyncStep {
        phase,
        wave: 0,
        prune: false,
    }
}

fn migrate(state: &str) -> ObjectState {
    ObjectState {
        object: key("batch", "Job", "migrate"),
        state: state.into(),
    }
}

fn pods(status: &Value) -> Workloads {
    let owner = |kind: &str, name: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true}]);
    let pod = |name: &str| {
        json!({
            "metadata": {"name": name, "namespace": "shop", "ownerReferences": owner("ReplicaSet", "web-6d9f")},
            "spec": {"containers": [{"name": "web", "image": "registry.example/web:2.1"}],
                     "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]},
            "status": status,
        })
    };
    Workloads {
        pods: vec![of(pod("web-6d9f-a")), of(pod("web-6d9f-b"))],
        replica_sets: vec![of(json!({
            "metadata": {"name": "web-6d9f", "namespace": "shop", "ownerReferences": owner("Deployment", "web")},
            "spec": {"replicas": 2, "selector": {}},
        }))],
        ..Workloads::default()
    }
}

fn waiting(reason: &str, message: &str, last: &Value) -> Value {
    json!({"phase": "Pending", "containerStatuses": [
        {"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 4,
         "state": {"waiting": {"reason": reason, "message": message}}, "lastState": last}]})
}

fn unschedulable(message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
}

fn event(
    kind: &str,
    name: &str,
    reason: &str,
    message: &str,
    count: i32,
) -> k8s_openapi::api::core::v1::Event {
    of(json!({
        "metadata": {"name": "e", "namespace": "shop"}, "type": if reason == "SelfHealed" { "Normal" } else { "Warning" },
        "involvedObject": {"kind": kind, "name": name, "namespace": "shop"},
        "reason": reason, "message": message, "count": count, "lastTimestamp": "2026-11-21T11:59:00Z",
    }))
}

fn healed(times: i32) -> k8s_openapi::api::core::v1::Event {
    let message = "application web put back what Git has at 91be07a: .spec.replicas is 5 instead of 3, by hpa";
    event("Deployment", "web", "SelfHealed", message, times)
}

/// Every case: what it is called, the evidence, the causes that must be found.
fn cases() -> Vec<(&'static str, Evidence, Vec<&'static str>)> {
    let automated = "/spec/syncPolicy/automated";
    let mut rolls = with(open(), automated, json!({"enabled": false}));
    rolls["metadata"]["ownerReferences"] = json!([{"apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet", "name": "fleet", "uid": "1", "controller": true}]);
    let annotated = |name: &str, value: &str| {
        let mut application = fine();
        application["metadata"]["annotations"] = json!({name: value});
        evidence(application)
    };
    let mut silent = evidence(fine());
    silent.agent = Agent::Stale {
        renewed: "2026-11-21T11:40:00Z".parse().expect("a time"),
    };
    let mut absent = evidence(application(with(
        status("Synced", "Healthy"),
        "/reconciledAt",
        "2026-11-21T09:00:00Z".into(),
    )));
    absent.agent = Agent::Absent;
    let mut other = evidence(fine());
    other.agent = Agent::Absent;
    let in_words = |kind: &str, message: &str| {
        let status = with(
            status("Unknown", "Healthy"),
            "/conditions",
            condition(kind, message),
        );
        evidence(application(status))
    };
    let told = |kind: &str, reason: Reason| {
        let status = with(
            status("Unknown", "Healthy"),
            "/conditions",
            condition(kind, &reason.to_string()),
        );
        let reasons = json!([reason::entry(&reason)]);
        evidence(application(with(status, "/reasons", reasons)))
    };
    let mut deleting = fine();
    deleting["metadata"]["deletionTimestamp"] = "2026-11-21T11:00:00Z".into();
    deleting["metadata"]["finalizers"] = json!(["resources-finalizer.argocd.argoproj.io"]);
    let stuck = with(
        deleting.clone(),
        "/status/conditions",
        condition(
            "DeletionError",
            "PersistentVolumeClaim shop/data cannot be deleted: forbidden",
        ),
    );
    let mut fight = evidence(with(
        fine(),
        "/status/resources",
        json!([resource("Deployment", "web", "Synced", "Healthy")]),
    ));
    fight.events = vec![healed(14)];
    let mut once = fight.clone();
    once.events = vec![healed(1)];
    let broken = |status: Value| {
        let mut evidence = evidence(degraded("Degraded"));
        evidence.workloads = pods(&status);
        evidence
    };
    let mut refused = evidence(degraded("Progressing"));
    refused.workloads =
        pods(&json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
    refused.events = vec![event(
        "ReplicaSet",
        "web-6d9f",
        "FailedCreate",
        "Error creating: pods \"web-x\" is forbidden: exceeded quota: small",
        12,
    )];
    let mut volume = broken(unschedulable(
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    ));
    volume.claims = vec![of(
        json!({"metadata": {"name": "data", "namespace": "shop"}, "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}}),
    )];
    volume.events = vec![event(
        "PersistentVolumeClaim",
        "data",
        "ProvisioningFailed",
        "storageclass \"fast\" not found",
        3,
    )];
    let mut mount = broken(waiting("ContainerCreating", "", &json!({})));
    mount.events = vec![event(
        "Pod",
        "web-6d9f-b",
        "FailedMount",
        "MountVolume.SetUp failed: secret \"login\" not found",
        3,
    )];
    let mut custom = resource("Cluster", "pg", "Synced", "Degraded");
    custom["group"] = "postgresql.example".into();
    let mut custom = evidence(application(with(
        status("Synced", "Degraded"),
        "/resources",
        json!([custom]),
    )));
    custom.live = vec![
        json!({"kind": "Cluster", "metadata": {"name": "pg", "namespace": "shop"}, "status": {"conditions": [
        {"type": "Ready", "status": "False", "reason": "NoPrimary", "message": "no primary was elected"},
        {"type": "Reachable", "status": "True"}, {"type": "Degraded", "status": "True", "message": "1 of 3"}]}}),
    ];
    let mut child = resource("Application", "db", "Synced", "Degraded");
    child["group"] = "argoproj.io".into();
    child["namespace"] = "team-a".into();
    child["health"] = json!({"status": "Degraded", "lastTransitionTime": "2026-11-21T11:30:00Z",
        "message": "Caused by apps/Deployment:shop/db (exceeded its progress deadline)"});
    let mut child = evidence(application(with(
        status("Synced", "Degraded"),
        "/resources",
        json!([child]),
    )));
    child.live = vec![
        json!({"kind": "Application", "metadata": {"name": "db", "namespace": "team-a"}, "status": {"conditions": [
        {"type": "ComparisonError", "message": "apps/db/kustomization.yaml: no such file"},
        {"type": "OrphanedResourceWarning", "message": "1 object"}]}}),
    ];
    let mut kept = resource("Namespace", "gone", "Synced", "Degraded");
    kept["namespace"] = "".into();
    let mut kept = evidence(application(with(
        status("Synced", "Degraded"),
        "/resources",
        json!([kept]),
    )));
    kept.live = vec![
        json!({"kind": "Namespace", "metadata": {"name": "gone", "deletionTimestamp": "2026-11-21T11:00:00Z", "finalizers": ["example.com/wait"]}}),
    ];
    let hold = json!({"revision": GOOD, "insteadOf": COMMIT, "until": "2026-11-21T18:00:00Z", "by": "ana", "reason": "loses orders"}).to_string();
    let long = with(
        degraded("Progressing"),
        "/status/health/lastTransitionTime",
        "2026-11-21T11:00:00Z".into(),
    );
    let mut live = open();
    live["status"]["operationState"]["syncResult"]["revision"] = GOOD.into();
    vec![
        ("fine", evidence(fine()), vec![]),
        ("agent silent", silent, vec!["AgentSilent"]),
        ("agent absent", absent, vec!["AgentAbsent"]),
        ("another controller", other, vec![]),
        (
            "never compared",
            evidence(application(Value::Null)),
            vec!["NotCompared"],
        ),
        (
            "left alone",
            annotated("argocd.argoproj.io/skip-reconcile", "true"),
            vec!["SkipReconcile"],
        ),
        (
            "paused",
            annotated("gitops-agent.io/paused", r#"{"by":"ana","reason":"INC-7"}"#),
            vec!["Paused"],
        ),
        (
            "held",
            annotated("gitops-agent.io/hold", &hold),
            vec!["HoldInForce"],
        ),
        (
            "hold not readable",
            annotated("gitops-agent.io/hold", "{"),
            vec!["HoldInvalid"],
        ),
        ("being deleted", evidence(deleting), vec!["Deleting"]),
        ("deletion stuck", evidence(stuck), vec!["DeletionStuck"]),
        (
            "spec",
            told(
                "InvalidSpecError",
                Reason::SpecInvalid {
                    detail: "spec.source needs a path (\".\" for the whole repository) or a chart".into(),
                },
            ),
            vec!["SpecInvalid"],
        ),
        (
            "project",
            told(
                "InvalidSpecError",
                Reason::ProjectDenies {
                    detail: "project payments does not allow repository https://git.example/a.git; to allow it, add it to spec.sourceRepos of the AppProject".into(),
                },
            ),
            vec!["ProjectDenies"],
        ),
        (
            "an object that the project denies",
            told(
                "SyncError",
                Reason::ProjectDenies {
                    detail: "a.yaml:1: Secret shop/s is not allowed by project payments".into(),
                },
            ),
            vec!["ProjectDenies"],
        ),
        (
            "repository",
            told(
                "ComparisonError",
                Reason::RepositoryUnreachable {
                    detail: "cannot reach https://git.example/a.git: connection refused; check the URL".into(),
                    last_known: Some(GOOD.into()),
                },
            ),
            vec!["RepositoryUnreachable"],
        ),
        (
            "render",
            told(
                "ComparisonError",
                Reason::RenderFailed {
                    detail: "apps/web/deploy.yaml:9: mapping values are not allowed here".into(),
                    file: Some("apps/web/deploy.yaml:9".into()),
                },
            ),
            vec!["RenderFailed"],
        ),
        (
            "empty",
            told("SyncError", Reason::EmptyRender {}),
            vec!["EmptyRender"],
        ),
        (
            "shared",
            told(
                "SharedResourceWarning",
                Reason::SharedResource {
                    object: key("", "ConfigMap", "settings"),
                    owner: "one".into(),
                    application: "web".into(),
                },
            ),
            vec!["SharedResource"],
        ),
        (
            "immutable",
            evidence(failed_sync("ImmutableField", 
                "Deployment.apps \"web\" is invalid: spec.selector: field is immutable (apps/web/deploy.yaml:7)",
            )),
            vec!["ImmutableField"],
        ),
        (
            "admission",
            evidence(failed_sync("AdmissionDenied", 
                "admission webhook \"policy.example\" denied the request: no latest tags",
            )),
            vec!["AdmissionDenied"],
        ),
        (
            "quota",
            evidence(failed_sync("QuotaExceeded", 
                "pods \"a\" is forbidden: exceeded quota: small",
            )),
            vec!["QuotaExceeded"],
        ),
        (
            "rights",
            evidence(failed_sync("AgentForbidden", 
                "deployments.apps is forbidden: User \"x\" cannot create resource \"deployments\"",
            )),
            vec!["AgentForbidden"],
        ),
        (
            "namespace",
            evidence(failed_sync("NamespaceMissing", "namespaces \"shop\" not found")),
            vec!["NamespaceMissing"],
        ),
        (
            "kind",
            evidence(failed_sync("ObjectKindUnknown", 
                "the cluster does not serve apps/v1beta9 Deployment",
            )),
            vec!["KindUnknown"],
        ),
        (
            "refused",
            evidence(failed_sync("ObjectRefused", "something else")),
            vec!["ObjectRefused"],
        ),
        (
            "hook",
            evidence(running(
                &Reason::HookWaiting {
                    step: step(SyncPhase::PreSync),
                    objects: vec![migrate("Progressing")],
                    more: 0,
                },
                "2026-11-21T11:40:00Z",
            )),
            vec!["HookWaiting"],
        ),
        (
            "wave",
            evidence(running(
                &Reason::WaveWaiting {
                    step: step(SyncPhase::Sync),
                    objects: vec![migrate("Progressing")],
                    more: 0,
                },
                "2026-11-21T11:59:40Z",
            )),
            vec!["WaveWaiting"],
        ),
        (
            "words without a reason",
            in_words(
                "ComparisonError",
                "rpc error: code = Unknown desc = authentication required",
            ),
            vec!["ComparisonFailed"],
        ),
        (
            "an object refused in words",
            evidence(failed_sync("", "spec.selector: field is immutable")),
            vec!["ObjectRefused"],
        ),
        (
            "waiting in words",
            evidence(operation(
                "Running",
                "waiting for healthy state of batch/Job/migrate",
                "2026-11-21T11:59:40Z",
            )),
            vec!["Syncing", "Progressing"],
        ),
        (
            "drift, self-heal off",
            evidence(with(drifted(), automated, json!({}))),
            vec!["DriftSelfHealOff"],
        ),
        (
            "drift, manual",
            evidence(with(drifted(), "/spec/syncPolicy", json!({}))),
            vec!["DriftAutoSyncOff"],
        ),
        ("drift, healing", evidence(drifted()), vec!["DriftHealing"]),
        ("fight", fight, vec!["SelfHealFight"]),
        ("healed once", once, vec![]),
        (
            "manual",
            evidence(with(open(), "/spec/syncPolicy", json!({}))),
            vec!["AutoSyncOff"],
        ),
        (
            "of a set that rolls",
            evidence(rolls),
            vec!["SetDecidesSync"],
        ),
        (
            "changed, self-heal off",
            evidence(with(open(), automated, json!({}))),
            vec!["ChangedSelfHealOff"],
        ),
        ("new commit", evidence(live), vec!["SyncPending"]),
        (
            "prune off",
            evidence(with(surplus(), automated, json!({"selfHeal": true}))),
            vec!["PruneOff"],
        ),
        ("prune pending", evidence(surplus()), vec!["PrunePending"]),
        (
            "image",
            broken(waiting(
                "ImagePullBackOff",
                "Back-off pulling image \"registry.example/web:2.1\"",
                &json!({}),
            )),
            vec!["ImagePull"],
        ),
        (
            "crash",
            broken(waiting(
                "CrashLoopBackOff",
                "",
                &json!({"terminated": {"exitCode": 1}}),
            )),
            vec!["CrashLoop"],
        ),
        (
            "memory",
            broken(waiting(
                "CrashLoopBackOff",
                "",
                &json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            )),
            vec!["OutOfMemory"],
        ),
        (
            "no node",
            broken(unschedulable(
                "0/3 nodes are available: 3 Insufficient cpu.",
            )),
            vec!["Unschedulable"],
        ),
        ("volume", volume, vec!["Unschedulable"]),
        ("quota for Pods", refused, vec!["QuotaExceeded"]),
        ("mount", mount, vec!["MountFailed"]),
        (
            "condition of a custom resource",
            custom,
            vec!["ObjectDegraded"],
        ),
        ("child application", child, vec!["ObjectDegraded"]),
        ("finalizer", kept, vec!["StuckDeleting"]),
        (
            "on its way",
            evidence(degraded("Progressing")),
            vec!["Progressing"],
        ),
        ("too long", evidence(long), vec!["ProgressingTooLong"]),
        (
            "missing",
            evidence(with(
                fine(),
                "/status",
                with(
                    status("Synced", "Missing"),
                    "/resources",
                    json!([resource("Deployment", "web", "Synced", "Missing")]),
                ),
            )),
            vec!["ObjectMissing"],
        ),
    ]
}

#[test]
fn the_decision_tree() {
    for (name, evidence, expected) in cases() {
        let explanation = explain(&evidence);
        assert_eq!(names(&explanation), expected, "{name}: {explanation:#?}");
        let on_purpose = ["SkipReconcile", "Paused", "HoldInForce", "SharedResource"];
        let fine = expected.iter().all(|cause| on_purpose.contains(cause));
        assert_eq!(explanation.ok, fine, "{name}");
        for cause in &explanation.causes {
            assert!(!cause.next.is_empty(), "{name}: nothing to do next");
            assert!(!cause.what.is_empty(), "{name}");
        }
    }
}

#[test]
fn every_reason_is_on_the_page_and_shown_with_its_advice() {
    let page = include_str!("../../docs/reasons.md");
    for reason in reason::examples() {
        let code = reason.code().expect("a known reason");
        assert!(
            page.contains(&format!("\n## {code}\n")),
            "{code} is not on the page"
        );
        let entry = reason::entry(&reason);
        let status = with(status("Synced", "Healthy"), "/reasons", json!([entry]));
        let shown = screen(
            &explain(&evidence(application(status))),
            &View {
                width: None,
                ..TERMINAL
            },
        );
        let advice = code.advice().replace("APP", "web -n team-a");
        assert!(
            shown.contains(&format!("{code}: {advice}")),
            "{code}: {shown}"
        );
        let document = serde_json::to_value(reason::entry(&reason)).expect("JSON");
        assert_eq!(document["code"], code.as_str());
    }
}

#[test]
fn a_code_of_a_newer_agent_is_shown_with_its_words() {
    let reasons = json!([{"code": "SomethingNew", "message": "it is complicated"}]);
    let status = with(status("Synced", "Healthy"), "/reasons", reasons);
    let explanation = explain(&evidence(application(status)));
    assert!(explanation.ok);
    assert_eq!(explanation.notes, ["SomethingNew: it is complicated"]);
}

#[test]
fn screens_of_every_case() {
    let mut all = String::new();
    for (name, evidence, _) in cases() {
        let screen = screen(&explain(&evidence), &TERMINAL);
        all = all + "### " + name + "\n" + &screen + "\n";
    }
    insta::assert_snapshot!("cases", all);
}

#[test]
fn screens_keep_to_the_terminal_but_for_commands() {
    for width in [40, 60, 80, 200] {
        for unicode in [true, false] {
            let view = View {
                width: Some(width),
                unicode,
                ..TERMINAL
            };
            for (name, mut evidence, _) in cases() {
                evidence.unicode = unicode;
                let screen = screen(&explain(&evidence), &view);
                assert!(unicode || screen.is_ascii(), "{name}: {screen}");
                for line in screen
                    .lines()
                    .filter(|line| !line.contains("kubectl") && !line.contains("git ls-remote"))
                {
                    assert!(text::width(line) <= width, "{name}, {width}: {line}");
                }
            }
        }
    }
}

#[test]
fn texts_of_the_cluster_cannot_draw_on_the_terminal() {
    let text = "\u{1b}[2J\u{1b}]0;owned\u{7}text";
    let mut evidence = evidence(failed_sync("ObjectRefused", text));
    evidence.workloads.unread = vec!["Pods in namespace shop: you may not list them".into()];
    evidence.events = vec![event("Deployment", "web", "FailedCreate", text, 1)];
    let explanation = explain(&evidence);
    let screen = screen(&explanation, &TERMINAL);
    assert!(
        !screen.contains('\u{1b}') && !screen.contains('\u{7}'),
        "{screen:?}"
    );
    assert!(
        screen.contains("not seen: Pods in namespace shop"),
        "{screen}"
    );
}

fn pod_of(tracked: bool) -> Evidence {
    let annotations = if tracked {
        json!({"argocd.argoproj.io/tracking-id": "web:apps/Deployment:shop/web"})
    } else {
        json!({})
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-6d9f-a", "namespace": "shop"}});
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-6d9f", "namespace": "shop"}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
        "name": "web", "namespace": "shop", "annotations": annotations,
        "managedFields": [{"manager": "gitops-agent"}, {"manager": "kubectl-edit"}, {"manager": "controller", "subresource": "status"}]}});
    let mut evidence = evidence(degraded("Degraded"));
    evidence.subject = Some(Subject {
        owners: vec![pod, set, deployment],
        tracked_by: tracked.then(|| "web".into()),
    });
    evidence.workloads = pods(&waiting("ImagePullBackOff", "not found", &json!({})));
    if !tracked {
        evidence.application = None;
    }
    evidence
}

#[test]
fn an_object_is_explained_with_its_owners() {
    let explanation = explain(&pod_of(true));
    assert_eq!(names(&explanation), ["ImagePull"]);
    assert_eq!(
        explanation.chain,
        ["ReplicaSet/web-6d9f", "Deployment/web", "Application/web"]
    );
    // Only the Pod that was asked about.
    assert!(
        explanation.causes[0]
            .what
            .starts_with("Pod/web-6d9f-a cannot")
    );
    insta::assert_snapshot!("object", screen(&explanation, &TERMINAL));
    let loose = explain(&pod_of(false));
    assert_eq!(names(&loose), ["ImagePull", "NotTracked"]);
    assert!(!loose.ok);
    insta::assert_snapshot!("object_of_nobody", screen(&loose, &TERMINAL));
    insta::assert_json_snapshot!("document", document::of(&explanation));
}
