use super::super::error::Place;
use super::super::generate::Desired;
use serde_json::json;

use super::*;

fn set() -> SetIdentity {
    SetIdentity {
        namespace: "argocd".into(),
        name: "fleet".into(),
        uid: "u1".into(),
    }
}

fn desired(name: &str, revision: &str) -> Desired {
    Desired {
        name: name.into(),
        value: json!({
            "metadata": {"name": name, "labels": {"l": "1"}, "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
            "spec": {"project": "default", "destination": {"name": "in-cluster"},
                "source": {"repoURL": "r", "path": "p", "targetRevision": revision}},
        }),
        from: Place::generator("spec.generators[0].list"),
        parameters: super::super::param::ParamMap::new(),
        broken: None,
        prunes: false,
    }
}

fn existing(one: &Desired, owner: Option<&str>) -> Existing {
    let mut value = created(
        &one.value,
        &SetIdentity {
            name: owner.unwrap_or("x").into(),
            ..set()
        },
    );
    if owner.is_none() {
        value["metadata"]["ownerReferences"] = json!([]);
    }
    value["metadata"]["resourceVersion"] = json!("7");
    Existing {
        value,
        is_leaving: false,
    }
}

struct World {
    good: Vec<Desired>,
    existing: Vec<Existing>,
    policy: Policy,
    preserved: Names,
    ignored: Vec<Value>,
    rivals: BTreeMap<String, Vec<String>>,
    is_approved: bool,
}

impl World {
    fn of(good: Vec<Desired>, existing: Vec<Existing>) -> Self {
        Self {
            good,
            existing,
            policy: Policy::of(None, "", true),
            preserved: Names::default(),
            ignored: Vec::new(),
            rivals: BTreeMap::new(),
            is_approved: false,
        }
    }

    fn plan(&self) -> Plan {
        let known = Destinations {
            projects: ["default".to_owned()].into(),
            ..Destinations::default()
        };
        let good = self
            .good
            .iter()
            .map(|one| (one.name.clone(), one.clone()))
            .collect();
        let existing = self.existing.iter().map(|one| {
            (
                one.value["metadata"]["name"].as_str().unwrap().to_owned(),
                one.clone(),
            )
        });
        plan(&PlanInput {
            set: &set(),
            validated: &Validated {
                good,
                ..Validated::default()
            },
            existing: &existing.collect(),
            policy: self.policy,
            preserved: &self.preserved,
            ignored: &self.ignored,
            known: &known,
            held: &BTreeSet::new(),
            rivals: &self.rivals,
            is_approved: self.is_approved,
        })
    }

    fn verbs(&self) -> Vec<(String, &'static str)> {
        let changes = self.plan().changes.into_iter();
        changes
            .map(|change| {
                let verb = match change.verb {
                    Verb::Create(_) => "create",
                    Verb::Update(_) => "update",
                    Verb::Delete => "delete",
                    Verb::Keep => "keep",
                };
                (change.name, verb)
            })
            .collect()
    }
}

fn verbs(all: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    all.iter()
        .map(|(name, verb)| ((*name).to_owned(), *verb))
        .collect()
}

#[test]
fn applications_are_created_changed_kept_and_deleted() {
    let [a, b, c] = ["a", "b", "c"].map(|name| desired(name, "main"));
    let mut world = World::of(
        vec![a.clone(), desired("b", "next"), c],
        vec![
            existing(&a, Some("fleet")),
            existing(&b, Some("fleet")),
            existing(&desired("d", "main"), Some("fleet")),
        ],
    );
    assert_eq!(
        world.verbs(),
        verbs(&[
            ("a", "keep"),
            ("b", "update"),
            ("c", "create"),
            ("d", "delete")
        ])
    );
    let update = &world.plan().changes[1];
    assert_eq!(
        update.verb,
        Verb::Update(json!({"spec": {"source": {"targetRevision": "next"}}}))
    );
    assert_eq!(update.why, "spec.source.targetRevision differs");
    world.policy = Policy::of(Some("create-only"), "", true);
    assert_eq!(
        world.verbs(),
        verbs(&[("a", "keep"), ("b", "keep"), ("c", "create"), ("d", "keep")])
    );
    world.policy = Policy::of(Some("create-delete"), "", true);
    assert_eq!(
        world.verbs(),
        verbs(&[
            ("a", "keep"),
            ("b", "keep"),
            ("c", "create"),
            ("d", "delete")
        ])
    );
    world.policy = Policy::of(Some("sync"), "create-update", false);
    assert_eq!(
        world.verbs(),
        verbs(&[
            ("a", "keep"),
            ("b", "update"),
            ("c", "create"),
            ("d", "keep")
        ])
    );
}

#[test]
fn a_fleet_is_not_lost_without_an_approval() {
    let fleet = |count: usize| {
        (0..count)
            .map(|n| desired(&format!("a{n}"), "main"))
            .collect::<Vec<_>>()
    };
    for (before, after, held) in [
        (1, 0, 1),
        (2, 1, 0),
        (2, 0, 2),
        (4, 2, 0),
        (5, 2, 3),
        (6, 3, 0),
        (5, 3, 0),
        (100, 49, 51),
    ] {
        let there = fleet(before)
            .iter()
            .map(|one| existing(one, Some("fleet")))
            .collect();
        let mut world = World::of(fleet(after), there);
        let plan = world.plan();
        assert_eq!(plan.held.len(), held, "{before} to {after}");
        let deleted = |plan: &Plan| {
            plan.changes
                .iter()
                .filter(|one| one.verb == Verb::Delete)
                .count()
        };
        assert_eq!(deleted(&plan), if held > 0 { 0 } else { before - after });
        world.is_approved = true;
        let plan = world.plan();
        assert_eq!((plan.held.len(), deleted(&plan)), (0, before - after));
    }
    // New ones wait as well: a renamed Application would fight with the one it replaces.
    let there = fleet(4)
        .iter()
        .map(|one| existing(one, Some("fleet")))
        .collect();
    let renamed = ["b0", "b1", "b2", "a0"].map(|name| desired(name, "main"));
    let mut world = World::of(renamed.to_vec(), there);
    let plan = world.plan();
    assert_eq!(
        plan.held_why,
        "3 of 4 Applications would be deleted and 3 created"
    );
    assert_eq!(world.verbs(), verbs(&[("a0", "keep")]));
    world.is_approved = true;
    assert_eq!(world.verbs().len(), 7);
    let mut lost = desired("lost", "main");
    lost.value["spec"]["destination"] = json!({"name": "gone"});
    let world = World::of(fleet(3), vec![existing(&lost, Some("fleet"))]);
    assert_eq!(
        world.plan().held,
        ["lost"],
        "its cluster is not known any more"
    );
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    let a = desired("a", "main");
    let mut world = World::of(vec![a.clone()], vec![existing(&a, Some("other"))]);
    let plan = world.plan();
    assert!(plan.changes.is_empty() && plan.owned.is_empty());
    assert!(
        plan.invalid[0]
            .message
            .contains("belongs to the ApplicationSet other")
    );
    world.existing = vec![existing(&a, None)];
    assert_eq!(world.verbs(), verbs(&[("a", "update")]), "it is nobody's");
    // Two sets that both want it: the one that has it goes on, and says so; nobody begins.
    world.rivals = BTreeMap::from([("a".into(), vec!["second".into()])]);
    assert!(world.plan().changes.is_empty());
    world.existing = vec![existing(&desired("a", "old"), Some("fleet"))];
    assert_eq!(world.verbs(), verbs(&[("a", "update")]));
    assert!(
        world.plan().invalid[0]
            .message
            .contains("also generated by the ApplicationSet second")
    );
}

#[test]
fn what_others_write_is_kept_or_put_back() {
    let a = desired("a", "main");
    let mut live = existing(&a, Some("fleet"));
    live.value["metadata"]["annotations"] = json!({"argocd.argoproj.io/refresh": "normal", "gitops-agent.io/hold": "x", "mine": "1", "other": "1"});
    live.value["metadata"]["labels"] = json!({"l": "hand", "kept": "1"});
    live.value["metadata"]["finalizers"] =
        json!(["post-delete-finalizer.argocd.argoproj.io", "x/y"]);
    live.value["spec"]["source"]["kustomize"] = json!({"images": ["web:2"]});
    live.value["spec"]["source"]["helm"] = json!({});
    live.value["status"] = json!({});
    let mut world = World::of(vec![a], vec![live]);
    world.preserved = Names {
        annotations: ["mine".to_owned()].into(),
        labels: ["kept".to_owned()].into(),
    };
    world.ignored = vec![json!({"jsonPointers": ["/spec/source/kustomize/images"]})];
    let changes = world.plan().changes;
    assert_eq!(
        changes[0].verb,
        Verb::Update(json!({"metadata": {
            "annotations": {"other": null},
            "labels": {"l": "1"},
            "finalizers": ["resources-finalizer.argocd.argoproj.io", "post-delete-finalizer.argocd.argoproj.io"],
            "resourceVersion": "7",
        }}))
    );
    world.ignored = vec![json!({"jqPathExpressions": [".spec["]})];
    assert!(
        world.plan().invalid[0]
            .message
            .contains("jqPathExpressions"),
        "{:?}",
        world.plan()
    );
}

#[test]
fn empty_groups_make_no_difference() {
    let a = desired("a", "main");
    let mut live = existing(&a, Some("fleet"));
    live.value["spec"]["source"]["kustomize"] = json!({});
    live.value["spec"]["project"] = json!("");
    let world = World::of(vec![a.clone()], vec![live.clone()]);
    assert_eq!(world.verbs(), verbs(&[("a", "keep")]));
    live.value["spec"]["syncPolicy"] = json!({"automated": {}});
    assert_eq!(
        World::of(vec![a], vec![live]).verbs(),
        verbs(&[("a", "update")])
    );
}
