//! Where a pause is written: an annotation of an Application, a ConfigMap for all of them; and whether
//! the agent has taken note of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use gitops_api::Application;
use gitops_api::constants::{LEASE_NAME, config_map};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::progress::Progress;
use gitops_kit::{prompt, text};
use gitops_views::status::agent::Agent;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::application;
use crate::cluster::connection::{Connection, ConnectionArgs};

/// Pause between two looks at what the agent says.
const LOOK: Duration = Duration::from_millis(500);
/// Field manager of what the commands write.
const MANAGER: &str = "kubectl-gitops";
/// Most names in a message.
const SHOWN: usize = 5;

/// Which Applications are meant.
#[derive(Args, Clone, Debug)]
pub struct Scope {
    /// Applications: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub applications: Vec<String>,

    /// Applications with these labels, such as team=payments
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        conflicts_with = "applications"
    )]
    pub selector: Option<String>,

    /// Every Application, also those that are still to come, and every ApplicationSet
    #[arg(long, conflicts_with_all = ["applications", "selector"])]
    pub all: bool,
}

/// What is paused or resumed.
pub enum Target {
    /// Everything in the agent's namespace.
    Everything {
        /// That namespace.
        namespace: String,
    },
    /// These.
    Applications(Vec<Application>),
}

impl Scope {
    /// Finds them.
    ///
    /// # Errors
    /// When one does not exist, or the cluster does not answer.
    pub async fn find(
        &self,
        flags: &ConnectionArgs,
        connection: &Connection,
    ) -> Result<Target, CommandError> {
        let namespace = application::namespace(flags, connection).await;
        if self.all {
            return Ok(Target::Everything { namespace });
        }
        if let Some(selector) = &self.selector {
            let params = ListParams::default().labels(selector);
            let found = application::list(Some(&namespace), params, connection).await?;
            if found.is_empty() {
                let none = application::none_found(Some(&namespace), Some(selector), connection);
                return Err(CommandError::new(CommandErrorKind::NotFound, none.await));
            }
            return Ok(Target::Applications(found));
        }
        let mut given = self.applications.clone();
        if given.is_empty() {
            given.push(application::given_or_picked(None, true, flags, connection).await?);
        }
        let mut found = Vec::new();
        for name in &given {
            found.push(application::find(name, flags, connection).await?);
        }
        Ok(Target::Applications(found))
    }
}

impl Target {
    /// The namespace of the Applications.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Everything { namespace } => namespace,
            Self::Applications(found) => found
                .first()
                .and_then(|one| one.metadata.namespace.as_deref())
                .unwrap_or_default(),
        }
    }

    /// The Applications as they are now.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn current(&self, connection: &Connection) -> Result<Vec<Application>, CommandError> {
        let meant = match self {
            Self::Everything { namespace } => {
                let params = ListParams::default();
                let mut all = application::list(Some(namespace), params, connection).await?;
                all.retain(|one| one.metadata.deletion_timestamp.is_none());
                return Ok(all);
            }
            Self::Applications(meant) => meant,
        };
        if let [one] = meant.as_slice() {
            let (namespace, name) = identity(one);
            return Ok(vec![application::get(namespace, name, connection).await?]);
        }
        let namespaces: BTreeSet<&str> = meant.iter().map(|one| identity(one).0).collect();
        let mut found = Vec::new();
        for namespace in namespaces {
            let params = ListParams::default();
            found.extend(application::list(Some(namespace), params, connection).await?);
        }
        found.retain(|one| meant.iter().any(|other| identity(other) == identity(one)));
        Ok(found)
    }
}

fn identity(application: &Application) -> (&str, &str) {
    let metadata = &application.metadata;
    (
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// Changes one Application. `what` is `pause` or `resume`.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn patch_one(
    application: &Application,
    patch: &Value,
    what: &str,
    connection: &Connection,
) -> Result<(), CommandError> {
    let (namespace, name) = identity(application);
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch);
    let written = api.patch(name, &params, &patch);
    connection
        .ask(&format!("{what} Application {name}"), written)
        .await
        .map(drop)
}

/// Writes what is said of a pause of everything; null for none.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn patch_all(
    namespace: &str,
    value: &Value,
    connection: &Connection,
) -> Result<(), CommandError> {
    let api: Api<ConfigMap> = Api::namespaced(connection.client.clone(), namespace);
    // An apply creates it where it is not there, with a right for this name only.
    let data = if value.is_null() {
        json!({})
    } else {
        json!({config_map::PAUSED_KEY: value})
    };
    let patch = Patch::Apply(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": config_map::PAUSED, "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "argocd"},
        },
        "data": data,
    }));
    let params = PatchParams::apply(MANAGER).force();
    let what = if value.is_null() {
        "resume all Applications"
    } else {
        "pause all Applications"
    };
    let written = api.patch(config_map::PAUSED, &params, &patch);
    connection.ask(what, written).await.map(drop)
}

/// Waits until all of them are so; gives the names of those that are not in time.
///
/// # Errors
/// When the cluster does not answer.
pub async fn until(
    target: &Target,
    connection: &Connection,
    timeout: Duration,
    is_so: impl Fn(&Application) -> bool,
) -> Result<Vec<String>, CommandError> {
    let end = Instant::now() + timeout;
    loop {
        let found = target.current(connection).await?;
        let left: Vec<String> = found
            .iter()
            .filter(|application| !is_so(application))
            .filter_map(|application| application.metadata.name.clone())
            .collect();
        if left.is_empty() || Instant::now() >= end {
            return Ok(left);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Says that the agent has not taken note, and whether it lives.
pub async fn say_silent(
    left: &[String],
    namespace: &str,
    what: &str,
    connection: &Connection,
    progress: &mut Progress,
) {
    let names = text::first_few(left, SHOWN);
    let leases: Api<Lease> = Api::namespaced(connection.client.clone(), namespace);
    let agent = match connection.wait(leases.get_opt(LEASE_NAME)).await {
        Ok(Ok(Some(lease))) => Agent::of(&lease, Timestamp::now()).summary(Timestamp::now()),
        _ => None,
    };
    let agent = agent.map_or(String::new(), |agent| format!(" ({agent})"));
    progress.warn(&format!(
        "the {what} is written, and the agent has not taken note of it yet{agent}: {names}; \
         it keeps to it from its next look on"
    ));
}
