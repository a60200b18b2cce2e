use jiff::ToSpan;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn of(windows: &Value) -> Windows {
    let windows: Vec<SyncWindow> = serde_json::from_value(windows.clone()).unwrap();
    let destination = serde_json::from_value(
        json!({"server": "https://kubernetes.default.svc", "namespace": "shop-prod"}),
    )
    .unwrap();
    Windows::of("shop", &windows, "cart", &destination, |name| {
        (name == "Europe/Berlin").then(|| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `open`, or when it opens.
fn asked(windows: &Value, asked: Asked, began: Option<&str>, now: &str) -> String {
    match of(windows).judge(asked, began.map(at), at(now)) {
        Verdict::Open => "open".into(),
        Verdict::Closed(Closed {
            opens: Some(moment),
            ..
        }) => moment.to_string(),
        Verdict::Closed(_) => "never".into(),
    }
}

fn automated(windows: &Value, now: &str) -> String {
    asked(windows, Asked::Automatically, None, now)
}

fn window(kind: &str, schedule: &str, duration: &str) -> Value {
    json!({"kind": kind, "schedule": schedule, "duration": duration, "applications": ["*"]})
}

#[test]
fn deny_wins_over_allow_and_a_closed_allow_denies() {
    let night = window("deny", "0 22 * * *", "8h");
    let office = window("allow", "0 9 * * 1-5", "8h");
    for (windows, now, expected) in [
        (json!([]), "2026-11-21T23:00:00Z", "open"),
        (json!([night]), "2026-11-21T21:59:59Z", "open"),
        (
            json!([night]),
            "2026-11-21T22:00:00Z",
            "2026-11-22T06:00:00Z",
        ),
        (
            json!([night]),
            "2026-11-22T05:59:59Z",
            "2026-11-22T06:00:00Z",
        ),
        (json!([night]), "2026-11-22T06:00:00Z", "open"),
        // 21 November 2026 is a Saturday.
        (
            json!([office]),
            "2026-11-21T10:00:00Z",
            "2026-11-23T09:00:00Z",
        ),
        (json!([office]), "2026-11-23T10:00:00Z", "open"),
        (
            json!([office, night]),
            "2026-11-20T23:00:00Z",
            "2026-11-23T09:00:00Z",
        ),
        (
            json!([office, window("deny", "0 0 * * 1", "12h")]),
            "2026-11-21T10:00:00Z",
            "2026-11-23T12:00:00Z",
        ),
        // Of two allow windows one is enough.
        (
            json!([office, window("allow", "0 10 * * 6", "1h")]),
            "2026-11-21T10:30:00Z",
            "open",
        ),
        // Always open: no end in sight.
        (
            json!([window("deny", "* * * * *", "1m")]),
            "2026-11-21T10:30:00Z",
            "never",
        ),
        (
            json!([window("deny", "* * * * *", "1h")]),
            "2026-11-21T10:30:00Z",
            "never",
        ),
    ] {
        assert_eq!(automated(&windows, now), expected, "{windows} at {now}");
    }
}

#[test]
fn a_window_without_end_is_asked_again() {
    let verdict = of(&json!([window("deny", "* * * * *", "1m")])).judge(
        Asked::Automatically,
        None,
        at("2026-11-21T10:30:00Z"),
    );
    let Verdict::Closed(closed) = verdict else {
        panic!("it is closed");
    };
    assert!(closed.ask_again.unwrap() > at("2026-11-21T12:00:00Z"));
    assert!(
        closed.reason.to_string().contains("no upcoming window"),
        "{}",
        closed.reason
    );
}

#[test]
fn people_may_when_all_windows_in_the_way_say_so() {
    let with = |kind: &str, manual: bool| {
        let mut window = window(kind, "0 22 * * *", "8h");
        window["manualSync"] = json!(manual);
        window
    };
    let by_hand = |windows: Value, now| asked(&windows, Asked::ByHand, None, now);
    let night = "2026-11-21T23:00:00Z";
    let day = "2026-11-21T12:00:00Z";
    assert_eq!(by_hand(json!([with("deny", true)]), night), "open");
    assert_eq!(
        by_hand(json!([with("deny", false)]), night),
        "2026-11-22T06:00:00Z"
    );
    assert_eq!(
        by_hand(json!([with("deny", true), with("deny", false)]), night),
        "2026-11-22T06:00:00Z"
    );
    assert_eq!(by_hand(json!([with("allow", true)]), day), "open");
    assert_eq!(
        by_hand(json!([with("allow", false)]), day),
        "2026-11-21T22:00:00Z"
    );
    assert_eq!(
        automated(&json!([with("deny", true)]), night),
        "2026-11-22T06:00:00Z"
    );
}

#[test]
fn a_sync_under_way_goes_on_only_where_it_may_overrun() {
    let with = |overrun: bool| {
        let mut window = window("deny", "0 22 * * *", "8h");
        window["syncOverrun"] = json!(overrun);
        json!([window])
    };
    let now = "2026-11-21T22:05:00Z";
    let began = |overrun, began| asked(&with(overrun), Asked::Automatically, Some(began), now);
    assert_eq!(began(true, "2026-11-21T21:55:00Z"), "open");
    assert_eq!(began(false, "2026-11-21T21:55:00Z"), "2026-11-22T06:00:00Z");
    // It began while it was not allowed.
    assert_eq!(began(true, "2026-11-21T22:01:00Z"), "2026-11-22T06:00:00Z");
    let mut allow = window("allow", "0 9 * * *", "1h");
    allow["syncOverrun"] = json!(true);
    let overrun = |began| {
        asked(
            &json!([allow]),
            Asked::Automatically,
            Some(began),
            "2026-11-21T10:05:00Z",
        )
    };
    assert_eq!(overrun("2026-11-21T09:59:00Z"), "open");
    assert_eq!(overrun("2026-11-21T10:01:00Z"), "2026-11-22T09:00:00Z");
}

#[test]
fn which_applications_a_window_is_for() {
    let night = |fields: Value| {
        let mut window = json!({"kind": "deny", "schedule": "0 22 * * *", "duration": "8h"});
        for (name, value) in fields.as_object().unwrap() {
            window[name.as_str()] = value.clone();
        }
        automated(&json!([window]), "2026-11-21T23:00:00Z") != "open"
    };
    for (fields, expected) in [
        (json!({}), false),
        (json!({"applications": ["c*"]}), true),
        (json!({"applications": ["other", "cart"]}), true),
        (json!({"applications": ["other"]}), false),
        (json!({"namespaces": ["*-prod"]}), true),
        (json!({"clusters": ["in-cluster"]}), true),
        (
            json!({"clusters": ["https://kubernetes.default.svc"]}),
            true,
        ),
        (json!({"clusters": ["https://elsewhere"]}), false),
        (
            json!({"applications": ["other"], "namespaces": ["shop-prod"]}),
            true,
        ),
        (
            json!({"applications": ["other"], "namespaces": ["shop-prod"], "andOperator": true}),
            false,
        ),
        (
            json!({"applications": ["cart"], "namespaces": ["shop-prod"], "andOperator": true}),
            true,
        ),
        (json!({"andOperator": true}), false),
    ] {
        assert_eq!(night(fields.clone()), expected, "{fields}");
    }
}

#[test]
fn a_window_whose_patterns_cannot_be_read_lets_nothing_pass() {
    let noon = "2026-11-21T12:00:00Z";
    for unreadable in ["[", "{a", &"a".repeat(2000), &"{}".repeat(100_000)] {
        for kind in ["deny", "allow"] {
            for (fields, expected) in [
                (json!({"applications": [unreadable]}), "never"),
                (json!({"namespaces": ["other", unreadable]}), "never"),
                (json!({"clusters": [unreadable]}), "never"),
                // Another pattern decides.
                (
                    json!({"applications": ["other"], "namespaces": [unreadable], "andOperator": true}),
                    "open",
                ),
                (
                    json!({"applications": ["cart"], "namespaces": [unreadable], "andOperator": true}),
                    "never",
                ),
            ] {
                let mut window = json!({"kind": kind, "schedule": "0 3 * * *", "duration": "1h"});
                window
                    .as_object_mut()
                    .unwrap()
                    .extend(fields.as_object().unwrap().clone());
                let windows = json!([window]);
                assert_eq!(automated(&windows, noon), expected, "{kind} {fields}");
                let named = of(&windows)
                    .problems()
                    .any(|problem| problem.to_string().contains("cannot be read"));
                assert_eq!(named, expected == "never", "{kind} {fields}");
            }
        }
        // It is for this application by its name, and can be judged.
        let windows = json!([{"kind": "deny", "schedule": "0 3 * * *", "duration": "1h",
            "applications": ["cart"], "namespaces": [unreadable]}]);
        assert_eq!(automated(&windows, noon), "open");
    }
}

#[test]
fn what_is_said() {
    let mut freeze = window("deny", "0 22 * * *", "8h");
    freeze["timeZone"] = json!("Europe/Berlin");
    freeze["description"] = json!("freeze");
    let reason = |windows: &Value, asked, now| match of(windows).judge(asked, None, at(now)) {
        Verdict::Closed(closed) => closed.reason.to_string(),
        Verdict::Open => "open".into(),
    };
    assert_eq!(
        reason(
            &json!([freeze]),
            Asked::Automatically,
            "2026-07-21T20:30:00Z"
        ),
        "no automated sync: of project shop, deny window \"0 22 * * *\" Europe/Berlin for 8h \
         (freeze) is open; allowed from 2026-07-22T04:00:00Z"
    );
    assert_eq!(
        reason(
            &json!([window("allow", "0 9 * * *", "1h")]),
            Asked::ByHand,
            "2026-07-21T20:30:00Z"
        ),
        "manual sync not allowed: of project shop, allow window \"0 9 * * *\" UTC for 1h is not open; \
         allowed from 2026-07-22T09:00:00Z"
    );
}

#[test]
fn windows_that_cannot_be_read_let_nothing_pass_and_are_named() {
    for (bad, expected) in [
        (
            window("deny", "0 25 * * *", "1h"),
            "schedule \"0 25 * * *\": hour \"25\"",
        ),
        (window("deny", "0 5 * * *", "1"), "duration"),
        (window("deny", "0 5 * * *", ""), "duration"),
        (window("Deny", "0 5 * * *", "1h"), "neither allow nor deny"),
    ] {
        let windows = json!([bad, window("allow", "0 0 * * *", "24h")]);
        let Verdict::Closed(closed) =
            of(&windows).judge(Asked::ByHand, None, at("2026-11-21T12:00:00Z"))
        else {
            panic!("{bad} lets a sync pass");
        };
        let said = closed.reason.to_string();
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("spec.syncWindows[0] of project shop"));
        assert_eq!(of(&windows).problems().count(), 1);
    }
    // One for other applications is none of ours.
    let mut other = window("deny", "x", "1h");
    other["applications"] = json!(["other"]);
    assert_eq!(automated(&json!([other]), "2026-11-21T12:00:00Z"), "open");
    // An unknown time zone is said, and is UTC.
    let mut elsewhere = window("deny", "0 22 * * *", "8h");
    elsewhere["timeZone"] = json!("Mars/Olympus");
    assert_eq!(
        automated(&json!([elsewhere]), "2026-11-21T23:00:00Z"),
        "2026-11-22T06:00:00Z"
    );
    let problems: Vec<_> = of(&json!([elsewhere]))
        .problems()
        .map(|problem| problem.to_string())
        .collect();
    assert!(
        problems[0].contains("no time zone \"Mars/Olympus\"; UTC is used"),
        "{problems:?}"
    );
}

fn any_window() -> impl Strategy<Value = Value> {
    let schedules = prop::sample::select(vec![
        "0 22 * * *",
        "*/30 * * * *",
        "0 9 * * 1-5",
        "15 3 1 * *",
        "30 2 * * *",
        "0 0 13 * 5",
        "59 23 31 12 *",
        "0 */5 * * *",
    ]);
    let durations = prop::sample::select(vec!["1m", "10m", "30m", "1h", "8h", "36h"]);
    let zones = prop::sample::select(vec!["", "Europe/Berlin"]);
    (any::<bool>(), schedules, durations, zones, any::<bool>()).prop_map(
        |(denies, schedule, duration, zone, manual)| {
            let mut window = window(if denies { "deny" } else { "allow" }, schedule, duration);
            window["timeZone"] = json!(zone);
            window["manualSync"] = json!(manual);
            window
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A sync that may not be now may be at the moment that is named, and never before.
    #[test]
    fn the_opening_is_the_first_moment(
        windows in prop::collection::vec(any_window(), 1..4),
        second in 1_750_000_000_i64..1_810_000_000,
        manual in any::<bool>(),
        part in 0.0..1.0_f64,
    ) {
        let windows = of(&json!(windows));
        let asked = if manual { Asked::ByHand } else { Asked::Automatically };
        let now = Timestamp::from_second(second).unwrap();
        if let Verdict::Closed(closed) = windows.judge(asked, None, now) {
            let end = closed.opens.or(closed.ask_again).unwrap_or(now);
            if let Some(opens) = closed.opens {
                prop_assert!(opens > now);
                prop_assert_eq!(windows.judge(asked, None, opens), Verdict::Open);
            }
            let span = end.as_second() - second;
            let between = Timestamp::from_second(second + (span as f64 * part) as i64).unwrap();
            if between < end {
                prop_assert!(windows.judge(asked, None, between) != Verdict::Open, "{between}");
            }
        }
    }

    /// A window is open for its duration from each of its moments, whatever the clocks do.
    #[test]
    fn open_from_each_moment_for_the_duration(second in 1_750_000_000_i64..1_810_000_000) {
        let windows = of(&json!([{"kind": "deny", "schedule": "30 2 * * *", "duration": "3h",
            "timeZone": "Europe/Berlin", "applications": ["*"]}]));
        let now = Timestamp::from_second(second).unwrap();
        let schedule = &windows.readable[0].schedule;
        let opens = schedule.next(now, &windows.readable[0].zone).unwrap();
        let is_open = |moment| windows.judge(Asked::Automatically, None, moment) != Verdict::Open;
        prop_assert!(!is_open(opens - 1.second()));
        prop_assert!(is_open(opens));
        prop_assert!(is_open(opens + 3.hours() - 1.second()));
        prop_assert!(!is_open(opens + 3.hours()));
        // Every day has one opening.
        let following = schedule.next(opens, &windows.readable[0].zone).unwrap();
        let gap = following.as_second() - opens.as_second();
        prop_assert!((22 * 3600..=26 * 3600).contains(&gap), "{gap}");
    }
}
