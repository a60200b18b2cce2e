//! Application: what to deploy from where to where.

use crate::destination::ApplicationDestination;
use crate::operation::Operation;
use crate::source::{ApplicationSource, NameValue, SourceHydrator};
use crate::status::ApplicationStatus;
use crate::sync_policy::{ResourceIgnoreDifferences, SyncPolicy};

api_resource! {
    /// One application: sources in Git or a chart repository, deployed to one cluster.
    ///
    /// The custom resource has no status subresource (as Argo CD's): status and operation are
    /// written with patches of the resource itself.
    pub struct Application, "Application", "applications" {
        /// What is wanted.
        "spec" => spec: ApplicationSpec,
        /// A sync that is asked for; removed by the agent when it is done.
        "operation" => operation: Option<Operation>,
        /// What the agent found and did.
        "status" => status: Option<ApplicationStatus>,
    }
}

api_struct! {
    /// What to deploy from where to where.
    pub struct ApplicationSpec {
        required {
            /// Where to deploy to.
            "destination" => destination: ApplicationDestination,
        }
        always {
            /// AppProject; empty means `default`.
            "project" => project: String,
        }
        optional {
            /// Where the manifests come from.
            source: Option<ApplicationSource>,
            /// Several sources; when there are any, `source` is ignored.
            sources: Vec<ApplicationSource>,
            /// Source that is rendered to a branch first.
            source_hydrator: Option<Box<SourceHydrator>>,
            /// When and how to sync.
            sync_policy: Option<SyncPolicy>,
            /// Fields whose differences do not count.
            ignore_differences: Vec<ResourceIgnoreDifferences>,
            /// Shown to people.
            info: Vec<NameValue>,
            /// Entries of the history kept; default 10.
            revision_history_limit: Option<i64>,
        }
    }
}

impl Application {
    /// Names of the ApplicationSets that own it.
    pub fn sets(&self) -> impl Iterator<Item = &str> {
        let owners = self.metadata.owner_references.iter().flatten();
        let sets = owners.filter(|owner| owner.kind == "ApplicationSet");
        sets.map(|owner| owner.name.as_str())
    }

    /// The `ApplicationSet` that switched automated sync off, as one that rolls does: it syncs the
    /// Application itself.
    pub fn rolling_set(&self) -> Option<&str> {
        let policy = self.spec.sync_policy.as_ref()?;
        let automated = policy.automated.as_ref()?;
        let is_off = automated.enabled == Some(false);
        self.sets().next().filter(|_| is_off)
    }
}

impl ApplicationSpec {
    /// The sources in effect: `sources` when there are any, else `source`.
    pub fn effective_sources(&self) -> &[ApplicationSource] {
        if self.sources.is_empty() {
            self.source.as_slice()
        } else {
            &self.sources
        }
    }

    /// The project in effect: an empty name means `default`.
    pub fn effective_project(&self) -> &str {
        if self.project.is_empty() {
            crate::constants::DEFAULT_PROJECT
        } else {
            &self.project
        }
    }
}
