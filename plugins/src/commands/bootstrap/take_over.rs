//! Taking over from Argo CD: what would go wrong, and what stops and starts its controllers.

use gitops_api::constants::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use gitops_api::{Application, ApplicationSource, SyncStatusCode};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use serde_json::{Value, json};

use crate::cluster::projects::Projects;
use crate::commands::bootstrap::controllers::{Controller, Controllers, REPLICAS_BEFORE};
use crate::commands::bootstrap::layout;
use crate::commands::bootstrap::layout::{AGENT, Layout, ROOT};
use crate::commands::bootstrap::plan::TakeOver;
use crate::git;

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
    if let Some((rival, owner)) = conflicting_controllers
        .iter()
        .find_map(|rival| Some((rival, rival.owner.as_ref()?)))
    {
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            format!(
                "{} belongs to {owner}, whose operator would start it again",
                rival.shown()
            ),
        )
        .hint(format!("stop it there first: let {owner} ask for no controller, or stop its operator, then run this again")));
    }
    let manages_itself = |app: &&Application| delivers_any(app, conflicting_controllers);
    if let Some(application) = applications
        .iter()
        .filter(|app| is_automated(app))
        .find(manages_itself)
    {
        let name = text::one_line(application.metadata.name.as_deref().unwrap_or_default());
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            format!("the Application {name} delivers Argo CD itself: the agent would start its controllers again"),
        )
        .hint(format!("take the controllers out of what {name} delivers, or turn its automated sync off, then run this again")));
    }
    let by_hand: Vec<String> = applications
        .iter()
        .filter(manages_itself)
        .map(name_of)
        .collect();
    let mut concerns = Vec::new();
    let mut inventory = Vec::new();
    let mut concern = |names: Vec<String>, what: &str| {
        if !names.is_empty() {
            inventory.push((what.to_owned(), names.clone()));
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
            .map(name_of)
            .collect()
    };
    concern(
        by_hand,
        "delivers Argo CD itself: its next sync would start the controllers again; take them out of it",
    );
    concern(
        named(&|app| app.operation.is_some()),
        "a sync is asked for or under way, and is gone on with",
    );
    concern(
        named(&|app| is_automated(app) && is_out_of_sync(app) && !heals(app)),
        "differs from Git without self-heal, and stays as it is until a commit or a sync",
    );
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
        inventory,
    })
}

fn delivers_any(application: &Application, controllers: &[&Controller]) -> bool {
    let resources = application
        .status
        .iter()
        .flat_map(|status| &status.resources);
    resources.into_iter().any(|resource| {
        controllers.iter().any(|controller| {
            resource.kind == controller.kind
                && resource.name == controller.name
                && resource.namespace == controller.namespace
        })
    })
}

fn name_of(application: &Application) -> String {
    text::one_line(application.metadata.name.as_deref().unwrap_or_default())
}

fn is_automated(application: &Application) -> bool {
    let policy = application.spec.sync_policy.as_ref();
    policy.is_some_and(|policy| policy.automation().is_some())
}

fn heals(application: &Application) -> bool {
    let policy = application.spec.sync_policy.as_ref();
    let automation = policy.and_then(|policy| policy.automation());
    automation.is_some_and(|automation| automation.self_heal)
}

fn is_out_of_sync(application: &Application) -> bool {
    let sync = application
        .status
        .as_ref()
        .and_then(|status| status.sync.as_ref());
    sync.is_some_and(|sync| sync.status == SyncStatusCode::OutOfSync)
}

/// The Application's name, if it delivers the directory of an installation and is not one of the
/// installation's own.
pub fn delivers(application: &Application, layout: &Layout) -> Option<String> {
    let name = name_of(application);
    let wanted = if name == AGENT {
        layout.agent()
    } else {
        layout.root()
    };
    let value = serde_json::to_value(application).unwrap_or_default();
    let own = [ROOT, AGENT].contains(&name.as_str())
        && layout::is_same_application(&with_kind(value), &wanted).is_ok();
    let clean = |path: &str| path.trim_matches('/').trim_start_matches("./").to_owned();
    let directory = match layout.directory() {
        "." => String::new(),
        directory => clean(directory),
    };
    let holds = |source: &ApplicationSource| {
        let path = match clean(&source.path).as_str() {
            "." => String::new(),
            path => path.to_owned(),
        };
        let recursive = source
            .directory
            .as_ref()
            .is_some_and(|options| options.recurse);
        let beneath = path.is_empty() || directory.starts_with(&format!("{path}/"));
        source.chart.is_empty()
            && source.ref_name.is_empty()
            && git::same_repository(&source.repo_url, &layout.url)
            && (path == directory || (recursive && beneath))
    };
    let found = !own && application.spec.effective_sources().iter().any(holds);
    found.then_some(name)
}

fn with_kind(mut application: Value) -> Value {
    application["kind"] = "Application".into();
    application
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
            owner: None,
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
        let planned = plan(&[&controller()], &[manual], 0, &Projects::default()).unwrap();
        assert!(
            planned.concerns[0].contains("its next sync would start"),
            "{:?}",
            planned.concerns
        );
        // Turned off, with its settings kept.
        let mut off = application(
            "argocd",
            IN_CLUSTER_SERVER,
            "argocd-application-controller",
            true,
        );
        let policy = off.spec.sync_policy.as_mut().unwrap();
        policy.automated.as_mut().unwrap().enabled = Some(false);
        assert!(plan(&[&controller()], &[off], 0, &Projects::default()).is_ok());
        // An operator's.
        let mut operated = controller();
        operated.owner = Some("ArgoCD/gitops".into());
        let error = plan(&[&operated], &[], 0, &Projects::default()).unwrap_err();
        assert!(error.message.contains("ArgoCD/gitops"), "{}", error.message);
    }

    #[test]
    fn a_directory_is_delivered_once() {
        let layout =
            Layout::new("clusters/prod", "https://host/fleet.git", "main", "argocd").unwrap();
        let app = |name: &str, source: Value| -> Application {
            serde_json::from_value(json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": {"name": name, "namespace": "argocd"},
                "spec": {"project": "default", "source": source,
                    "destination": {"server": IN_CLUSTER_SERVER, "namespace": "argocd"}},
            }))
            .unwrap()
        };
        let of = |path: &str, recurse: bool| {
            json!({"repoURL": "https://host/fleet", "path": path, "targetRevision": "main",
                "directory": {"recurse": recurse}})
        };
        let table = [
            ("apps", of("clusters/prod", false), true),
            ("apps", of("./clusters/prod/", false), true),
            ("apps", of("clusters", true), true),
            ("apps", of(".", true), true),
            ("apps", of("clusters", false), false),
            ("apps", of("clusters/production", true), false),
            ("root", of("clusters/prod", false), false),
            ("root", of("clusters", true), true),
        ];
        for (name, source, expected) in table {
            let found = delivers(&app(name, source.clone()), &layout).is_some();
            assert_eq!(found, expected, "{name} {source}");
        }
        let mut elsewhere = of("clusters/prod", false);
        elsewhere["repoURL"] = json!("https://host/other");
        assert_eq!(delivers(&app("apps", elsewhere), &layout), None);
    }

    #[test]
    fn what_is_under_way_or_drifted_is_named() {
        let mut drifted = application("web", IN_CLUSTER_SERVER, "db", true);
        drifted.status.as_mut().unwrap().sync =
            serde_json::from_value(json!({"status": "OutOfSync"})).unwrap();
        let mut busy = application("job", IN_CLUSTER_SERVER, "db", false);
        busy.operation = Some(gitops_api::Operation::default());
        let applications = vec![drifted, busy];
        let planned = plan(&[&controller()], &applications, 0, &Projects::default()).unwrap();
        assert!(
            planned.concerns[0].ends_with("gone on with: job"),
            "{:?}",
            planned.concerns
        );
        assert!(
            planned.concerns[1].ends_with(": web"),
            "{:?}",
            planned.concerns
        );
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
