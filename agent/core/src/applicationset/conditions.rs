//! What a set's status says: conditions and health with Argo CD's types, states and reasons.

use gitops_api::application_set::ApplicationSetCondition;
use gitops_api::{HealthStatus, HealthStatusCode};
use jiff::Timestamp;

use super::error::{Problem, Warning};
use super::rollout::Stage;
use super::validation::{Invalid, UPDATE};

/// What came of one look at a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Why nothing was generated.
    pub problems: Vec<Problem>,
    /// Which Applications were left alone, and why.
    pub invalid: Vec<Invalid>,
    /// What the owner should know.
    pub warnings: Vec<Warning>,
    /// Where the rollout is, when the set rolls.
    pub rollout: Option<RolloutReport>,
    /// What the deletions that wait for an approval are, and how to agree; empty for none.
    pub held: String,
}

/// Where a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutReport {
    /// The step.
    pub stage: Stage,
    /// Why it goes no further; empty when it does.
    pub stopped: Vec<String>,
    /// What is wrong with the steps.
    pub issues: Vec<String>,
}

/// Longest message of a condition, in characters.
const MAX_MESSAGE: usize = 3000;
/// Of more problems of one kind only the number is told.
const MAX_LISTED: usize = 10;

/// Type of the condition that says where a rollout is.
const ROLLOUT: &str = "RolloutProgressing";
const UP_TO_DATE: &str = "All applications have been generated successfully";
const PARAMETERS: &str = "Successfully generated parameters for all Applications";
/// Reason of what waits for an approval.
const APPROVAL: &str = "DeletionApprovalRequired";
/// Type of the condition that says so; its time is when it was asked.
pub const DELETIONS_HELD: &str = "DeletionsHeld";

/// The conditions in the order of their types. Times stay while nothing else changes.
pub fn conditions(
    report: &Report,
    before: &[ApplicationSetCondition],
    now: Timestamp,
) -> Vec<ApplicationSetCondition> {
    let parameters = if report.warnings.is_empty() {
        PARAMETERS.to_owned()
    } else {
        limited(format!(
            "{PARAMETERS}, with warnings: {}",
            listed(&report.warnings)
        ))
    };
    let (error, parameters_generated, up_to_date) = match failure(report) {
        None => (
            (
                "False",
                "ApplicationSetUpToDate".to_owned(),
                UP_TO_DATE.to_owned(),
            ),
            ("True", "ParametersGenerated", parameters),
            ("True", "ApplicationSetUpToDate", UP_TO_DATE.to_owned()),
        ),
        Some((reason, message)) => {
            let parameters_generated = if report.problems.is_empty() {
                ("True", "ParametersGenerated", parameters)
            } else {
                ("False", "ErrorOccurred", message.clone())
            };
            (
                ("True", reason, message.clone()),
                parameters_generated,
                ("False", "ErrorOccurred", message),
            )
        }
    };
    let one = |kind: &str, status: &str, reason: &str, message: &str| {
        let same = before.iter().find(|one| {
            one.condition_type == kind
                && one.status == status
                && one.reason == reason
                && one.message == message
        });
        let since = same.and_then(|one| one.last_transition_time.clone());
        ApplicationSetCondition {
            condition_type: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: Some(
                since.unwrap_or_else(|| crate::report::status::seconds(now)),
            ),
            ..ApplicationSetCondition::default()
        }
    };
    let mut all = Vec::new();
    if !report.held.is_empty() {
        all.push(one(DELETIONS_HELD, "True", APPROVAL, &report.held));
    }
    all.push(one("ErrorOccurred", error.0, &error.1, &error.2));
    if let Some(rollout) = report.rollout.as_ref().filter(|one| !one.issues.is_empty()) {
        let message = limited(listed(&rollout.issues));
        all.push(one(
            "InvalidRolloutConfig",
            "True",
            "InvalidRolloutConfig",
            &message,
        ));
    }
    let (status, reason, message) = &parameters_generated;
    all.push(one("ParametersGenerated", status, reason, message));
    let (status, reason, message) = &up_to_date;
    all.push(one("ResourcesUpToDate", status, reason, message));
    if let Some(rollout) = &report.rollout {
        let (status, reason, message) = rolling(rollout);
        all.push(one(ROLLOUT, status, reason, &message));
    }
    all
}

/// Argo CD's sentence leads.
fn rolling(rollout: &RolloutReport) -> (&'static str, &'static str, String) {
    match rollout.stage {
        Stage::Complete => (
            "False",
            "ApplicationSetRolloutComplete",
            "ApplicationSet Rollout has completed".into(),
        ),
        Stage::Step(step) => {
            let mut message = format!("ApplicationSet is performing rollout of step {step}");
            if !rollout.stopped.is_empty() {
                message = limited(format!(
                    "{message}; it goes no further: {}",
                    listed(&rollout.stopped)
                ));
            }
            ("True", "ApplicationSetModified", message)
        }
    }
}

fn failure(report: &Report) -> Option<(String, String)> {
    if let Some(first) = report.problems.first() {
        return Some((
            first.step.reason().to_owned(),
            limited(listed(&report.problems)),
        ));
    }
    // What the API server refuses is told before what was found earlier.
    let update = report.invalid.iter().find(|one| one.reason == UPDATE);
    let first = update.or(report.invalid.first());
    if let Some(first) = first {
        let messages: Vec<&str> = report
            .invalid
            .iter()
            .map(|one| one.message.as_str())
            .collect();
        return Some((first.reason.to_owned(), limited(listed(&messages))));
    }
    (!report.held.is_empty()).then(|| (APPROVAL.to_owned(), report.held.clone()))
}

fn listed<T: ToString>(all: &[T]) -> String {
    let mut texts: Vec<String> = all
        .iter()
        .take(MAX_LISTED)
        .map(ToString::to_string)
        .collect();
    if all.len() > MAX_LISTED {
        texts.push(format!("and {} more", all.len() - MAX_LISTED));
    }
    texts.join("; ")
}

fn limited(text: String) -> String {
    if text.chars().count() <= MAX_MESSAGE {
        return text;
    }
    let cut: String = text.chars().take(MAX_MESSAGE).collect();
    format!("{cut}…")
}

/// Health of a set, from its conditions.
/// Source: `status.health` of Argo CD 3.5.
pub fn health_of(
    conditions: &[ApplicationSetCondition],
    before: Option<&HealthStatus>,
    now: Timestamp,
) -> HealthStatus {
    let error = conditions
        .iter()
        .find(|one| one.condition_type == "ErrorOccurred" && one.status == "True");
    let rolls = conditions
        .iter()
        .find(|one| one.condition_type == ROLLOUT && one.status == "True");
    let (status, message) = match (error, rolls) {
        (Some(error), _) => (HealthStatusCode::Degraded, error.message.clone()),
        (None, Some(rolls)) => (HealthStatusCode::Progressing, rolls.message.clone()),
        (None, None) => (HealthStatusCode::Healthy, UP_TO_DATE.to_owned()),
    };
    let since = before
        .filter(|before| before.status == status)
        .and_then(|before| before.last_transition_time.clone());
    HealthStatus {
        status,
        message,
        last_transition_time: Some(since.unwrap_or_else(|| crate::report::status::seconds(now))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_argo_cd_says() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let good = conditions(&Report::default(), &[], at("2026-01-01T00:00:00Z"));
        let told: Vec<(&str, &str, &str)> = good
            .iter()
            .map(|one| {
                (
                    one.condition_type.as_str(),
                    one.status.as_str(),
                    one.reason.as_str(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("ErrorOccurred", "False", "ApplicationSetUpToDate"),
                ("ParametersGenerated", "True", "ParametersGenerated"),
                ("ResourcesUpToDate", "True", "ApplicationSetUpToDate"),
            ]
        );
        let later = conditions(&Report::default(), &good, at("2026-01-02T00:00:00Z"));
        assert_eq!(later, good, "nothing changed");
        let failed = Report {
            problems: vec![Problem::parameters(
                "spec.generators[0].git",
                "it does not answer",
            )],
            ..Report::default()
        };
        let failed = conditions(&failed, &good, at("2026-01-02T00:00:00Z"));
        assert_eq!(failed[0].reason, "ApplicationGenerationFromParamsError");
        assert_eq!(
            failed[0].message,
            "spec.generators[0].git: it does not answer"
        );
        assert_eq!(
            (failed[1].status.as_str(), failed[2].status.as_str()),
            ("False", "False")
        );
        assert_eq!(
            health_of(&failed, None, at("2026-01-02T00:00:00Z")).status,
            HealthStatusCode::Degraded
        );
    }
}
