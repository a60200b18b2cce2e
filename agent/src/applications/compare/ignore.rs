//! Which differences do not count for an application: its rules, compiled once for its manifests.

use std::sync::Arc;

use gitops_api::Application;
use gitops_core::compare::pipeline::RuleSource;
use gitops_core::settings::Settings;

use crate::applications::sources::rendered::{RenderedSources, WithIgnoreRules};

impl RenderedSources {
    /// The manifests under the rules of the application and of the installation.
    pub(crate) fn with_ignore_rules(
        &mut self,
        app: &Application,
        settings: &Settings,
    ) -> WithIgnoreRules {
        let source = RuleSource::of(app, settings);
        if source.is_empty() {
            self.with_ignore_rules = None;
            return WithIgnoreRules {
                source,
                desired: self.desired.clone(),
                problems: Vec::new(),
            };
        }
        let known = self.with_ignore_rules.as_ref();
        if let Some(with_ignore_rules) =
            known.filter(|with_ignore_rules| with_ignore_rules.source == source)
        {
            return with_ignore_rules.clone();
        }
        let (desired, problems) = source.apply(self.desired.as_ref().clone());
        let with_ignore_rules = WithIgnoreRules {
            source,
            desired: Arc::new(desired),
            problems,
        };
        self.with_ignore_rules = Some(with_ignore_rules.clone());
        with_ignore_rules
    }
}
