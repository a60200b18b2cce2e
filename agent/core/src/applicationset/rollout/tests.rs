//! Rollouts as tables: what each Application is, and who may go on.

use std::collections::BTreeMap;

use gitops_api::Application;
use gitops_api::application_set::GeneratedApplicationStatus;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::environment::Environment;
use super::super::generate::{Generation, generate};
use super::super::need::Answers;
use super::super::spec::SetSpec;
use super::*;

/// Two in dev, one in prod.
const STEPS: &str = r#"{"type": "RollingSync", "rollingSync": {"steps": [
    {"matchExpressions": [{"key": "env", "operator": "In", "values": ["dev"]}]},
    {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["dev"]}]}]}}"#;

fn rolling(text: &str) -> Rolling {
    Rolling::read(&serde_json::from_str(text).unwrap()).unwrap()
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// The Applications `a` and `b` of dev and `c` of prod, and what is known of them.
struct Fleet {
    rolling: Rolling,
    apps: BTreeMap<&'static str, Value>,
    envs: BTreeMap<&'static str, &'static str>,
    new_specs: Vec<&'static str>,
    before: Vec<GeneratedApplicationStatus>,
    second: i64,
}

impl Fleet {
    fn new(steps: &str) -> Self {
        let app = |name: &str| {
            json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": {"name": name, "namespace": "argocd"},
                "spec": {"project": "default", "destination": {"server": "s", "namespace": "n"},
                    "source": {"repoURL": "https://git.example.com/r.git", "path": "p", "targetRevision": "main"}}})
        };
        let names = ["a", "b", "c"];
        Self {
            rolling: rolling(steps),
            apps: names.into_iter().map(|name| (name, app(name))).collect(),
            envs: BTreeMap::from([("a", "dev"), ("b", "dev"), ("c", "prod")]),
            new_specs: Vec::new(),
            before: Vec::new(),
            second: 0,
        }
    }

    /// What an Application was compared with, and how it is.
    fn is(&mut self, name: &'static str, sync: &str, revision: &str, health: &str) {
        let app = self.apps.get_mut(name).unwrap();
        app["status"]["sync"] = json!({"status": sync, "revision": revision, "comparedTo":
            {"source": app["spec"]["source"], "destination": app["spec"]["destination"]}});
        app["status"]["health"] = json!({"status": health});
    }

    /// The sync that was asked for, at some second.
    fn synced(&mut self, name: &'static str, phase: &str) {
        let started = time(self.second).to_string();
        let app = self.apps.get_mut(name).unwrap();
        app["operation"] = Value::Null;
        app["status"]["operationState"] = json!({"phase": phase, "startedAt": started,
            "message": "it was refused", "operation": {"sync": {}}});
    }

    /// One look.
    fn look(&mut self) -> Rollout {
        self.look_paused(false)
    }

    fn look_paused(&mut self, is_paused: bool) -> Rollout {
        self.second += 10;
        let apps = self.apps.iter().map(|(name, value)| {
            let app: Application = serde_json::from_value(value.clone()).unwrap();
            (*name, app)
        });
        let apps: BTreeMap<&str, Application> = apps.collect();
        let labels = self.envs.iter().map(|(name, env)| {
            let labels = BTreeMap::from([("env".to_owned(), (*env).to_owned())]);
            (*name, labels)
        });
        let labels: BTreeMap<&str, BTreeMap<String, String>> = labels.collect();
        let members = labels.iter().map(|(name, labels)| {
            let member = Member {
                labels,
                live: apps.get(name),
                has_new_spec: self.new_specs.contains(name),
                prunes: *name == "a",
            };
            (*name, member)
        });
        let rollout = roll(&RolloutInput {
            rolling: &self.rolling,
            members: &members.collect(),
            before: &self.before,
            is_paused,
            now: time(self.second),
        });
        self.before.clone_from(&rollout.statuses);
        for (name, operation) in &rollout.operations {
            self.apps.get_mut(name.as_str()).unwrap()["operation"] = operation.clone();
        }
        rollout
    }
}

/// Status of each Application, and who is asked to sync.
fn seen(rollout: &Rollout) -> (Vec<&str>, Vec<&str>) {
    let statuses = rollout.statuses.iter().map(|one| &*one.status);
    let asked = rollout.operations.keys().map(String::as_str);
    (statuses.collect(), asked.collect())
}

#[test]
fn one_step_after_the_other() {
    let mut fleet = Fleet::new(STEPS);
    let rollout = fleet.look();
    assert_eq!(
        seen(&rollout),
        (vec!["Waiting"; 3], vec![]),
        "nothing was compared yet"
    );
    assert_eq!(rollout.stage, Stage::Step(1));
    for name in ["a", "b", "c"] {
        fleet.is(name, "OutOfSync", "r1", "Missing");
    }
    let rollout = fleet.look();
    assert_eq!(
        seen(&rollout),
        (vec!["Pending", "Pending", "Waiting"], vec!["a", "b"])
    );
    let operation = &rollout.operations["a"];
    assert_eq!(operation["sync"], json!({"prune": true, "revision": "r1"}));
    assert_eq!(rollout.operations["b"]["sync"], json!({"revision": "r1"}));
    let rollout = fleet.look();
    assert_eq!(seen(&rollout).1, [""; 0], "it was asked already");
    fleet.synced("a", "Running");
    fleet.synced("b", "Succeeded");
    fleet.is("b", "Synced", "r1", "Healthy");
    let rollout = fleet.look();
    assert_eq!(
        seen(&rollout),
        (vec!["Progressing", "Healthy", "Waiting"], vec![])
    );
    fleet.synced("a", "Succeeded");
    fleet.is("a", "Synced", "r1", "Healthy");
    let rollout = fleet.look();
    assert_eq!(
        seen(&rollout),
        (vec!["Healthy", "Healthy", "Pending"], vec!["c"])
    );
    assert_eq!(rollout.stage, Stage::Step(2));
    fleet.synced("c", "Succeeded");
    fleet.is("c", "Synced", "r1", "Healthy");
    let rollout = fleet.look();
    assert_eq!(rollout.stage, Stage::Complete);
    // Drift of what is rolled out begins nothing anew.
    fleet.is("a", "OutOfSync", "r1", "Healthy");
    assert_eq!(fleet.look().stage, Stage::Complete);
}

/// A fleet whose rollout of r1 is complete.
fn rolled_out(steps: &str) -> Fleet {
    let mut fleet = Fleet::new(steps);
    for name in ["a", "b", "c"] {
        fleet.is(name, "Synced", "r1", "Healthy");
    }
    assert_eq!(fleet.look().stage, Stage::Complete);
    fleet
}

#[test]
fn a_later_step_does_not_overtake_one_that_has_not_noticed_the_commit() {
    let mut fleet = rolled_out(STEPS);
    fleet.is("c", "OutOfSync", "r2", "Healthy");
    let rollout = fleet.look();
    assert_eq!(
        seen(&rollout),
        (vec!["Healthy", "Healthy", "Waiting"], vec![])
    );
    fleet.is("a", "OutOfSync", "r2", "Healthy");
    fleet.is("b", "Synced", "r2", "Healthy");
    let rollout = fleet.look();
    assert_eq!(
        seen(&rollout),
        (vec!["Pending", "Healthy", "Waiting"], vec!["a"])
    );
    fleet.synced("a", "Succeeded");
    fleet.is("a", "Synced", "r2", "Healthy");
    assert_eq!(seen(&fleet.look()).1, ["c"]);
}

#[test]
fn a_new_spec_goes_from_step_to_step_and_what_was_compared_before_does_not_count() {
    let mut fleet = rolled_out(STEPS);
    fleet.new_specs = vec!["a", "b", "c"];
    let rollout = fleet.look();
    assert_eq!(seen(&rollout), (vec!["Waiting"; 3], vec![]));
    let held: Vec<&String> = rollout.held.iter().collect();
    assert_eq!(held, ["c"], "the first step is changed");
    // Changed, and not compared yet.
    for name in ["a", "b"] {
        fleet.apps.get_mut(name).unwrap()["spec"]["source"]["path"] = json!("p2");
    }
    fleet.new_specs = vec!["c"];
    let rollout = fleet.look();
    assert_eq!(seen(&rollout), (vec!["Waiting"; 3], vec![]));
    assert!(rollout.held.contains("c"));
    fleet.is("a", "OutOfSync", "r1", "Healthy");
    fleet.is("b", "Synced", "r1", "Healthy");
    let rollout = fleet.look();
    assert_eq!(
        seen(&rollout),
        (vec!["Pending", "Healthy", "Waiting"], vec!["a"])
    );
    fleet.synced("a", "Succeeded");
    fleet.is("a", "Synced", "r1", "Healthy");
    let rollout = fleet.look();
    assert!(rollout.held.is_empty(), "prod has its turn");
    assert_eq!(
        seen(&rollout),
        (vec!["Healthy", "Healthy", "Waiting"], vec![])
    );
}

#[test]
fn a_new_spec_in_the_middle_of_a_rollout_begins_it_anew() {
    let mut fleet = rolled_out(STEPS);
    for name in ["a", "b", "c"] {
        fleet.is(name, "OutOfSync", "r2", "Healthy");
    }
    fleet.look();
    fleet.synced("a", "Succeeded");
    fleet.synced("b", "Succeeded");
    assert_eq!(
        seen(&fleet.look()).0,
        ["Progressing", "Progressing", "Waiting"]
    );
    fleet.new_specs = vec!["a", "b", "c"];
    assert_eq!(seen(&fleet.look()).0, ["Waiting"; 3]);
    fleet.new_specs = vec!["c"];
    assert_eq!(seen(&fleet.look()).1, ["a", "b"]);
}

#[test]
fn a_failure_stops_it_and_is_named_and_a_pause_stops_it_too() {
    let mut fleet = rolled_out(STEPS);
    for name in ["a", "b", "c"] {
        fleet.is(name, "OutOfSync", "r2", "Healthy");
    }
    let paused = fleet.look_paused(true);
    assert_eq!(seen(&paused), (vec!["Waiting"; 3], vec![]));
    assert_eq!(seen(&fleet.look()).1, ["a", "b"]);
    fleet.synced("a", "Failed");
    let rollout = fleet.look();
    assert_eq!(
        rollout.stopped,
        ["Application a: its sync failed: it was refused"]
    );
    fleet.synced("a", "Succeeded");
    fleet.is("a", "Synced", "r2", "Degraded");
    let rollout = fleet.look();
    assert_eq!(rollout.stopped, ["Application a: it is Degraded"]);
    fleet.is("a", "Synced", "r2", "Healthy");
    assert!(fleet.look().stopped.is_empty());
    // One of a later step stops nothing before its turn.
    fleet.apps.get_mut("c").unwrap()["status"]["conditions"] =
        json!([{"type": "ComparisonError", "message": "no such path"}]);
    assert!(fleet.look().stopped.is_empty());
    fleet.synced("b", "Succeeded");
    fleet.is("b", "Synced", "r2", "Healthy");
    let rollout = fleet.look();
    assert_eq!(rollout.stopped, ["Application c: no such path"]);
    assert_eq!(seen(&rollout).1, [""; 0]);
}

#[test]
fn so_many_at_a_time_as_the_step_says() {
    let with = |max: &Value| {
        let mut steps: Value = serde_json::from_str(STEPS).unwrap();
        steps["rollingSync"]["steps"][0]["maxUpdate"] = max.clone();
        steps.to_string()
    };
    let table = [
        (json!(0), 0, false),
        (json!(1), 1, false),
        (json!("1"), 1, false),
        (json!(5), 2, false),
        (json!("10%"), 1, false),
        (json!("0%"), 0, false),
        (json!("100%"), 2, false),
        (json!("some"), 2, true),
        (json!(null), 2, false),
    ];
    for (max, asked, is_wrong) in table {
        let mut fleet = Fleet::new(&with(&max));
        for name in ["a", "b", "c"] {
            fleet.is(name, "OutOfSync", "r1", "Missing");
        }
        let rollout = fleet.look();
        assert_eq!(rollout.operations.len(), asked, "{max}");
        assert_eq!(
            !rollout.issues.is_empty(),
            is_wrong,
            "{max}: {:?}",
            rollout.issues
        );
        // The one that is at it counts.
        assert_eq!(fleet.look().operations.len(), 0, "{max}");
    }
}

#[test]
fn what_is_wrong_with_the_steps_is_said() {
    let steps =
        |steps: &Value| json!({"type": "RollingSync", "rollingSync": {"steps": steps}}).to_string();
    let one = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    let table = [
        (
            json!([one("env", "Exists", &["dev"])]),
            "\"Exists\" is no operator here",
        ),
        (
            json!([one("env", "In", &["dev"])]),
            "no step selects Application c, so it is never synced",
        ),
        (
            json!([one("env", "In", &["dev"]), one("env", "NotIn", &["x"])]),
            "Application a is selected by step 1, which counts, and by 2",
        ),
        (
            json!([{}, one("env", "In", &["moon"])]),
            "step 2 selects no Application",
        ),
    ];
    for (list, says) in table {
        let issues = Fleet::new(&steps(&list)).look().issues;
        assert!(issues.iter().any(|one| one.contains(says)), "{issues:?}");
    }
    assert!(Fleet::new(STEPS).look().issues.is_empty());
    assert!(Rolling::read(&json!({"type": "AllAtOnce"})).is_none());
    assert!(Rolling::read(&json!(null)).is_none());
}

#[test]
fn a_set_is_deleted_step_by_step_from_the_last() {
    let mut steps: BTreeMap<String, Option<usize>> = BTreeMap::from([
        ("a".to_owned(), Some(0)),
        ("b".to_owned(), Some(1)),
        ("c".to_owned(), Some(1)),
        ("d".to_owned(), None),
    ]);
    assert_eq!(deletion_turn(&steps), ["b", "c"]);
    steps.remove("b");
    assert_eq!(deletion_turn(&steps), ["c"], "the others wait for it");
    steps.remove("c");
    assert_eq!(deletion_turn(&steps), ["a"]);
    steps.remove("a");
    assert_eq!(
        deletion_turn(&steps),
        [""; 0],
        "what no step has goes with the set"
    );
}

#[test]
fn applications_of_a_set_that_rolls_are_not_automated_and_say_what_a_sync_of_theirs_deletes() {
    let generated = |policy: &Value, rolls: bool, strategy: &str| {
        let spec = SetSpec::read(&json!({
            "generators": [{"list": {"elements": [{"env": "dev"}]}}],
            "strategy": serde_json::from_str::<Value>(strategy).unwrap(),
            "template": {"metadata": {"name": "{{env}}"}, "spec": {"project": "default", "syncPolicy": policy,
                "destination": {"server": "s", "namespace": "n"}}},
        }));
        let environment = Environment {
            rolls,
            ..Environment::default()
        };
        generate(&spec, &environment, &Answers::new())
    };
    let table = [
        (
            json!({"automated": {"prune": true, "selfHeal": true}}),
            json!({"automated": {"prune": true, "selfHeal": true, "enabled": false}}),
            true,
        ),
        (
            json!({"automated": {"prune": true, "enabled": false}}),
            json!({"automated": {"prune": true, "enabled": false}}),
            false,
        ),
        (
            json!({"automated": {}}),
            json!({"automated": {"enabled": false}}),
            false,
        ),
        (
            json!({"retry": {"limit": 2}}),
            json!({"retry": {"limit": 2}}),
            false,
        ),
        (json!(null), json!(null), false),
    ];
    for (written, expected, prunes) in table {
        let Generation::Done { applications, .. } = generated(&written, true, STEPS) else {
            panic!("{written}")
        };
        assert_eq!(applications[0].value["spec"]["syncPolicy"], expected);
        assert_eq!(applications[0].prunes, prunes, "{written}");
    }
    let automated = json!({"automated": {"prune": true}});
    let Generation::Done {
        applications,
        warnings,
    } = generated(&automated, false, STEPS)
    else {
        panic!("it is not switched on")
    };
    assert_eq!(applications[0].value["spec"]["syncPolicy"], automated);
    assert!(warnings[0].message.contains("enable.progressive.syncs"));
    let none = r#"{"type": "RollingSync", "rollingSync": {"steps": []}}"#;
    let Generation::Failed(problems) = generated(&automated, true, none) else {
        panic!("there are no steps")
    };
    assert!(problems[0].to_string().contains("there are no steps"));
}
