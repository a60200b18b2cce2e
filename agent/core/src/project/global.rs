//! What argocd-cm says about all projects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

/// A project whose rules others have, too (an entry of `globalProjects`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalProject {
    /// Name of the project.
    #[serde(default)]
    pub project_name: String,
    /// Labels of the projects that have its rules.
    #[serde(default)]
    pub label_selector: LabelSelector,
}

/// Whether syncs are to be done with the rights of ServiceAccounts
/// (`application.sync.impersonation.enabled` and `.enforced`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// They are, where a project names one.
    pub enabled: bool,
    /// Where no project names one nothing is synced.
    pub enforced: bool,
}

impl Impersonation {
    /// Whether a project that names no ServiceAccount may not be synced.
    pub fn is_demanded(self) -> bool {
        self.enabled && self.enforced
    }
}

impl Default for Impersonation {
    fn default() -> Self {
        Self {
            enabled: false,
            enforced: true,
        }
    }
}
