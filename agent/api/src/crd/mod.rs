//! The CustomResourceDefinitions, generated from the types.
//!
//! Names, columns and scope are Argo CD's, so that existing manifests and habits go on working.
//! Every object keeps fields it does not know: a manifest for a newer Argo CD loses nothing.

mod structural;

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::application::ApplicationSpec;
use crate::application_set::{ApplicationSetSpec, ApplicationSetStatus};
use crate::constants::{GROUP, VERSION};
use crate::operation::Operation;
use crate::preview;
use crate::preview::{PreviewSpec, PreviewStatus};
use crate::project::{AppProjectSpec, AppProjectStatus};
use crate::status::ApplicationStatus;

/// All CustomResourceDefinitions: Application, ApplicationSet, AppProject, Preview.
pub fn all() -> Vec<Value> {
    vec![application(), application_set(), app_project(), preview()]
}

/// The schema of `spec` of an Application.
pub fn application_spec() -> Value {
    structural::schema_of::<ApplicationSpec>()
}

fn application() -> Value {
    definition(&Definition {
        group: GROUP,
        version: VERSION,
        kind: "Application",
        short_names: &["app", "apps"],
        description: "An application: sources in Git or a chart repository, deployed to a cluster.",
        properties: vec![
            ("spec", structural::schema_of::<ApplicationSpec>()),
            ("operation", optional::<Operation>()),
            ("status", optional::<ApplicationStatus>()),
        ],
        // Argo CD's clients write status and operation as parts of the resource itself.
        has_status_subresource: false,
        columns: vec![
            column("Sync Status", ".status.sync.status", 0),
            column("Health Status", ".status.health.status", 0),
            column("Revision", ".status.sync.revision", 10),
            column("Project", ".spec.project", 10),
        ],
    })
}

fn application_set() -> Value {
    definition(&Definition {
        group: GROUP,
        version: VERSION,
        kind: "ApplicationSet",
        short_names: &["appset", "appsets"],
        description: "A template and generators that fill it; each result is an Application.",
        properties: vec![
            ("spec", structural::schema_of::<ApplicationSetSpec>()),
            ("status", optional::<ApplicationSetStatus>()),
        ],
        has_status_subresource: true,
        columns: Vec::new(),
    })
}

fn app_project() -> Value {
    definition(&Definition {
        group: GROUP,
        version: VERSION,
        kind: "AppProject",
        short_names: &["appproj", "appprojs"],
        description: "What the Applications of a team may use, and when they may sync.",
        properties: vec![
            ("spec", structural::schema_of::<AppProjectSpec>()),
            ("status", optional::<AppProjectStatus>()),
        ],
        has_status_subresource: false,
        columns: Vec::new(),
    })
}

fn preview() -> Value {
    definition(&Definition {
        group: preview::GROUP,
        version: preview::VERSION,
        kind: "Preview",
        short_names: &[],
        description: "A question to gitops-agent: what would change? Answered once, then deleted.",
        properties: vec![
            ("spec", structural::schema_of::<PreviewSpec>()),
            ("status", optional::<PreviewStatus>()),
        ],
        // Who may ask need not be able to write the answer.
        has_status_subresource: true,
        columns: vec![
            column("Application", ".spec.application", 0),
            column("Phase", ".status.phase", 0),
        ],
    })
}

struct Definition {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    short_names: &'static [&'static str],
    description: &'static str,
    properties: Vec<(&'static str, Value)>,
    has_status_subresource: bool,
    columns: Vec<Value>,
}

fn optional<T: JsonSchema>() -> Value {
    let mut schema = structural::schema_of::<T>();
    schema["nullable"] = true.into();
    schema
}

fn column(name: &str, path: &str, priority: u8) -> Value {
    let mut column = json!({ "name": name, "type": "string", "jsonPath": path });
    if priority > 0 {
        column["priority"] = priority.into();
    }
    column
}

fn definition(definition: &Definition) -> Value {
    let singular = definition.kind.to_lowercase();
    let plural = format!("{singular}s");
    let mut properties = json!({
        "apiVersion": { "type": "string" },
        "kind": { "type": "string" },
        "metadata": { "type": "object" },
    });
    for (name, schema) in &definition.properties {
        properties[*name] = schema.clone();
    }
    let mut version = json!({
        "name": definition.version,
        "served": true,
        "storage": true,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": definition.description,
                "required": ["metadata", "spec"],
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": properties,
            },
        },
    });
    if definition.has_status_subresource {
        version["subresources"] = json!({ "status": {} });
    }
    if !definition.columns.is_empty() {
        version["additionalPrinterColumns"] = definition.columns.clone().into();
    }
    let name = format!("{plural}.{}", definition.group);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": name,
                "app.kubernetes.io/part-of": "gitops-agent",
            },
        },
        "spec": {
            "group": definition.group,
            "names": {
                "kind": definition.kind,
                "listKind": format!("{}List", definition.kind),
                "plural": plural,
                "singular": singular,
                "shortNames": definition.short_names,
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    })
}
