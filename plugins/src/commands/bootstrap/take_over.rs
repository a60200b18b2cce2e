//! Taking over from Argo CD: what would go wrong, and what stops and starts its controllers.

use gitops_api::Application;
use gitops_api::constants::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use serde_json::{Value, json};

use crate::cluster::projects::Projects;
use crate::commands::bootstrap::controllers::{Controller, Controllers, REPLICAS_BEFORE};
use crate::commands::bootstrap::plan::TakeOver;

/// Names shown of a list.
const SHOWN: usize = 4;

/// Refuses to run two controllers on the same Applications.
pub fn refuse(
    conflicting_controllers: &[&Controller],
    namespace: &str,
    applications: usize,
) -> CommandError {
    let names: Vec<String> = conflicting_controllers
        .iter()
        .map(|rival| format!("{} in {}", rival.shown(), rival.namespace))
        .collect();
    CommandError::new(
        CommandErrorKind::Refused,
        format!(
            "Argo CD serves the Applications in namespace {namespace} ({applications} now): {}",
            names.join(", ")
        ),
    )
    .hint("two controllers must not deliver the same Applications: nothing was changed")
    .hint(
        "let the agent take over, without touching a workload: --adopt (--dry-run shows the plan)",
    )
    .hint("or run the agent beside it, for Applications of its own: --namespace gitops-system")
}

/// The plan of the hand-over; refuses what would start Argo CD again.
pub fn plan(
    conflicting_controllers: &[&Controller],
    applications: &[Application],
    application_sets: usize,
    projects: &Projects,
) -> Result<TakeOver, CommandError> {
    if let Some(application) = applications
        .iter()
        .find(|app| delivers_any(app, conflicting_controllers))
    {
        let name = text::one_line(application.metadata.name.as_deref().unwrap_or_default());
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            format!("the Application {name} delivers Argo CD itself: the agent would start its controllers again"),
        )
        .hint(format!("take the controllers out of what {name} delivers, or turn its automated sync off, then run this again")));
    }
    let mut concerns = Vec::new();
    let mut concern = |names: Vec<String>, what: &str| {
        if !names.is_empty() {
            let mut shown: Vec<String> = names.iter().take(SHOWN).cloned().collect();
            if names.len() > SHOWN {
                shown.push(format!("{} more", names.len() - SHOWN));
            }
            concerns.push(format!("{what}: {}", shown.join(", ")));
        }
    };
    let named = |matches: &dyn Fn(&Application) -> bool| -> Vec<String> {
        applications
            .iter()
            .filter(|app| matches(app))
            .map(|app| text::one_line(app.metadata.name.as_deref().unwrap_or_default()))
            .collect()
    };
    concern(
        named(&is_elsewhere),
        "in another cluster, where this agent does not deliver; run one there",
    );
    concern(
        named(&|app| sources(app).any(|source| source["plugin"].is_object())),
        "made by a plugin, which the agent does not run",
    );
    if application_sets > 0 {
        concerns.push(format!(
            "{application_sets} ApplicationSets are served by the agent from then on; generators it does not have yet (scmProvider, \
             pullRequest, clusterDecisionResource, plugin) leave the Applications of their set as they are"
        ));
    }
    // What Argo CD would enforce for them is not left out: nothing is synced.
    concerns.extend(projects.refused.iter().map(|why| text::one_line(why)));
    Ok(TakeOver {
        stopped: conflicting_controllers
            .iter()
            .map(|rival| (*rival).clone())
            .collect(),
        applications: applications.len(),
        concerns,
    })
}

fn delivers_any(application: &Application, controllers: &[&Controller]) -> bool {
    let automated = application
        .spec
        .sync_policy
        .as_ref()
        .is_some_and(|policy| policy.automated.is_some());
    let resources = application
        .status
        .iter()
        .flat_map(|status| &status.resources);
    automated
        && resources.into_iter().any(|resource| {
            controllers.iter().any(|controller| {
                resource.kind == controller.kind
                    && resource.name == controller.name
                    && resource.namespace == controller.namespace
            })
        })
}

fn is_elsewhere(application: &Application) -> bool {
    let destination = &application.spec.destination;
    let here = if destination.name.is_empty() {
        destination.server.trim_end_matches('/') == IN_CLUSTER_SERVER
    } else {
        destination.name == IN_CLUSTER_NAME
    };
    !here
}

fn sources(application: &Application) -> impl Iterator<Item = Value> {
    let spec = serde_json::to_value(&application.spec).unwrap_or_default();
    let several = spec["sources"].as_array().cloned().unwrap_or_default();
    std::iter::once(spec["source"].clone()).chain(several)
}

/// The object of a controller, for the cluster.
pub fn object(controller: &Controller) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": controller.kind,
        "metadata": {"name": controller.name, "namespace": controller.namespace},
    })
}

/// Stops a controller and remembers how many replicas it had.
pub fn stop(controller: &Controller) -> Value {
    json!({
        "metadata": {"annotations": {REPLICAS_BEFORE: controller.replicas.to_string()}},
        "spec": {"replicas": 0},
    })
}

/// Starts a stopped controller again.
pub fn start(controller: &Controller) -> Value {
    json!({
        "metadata": {"annotations": {REPLICAS_BEFORE: null}},
        "spec": {"replicas": controller.replicas_before.unwrap_or(1)},
    })
}

/// What to say about GitOps controllers that do not get in the way.
pub fn notes(controllers: &Controllers, namespace: &str) -> Vec<String> {
    use crate::commands::bootstrap::controllers::Role;
    let mut notes = Vec::new();
    for other in controllers.elsewhere(Role::ArgoApplications, namespace) {
        let other = text::one_line(other);
        notes.push(format!(
            "Argo CD in {other} goes on with the Applications there; the agent serves those in {namespace}"
        ));
    }
    for other in controllers.elsewhere(Role::Flux, "") {
        let other = text::one_line(other);
        notes.push(format!(
            "Flux runs in {other}: what it delivers should be in no Application"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use gitops_kit::exit::ExitStatus;

    use super::*;
    use crate::commands::bootstrap::controllers::Role;

    fn controller() -> Controller {
        Controller {
            role: Role::ArgoApplications,
            kind: "StatefulSet".into(),
            namespace: "argocd".into(),
            name: "argocd-application-controller".into(),
            replicas: 2,
            replicas_before: None,
            version: None,
        }
    }

    fn application(name: &str, server: &str, resource: &str, automated: bool) -> Application {
        let policy = if automated {
            json!({"automated": {}})
        } else {
            json!({})
        };
        serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {
                "project": "default", "syncPolicy": policy,
                "source": {"repoURL": "https://host/r", "path": "."},
                "destination": {"server": server, "namespace": "x"},
            },
            "status": {"resources": [
                {"group": "apps", "version": "v1", "kind": "StatefulSet", "namespace": "argocd", "name": resource},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn what_would_start_argo_cd_again_is_refused() {
        let own = application(
            "argocd",
            IN_CLUSTER_SERVER,
            "argocd-application-controller",
            true,
        );
        let error = plan(&[&controller()], &[own], 0, &Projects::default()).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Refused);
        let manual = application(
            "argocd",
            IN_CLUSTER_SERVER,
            "argocd-application-controller",
            false,
        );
        assert!(plan(&[&controller()], &[manual], 0, &Projects::default()).is_ok());
    }

    #[test]
    fn concerns_are_named() {
        let apps: Vec<Application> = [("web", IN_CLUSTER_SERVER), ("far", "https://elsewhere")]
            .iter()
            .map(|(name, server)| application(name, server, "db", true))
            .collect();
        let projects = Projects {
            count: 2,
            refused: vec!["project signed demands signed commits".into()],
        };
        let planned = plan(&[&controller()], &apps, 3, &projects).unwrap();
        assert_eq!(planned.applications, 2);
        assert_eq!(planned.concerns.len(), 3);
        assert!(
            planned.concerns[0].ends_with(": far"),
            "{:?}",
            planned.concerns
        );
        assert!(planned.concerns[1].starts_with("3 ApplicationSets"));
        assert_eq!(planned.concerns[2..], projects.refused);
    }

    #[test]
    fn stopping_and_starting_are_inverse() {
        let mut stopped = controller();
        let patch = stop(&stopped);
        assert_eq!(patch["metadata"]["annotations"][REPLICAS_BEFORE], "2");
        stopped.replicas = 0;
        stopped.replicas_before = Some(2);
        assert_eq!(start(&stopped)["spec"]["replicas"], 2);
    }
}
