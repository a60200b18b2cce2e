//! The projects of an installation, as the agent would follow them.

use std::sync::Arc;

use gitops_api::AppProject;
use gitops_api::constants::config_map;
use gitops_core::project::ProjectRules;
use gitops_core::settings::Settings;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;

use crate::cluster::connection::Connection;

/// What was found of the projects of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Projects {
    /// How many there are.
    pub count: usize,
    /// Why the agent does nothing in the name of some of them, one text each.
    pub refused: Vec<String>,
}

/// Reads the projects of a namespace and argocd-cm; `None` where the user may not read them, or there
/// are none.
pub async fn read(connection: &Connection, namespace: &str) -> Option<Projects> {
    let projects: Api<AppProject> = Api::namespaced(connection.client.clone(), namespace);
    let config_maps: Api<ConfigMap> = Api::namespaced(connection.client.clone(), namespace);
    let params = ListParams::default();
    let (listed, settings) = tokio::join!(
        connection.wait(projects.list(&params)),
        connection.wait(config_maps.get_opt(config_map::SETTINGS)),
    );
    let listed = listed.ok()?.ok()?.items;
    let settings = settings.ok()?.ok()?.and_then(|map| map.data);
    let (settings, _) = Settings::read(&settings.unwrap_or_default());
    (!listed.is_empty()).then(|| judge(listed, &settings))
}

/// The rules of a project as the agent follows them, where `all` holds the global projects.
///
/// # Errors
/// Why the agent does nothing in the name of it.
pub fn rules(
    project: &AppProject,
    all: &[Arc<AppProject>],
    settings: &Settings,
) -> Result<ProjectRules, String> {
    let find = |name: &str| {
        let mut all = all.iter();
        all.find(|project| project.metadata.name.as_deref() == Some(name))
            .cloned()
    };
    ProjectRules::of(project, &settings.surroundings(&find)).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        texts.join("; ")
    })
}

fn judge(projects: Vec<AppProject>, settings: &Settings) -> Projects {
    let all: Vec<Arc<AppProject>> = projects.into_iter().map(Arc::new).collect();
    let refused = all
        .iter()
        .filter_map(|project| rules(project, &all, settings).err());
    Projects {
        count: all.len(),
        refused: refused.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn projects_the_agent_refuses_are_named_with_the_rule() {
        let project = |name: &str, spec: serde_json::Value| {
            serde_json::from_value(
                json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
                "metadata": {"name": name}, "spec": spec}),
            )
            .unwrap()
        };
        let projects = vec![
            project("open", json!({"sourceRepos": ["*"]})),
            project("signed", json!({"signatureKeys": [{"keyID": "ABCD"}]})),
            project("typo", json!({"sourceRepos": ["!["]})),
        ];
        let found = judge(projects.clone(), &Settings::default());
        assert_eq!((found.count, found.refused.len()), (3, 2));
        assert!(found.refused[0].contains("signed") && found.refused[0].contains("signatureKeys"));
        assert!(found.refused[1].contains("typo"), "{:?}", found.refused);
        let data = [("application.sync.impersonation.enabled", "true")];
        let data: BTreeMap<_, _> = data.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let found = judge(projects, &Settings::read(&data).0);
        assert_eq!(found.refused.len(), 3);
    }
}
