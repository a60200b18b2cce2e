use jiff::ToSpan;

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: "n".into(),
        name: name.into(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + second.seconds()
}

const HEALING: Automated = Automated {
    prune: true,
    self_heal: true,
};

type Case = (
    &'static str,
    Option<Automated>,
    State,
    Option<Attempt>,
    Decision,
);

#[test]
fn decisions() {
    let ok = Some(Attempt {
        succeeded: true,
        retries: 0,
        finished: at(0),
        terminated: false,
        cause: Cause::Objects,
        by_argo_cd: false,
    });
    let failed = |retries, finished| {
        Some(Attempt {
            succeeded: false,
            retries,
            finished: at(finished),
            terminated: false,
            cause: Cause::Objects,
            by_argo_cd: false,
        })
    };
    let of = |cause, attempt: Option<Attempt>| attempt.map(|attempt| Attempt { cause, ..attempt });
    let hooks = |retries| of(Cause::Hooks, failed(retries, 90));
    let kinds = |retries| of(Cause::UnknownKinds, failed(retries, 90));
    let heal = |name: &str| Decision::Heal(BTreeSet::from([key(name)]));
    let plain = Automated::default();
    let cases: Vec<Case> = vec![
        (
            "in sync",
            Some(HEALING),
            State::Synced,
            None,
            Decision::Nothing(Idle::Synced),
        ),
        (
            "manual",
            None,
            State::Changed,
            None,
            Decision::Nothing(Idle::Manual),
        ),
        (
            "new commit",
            Some(plain),
            State::Changed,
            None,
            Decision::Sync { retry: 0 },
        ),
        (
            "first sync",
            Some(plain),
            State::Missing,
            None,
            Decision::Sync { retry: 0 },
        ),
        (
            "prune off",
            Some(plain),
            State::Extra,
            None,
            Decision::Nothing(Idle::OnlyPrune),
        ),
        (
            "prune on",
            Some(HEALING),
            State::Extra,
            None,
            Decision::Sync { retry: 0 },
        ),
        (
            "handed over later",
            Some(plain),
            State::HandedOver("b".into()),
            ok,
            Decision::Sync { retry: 0 },
        ),
        (
            "handed over, synced by hand",
            None,
            State::HandedOver("b".into()),
            ok,
            Decision::Nothing(Idle::Manual),
        ),
        (
            "foreign",
            Some(HEALING),
            State::OwnedBy("b".into()),
            None,
            Decision::Nothing(Idle::NothingToApply),
        ),
        (
            "drift, heal off",
            Some(plain),
            State::Drifted(vec![]),
            ok,
            Decision::Nothing(Idle::SelfHealOff),
        ),
        (
            "drift",
            Some(HEALING),
            State::Drifted(vec![]),
            ok,
            heal("a"),
        ),
        (
            "deleted by hand",
            Some(HEALING),
            State::Missing,
            ok,
            heal("a"),
        ),
        (
            "drift of an adopted object",
            Some(plain),
            State::Drifted(vec![]),
            None,
            Decision::Nothing(Idle::SelfHealOff),
        ),
        (
            "a hook failed after all was applied",
            Some(plain),
            State::Synced,
            hooks(0),
            Decision::Sync { retry: 1 },
        ),
        (
            "the same, and somebody ended it",
            Some(plain),
            State::Synced,
            hooks(0).map(|attempt| Attempt {
                terminated: true,
                ..attempt
            }),
            Decision::Nothing(Idle::Synced),
        ),
        (
            "a hook failed, all retries used, self-heal",
            Some(HEALING),
            State::Synced,
            hooks(5),
            Decision::Nothing(Idle::Synced),
        ),
        (
            "a hook failed, synced by hand",
            None,
            State::Synced,
            hooks(0),
            Decision::Nothing(Idle::Synced),
        ),
        (
            "something else failed, and is in order now",
            Some(plain),
            State::Synced,
            failed(0, 90),
            Decision::Nothing(Idle::Synced),
        ),
        (
            "a kind is not served",
            Some(HEALING),
            State::UnknownKind,
            kinds(0),
            Decision::Nothing(Idle::NothingToApply),
        ),
        (
            "its definition came",
            Some(plain),
            State::Missing,
            kinds(0),
            Decision::Sync { retry: 1 },
        ),
        (
            "its definition came late",
            Some(plain),
            State::Missing,
            of(Cause::UnknownKinds, failed(9, -900)),
            Decision::Sync { retry: 10 },
        ),
        (
            "first retry due",
            Some(plain),
            State::Missing,
            failed(0, 90),
            Decision::Sync { retry: 1 },
        ),
        (
            "first retry not due",
            Some(plain),
            State::Missing,
            failed(0, 98),
            Decision::Later(
                Duration::from_secs(3),
                Reason::RetryScheduled {
                    attempt: 1,
                    at: at(103),
                },
            ),
        ),
        (
            "all retries used",
            Some(plain),
            State::Missing,
            failed(5, 0),
            Decision::Nothing(Idle::RetriesExhausted),
        ),
        (
            "all retries used, self-heal",
            Some(HEALING),
            State::Missing,
            failed(5, 0),
            Decision::Later(
                Duration::from_secs(200),
                Reason::RetryScheduled {
                    attempt: 6,
                    at: at(300),
                },
            ),
        ),
    ];
    for (name, automated, state, attempt, expected) in cases {
        let comparison = Comparison::from([(key("a"), state)]);
        let retry = RetryPolicy::automated_default();
        let decision = decide(
            automated,
            &comparison,
            attempt,
            &retry,
            &HealHistory::default(),
            at(100),
        );
        assert_eq!(decision, expected, "{name}");
    }
}

#[test]
fn ordinary_drift_is_healed_at_once_and_a_fight_slows_down_until_it_ends() {
    let mut heals = HealHistory::default();
    for second in 0..2 {
        heals.record([&key("a")], at(second));
        assert_eq!(heals.pause(&key("a"), at(second)), Duration::ZERO);
    }
    heals.record([&key("a")], at(2));
    assert_eq!(heals.pause(&key("a"), at(2)), Duration::from_secs(10));
    assert_eq!(
        heals.pause(&key("b"), at(2)),
        Duration::ZERO,
        "other objects are not slowed"
    );
    heals.record([&key("a")], at(12));
    assert_eq!(heals.pause(&key("a"), at(12)), Duration::from_secs(30));
    let mut now = 12;
    for _ in 0..10 {
        now += i64::try_from(heals.pause(&key("a"), at(now)).as_secs()).unwrap();
        heals.record([&key("a")], at(now));
    }
    assert!(heals.pause(&key("a"), at(now)) <= MAX_PAUSE);
    heals.record([&key("a")], at(now + 1000));
    assert_eq!(
        heals.pause(&key("a"), at(now + 1000)),
        Duration::ZERO,
        "peace ends the slowdown"
    );
}

#[test]
fn heals_of_objects_that_were_left_in_peace_are_forgotten() {
    let mut heals = HealHistory::default();
    let names: Vec<ObjectKey> = (0..100).map(|index| key(&format!("o{index}"))).collect();
    heals.record(&names, at(0));
    assert_eq!(heals.heals.len(), 100);
    heals.record([&key("a")], at(360));
    assert_eq!(heals.heals.len(), 101, "a fight may still go on");
    heals.record([&key("a")], at(361));
    assert_eq!(heals.heals.len(), 1);
}
