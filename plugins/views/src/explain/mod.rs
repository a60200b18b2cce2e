//! Why an application, or one of its objects, is not as it should be: a decision tree from what
//! was read to causes, each with evidence and the next command.
//!
//! Pure: everything read is in [`Evidence`]; time is part of it. Never guesses without saying what
//! it saw.

mod controller;
mod difference;
mod events;
mod health;
mod operation;
pub mod ownership;
mod pods;
mod source;

use gitops_api::status::ApplicationCondition;
use gitops_api::{Application, HealthStatusCode, ResourceStatus, SyncStatusCode};
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_kit::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use serde_json::Value;

use crate::explain::ownership::Subject;
use crate::pods::tree::Workloads;
use crate::status::agent::Agent;
use crate::status::application::Summary;
use crate::status::reason::{Code, is_itself};

/// Pods, conditions and events that are told as evidence.
const MAX_EVIDENCE_LINES: usize = 3;

/// Everything that was read.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The application; none when an object belongs to none.
    pub application: Option<Application>,
    /// The object that was asked about, when it was not the application.
    pub subject: Option<Subject>,
    /// Whether the agent lives.
    pub agent: Agent,
    /// Namespace the agent was looked for in.
    pub agent_namespace: String,
    /// Pods, ReplicaSets and Jobs.
    pub workloads: Workloads,
    /// PersistentVolumeClaims of the same namespaces.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Live objects that are not healthy, as far as they were read.
    pub live: Vec<Value>,
    /// Warnings about objects, and what self-heal did.
    pub events: Vec<Event>,
    /// Flags a command needs to reach the same cluster: ` --context prod`.
    pub flags: String,
    /// Time ages are counted from.
    pub now: Timestamp,
    /// Signs beyond ASCII.
    pub unicode: bool,
}

/// Why it is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was asked about: `web`, `Deployment/web`.
    pub name: String,
    /// Namespace and name of the application.
    pub application: Option<(String, String)>,
    /// The object's owners up to the application; empty for an application.
    pub chain: Vec<String>,
    /// Live is what Git says; none for an object of no application.
    pub sync: Option<SyncStatusCode>,
    /// Health.
    pub health: Option<HealthStatusCode>,
    /// Nothing is wrong.
    pub ok: bool,
    /// Its state in one sentence.
    pub headline: String,
    /// The same with what is behind it.
    pub verdict: String,
    /// What is wrong, what keeps everything else from happening first.
    pub causes: Vec<Cause>,
    /// What should be known besides.
    pub notes: Vec<String>,
    /// What could not be read.
    pub unread: Vec<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Kind of reason, as `status` names it.
    pub code: Code,
    /// What exactly; part of the JSON output.
    pub name: &'static str,
    /// In one sentence.
    pub what: String,
    /// What shows it, one line each.
    pub evidence: Vec<String>,
    /// What to do next.
    pub next: Vec<Next>,
    /// The agent's reasons behind it, as far as it gave any.
    pub reasons: Vec<Given>,
}

/// A reason that the agent gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its code: docs/reasons.md.
    pub code: String,
    /// What to do about it; empty for a code that this version does not know.
    pub advice: String,
}

/// A command to type next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// As it is typed.
    pub command: String,
    /// What it does or shows.
    pub why: String,
}

impl Cause {
    fn new(code: Code, name: &'static str, what: impl AsRef<str>) -> Self {
        Self {
            code,
            name,
            what: text::one_line(what.as_ref()),
            evidence: Vec::new(),
            next: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// With the reason that the agent gave.
    fn because(mut self, inquiry: &Inquiry<'_>, reason: &Reason) -> Self {
        self.give(inquiry.given(reason));
        self
    }

    fn give(&mut self, given: Option<Given>) {
        self.reasons
            .extend(given.filter(|given| !self.reasons.contains(given)));
    }

    fn evidence(mut self, line: impl AsRef<str>) -> Self {
        let line = text::one_line(line.as_ref());
        if !line.is_empty() {
            self.evidence.push(line);
        }
        self
    }

    fn all(self, lines: impl IntoIterator<Item = String>) -> Self {
        lines.into_iter().fold(self, Self::evidence)
    }

    fn next(mut self, command: impl AsRef<str>, why: &str) -> Self {
        self.next.push(Next {
            command: text::one_line(command.as_ref()),
            why: why.to_owned(),
        });
        self
    }
}

/// Walks the decision tree.
pub fn explain(evidence: &Evidence) -> Explanation {
    let inquiry = Inquiry::of(evidence);
    let mut causes = Vec::new();
    let mut notes = Vec::new();
    if evidence.application.is_some() {
        controller::look(&inquiry, &mut causes);
        source::look(&inquiry, &mut causes, &mut notes);
        operation::look(&inquiry, &mut causes);
        difference::look(&inquiry, &mut causes, &mut notes);
    }
    health::look(&inquiry, &mut causes, &mut notes);
    ownership::look(&inquiry, &mut causes, &mut notes);
    others(&inquiry, &mut causes, &mut notes);
    inquiry.conclude(causes, notes)
}

/// Reasons of the agent that no cause has told yet: beside the cause of the same kind, or as notes.
fn others(inquiry: &Inquiry<'_>, causes: &mut [Cause], notes: &mut Vec<String>) {
    let status = inquiry
        .status()
        .filter(|_| inquiry.evidence.subject.is_none());
    for entry in status.into_iter().flat_map(|status| &status.reasons) {
        let reason = reason::read(entry);
        let Some(given) = inquiry.given(&reason) else {
            continue;
        };
        let message = text::one_line(&entry.message);
        let told = causes.iter().any(|cause| cause.reasons.contains(&given))
            || notes.iter().any(|note| note.contains(&message));
        if told {
            continue;
        }
        let kind = kind_of(&reason);
        if let Some(cause) = causes.iter_mut().find(|cause| Some(cause.code) == kind) {
            cause.give(Some(given));
        } else {
            let advice = inquiry.advice(&reason);
            notes.push(match advice.as_str() {
                "" => format!("{}: {message}", given.code),
                advice => format!("{message}{advice}"),
            });
        }
    }
}

/// The kind of cause that a reason is told with.
fn kind_of(reason: &Reason) -> Option<Code> {
    Some(match reason {
        Reason::ObjectsDrifted { .. } | Reason::SelfHealOff {} | Reason::SelfHealBackoff { .. } => {
            Code::Drift
        }
        Reason::ObjectsMissing { .. }
        | Reason::ObjectsChanged { .. }
        | Reason::ObjectsNotInGit { .. }
        | Reason::ObjectsHandedOver { .. }
        | Reason::AutoSyncOff {}
        | Reason::SetDecidesSync { .. }
        | Reason::PruneOff {} => Code::OutOfSync,
        Reason::ObjectsFailed { .. }
        | Reason::SyncFailed { .. }
        | Reason::RetryScheduled { .. }
        | Reason::RetriesExhausted { .. } => Code::SyncFailed,
        _ => return None,
    })
}

/// The evidence, and what is derived from it once.
struct Inquiry<'a> {
    evidence: &'a Evidence,
    now: Timestamp,
    summary: Option<Summary>,
    /// The objects asked about: all of the application, or one.
    resources: Vec<ResourceStatus>,
}

impl<'a> Inquiry<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let application = evidence.application.as_ref();
        let all = application
            .and_then(|application| application.status.as_ref())
            .map_or(&[][..], |status| &status.resources);
        let resources = match &evidence.subject {
            None => {
                let is_other = |resource: &&ResourceStatus| {
                    !application.is_some_and(|of| is_itself(of, resource))
                };
                all.iter().filter(is_other).cloned().collect()
            }
            Some(subject) => vec![subject.among(all)],
        };
        Self {
            evidence,
            now: evidence.now,
            summary: application
                .map(|application| Summary::of(application, evidence.now, evidence.unicode)),
            resources,
        }
    }

    fn application(&self) -> Option<&'a Application> {
        self.evidence.application.as_ref()
    }

    fn status(&self) -> Option<&'a gitops_api::ApplicationStatus> {
        self.application()?.status.as_ref()
    }

    /// The reason behind a condition.
    fn reason(&self, found: &ApplicationCondition) -> Reason {
        match self.status() {
            Some(status) => reason::of_condition(status, found),
            None => Reason::Unknown {
                code: String::new(),
                message: found.message.clone(),
            },
        }
    }

    /// A reason as it is told; none for one without a code.
    fn given(&self, reason: &Reason) -> Option<Given> {
        match reason {
            Reason::Unknown { code, .. } => (!code.is_empty()).then(|| Given {
                code: text::one_line(code),
                advice: String::new(),
            }),
            known => known.code().map(|code| Given {
                code: code.to_string(),
                advice: code.advice().replace("APP", &self.app()),
            }),
        }
    }

    /// ` (CODE: advice)`
    fn advice(&self, reason: &Reason) -> String {
        match self.given(reason) {
            Some(given) if !given.advice.is_empty() => {
                format!(" ({}: {})", given.code, given.advice)
            }
            _ => String::new(),
        }
    }

    /// Name of the application, with the flags that lead to it.
    fn app(&self) -> String {
        self.summary.as_ref().map_or_else(String::new, |summary| {
            format!("{}{}", summary.name, self.namespace_flag())
        })
    }

    /// `-n NAMESPACE` of the Application, and the other flags.
    fn namespace_flag(&self) -> String {
        let namespace = self
            .summary
            .as_ref()
            .map_or("", |summary| summary.namespace.as_str());
        self.in_namespace(namespace)
    }

    fn in_namespace(&self, namespace: &str) -> String {
        let flags = &self.evidence.flags;
        if namespace.is_empty() {
            flags.clone()
        } else {
            format!(" -n {namespace}{flags}")
        }
    }

    /// `kubectl VERB KIND NAME` for an object.
    fn kubectl(&self, verb: &str, resource: &ResourceStatus) -> String {
        let kind = if resource.group.is_empty() || is_builtin(&resource.group) {
            resource.kind.to_lowercase()
        } else {
            format!("{}.{}", resource.kind.to_lowercase(), resource.group)
        };
        format!(
            "kubectl {verb} {kind} {}{}",
            resource.name,
            self.in_namespace(&resource.namespace)
        )
    }

    fn ago(&self, then: Timestamp) -> String {
        format!("{} ago", text::age(then, self.now))
    }

    fn conclude(&self, causes: Vec<Cause>, notes: Vec<String>) -> Explanation {
        let evidence = self.evidence;
        let subject = evidence.subject.as_ref();
        let resource = subject.and_then(|_| self.resources.first());
        let (sync, health) = match (resource, &self.summary) {
            (Some(resource), _) => (
                resource.status,
                subject.and_then(Subject::own_health).or_else(|| {
                    let health = resource.health.as_ref();
                    health.map(|health| health.status)
                }),
            ),
            (None, Some(summary)) => (Some(summary.sync), Some(summary.health)),
            (None, None) => (None, None),
        };
        let mut causes = causes;
        if causes.is_empty()
            && subject.is_none()
            && let Some(summary) = &self.summary
            && !summary.is_fine()
        {
            causes.push(self.without_explanation(summary));
        }
        // What is so on purpose is worth a word, and fine.
        let ok = causes
            .iter()
            .all(|cause| matches!(cause.code, Code::Warning | Code::Suspended));
        let name = match (subject, &self.summary) {
            (Some(subject), _) => subject.name(),
            (None, Some(summary)) => text::one_line(&summary.name),
            (None, None) => String::new(),
        };
        let state = state_of(sync, health);
        let headline = format!("{name} is {state}, for {} reasons", causes.len());
        Explanation {
            headline,
            verdict: self.verdict(&name, &state, &causes),
            application: self
                .summary
                .as_ref()
                .map(|summary| (summary.namespace.clone(), summary.name.clone())),
            chain: subject.map_or_else(Vec::new, |subject| {
                subject.chain(self.summary.as_ref().map(|summary| summary.name.as_str()))
            }),
            name,
            sync,
            health,
            ok,
            causes,
            notes,
            unread: evidence.workloads.unread.clone(),
        }
    }

    /// What `status` says, when nothing more is known.
    fn without_explanation(&self, summary: &Summary) -> Cause {
        let (code, what) = summary.reason.as_ref().map_or_else(
            || {
                let state = format!("it is {} and {}", summary.sync, summary.health);
                (Code::NotCompared, state)
            },
            |reason| (reason.code, reason.text.clone()),
        );
        Cause::new(code, code.as_str(), what).next(
            format!("kubectl gitops refresh {}", self.app()),
            "compare again now",
        )
    }

    fn verdict(&self, name: &str, state: &str, causes: &[Cause]) -> String {
        let more = match causes.len() {
            0 | 1 => String::new(),
            2 => " (and one more cause)".to_owned(),
            count => format!(" (and {} more causes)", count - 1),
        };
        if let Some(first) = causes.first() {
            return format!("{name} is {state}: {}{more}", first.what);
        }
        let at = self
            .summary
            .as_ref()
            .filter(|summary| !summary.revision.is_empty())
            .map_or_else(String::new, |summary| format!(" at {}", summary.revision));
        let compared = self
            .status()
            .and_then(|status| status.reconciled_at.as_ref())
            .map_or_else(String::new, |time| {
                format!(", compared {}", self.ago(time.0))
            });
        format!("{name} is fine: {state}{at}{compared}")
    }
}

/// `OutOfSync and Degraded`
fn state_of(sync: Option<SyncStatusCode>, health: Option<HealthStatusCode>) -> String {
    match (sync, health) {
        (Some(sync), Some(health)) => format!("{sync} and {health}"),
        (Some(sync), None) => sync.to_string(),
        (None, Some(health)) => health.to_string(),
        (None, None) => "there".to_owned(),
    }
}

/// Groups of Kubernetes itself, whose kinds kubectl knows without their group.
fn is_builtin(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

/// `1 Pod`, `2 Pods`
fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// `: text`, or nothing.
fn colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}
