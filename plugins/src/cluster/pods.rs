//! Reads the Pods, ReplicaSets and Jobs beneath an application: one list of each a namespace, all
//! at the same time. What may not be read is noted, never an error.

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures::future::join_all;
use gitops_api::constants::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use gitops_api::{Application, ApplicationDestination, ResourceStatus};
use gitops_kit::text;
use gitops_views::pods::tree::Workloads;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ListParams};
use kube::{Error, Resource};
use serde::de::DeserializeOwned;

use crate::cluster::connection::Connection;

/// Objects asked for at a time.
const PAGE: u32 = 500;

/// What to read in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    namespace: String,
    replica_sets: bool,
    jobs: bool,
}

/// Reads what is beneath the applications.
pub async fn workloads(applications: &[Application], connection: &Connection) -> Workloads {
    let mut workloads = Workloads::default();
    let mut resources: Vec<&ResourceStatus> = Vec::new();
    for application in applications {
        let found: Vec<&ResourceStatus> = application
            .status
            .iter()
            .flat_map(|status| &status.resources)
            .collect();
        if is_here(&application.spec.destination) {
            resources.extend(found);
        } else if found.iter().any(|resource| may_own_pods(resource)) {
            let name = application.metadata.name.as_deref().unwrap_or_default();
            workloads.unread.push(text::one_line(&format!(
                "Pods of {name} are in another cluster"
            )));
        }
    }
    add(&resources, &mut workloads, connection).await;
    workloads
}

/// Reads what is beneath some objects of this cluster.
pub async fn beneath(resources: &[&ResourceStatus], connection: &Connection) -> Workloads {
    let mut workloads = Workloads::default();
    add(resources, &mut workloads, connection).await;
    workloads
}

async fn add(resources: &[&ResourceStatus], workloads: &mut Workloads, connection: &Connection) {
    let needs = needs(resources);
    let answers = join_all(needs.iter().map(|need| read(need, connection))).await;
    for (need, answer) in needs.iter().zip(answers) {
        let (pods, replica_sets, jobs) = answer;
        take(
            pods,
            &mut workloads.pods,
            &mut workloads.unread,
            "Pods",
            need,
        );
        take(
            replica_sets,
            &mut workloads.replica_sets,
            &mut workloads.unread,
            "ReplicaSets",
            need,
        );
        take(
            jobs,
            &mut workloads.jobs,
            &mut workloads.unread,
            "Jobs",
            need,
        );
    }
}

type Answer<K> = Result<Vec<K>, String>;

async fn read(
    need: &Need,
    connection: &Connection,
) -> (
    Answer<k8s_openapi::api::core::v1::Pod>,
    Answer<k8s_openapi::api::apps::v1::ReplicaSet>,
    Answer<k8s_openapi::api::batch::v1::Job>,
) {
    tokio::join!(
        list(&need.namespace, true, connection),
        list(&need.namespace, need.replica_sets, connection),
        list(&need.namespace, need.jobs, connection),
    )
}

/// All objects of a kind in a namespace.
pub async fn list<K>(namespace: &str, wanted: bool, connection: &Connection) -> Answer<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let mut found = Vec::new();
    if !wanted {
        return Ok(found);
    }
    let api: Api<K> = Api::namespaced(connection.client.clone(), namespace);
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match connection.wait(api.list(&params)).await {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => return Err(in_short(&error)),
            Err(error) => return Err(error.message),
        };
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

/// Why a list could not be read, in a few words.
pub fn in_short(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 403 => "you may not list them".into(),
        Error::Api(status) => text::one_line(&status.message),
        other => text::one_line(&other.to_string()),
    }
}

fn take<K>(
    answer: Answer<K>,
    into: &mut Vec<K>,
    unread: &mut Vec<String>,
    what: &str,
    need: &Need,
) {
    match answer {
        Ok(found) => into.extend(found),
        Err(why) => unread.push(format!("{what} in namespace {}: {why}", need.namespace)),
    }
}

/// Which namespaces to look at: only those with something that may own Pods.
fn needs(resources: &[&ResourceStatus]) -> Vec<Need> {
    let owners: Vec<&&ResourceStatus> = resources
        .iter()
        .filter(|resource| may_own_pods(resource) && !resource.namespace.is_empty())
        .collect();
    let namespaces: BTreeSet<&str> = owners
        .iter()
        .map(|resource| resource.namespace.as_str())
        .collect();
    namespaces
        .into_iter()
        .map(|namespace| {
            let here = || {
                owners
                    .iter()
                    .filter(|resource| resource.namespace == namespace)
            };
            Need {
                namespace: namespace.to_owned(),
                replica_sets: here().any(|resource| {
                    !matches!(
                        (resource.group.as_str(), resource.kind.as_str()),
                        ("apps", "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("" | "batch", _)
                    )
                }),
                jobs: here()
                    .any(|resource| resource.group == "batch" && resource.kind == "CronJob"),
            }
        })
        .collect()
}

/// Workloads of Kubernetes, and custom resources: their operators often make Pods.
fn may_own_pods(resource: &ResourceStatus) -> bool {
    match resource.group.as_str() {
        "" => matches!(resource.kind.as_str(), "Pod" | "ReplicationController"),
        "apps" | "batch" => resource.kind != "ControllerRevision",
        "argoproj.io" => resource.kind != "Application" && resource.kind != "AppProject",
        group => group.contains('.') && !group.ends_with(".k8s.io"),
    }
}

/// Whether the application delivers to the cluster it lives in.
fn is_here(destination: &ApplicationDestination) -> bool {
    if destination.name.is_empty() {
        destination.server.trim_end_matches('/') == IN_CLUSTER_SERVER
    } else {
        destination.name == IN_CLUSTER_NAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, kind: &str, namespace: &str) -> ResourceStatus {
        ResourceStatus {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: "x".into(),
            ..ResourceStatus::default()
        }
    }

    #[test]
    fn only_namespaces_with_workloads_are_asked_and_only_for_what_may_be_there() {
        let resources = [
            resource("", "ConfigMap", "quiet"),
            resource("networking.k8s.io", "Ingress", "quiet"),
            resource("apps", "Deployment", "web"),
            resource("apps", "StatefulSet", "db"),
            resource("batch", "CronJob", "jobs"),
            resource("postgresql.cnpg.io", "Cluster", "pg"),
            resource("", "Namespace", ""),
        ];
        let all: Vec<&ResourceStatus> = resources.iter().collect();
        let found: Vec<(String, bool, bool)> = needs(&all)
            .into_iter()
            .map(|need| (need.namespace, need.replica_sets, need.jobs))
            .collect();
        let expected = [
            ("db", false, false),
            ("jobs", false, true),
            ("pg", true, false),
            ("web", true, false),
        ];
        let expected: Vec<(String, bool, bool)> = expected
            .iter()
            .map(|(namespace, sets, jobs)| ((*namespace).to_owned(), *sets, *jobs))
            .collect();
        assert_eq!(found, expected);
    }
}
