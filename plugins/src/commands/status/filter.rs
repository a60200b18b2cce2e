//! Which Applications are shown: by what is wrong with them, and where they belong.

use clap::Args;
use clap::builder::PossibleValuesParser;
use gitops_api::Application;
use gitops_api::constants::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use gitops_views::status::application::Summary;

/// Flags that choose among the Applications that were read; those of one flag are alternatives.
#[derive(Args, Clone, Debug, Default)]
pub struct FilterArgs {
    /// Only what is not synced and healthy
    #[arg(long, conflicts_with = "application")]
    pub unhealthy: bool,

    /// Only with this sync status
    #[arg(
        long, value_name = "STATUS", value_delimiter = ',', ignore_case = true,
        value_parser = PossibleValuesParser::new(["Synced", "OutOfSync", "Unknown"]),
        conflicts_with = "application"
    )]
    pub sync: Vec<String>,

    /// Only with this health
    #[arg(
        long, value_name = "STATUS", value_delimiter = ',', ignore_case = true,
        value_parser = PossibleValuesParser::new(
            ["Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"]),
        conflicts_with = "application"
    )]
    pub health: Vec<String>,

    /// Only of this AppProject
    #[arg(
        long,
        value_name = "PROJECT",
        value_delimiter = ',',
        conflicts_with = "application"
    )]
    pub project: Vec<String>,

    /// Only with this destination: name or address of a cluster; in-cluster is the agent's own
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "application"
    )]
    pub destination: Vec<String>,

    /// Only with this reason: a code of docs/reasons.md, or of `status -o json`
    #[arg(
        long,
        value_name = "CODE",
        value_delimiter = ',',
        conflicts_with = "application"
    )]
    pub reason: Vec<String>,
}

impl FilterArgs {
    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        !self.unhealthy
            && [
                &self.sync,
                &self.health,
                &self.project,
                &self.destination,
                &self.reason,
            ]
            .iter()
            .all(|values| values.is_empty())
    }

    /// Whether an Application is shown.
    pub fn accepts(&self, application: &Application, summary: &Summary) -> bool {
        let any = |values: &[String], matches: &dyn Fn(&str) -> bool| {
            values.is_empty() || values.iter().any(|value| matches(value))
        };
        (!self.unhealthy || !summary.is_fine())
            && any(&self.sync, &|given| {
                given.eq_ignore_ascii_case(summary.sync.as_str())
            })
            && any(&self.health, &|given| {
                given.eq_ignore_ascii_case(summary.health.as_str())
            })
            && any(&self.project, &|given| given == summary.project)
            && any(&self.destination, &|given| is_of(given, application))
            && any(&self.reason, &|given| {
                has_reason(given, application, summary)
            })
    }
}

fn is_of(given: &str, application: &Application) -> bool {
    let destination = &application.spec.destination;
    let server = destination.server.trim_end_matches('/');
    let here = server == IN_CLUSTER_SERVER || destination.name == IN_CLUSTER_NAME;
    given == destination.name
        || (!server.is_empty() && given.trim_end_matches('/') == server)
        || (here && (given == IN_CLUSTER_NAME || given.trim_end_matches('/') == IN_CLUSTER_SERVER))
}

fn has_reason(given: &str, application: &Application, summary: &Summary) -> bool {
    let shown = summary.reason.as_ref();
    if shown.is_some_and(|reason| given.eq_ignore_ascii_case(reason.code.as_str())) {
        return true;
    }
    let Some(status) = &application.status else {
        return false;
    };
    let types = status.conditions.iter();
    let mut types = types.map(|condition| condition.condition_type.as_str());
    let codes = serde_json::to_value(&status.reasons).unwrap_or_default();
    let mut codes = codes.as_array().into_iter().flatten();
    types.any(|kind| kind.eq_ignore_ascii_case(given))
        || codes.any(|reason| {
            let code = reason["code"].as_str().unwrap_or_default();
            code.eq_ignore_ascii_case(given)
        })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn application(project: &str, destination: &Value, status: &Value) -> Application {
        let mut application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "web", "namespace": "argocd"},
            "spec": {"project": project, "destination": destination},
        });
        application["status"] = status.clone();
        serde_json::from_value(application).unwrap()
    }

    #[test]
    fn flags_choose_together_and_values_of_one_are_alternatives() {
        let here = json!({"server": IN_CLUSTER_SERVER, "namespace": "n"});
        let there = json!({"name": "eu1"});
        let fine = json!({"sync": {"status": "Synced"}, "health": {"status": "Healthy"}});
        let broken = json!({"sync": {"status": "OutOfSync"}, "health": {"status": "Degraded"},
            "conditions": [{"type": "ComparisonError", "message": "no"}]});
        let all: Vec<Application> = [
            ("shop", &here, &fine),
            ("shop", &there, &broken),
            ("pay", &here, &Value::Null),
        ]
        .map(|(project, destination, status)| application(project, destination, status))
        .into();
        let chosen = |flags: FilterArgs| {
            all.iter()
                .enumerate()
                .filter(|(_, application)| {
                    let summary = Summary::of(application, Timestamp::UNIX_EPOCH, true);
                    flags.accepts(application, &summary)
                })
                .map(|(index, _)| index)
                .collect::<Vec<_>>()
        };
        let of = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let none = FilterArgs::default;
        assert!(none().is_empty());
        assert_eq!(chosen(none()), [0, 1, 2]);
        assert_eq!(
            chosen(FilterArgs {
                unhealthy: true,
                ..none()
            }),
            [1, 2]
        );
        assert_eq!(
            chosen(FilterArgs {
                sync: of(&["outofsync"]),
                ..none()
            }),
            [1]
        );
        assert_eq!(
            chosen(FilterArgs {
                health: of(&["Unknown", "Healthy"]),
                ..none()
            }),
            [0, 2]
        );
        assert_eq!(
            chosen(FilterArgs {
                project: of(&["shop"]),
                ..none()
            }),
            [0, 1]
        );
        assert_eq!(
            chosen(FilterArgs {
                destination: of(&["in-cluster"]),
                ..none()
            }),
            [0, 2]
        );
        assert_eq!(
            chosen(FilterArgs {
                destination: of(&["eu1"]),
                ..none()
            }),
            [1]
        );
        assert_eq!(
            chosen(FilterArgs {
                reason: of(&["comparisonerror"]),
                ..none()
            }),
            [1]
        );
        assert_eq!(
            chosen(FilterArgs {
                reason: of(&["NotCompared"]),
                ..none()
            }),
            [2]
        );
        let both = FilterArgs {
            project: of(&["shop"]),
            unhealthy: true,
            ..none()
        };
        assert_eq!(chosen(both), [1]);
    }
}
