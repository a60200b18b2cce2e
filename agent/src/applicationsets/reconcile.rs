//! One look at one set, from its spec to its Applications and its status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gitops_api::ResourceStatus;
use gitops_api::application_set::{
    ApplicationSetStatus, GeneratedApplicationStatus, WrittenApplicationSet,
};
use gitops_api::constants::{self, annotation};
use gitops_core::applicationset::{
    Answers, DELETIONS_HELD, Destinations, Environment, Generation, Need, Plan, PlanInput, Report,
    RolloutReport, SetIdentity, SetSpec, Verb, Warning, conditions, generate, health_of, plan,
    requeue_after_seconds, validate,
};
use gitops_core::sync::approval::Approval;
use gitops_core::sync::pause;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::answers::Source;
use super::cache::SetCache;
use super::controller::SetController;
use super::outside::Outside;
use crate::app_key::AppKey;
use crate::follower::Follower;

/// Rounds of generating; each nested generator takes a few.
const MAX_ROUNDS: usize = 40;
/// Pause after what may pass by itself.
const RETRY: Duration = Duration::from_secs(30);
/// Pause while a server that was asked has not answered, in case nobody says that it has.
const FETCHING: Duration = Duration::from_secs(15);
/// Pause after somebody was faster.
const SOON: Duration = Duration::from_secs(1);
/// Most Applications a status lists; Argo CD's default.
const MAX_RESOURCES: usize = 5000;
/// Names in a question.
const MAX_NAMES: usize = 20;

impl SetController {
    /// Looks at a set; the answer is after which time to look again although nothing happens.
    pub(super) async fn reconcile(self: Arc<Self>, key: AppKey) -> Option<Duration> {
        let Some(set) = self.set(&key) else {
            self.wake.forget(&key);
            self.caches.lock().remove(&key);
            self.follow(&key, []);
            return None;
        };
        if let Some(other) = self.other_controller() {
            tracing::info!(
                applicationset = %key,
                deployment = other,
                "left to the controller that serves ApplicationSets here; to let the agent serve them, \
                 scale it to 0 or run the agent with --application-sets=on"
            );
            return None;
        }
        if set.metadata.deletion_timestamp.is_some() {
            self.wake.forget(&key);
            self.follow(&key, []);
            return self.delete(&key, &set).await;
        }
        let all = self.controller.sources.settings.paused();
        if let Some(paused) = pause::judge(None, all.as_deref(), Timestamp::now()) {
            // Neither Applications nor what goes with them: it is looked at when everything is resumed.
            return paused.time_left(Timestamp::now());
        }
        let cache = self.cache(&key);
        let mut cache = cache.lock().await;
        match self.look(&key, &set, &mut cache).await {
            Ok(again) => again,
            Err(error) => {
                tracing::warn!(applicationset = %key, error = format!("{error:#}"), "not looked at to the end");
                Some(RETRY)
            }
        }
    }

    async fn look(
        &self,
        key: &AppKey,
        set: &WrittenApplicationSet,
        cache: &mut SetCache,
    ) -> anyhow::Result<Option<Duration>> {
        let written = Value::Object(set.spec.clone());
        let spec = SetSpec::read(&written);
        let asked = set
            .annotations()
            .contains_key(annotation::APPLICATION_SET_REFRESH);
        if asked {
            // Before anything is looked at: who asks again from now on is not answered by this look.
            self.answered(set, annotation::APPLICATION_SET_REFRESH)
                .await?;
        }
        let interval = requeue_after_seconds(&spec.generators).map(Duration::from_secs);
        let is_due = cache.due.is_some_and(|due| Instant::now() >= due);
        // Repositories are listed at the agent's own interval; a shorter one of the set counts, too.
        let polled = self.controller.sources.repositories.interval();
        let is_shorter = interval.is_some_and(|own| polled.is_none_or(|polled| own < polled));
        let refresh = asked || is_due && is_shorter;
        if cache.due.is_none() || is_due {
            cache.due = interval.map(|interval| Instant::now() + interval);
        }

        if asked || is_due {
            // What others decide is asked for at the set's own interval, not whenever it is looked at.
            cache.answers.retain(|need, _| !need.is_outside());
        }
        let (generation, notes) = self.generate(key, &spec, refresh, cache).await;
        let mut report = Report::default();
        let mut again = cache
            .due
            .map(|due| due.saturating_duration_since(Instant::now()));
        let mut sooner = |pause: Duration| again = Some(again.map_or(pause, |one| one.min(pause)));
        let mut owned = None;
        let mut is_used_up = false;
        // While generating fails nothing moves, and what was reached stays.
        let mut progress = set
            .status
            .as_ref()
            .map(|status| status.application_status.clone())
            .unwrap_or_default();
        match generation {
            Generation::Needs(_) => anyhow::bail!("generating does not come to an end"),
            Generation::Failed(problems) => {
                if problems.iter().all(|problem| problem.is_pending) {
                    // No answer is no news.
                    return Ok(Some(FETCHING));
                }
                if problems.iter().any(|problem| problem.is_temporary) {
                    sooner(RETRY);
                }
                report.problems = problems;
            }
            Generation::Done {
                applications,
                warnings,
            } => {
                progress.clear();
                report.warnings = warnings;
                let known = Destinations {
                    projects: self.projects(),
                    clusters: self.known_clusters(),
                };
                let validated = validate(applications, &known);
                let names = validated.good.keys().cloned().collect();
                let rivals = self.wake.claim(key, &names);
                let parameters = self.controller.sources.settings.application_sets();
                let identity = SetIdentity {
                    namespace: key.namespace.clone(),
                    name: key.name.clone(),
                    uid: set.uid().unwrap_or_default(),
                };
                let existing = self.existing(key, &validated.names());
                let preserved = parameters.preserved(&spec);
                let rollout = self.rollout(key, set, &spec, &validated, &existing);
                let held = rollout
                    .as_ref()
                    .map(|rollout| rollout.held.clone())
                    .unwrap_or_default();
                let mut input = PlanInput {
                    set: &identity,
                    validated: &validated,
                    existing: &existing,
                    policy: parameters.policy(&spec),
                    preserved: &preserved,
                    ignored: &spec.ignored_differences,
                    known: &known,
                    rivals: &rivals,
                    held: &held,
                    is_approved: false,
                };
                let mut planned = plan(&input);
                if !planned.held.is_empty() {
                    let question = question(key, &planned);
                    if is_approved(set, &question) {
                        input.is_approved = true;
                        is_used_up = true;
                        planned = plan(&input);
                    } else {
                        report.held = question;
                    }
                }
                let mut carried = self.carry_out(key, &planned.changes).await;
                if let Some(rollout) = rollout {
                    self.request_syncs(key, &rollout.operations, &mut carried)
                        .await;
                    report.rollout = Some(RolloutReport {
                        stage: rollout.stage,
                        stopped: rollout.stopped,
                        issues: rollout.issues,
                    });
                    progress = rollout.statuses;
                }
                if carried.again {
                    sooner(SOON);
                }
                let refused: BTreeSet<&str> = carried
                    .refused
                    .iter()
                    .map(|one| one.name.as_str())
                    .collect();
                let gone = planned.changes.iter().filter(|change| {
                    change.verb == Verb::Delete
                        || matches!(change.verb, Verb::Create(_))
                            && refused.contains(change.name.as_str())
                });
                let gone: BTreeSet<String> = gone.map(|change| change.name.clone()).collect();
                owned = Some(
                    planned
                        .owned
                        .difference(&gone)
                        .cloned()
                        .collect::<BTreeSet<_>>(),
                );
                report.invalid = planned.invalid;
                report.invalid.extend(carried.refused);
            }
        }
        for note in notes {
            report.warnings.push(Warning {
                place: "spec.generators".into(),
                message: note,
            });
        }
        self.keep_finalizer(set, &spec).await?;
        let status = self.status(key, set, &report, owned.as_ref(), progress);
        self.write_status(set, &status).await?;
        // An approval counts for one question.
        if is_used_up {
            self.answered(set, annotation::DELETION_APPROVED).await?;
        }
        Ok(again)
    }

    /// Generates in rounds, with what is remembered of the last look.
    async fn generate(
        &self,
        key: &AppKey,
        spec: &SetSpec,
        refresh: bool,
        cache: &mut SetCache,
    ) -> (Generation, Vec<String>) {
        let parameters = self.controller.sources.settings.application_sets();
        let environment = Environment {
            clusters: self.known_clusters(),
            file_globbing: parameters.file_globbing,
            hidden_directories: parameters.hidden_directories,
            forges: parameters.forges.clone(),
            rolls: parameters.rolls,
        };
        let mut remembered = std::mem::take(&mut cache.answers);
        let mut answers = Answers::new();
        let configuration = &self.controller.configuration;
        let mut source = Source {
            set: &key.name,
            outside: Outside {
                client: &self.client,
                namespace: &configuration.namespace,
                discovery: &self.controller.clusters.own().discovery,
                local_addresses: configuration.credentials.get().local_addresses(),
                clients: &self.forges,
                only_labelled_tokens: parameters.only_labelled_tokens,
            },
            controller: &self.controller,
            files: &mut cache.files,
            refresh,
            followed: BTreeMap::new(),
            notes: Vec::new(),
        };
        let mut generation = Generation::Needs(Vec::new());
        for _ in 0..MAX_ROUNDS {
            generation = generate(spec, &environment, &answers);
            let Generation::Needs(needs) = &generation else {
                break;
            };
            let mut new = Vec::new();
            for need in needs {
                match remembered.remove(need) {
                    Some(answer) => {
                        answers.insert(need.clone(), answer);
                    }
                    None => new.push(need.clone()),
                }
            }
            answers.extend(source.answer(&new).await);
        }
        let (followed, notes) = (source.followed, source.notes);
        self.follow(key, followed.into_values());
        // Whether it went well or not: what was filled stays filled. Failures of a worker do not.
        answers.retain(|need, answer| {
            let is_filled = matches!(need, Need::Yaml(_) | Need::Templates { .. });
            (is_filled || need.is_outside()) && answer.is_ok()
        });
        cache.answers = answers;
        (generation, notes)
    }

    fn follow(
        &self,
        key: &AppKey,
        followed: impl IntoIterator<Item = crate::repositories::manager::Followed>,
    ) {
        let who = Follower::ApplicationSet(key.clone());
        self.controller.sources.repositories.follow(&who, followed);
    }

    fn projects(&self) -> BTreeSet<String> {
        let projects = self.controller.configuration.projects.state();
        projects.iter().map(|project| project.name_any()).collect()
    }

    fn status(
        &self,
        key: &AppKey,
        set: &WrittenApplicationSet,
        report: &Report,
        owned: Option<&BTreeSet<String>>,
        progress: Vec<GeneratedApplicationStatus>,
    ) -> ApplicationSetStatus {
        let now = Timestamp::now();
        let mut status = set.status.clone().unwrap_or_default();
        status.conditions = conditions(report, &status.conditions, now);
        status.health = Some(health_of(&status.conditions, status.health.as_ref(), now));
        status.application_status = progress;
        if let Some(owned) = owned {
            let listed = owned.iter().take(MAX_RESOURCES);
            status.resources = listed.map(|name| self.resource(key, name)).collect();
            status.resources_count = i64::try_from(owned.len()).unwrap_or(i64::MAX);
        }
        status
    }

    fn resource(&self, key: &AppKey, name: &str) -> ResourceStatus {
        let application = self.application(key, name);
        let status = application.as_ref().and_then(|one| one.status.as_ref());
        ResourceStatus {
            group: constants::GROUP.into(),
            version: constants::VERSION.into(),
            kind: "Application".into(),
            namespace: key.namespace.clone(),
            name: name.to_owned(),
            status: status
                .and_then(|one| one.sync.as_ref())
                .map(|sync| sync.status),
            health: status.and_then(|one| one.health.clone()),
            ..ResourceStatus::default()
        }
    }
}

/// What is asked before many Applications are deleted.
fn question(key: &AppKey, plan: &Plan) -> String {
    let mut names: Vec<&str> = plan
        .held
        .iter()
        .take(MAX_NAMES)
        .map(String::as_str)
        .collect();
    let more;
    if plan.held.len() > MAX_NAMES {
        more = format!("and {} more", plan.held.len() - MAX_NAMES);
        names.push(&more);
    }
    format!(
        "{}, which waits for an approval: {}; if it is meant: kubectl gitops appset approve {}, or \
         kubectl annotate applicationsets.argoproj.io {} -n {} --overwrite {}=$(date -u +%Y-%m-%dT%H:%M:%SZ)",
        plan.held_why,
        names.join(", "),
        key.name,
        key.name,
        key.namespace,
        annotation::DELETION_APPROVED
    )
}

/// Whether somebody agreed after this very question was asked.
fn is_approved(set: &WrittenApplicationSet, question: &str) -> bool {
    let conditions = set.status.iter().flat_map(|status| &status.conditions);
    let asked = conditions
        .filter(|one| one.condition_type == DELETIONS_HELD && one.message == question)
        .find_map(|one| one.last_transition_time.clone());
    let answer = set.annotations().get(annotation::DELETION_APPROVED);
    asked.is_some_and(|since| Approval::read(answer.map(String::as_str), since.0).is_given())
}
