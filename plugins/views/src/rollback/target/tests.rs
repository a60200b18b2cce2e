use gitops_api::status::{CommitSummary, SyncStatus};
use gitops_api::{ApplicationStatus, Time};

use super::*;

fn time(minute: i64) -> Time {
    Time(Timestamp::from_second(minute * 60).unwrap())
}

/// `id digest healthy degraded`; `-` is never.
fn application(history: &[(i64, &str, i64, i64)]) -> Application {
    let mut application = Application::default();
    application.spec.source = Some(ApplicationSource::default());
    let at = |minute: i64| (minute >= 0).then(|| time(minute));
    application.status = Some(ApplicationStatus {
        history: history
            .iter()
            .map(|(id, digest, healthy, degraded)| RevisionHistory {
                id: *id,
                revision: format!("{id:0>40}"),
                desired_digest: (*digest).to_owned(),
                healthy_at: at(*healthy),
                degraded_at: at(*degraded),
                ..RevisionHistory::default()
            })
            .collect(),
        sync: Some(SyncStatus {
            revision: format!("{:0>40}", history.last().map_or(0, |last| last.0)),
            ..SyncStatus::default()
        }),
        ..ApplicationStatus::default()
    });
    application
}

fn chosen(
    history: &[(i64, &str, i64, i64)],
    wanted: &str,
    tracked: Tracked<'_>,
) -> Result<i64, String> {
    choose(
        &application(history),
        &wanted.parse().unwrap(),
        tracked,
        time(100).0,
    )
    .map(|target| target.entry.map_or(-1, |entry| entry.id))
}

#[test]
fn the_last_that_worked() {
    let tracked = Tracked::Renders("bad");
    let history = [(1, "a", 1, -1), (2, "b", 5, -1), (3, "bad", -1, 9)];
    assert_eq!(chosen(&history, "", tracked), Ok(2));
    // What is tracked was never delivered: the newest that worked is the one.
    assert_eq!(chosen(&history[..2], "", tracked), Ok(2));
    assert_eq!(chosen(&history[..2], "", Tracked::Broken), Ok(2));
    // One that broke later comes last.
    let later = [(1, "a", 1, -1), (2, "b", 5, 7), (3, "bad", -1, 9)];
    assert_eq!(chosen(&later, "", tracked), Ok(1));
    assert_eq!(chosen(&later[1..], "", tracked), Ok(2));
    // Degraded first, healthy afterwards: a slow start.
    let slow = [(2, "b", 5, 4), (3, "bad", -1, 9)];
    assert_eq!(chosen(&slow, "", tracked), Ok(2));
    // What is tracked now is never the target, however often it was delivered.
    let again = [(1, "a", 1, -1), (2, "b", 2, -1), (3, "a", 3, -1)];
    assert_eq!(
        chosen(&again, "@{last-healthy}", Tracked::Renders("a")),
        Ok(2)
    );
}

#[test]
fn what_crash_loops_is_not_gone_back_to_and_what_is_live_and_new_is() {
    let mut application = application(&[(0, "good", 0, -1), (1, "v2", 10, -1), (2, "v3", 20, -1)]);
    let history = &mut application.status.as_mut().unwrap().history;
    for (entry, lost) in history.iter_mut().zip([-1, 11, 21]) {
        entry.deployed_at = Some(time(10 * entry.id));
        entry.lost_at = (lost >= 0).then(|| time(lost));
    }
    let last_good = |application: &Application, tracked| {
        let target = choose(application, &Wanted::LastHealthy, tracked, time(30).0).unwrap();
        target.entry.map(|entry| entry.id)
    };
    assert_eq!(last_good(&application, Tracked::Renders("v3")), Some(0));
    // A commit that does not render stops nothing that runs: what is live is the target, also in
    // its first minute.
    let newest = application
        .status
        .as_mut()
        .unwrap()
        .history
        .last_mut()
        .unwrap();
    newest.lost_at = None;
    newest.deployed_at = Some(time(30));
    newest.healthy_at = Some(time(30));
    newest.healthy_since = Some(time(30));
    assert_eq!(last_good(&application, Tracked::Broken), Some(2));
}

#[test]
fn nothing_to_go_back_to() {
    let tracked = Tracked::Renders("a");
    assert!(
        chosen(&[], "", tracked)
            .unwrap_err()
            .contains("nothing was ever delivered")
    );
    let only = chosen(&[(1, "a", 1, -1)], "", tracked).unwrap_err();
    assert!(only.contains("which is what is tracked"), "{only}");
    let never = chosen(&[(1, "b", -1, 3)], "", tracked).unwrap_err();
    assert!(never.contains("none of the 1 deliveries"), "{never}");
    let far = chosen(&[(1, "b", 1, -1)], "-2", tracked).unwrap_err();
    assert!(far.contains("goes back 1"), "{far}");
}

#[test]
fn by_number_step_and_revision() {
    let history = [
        (1, "a", -1, 1),
        (2, "b", -1, 1),
        (3, "b", -1, 1),
        (4, "c", -1, 1),
    ];
    let tracked = Tracked::Renders("c");
    assert_eq!(chosen(&history, "-1", tracked), Ok(3));
    assert_eq!(chosen(&history, "-2", tracked), Ok(1));
    assert_eq!(chosen(&history, "2", tracked), Ok(2));
    assert_eq!(chosen(&history, &format!("{:0>40}", 1), tracked), Ok(1));
    assert_eq!(chosen(&history, "77777", tracked), Ok(-1));
    let none = chosen(&history, "77", tracked).unwrap_err();
    assert!(none.contains("has 1 to 4"), "{none}");
    assert_eq!(chosen(&history, "v1.2", tracked), Ok(-1));
    let target = choose(
        &application(&history),
        &"v1.2".parse().unwrap(),
        tracked,
        time(100).0,
    )
    .unwrap();
    assert_eq!(
        (target.revision.as_str(), target.revisions.len()),
        ("v1.2", 1)
    );
}

#[test]
fn the_tracked_digest_is_known_when_it_was_delivered() {
    let mut application = application(&[(1, "a", 1, -1), (2, "b", 2, -1)]);
    assert_eq!(tracked_digest(&application), Some("b"));
    // A commit that does not render is followed, and is not what was compared.
    let mut broken = application.clone();
    broken.status.as_mut().unwrap().tracked = Some(CommitSummary::default());
    assert_eq!(tracked_digest(&broken), None);
    let mut foreign = application.clone();
    let failed = ApplicationCondition {
        condition_type: condition::COMPARISON_ERROR.into(),
        ..ApplicationCondition::default()
    };
    foreign.status.as_mut().unwrap().conditions = vec![failed];
    assert_eq!(tracked_digest(&foreign), None);
    let status = application.status.as_mut().unwrap();
    status.sync.as_mut().unwrap().revision = "elsewhere".into();
    assert_eq!(tracked_digest(&application), None);
}

#[test]
fn charts_stay_and_other_sources_of_the_repository_follow() {
    let mut application = application(&[]);
    let source = |url: &str, chart: &str| ApplicationSource {
        repo_url: url.into(),
        chart: chart.into(),
        ..ApplicationSource::default()
    };
    application.spec.sources = vec![
        source("https://charts", "redis"),
        source("https://host/x.git", ""),
        source("https://host/x", ""),
        source("https://host/y", ""),
    ];
    let target = choose(
        &application,
        &"v2".parse().unwrap(),
        Tracked::Broken,
        time(100).0,
    )
    .unwrap();
    assert_eq!(target.revisions, ["", "v2", "v2", ""]);
    let entry = RevisionHistory {
        revisions: ["1.0", "a", "a", "b"].map(str::to_owned).to_vec(),
        ..RevisionHistory::default()
    };
    let target = of_entry(&application.spec.sources, &entry, String::new());
    assert_eq!(
        (target.revision.as_str(), target.revisions.join(" ")),
        ("a", " a a b".into())
    );
}
