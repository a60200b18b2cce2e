//! What was asked about: an Application, or an object with its owners and the Application it
//! belongs to.

use gitops_api::Application;
use gitops_api::constants::{DEFAULT_NAMESPACE, label};
use gitops_core::manifest::tracking;
use gitops_core::manifest::tracking::application_of;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_views::explain::ownership::Subject;
use kube::api::{Api, DynamicObject};
use serde_json::Value;

use crate::cluster::connection::{Connection, ConnectionArgs};
use crate::cluster::{application, failure};
use crate::commands::explain::kind;
use crate::commands::explain::kind::Kind;

/// Owners above an object that are followed.
const OWNERS: usize = 8;

/// What was found.
pub(super) struct Target {
    pub(super) application: Option<Application>,
    pub(super) subject: Option<Subject>,
}

/// Reads what was asked about.
pub(super) async fn find(
    given: &str,
    args: &ConnectionArgs,
    connection: &Connection,
) -> Result<Target, CommandError> {
    let Some((before, name)) = given.split_once('/') else {
        return of_application(given, args, connection).await;
    };
    let before = before.to_lowercase();
    if matches!(
        before.as_str(),
        "app" | "apps" | "application" | "applications" | "application.argoproj.io"
    ) {
        return of_application(name, args, connection).await;
    }
    if let Some(kind) = kind::known(&before) {
        return of_object(&kind, name, args, connection).await;
    }
    // NAMESPACE/NAME, unless the cluster serves a kind of that name.
    if let Some(application) = get(&before, name, connection).await {
        return Ok(Target {
            application: Some(application),
            subject: None,
        });
    }
    match kind::served(&before, connection).await {
        Some(kind) => of_object(&kind, name, args, connection).await,
        None => of_application(given, args, connection).await,
    }
}

async fn of_application(
    given: &str,
    args: &ConnectionArgs,
    connection: &Connection,
) -> Result<Target, CommandError> {
    Ok(Target {
        application: Some(application::find(given, args, connection).await?),
        subject: None,
    })
}

async fn of_object(
    kind: &Kind,
    name: &str,
    args: &ConnectionArgs,
    connection: &Connection,
) -> Result<Target, CommandError> {
    let namespace = args
        .namespace
        .as_deref()
        .or(connection.context_namespace.as_deref())
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or("default");
    let what = format!("{}/{name}", kind.resource.kind);
    let api = api(kind, namespace, connection);
    let found = connection
        .ask(&format!("read {what}"), api.get_opt(name))
        .await?;
    let Some(found) = found else {
        let place = if kind.namespaced {
            format!(" in namespace {namespace}")
        } else {
            String::new()
        };
        let mut error = CommandError::new(
            CommandErrorKind::NotFound,
            format!("there is no {what}{place}"),
        );
        if args.namespace.is_none() && kind.namespaced {
            error = error.hint("name its namespace with -n");
        }
        return Err(error);
    };
    let mut owners = vec![value(found)];
    while owners.len() < OWNERS
        && owners
            .last()
            .is_some_and(|object| tracked_by(object).is_none())
    {
        let Some(above) = owner_of(owners.last(), connection).await else {
            break;
        };
        owners.push(above);
    }
    let tracked_by = owners.last().and_then(tracked_by);
    let application = match (&tracked_by, owners.last()) {
        (Some(instance), Some(root)) => owning(instance, root, connection).await?,
        _ => None,
    };
    Ok(Target {
        application,
        subject: Some(Subject { owners, tracked_by }),
    })
}

/// The application's instance name on an object.
fn tracked_by(object: &Value) -> Option<String> {
    tracking::owner(object).map(|id| id.instance)
}

/// The Application of an instance name, looked for where the agent that made the mark lives.
async fn owning(
    instance: &str,
    object: &Value,
    connection: &Connection,
) -> Result<Option<Application>, CommandError> {
    let agent = object["metadata"]["labels"][label::MANAGED_BY]
        .as_str()
        .unwrap_or(DEFAULT_NAMESPACE);
    let (namespace, name) = application_of(instance, agent);
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    match connection.wait(api.get_opt(name)).await? {
        Ok(found) => Ok(found),
        Err(error) => Err(failure::of(
            error,
            "read Applications",
            &connection.endpoint,
        )),
    }
}

async fn get(namespace: &str, name: &str, connection: &Connection) -> Option<Application> {
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    connection.wait(api.get_opt(name)).await.ok()?.ok()?
}

/// The object that owns another one, as far as it may be read.
async fn owner_of(object: Option<&Value>, connection: &Connection) -> Option<Value> {
    let metadata = &object?["metadata"];
    let owners = metadata["ownerReferences"].as_array()?;
    let owner = owners
        .iter()
        .find(|owner| owner["controller"] == true)
        .or_else(|| owners.first())?;
    let kind = Kind {
        resource: kind::resource(owner["apiVersion"].as_str()?, owner["kind"].as_str()?),
        namespaced: true,
    };
    let api = api(&kind, metadata["namespace"].as_str()?, connection);
    let asked = api.get_opt(owner["name"].as_str()?);
    connection.wait(asked).await.ok()?.ok()?.map(value)
}

fn api(kind: &Kind, namespace: &str, connection: &Connection) -> Api<DynamicObject> {
    if kind.namespaced {
        Api::namespaced_with(connection.client.clone(), namespace, &kind.resource)
    } else {
        Api::all_with(connection.client.clone(), &kind.resource)
    }
}

/// As JSON; an object that came as JSON goes back to it.
fn value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
