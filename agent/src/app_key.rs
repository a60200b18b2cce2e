//! Which Application: its namespace and name, and the instance name its objects are tracked under.

use std::fmt;

use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::tracking;
use kube::{Resource, ResourceExt};

/// Namespace and name of an Application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AppKey {
    /// Namespace of the Application.
    pub(crate) namespace: String,
    /// Name of the Application.
    pub(crate) name: String,
}

impl AppKey {
    /// Namespace and name of an object.
    pub(crate) fn of<K: Resource>(object: &K) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }

    /// The application of an instance name; without a namespace in it, it is the agent's.
    pub(crate) fn of_instance(instance: &str, agent_namespace: &str) -> Self {
        let (namespace, name) = tracking::application_of(instance, agent_namespace);
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Name under which an agent of this namespace tracks the application's objects.
    pub(crate) fn instance(&self, agent_namespace: &str) -> String {
        tracking::instance_name(&self.namespace, &self.name, agent_namespace)
    }

    /// The Application as an object.
    pub(crate) fn object(&self) -> ObjectKey {
        ObjectKey {
            group: gitops_api::constants::GROUP.into(),
            kind: "Application".into(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
