//! The deletion state machine against a simulated cluster, with agents killed between any two
//! actions: order is kept, nothing foreign is deleted, and it comes to an end.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gitops_api::HealthStatusCode;
use gitops_api::constants::finalizer;
use gitops_core::live::health::Health;
use gitops_core::live::object::{LiveObject, OnDeletion};
use gitops_core::manifest::desired::{Context, DesiredSet, Manifest, Scope, prepare};
use gitops_core::manifest::hook::Run;
use gitops_core::manifest::object::{ObjectKey, Origin};
use gitops_core::manifest::phase::Phase;
use gitops_core::reason::Reason;
use gitops_core::sync::action::{Action, Verb};
use gitops_core::sync::approval::Subject;
use gitops_core::sync::deletion::{Next, Situation, finalizers, next};
use jiff::Timestamp;
use serde_json::{Value, json};

const STORIES: u64 = 4_000;
const LONGEST: usize = 600;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.roll(items.len() as u64)).unwrap()]
    }
}

struct World {
    objects: BTreeMap<ObjectKey, LiveObject>,
    finalizers: Vec<String>,
    approved: Option<String>,
    uids: u64,
    /// Hooks that succeeded, by phase.
    succeeded: BTreeSet<(Phase, ObjectKey)>,
}

fn observed(value: &Value) -> LiveObject {
    LiveObject::observe(value, false).unwrap()
}

fn since() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn run() -> Run {
    Run {
        started: since(),
        revision: "abc".into(),
    }
}

fn hooks(dice: &mut Dice) -> DesiredSet {
    let manifests = (0..dice.roll(4)).map(|index| {
        let phase = dice.of(&["PreDelete", "PostDelete", "PreDelete,PostDelete", "PreSync"]);
        let policy = dice.of(&[
            "",
            "HookSucceeded",
            "HookFailed",
            "HookSucceeded,HookFailed",
        ]);
        let mut metadata = json!({"annotations": {
            "argocd.argoproj.io/hook": phase, "argocd.argoproj.io/hook-delete-policy": policy,
            "argocd.argoproj.io/sync-wave": dice.roll(3).to_string()}});
        let kind = dice.of(&["name", "generateName"]);
        metadata[kind] = format!("hook{index}-").into();
        Manifest {
            value: json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}),
            origin: Origin::default(),
        }
    });
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    prepare(manifests.collect(), context, |_| Some(Scope::Namespaced)).unwrap()
}

impl World {
    fn new(dice: &mut Dice, set: &DesiredSet) -> Self {
        let mut finalizers_now: Vec<String> = match dice.roll(4) {
            0 => vec![],
            1 => vec![finalizer::BACKGROUND.into()],
            _ => vec![finalizer::RESOURCES.into()],
        };
        finalizers_now = finalizers(&finalizers_now, &set.hooks).unwrap_or(finalizers_now);
        finalizers_now.push("somebody.else/keeps".into());
        let mut objects = BTreeMap::new();
        for index in 0..dice.roll(8) {
            let kind = dice.of(&["ConfigMap", "Secret", "Service"]);
            let options = dice.of(&["", "", "", "Delete=false", "Delete=confirm", "Prune=false"]);
            let owner = dice.of(&["shop", "shop", "shop", "other"]);
            let live = observed(&json!({"apiVersion": "v1", "kind": kind, "metadata": {
                "name": format!("o{index}"), "namespace": "n", "uid": format!("o{index}"),
                "annotations": {
                    "argocd.argoproj.io/tracking-id": format!("{owner}:/{kind}:n/o{index}"),
                    "argocd.argoproj.io/sync-options": options,
                    "argocd.argoproj.io/sync-wave": dice.roll(3).to_string()}}}));
            objects.insert(live.key.clone(), live);
        }
        Self {
            objects,
            finalizers: finalizers_now,
            approved: None,
            uids: 0,
            succeeded: BTreeSet::new(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.finalizers.iter().any(|set| set == name)
    }

    fn tracked(&self) -> Vec<LiveObject> {
        let of_shop = |live: &&LiveObject| {
            live.tracking
                .as_ref()
                .is_some_and(|id| id.instance == "shop")
        };
        self.objects.values().filter(of_shop).cloned().collect()
    }

    fn next(&self, set: &DesiredSet, claimed: &BTreeSet<ObjectKey>) -> Next {
        let live_hooks: HashMap<ObjectKey, LiveObject> = set
            .hooks
            .iter()
            .flat_map(|hook| hook.deletion_phases().map(|p| hook.key_in(p, &run())))
            .filter_map(|key| Some((key.clone(), self.objects.get(&key)?.clone())))
            .collect();
        next(&Situation {
            subject: Subject {
                namespace: "argocd",
                name: "shop",
            },
            finalizers: &self.finalizers,
            since: since(),
            approved: self.approved.as_deref(),
            default: OnDeletion::Delete,
            objects: &self.tracked(),
            guests: &gitops_core::sync::guests::Guests::default(),
            is_protected: &|key| claimed.contains(key),
            hooks: Ok(&set.hooks),
            live_hooks: &live_hooks,
            blocker: None,
            run: &run(),
        })
    }

    /// Carries one action out, checking what must never happen.
    fn perform(&mut self, action: &Action, set: &DesiredSet, claimed: &BTreeSet<ObjectKey>) {
        let key = &action.key;
        match &action.verb {
            Verb::Delete { uid, .. } => {
                let waves: Vec<i64> = self
                    .tracked()
                    .iter()
                    .filter(|live| live.on_deletion != OnDeletion::Retain && !live.hook)
                    .filter(|live| !claimed.contains(&live.key))
                    .map(|live| live.wave)
                    .collect();
                let live = self.objects.get_mut(key).unwrap();
                let owner = &live.tracking.as_ref().unwrap().instance;
                assert_eq!(owner, "shop", "{key} belongs to somebody else");
                assert!(!claimed.contains(key), "{key} is wanted by somebody else");
                assert_eq!(*uid, live.uid);
                assert_ne!(live.on_deletion, OnDeletion::Retain, "{key} stays");
                assert!(live.on_deletion != OnDeletion::Confirm || self.approved.is_some());
                assert_eq!(
                    waves.iter().max(),
                    Some(&live.wave),
                    "a later wave is there"
                );
                assert!(!self.finalizers.iter().any(|f| f == finalizer::PRE_DELETE));
                live.deleting = true;
            }
            Verb::DeleteHook { uid } => {
                assert_eq!(*uid, self.objects[key].uid);
                assert!(self.objects[key].hook);
                self.objects.remove(key);
            }
            Verb::Apply => panic!("{key} is applied by a deletion"),
            Verb::RunHook => {
                let phase = action.phase;
                if phase == Phase::PostDelete {
                    let cascades =
                        self.has(finalizer::RESOURCES) || self.has(finalizer::BACKGROUND);
                    assert!(!cascades, "objects are still to be deleted");
                }
                assert!(
                    !self.succeeded.contains(&(phase, key.clone())),
                    "{key} runs again though it succeeded"
                );
                let hook = set
                    .hooks
                    .iter()
                    .find(|hook| hook.key_in(phase, &run()) == *key)
                    .unwrap();
                self.uids += 1;
                let mut manifest = hook.manifest_in(phase, &run());
                manifest["metadata"]["uid"] = format!("h{}", self.uids).into();
                let mut live = observed(&manifest);
                assert!(
                    live.tracking.is_some(),
                    "a hook is known to be of its Application"
                );
                live.health = Some(Health::new(HealthStatusCode::Progressing, ""));
                self.objects.insert(key.clone(), live);
            }
            Verb::ReleaseHook => {
                if self.objects.get(key).is_some_and(|live| live.deleting) {
                    self.objects.remove(key);
                }
            }
        }
    }

    /// What others do meanwhile.
    fn time_passes(&mut self, dice: &mut Dice) {
        let keys: Vec<ObjectKey> = self.objects.keys().cloned().collect();
        for key in keys {
            let live = self.objects.get_mut(&key).unwrap();
            if live.deleting && !live.hook && dice.one_in(2) {
                self.objects.remove(&key);
            } else if live.hook {
                let status = live.health.as_ref().unwrap().status;
                if status == HealthStatusCode::Progressing && dice.one_in(2) {
                    let now = dice.of(&[HealthStatusCode::Healthy, HealthStatusCode::Degraded]);
                    live.health = Some(Health::new(now, ""));
                    if now == HealthStatusCode::Healthy {
                        let phase = [Phase::PreDelete, Phase::PostDelete]
                            .into_iter()
                            .find(|phase| live.operation == Some(run().id_in(*phase)))
                            .unwrap();
                        self.succeeded.insert((phase, key));
                    }
                } else if status == HealthStatusCode::Degraded && dice.one_in(3) {
                    // A person removes what failed, to try again.
                    live.deleting = true;
                }
            }
        }
    }
}

#[test]
fn every_deletion_ends_whoever_is_killed_meanwhile() {
    let mut approvals = 0;
    for seed in 1..=STORIES {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let set = hooks(&mut dice);
        let mut world = World::new(&mut dice, &set);
        let orphans = !world.has(finalizer::RESOURCES) && !world.has(finalizer::BACKGROUND);
        let before = world.objects.clone();
        let claimed: BTreeSet<ObjectKey> =
            before.keys().filter(|_| dice.one_in(6)).cloned().collect();
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < LONGEST, "story {seed} does not end");
            match world.next(&set, &claimed) {
                Next::Act(actions) => {
                    assert!(!actions.is_empty());
                    for action in &actions {
                        // Killed here: the next agent knows only what is in the cluster.
                        if dice.one_in(4) {
                            break;
                        }
                        world.perform(action, &set, &claimed);
                    }
                }
                Next::Finish {
                    cleanup,
                    finalizers,
                } => {
                    let mut killed = false;
                    for action in &cleanup {
                        killed |= dice.one_in(4);
                        if killed {
                            break;
                        }
                        world.perform(action, &set, &claimed);
                    }
                    if !killed {
                        world
                            .finalizers
                            .retain(|set| !finalizers.contains(&set.as_str()));
                    }
                }
                Next::Wait {
                    blocked, reason, ..
                } => {
                    assert!(!reason.to_string().is_empty());
                    if blocked && matches!(reason, Reason::DeletionApproval { .. }) {
                        approvals += 1;
                        assert!(world.tracked().iter().all(|live| !live.deleting));
                        world.approved = Some(since().to_string());
                    }
                }
                Next::Ended => break,
            }
            world.time_passes(&mut dice);
        }
        assert_eq!(world.finalizers, ["somebody.else/keeps"]);
        for (key, live) in &before {
            let foreign = live.tracking.as_ref().unwrap().instance != "shop";
            let stays = orphans
                || foreign
                || claimed.contains(key)
                || live.on_deletion == OnDeletion::Retain;
            assert_eq!(
                world.objects.contains_key(key),
                stays,
                "story {seed}: {key}"
            );
        }
        for hook in &set.hooks {
            for phase in hook.deletion_phases() {
                let key = hook.key_in(phase, &run());
                assert!(world.succeeded.contains(&(phase, key)), "story {seed}");
            }
        }
    }
    assert!(
        approvals > 100,
        "the stories are not about much: {approvals}"
    );
}
