//! What is read around an application or an object: the agent's Lease, Pods, claims, events, and
//! the live objects that do not work. What may not be read is noted.

use std::collections::BTreeSet;

use futures::future::join_all;
use gitops_api::constants::{DEFAULT_NAMESPACE, LEASE_NAME};
use gitops_api::{Application, HealthStatusCode, ResourceStatus, SyncStatusCode};
use gitops_views::explain::ownership::group_version;
use gitops_views::pods::tree::Workloads;
use gitops_views::status::agent::Agent;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;

use crate::cluster::connection::Connection;
use crate::cluster::pods;
use crate::commands::explain::kind;
use crate::commands::explain::subject::Target;

/// Objects that are read one by one.
const OBJECTS: usize = 10;
/// Namespaces whose events are read.
const NAMESPACES: usize = 10;
/// Events of a kind read in one namespace.
const EVENTS: u32 = 500;

/// What was read.
pub(super) struct Around {
    pub(super) agent: Agent,
    pub(super) agent_namespace: String,
    pub(super) workloads: Workloads,
    pub(super) claims: Vec<PersistentVolumeClaim>,
    pub(super) live: Vec<Value>,
    pub(super) events: Vec<Event>,
}

/// Reads what is around.
pub(super) async fn read(target: &Target, connection: &Connection) -> Around {
    let resources = resources(target);
    let unwell: Vec<&ResourceStatus> = resources
        .iter()
        .filter(|resource| is_unwell(resource) || target.subject.is_some())
        .collect();
    let deleting = target
        .application
        .as_ref()
        .is_some_and(|application| application.metadata.deletion_timestamp.is_some());
    let looked_at: Vec<&ResourceStatus> = resources
        .iter()
        .filter(|resource| {
            deleting || (is_unwell(resource) && !is_missing(resource)) || target.subject.is_some()
        })
        .filter(|resource| !(resource.group.is_empty() && resource.kind == "Secret"))
        .take(OBJECTS)
        .collect();
    let ((agent, agent_namespace), mut workloads, live, (events, unread)) = tokio::join!(
        agent(target.application.as_ref(), connection),
        workloads(target, &unwell, connection),
        objects(&looked_at, connection),
        events(&resources, connection),
    );
    workloads.unread.extend(unread);
    let claims = claims(&mut workloads, connection).await;
    Around {
        agent,
        agent_namespace,
        workloads,
        claims,
        live,
        events,
    }
}

/// The objects in question: those of the application, or the one that was asked about.
fn resources(target: &Target) -> Vec<ResourceStatus> {
    let all = target
        .application
        .as_ref()
        .and_then(|application| application.status.as_ref())
        .map_or(&[][..], |status| &status.resources);
    let Some(root) = target
        .subject
        .as_ref()
        .and_then(|subject| subject.owners.last())
    else {
        return all.to_vec();
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, version) = group_version(root);
    vec![ResourceStatus {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: text(&root["kind"]),
        name: text(&root["metadata"]["name"]),
        namespace: text(&root["metadata"]["namespace"]),
        ..ResourceStatus::default()
    }]
}

fn is_unwell(resource: &ResourceStatus) -> bool {
    resource.health.as_ref().is_some_and(|health| {
        !matches!(
            health.status,
            HealthStatusCode::Healthy | HealthStatusCode::Suspended
        )
    }) || (resource.requires_pruning
        && !resource.hook
        && resource.status == Some(SyncStatusCode::OutOfSync))
}

fn is_missing(resource: &ResourceStatus) -> bool {
    resource
        .health
        .as_ref()
        .is_some_and(|health| health.status == HealthStatusCode::Missing)
}

/// Where the agent is, and whether it lives.
async fn agent(application: Option<&Application>, connection: &Connection) -> (Agent, String) {
    let controller = application
        .and_then(|application| application.status.as_ref())
        .map(|status| status.controller_namespace.as_str())
        .filter(|namespace| !namespace.is_empty());
    let own = application.and_then(|application| application.metadata.namespace.as_deref());
    let places: Vec<&str> = match controller {
        Some(namespace) => vec![namespace],
        None => own
            .into_iter()
            .chain([DEFAULT_NAMESPACE])
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
    };
    let answers = join_all(places.iter().map(|namespace| {
        let leases: Api<Lease> = Api::namespaced(connection.client.clone(), namespace);
        async move { connection.wait(leases.get_opt(LEASE_NAME)).await }
    }))
    .await;
    let mut found = (
        Agent::Absent,
        controller.or(own).unwrap_or(DEFAULT_NAMESPACE).to_owned(),
    );
    for (namespace, answer) in places.iter().zip(answers) {
        match answer {
            Ok(Ok(Some(lease))) => {
                return (Agent::of(&lease, Timestamp::now()), (*namespace).to_owned());
            }
            Ok(Ok(None)) => {}
            // Not everybody may read Leases.
            Ok(Err(_)) | Err(_) => found.0 = Agent::Unknown,
        }
    }
    found
}

async fn workloads(
    target: &Target,
    unwell: &[&ResourceStatus],
    connection: &Connection,
) -> Workloads {
    if unwell.is_empty() {
        return Workloads::default();
    }
    match (&target.application, &target.subject) {
        (Some(application), None) => {
            pods::workloads(std::slice::from_ref(application), connection).await
        }
        _ => pods::beneath(unwell, connection).await,
    }
}

async fn objects(resources: &[&ResourceStatus], connection: &Connection) -> Vec<Value> {
    let asked = resources.iter().map(|resource| async move {
        let version = if resource.group.is_empty() {
            resource.version.clone()
        } else {
            format!("{}/{}", resource.group, resource.version)
        };
        let kind = kind::resource(&version, &resource.kind);
        let client = connection.client.clone();
        let api: Api<DynamicObject> = if resource.namespace.is_empty() {
            Api::all_with(client, &kind)
        } else {
            Api::namespaced_with(client, &resource.namespace, &kind)
        };
        let object = connection
            .wait(api.get_opt(&resource.name))
            .await
            .ok()?
            .ok()??;
        let mut object = serde_json::to_value(object).ok()?;
        object["kind"] = resource.kind.clone().into();
        Some(object)
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Warnings, and what self-heal did, in the namespaces of the objects.
async fn events(
    resources: &[ResourceStatus],
    connection: &Connection,
) -> (Vec<Event>, Vec<String>) {
    let namespaces: BTreeSet<&str> = resources
        .iter()
        .map(|resource| resource.namespace.as_str())
        .filter(|namespace| !namespace.is_empty())
        .take(NAMESPACES)
        .collect();
    let asked = namespaces.iter().flat_map(|namespace| {
        ["type=Warning", "reason=SelfHealed"].map(|fields| async move {
            let api: Api<Event> = Api::namespaced(connection.client.clone(), namespace);
            let params = ListParams::default().fields(fields).limit(EVENTS);
            match connection.wait(api.list(&params)).await {
                Ok(Ok(list)) => Ok(list.items),
                Ok(Err(error)) => Err(format!(
                    "Events in namespace {namespace}: {}",
                    pods::in_short(&error)
                )),
                Err(error) => Err(format!(
                    "Events in namespace {namespace}: {}",
                    error.message
                )),
            }
        })
    });
    let mut found = Vec::new();
    let mut unread = BTreeSet::new();
    for answer in join_all(asked).await {
        match answer {
            Ok(events) => found.extend(events),
            Err(why) => {
                unread.insert(why);
            }
        }
    }
    (found, unread.into_iter().collect())
}

/// The claims Pods without a node may be waiting for.
async fn claims(workloads: &mut Workloads, connection: &Connection) -> Vec<PersistentVolumeClaim> {
    let waits = |pod: &k8s_openapi::api::core::v1::Pod| {
        let spec = pod.spec.as_ref()?;
        let volumes = spec.volumes.as_deref().unwrap_or_default();
        let claims = volumes
            .iter()
            .any(|volume| volume.persistent_volume_claim.is_some());
        let pending = pod.status.as_ref()?.phase.as_deref() == Some("Pending");
        (claims && pending)
            .then(|| pod.metadata.namespace.clone())
            .flatten()
    };
    let namespaces: BTreeSet<String> = workloads.pods.iter().filter_map(waits).collect();
    let mut found = Vec::new();
    for namespace in namespaces {
        match pods::list(&namespace, true, connection).await {
            Ok(claims) => found.extend(claims),
            Err(why) => workloads.unread.push(format!(
                "PersistentVolumeClaims in namespace {namespace}: {why}"
            )),
        }
    }
    found
}
