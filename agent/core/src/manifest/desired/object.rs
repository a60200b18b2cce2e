//! One desired object, ready to be sent, and the manifest it came from.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::manifest::digest;
use crate::manifest::digest::{Agreement, RESPECTED};
use crate::manifest::object::{GroupKind, GroupVersionKind, ObjectKey, Origin};
use crate::manifest::options::ObjectOptions;
use crate::manifest::order::Order;
use crate::mask::Mask;
use crate::settings::ignore::ObjectRules;

/// A manifest as the renderer answered it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The object.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// One object the application wants, ready to be sent.
#[derive(Clone, Debug)]
pub struct DesiredObject {
    /// Identity.
    pub key: ObjectKey,
    /// API version to send it to.
    pub gvk: GroupVersionKind,
    /// The manifest as it will be applied, compact JSON: objects are many and rarely read.
    pub body: Box<str>,
    /// Digest of the manifest before the agent's own marks.
    pub digest: String,
    /// The digest that agents before there was a key gave it; `None` when `digest` is that one.
    pub unkeyed: Option<Box<str>>,
    /// Where it was written.
    pub origin: Origin,
    /// `argocd.argoproj.io/sync-wave`, 0 when absent or unreadable.
    pub wave: i64,
    /// Its sync options.
    pub options: ObjectOptions,
    /// Container images its Pod template names.
    pub images: Vec<String>,
    /// The order of its lists, as far as it counts.
    pub order: Order,
    /// The kind it defines, when it is a CustomResourceDefinition; boxed, because most objects define
    /// none.
    pub defined_kind: Option<Box<GroupKind>>,
    /// `false` when the cluster does not serve the kind and no manifest defines it.
    pub kind_known: bool,
    /// `true` for an object that follows from an option and not from a manifest (the destination
    /// namespace with managed metadata): not tracked, not pruned, not listed.
    pub implicit: bool,
    /// Which of its fields do not count; `None` for most.
    pub ignore: Option<Arc<ObjectRules>>,
    /// What admission would add to the live object counts as a difference:
    /// `compare-options: IncludeMutationWebhook=true`.
    pub include_mutations: bool,
    /// What is hidden wherever something of it is displayed.
    pub mask: Mask,
}

impl DesiredObject {
    /// Digest of what is expected of the live object: the manifest, less what is ignored.
    pub fn expectation(&self) -> Cow<'_, str> {
        match &self.ignore {
            None => Cow::Borrowed(&self.digest),
            Some(rules) => Cow::Owned(format!("{} {}", self.digest, rules.fingerprint)),
        }
    }

    /// The digest that agents before there was a key gave it.
    pub(super) fn unkeyed_digest(&self) -> &str {
        self.unkeyed.as_deref().unwrap_or(&self.digest)
    }

    /// Whether a recorded digest is of this manifest.
    pub fn agreement(&self, recorded: &str) -> Agreement {
        let recorded = recorded.trim_end_matches(RESPECTED);
        digest::agreement(recorded, &self.digest, self.unkeyed.as_deref())
    }

    /// The manifest as a value.
    pub fn manifest(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}
