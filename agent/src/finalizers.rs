//! Patches of an object's finalizers.

use serde_json::{Value, json};

/// Sets the finalizers of the object of this version. The API server refuses when somebody changed
/// the object meanwhile: finalizers are a list, and theirs must not be lost.
pub(crate) fn patch<'a>(
    resource_version: Option<&str>,
    finalizers: impl IntoIterator<Item = &'a str>,
) -> Value {
    let finalizers: Vec<&str> = finalizers.into_iter().collect();
    json!({"metadata": {"resourceVersion": resource_version, "finalizers": finalizers}})
}
