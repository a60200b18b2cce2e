//! What an ApplicationSet generates, how far its rollout is, and what it waits for, as its status says it.

use gitops_api::application_set::ApplicationSet;
use gitops_api::constants::annotation;
use gitops_api::{HealthStatusCode, ResourceStatus, SyncStatusCode};
use gitops_core::applicationset::DELETIONS_HELD;
use gitops_kit::text;
use jiff::Timestamp;

/// An ApplicationSet.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Health; none before the agent looked at it.
    pub health: Option<HealthStatusCode>,
    /// How many Applications it has.
    pub count: usize,
    /// Its Applications, in the order of their steps.
    pub applications: Vec<Generated>,
    /// Where its rollout is, when it rolls, one line.
    pub rollout: Option<String>,
    /// Whether the rollout is complete.
    pub is_rolled_out: bool,
    /// Somebody holds the rollout.
    pub is_paused: bool,
    /// Why it generates nothing, or not all, one line; empty when it does.
    pub problem: String,
    /// What it asks before it deletes, and since when.
    pub question: Option<(String, Option<Timestamp>)>,
    /// What its owner should know, one line each.
    pub notes: Vec<String>,
}

/// An Application of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Name.
    pub name: String,
    /// Step of the rollout: `1`, or `-1` for none; empty when the set does not roll.
    pub step: String,
    /// How far it is: Waiting, Pending, Progressing or Healthy; empty when the set does not roll.
    pub progress: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Synced, OutOfSync or Unknown; none before it was compared.
    pub sync: Option<SyncStatusCode>,
    /// Health; none before it was judged.
    pub health: Option<HealthStatusCode>,
}

impl Set {
    /// What the status of a set says. `rollout` is the value of the annotation that may hold it.
    pub fn of(set: &ApplicationSet, rollout: Option<&str>) -> Self {
        let status = set.status.clone().unwrap_or_default();
        let condition = |kind: &str| {
            let mut conditions = status.conditions.iter();
            conditions.find(|one| one.condition_type == kind)
        };
        let said = |kind: &str, state: &str| {
            let found = condition(kind).filter(|one| one.status == state);
            found.map(|one| text::one_line(&one.message))
        };
        let question = condition(DELETIONS_HELD).map(|one| {
            let since = one.last_transition_time.as_ref().map(|time| time.0);
            (text::one_line(&one.message), since)
        });
        let problem = said("ErrorOccurred", "True").unwrap_or_default();
        // A question is asked, and not told as a problem, too.
        let asked = question.as_ref().map(|(question, _)| question.as_str());
        let problem = if asked == Some(problem.as_str()) {
            String::new()
        } else {
            problem
        };
        let warnings = said("ParametersGenerated", "True").and_then(|message| {
            let (_, warnings) = message.split_once(", with warnings: ")?;
            Some(warnings.to_owned())
        });
        let rolls = condition("RolloutProgressing");
        let progress = |name: &str| {
            let mut all = status.application_status.iter();
            all.find(|one| one.application == name)
        };
        let generated = |resource: &ResourceStatus| {
            let progress = progress(&resource.name);
            Generated {
                name: resource.name.clone(),
                step: progress.map(|one| one.step.clone()).unwrap_or_default(),
                progress: progress.map(|one| one.status.clone()).unwrap_or_default(),
                since: progress.and_then(|one| Some(one.last_transition_time.as_ref()?.0)),
                sync: resource.status,
                health: resource.health.as_ref().map(|health| health.status),
            }
        };
        let mut applications: Vec<Generated> = status.resources.iter().map(generated).collect();
        // Those of no step come last.
        let place = |one: &Generated| one.step.parse::<usize>().unwrap_or(usize::MAX);
        applications.sort_by(|a, b| place(a).cmp(&place(b)).then(a.name.cmp(&b.name)));
        Self {
            namespace: set.metadata.namespace.clone().unwrap_or_default(),
            name: set.metadata.name.clone().unwrap_or_default(),
            health: status.health.as_ref().map(|health| health.status),
            count: usize::try_from(status.resources_count).unwrap_or(applications.len()),
            applications,
            rollout: rolls.map(|one| text::one_line(&one.message)),
            is_rolled_out: rolls.is_some_and(|one| one.status == "False"),
            is_paused: rolls.is_some() && rollout == Some(annotation::ROLLOUT_PAUSED),
            problem,
            question,
            notes: [said("InvalidRolloutConfig", "True"), warnings]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    /// The one thing to know about it, one line; empty when it is as it should be.
    pub fn says(&self) -> String {
        if !self.problem.is_empty() {
            return self.problem.clone();
        }
        if let Some((question, _)) = &self.question {
            return question.clone();
        }
        if self.health.is_none() {
            return "the agent has not looked at it yet".into();
        }
        let held = if self.is_paused { "paused: " } else { "" };
        match &self.rollout {
            Some(rollout) if !self.is_rolled_out || self.is_paused => format!("{held}{rollout}"),
            _ => self.notes.first().cloned().unwrap_or_default(),
        }
    }
}
