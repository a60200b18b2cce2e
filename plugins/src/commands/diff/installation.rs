//! What the agent follows besides the Application itself: argocd-cm and the AppProject, read with
//! the user's own rights. Where those do not suffice, it says so and goes on without.

use std::sync::Arc;

use futures::future::try_join_all;
use gitops_api::constants::config_map;
use gitops_api::{AppProject, Application};
use gitops_core::project::ProjectRules;
use gitops_core::settings::Settings;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Error};

use crate::cluster::connection::Connection;
use crate::cluster::{failure, projects};

/// What was read.
pub(super) struct Installation {
    /// argocd-cm; the defaults where it may not be read.
    pub(super) settings: Settings,
    /// The rules of the Application's project; `None` where it may not be read.
    pub(super) rules: Option<ProjectRules>,
    /// What could not be read, or not be understood.
    pub(super) warnings: Vec<String>,
}

impl Installation {
    /// Reads what there is in the namespace of the agent.
    pub(super) async fn read(
        connection: &Connection,
        namespace: &str,
        application: &Application,
    ) -> Result<Self, CommandError> {
        let name = application.spec.effective_project();
        let config_maps: Api<ConfigMap> = Api::namespaced(connection.client.clone(), namespace);
        let api: Api<AppProject> = Api::namespaced(connection.client.clone(), namespace);
        let (config_map, project) = tokio::try_join!(
            connection.wait(config_maps.get_opt(config_map::SETTINGS)),
            connection.wait(api.get_opt(name)),
        )?;
        let mut forbidden = Vec::new();
        let data = match config_map {
            Ok(map) => map.filter(is_followed).and_then(|map| map.data),
            Err(error) if is_forbidden(&error) => {
                forbidden.push(config_map::SETTINGS.to_owned());
                None
            }
            Err(error) => {
                return Err(failure::of(error, "read argocd-cm", &connection.endpoint));
            }
        };
        let project = match project {
            Ok(Some(project)) => Some(project),
            Ok(None) => {
                return Err(CommandError::new(
                    CommandErrorKind::NotFound,
                    format!(
                        "project {name} does not exist in namespace {namespace}; create the \
                         AppProject or change spec.project"
                    ),
                ));
            }
            Err(error) if is_forbidden(&error) => {
                forbidden.push(format!("AppProject {name}"));
                None
            }
            Err(error) => {
                return Err(failure::of(
                    error,
                    "read the AppProject",
                    &connection.endpoint,
                ));
            }
        };
        let (settings, problems) = Settings::read(&data.unwrap_or_default());
        let mut warnings: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let rules = match project {
            Some(project) => {
                let globals = settings.global_projects.iter().flatten();
                let reads =
                    globals.map(|global| connection.wait(api.get_opt(&global.project_name)));
                let read: Vec<_> = try_join_all(reads).await?;
                // One that may not be read stands in nobody's way here: the agent reads it.
                let found: Vec<Arc<AppProject>> = read
                    .into_iter()
                    .filter_map(|found| found.ok().flatten().map(Arc::new))
                    .collect();
                let rules = projects::rules(&project, &found, &settings)
                    .map_err(|why| CommandError::new(CommandErrorKind::Refused, why))?;
                Some(rules)
            }
            None => None,
        };
        if !forbidden.is_empty() {
            warnings.push(format!(
                "you may not read {} in namespace {namespace}: defaults stand in, and the agent \
                 may see other differences",
                forbidden.join(" and ")
            ));
        }
        Ok(Self {
            settings,
            rules,
            warnings,
        })
    }
}

/// Whether the agent reads a ConfigMap: it follows those of Argo CD only.
fn is_followed(map: &ConfigMap) -> bool {
    let labels = map.metadata.labels.as_ref();
    labels.is_some_and(|labels| {
        labels
            .get("app.kubernetes.io/part-of")
            .is_some_and(|part| part == "argocd")
    })
}

fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 403)
}
