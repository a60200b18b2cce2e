//! The one reason that matters: why an application is not as it should be.
//!
//! Looks at what keeps everything else from happening first: a spec that cannot be carried out,
//! then a failed sync, then broken objects, then drift.

use gitops_api::constants::condition;
use gitops_api::status::{ApplicationCondition, OperationState, ResourceResult};
use gitops_api::{
    Application, ApplicationStatus, HealthStatusCode, OperationPhase, ResourceStatus, ResultCode,
    SyncStatusCode,
};
use gitops_core::reason as agent;
use gitops_kit::paint::Style;
use gitops_kit::text;
use jiff::Timestamp;

use crate::status::{drift, pause};

/// How the message of an Application begins that names the objects at fault.
const CAUSED_BY: &str = "Caused by ";

/// Kind of reason. The names are part of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The Application itself cannot be carried out, compared or deleted.
    Error,
    /// The last sync failed.
    SyncFailed,
    /// An object is broken.
    Degraded,
    /// Not looked at yet.
    NotCompared,
    /// Somebody changed live fields.
    Drift,
    /// Git has something the cluster has not, or the other way round.
    OutOfSync,
    /// Being deleted.
    Deleting,
    /// A sync is under way.
    Syncing,
    /// Objects are on their way.
    Progressing,
    /// Nothing of its own is wrong: a child Application is.
    Child,
    /// Something users should know.
    Warning,
    /// Paused on purpose.
    Suspended,
}

impl Code {
    /// Name in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::SyncFailed => "SyncFailed",
            Self::Degraded => "Degraded",
            Self::NotCompared => "NotCompared",
            Self::Drift => "Drift",
            Self::OutOfSync => "OutOfSync",
            Self::Deleting => "Deleting",
            Self::Syncing => "Syncing",
            Self::Progressing => "Progressing",
            Self::Child => "Child",
            Self::Warning => "Warning",
            Self::Suspended => "Suspended",
        }
    }

    /// How it is shown.
    pub const fn style(self) -> Style {
        match self {
            Self::Error | Self::SyncFailed | Self::Degraded => Style::Bad,
            Self::Suspended => Style::Dim,
            _ => Style::Warn,
        }
    }
}

/// Why an application is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Kind of reason.
    pub code: Code,
    /// In words, one line.
    pub text: String,
}

/// The reason that matters most; `None` when there is nothing to say.
pub fn of(application: &Application, now: Timestamp, unicode: bool) -> Option<Reason> {
    let reason = |code, text: String| {
        Some(Reason {
            code,
            text: text::one_line(&text),
        })
    };
    let Some(status) = &application.status else {
        return reason(
            Code::NotCompared,
            "not compared yet: is the agent running?".into(),
        );
    };
    if let Some(condition) = blocking_condition(status) {
        return reason(Code::Error, condition.message.clone());
    }
    if let Some(since) = &application.metadata.deletion_timestamp {
        return reason(
            Code::Deleting,
            format!("being deleted for {}", text::age(since.0, now)),
        );
    }
    let operation = status.operation_state.as_ref();
    if let Some(operation) = operation.filter(|operation| {
        matches!(
            operation.phase,
            OperationPhase::Failed | OperationPhase::Error
        ) && !operation.operation.is_dry_run()
            && !(is_fine(status) && operation.sync_result.is_none())
    }) {
        return reason(Code::SyncFailed, failure(operation));
    }
    if let Some(condition) = status
        .conditions
        .iter()
        .find(|condition| condition.condition_type == condition::SYNC_ERROR)
    {
        return reason(Code::SyncFailed, condition.message.clone());
    }
    if let Some((code, text)) = broken(application, status) {
        return reason(code, text);
    }
    if let Some(text) = pause::summary(application, now) {
        return reason(Code::Suspended, text);
    }
    if let Some(operation) = operation.filter(|operation| !operation.phase.is_completed()) {
        return reason(Code::Syncing, running(operation));
    }
    if let Some(question) = asked(status) {
        let name = application.metadata.name.as_deref().unwrap_or_default();
        let text = format!("waiting for approval, kubectl gitops approve {name}: {question}");
        return reason(Code::OutOfSync, text);
    }
    if let Some(closed) = closed_window(status) {
        return reason(Code::OutOfSync, closed.message.clone());
    }
    if let Some(text) = drifted(status, now, unicode) {
        return reason(Code::Drift, text);
    }
    let sync = status
        .sync
        .as_ref()
        .map_or(SyncStatusCode::Unknown, |sync| sync.status);
    if sync == SyncStatusCode::OutOfSync {
        return reason(Code::OutOfSync, out_of_sync(application, status));
    }
    let health = status
        .health
        .as_ref()
        .map_or(HealthStatusCode::Unknown, |health| health.status);
    if matches!(
        health,
        HealthStatusCode::Progressing | HealthStatusCode::Suspended
    ) {
        let code = if health == HealthStatusCode::Progressing {
            Code::Progressing
        } else {
            Code::Suspended
        };
        if let Some(found) = unhealthy(application, status, health) {
            return reason(found.code_or(code), found.text);
        }
    }
    if sync != SyncStatusCode::Unknown
        && health == HealthStatusCode::Unknown
        && let Some(found) = unhealthy(application, status, health)
    {
        return reason(found.code_or(Code::NotCompared), found.text);
    }
    if sync == SyncStatusCode::Unknown || health == HealthStatusCode::Unknown {
        return reason(Code::NotCompared, "state unknown: not compared yet".into());
    }
    let warning = status.conditions.first()?;
    reason(Code::Warning, warning.message.clone())
}

/// Synced and healthy: a request that was refused before it began left nothing to say.
fn is_fine(status: &ApplicationStatus) -> bool {
    let sync = status.sync.as_ref().map(|sync| sync.status);
    let health = status.health.as_ref().map(|health| health.status);
    sync == Some(SyncStatusCode::Synced) && health == Some(HealthStatusCode::Healthy)
}

/// An error that keeps the application from being compared or deleted.
fn blocking_condition(status: &ApplicationStatus) -> Option<&ApplicationCondition> {
    status
        .conditions
        .iter()
        .find(|found| found.is_error() && found.condition_type != condition::SYNC_ERROR)
}

/// What somebody has to agree to before more is deleted.
fn asked(status: &ApplicationStatus) -> Option<String> {
    let mut conditions = status.conditions.iter();
    let asks = conditions.find(|found| found.condition_type == condition::CONFIRMATION_WARNING)?;
    agent::of_condition(status, asks).question()
}

/// What keeps a sync away that would bring the application into sync.
fn closed_window(status: &ApplicationStatus) -> Option<&ApplicationCondition> {
    let sync = status.sync.as_ref()?;
    let mut conditions = status.conditions.iter();
    conditions
        .find(|found| {
            let problem = || agent::of_condition(status, found);
            found.condition_type == condition::SYNC_WINDOW_WARNING
                && !matches!(problem(), agent::Reason::SyncWindowProblem { .. })
        })
        .filter(|_| sync.status == SyncStatusCode::OutOfSync)
}

/// The first object that failed says more than the operation's own message.
fn failure(operation: &OperationState) -> String {
    let failed = |result: &&ResourceResult| {
        result.status == Some(ResultCode::SyncFailed)
            || matches!(
                result.hook_phase,
                Some(OperationPhase::Failed | OperationPhase::Error)
            )
    };
    let results = operation
        .sync_result
        .iter()
        .flat_map(|result| &result.resources);
    let failures: Vec<&ResourceResult> = results.filter(failed).collect();
    match failures.as_slice() {
        [] if operation.message.is_empty() => "the last sync failed".into(),
        [] => operation.message.clone(),
        [first, rest @ ..] => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(" +{} more", rest.len())
            };
            format!("{} ({}/{}{more})", first.message, first.kind, first.name)
        }
    }
}

fn running(operation: &OperationState) -> String {
    let what = match operation.phase {
        OperationPhase::Terminating => "being terminated",
        _ if operation.finished_at.is_some() => "waiting to retry",
        _ => "syncing",
    };
    if operation.message.is_empty() {
        what.into()
    } else {
        format!("{what}: {}", operation.message)
    }
}

/// The object that makes the application Degraded.
fn broken(application: &Application, status: &ApplicationStatus) -> Option<(Code, String)> {
    if let Some(found) = unhealthy(application, status, HealthStatusCode::Degraded) {
        return Some((found.code_or(Code::Degraded), found.text));
    }
    let health = status.health.as_ref()?;
    match health.status {
        HealthStatusCode::Degraded if health.message.is_empty() => {
            Some((Code::Degraded, "degraded".into()))
        }
        HealthStatusCode::Degraded => Some((Code::Degraded, health.message.clone())),
        _ => None,
    }
}

/// Objects of one health, in words.
struct Unhealthy {
    /// All of them are child Applications.
    only_children: bool,
    text: String,
}

impl Unhealthy {
    /// Children have reasons of their own, so that the parent's matters less.
    fn code_or(&self, code: Code) -> Code {
        if self.only_children {
            Code::Child
        } else {
            code
        }
    }
}

fn unhealthy(
    application: &Application,
    status: &ApplicationStatus,
    code: HealthStatusCode,
) -> Option<Unhealthy> {
    let has = |resource: &&ResourceStatus| {
        let health = resource.health.as_ref();
        health.is_some_and(|health| health.status == code) && !is_itself(application, resource)
    };
    let found = status.resources.iter().filter(has);
    let (children, own): (Vec<&ResourceStatus>, Vec<_>) =
        found.partition(|resource| is_application(resource));
    let Some(first) = own.first() else {
        let first = children.first()?;
        return Some(Unhealthy {
            only_children: true,
            text: because_of(first, children.len()),
        });
    };
    let said = first.health.as_ref();
    let said = said.map_or("", |health| health.message.trim());
    let object = drift::object_name(first);
    let count = own.len() + children.len();
    let text = if said.is_empty() {
        format!("{object} is {code}{}", more(count))
    } else if count > 1 {
        format!("{said} ({object} +{} more)", count - 1)
    } else if status.resources.len() == 1 || said.contains(&first.name) {
        said.to_owned()
    } else {
        format!("{said} ({object})")
    };
    Some(Unhealthy {
        only_children: false,
        text,
    })
}

/// `because of shop: its sync failed`; what a child only repeats of its own objects is left to it.
fn because_of(child: &ResourceStatus, count: usize) -> String {
    let said = child.health.as_ref();
    let said = said.map_or("", |health| health.message.trim());
    let said = if said.is_empty() || said.starts_with(CAUSED_BY) {
        String::new()
    } else {
        format!(": {said}")
    };
    format!("because of {}{}{said}", child.name, more(count))
}

/// An Application among the objects of another.
pub fn is_application(resource: &ResourceStatus) -> bool {
    resource.group == gitops_api::constants::GROUP && resource.kind == "Application"
}

/// An Application among its own objects, as the first one of an app of apps is; it is no cause of
/// itself.
pub fn is_itself(application: &Application, resource: &ResourceStatus) -> bool {
    let metadata = &application.metadata;
    is_application(resource)
        && metadata.name.as_deref() == Some(resource.name.as_str())
        && metadata.namespace.as_deref() == Some(resource.namespace.as_str())
}

fn drifted(status: &ApplicationStatus, now: Timestamp, unicode: bool) -> Option<String> {
    let fields: usize = status
        .resources
        .iter()
        .map(|resource| resource.drift.len())
        .sum();
    let (resource, field) = status
        .resources
        .iter()
        .find_map(|resource| Some((resource, resource.drift.first()?)))?;
    Some(format!(
        "{} {}{}",
        drift::object_name(resource),
        drift::in_short(field, now, unicode),
        more(fields)
    ))
}

fn out_of_sync(application: &Application, status: &ApplicationStatus) -> String {
    let differing: Vec<&ResourceStatus> = status
        .resources
        .iter()
        .filter(|resource| resource.status == Some(SyncStatusCode::OutOfSync))
        .collect();
    let (surplus, differing): (Vec<_>, Vec<_>) = differing
        .into_iter()
        .partition(|resource| resource.requires_pruning);
    let automation = application
        .spec
        .sync_policy
        .as_ref()
        .and_then(|policy| policy.automation());
    let names = |resources: &[&ResourceStatus]| match resources {
        [] => String::new(),
        [first, ..] => format!("{}{}", drift::object_name(first), more(resources.len())),
    };
    let mut parts = Vec::new();
    if !differing.is_empty() {
        parts.push(format!("differs from Git: {}", names(&differing)));
    }
    if !surplus.is_empty() {
        parts.push(format!("no longer in Git: {}", names(&surplus)));
    }
    if parts.is_empty() {
        parts.push("differs from Git".into());
    }
    match automation {
        None => parts.push("sync is manual".into()),
        Some(automation) if !automation.prune && !surplus.is_empty() => {
            parts.push("prune is off".into());
        }
        Some(_) => {}
    }
    parts.join("; ")
}

fn more(count: usize) -> String {
    if count > 1 {
        format!(" (+{} more)", count - 1)
    } else {
        String::new()
    }
}
