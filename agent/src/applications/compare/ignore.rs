//! Which differences do not count for an application: its rules, compiled once for its manifests.

use std::sync::Arc;

use gitops_api::Application;
use gitops_core::settings::Settings;
use gitops_core::settings::ignore::RuleSource;

use crate::applications::cache::{RenderedSources, Ruled};

impl RenderedSources {
    /// The manifests under the rules of the application and of the installation.
    pub(crate) fn ruled(&mut self, app: &Application, settings: &Settings) -> Ruled {
        let source = RuleSource::of(app, settings);
        if source.is_empty() {
            self.ruled = None;
            return Ruled {
                source,
                desired: self.desired.clone(),
                problems: Vec::new(),
            };
        }
        let known = self.ruled.as_ref();
        if let Some(ruled) = known.filter(|ruled| ruled.source == source) {
            return ruled.clone();
        }
        let (compiled, problems) = source.compile();
        let ruled = Ruled {
            source,
            desired: Arc::new(self.desired.as_ref().clone().ignoring(&compiled)),
            problems,
        };
        self.ruled = Some(ruled.clone());
        ruled
    }
}
