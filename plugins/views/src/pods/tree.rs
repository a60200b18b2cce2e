//! What stands beneath an application's object: ReplicaSets, Jobs and Pods, by their owners.
//!
//! Pods that work are summed up; those that do not are named one by one, with the reason.

use std::collections::BTreeMap;

use gitops_api::ResourceStatus;
use gitops_kit::paint::Style;
use gitops_kit::text;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::pods::problem;
use crate::pods::problem::Problem;

/// Pods with a problem that are named one by one beneath one owner.
const NAMED: usize = 5;
/// Jobs of a CronJob that are shown.
const JOBS: usize = 3;
/// Seconds a restart is worth mentioning for.
const RECENT: i64 = 3_600;

/// What was read of the namespaces an application has workloads in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workloads {
    /// Pods.
    pub pods: Vec<Pod>,
    /// ReplicaSets: they stand between Deployments and Pods.
    pub replica_sets: Vec<ReplicaSet>,
    /// Jobs: they stand between CronJobs and Pods.
    pub jobs: Vec<Job>,
    /// What could not be read and why, one line each.
    pub unread: Vec<String>,
}

/// One line of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `ReplicaSet/web-6d9f`, `Pod/web-6d9f-x2`, `Pod x5`.
    pub name: String,
    /// In a word.
    pub state: String,
    /// What the word means.
    pub style: Style,
    /// More about it; may be empty.
    pub note: String,
    /// What it owns.
    pub children: Vec<Self>,
}

#[derive(Clone, Copy, Debug)]
enum Child<'a> {
    ReplicaSet(&'a ReplicaSet),
    Job(&'a Job),
    Pod(&'a Pod),
}

/// Namespace, group, kind and name of an owner.
type Owner<'a> = (&'a str, &'a str, &'a str, &'a str);

/// The objects by their owners.
#[derive(Clone, Debug, Default)]
pub struct Tree<'a> {
    children: BTreeMap<Owner<'a>, Vec<Child<'a>>>,
    pods: BTreeMap<(&'a str, &'a str), &'a Pod>,
}

impl<'a> Tree<'a> {
    /// Sorts what was read.
    pub fn of(workloads: &'a Workloads) -> Self {
        let mut tree = Self::default();
        let replica_sets = workloads.replica_sets.iter();
        for (metadata, child) in replica_sets
            .map(|set| (&set.metadata, Child::ReplicaSet(set)))
            .chain(
                workloads
                    .jobs
                    .iter()
                    .map(|job| (&job.metadata, Child::Job(job))),
            )
            .chain(
                workloads
                    .pods
                    .iter()
                    .map(|pod| (&pod.metadata, Child::Pod(pod))),
            )
        {
            if let Some(owner) = owner(metadata) {
                tree.children.entry(owner).or_default().push(child);
            }
        }
        for pod in &workloads.pods {
            let (namespace, name) = identity(&pod.metadata);
            tree.pods.insert((namespace, name), pod);
        }
        tree
    }

    /// What stands beneath an object of the application.
    pub fn beneath(&self, resource: &ResourceStatus, now: Timestamp) -> Vec<Node> {
        let namespace = resource.namespace.as_str();
        if resource.kind == "Pod" && resource.group.is_empty() {
            let pod = self.pods.get(&(namespace, resource.name.as_str()));
            return pod.and_then(|pod| itself(pod, now)).into_iter().collect();
        }
        self.nodes(
            (namespace, &resource.group, &resource.kind, &resource.name),
            now,
        )
    }

    /// The Pods beneath an object, however deep.
    pub fn pods_of(&self, resource: &ResourceStatus) -> Vec<&'a Pod> {
        let namespace = resource.namespace.as_str();
        if resource.kind == "Pod" && resource.group.is_empty() {
            let pod = self.pods.get(&(namespace, resource.name.as_str()));
            return pod.copied().into_iter().collect();
        }
        let mut found = Vec::new();
        self.collect(
            (namespace, &resource.group, &resource.kind, &resource.name),
            &mut found,
        );
        found
    }

    /// The ReplicaSets and Jobs beneath an object that want Pods: `Kind/name`.
    pub fn makers_of(&self, resource: &ResourceStatus) -> Vec<(&'static str, &'a str)> {
        let owner = (
            resource.namespace.as_str(),
            resource.group.as_str(),
            resource.kind.as_str(),
            resource.name.as_str(),
        );
        let children = self.children.get(&owner).into_iter().flatten();
        children
            .filter_map(|child| match child {
                Child::ReplicaSet(set) if wanted(set) > 0 => {
                    Some(("ReplicaSet", identity(&set.metadata).1))
                }
                Child::Job(job) => Some(("Job", identity(&job.metadata).1)),
                Child::ReplicaSet(_) | Child::Pod(_) => None,
            })
            .collect()
    }

    fn collect(&self, owner: Owner<'_>, found: &mut Vec<&'a Pod>) {
        for child in self.children.get(&owner).into_iter().flatten() {
            match child {
                Child::Pod(pod) => found.push(pod),
                Child::ReplicaSet(set) => {
                    let (namespace, name) = identity(&set.metadata);
                    self.collect((namespace, "apps", "ReplicaSet", name), found);
                }
                Child::Job(job) => {
                    let (namespace, name) = identity(&job.metadata);
                    self.collect((namespace, "batch", "Job", name), found);
                }
            }
        }
    }

    fn nodes(&self, owner: Owner<'_>, now: Timestamp) -> Vec<Node> {
        let Some(children) = self.children.get(&owner) else {
            return Vec::new();
        };
        let mut nodes = self.replica_sets(children, now);
        nodes.extend(self.jobs(children, now));
        let pods: Vec<&Pod> = children
            .iter()
            .filter_map(|child| match child {
                Child::Pod(pod) => Some(*pod),
                Child::ReplicaSet(_) | Child::Job(_) => None,
            })
            .collect();
        nodes.extend(summed_up(&pods, now));
        nodes
    }

    /// Newest first; those that want nothing and have nothing are history.
    fn replica_sets(&self, children: &[Child<'_>], now: Timestamp) -> Vec<Node> {
        let mut sets: Vec<&ReplicaSet> = children
            .iter()
            .filter_map(|child| match child {
                Child::ReplicaSet(set) => Some(*set),
                Child::Job(_) | Child::Pod(_) => None,
            })
            .collect();
        sets.sort_by_key(|set| std::cmp::Reverse(created(&set.metadata)));
        sets.into_iter()
            .filter_map(|set| {
                let (namespace, name) = identity(&set.metadata);
                let children = self.nodes((namespace, "apps", "ReplicaSet", name), now);
                let status = set.status.as_ref();
                let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
                let wanted = wanted(set);
                if wanted == 0 && children.is_empty() {
                    return None;
                }
                let refused = status
                    .and_then(|status| status.conditions.as_deref())
                    .unwrap_or_default()
                    .iter()
                    .find(|found| found.type_ == "ReplicaFailure" && found.status == "True")
                    .and_then(|found| found.message.as_deref());
                Some(Node {
                    name: format!("ReplicaSet/{}", text::one_line(name)),
                    state: format!("{ready}/{wanted}"),
                    style: match refused {
                        Some(_) => Style::Bad,
                        None if ready < wanted => Style::Warn,
                        None => Style::Good,
                    },
                    note: text::one_line(refused.unwrap_or_default()),
                    children,
                })
            })
            .collect()
    }

    fn jobs(&self, children: &[Child<'_>], now: Timestamp) -> Vec<Node> {
        let mut jobs: Vec<&Job> = children
            .iter()
            .filter_map(|child| match child {
                Child::Job(job) => Some(*job),
                Child::ReplicaSet(_) | Child::Pod(_) => None,
            })
            .collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(created(&job.metadata)));
        jobs.into_iter()
            .take(JOBS)
            .map(|job| {
                let (namespace, name) = identity(&job.metadata);
                let (state, style, note) = job_state(job);
                Node {
                    name: format!("Job/{}", text::one_line(name)),
                    state: state.into(),
                    style,
                    note,
                    children: self.nodes((namespace, "batch", "Job", name), now),
                }
            })
            .collect()
    }
}

fn job_state(job: &Job) -> (&'static str, Style, String) {
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let is = |name: &str| {
        conditions
            .iter()
            .find(|found| found.type_ == name && found.status == "True")
    };
    if let Some(failed) = is("Failed") {
        let message = failed.message.as_deref().unwrap_or_default();
        return ("Failed", Style::Bad, text::one_line(message));
    }
    if is("Complete").is_some() {
        return ("Completed", Style::Dim, String::new());
    }
    if is("Suspended").is_some() {
        return ("Suspended", Style::Dim, String::new());
    }
    ("Running", Style::Warn, String::new())
}

/// Those with a problem one by one, the others by what they do.
fn summed_up(pods: &[&Pod], now: Timestamp) -> Vec<Node> {
    let mut broken: Vec<(&Pod, Problem)> = Vec::new();
    let mut others: BTreeMap<&'static str, Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        match problem::of(pod, now) {
            Some(problem) => broken.push((pod, problem)),
            None => others.entry(problem::state(pod).0).or_default().push(pod),
        }
    }
    broken.sort_by(|(a, first), (b, second)| {
        (first.fault, &a.metadata.name).cmp(&(second.fault, &b.metadata.name))
    });
    let mut nodes: Vec<Node> = broken
        .iter()
        .take(NAMED)
        .map(|(pod, problem)| named(pod, problem))
        .collect();
    if let Some(rest) = broken.get(NAMED..).filter(|rest| !rest.is_empty()) {
        let mut states: Vec<&str> = rest
            .iter()
            .map(|(_, problem)| problem.state.as_str())
            .collect();
        states.dedup();
        nodes.push(Node {
            name: format!("Pod x{}", rest.len()),
            state: states.join(", "),
            style: Style::Bad,
            note: String::new(),
            children: Vec::new(),
        });
    }
    nodes.extend(others.into_values().map(|group| summary(&group, now)));
    nodes
}

fn named(pod: &Pod, problem: &Problem) -> Node {
    Node {
        name: pod_name(pod),
        state: problem.state.clone(),
        style: Style::Bad,
        note: problem.detail.clone(),
        children: Vec::new(),
    }
}

/// What is wrong with a Pod that is an object of the application: its name stands above.
fn itself(pod: &Pod, now: Timestamp) -> Option<Node> {
    let problem = problem::of(pod, now)?;
    Some(Node {
        name: problem.state.clone(),
        state: String::new(),
        ..named(pod, &problem)
    })
}

/// Pods that do the same.
fn summary(group: &[&Pod], now: Timestamp) -> Node {
    let (state, style) = group
        .first()
        .map_or(("", Style::Plain), |pod| problem::state(pod));
    let restarted: Vec<_> = group
        .iter()
        .filter_map(|pod| problem::last_failure(pod))
        .filter(|ended| {
            ended
                .finished_at
                .as_ref()
                .is_some_and(|time| now.as_second() - time.0.as_second() < RECENT)
        })
        .collect();
    let newest = restarted
        .iter()
        .max_by_key(|ended| ended.finished_at.as_ref().map(|time| time.0));
    let note = newest.map_or_else(String::new, |ended| {
        let age = ended.finished_at.as_ref().map_or(String::new(), |time| {
            format!(" {} ago", text::age(time.0, now))
        });
        let how = problem::ending(ended);
        if group.len() == 1 {
            format!("restarted{age} after {how}")
        } else {
            format!("{} restarted, last{age} after {how}", restarted.len())
        }
    });
    let name = match group {
        [pod] => pod_name(pod),
        pods => format!("Pod x{}", pods.len()),
    };
    Node {
        name,
        state: state.into(),
        style,
        note,
        children: Vec::new(),
    }
}

fn pod_name(pod: &Pod) -> String {
    format!("Pod/{}", text::one_line(identity(&pod.metadata).1))
}

fn wanted(set: &ReplicaSet) -> i32 {
    set.spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1)
}

fn identity(metadata: &ObjectMeta) -> (&str, &str) {
    (
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

fn created(metadata: &ObjectMeta) -> Option<Timestamp> {
    metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The controller among the owners, or else the only owner.
fn owner(metadata: &ObjectMeta) -> Option<Owner<'_>> {
    let owners = metadata.owner_references.as_deref()?;
    let owner = owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .or_else(|| owners.first())?;
    let group = owner
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    let namespace = identity(metadata).0;
    Some((namespace, group, &owner.kind, &owner.name))
}
