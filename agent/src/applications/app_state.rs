//! What an application is to be and what it is.

use std::collections::HashMap;

use gitops_core::compare::comparison::Comparison;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::project::DeniedObject;
use gitops_core::report::status::Compared;
use gitops_core::sync::guests::Guests;

use crate::applications::sources::rendered::RenderedApp;

/// Desired and live state of an application, compared.
pub(crate) struct AppState {
    /// What Git says.
    pub(crate) wanted: RenderedApp,
    /// Verdicts.
    pub(crate) comparison: Comparison,
    /// Records of live objects among them.
    pub(crate) live: HashMap<ObjectKey, LiveObject>,
    /// Objects and hooks that the project does not allow.
    pub(crate) denied: Vec<DeniedObject>,
    /// Records of the objects of its hooks that are live and stay for now; looked up for the report.
    pub(crate) hooks: Vec<LiveObject>,
    /// Fields of objects that differ and are ignored.
    pub(crate) ignored: HashMap<ObjectKey, Vec<String>>,
    /// Namespaces that are to go, with what is in them that is not the application's.
    pub(crate) guests: Guests,
}

impl AppState {
    /// As the status is built from it.
    pub(crate) fn compared(&self) -> Compared<'_> {
        Compared {
            desired: &self.wanted.desired,
            comparison: &self.comparison,
            live: &self.live,
            hooks: &self.hooks,
            denied: &self.denied,
            ignored: &self.ignored,
            revisions: &self.wanted.revisions,
            source_types: &self.wanted.source_types,
        }
    }
}
