use gitops_api::ApplicationSpec;
use serde_json::json;

use super::*;
use crate::compare::comparison::Comparison;
use crate::compare::path::Path;
use crate::live::object::LiveObject;
use crate::manifest::desired::{Context, DesiredSet, Manifest, Scope, prepare};
use crate::manifest::object::Origin;
use crate::reason::Reason;

fn desired() -> DesiredSet {
    let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"image": "web:1"}]}}}});
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    prepare(
        vec![Manifest {
            value,
            origin: Origin::default(),
        }],
        context,
        |_| Some(Scope::Namespaced),
    )
    .unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn status_of(previous: &ApplicationStatus, state: State, now: i64) -> ApplicationStatus {
    let desired = desired();
    let key = desired.objects.keys().next().unwrap().clone();
    let comparison = Comparison::from([(key, state)]);
    let compared = Compared {
        desired: &desired,
        hooks: &[],
        denied: &[],
        ignored: &HashMap::new(),
        comparison: &comparison,
        live: &HashMap::new(),
        revisions: &["abc".to_owned()],
        source_types: &["Directory".to_owned()],
    };
    build(&Report {
        previous,
        spec: &ApplicationSpec::default(),
        compared: Some(compared),
        conditions: &BTreeSet::new(),
        reasons: &[],
        operation: None,
        live: None,
        tracked: None,
        namespace: "argocd",
        max_bytes: size::MAX_STATUS,
        now: at(now),
    })
}

#[test]
fn a_status_without_news_is_equal_to_the_one_before() {
    let first = status_of(&ApplicationStatus::default(), State::Missing, 10);
    assert_eq!(
        first.sync.as_ref().unwrap().status,
        SyncStatusCode::OutOfSync
    );
    assert_eq!(
        first.health.as_ref().unwrap().status,
        HealthStatusCode::Missing
    );
    let images = &first.summary.as_ref().unwrap().images;
    assert!(images.is_empty(), "nothing runs yet: {images:?}");
    assert_eq!(first.reconciled_at, Some(seconds(at(10))));
    let second = status_of(&first, State::Missing, 99);
    assert_eq!(second, first);
    let third = status_of(&first, State::Synced, 100);
    assert_eq!(third.reconciled_at, Some(seconds(at(100))));
}

#[test]
fn drift_keeps_the_time_it_was_noticed() {
    let drifted = State::Drifted(vec![DriftedField {
        path: Path::from_fields(&["spec", "replicas"]),
        desired: Some("3".into()),
        live: Some("5".into()),
        manager: None,
        since: None,
    }]);
    let first = status_of(&ApplicationStatus::default(), drifted.clone(), 10);
    let second = status_of(&first, drifted, 20);
    let drift = &second.resources[0].drift[0];
    assert_eq!(
        (drift.path.as_str(), &drift.since),
        (".spec.replicas", &Some(seconds(at(10))))
    );
    assert_eq!(second, first);
}

/// A status whose only object is live with this health, as the API server would give it back.
fn with_health(previous: &ApplicationStatus, health: Health, now: i64) -> ApplicationStatus {
    let desired = desired();
    let key = desired.objects.keys().next().unwrap().clone();
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata":
        {"name": "web", "namespace": "n", "uid": "u", "resourceVersion": "1"}});
    let mut live = LiveObject::observe(&object, false).unwrap();
    live.health = Some(health);
    let compared = Compared {
        desired: &desired,
        hooks: &[],
        denied: &[],
        ignored: &HashMap::new(),
        comparison: &Comparison::from([(key.clone(), State::Synced)]),
        live: &HashMap::from([(key, live)]),
        revisions: &[],
        source_types: &[],
    };
    build(&Report {
        previous,
        spec: &ApplicationSpec::default(),
        compared: Some(compared),
        conditions: &BTreeSet::new(),
        reasons: &[],
        operation: None,
        live: None,
        tracked: None,
        namespace: "argocd",
        max_bytes: size::MAX_STATUS,
        now: at(now),
    })
}

#[test]
fn since_when_it_is_not_healthy_stays_while_only_the_words_change() {
    let times = |status: &ApplicationStatus| {
        let time = |health: Option<&HealthStatus>| {
            let time = health?.last_transition_time.clone()?;
            Some(time.0.as_second())
        };
        (
            time(status.health.as_ref()),
            time(status.resources[0].health.as_ref()),
        )
    };
    let none = ApplicationStatus::default();
    let first = with_health(
        &none,
        Health::new(HealthStatusCode::Progressing, "1 of 3"),
        10,
    );
    assert_eq!(times(&first), (Some(10), Some(10)));
    let second = with_health(
        &first,
        Health::new(HealthStatusCode::Progressing, "2 of 3"),
        20,
    );
    assert_eq!(times(&second), (Some(10), Some(10)));
    assert_eq!(
        second.health.as_ref().unwrap().message,
        "Caused by apps/Deployment:n/web (2 of 3)"
    );
    let third = with_health(
        &second,
        Health::new(HealthStatusCode::Degraded, "too late"),
        30,
    );
    assert_eq!(times(&third), (Some(30), Some(30)));
    let fine = with_health(&third, Health::new(HealthStatusCode::Healthy, ""), 40);
    assert_eq!(times(&fine), (Some(40), None));
    assert_eq!(
        with_health(&fine, Health::new(HealthStatusCode::Healthy, ""), 50),
        fine
    );
}

/// A summary of what is live: an ingress, a deployment that runs `web:2`, a hook that is still there.
#[test]
fn the_summary_and_hooks_are_what_is_live() {
    let desired = desired();
    let key = desired.objects.keys().next().unwrap().clone();
    let object = |kind: &str, image: &str, annotations: serde_json::Value| {
        let object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web",
            "namespace": "n", "uid": kind, "resourceVersion": "1", "annotations": annotations},
            "spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
        LiveObject::observe(&object, false).unwrap()
    };
    let link = json!({"link.argocd.argoproj.io/shop": "https://shop.example.com"});
    let hooks = [object(
        "Job",
        "job:1",
        json!({"argocd.argoproj.io/hook": "PreSync"}),
    )];
    let summary = |previous: &ApplicationStatus, image: &str, health: HealthStatusCode, hooks| {
        let mut live = object("Deployment", image, link.clone());
        live.health = Some(Health::new(health, ""));
        build(&Report {
            previous,
            spec: &ApplicationSpec::default(),
            compared: Some(Compared {
                desired: &desired,
                hooks,
                denied: &[],
                ignored: &HashMap::new(),
                comparison: &Comparison::from([(key.clone(), State::Synced)]),
                live: &HashMap::from([(key.clone(), live)]),
                revisions: &[],
                source_types: &[],
            }),
            conditions: &BTreeSet::new(),
            reasons: &[],
            operation: None,
            live: None,
            tracked: None,
            namespace: "argocd",
            max_bytes: size::MAX_STATUS,
            now: at(10),
        })
    };
    let images = |status: &ApplicationStatus| status.summary.as_ref().unwrap().images.clone();
    let healthy = HealthStatusCode::Healthy;
    let first = summary(&ApplicationStatus::default(), "web:2", healthy, &hooks);
    assert_eq!(images(&first), ["job:1", "web:2"]);
    assert_eq!(
        first.summary.as_ref().unwrap().external_urls,
        ["https://shop.example.com"]
    );
    let listed = first.resources.iter().find(|resource| resource.hook);
    let listed = listed.unwrap();
    assert_eq!(
        (listed.kind.as_str(), listed.version.as_str(), listed.status),
        ("Job", "v1", None)
    );
    let without = summary(&first, "web:2", healthy, &[]);
    assert_eq!(images(&without), ["web:2"]);
    assert!(without.resources.iter().all(|resource| !resource.hook));
    let rolls = summary(&without, "web:3", HealthStatusCode::Progressing, &[]);
    assert_eq!(images(&rolls), ["web:2", "web:3"], "both run");
    let done = summary(&rolls, "web:3", healthy, &[]);
    assert_eq!(images(&done), ["web:3"]);
}

#[test]
fn without_a_comparison_the_objects_stay_and_sync_is_unknown() {
    let before = status_of(&ApplicationStatus::default(), State::Synced, 10);
    let conditions = BTreeSet::from([Condition::new(
        "ComparisonError",
        Reason::ComparisonFailed {
            detail: "no".into(),
        },
    )]);
    let report = Report {
        previous: &before,
        spec: &ApplicationSpec::default(),
        compared: None,
        conditions: &conditions,
        reasons: &[],
        operation: None,
        live: None,
        tracked: None,
        namespace: "argocd",
        max_bytes: size::MAX_STATUS,
        now: at(20),
    };
    let after = build(&report);
    assert_eq!(after.sync.as_ref().unwrap().status, SyncStatusCode::Unknown);
    assert_eq!(after.sync.as_ref().unwrap().revision, "abc");
    assert_eq!(after.resources, before.resources);
    assert_eq!(
        after.conditions[0].last_transition_time,
        Some(seconds(at(20)))
    );
    let codes: Vec<_> = after
        .reasons
        .iter()
        .map(|said| said.code.as_str())
        .collect();
    assert_eq!(codes, ["ComparisonFailed"]);
    assert_eq!(after.reasons[0].since, Some(seconds(at(20))));
    let later = build(&Report {
        previous: &after,
        now: at(30),
        ..report
    });
    assert_eq!(later, after);
}

#[test]
fn merge_patches_say_only_what_changed() {
    let cases = [
        (json!({"a": 1}), json!({"a": 1}), None),
        (
            json!({"a": 1, "b": 2}),
            json!({"a": 1}),
            Some(json!({"b": null})),
        ),
        (
            json!({"a": {"x": 1, "y": 1}}),
            json!({"a": {"x": 1, "y": 2}}),
            Some(json!({"a": {"y": 2}})),
        ),
        (
            json!({"a": [1]}),
            json!({"a": [2]}),
            Some(json!({"a": [2]})),
        ),
        (
            json!({}),
            json!({"a": {"b": 1}}),
            Some(json!({"a": {"b": 1}})),
        ),
    ];
    for (before, after, expected) in cases {
        assert_eq!(merge_patch(&before, &after), expected);
    }
}

#[test]
fn what_is_on_its_way_out_is_no_longer_in_sync() {
    let mut status: ApplicationStatus = serde_json::from_value(json!({
        "sync": {"status": "Synced"}, "health": {"status": "Healthy"},
        "resources": [
            {"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "n", "name": "a", "status": "Synced"},
            {"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "n", "name": "b", "status": "Synced"},
        ],
    }))
    .unwrap();
    let now = Timestamp::from_second(60).unwrap();
    let before = status.clone();
    note_leaving(&mut status, &BTreeSet::new(), now);
    assert_eq!(status, before, "nothing is being deleted yet");
    let leaving = identity(&status.resources[1]).1;
    note_leaving(&mut status, &BTreeSet::from([leaving]), now);
    let codes: Vec<_> = status.resources.iter().map(|r| r.status).collect();
    assert_eq!(
        codes,
        [
            Some(SyncStatusCode::Synced),
            Some(SyncStatusCode::OutOfSync)
        ]
    );
    assert_eq!(status.sync.unwrap().status, SyncStatusCode::OutOfSync);
    assert_eq!(status.health.unwrap().status, HealthStatusCode::Progressing);
}
