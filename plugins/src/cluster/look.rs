//! Lets the agent look at Git and the cluster before a command says anything about them: what is known
//! may be older than the push before.

use std::time::Duration;

use gitops_api::Application;
use gitops_api::constants::annotation;
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::progress::Progress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cluster::connection::Connection;
use crate::cluster::failure;
use crate::cluster::follow::{Followed, Verdict, follow_step};

/// How a look was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The agent looked.
    Yes,
    /// The user may not ask for one.
    Forbidden,
    /// It was asked for, and the agent has not answered in time.
    Silent,
    /// The user stopped waiting.
    Interrupted,
}

/// Asks the agent to look at an Application now. `kind` is `normal` or `hard`.
///
/// # Errors
/// When the cluster does not answer, or refuses for another reason than missing rights.
pub async fn ask(
    application: &Application,
    kind: &str,
    connection: &Connection,
) -> Result<bool, CommandError> {
    let metadata = &application.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation::REFRESH: kind}}}));
    let params = PatchParams::default();
    match connection.wait(api.patch(name, &params, &patch)).await? {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
        Err(error) => Err(failure::of(
            error,
            &format!("ask for a refresh of Application {name}"),
            &connection.endpoint,
        )),
    }
}

/// Whether a look was asked for that the agent has not answered.
pub fn is_asked(application: &Application) -> bool {
    let annotations = application.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(annotation::REFRESH))
}

/// Waits until the agent has looked, quietly.
///
/// # Errors
/// When the Application cannot be watched.
pub async fn done(
    application: &Application,
    timeout: Duration,
    connection: &Connection,
    progress: &mut Progress,
) -> Result<Looked, CommandError> {
    let metadata = &application.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let followed = Followed {
        namespace,
        name,
        timeout: None,
    };
    let looking = follow_step(connection, &followed, progress, |seen, _| {
        if is_asked(seen) {
            Verdict::Wait(format!("{name}: looking at Git"))
        } else {
            Verdict::Pause
        }
    });
    match tokio::time::timeout(timeout, Box::pin(looking)).await {
        Err(_) => Ok(Looked::Silent),
        Ok(Ok(Some(ExitStatus::Interrupted))) => Ok(Looked::Interrupted),
        Ok(Ok(_)) => Ok(Looked::Yes),
        Ok(Err(error)) => Err(error),
    }
}
