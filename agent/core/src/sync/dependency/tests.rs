use gitops_api::ApplicationStatus;
use gitops_api::status::{ComparedTo, HealthStatus, OperationState};
use gitops_api::{Operation, OperationPhase};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::*;

fn source(repository: &str, revision: &str, path: &str) -> ApplicationSource {
    ApplicationSource {
        repo_url: repository.into(),
        target_revision: revision.into(),
        path: path.into(),
        ..ApplicationSource::default()
    }
}

/// Synced to this commit, and healthy.
fn ready(source: ApplicationSource, commit: &str) -> Application {
    let mut app = Application::default();
    app.spec.source = Some(source.clone());
    app.status = Some(ApplicationStatus {
        sync: Some(SyncStatus {
            status: SyncStatusCode::Synced,
            revision: commit.into(),
            compared_to: Some(ComparedTo {
                source: Some(source),
                ..ComparedTo::default()
            }),
            ..SyncStatus::default()
        }),
        health: Some(HealthStatus {
            status: HealthStatusCode::Healthy,
            ..HealthStatus::default()
        }),
        ..ApplicationStatus::default()
    });
    app
}

#[test]
fn names_are_read_and_what_is_none_is_named() {
    let table: [(&str, &[&str], usize); 8] = [
        ("", &[], 0),
        ("db", &["db"], 0),
        ("db, cache", &["db", "cache"], 0),
        (" db\n  cache,\tdb\n", &["db", "cache"], 0),
        ("argocd/db", &["db"], 0),
        ("team-a/db", &[], 1),
        ("shop", &[], 1),
        ("argocd/shop db", &["db"], 1),
    ];
    for (text, names, problems) in table {
        let (found, wrong) = parse(text, "argocd", "shop");
        assert_eq!(found, names, "{text:?}");
        assert_eq!(wrong.len(), problems, "{text:?}: {wrong:?}");
    }
}

#[test]
fn only_what_is_there_compared_synced_and_healthy_is_ready() {
    let of = |path| source("https://git.example/config.git", "main", path);
    let good = || ready(of("db"), "c2");
    let with = |change: &dyn Fn(&mut Application)| {
        let mut app = good();
        change(&mut app);
        app
    };
    let status =
        |change: &dyn Fn(&mut ApplicationStatus)| with(&|app| change(app.status.as_mut().unwrap()));
    let own = of("shop");
    let follows: [Followed<'_>; 1] = [(&own, "c2")];
    let behind = Unready::Behind {
        revision: "c2".into(),
    };
    let not_healthy = |health| Unready::NotHealthy { health };
    let table = vec![
        ("all is well", good(), None),
        (
            "on its way out",
            with(&|app| app.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH))),
            Some(Unready::Deleting),
        ),
        (
            "never looked at",
            with(&|app| app.status = None),
            Some(Unready::NotCompared),
        ),
        (
            "another spec was compared",
            with(&|app| app.spec.source = Some(of("other"))),
            Some(Unready::NotCompared),
        ),
        (
            "a sync is asked for",
            with(&|app| app.operation = Some(Operation::default())),
            Some(Unready::Syncing),
        ),
        (
            "it syncs",
            status(&|status| {
                status.operation_state = Some(OperationState {
                    phase: OperationPhase::Running,
                    ..OperationState::default()
                });
            }),
            Some(Unready::Syncing),
        ),
        (
            "the commit before was compared",
            status(&|status| status.sync.as_mut().unwrap().revision = "c1".into()),
            Some(behind.clone()),
        ),
        (
            "it is behind and differs",
            status(&|status| {
                let sync = status.sync.as_mut().unwrap();
                (sync.revision, sync.status) = ("c1".into(), SyncStatusCode::OutOfSync);
            }),
            Some(behind),
        ),
        (
            "it differs",
            status(&|status| status.sync.as_mut().unwrap().status = SyncStatusCode::OutOfSync),
            Some(Unready::OutOfSync),
        ),
        (
            "nobody knows",
            status(&|status| status.sync.as_mut().unwrap().status = SyncStatusCode::Unknown),
            Some(Unready::NotCompared),
        ),
        (
            "it progresses",
            status(&|status| {
                status.health.as_mut().unwrap().status = HealthStatusCode::Progressing;
            }),
            Some(not_healthy(HealthStatusCode::Progressing)),
        ),
        (
            "its health is not known",
            status(&|status| status.health = None),
            Some(not_healthy(HealthStatusCode::Unknown)),
        ),
        // What it follows says nothing of what the other one follows.
        (
            "another branch",
            ready(
                source("https://git.example/config.git", "stable", "db"),
                "c1",
            ),
            None,
        ),
        (
            "another repository",
            ready(source("https://git.example/db.git", "main", "."), "c1"),
            None,
        ),
        (
            "the same repository by another name",
            ready(source("https://git.example/config", "main", "db"), "c1"),
            Some(Unready::Behind {
                revision: "c2".into(),
            }),
        ),
    ];
    for (what, app, expected) in table {
        assert_eq!(unready(Some(&app), &follows), expected, "{what}");
    }
    assert_eq!(unready(None, &follows), Some(Unready::Missing));
}

#[test]
fn circles_are_found_from_each_of_their_members_and_from_nobody_else() {
    let edges = [
        ("shop", "api db"),
        ("api", "db"),
        ("db", "disk"),
        ("disk", ""),
        ("a", "b"),
        ("b", "x c"),
        ("c", "a"),
        ("x", "a"),
        ("outside", "a"),
    ];
    let depends_on = |name: &str| -> Vec<String> {
        let found = edges.iter().find(|(from, _)| *from == name);
        let text = found.map_or("", |(_, text)| text);
        text.split_whitespace().map(str::to_owned).collect()
    };
    for (start, expected) in [
        ("shop", None),
        ("disk", None),
        ("missing", None),
        ("outside", None),
        ("a", Some("a b c a")),
        ("c", Some("c a b c")),
        ("x", Some("x a b x")),
    ] {
        let found = circle(start, depends_on).map(|names| names.join(" "));
        assert_eq!(found.as_deref(), expected, "{start}");
    }
}
