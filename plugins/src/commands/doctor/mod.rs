//! `doctor`: looks at everything the other commands need, and says what to do about what is
//! missing. Never changes anything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use gitops_api::constants::LEASE_NAME;
use gitops_core::listing;
use gitops_core::source::fields;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::output::{Form, OutputArgs, print};
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::status::agent::Agent as Lived;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::Value;

use crate::cluster::connection::{Connection, ConnectionArgs};
use crate::cluster::installation::{AGENT_PODS, CLIENT, Found, Skew, skew};
use crate::cluster::preview;
use crate::cluster::projects::Projects;
use crate::cluster::{application, failure, installation, projects};
use crate::commands::bootstrap::controllers::{Controller, Role};
use crate::commands::doctor::report::{Check, State};
use crate::commands::doctor::rights::Right;
use crate::{commands, extension};

pub mod report;
pub mod rights;
mod sets;

/// Projects that are named.
const MAX_PROJECTS: usize = 3;
/// Longest wait for a program to say its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(2);

/// Check what the commands need: cluster, definitions, agent, rights, versions
///
/// Ends with 1 when something failed; what is only to be looked at does not count.
///
/// Examples:
///   kubectl gitops doctor
///   kubectl gitops doctor -n team-a
///   kubectl gitops doctor -o json
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Runs the command.
pub async fn run(args: DoctorArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    if args.output.form == Form::Name {
        return Err(CommandError::new(
            CommandErrorKind::Usage,
            "checks have no names: -o is table, json, yaml or jsonpath=TEMPLATE",
        ));
    }
    let own = commands::names();
    let (mut checks, programs) = tokio::join!(of_cluster(&flags), of_programs(&own));
    checks.extend(programs);
    let text = match args.output.form.text_of(&report::document(&checks))? {
        Some(text) => text,
        None => report::screen(&checks, &View::of_stdout(args.output.color)),
    };
    print(&text)?;
    Ok(if report::is_fine(&checks) {
        ExitStatus::Success
    } else {
        ExitStatus::No
    })
}

async fn of_cluster(flags: &ConnectionArgs) -> Vec<Check> {
    let failed = |name, error: CommandError| {
        let check = Check::new(name, State::Fail, &error.message);
        match error.hints.first() {
            Some(hint) => check.fix(hint),
            None => check,
        }
    };
    let connection = match flags.connect().await {
        Ok(connection) => connection,
        Err(error) => return vec![failed("kubeconfig", error)],
    };
    let mut checks = vec![Check::new(
        "kubeconfig",
        State::Ok,
        &format!("context {}", connection.endpoint.context),
    )];
    match connection
        .ask("read the version", connection.client.apiserver_version())
        .await
    {
        Ok(version) => checks.push(Check::new(
            "cluster",
            State::Ok,
            &format!(
                "Kubernetes {} at {}",
                version.git_version, connection.endpoint.server
            ),
        )),
        Err(error) => {
            checks.push(failed("cluster", error));
            return checks;
        }
    }
    let namespace = application::namespace(flags, &connection).await;
    let (kinds, agent, lease, argo_cd, rights, projects, fields, sets) = tokio::join!(
        installation::kinds(&connection),
        installation::find_agent(flags, &connection),
        lease(&namespace, &connection),
        argo_cd(&namespace, &connection),
        rights(&namespace, &connection),
        projects::read(&connection, &namespace),
        unknown_fields(&namespace, &connection),
        sets::check(&namespace, &connection),
    );
    let agent_there = !matches!(agent, Found::None(_)) || matches!(lease, Lived::Running { .. });
    let runs = argo_cd.iter().flatten().any(Controller::runs);
    let serves = runs && !agent_there;
    checks.push(match kinds {
        Ok((known, missing)) => of_kinds(&known, &missing, serves),
        Err(error) => failed(
            "CRDs",
            failure::of(error, "read them", &connection.endpoint),
        ),
    });
    checks.extend(of_agent(&agent, &lease, &namespace, Timestamp::now()));
    checks.push(of_argo_cd(argo_cd.as_deref(), &namespace, agent_there));
    checks.extend(projects.map(|found| of_projects(&found)));
    checks.extend(fields);
    checks.extend(sets);
    checks.extend(rights);
    checks
}

/// Fields of Applications that nobody reads; `None` where the user may not list them, or all are known.
async fn unknown_fields(namespace: &str, connection: &Connection) -> Option<Check> {
    let params = ListParams::default();
    let found = application::list(Some(namespace), params, connection)
        .await
        .ok()?;
    let texts: Vec<String> = found
        .iter()
        .flat_map(|one| {
            let name = one.metadata.name.clone().unwrap_or_default();
            let unknown = fields::unknown(&one.spec).into_iter();
            unknown.map(move |text| format!("Application {name}: {text}"))
        })
        .collect();
    if texts.is_empty() {
        return None;
    }
    let text = listing::shortened(texts, MAX_PROJECTS, "; ");
    let check = Check::new("fields", State::Warn, &text::one_line(&text));
    Some(check.fix("correct them in Git; what nobody knows does not count"))
}

fn of_projects(found: &Projects) -> Check {
    if found.refused.is_empty() {
        let text = format!("{} can be followed", found.count);
        return Check::new("projects", State::Ok, &text);
    }
    let text = listing::shortened(found.refused.clone(), MAX_PROJECTS, "; ");
    Check::new("projects", State::Warn, &text::one_line(&text)).fix(
        "remove or correct the rules; docs/move-from-argo-cd.md says which are not enforced yet",
    )
}

/// `argo_cd`: Argo CD serves the Applications, and no agent is there.
fn of_kinds(served: &[String], missing: &[String], argo_cd: bool) -> Check {
    if missing.is_empty() {
        return Check::new("CRDs", State::Ok, &served.join(", "));
    }
    let text = format!("missing: {}", missing.join(", "));
    let essential = missing.iter().any(|kind| kind.starts_with("Application."));
    let (state, fix) = if argo_cd && !essential {
        // Applied beside Argo CD, install.yaml would bring a second controller.
        (
            State::Warn,
            "they come with the agent: kubectl gitops bootstrap --adopt --dry-run shows how it takes over",
        )
    } else if essential {
        (
            State::Fail,
            "install the agent: kubectl gitops bootstrap --help",
        )
    } else {
        (
            State::Warn,
            "upgrade the CRDs: kubectl apply --server-side -f manifests/install.yaml",
        )
    };
    Check::new("CRDs", state, &text).fix(fix)
}

/// The agent, by its Deployment and by its Lease: it may also run elsewhere.
fn of_agent(found: &Found, lease: &Lived, namespace: &str, now: Timestamp) -> Vec<Check> {
    let mut checks = Vec::new();
    match found {
        Found::Agent(agent) => {
            let version = agent.version.as_deref().unwrap_or("unknown version");
            let text = format!(
                "{version}, {}/{} ready in namespace {} ({})",
                agent.ready, agent.wanted, agent.namespace, agent.image
            );
            let logs = format!(
                "kubectl -n {0} describe pods -l {AGENT_PODS}",
                agent.namespace
            );
            checks.push(if agent.wanted == 0 {
                Check::new("agent", State::Fail, &format!("{text}: scaled to none")).fix(&format!(
                    "kubectl -n {} scale deployment gitops-agent --replicas=1",
                    agent.namespace
                ))
            } else if agent.ready == 0 {
                Check::new("agent", State::Fail, &text).fix(&logs)
            } else {
                Check::new("agent", State::Ok, &text)
            });
            let (state, text) = match skew(CLIENT, agent.version.as_deref()) {
                Skew::None => (
                    State::Ok,
                    format!("this program and the agent are {CLIENT}"),
                ),
                Skew::Supported => (
                    State::Ok,
                    format!("this program is {CLIENT}, the agent {version}: they go together"),
                ),
                Skew::TooFar => (
                    State::Warn,
                    format!("this program is {CLIENT}, the agent {version}: too far apart"),
                ),
                Skew::Unknown => (
                    State::Unknown,
                    format!("this program is {CLIENT}; the agent's image does not say"),
                ),
            };
            let check = Check::new("versions", state, &text);
            checks.push(if state == State::Warn {
                check.fix("upgrade the older one; at most one minor version between them is tested")
            } else {
                check
            });
        }
        Found::None(places) if matches!(lease, Lived::Running { .. }) => checks.push(Check::new(
            "agent",
            State::Ok,
            &format!(
                "runs, but not as a Deployment in namespace {}",
                places.join(" or ")
            ),
        )),
        Found::None(places) => checks.push(
            Check::new(
                "agent",
                State::Fail,
                &format!("there is none in namespace {}", places.join(" or ")),
            )
            .fix("install it: kubectl gitops bootstrap --help; or name its namespace with -n"),
        ),
        Found::Unknown(why) => checks.push(Check::new("agent", State::Unknown, why)),
    }
    checks.push(match lease {
        Lived::Running { renewed } => Check::new(
            "lease",
            State::Ok,
            &format!("renewed {} ago", text::age(*renewed, now)),
        ),
        Lived::Stale { renewed } => Check::new(
            "lease",
            State::Fail,
            &format!(
                "not renewed for {}: the agent does nothing",
                text::age(*renewed, now)
            ),
        )
        .fix(&format!(
            "kubectl -n {namespace} logs deployment/gitops-agent --tail=50"
        )),
        Lived::Absent => Check::new(
            "lease",
            State::Warn,
            &format!("no agent ever ran in namespace {namespace}"),
        ),
        Lived::Unknown => Check::new("lease", State::Unknown, "you may not read it"),
    });
    checks
}

async fn lease(namespace: &str, connection: &Connection) -> Lived {
    let api: Api<Lease> = Api::namespaced(connection.client.clone(), namespace);
    match connection.wait(api.get_opt(LEASE_NAME)).await {
        Ok(Ok(Some(lease))) => Lived::of(&lease, Timestamp::now()),
        Ok(Ok(None)) => Lived::Absent,
        _ => Lived::Unknown,
    }
}

/// Argo CD's application controllers in a namespace, whatever their names; `None`: they may not be read.
async fn argo_cd(namespace: &str, connection: &Connection) -> Option<Vec<Controller>> {
    let params = ListParams::default();
    let sets: Api<StatefulSet> = Api::namespaced(connection.client.clone(), namespace);
    let deployments: Api<Deployment> = Api::namespaced(connection.client.clone(), namespace);
    let (sets, deployments) = tokio::join!(
        connection.wait(sets.list(&params)),
        connection.wait(deployments.list(&params)),
    );
    let read = |kind: &str, object: serde_json::Result<Value>| Controller::of(kind, &object.ok()?);
    let sets = sets.ok()?.ok()?.items.into_iter().map(serde_json::to_value);
    let deployments = deployments
        .ok()?
        .ok()?
        .items
        .into_iter()
        .map(serde_json::to_value);
    let found = sets
        .filter_map(|object| read("StatefulSet", object))
        .chain(deployments.filter_map(|object| read("Deployment", object)));
    let found = found.filter(|controller| controller.role == Role::ArgoApplications);
    Some(found.collect())
}

/// Two controllers on the same Applications would undo each other's work; the only one must not be
/// stopped. `agent`: one is there or may be.
fn of_argo_cd(found: Option<&[Controller]>, namespace: &str, agent: bool) -> Check {
    const NAME: &str = "argo cd";
    let Some(found) = found else {
        return Check::new(NAME, State::Unknown, "you may not look for its controller");
    };
    let running: Vec<&Controller> = found
        .iter()
        .filter(|controller| controller.runs())
        .collect();
    let Some(first) = running.first() else {
        let text = if found.is_empty() {
            "no other controller"
        } else {
            "installed, its controller is stopped"
        };
        return Check::new(NAME, State::Ok, text);
    };
    let names: Vec<String> = running
        .iter()
        .map(|controller| controller.shown())
        .collect();
    let names = names.join(", ");
    if !agent {
        let text =
            format!("its controller serves the Applications in namespace {namespace} ({names})");
        return Check::new(NAME, State::Ok, &text);
    }
    let text = format!(
        "its controller runs in namespace {namespace}, too ({names}): the agent writes nothing until one of the two is stopped"
    );
    let fix = match &first.owner {
        Some(owner) => format!(
            "{owner} made it and would start it again: stop it there, or remove the agent: kubectl gitops uninstall"
        ),
        None => format!(
            "kubectl -n {namespace} scale {} {} --replicas=0, or remove the agent: kubectl gitops uninstall",
            first.kind.to_lowercase(),
            text::one_line(&first.name)
        ),
    };
    Check::new(NAME, State::Fail, &text).fix(&fix)
}

async fn rights(namespace: &str, connection: &Connection) -> Vec<Check> {
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let asked = rights::all().into_iter().map(|right| {
        let review = review(&right, namespace);
        let api = api.clone();
        async move {
            let params = PostParams::default();
            match connection.wait(api.create(&params, &review)).await {
                Ok(Ok(answer)) => Some((right, answer.status.is_some_and(|status| status.allowed))),
                _ => None,
            }
        }
    });
    let answers: Option<Vec<(Right, bool)>> =
        futures::future::join_all(asked).await.into_iter().collect();
    match answers {
        Some(answers) => {
            let who = preview::subject_flag(user(connection).await.as_deref());
            rights::check(namespace, &who, &answers)
        }
        None => vec![Check::new(
            "rights",
            State::Unknown,
            "the cluster does not say what you may",
        )],
    }
}

/// Who asks, as the API server knows them; older ones do not tell.
async fn user(connection: &Connection) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(connection.client.clone());
    let (params, review) = (PostParams::default(), SelfSubjectReview::default());
    let answer = connection.wait(api.create(&params, &review)).await;
    let name = answer.ok()?.ok()?.status?.user_info?.username?;
    Some(text::one_line(&name)).filter(|name| !name.is_empty())
}

fn review(right: &Right, namespace: &str) -> SelfSubjectAccessReview {
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.to_owned()),
                resource: Some(right.resource.to_owned()),
                verb: Some(right.verb.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

/// Programs of the suite that are installed by themselves: kubectl runs them before this one, and
/// nobody sees that they are older.
async fn of_programs(own: &[String]) -> Vec<Check> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut others = Vec::new();
    let mut seen = Vec::new();
    for (name, program) in extension::all(&path) {
        if own.contains(&name) && !seen.contains(&name) {
            if let Some(version) = version_of(&program).await
                && version != CLIENT
            {
                others.push((program, version));
            }
            seen.push(name);
        }
    }
    match others.as_slice() {
        [] if seen.is_empty() => Vec::new(),
        [] => vec![Check::new(
            "programs",
            State::Ok,
            &format!("{} installed by themselves, all {CLIENT}", seen.len()),
        )],
        _ => others
            .iter()
            .map(|(program, version)| {
                let text = format!("{} is {version}, this is {CLIENT}", program.display());
                Check::new("programs", State::Warn, &text)
                    .fix("remove it or install the same version: kubectl prefers it")
            })
            .collect(),
    }
}

async fn version_of(program: &Path) -> Option<String> {
    let program = PathBuf::from(program);
    let asked = tokio::process::Command::new(&program)
        .arg("--version")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(VERSION_TIMEOUT, asked)
        .await
        .ok()?
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.split_whitespace().last()?;
    Some(text::one_line(version))
}

#[cfg(test)]
mod tests;
