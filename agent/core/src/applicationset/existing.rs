//! Applications there are, and whose they are.

use std::collections::BTreeSet;

use gitops_api::Application;
use serde_json::Value;

/// The set, as its Applications name it as their owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetIdentity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// To whom an Application belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// To the set. As in Argo CD the name counts: a set that is made anew takes its Applications back.
    Own,
    /// To nobody.
    Free,
    /// To something else, as it is shown.
    Other(String),
}

/// An Application there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Existing {
    /// The object, without status.
    pub value: Value,
    /// It is being deleted.
    pub is_leaving: bool,
}

impl Existing {
    /// Reads an Application as a watch has it.
    pub fn of(application: &Application) -> Self {
        let mut value = serde_json::to_value(application).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("status");
        }
        Self {
            value,
            is_leaving: application.metadata.deletion_timestamp.is_some(),
        }
    }

    /// To whom it belongs, as seen by a set.
    pub fn ownership(&self, set: &str) -> Ownership {
        let owners = self.value["metadata"]["ownerReferences"].as_array();
        let controller = owners
            .into_iter()
            .flatten()
            .find(|one| one["controller"] == true);
        match controller {
            None => Ownership::Free,
            Some(one) if one["kind"] == "ApplicationSet" && one["name"] == set => Ownership::Own,
            Some(one) => Ownership::Other(format!(
                "{} {}",
                one["kind"].as_str().unwrap_or_default(),
                one["name"].as_str().unwrap_or_default()
            )),
        }
    }
}

/// Names of labels or annotations that are left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Annotations.
    pub annotations: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeSet<String>,
}
