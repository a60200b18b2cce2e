//! The key of the repository's ssh server, which the agent has to know.

use gitops_api::constants::config_map;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use serde_json::{Value, json};

use crate::commands::bootstrap::cluster::Cluster;
use crate::commands::bootstrap::manifests::Installation;
use crate::commands::bootstrap::secret;

/// Lines of known_hosts to add for a server; empty when it is known.
pub async fn lines(
    host: &str,
    installation: &Installation,
    earlier: &[Value],
    cluster: Cluster<'_>,
    namespace: &str,
) -> Result<String, CommandError> {
    let text = |objects: &[Value]| {
        objects
            .iter()
            .find_map(|object| object["data"]["ssh_known_hosts"].as_str())
            .map(str::to_owned)
    };
    match text(&installation.objects) {
        Some(own) if secret::knows(&own, host) => Ok(String::new()),
        Some(_) => {
            // What Git has is kept, or each user's list would make a commit of its own.
            if let Some(lines) = text(earlier).map(|known| naming(&known, host))
                && !lines.is_empty()
            {
                return Ok(lines);
            }
            secret::known_to_person(host)
                .await
                .ok_or_else(|| unknown(host))
        }
        // The list is somebody else's and stays as it is.
        None => {
            let list = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": config_map::SSH_KNOWN_HOSTS, "namespace": namespace}});
            let live = cluster.live(&list).await?.unwrap_or_default();
            let known = live["data"]["ssh_known_hosts"].as_str().unwrap_or_default();
            if secret::knows(known, host) {
                Ok(String::new())
            } else {
                Err(unknown(host).hint(format!(
                    "and add the key to the ConfigMap {} in {namespace}",
                    config_map::SSH_KNOWN_HOSTS
                )))
            }
        }
    }
}

fn naming(known: &str, host: &str) -> String {
    known
        .lines()
        .filter(|line| secret::knows(line, host))
        .collect::<Vec<_>>()
        .join("\n")
}

fn unknown(host: &str) -> CommandError {
    CommandError::new(
        CommandErrorKind::Refused,
        format!("the key of the ssh server {host} is not known: the agent would refuse to connect"),
    )
    .hint(format!(
        "connect once by hand and compare its key with what its owner publishes: ssh -T git@{}",
        host.trim_matches(['[', ']'])
            .split("]:")
            .next()
            .unwrap_or(host)
    ))
}
