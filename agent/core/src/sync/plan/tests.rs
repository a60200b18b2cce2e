use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::manifest::desired::{Context, Manifest, Scope, prepare};
use crate::manifest::object::Origin;

fn set(kinds_and_waves: &[(&str, i64)]) -> DesiredSet {
    let manifests = kinds_and_waves
        .iter()
        .enumerate()
        .map(|(index, (kind, wave))| Manifest {
            value: json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": format!("o{index}"),
                "annotations": {"argocd.argoproj.io/sync-wave": wave.to_string()}}}),
            origin: Origin::default(),
        })
        .collect();
    let context = Context {
        instance: "a",
        destination_namespace: "n",
        managed_by: "m",
        tracking: None,
    };
    prepare(manifests, context, |_| Some(Scope::Namespaced)).unwrap()
}

fn live(key: &ObjectKey) -> LiveObject {
    let object = json!({"apiVersion": "v1", "kind": key.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": "u1", "resourceVersion": "1"}});
    LiveObject::observe(&object, false).unwrap()
}

fn extra(kind: &str) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: kind.into(),
        namespace: "n".into(),
        name: "x".into(),
    }
}

#[test]
fn what_must_not_be_pruned_is_skipped_with_the_reason() {
    let key = extra("ConfigMap");
    let object = live(&key);
    let kept = LiveObject {
        keep: true,
        ..object.clone()
    };
    let deleting = LiveObject {
        deleting: true,
        ..object.clone()
    };
    let some = set(&[("Service", 0)]);
    let none = DesiredSet::default();
    let prune = Policy {
        prune: true,
        ..Policy::default()
    };
    let allowed = Policy {
        allow_empty: true,
        ..prune.clone()
    };
    let never = Policy {
        options: AppOptions::default().with(&["Prune=false".to_owned()]),
        ..prune.clone()
    };
    let mut allowing = object.clone();
    allowing.options.prune = Some(Removal::Allowed);
    let cases = [
        (&some, &object, &prune, None),
        (&some, &object, &never, Some(Skip::PruneForbidden)),
        (&some, &allowing, &never, None),
        (
            &some,
            &object,
            &Policy::default(),
            Some(Skip::PruneNotRequested),
        ),
        (&some, &kept, &prune, Some(Skip::PruneForbidden)),
        (&some, &deleting, &prune, Some(Skip::Deleting)),
        (&none, &object, &prune, Some(Skip::WouldDeleteAll)),
        (&none, &object, &allowed, None),
    ];
    for (desired, object, policy, expected) in cases {
        let comparison = Comparison::from([(key.clone(), State::Extra)]);
        let plan = plan(desired, &comparison, |_| Some(object), policy);
        assert_eq!(plan.skipped.get(&key), expected.as_ref());
        assert_eq!(plan.is_empty(), expected.is_some());
    }
}

fn many(count: usize) -> Vec<LiveObject> {
    (0..count)
        .map(|index| {
            live(&ObjectKey {
                name: format!("x{index:02}"),
                ..extra("ConfigMap")
            })
        })
        .collect()
}

#[test]
fn a_prune_over_budget_or_with_confirm_waits_for_approval_and_applies_go_on() {
    let desired = set(&[("Service", 0); 5]);
    let planned = |extras: &[LiveObject], policy: &Policy| {
        let mut comparison: Comparison = desired
            .objects
            .keys()
            .map(|key| (key.clone(), State::Missing))
            .collect();
        comparison.extend(extras.iter().map(|live| (live.key.clone(), State::Extra)));
        let found = |key: &ObjectKey| extras.iter().find(|live| live.key == *key);
        plan(&desired, &comparison, found, policy)
    };
    let counted = |plan: Plan| {
        let prunes = plan.actions.values();
        let prunes = prunes.filter(|action| action.verb != Verb::Apply).count();
        let question = plan.question().map(ToString::to_string);
        (prunes, plan.len() - prunes, question)
    };
    let story = |extras: &[LiveObject], policy: &Policy| counted(planned(extras, policy));
    let approved =
        |extras: &[LiveObject], policy: &Policy| counted(planned(extras, policy).approved());
    let prune = Policy {
        prune: true,
        ..Policy::default()
    };
    let (prunes, applies, question) = story(&many(9), &prune);
    assert_eq!((prunes, applies, question), (9, 5, None));
    let (prunes, applies, question) = story(&many(12), &prune);
    assert_eq!((prunes, applies), (0, 5), "applies go on");
    assert_eq!(
        question.unwrap(),
        "12 of 12 objects are no longer in Git and would be deleted, more than the prune budget \
         of 50%: ConfigMap n/x00, ConfigMap n/x01, ConfigMap n/x02, ConfigMap n/x03, ConfigMap \
         n/x04 and 7 more"
    );
    assert_eq!(approved(&many(12), &prune), (12, 5, None));
    assert!(planned(&many(12), &prune).approved().skipped.is_empty());
    let unlimited = Policy {
        budget: Budget::Unlimited,
        ..prune.clone()
    };
    assert_eq!(story(&many(12), &unlimited), (12, 5, None));
    let few = BTreeSet::from([many(1)[0].key.clone()]);
    let few = planned(&many(12), &prune).only(&few);
    assert_eq!(few.skipped.len(), 1);
    assert_eq!(
        counted(few.clone()).0,
        0,
        "one after another is no way round"
    );
    assert_eq!(counted(few.approved()), (1, 0, None));
    let mut asking = many(2);
    asking[1].options.prune = Some(Removal::Confirmed);
    let (prunes, _, question) = story(&asking, &prune);
    assert_eq!(prunes, 1);
    assert!(
        question
            .unwrap()
            .ends_with("(Prune=confirm): ConfigMap n/x01")
    );
    assert_eq!(approved(&asking, &prune).0, 2);
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Synced),
        Just(State::Missing),
        Just(State::Changed),
        Just(State::Unconfirmed),
        Just(State::Drifted(vec![])),
        Just(State::OwnedBy("other".into())),
        Just(State::Extra),
        Just(State::UnknownKind),
    ]
}

proptest! {
    #[test]
    fn only_extra_objects_are_ever_pruned_and_others_are_never_touched(
        states in prop::collection::vec(any_state(), 0..12),
        prune: bool,
        allow_empty: bool,
    ) {
        let desired = set(&vec![("ConfigMap", 0); states.len()]);
        let comparison: Comparison =
            desired.objects.keys().cloned().zip(states).collect();
        let records: BTreeMap<_, _> = comparison.keys().map(|key| (key.clone(), live(key))).collect();
        let policy = Policy { prune, allow_empty, ..Policy::default() };
        let plan = plan(&desired, &comparison, |key| records.get(key), &policy);
        let mut seen = BTreeSet::new();
        for action in plan.actions.values() {
            prop_assert!(seen.insert(action.key.clone()), "one action per object");
            let state = &comparison[&action.key];
            match &action.verb {
                Verb::Delete { .. } => prop_assert!(prune && *state == State::Extra),
                Verb::Apply => prop_assert!(
                    matches!(state, State::Missing | State::Changed | State::Drifted(_))
                ),
                verb => prop_assert!(false, "{verb:?} in a plan"),
            }
        }
        for (key, state) in &comparison {
            prop_assert!(
                state.is_synced() || seen.contains(key) || plan.skipped.contains_key(key),
                "every difference is either acted upon or explained"
            );
        }
    }
}

#[test]
fn an_agent_that_somebody_scaled_to_zero_stays_at_zero() {
    let deployment = |label: &str, replicas: i64| {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "gitops-agent", "namespace": "argocd", "uid": "u1",
                "resourceVersion": "1", "labels": {"app.kubernetes.io/name": label}},
            "spec": {"replicas": replicas}});
        LiveObject::observe(&object, false).unwrap()
    };
    let planned = |live: &LiveObject, automated: bool| {
        let comparison = [(live.key.clone(), State::Changed)].into();
        let policy = Policy {
            automated,
            ..Policy::default()
        };
        let plan = plan(&DesiredSet::default(), &comparison, |_| Some(live), &policy);
        plan.actions.len()
    };
    let table = [
        ("gitops-agent", 0, true, 0),
        ("gitops-agent", 1, true, 1),
        // Whoever asks for a sync wants it to run again.
        ("gitops-agent", 0, false, 1),
        ("web", 0, true, 1),
    ];
    for (label, replicas, automated, expected) in table {
        let live = deployment(label, replicas);
        assert_eq!(
            planned(&live, automated),
            expected,
            "{label} {replicas} {automated}"
        );
    }
}

#[test]
fn what_git_changed_is_not_laid_at_the_clusters_door() {
    let desired = set(&[("Service", 0)]);
    let (key, object) = desired.objects.iter().next().unwrap();
    let drifted = Comparison::from([(key.clone(), State::Drifted(vec![]))]);
    let reason = |digest: &str| {
        let live = LiveObject {
            desired_digest: Some(digest.into()),
            ..live(key)
        };
        let plan = plan(&desired, &drifted, |_| Some(&live), &Policy::default());
        plan.actions[key].reason.clone()
    };
    assert_eq!(reason(&object.digest), "changed in the cluster: ");
    assert_eq!(reason("the digest of the commit before"), "changed in Git");
}

#[test]
fn a_sync_that_changes_nothing_is_worth_it_for_what_says_no_or_for_hooks_that_failed() {
    let plan = |skips: &[Skip]| Plan {
        skipped: skips
            .iter()
            .enumerate()
            .map(|(at, skip)| {
                let mut key = extra("ConfigMap");
                key.name = at.to_string();
                (key, skip.clone())
            })
            .collect(),
        ..Plan::default()
    };
    let attempt = |succeeded, cause| {
        Some(Attempt {
            succeeded,
            retries: 0,
            finished: jiff::Timestamp::UNIX_EPOCH,
            terminated: false,
            cause,
            by_argo_cd: false,
        })
    };
    let table = [
        (plan(&[Skip::PruneForbidden]), None, true),
        (
            plan(&[Skip::PruneForbidden]),
            attempt(true, Cause::Objects),
            false,
        ),
        (
            plan(&[Skip::PruneForbidden, Skip::WouldDeleteAll]),
            None,
            false,
        ),
        (plan(&[Skip::PruneNotRequested]), None, false),
        (plan(&[Skip::UnknownKind]), None, false),
        (plan(&[]), None, false),
        (plan(&[]), attempt(false, Cause::Hooks), true),
        (plan(&[]), attempt(false, Cause::UnknownKinds), false),
        (plan(&[]), attempt(true, Cause::Hooks), false),
    ];
    for (plan, attempt, expected) in table {
        assert_eq!(
            is_worth_it(&plan, attempt),
            expected,
            "{plan:?} {attempt:?}"
        );
    }
}
