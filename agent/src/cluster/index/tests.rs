use gitops_api::HealthStatusCode;
use gitops_core::manifest::desired::{Context, Manifest, Scope, prepare};
use gitops_core::manifest::object::Origin;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::*;

fn object(version: &str, replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas},
        "metadata": {"name": "web", "namespace": "n", "uid": "u", "resourceVersion": version,
            "generation": replicas,
            "annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:n/web"}}})
}

#[test]
fn only_what_matters_wakes_an_application() {
    let index = Index::new(CurrentSettings::default());
    let shop = BTreeSet::from(["shop".to_owned()]);
    assert_eq!(index.observe(&object("5", 1)), shop);
    assert!(index.observe(&object("5", 1)).is_empty(), "seen already");
    assert!(
        index.observe(&object("4", 9)).is_empty(),
        "older than what is known"
    );
    assert!(
        index.observe(&object("6", 1)).is_empty(),
        "nothing that matters changed"
    );
    assert_eq!(index.observe(&object("7", 2)), shop);
    assert_eq!(index.tracked("shop").len(), 1);
    assert!(index.has_objects_in("n"));
    let key = ObjectKey::of(&object("7", 2)).unwrap();
    assert_eq!(index.remove(&key, "u"), shop);
    assert!(index.tracked("shop").is_empty() && !index.has_objects_in("n"));
    assert!(!index.is_unprobed(&key), "the watch said that it is gone");
    let _ = index.observe_leaving(&object("8", 2));
    assert!(
        index.get(&key).is_none(),
        "the answer came later than the watch"
    );
}

#[test]
fn another_health_rule_judges_objects_that_are_as_before() {
    let (reader, settings) = CurrentSettings::new();
    let index = Index::new(settings);
    let rule = |status: &str| {
        let key = "resource.customizations.health.apps_Deployment".to_owned();
        let script = format!("return {{status = '{status}'}}");
        let data = Some([(key, script)].into());
        reader.read(Some(&ConfigMap {
            data,
            ..ConfigMap::default()
        }));
    };
    let key = ObjectKey::of(&object("5", 1)).unwrap();
    let health = || index.get(&key).unwrap().health.unwrap().status;
    rule("Suspended");
    let _ = index.observe(&object("5", 1));
    assert_eq!(health(), HealthStatusCode::Suspended);
    rule("Degraded");
    assert!(index.observe(&object("5", 1)).is_empty());
    assert_eq!(health(), HealthStatusCode::Suspended, "nobody asked");
    index.judge_again(&key.group_kind());
    let shop = BTreeSet::from(["shop".to_owned()]);
    assert!(index.observe(&object("4", 1)).is_empty(), "older");
    assert_eq!(index.observe(&object("5", 1)), shop);
    assert_eq!(health(), HealthStatusCode::Degraded);
    assert!(index.observe(&object("5", 1)).is_empty(), "once");
}

#[test]
fn what_an_instance_gives_up_is_known_to_those_who_want_it() {
    let index = Index::new(CurrentSettings::default());
    let _ = index.observe(&object("5", 1));
    let key = ObjectKey::of(&object("5", 1)).unwrap();
    let manifest = Manifest {
        value: json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "n"}}),
        origin: Origin::default(),
    };
    let set = |instance| {
        let context = Context {
            instance,
            destination_namespace: "n",
            managed_by: "argocd",
            tracking: None,
        };
        prepare(vec![manifest.clone()], context, |_| Some(Scope::Namespaced)).unwrap()
    };
    let next_owners = set("heir");
    let state = || {
        let known = Known {
            may_hold: &|_, _| true,
            applied_until: None,
        };
        let (mut comparison, _) = index.compare(&next_owners, "heir", &known);
        comparison.remove(&key)
    };
    assert!(
        index
            .register_desired("heir", Some(&next_owners))
            .is_empty()
    );
    let owned = Some(comparison::State::OwnedBy("shop".into()));
    assert_eq!(state(), owned, "nobody knows yet what the owner wants");
    index.register_desired("shop", Some(&set("shop")));
    assert_eq!(state(), owned);
    let woken = index.register_desired("shop", Some(&DesiredSet::default()));
    assert_eq!(woken, BTreeSet::from(["heir".to_owned()]));
    assert_eq!(state(), Some(comparison::State::HandedOver("shop".into())));
    assert_eq!(index.other_claimants_of("shop", &key), ["heir"]);
}

#[test]
fn objects_missing_from_a_listing_are_looked_up_before_they_are_called_missing() {
    let index = Index::new(CurrentSettings::default());
    let _ = index.observe(&object("5", 1));
    let key = ObjectKey::of(&object("5", 1)).unwrap();
    index.retain_listed(&key.group_kind(), &HashSet::from([key.clone()]), false);
    assert_eq!(index.len(), 1);
    index.retain_listed(&key.group_kind(), &HashSet::new(), false);
    assert_eq!(index.len(), 0);
    assert!(index.is_unprobed(&key));
}

/// An answer and a watch come in any order; what is gone stays gone, and what took its name stays.
#[test]
fn what_is_gone_does_not_come_back_with_a_late_answer_nor_take_along_what_has_its_name() {
    let index = Index::new(CurrentSettings::default());
    let shop = BTreeSet::from(["shop".to_owned()]);
    let mut next = object("9", 1);
    next["metadata"]["uid"] = json!("v");
    let key = ObjectKey::of(&next).unwrap();
    assert_eq!(index.observe(&object("5", 1)), shop);
    assert_eq!(index.remove(&key, "u"), shop);
    for late in ["5", "6", "7"] {
        assert!(index.observe(&object(late, 1)).is_empty());
        assert!(index.get(&key).is_none(), "an answer of before it went");
    }
    assert_eq!(index.observe(&next), shop);
    // The watch tells of the end of the first one only now.
    assert!(index.remove(&key, "u").is_empty());
    assert!(index.observe(&object("8", 1)).is_empty());
    assert_eq!(index.uid(&key).as_deref(), Some("v"));
    assert_eq!(index.remove(&key, "v"), shop);
}
