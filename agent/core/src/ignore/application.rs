//! What an Application says about differences that do not count.

use gitops_api::{Application, constants::annotation, sync_policy::ResourceIgnoreDifferences};

use super::IgnoreRules;

/// What the rules of an application are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSource {
    /// `spec.ignoreDifferences`.
    pub application: Vec<ResourceIgnoreDifferences>,
    /// `compare-options: IncludeMutationWebhook=true` on the Application.
    pub include_mutations: bool,
}

impl RuleSource {
    /// What an Application says.
    pub fn of(application: &Application) -> Self {
        let annotations = application.metadata.annotations.as_ref();
        let options = annotations.and_then(|all| all.get(annotation::COMPARE_OPTIONS));
        Self {
            application: application.spec.ignore_differences.clone(),
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

    /// The rules, and what of them cannot be used.
    pub fn compile(&self) -> (IgnoreRules, Vec<String>) {
        let (mut rules, problems) =
            IgnoreRules::compile(&self.application, "spec.ignoreDifferences");
        rules.include_mutations = self.include_mutations;
        (rules, problems)
    }
}
