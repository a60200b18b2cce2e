//! Finds the credentials with which the agent will read the repository, and tries them as far as
//! that can be done from here. Writes nothing but a key in a temporary directory.

use gitops_forge::DeployKey;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::progress::Progress;
use serde_json::Value;
use tempfile::TempDir;

use crate::commands::bootstrap::access::Access;
use crate::commands::bootstrap::cluster::Cluster;
use crate::commands::bootstrap::options::BootstrapOptions;
use crate::commands::bootstrap::{access, secret};

/// Credentials of the agent.
pub struct Credentials {
    /// Which.
    pub access: Access,
    /// The Secret to write.
    pub secret: Option<Value>,
    /// Key that the forge has to learn about.
    pub deploy_key: Option<DeployKey>,
}

/// How the agent will read the repository, tried as far as it can be tried from here.
pub async fn find(
    options: &BootstrapOptions,
    url: &str,
    cluster: Cluster<'_>,
    namespace_exists: bool,
    progress: &mut Progress,
) -> Result<Credentials, CommandError> {
    progress.begin("trying how the agent will read the repository");
    let secrets = if namespace_exists {
        cluster.repository_secrets(&options.namespace).await?
    } else {
        Vec::new()
    };
    let existing = secret::existing(url, &secrets);
    let open = !access::is_ssh(url) && access::try_reading(url, &Access::Open, None).await.is_ok();
    let name = existing.as_ref().map(|(name, _)| name.as_str());
    let access = access::decide(url, &options.offer, name, open)?;
    let directory = TempDir::new().map_err(|error| {
        CommandError::new(
            CommandErrorKind::Io,
            format!("cannot make a temporary directory: {error}"),
        )
    })?;
    let title = format!(
        "gitops-agent {}/{}",
        cluster.connection.endpoint.context, options.namespace
    );
    let private = match (&access, existing) {
        (Access::NewKey, _) => Some(secret::make_key(directory.path(), &title).await?),
        (Access::Key(key), _) => Some(key.clone()),
        (Access::Existing(_), Some((_, key))) => key,
        _ => None,
    };
    let mut deploy_key = None;
    match (&access, &private) {
        (Access::Token { .. }, _) => {
            access::try_reading(url, &access, None)
                .await
                .map_err(|why| cannot_read("the token given", &why))?;
        }
        (_, Some(private)) => {
            let public_key = secret::public_key(directory.path(), private).await?;
            let key = directory.path().join("key");
            let new = access == Access::NewKey;
            if new || access::try_reading(url, &access, Some(&key)).await.is_err() {
                if matches!(access, Access::Key(_)) && !options.offer.deploy_key {
                    return Err(cannot_read("the ssh key given", "the server refused it")
                        .hint("with --deploy-key it is registered as a deploy key"));
                }
                deploy_key = Some(DeployKey { title, public_key });
            }
        }
        _ => {}
    }
    progress.done(&format!("agent reads with: {}", access.shown()));
    let secret = secret::secret(url, &options.namespace, &access, private.as_deref());
    Ok(Credentials {
        access,
        secret,
        deploy_key,
    })
}

fn cannot_read(what: &str, why: &str) -> CommandError {
    CommandError::new(
        CommandErrorKind::Connection,
        format!("the repository cannot be read with {what}: {why}"),
    )
}
