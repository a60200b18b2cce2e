//! One field of an object that differs, and who changed it.

use crate::compare::path::Path;
use crate::mask::Shown;

/// A field whose live value is not the one in Git.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftedField {
    /// Where in the object.
    pub path: Path,
    /// Value in Git as JSON text; `None` when Git does not set the field.
    pub desired: Option<Shown>,
    /// Value in the cluster as JSON text; `None` when it is not there.
    pub live: Option<Shown>,
    /// Who holds the field now, as far as `managedFields` tells.
    pub manager: Option<String>,
    /// Since when, RFC 3339.
    pub since: Option<String>,
}
