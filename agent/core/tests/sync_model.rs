//! The sync state machine against a simulated cluster that fails, forgets, interferes and is read
//! late, and whose status writes get lost: whatever happens, order is kept, no hook runs twice or is
//! taken for gone, nothing foreign is deleted, and it comes to an end at which nothing is held.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::collections::{BTreeMap, HashMap};

use gitops_api::status::{OperationState, ResourceResult, SyncOperationResult};
use gitops_api::{HookType, OperationPhase};
use gitops_core::compare::comparison::{Comparison, State};
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::{Context, DesiredSet, Manifest, Scope, prepare};
use gitops_core::manifest::hook::Run;
use gitops_core::manifest::object::{ObjectKey, Origin};
use gitops_core::manifest::options::AppOptions;
use gitops_core::manifest::phase::Phase;
use gitops_core::reason::Reason;
use gitops_core::sync::action::{Action, Verb};
use gitops_core::sync::plan::{Plan, Policy, plan};
use gitops_core::sync::{Next, Outcome, Record, Situation, cleanup, next, observe};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

/// Steps of all simulations together.
const STEPS: usize = 120_000;

/// A small generator of numbers: the same seed gives the same story.
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
}

#[derive(Clone)]
struct Object {
    live: LiveObject,
    digest: String,
}

/// Objects of a cluster, and what an agent did to them.
struct Cluster {
    objects: BTreeMap<ObjectKey, Object>,
    /// The same as the agent knows it: what others do is told late, its own writes are answered.
    seen: BTreeMap<ObjectKey, Object>,
    uids: u64,
    /// How often each hook was created in this run.
    hooks_run: BTreeMap<(Phase, ObjectKey), usize>,
}

fn manifest(index: u64, dice: &mut Dice) -> Value {
    let wave = dice.roll(3).cast_signed() - 1;
    let kind = ["Deployment", "StatefulSet", "ConfigMap"][usize::try_from(dice.roll(3)).unwrap()];
    let mut annotations = json!({"argocd.argoproj.io/sync-wave": wave.to_string()});
    let mut name = format!("o{index}");
    let mut kind = kind;
    if dice.one_in(3) {
        let phase =
            ["PreSync", "Sync", "PostSync", "SyncFail"][usize::try_from(dice.roll(4)).unwrap()];
        let policy = [
            "BeforeHookCreation",
            "HookSucceeded",
            "HookFailed",
            "HookSucceeded,HookFailed",
        ][usize::try_from(dice.roll(4)).unwrap()];
        annotations["argocd.argoproj.io/hook"] = phase.into();
        annotations["argocd.argoproj.io/hook-delete-policy"] = policy.into();
        kind = "Job";
        name = format!("h{index}");
    }
    let group = if kind == "Job" {
        "batch/v1"
    } else if kind == "ConfigMap" {
        "v1"
    } else {
        "apps/v1"
    };
    json!({"apiVersion": group, "kind": kind, "metadata": {"name": name, "annotations": annotations}})
}

fn desired(dice: &mut Dice) -> DesiredSet {
    let count = 1 + dice.roll(7);
    let manifests = (0..count)
        .map(|index| Manifest {
            value: manifest(index, dice),
            origin: Origin::default(),
        })
        .collect();
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    prepare(manifests, context, |_| Some(Scope::Namespaced)).unwrap()
}

impl Cluster {
    fn put(&mut self, key: &ObjectKey, digest: &str, operation: Option<String>) {
        let group = if key.group.is_empty() {
            "v1".to_owned()
        } else {
            format!("{}/v1", key.group)
        };
        let known = self.objects.get(key).map(|object| object.live.uid.clone());
        let uid = known.unwrap_or_else(|| {
            self.uids += 1;
            format!("u{}", self.uids)
        });
        let value = json!({"apiVersion": group, "kind": key.kind, "metadata": {
            "name": key.name, "namespace": key.namespace, "uid": uid, "resourceVersion": "1"}});
        let mut live = LiveObject::observe(&value, false).unwrap();
        live.health = health(key, "Progressing");
        live.hook = operation.is_some();
        live.operation = operation;
        let object = Object {
            live,
            digest: digest.into(),
        };
        self.objects.insert(key.clone(), object);
        self.told(key);
    }

    /// The agent learns what became of an object.
    fn told(&mut self, key: &ObjectKey) {
        match self.objects.get(key) {
            Some(object) => self.seen.insert(key.clone(), object.clone()),
            None => self.seen.remove(key),
        };
    }

    /// Watches tell of some of what happened, or of all of it.
    fn watches(&mut self, dice: &mut Dice, kindly: bool) {
        let keys = self.objects.keys().chain(self.seen.keys());
        let keys: Vec<ObjectKey> = keys.cloned().collect();
        for key in keys {
            if kindly || !dice.one_in(3) {
                self.told(&key);
            }
        }
    }

    /// Something happens that the agent did not do.
    fn live_on(&mut self, dice: &mut Dice, kindly: bool) {
        let keys: Vec<ObjectKey> = self.objects.keys().cloned().collect();
        if keys.is_empty() {
            return;
        }
        let key = &keys[usize::try_from(dice.roll(keys.len() as u64)).unwrap()];
        let Some(object) = self.objects.get_mut(key) else {
            return;
        };
        if object.live.deleting {
            if !object.live.held {
                self.objects.remove(key);
            }
            return;
        }
        let fate = dice.roll(if kindly { 4 } else { 12 });
        match fate {
            0..=3 => object.live.health = health(key, "Healthy"),
            4 => object.live.health = health(key, "Degraded"),
            // Somebody edits it.
            5 if !object.live.hook => "edited".clone_into(&mut object.digest),
            // Somebody deletes it.
            6 if object.live.held => object.live.deleting = true,
            6 if !object.live.hook => {
                self.objects.remove(key);
            }
            _ => {}
        }
    }
}

fn health(key: &ObjectKey, status: &str) -> Option<gitops_core::live::health::Health> {
    (key.kind != "ConfigMap")
        .then(|| gitops_core::live::health::Health::new(status.into(), String::new()))
}

fn is(live: &LiveObject, status: &str) -> bool {
    live.health
        .as_ref()
        .is_none_or(|health| health.status.as_str() == status)
}

/// The end of a sync, with the failure if there was one.
struct Ended(Option<Reason>);

/// What is true at one moment.
struct Now<'a> {
    desired: &'a DesiredSet,
    comparison: &'a Comparison,
    live: &'a HashMap<ObjectKey, LiveObject>,
    plan: &'a Plan,
    run: &'a Run,
    options: AppOptions,
}

impl<'a> Now<'a> {
    fn with(&self, record: &'a Record) -> Situation<'a> {
        Situation {
            desired: self.desired,
            comparison: self.comparison,
            live: self.live,
            live_hooks: self.live,
            plan: self.plan,
            complete: true,
            hooks: true,
            options: self.options,
            record,
            run: self.run,
        }
    }
}

/// A sync that calls itself a success has delivered everything.
fn all_delivered(comparison: &Comparison, record: &Record) {
    for (key, state) in comparison {
        let done = matches!(
            record.get(Phase::Sync, key),
            Some(Outcome::Applied | Outcome::Pruned)
        );
        assert!(done || state.is_synced(), "{key} was left out: {state:?}");
    }
}

/// One application in one cluster.
struct World {
    desired: DesiredSet,
    cluster: Cluster,
    run: Run,
    /// With `Force`, objects that cannot be changed in place are deleted and created again.
    options: AppOptions,
    /// What reached the API server; what did not is lost with the agent.
    stored: Vec<ResourceResult>,
    /// How often the status of an end did not reach it.
    lost: usize,
}

impl World {
    fn comparison(&self) -> Comparison {
        let wanted = self.desired.objects.values().map(|object| {
            let state = match self.cluster.seen.get(&object.key) {
                None => State::Missing,
                Some(live) if live.digest == object.digest => State::Synced,
                Some(_) => State::Changed,
            };
            (object.key.clone(), state)
        });
        let extra = self
            .cluster
            .seen
            .iter()
            .filter(|(key, object)| !object.live.hook && !self.desired.objects.contains_key(*key))
            .filter(|(key, _)| key.name.starts_with("extra"))
            .map(|(key, _)| (key.clone(), State::Extra));
        wanted.chain(extra).collect()
    }

    fn result(&self, phase: Phase, key: &ObjectKey, outcome: &Outcome) -> ResourceResult {
        let is_hook = self.desired.hooks.iter().any(|hook| hook.key == *key);
        ResourceResult {
            group: key.group.clone(),
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            sync_phase: phase.sync_phase(),
            hook_type: is_hook.then_some(HookType::Sync),
            status: match outcome {
                Outcome::Applied => Some(gitops_api::ResultCode::Synced),
                Outcome::Pruned => Some(gitops_api::ResultCode::Pruned),
                Outcome::Failed(_) => Some(gitops_api::ResultCode::SyncFailed),
                _ => None,
            },
            ..ResourceResult::default()
        }
    }

    /// What an agent does between being woken and falling asleep, or being killed.
    fn pass(&mut self, dice: &mut Dice, kindly: bool) -> Option<Ended> {
        let mut record = Record::of(&self.stored);
        self.cluster.watches(dice, kindly);
        loop {
            let comparison = self.comparison();
            let live: HashMap<ObjectKey, LiveObject> = self
                .cluster
                .seen
                .iter()
                .map(|(key, object)| (key.clone(), object.live.clone()))
                .collect();
            let policy = Policy {
                prune: true,
                ..Policy::default()
            };
            let plan = plan(&self.desired, &comparison, |key| live.get(key), &policy);
            let (desired, run) = (self.desired.clone(), self.run.clone());
            let now = Now {
                desired: &desired,
                comparison: &comparison,
                live: &live,
                plan: &plan,
                run: &run,
                options: self.options,
            };
            loop {
                let observed = observe(&now.with(&record));
                if observed.is_empty() {
                    break;
                }
                for (phase, key, outcome) in observed {
                    let result = self.result(phase, &key, &outcome);
                    record.put(outcome, result);
                }
            }
            match next(&now.with(&record)) {
                Next::Act(actions) => {
                    assert!(!actions.is_empty());
                    for action in &actions {
                        self.check_order(action, &record);
                        // Killed in the middle: what was done is not remembered.
                        if !kindly && dice.one_in(25) {
                            return None;
                        }
                        let outcome = self.perform(action, dice, kindly);
                        if let Some(outcome) = outcome {
                            let result = self.result(action.phase, &action.key, &outcome);
                            record.put(outcome, result);
                        }
                    }
                    if !kindly && dice.one_in(4) {
                        self.cluster.live_on(dice, kindly);
                    }
                }
                Next::Wait { reason, .. } => {
                    assert!(!reason.to_string().is_empty());
                    self.stored = record.results();
                    return None;
                }
                Next::Ended { failure } => {
                    if failure.is_none() && !desired.objects.is_empty() {
                        all_delivered(&comparison, &record);
                    }
                    for result in record.results() {
                        let taken_for_gone = result.message.contains("it is gone");
                        assert!(!taken_for_gone || result.hook_type.is_none(), "{result:?}");
                    }
                    // The status does not reach the API server: killed, cut off or refused.
                    if !kindly && dice.one_in(3) {
                        self.lost += 1;
                        return None;
                    }
                    self.stored = record.results();
                    return Some(Ended(failure));
                }
            }
        }
    }

    /// The operation as the status tells of it once it has ended.
    fn operation(&self, succeeded: bool) -> OperationState {
        OperationState {
            phase: if succeeded {
                OperationPhase::Succeeded
            } else {
                OperationPhase::Failed
            },
            started_at: Some(Time(self.run.started)),
            sync_result: Some(SyncOperationResult {
                revision: self.run.revision.clone(),
                resources: self.stored.clone(),
                ..SyncOperationResult::default()
            }),
            ..OperationState::default()
        }
    }

    /// What passes after the end do, whatever of it is refused or interrupted, until nothing is left
    /// to do.
    fn clean_up(&mut self, dice: &mut Dice, operation: &OperationState) {
        for turn in 0..50 {
            let kindly = turn > 10;
            self.cluster.watches(dice, kindly);
            let live: Vec<LiveObject> = self
                .cluster
                .seen
                .values()
                .filter(|object| object.live.hook)
                .map(|object| object.live.clone())
                .collect();
            let actions = cleanup(&live, Some(operation));
            if actions.is_empty() && kindly {
                return;
            }
            for action in &actions {
                assert!(matches!(
                    action.verb,
                    Verb::DeleteHook { .. } | Verb::ReleaseHook
                ));
                if !kindly && dice.one_in(4) {
                    break;
                }
                self.perform(action, dice, kindly);
            }
            self.cluster.live_on(dice, kindly);
        }
        panic!("the clean-up never ends");
    }

    fn perform(&mut self, action: &Action, dice: &mut Dice, kindly: bool) -> Option<Outcome> {
        if !kindly && dice.one_in(40) {
            return Some(Outcome::Failed("the API server refused it".into()));
        }
        match &action.verb {
            Verb::Apply => {
                let digest = self.desired.objects[&action.key].digest.clone();
                let seen = self.cluster.seen.get(&action.key);
                assert!(
                    !self.options.force || !seen.is_some_and(|seen| seen.live.deleting),
                    "{} is applied to while it is on its way out",
                    action.key
                );
                if let Some(object) = self.cluster.objects.get_mut(&action.key)
                    && self.options.force
                {
                    if object.digest == "immutable" {
                        if dice.one_in(2) {
                            object.live.deleting = true;
                        } else {
                            self.cluster.objects.remove(&action.key);
                        }
                        self.cluster.told(&action.key);
                        return Some(Outcome::Pruned);
                    }
                }
                self.cluster.put(&action.key, &digest, None);
                Some(Outcome::Applied)
            }
            Verb::Delete { uid, .. } => {
                let object = self.cluster.objects.get_mut(&action.key)?;
                assert_eq!(object.live.uid, *uid);
                assert!(
                    action.key.name.starts_with("extra"),
                    "{} is foreign",
                    action.key
                );
                object.live.deleting = true;
                self.cluster.told(&action.key);
                Some(Outcome::Pruned)
            }
            Verb::RunHook => {
                let created = (action.phase, action.key.clone());
                *self.cluster.hooks_run.entry(created).or_default() += 1;
                self.cluster
                    .put(&action.key, "hook", Some(self.run.id_in(action.phase)));
                let mut hooks = self.desired.hooks.iter();
                let hook = hooks.find(|hook| hook.key == action.key)?;
                let object = self.cluster.objects.get_mut(&action.key)?;
                object.live.held = true;
                object.live.deletion = hook.deletion;
                self.cluster.told(&action.key);
                Some(Outcome::Running(String::new()))
            }
            Verb::DeleteHook { uid } => {
                let object = self.cluster.objects.get_mut(&action.key)?;
                assert_eq!(object.live.uid, *uid);
                object.live.held = false;
                object.live.deleting = true;
                self.cluster.told(&action.key);
                None
            }
            Verb::ReleaseHook => {
                let object = self.cluster.objects.get_mut(&action.key)?;
                object.live.held = false;
                if object.live.deleting {
                    self.cluster.objects.remove(&action.key);
                }
                self.cluster.told(&action.key);
                None
            }
        }
    }

    /// Everything before an action is as it should be: judged here, without the machine's own words.
    fn check_order(&self, action: &Action, record: &Record) {
        let phase = |phase: Phase| match phase {
            Phase::PreSync => 0,
            Phase::Sync => 1,
            Phase::PostSync => 2,
            Phase::SyncFail => 3,
            phase => panic!("{phase} in a sync"),
        };
        if matches!(action.verb, Verb::Delete { .. } | Verb::DeleteHook { .. })
            || action.phase == Phase::SyncFail
        {
            return;
        }
        let own_wave = self
            .desired
            .objects
            .get(&action.key)
            .map(|object| object.wave)
            .or_else(|| {
                let hooks = &self.desired.hooks;
                hooks
                    .iter()
                    .find(|hook| hook.key == action.key)
                    .map(|hook| hook.object.wave)
            })
            .unwrap();
        let own = (phase(action.phase), own_wave);
        // Everything is never pruned.
        if action.phase == Phase::PostSync && !self.desired.objects.is_empty() {
            let leaving = |key: &&ObjectKey| key.name.starts_with("extra");
            let left = self.cluster.seen.keys().find(leaving);
            assert_eq!(left, None, "{} before what is pruned is gone", action.key);
        }
        for object in self.desired.objects.values() {
            if (1, object.wave) < own {
                let live = self.cluster.seen.get(&object.key);
                let fine = live.is_some_and(|live| is(&live.live, "Healthy"));
                assert!(fine, "{} before {}", action.key, object.key);
            }
        }
        for hook in &self.desired.hooks {
            for earlier in hook.sync_phases() {
                if earlier != Phase::SyncFail && (phase(earlier), hook.object.wave) < own {
                    let done =
                        matches!(record.get(earlier, &hook.key), Some(Outcome::Succeeded(_)));
                    assert!(done, "{} before hook {}", action.key, hook.key);
                }
            }
        }
    }
}

#[test]
fn whatever_happens_order_is_kept_and_an_end_is_reached() {
    let (mut steps, mut succeeded, mut failed, mut lost) = (0, 0, 0, 0);
    let mut seed = 1_u64;
    while steps < STEPS {
        seed += 1;
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut world = World {
            desired: desired(&mut dice),
            cluster: Cluster {
                objects: BTreeMap::new(),
                seen: BTreeMap::new(),
                uids: 0,
                hooks_run: BTreeMap::new(),
            },
            run: Run {
                started: jiff::Timestamp::from_second(1_000).unwrap(),
                revision: "0123456789".into(),
            },
            options: AppOptions {
                force: dice.one_in(2),
                ..AppOptions::default()
            },
            stored: Vec::new(),
            lost: 0,
        };
        for key in world.desired.objects.keys() {
            if dice.one_in(3) {
                world.cluster.put(key, "immutable", None);
            }
        }
        // Leftovers: an object no longer in Git, a hook of an earlier run.
        let extra = ObjectKey {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: "n".into(),
            name: "extra".into(),
        };
        world.cluster.put(&extra, "old", None);
        if let Some(hook) = world.desired.hooks.first().map(|hook| hook.key.clone()) {
            world.cluster.put(&hook, "hook", Some("999".into()));
        }
        let mut ended = None;
        for turn in 0..400 {
            steps += 1;
            // After a while the cluster calms down, and then it has to come to an end.
            let kindly = turn > 60;
            if let Some(Ended(failure)) = world.pass(&mut dice, kindly) {
                ended = Some(failure);
                break;
            }
            for _ in 0..3 {
                world.cluster.live_on(&mut dice, kindly);
            }
        }
        let failure = ended.unwrap_or_else(|| panic!("seed {seed} never ends"));
        if failure.is_some() {
            failed += 1;
        } else {
            succeeded += 1;
        }
        lost += world.lost;
        let operation = world.operation(failure.is_none());
        world.clean_up(&mut dice, &operation);
        for (key, object) in &world.cluster.objects {
            assert!(!object.live.held, "seed {seed}: {key} is held for nothing");
        }
        for ((phase, key), count) in &world.cluster.hooks_run {
            assert_eq!(*count, 1, "seed {seed}: {key} ran {count} times in {phase}");
        }
    }
    assert!(
        succeeded > 1000 && failed > 1000 && lost > 1000,
        "{succeeded} {failed} {lost}"
    );
}
