use serde_json::json;

use super::*;
use crate::compare::path::Path;
use crate::manifest::desired::{Context, Manifest, Scope, prepare, prepare_keyed};
use crate::manifest::digest::DigestKey;
use crate::manifest::object::Origin;
use crate::settings::ignore::IgnoreRules;

fn desired() -> DesiredSet {
    let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
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

fn applied(set: &DesiredSet) -> LiveObject {
    let wanted = set.objects.values().next().unwrap().manifest();
    let mut object = wanted.clone();
    object["metadata"]["uid"] = json!("u");
    object["metadata"]["resourceVersion"] = json!("1");
    object["metadata"]["managedFields"] = json!([{"manager": "gitops-agent", "operation": "Apply",
        "fieldsV1": {"f:data": {"f:x": {}}, "f:metadata": {
            "f:labels": {"f:gitops-agent.io/managed-by": {}},
            "f:annotations": {"f:argocd.argoproj.io/tracking-id": {},
                              "f:gitops-agent.io/desired-digest": {}}}}}]);
    LiveObject::observe(&object, true).unwrap()
}

fn state(live: Option<&LiveObject>, confirmed: Option<&Confirmation>) -> State {
    let set = desired();
    judge(
        set.objects.values().next().unwrap(),
        "shop",
        live,
        confirmed,
        |other, _| other == "other",
    )
}

#[test]
fn one_object_through_its_life() {
    let set = desired();
    let live = applied(&set);
    assert_eq!(state(None, None), State::Missing);
    assert_eq!(
        state(Some(&live), None),
        State::Synced,
        "after a restart ownership is proof"
    );
    let confirmation = Confirmation::of(&live, set.objects.values().next().unwrap());
    assert_eq!(state(Some(&live), Some(&confirmation)), State::Synced);

    let taken = LiveObject {
        owned: "less".into(),
        fields: Some("{}".into()),
        ..live.clone()
    };
    assert_eq!(state(Some(&taken), Some(&confirmation)), State::Unconfirmed);
    assert_eq!(state(Some(&taken), None), State::Unconfirmed);

    let shared = Confirmation::only_now(&taken, set.objects.values().next().unwrap());
    assert_eq!(state(Some(&taken), Some(&shared)), State::Synced);
    let touched = LiveObject {
        resource_version: "2".into(),
        ..taken.clone()
    };
    assert_eq!(state(Some(&touched), Some(&shared)), State::Unconfirmed);

    let older = LiveObject {
        desired_digest: Some("other".into()),
        ..live.clone()
    };
    assert_eq!(state(Some(&older), None), State::Changed);
    let adopted = LiveObject {
        tracking: None,
        ..live.clone()
    };
    assert_eq!(
        state(Some(&adopted), None),
        State::Changed,
        "marks belong to what Git wants"
    );
}

#[test]
fn what_was_applied_under_the_agents_name_after_its_own_apply_proves_nothing() {
    let set = desired();
    let object = set.objects.values().next().unwrap();
    let at = |time: &str, version: &str| {
        let mut value = object.manifest();
        value["metadata"]["resourceVersion"] = json!(version);
        value["metadata"]["managedFields"] = json!([{"manager": "gitops-agent", "operation": "Apply",
            "time": time, "fieldsV1": {"f:data": {"f:x": {}}, "f:metadata": {
                "f:labels": {"f:gitops-agent.io/managed-by": {}},
                "f:annotations": {"f:argocd.argoproj.io/tracking-id": {},
                                  "f:gitops-agent.io/desired-digest": {}}}}}]);
        LiveObject::observe(&value, true).unwrap()
    };
    let own = at("2026-01-01T00:00:00Z", "1");
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let applied = time("2026-01-01T00:00:00Z");
    let long_after = time("2026-01-01T00:01:00Z");

    // While the agent runs: another time of its entry is another writer's.
    let confirmed = Confirmation::of(&own, object).seen_at(&own, long_after);
    let forged = at("2026-01-01T00:02:00Z", "2");
    assert_eq!(state(Some(&own), Some(&confirmed)), State::Synced);
    assert_eq!(state(Some(&forged), Some(&confirmed)), State::Unconfirmed);

    // Within the same second only the version tells.
    let at_once = Confirmation::of(&own, object).seen_at(&own, applied);
    let same_second = at("2026-01-01T00:00:00Z", "2");
    assert_eq!(state(Some(&own), Some(&at_once)), State::Synced);
    assert_eq!(
        state(Some(&same_second), Some(&at_once)),
        State::Unconfirmed
    );
    assert_eq!(state(Some(&same_second), Some(&confirmed)), State::Synced);

    // After a restart: what is newer than the last delivery on record.
    let known = |live: &LiveObject, until| state(Some(&live.clone().doubted_after(until)), None);
    assert_eq!(known(&own, Some(applied)), State::Synced);
    assert_eq!(known(&forged, Some(applied)), State::Unconfirmed);
    assert_eq!(known(&own, None), State::Unconfirmed);
}

#[test]
fn under_rules_a_change_in_git_is_to_be_confirmed_and_what_was_confirmed_goes_with_them() {
    let set = desired();
    let live = applied(&set);
    let rules = |pointer: &str| {
        let rule = json!([{"kind": "ConfigMap", "jsonPointers": [pointer]}]);
        let (rules, _) = IgnoreRules::compile(&serde_json::from_value::<Vec<_>>(rule).unwrap(), "");
        let set = set.clone().ignoring(&rules);
        set.objects.values().next().unwrap().as_ref().clone()
    };
    let state = |object: &DesiredObject, live: &LiveObject, confirmed: Option<&Confirmation>| {
        judge(object, "shop", Some(live), confirmed, |_, _| false)
    };
    let (x, y) = (rules("/data/x"), rules("/data/y"));
    let plain = set.objects.values().next().unwrap();
    let older = LiveObject {
        desired_digest: Some("other".into()),
        ..live.clone()
    };
    assert_eq!(state(plain, &older, None), State::Changed);
    assert_eq!(
        state(&x, &older, None),
        State::Unconfirmed,
        "it may be ignored"
    );
    assert!(is_changed_in_git(&x, &older, &[]));
    let confirmed = Confirmation::of(&older, &x);
    assert_eq!(state(&x, &older, Some(&confirmed)), State::Synced);
    assert_eq!(state(&y, &older, Some(&confirmed)), State::Unconfirmed);
    assert_eq!(state(plain, &older, Some(&confirmed)), State::Changed);

    let respected = LiveObject {
        desired_digest: Some(format!("{}{RESPECTED}", plain.digest)),
        ..live.clone()
    };
    assert_eq!(state(&x, &respected, None), State::Unconfirmed);
    assert!(
        !is_changed_in_git(&x, &respected, &[]),
        "Git is as it was applied"
    );
    assert_eq!(state(plain, &respected, None), State::Changed);
    let unknown = LiveObject {
        desired_digest: None,
        ..live
    };
    assert_eq!(state(&x, &unknown, None), State::Changed, "never applied");
}

#[test]
fn a_new_key_costs_a_question_and_no_key_costs_nothing() {
    let keyed = |byte: u8| {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
        let context = Context {
            instance: "shop",
            destination_namespace: "n",
            managed_by: "argocd",
            tracking: None,
        };
        let origin = Origin::default();
        let key = DigestKey::new([byte; 32]);
        let set = prepare_keyed(
            vec![Manifest { value, origin }],
            context,
            Some(&key),
            |_| Some(Scope::Namespaced),
        );
        set.unwrap()
    };
    let (mine, others, none) = (keyed(1), keyed(2), desired());
    let object = mine.objects.values().next().unwrap();
    let state = |live: &LiveObject| judge(object, "shop", Some(live), None, |_, _| false);
    assert_eq!(state(&applied(&mine)), State::Synced);
    // An agent without keys applied it: its digest is compared as it is.
    assert_eq!(state(&applied(&none)), State::Synced);
    let by_another = applied(&others);
    assert_eq!(state(&by_another), State::Unconfirmed, "asked, not applied");
    let confirmation = Confirmation::of(&by_another, object);
    let after = judge(
        object,
        "shop",
        Some(&by_another),
        Some(&confirmation),
        |_, _| false,
    );
    assert_eq!(after, State::Synced, "and asked once");

    let field = |manager: Option<&str>| DriftedField {
        path: Path::from_fields(&["data", "x"]),
        desired: Some("1".into()),
        live: Some("2".into()),
        manager: manager.map(Into::into),
        since: None,
    };
    let changed = |manager| is_changed_in_git(object, &by_another, &[field(manager)]);
    assert!(!changed(Some("kubectl-edit")), "that is drift");
    assert!(changed(None), "nobody else holds it: Git has changed");

    assert_ne!(mine.digest(), others.digest());
    assert!(mine.is_recorded_as(mine.digest()) && mine.is_recorded_as(none.digest()));
    assert!(!mine.is_recorded_as(others.digest()) && !mine.is_recorded_as(""));
}

#[test]
fn objects_of_other_applications_are_left_alone_while_those_exist() {
    let mut live = applied(&desired());
    let tracking = live.tracking.as_mut().unwrap();
    tracking.instance = "other".into();
    assert_eq!(state(Some(&live), None), State::OwnedBy("other".into()));
    live.tracking.as_mut().unwrap().instance = "gone".into();
    assert_eq!(state(Some(&live), None), State::HandedOver("gone".into()));
}

#[test]
fn extra_objects_are_those_tracked_to_the_application_itself() {
    let mut live = applied(&desired());
    let key = live.key.clone();
    let tracked = BTreeSet::from([key.clone()]);
    let run = |live: &LiveObject| {
        compare(
            &DesiredSet::default(),
            "shop",
            |_| Some(live),
            &tracked,
            |_| None,
            |_, _| true,
        )
    };
    assert_eq!(run(&live), BTreeMap::from([(key, State::Extra)]));
    live.ignore_extraneous = true;
    let states: Vec<_> = run(&live).into_values().collect();
    assert_eq!(states, [State::Extraneous]);
    assert!(!State::Extra.is_in_order() && State::Extraneous.is_in_order());
    live.tracking.as_mut().unwrap().instance = "other".into();
    assert!(run(&live).is_empty());
}
