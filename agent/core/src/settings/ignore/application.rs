//! What an Application says about differences that do not count.

use gitops_api::Application;
use gitops_api::constants::annotation;
use gitops_api::sync_policy::ResourceIgnoreDifferences;

use super::IgnoreRules;
use crate::settings::Settings;

/// What the rules of an application are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSource {
    /// `spec.ignoreDifferences`.
    pub application: Vec<ResourceIgnoreDifferences>,
    /// The rules of the installation.
    pub installation: Vec<ResourceIgnoreDifferences>,
    /// `compare-options: IncludeMutationWebhook=true` on the Application.
    pub include_mutations: bool,
}

impl RuleSource {
    /// What an Application and the installation say.
    pub fn of(application: &Application, settings: &Settings) -> Self {
        let annotations = application.metadata.annotations.as_ref();
        let options = annotations.and_then(|all| all.get(annotation::COMPARE_OPTIONS));
        Self {
            application: application.spec.ignore_differences.clone(),
            installation: settings.ignore_differences.clone(),
            include_mutations: options.is_some_and(|options| {
                options
                    .split(',')
                    .any(|option| option.trim() == "IncludeMutationWebhook=true")
            }),
        }
    }

    /// Whether nothing is ignored.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules, and what of the application's cannot be used; what of the installation's cannot
    /// was said when they were read.
    pub fn compile(&self) -> (IgnoreRules, Vec<String>) {
        let (mut rules, problems) =
            IgnoreRules::compile(&self.application, "spec.ignoreDifferences");
        let (others, _) = IgnoreRules::compile(&self.installation, "argocd-cm");
        rules.rules.extend(others.rules);
        rules.include_mutations = self.include_mutations;
        (rules, problems)
    }
}
