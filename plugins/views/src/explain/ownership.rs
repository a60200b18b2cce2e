//! An object somebody asked about: its owners, the application it belongs to, or none.

use std::collections::BTreeSet;

use gitops_api::{HealthStatus, HealthStatusCode, ResourceStatus};
use gitops_core::live::health;
use gitops_kit::text;
use serde_json::Value;

use crate::explain::{Cause, Inquiry};
use crate::status::reason::Code;

/// The object that was asked about, with what owns it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The object, then its owner, that one's owner, …
    pub owners: Vec<Value>,
    /// What the tracking mark of one of them says: the application's instance name.
    pub tracked_by: Option<String>,
}

impl Subject {
    /// The last of the owners: what an application lists.
    fn root(&self) -> &Value {
        self.owners.last().unwrap_or(&Value::Null)
    }

    /// `Pod/web-6d9f-x2`
    pub fn name(&self) -> String {
        self.owners.first().map_or_else(String::new, name)
    }

    /// Health of the object itself, when it is not what an application lists.
    pub fn own_health(&self) -> Option<HealthStatusCode> {
        let [object, _, ..] = self.owners.as_slice() else {
            return None;
        };
        health::assess(object).map(|health| health.status)
    }

    /// The owners above the object, up to the application.
    pub fn chain(&self, application: Option<&str>) -> Vec<String> {
        let above = self.owners.iter().skip(1).map(name);
        let application = application.map(|name| format!("Application/{name}"));
        above.chain(application).collect()
    }

    /// Its entry among the objects of an application; made of the object when it has none.
    pub fn among(&self, resources: &[ResourceStatus]) -> ResourceStatus {
        let root = self.root();
        let (group, version) = group_version(root);
        let kind = text_of(root, "/kind");
        let name = text_of(root, "/metadata/name");
        let namespace = text_of(root, "/metadata/namespace");
        resources
            .iter()
            .find(|resource| {
                resource.group == group
                    && resource.kind == kind
                    && resource.name == name
                    && resource.namespace == namespace
            })
            .cloned()
            .unwrap_or_else(|| ResourceStatus {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: kind.to_owned(),
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                health: health::assess(root).map(|health| HealthStatus {
                    status: health.status,
                    message: health.message,
                    ..HealthStatus::default()
                }),
                ..ResourceStatus::default()
            })
    }
}

pub(super) fn look(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>, notes: &mut Vec<String>) {
    let Some(subject) = &inquiry.evidence.subject else {
        return;
    };
    let root = subject.root();
    let writers = writers(root);
    if !writers.is_empty() {
        notes.push(format!(
            "field managers of {}: {}",
            name(root),
            writers.join(", ")
        ));
    }
    if inquiry.application().is_some() {
        let unlisted = inquiry.status().is_some_and(|status| {
            let (group, _) = group_version(root);
            !status.resources.iter().any(|resource| {
                resource.group == group
                    && resource.kind == text_of(root, "/kind")
                    && resource.name == text_of(root, "/metadata/name")
            })
        });
        if unlisted {
            let application = inquiry.app();
            causes.push(
                Cause::new(
                    Code::Warning,
                    "NotListed",
                    format!(
                        "{} carries the mark of the application, which does not list it",
                        name(root)
                    ),
                )
                .evidence("its mark may be a copy, or it left Git and was not pruned")
                .next(
                    format!("kubectl gitops status {application}"),
                    "the objects of the application",
                ),
            );
        }
        return;
    }
    let what = match &subject.tracked_by {
        Some(instance) => format!(
            "{} carries the mark of application {instance}, which does not exist",
            name(root)
        ),
        None => format!("{} belongs to no application", name(root)),
    };
    causes.push(
        Cause::new(Code::NotCompared, "NotTracked", what)
            .evidence(
                "neither it nor its owners are delivered from Git: nobody compares or repairs it",
            )
            .next(
                format!("kubectl gitops status -A{}", inquiry.evidence.flags),
                "the applications there are",
            ),
    );
}

/// Who wrote the object, by its field managers, without those that only report status.
fn writers(object: &Value) -> Vec<String> {
    let managers = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let names: BTreeSet<String> = managers
        .into_iter()
        .flatten()
        .filter(|entry| entry["subresource"].as_str() != Some("status"))
        .filter_map(|entry| entry["manager"].as_str())
        .map(text::one_line)
        .collect();
    names.into_iter().collect()
}

/// `Deployment/web`
fn name(object: &Value) -> String {
    text::one_line(&format!(
        "{}/{}",
        text_of(object, "/kind"),
        text_of(object, "/metadata/name")
    ))
}

/// Group and version of an object.
pub fn group_version(object: &Value) -> (&str, &str) {
    let version = text_of(object, "/apiVersion");
    version.split_once('/').unwrap_or(("", version))
}

fn text_of<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
