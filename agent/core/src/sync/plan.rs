//! The ordered steps that bring live objects to the desired state, each with its reason.
//!
//! A plan is data: it can be printed, compared and carried out by anyone. It never deletes what
//! the application does not own, and never deletes everything because a render came out empty.

use std::collections::{BTreeMap, BTreeSet};

use crate::compare::comparison::{Comparison, State};
use crate::live::object::LiveObject;
use crate::manifest::desired::DesiredSet;
use crate::manifest::kinds;
use crate::manifest::object::ObjectKey;
use crate::manifest::options::{AppOptions, Removal};
use crate::reason::{Names, OverBudget, PruneQuestion, Reason};
use crate::sync::budget::Budget;

/// What the person or policy behind a sync allows.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Delete objects that are no longer in Git.
    pub prune: bool,
    /// Allow deleting every object when Git holds none.
    pub allow_empty: bool,
    /// Options of the sync.
    pub options: AppOptions,
    /// How much is pruned unasked.
    pub budget: Budget,
    /// Somebody agreed to what has to be asked about.
    pub approval: bool,
    /// Only these objects; all when `None`.
    pub only: Option<BTreeSet<ObjectKey>>,
}

/// What to do with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The object.
    pub key: ObjectKey,
    /// What to do.
    pub verb: Verb,
    /// Why, for people.
    pub reason: String,
}

/// How an object is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Server-side apply of the desired manifest.
    Apply,
    /// Delete, provided it is still the object of this uid.
    Prune {
        /// `metadata.uid` when the plan was made.
        uid: String,
    },
}

/// Actions that may run at the same time; a step starts when the one before has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Sync wave.
    pub wave: i64,
    /// What to do, in the order of identity.
    pub actions: Vec<Action>,
}

/// Steps, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// Objects that differ from Git but are left as they are, with the reason.
    pub skipped: BTreeMap<ObjectKey, Skip>,
    /// What is asked about the prunes that wait; `None` when none waits.
    pub question: Option<PruneQuestion>,
}

/// Why an object is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Pruning was not asked for.
    PruneNotRequested,
    /// The object says it must not be pruned.
    PruneForbidden,
    /// Git holds no manifest at all: more likely a mistake than a wish to delete everything.
    WouldDeleteAll,
    /// Another application owns it.
    OwnedBy(String),
    /// The cluster does not serve its kind.
    UnknownKind,
    /// It is already being deleted.
    Deleting,
    /// It waits until the API server confirms that it differs.
    Unconfirmed,
    /// Its prune waits until somebody agrees.
    AwaitsConsent,
}

impl Skip {
    /// The reason, with what to do.
    pub fn reason(&self) -> Reason {
        match self {
            Self::PruneNotRequested => Reason::PruneNotRequested {},
            Self::PruneForbidden => Reason::PruneForbidden {},
            Self::WouldDeleteAll => Reason::PruneWouldDeleteAll {},
            Self::OwnedBy(owner) => Reason::OwnedByOther {
                owner: owner.clone(),
            },
            Self::UnknownKind => Reason::ObjectKindUnknown {
                detail: "the cluster does not serve this kind; install its \
                         CustomResourceDefinition first or correct apiVersion and kind"
                    .into(),
            },
            Self::Deleting => Reason::AlreadyDeleting {},
            Self::Unconfirmed => Reason::Unconfirmed {},
            Self::AwaitsConsent => Reason::PruneAwaitsApproval {},
        }
    }
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many actions there are.
    pub fn len(&self) -> usize {
        self.steps.iter().map(|step| step.actions.len()).sum()
    }
}

/// Plans a sync: applies by wave and kind, then prunes in reverse order.
pub fn plan<'a>(
    desired: &DesiredSet,
    comparison: &Comparison,
    live: impl Fn(&ObjectKey) -> Option<&'a LiveObject>,
    policy: &Policy,
) -> Plan {
    let mut applies: BTreeMap<(i64, usize), Vec<Action>> = BTreeMap::new();
    let mut extra: Vec<&LiveObject> = Vec::new();
    let mut skipped = BTreeMap::new();
    let would_delete_all = !policy.allow_empty && desired.objects.is_empty();
    let chosen = |key: &ObjectKey| policy.only.as_ref().is_none_or(|only| only.contains(key));
    for (key, state) in comparison {
        if state.is_extra() {
            match live(key).map(|live| (prune_skip(live, policy, would_delete_all), live)) {
                // Also those that are not chosen: a budget is not to be had in small change.
                Some((None, live)) => extra.push(live),
                Some((Some(skip), _)) if chosen(key) => {
                    skipped.insert(key.clone(), skip);
                }
                _ => {}
            }
        }
        if !chosen(key) {
            continue;
        }
        let reason = match state {
            State::Synced | State::Extra | State::Extraneous => continue,
            State::OwnedBy(other) => {
                skipped.insert(key.clone(), Skip::OwnedBy(other.clone()));
                continue;
            }
            State::UnknownKind => {
                skipped.insert(key.clone(), Skip::UnknownKind);
                continue;
            }
            State::Unconfirmed => {
                skipped.insert(key.clone(), Skip::Unconfirmed);
                continue;
            }
            State::Missing => "in Git, not in the cluster".to_owned(),
            State::Changed => "changed in Git".to_owned(),
            State::HandedOver(other) => {
                format!("taken over from application {other}, which does not want it any more")
            }
            State::Drifted(fields) => {
                let names: Vec<_> = fields.iter().take(3).map(|f| f.path.to_string()).collect();
                format!("changed in the cluster: {}", names.join(", "))
            }
        };
        let wave = desired.objects.get(key).map_or(0, |object| object.wave);
        applies
            .entry((wave, kinds::rank(&key.kind)))
            .or_default()
            .push(Action {
                key: key.clone(),
                verb: Verb::Apply,
                reason,
            });
    }
    let held = |state: &State| matches!(state, State::OwnedBy(_) | State::HandedOver(_));
    let total = comparison
        .iter()
        .filter(|(key, state)| !held(state) && live(key).is_some())
        .count();
    let (waiting, question) = ask(&extra, total, policy);
    let mut prunes: BTreeMap<usize, Vec<Action>> = BTreeMap::new();
    for live in extra.into_iter().filter(|live| chosen(&live.key)) {
        if waiting.contains(&live.key) {
            skipped.insert(live.key.clone(), Skip::AwaitsConsent);
            continue;
        }
        prunes
            .entry(kinds::rank(&live.key.kind))
            .or_default()
            .push(Action {
                key: live.key.clone(),
                verb: Verb::Prune {
                    uid: live.uid.clone(),
                },
                reason: "no longer in Git".into(),
            });
    }
    let steps = applies
        .into_iter()
        .map(|((wave, _), actions)| Step { wave, actions })
        .chain(
            prunes
                .into_iter()
                .rev()
                .map(|(_, actions)| Step { wave: 0, actions }),
        )
        .collect();
    Plan {
        steps,
        skipped,
        question,
    }
}

/// Which prunes wait until somebody agrees, and what is asked.
fn ask<'a>(
    extra: &[&'a LiveObject],
    total: usize,
    policy: &Policy,
) -> (BTreeSet<&'a ObjectKey>, Option<PruneQuestion>) {
    if policy.approval {
        return (BTreeSet::new(), None);
    }
    let keys = |wanted: &dyn Fn(&LiveObject) -> bool| -> BTreeSet<&'a ObjectKey> {
        let chosen = extra.iter().filter(|live| wanted(live));
        chosen.map(|live| &live.key).collect()
    };
    if policy.budget.is_exceeded(extra.len(), total) {
        let all = keys(&|_| true);
        let question = PruneQuestion {
            objects: Names::of(&all),
            over: Some(OverBudget {
                total,
                budget: policy.budget.to_string(),
            }),
        };
        return (all, Some(question));
    }
    let asking = keys(&|live| policy.options.prune_of(live.options) == Removal::Confirmed);
    let question = (!asking.is_empty()).then(|| PruneQuestion {
        objects: Names::of(&asking),
        over: None,
    });
    (asking, question)
}

fn prune_skip(live: &LiveObject, policy: &Policy, would_delete_all: bool) -> Option<Skip> {
    if !policy.prune {
        Some(Skip::PruneNotRequested)
    } else if live.keep || policy.options.prune_of(live.options) == Removal::Never {
        Some(Skip::PruneForbidden)
    } else if would_delete_all {
        Some(Skip::WouldDeleteAll)
    } else if live.deleting {
        Some(Skip::Deleting)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
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
    fn applies_follow_waves_then_kinds_and_prunes_run_last_in_reverse() {
        let desired = set(&[
            ("Service", 0),
            ("Deployment", -1),
            ("ConfigMap", 0),
            ("Deployment", 0),
        ]);
        let mut comparison: Comparison = desired
            .objects
            .keys()
            .map(|key| (key.clone(), State::Missing))
            .collect();
        let gone: Vec<_> = ["ConfigMap", "Deployment"]
            .map(|kind| live(&extra(kind)))
            .into();
        comparison.extend(gone.iter().map(|live| (live.key.clone(), State::Extra)));
        let policy = Policy {
            prune: true,
            ..Policy::default()
        };
        let plan = plan(
            &desired,
            &comparison,
            |key| gone.iter().find(|live| live.key == *key),
            &policy,
        );
        let order: Vec<_> = plan
            .steps
            .iter()
            .flat_map(|step| &step.actions)
            .map(|action| format!("{:?} {}", action.verb, action.key))
            .collect();
        assert_eq!(
            order,
            [
                "Apply Deployment n/o1",
                "Apply ConfigMap n/o2",
                "Apply Service n/o0",
                "Apply Deployment n/o3",
                "Prune { uid: \"u1\" } Deployment n/x",
                "Prune { uid: \"u1\" } ConfigMap n/x",
            ]
        );
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
    fn a_large_prune_and_what_asks_for_it_wait_for_consent_and_applies_go_on() {
        let desired = set(&[("Service", 0); 5]);
        let story = |extras: &[LiveObject], policy: &Policy| {
            let mut comparison: Comparison = desired
                .objects
                .keys()
                .map(|key| (key.clone(), State::Missing))
                .collect();
            comparison.extend(extras.iter().map(|live| (live.key.clone(), State::Extra)));
            let found = |key: &ObjectKey| extras.iter().find(|live| live.key == *key);
            let plan = plan(&desired, &comparison, found, policy);
            let prunes = plan.steps.iter().flat_map(|step| &step.actions);
            let prunes = prunes.filter(|action| action.verb != Verb::Apply).count();
            (prunes, plan.len() - prunes, plan.question)
        };
        let prune = Policy {
            prune: true,
            ..Policy::default()
        };
        let (prunes, applies, question) = story(&many(9), &prune);
        assert_eq!((prunes, applies, question), (9, 5, None));
        let (prunes, applies, question) = story(&many(12), &prune);
        assert_eq!((prunes, applies), (0, 5), "applies go on");
        assert_eq!(
            question.unwrap().to_string(),
            "12 of 12 objects are no longer in Git and would be deleted, more than the prune budget \
             of 50%: ConfigMap n/x00, ConfigMap n/x01, ConfigMap n/x02, ConfigMap n/x03, ConfigMap \
             n/x04 and 7 more"
        );
        let agreed = Policy {
            approval: true,
            ..prune.clone()
        };
        assert_eq!(story(&many(12), &agreed), (12, 5, None));
        let unlimited = Policy {
            budget: Budget::Unlimited,
            ..prune.clone()
        };
        assert_eq!(story(&many(12), &unlimited), (12, 5, None));
        let few = Policy {
            only: Some(BTreeSet::from([many(1)[0].key.clone()])),
            ..prune.clone()
        };
        assert_eq!(
            story(&many(12), &few).0,
            0,
            "one after another is no way round"
        );
        let mut asking = many(2);
        asking[1].options.prune = Some(Removal::Confirmed);
        let (prunes, _, question) = story(&asking, &prune);
        assert_eq!(prunes, 1);
        assert!(
            question
                .unwrap()
                .to_string()
                .ends_with("(Prune=confirm): ConfigMap n/x01")
        );
        assert_eq!(story(&asking, &agreed).0, 2);
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
            for action in plan.steps.iter().flat_map(|step| &step.actions) {
                prop_assert!(seen.insert(action.key.clone()), "one action per object");
                let state = &comparison[&action.key];
                match &action.verb {
                    Verb::Prune { .. } => prop_assert!(prune && *state == State::Extra),
                    Verb::Apply => prop_assert!(
                        matches!(state, State::Missing | State::Changed | State::Drifted(_))
                    ),
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
}
