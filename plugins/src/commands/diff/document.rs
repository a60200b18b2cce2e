//! What scripts read: a versioned document. Fields are only ever added within a version.

use gitops_api::preview::PreviewStatus;
use gitops_views::diff;
use serde_json::{Map, Value, json};

/// Version of the document.
pub const VERSION: &str = "gitops-agent.io/diff.v1";

/// The document. Its objects have the shape of a Preview's, secrets masked as everywhere.
pub fn of(namespace: &str, name: &str, answer: &PreviewStatus) -> Value {
    let mut document = Map::new();
    let mut set = |field: &str, value: Value| {
        let is_empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if !is_empty {
            document.insert(field.to_owned(), value);
        }
    };
    set("version", VERSION.into());
    set("application", json!({"namespace": namespace, "name": name}));
    set("different", diff::is_different(answer).into());
    set("revisions", answer.revisions.clone().into());
    // These are the API's own shapes; serializing them cannot fail.
    set("counts", json!(diff::counts(answer)));
    set("objects", json!(answer.objects));
    set("cautions", json!(answer.cautions));
    set("warnings", answer.warnings.clone().into());
    if answer.truncated > 0 {
        set("truncated", answer.truncated.into());
    }
    document.into()
}
