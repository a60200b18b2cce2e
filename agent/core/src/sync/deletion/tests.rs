use serde_json::{Value, json};

use super::*;
use crate::manifest::desired::{Context, DesiredSet, Manifest, Scope, prepare};
use crate::manifest::object::Origin;

const SINCE: &str = "2026-01-31T12:00:00Z";

fn hook(name: &str, phases: &str, policy: &str, wave: i64) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": {
        "argocd.argoproj.io/hook": phases, "argocd.argoproj.io/hook-delete-policy": policy,
        "argocd.argoproj.io/sync-wave": wave.to_string()}}})
}

fn hooks(manifests: &[Value]) -> DesiredSet {
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    let manifests = manifests.iter().map(|value| Manifest {
        value: value.clone(),
        origin: Origin::default(),
    });
    prepare(manifests.collect(), context, |_| Some(Scope::Namespaced)).unwrap()
}

fn live(kind: &str, name: &str, annotations: &Value) -> LiveObject {
    let version = if kind == "Job" { "batch/v1" } else { "v1" };
    let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name,
        "namespace": "n", "uid": name, "annotations": annotations}});
    LiveObject::observe(&object, false).unwrap()
}

fn run() -> Run {
    Run {
        started: SINCE.parse().unwrap(),
        revision: "0123456789abcdef".into(),
    }
}

/// A story told in one struct: what is there, and what comes of it.
struct Story<'a> {
    finalizers: &'a [&'a str],
    approved: Option<&'a str>,
    default: OnDeletion,
    objects: Vec<LiveObject>,
    hooks: Result<Vec<Value>, &'a str>,
    live_hooks: Vec<LiveObject>,
    protected: &'a str,
    guests: Guests,
    blocker: Option<&'a str>,
}

impl Default for Story<'_> {
    fn default() -> Self {
        Self {
            finalizers: &[finalizer::RESOURCES],
            approved: None,
            default: OnDeletion::Delete,
            objects: vec![],
            hooks: Ok(vec![]),
            live_hooks: vec![],
            protected: "",
            guests: Guests::new(),
            blocker: None,
        }
    }
}

impl Story<'_> {
    fn next(&self) -> Next {
        let finalizers: Vec<String> = self.finalizers.iter().map(|f| (*f).to_owned()).collect();
        let set = self.hooks.as_ref().map(|manifests| hooks(manifests));
        let live_hooks = self.live_hooks.iter().cloned();
        next(&Situation {
            subject: Subject {
                namespace: "argocd",
                name: "shop",
            },
            finalizers: &finalizers,
            since: SINCE.parse().unwrap(),
            approved: self.approved,
            default: self.default,
            objects: &self.objects,
            guests: &self.guests,
            is_protected: &|key| key.name == self.protected,
            hooks: match &set {
                Ok(set) => Ok(&set.hooks),
                Err(why) => Err(why),
            },
            live_hooks: &live_hooks.map(|live| (live.key.clone(), live)).collect(),
            blocker: self.blocker,
            run: &run(),
        })
    }

    /// The step in few words.
    fn told(&self) -> String {
        let actions = |actions: Vec<Action>| -> String {
            let texts: Vec<String> = actions
                .into_iter()
                .map(|action| {
                    let Action { phase, key, .. } = action;
                    let verb = match action.verb {
                        Verb::Delete { propagation, .. } => format!("delete {propagation:?}"),
                        Verb::DeleteHook { .. } => "delete hook".into(),
                        Verb::RunHook => format!("run {phase}"),
                        Verb::ReleaseHook => "release".into(),
                        Verb::Apply => "apply".into(),
                    };
                    format!("{verb} {}", key.name)
                })
                .collect();
            texts.join(", ")
        };
        match self.next() {
            Next::Act(list) => actions(list),
            Next::Finish {
                cleanup,
                finalizers,
            } => format!("{} done: {}", actions(cleanup), finalizers.join(" ")),
            Next::Wait {
                reason, blocked, ..
            } => {
                format!("{}: {reason}", if blocked { "blocked" } else { "wait" })
            }
            Next::Ended => "ended".into(),
        }
    }
}

fn in_wave(wave: i64) -> Value {
    json!({"argocd.argoproj.io/sync-wave": wave.to_string()})
}

fn with_options(options: &str) -> Value {
    json!({"argocd.argoproj.io/sync-options": options})
}

#[test]
fn objects_go_in_reverse_waves_and_only_those_that_may() {
    let deleting = |mut live: LiveObject| {
        live.deleting = true;
        live
    };
    let both = || {
        vec![
            live("ConfigMap", "first", &in_wave(0)),
            live("ConfigMap", "second", &in_wave(1)),
        ]
    };
    let told = |story: Story<'_>| story.told();
    let story = |objects| Story {
        objects,
        ..Story::default()
    };
    assert_eq!(told(story(both())), "delete Foreground second");
    let waiting = vec![both().remove(0), deleting(both().remove(1))];
    assert!(
        told(story(waiting)).starts_with("wait: waiting in wave 1 until gone: ConfigMap n/second")
    );
    let kinds = vec![
        live("Namespace", "ns", &json!({})),
        live("Secret", "secret", &json!({})),
    ];
    assert_eq!(told(story(kinds)), "delete Foreground secret");
    let kept = vec![
        live("Secret", "a", &with_options("Replace=true, Delete=false")),
        live("Secret", "b", &json!({"helm.sh/resource-policy": "keep"})),
        live("Secret", "c", &with_options("Prune=false")),
    ];
    assert_eq!(told(story(kept.clone())), "delete Foreground c");
    let protected = Story {
        objects: kept,
        protected: "c",
        ..Story::default()
    };
    assert_eq!(protected.told(), format!(" done: {}", finalizer::RESOURCES));
    let background = Story {
        finalizers: &[finalizer::BACKGROUND],
        objects: both(),
        ..Story::default()
    };
    assert_eq!(background.told(), "delete Background second");
    let stays = Story {
        default: OnDeletion::Retain,
        objects: both(),
        ..Story::default()
    };
    assert!(stays.told().starts_with(" done"));
    let orphan = Story {
        finalizers: &["somebody.else/finalizer"],
        objects: both(),
        ..Story::default()
    };
    assert_eq!(orphan.told(), "ended");
    let far = Story {
        blocker: Some("cluster far cannot be reached"),
        objects: both(),
        ..Story::default()
    };
    let told = far.told();
    assert!(
        told.starts_with("blocked: cluster far") && told.contains(finalizer::RESOURCES),
        "{told}"
    );
}

#[test]
fn what_asks_is_asked_about_before_anything_happens() {
    let story = |approved, options| Story {
        finalizers: &[finalizer::RESOURCES, finalizer::PRE_DELETE],
        approved,
        objects: vec![
            live("ConfigMap", "a", &json!({})),
            live("Secret", "data", &with_options(options)),
        ],
        hooks: Ok(vec![hook("drain", "PreDelete", "", 0)]),
        ..Story::default()
    };
    let told = story(None, "Delete=confirm").told();
    assert!(
        told.starts_with(
            "blocked: nothing is deleted before approval: Delete=confirm is set on \
             Secret n/data; to agree: kubectl gitops approve shop"
        ),
        "{told}"
    );
    let told = story(Some("2026-01-31T11:00:00Z"), "Delete=confirm").told();
    assert!(told.contains("before this was asked"), "{told}");
    assert_eq!(
        story(Some(SINCE), "Delete=confirm").told(),
        "run PreDelete drain"
    );
    assert_eq!(story(None, "").told(), "run PreDelete drain");
}

fn hook_object(name: &str, phase: Phase, health: &str, digest: &str) -> LiveObject {
    let mut live = live(
        "Job",
        name,
        &json!({"argocd.argoproj.io/hook": phase.to_string(),
            "gitops-agent.io/operation": run().id_in(phase),
            "gitops-agent.io/desired-digest": digest}),
    );
    live.health = Some(crate::live::health::Health::new(health.into(), "because"));
    live
}

#[test]
fn hooks_run_wave_by_wave_and_a_failure_stops_everything() {
    use Phase::{PostDelete, PreDelete};
    let manifests = vec![
        hook("one", "PreDelete", "HookSucceeded", 0),
        hook("two", "PreDelete,PostDelete", "", 1),
    ];
    let digest = hooks(&manifests).hooks[0].object.digest.clone();
    let story = |finalizers, live_hooks: Vec<LiveObject>| Story {
        finalizers,
        hooks: Ok(manifests.clone()),
        objects: vec![live("ConfigMap", "a", &json!({}))],
        live_hooks,
        ..Story::default()
    };
    let pre: &[&str] = &[
        finalizer::RESOURCES,
        finalizer::PRE_DELETE,
        finalizer::PRE_DELETE_CLEANUP,
    ];
    let one = |health: &str| hook_object("one", PreDelete, health, &digest);
    let two = |phase| hook_object("two", phase, "Healthy", "");
    assert_eq!(story(pre, vec![]).told(), "run PreDelete one");
    let told = story(pre, vec![one("Progressing")]).told();
    assert!(
        told.starts_with("wait: waiting in PreDelete for batch/Job n/one"),
        "{told}"
    );
    let told = story(pre, vec![one("Degraded")]).told();
    assert!(
        told.starts_with("blocked: PreDelete hook failed, nothing was deleted: batch/Job n/one")
            && told.contains("pre-delete-finalizer.argocd.argoproj.io"),
        "{told}"
    );
    let mended = hook_object("one", PreDelete, "Degraded", "another digest");
    assert_eq!(story(pre, vec![mended]).told(), "delete hook one");
    let mut removed = one("Degraded");
    removed.deleting = true;
    assert_eq!(story(pre, vec![removed]).told(), "release one");
    let earlier = live("Job", "one", &json!({"gitops-agent.io/operation": "1"}));
    assert_eq!(story(pre, vec![earlier]).told(), "delete hook one");
    assert_eq!(story(pre, vec![one("Healthy")]).told(), "run PreDelete two");
    let done = vec![one("Healthy"), two(PreDelete)];
    assert_eq!(
        story(pre, done.clone()).told(),
        format!(" done: {}", finalizer::PRE_DELETE)
    );
    let tidy: &[&str] = &[finalizer::RESOURCES, finalizer::PRE_DELETE_CLEANUP];
    assert_eq!(
        story(tidy, done.clone()).told(),
        format!(
            "delete hook one, delete hook two done: {}",
            finalizer::PRE_DELETE_CLEANUP
        ),
        "a hook without a policy goes with the objects"
    );
    assert_eq!(
        story(&[finalizer::PRE_DELETE_CLEANUP], done.clone()).told(),
        format!(
            "delete hook one, release two done: {}",
            finalizer::PRE_DELETE_CLEANUP
        ),
        "and stays with those that stay"
    );
    assert_eq!(
        story(&[finalizer::RESOURCES], done).told(),
        "delete Foreground a"
    );
    // The same manifest runs anew in the other phase.
    let post: &[&str] = &[finalizer::POST_DELETE];
    assert_eq!(story(post, vec![two(PreDelete)]).told(), "delete hook two");
    assert_eq!(
        story(post, vec![two(PostDelete)]).told(),
        format!(" done: {}", finalizer::POST_DELETE)
    );
    let unknown = Story {
        finalizers: pre,
        hooks: Err("the repository does not answer"),
        ..Story::default()
    };
    let told = unknown.told();
    assert!(
        told.starts_with(
            "blocked: its PreDelete hooks have to run and cannot be made: the repository"
        ),
        "{told}"
    );
}

#[test]
fn finalizers_come_and_go_with_the_hooks() {
    let present = vec![finalizer::RESOURCES.to_owned()];
    let with = |manifests: &[Value]| finalizers(&present, &hooks(manifests).hooks);
    assert_eq!(with(&[]), None);
    assert_eq!(with(&[hook("a", "PreSync", "", 0)]), None);
    let both = with(&[
        hook("a", "PreDelete", "", 0),
        hook("b", "PostDelete", "", 0),
    ])
    .unwrap();
    assert_eq!(
        both[1..],
        [
            finalizer::PRE_DELETE,
            finalizer::PRE_DELETE_CLEANUP,
            finalizer::POST_DELETE,
            finalizer::POST_DELETE_CLEANUP
        ]
    );
    assert_eq!(finalizers(&both, &[]), Some(present));
}
