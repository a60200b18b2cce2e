//! What is installed: this program, the agent's Deployment, the definitions; and whether their
//! versions go together.

use gitops_api::constants::{GROUP, LEASE_NAME, VERSION};
use gitops_api::preview;
use gitops_kit::text;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};

use crate::cluster::application;
use crate::cluster::connection::{Connection, ConnectionArgs};

/// Version of this program.
pub const CLIENT: &str = env!("CARGO_PKG_VERSION");
/// Name of the agent's Deployment, and of its Lease.
pub const DEPLOYMENT: &str = LEASE_NAME;
/// Kinds the agent and this program need, by API version.
pub const KINDS: [(&str, &str, &[&str]); 2] = [
    (
        GROUP,
        VERSION,
        &["Application", "ApplicationSet", "AppProject"],
    ),
    (preview::GROUP, preview::VERSION, &["Preview"]),
];

/// The agent's Deployment, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Namespace of the Deployment.
    pub namespace: String,
    /// Image of the agent.
    pub image: String,
    /// Version, when the image's tag says it.
    pub version: Option<String>,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that are wanted.
    pub wanted: i32,
}

impl Agent {
    /// Reads a Deployment.
    pub fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let containers = spec
            .and_then(|spec| spec.template.spec.as_ref())
            .map_or(&[][..], |spec| &spec.containers);
        let image = containers
            .iter()
            .find(|container| container.name == "agent")
            .or(containers.first())
            .and_then(|container| container.image.clone())
            .unwrap_or_default();
        Self {
            namespace: deployment.metadata.namespace.clone().unwrap_or_default(),
            version: version_of(&image),
            image: text::one_line(&image),
            ready: deployment
                .status
                .as_ref()
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0),
            wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        }
    }

    /// As part of a document.
    pub fn document(&self) -> Value {
        json!({
            "namespace": self.namespace,
            "image": self.image,
            "version": self.version,
            "ready": self.ready,
            "wanted": self.wanted,
        })
    }
}

/// The version a tag says: `ghcr.io/x/agent:v1.2.3@sha256:…` is `1.2.3`.
fn version_of(image: &str) -> Option<String> {
    let image = image.split('@').next()?;
    let (_, tag) = image.rsplit_once(':')?;
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let is_version = version.split('.').count() >= 3
        && version.starts_with(|letter: char| letter.is_ascii_digit());
    is_version.then(|| version.to_owned())
}

/// How two versions go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// They are the same.
    None,
    /// They differ and are meant to work together: at most one minor version apart.
    Supported,
    /// They are further apart.
    TooFar,
    /// One of them is not known.
    Unknown,
}

/// Compares two versions.
pub fn skew(client: &str, agent: Option<&str>) -> Skew {
    let Some(agent) = agent else {
        return Skew::Unknown;
    };
    if client == agent {
        return Skew::None;
    }
    let parts = |version: &str| {
        let mut numbers = version.split('.').map(|part| part.parse::<i64>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    match (parts(client), parts(agent)) {
        (Some((one, minor)), Some((other, other_minor))) => {
            if one == other && (minor - other_minor).abs() <= 1 {
                Skew::Supported
            } else {
                Skew::TooFar
            }
        }
        _ => Skew::Unknown,
    }
}

/// What is found of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its Deployment.
    Agent(Agent),
    /// There is none in these namespaces.
    None(Vec<String>),
    /// It may not be read, or could not be.
    Unknown(String),
}

/// Selects the Pods of the agent.
pub const AGENT_PODS: &str = "app.kubernetes.io/name=gitops-agent";

/// Looks for the agent's Deployment where Applications are looked for.
pub async fn find_agent(flags: &ConnectionArgs, connection: &Connection) -> Found {
    let places = application::places(
        flags.namespace.as_deref(),
        connection.context_namespace.as_deref(),
    );
    let mut refused = None;
    for namespace in &places {
        let api: Api<Deployment> = Api::namespaced(connection.client.clone(), namespace);
        match connection.wait(api.get_opt(DEPLOYMENT)).await {
            Ok(Ok(Some(deployment))) => return Found::Agent(Agent::of(&deployment)),
            Ok(Ok(None)) => {}
            Ok(Err(kube::Error::Api(status))) => refused = Some(status.message),
            Ok(Err(error)) => refused = Some(error.to_string()),
            Err(error) => refused = Some(error.message),
        }
    }
    match refused {
        Some(message) => Found::Unknown(text::one_line(&message)),
        None => Found::None(places),
    }
}

/// Kinds of [`KINDS`] the cluster serves, and those it does not, as `Application.argoproj.io`.
pub async fn kinds(connection: &Connection) -> Result<(Vec<String>, Vec<String>), kube::Error> {
    let mut served = Vec::new();
    let mut missing = Vec::new();
    for (group, version, kinds) in KINDS {
        let place = format!("{group}/{version}");
        let request = connection.client.list_api_group_resources(&place);
        let found = match connection.wait(request).await {
            Ok(Ok(found)) => found.resources,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Vec::new(),
            Ok(Err(error)) => return Err(error),
            // Said by whoever asks for something first.
            Err(_) => Vec::new(),
        };
        for kind in kinds {
            let name = format!("{kind}.{group}/{version}");
            if found.iter().any(|resource| resource.kind == *kind) {
                served.push(name);
            } else {
                missing.push(name);
            }
        }
    }
    Ok((served, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_say_their_version() {
        let table = [
            ("ghcr.io/x/agent:v1.2.3", Some("1.2.3")),
            ("localhost:5000/agent:0.1.0@sha256:ab", Some("0.1.0")),
            ("ghcr.io/x/agent:v1.2.3-rc.1", Some("1.2.3-rc.1")),
            ("localhost:5000/agent", None),
            ("agent:latest", None),
            ("agent", None),
        ];
        for (image, expected) in table {
            assert_eq!(version_of(image).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn one_minor_version_apart_is_supported() {
        let table = [
            ("0.1.0", Some("0.1.0"), Skew::None),
            ("0.1.0", Some("0.2.7"), Skew::Supported),
            ("0.3.0", Some("0.1.0"), Skew::TooFar),
            ("1.0.0", Some("0.9.0"), Skew::TooFar),
            ("0.1.0", Some("main"), Skew::Unknown),
            ("0.1.0", None, Skew::Unknown),
        ];
        for (client, agent, expected) in table {
            assert_eq!(skew(client, agent), expected, "{client} {agent:?}");
        }
    }
}
