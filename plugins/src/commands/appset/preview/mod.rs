//! `appset preview` and `appset generate`: what a set would make, before anybody pushes it. Writes nothing anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use gitops_api::application_set::WrittenApplicationSet;
use gitops_api::constants::{config_map, label};
use gitops_api::{AppProject, Application};
use gitops_core::applicationset::{
    Cluster, Desired, Destinations, Environment, Existing, Generation, Parameters, PlanInput,
    Problem, SetIdentity, SetSpec, Warning, plan, uses_clusters, validate,
};
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::notice::warn;
use gitops_kit::output::{Form, OutputArgs, names, print};
use gitops_kit::progress::Progress;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_render::{Renderer, RendererConfig};
use gitops_views::appset_preview::{Action, Preview};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use self::answers::Local;
use crate::cluster::application::places;
use crate::cluster::connection::{Connection, ConnectionArgs};
use crate::git::WorkingTree;
use crate::render_worker;

mod answers;
mod screen;

/// Version of the document.
const VERSION: &str = "gitops-agent.io/appset-preview.v1";
/// Most of several mistakes that are shown.
const MAX_PROBLEMS: usize = 20;

/// A set, as it is in the cluster or as it would be.
#[derive(Args, Clone, Debug)]
pub struct PreviewArgs {
    /// ApplicationSet: NAME or NAMESPACE/NAME
    #[arg(value_name = "APPSET", required_unless_present = "file")]
    pub set: Option<String>,

    /// The ApplicationSet as this file has it
    #[arg(long, short, value_name = "FILE", conflicts_with = "set")]
    pub file: Option<PathBuf>,

    /// A clone that stands for its repository in git generators, as it is now [default: this directory, if it is one]
    #[arg(long, value_name = "DIR")]
    pub local: Option<PathBuf>,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// A preview.
#[derive(Args, Clone, Debug)]
pub struct ComparedArgs {
    #[command(flatten)]
    pub of: PreviewArgs,

    /// Markdown, for a comment on a pull request
    #[arg(long)]
    pub markdown: bool,
}

/// `appset generate`.
pub(super) async fn generate(
    args: &PreviewArgs,
    flags: &ConnectionArgs,
) -> Result<ExitStatus, CommandError> {
    let local = local(args).await?;
    let (set, environment) = if let Some(file) = &args.file {
        let set = read(file)?;
        // No cluster has to be there for what says nothing about clusters.
        let clusters = if uses_clusters(&generators(&set)) {
            let connection = flags.connect().await?;
            let namespace = namespace_of(&set, flags, &connection);
            required(clusters(&connection, &namespace).await?)?
        } else {
            Vec::new()
        };
        let parameters = Parameters::read(&BTreeMap::new());
        (set, environment(&parameters, clusters))
    } else {
        let connection = flags.connect().await?;
        let set = find(args, flags, &connection).await?;
        let namespace = set.namespace().unwrap_or_default();
        let parameters = parameters(&connection, &namespace).await?;
        let clusters = if uses_clusters(&generators(&set)) {
            required(clusters(&connection, &namespace).await?)?
        } else {
            Vec::new()
        };
        (set, environment(&parameters, clusters))
    };
    let written = Value::Object(set.spec.clone());
    let generation = local
        .generate(&SetSpec::read(&written), &environment)
        .await?;
    let (applications, warnings) = done(generation, &set.name_any())?;
    for warning in warnings {
        warn(&format!("{}: {}", warning.place, warning.message));
    }
    let objects: Vec<Value> = applications.iter().map(object).collect();
    let form = &args.output.form;
    let document = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let text = if matches!(form, Form::Name) {
        names(applications.iter().map(|one| one.name.as_str()))
    } else if let Some(text) = form.text_of(&document)? {
        text
    } else {
        let mut text = String::new();
        for object in &objects {
            let yaml = Form::Yaml.text_of(object)?;
            text += "---\n";
            text += &yaml.unwrap_or_default();
        }
        text
    };
    print(&text)?;
    Ok(ExitStatus::Success)
}

/// `appset preview`.
pub(super) async fn preview(
    args: &ComparedArgs,
    flags: &ConnectionArgs,
) -> Result<ExitStatus, CommandError> {
    let mut progress = Progress::new(args.of.output.color);
    let local = local(&args.of).await?;
    let connection = flags.connect().await?;
    let set = match &args.of.file {
        Some(file) => read(file)?,
        None => find(&args.of, flags, &connection).await?,
    };
    let name = set.name_any();
    let namespace = namespace_of(&set, flags, &connection);
    progress.begin("reading what is in the cluster");
    let parameters = parameters(&connection, &namespace).await?;
    let all: Api<Application> = Api::namespaced(connection.client.clone(), &namespace);
    let what = format!("list Applications in namespace {namespace}");
    let applications: Vec<Application> =
        connection.list(&all, ListParams::default(), &what).await?;
    let clusters = clusters(&connection, &namespace).await?;
    let spec = SetSpec::read(&Value::Object(set.spec.clone()));
    if uses_clusters(&generators(&set)) {
        required(clusters.clone())?;
    }
    progress.update("generating");
    let environment = environment(&parameters, clusters.clone().unwrap_or_default());
    let generation = local.generate(&spec, &environment).await?;
    let (generated, warnings) = done(generation, &name)?;
    let mut warnings: Vec<String> = warnings
        .iter()
        .map(|one| format!("{}: {}", one.place, one.message))
        .collect();
    let existing: BTreeMap<String, Application> = applications
        .into_iter()
        .map(|one| (one.name_any(), one))
        .collect();
    let known = Destinations {
        projects: projects(&connection, &namespace, &generated, &mut warnings).await?,
        clusters: clusters.unwrap_or_else(|| {
            warnings.push(format!(
                "you may not read the Secrets of clusters in namespace {namespace}: all destinations are taken for known"
            ));
            let specs = generated.iter().map(|one| one.value["spec"].clone());
            let there = existing.values().map(|one| serde_json::to_value(&one.spec));
            let there = there.map(Result::unwrap_or_default);
            specs.chain(there).map(|spec| destination(&spec)).collect()
        }),
    };
    let identity = SetIdentity {
        namespace: namespace.clone(),
        name: name.clone(),
        uid: uid(&set, &existing),
    };
    let validated = validate(generated, &known);
    let there = existing
        .iter()
        .map(|(name, one)| (name.clone(), Existing::of(one)))
        .collect();
    let planned = plan(&PlanInput {
        set: &identity,
        validated: &validated,
        existing: &there,
        policy: parameters.policy(&spec),
        preserved: &parameters.preserved(&spec),
        ignored: &spec.ignored_differences,
        known: &known,
        rivals: &BTreeMap::new(),
        // All steps of a rollout are shown: what it comes to.
        held: &BTreeSet::new(),
        is_approved: false,
    });
    let preview = Preview::of(&planned, &existing, warnings);
    progress.clear();
    let form = &args.of.output.form;
    let mut document = json!(preview);
    document["version"] = VERSION.into();
    document["applicationSet"] = json!({"namespace": namespace, "name": name});
    document["different"] = preview.is_different().into();
    let text = if args.markdown {
        screen::markdown(&text::one_line(&name), &preview)
    } else if matches!(form, Form::Name) {
        let changed = preview.applications.iter();
        let changed = changed.filter(|row| row.action != Action::Keep);
        names(changed.map(|row| row.name.as_str()))
    } else if let Some(text) = form.text_of(&document)? {
        text
    } else {
        let view = View::of_stdout(args.of.output.color);
        screen::table(&text::one_line(&name), &preview, &view)
    };
    print(&text)?;
    Ok(if preview.is_different() {
        ExitStatus::No
    } else {
        ExitStatus::Success
    })
}

/// The render worker, and the working tree that is meant.
async fn local(args: &PreviewArgs) -> Result<Local, CommandError> {
    let renderer = Renderer::new(RendererConfig::new(render_worker::program()?));
    let tree = match &args.local {
        Some(directory) => Some(WorkingTree::of(directory).await?),
        // Most sets need none.
        None => WorkingTree::of(Path::new(".")).await.ok(),
    };
    Ok(Local { renderer, tree })
}

fn generators(set: &WrittenApplicationSet) -> Vec<Value> {
    let generators = set.spec.get("generators").and_then(Value::as_array);
    generators.cloned().unwrap_or_default()
}

fn read(file: &Path) -> Result<WrittenApplicationSet, CommandError> {
    let failed = |why: String| {
        let message = format!("{}: {why}", file.display());
        CommandError::new(CommandErrorKind::Usage, message)
    };
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let values: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| failed(error.to_string()))?;
    let mut sets = values
        .into_iter()
        .filter(|value| value["kind"] == "ApplicationSet");
    let set = sets
        .next()
        .ok_or_else(|| failed("it holds no object of kind ApplicationSet".to_owned()))?;
    if sets.next().is_some() {
        return Err(failed(
            "it holds several ApplicationSets; preview one at a time".to_owned(),
        ));
    }
    let set: WrittenApplicationSet =
        serde_json::from_value(set).map_err(|error| failed(error.to_string()))?;
    if set.metadata.name.as_deref().unwrap_or_default().is_empty() {
        return Err(failed("the ApplicationSet has no metadata.name".to_owned()));
    }
    Ok(set)
}

async fn find(
    args: &PreviewArgs,
    flags: &ConnectionArgs,
    connection: &Connection,
) -> Result<WrittenApplicationSet, CommandError> {
    let given = args.set.as_deref().unwrap_or_default();
    super::find_as(given, flags, connection).await
}

/// Where a set is, or would be.
fn namespace_of(
    set: &WrittenApplicationSet,
    flags: &ConnectionArgs,
    connection: &Connection,
) -> String {
    let context = connection.context_namespace.as_deref();
    let all = places(flags.namespace.as_deref(), context);
    let first = all.into_iter().next().unwrap_or_default();
    set.namespace().unwrap_or(first)
}

/// The uid of the set: of the object, else as the Applications it has name it, so that no difference is made of it.
fn uid(set: &WrittenApplicationSet, existing: &BTreeMap<String, Application>) -> String {
    let name = set.name_any();
    let owners = existing
        .values()
        .flat_map(|one| one.metadata.owner_references.iter().flatten());
    let mut owners = owners.filter(|one| one.kind == "ApplicationSet" && one.name == name);
    set.uid()
        .or_else(|| owners.next().map(|one| one.uid.clone()))
        .unwrap_or_default()
}

fn environment(parameters: &Parameters, clusters: Vec<Cluster>) -> Environment {
    Environment {
        clusters,
        file_globbing: parameters.file_globbing,
        hidden_directories: parameters.hidden_directories,
        forges: parameters.forges.clone(),
        rolls: parameters.rolls,
    }
}

/// What the installation says about sets; its defaults where that may not be read.
async fn parameters(connection: &Connection, namespace: &str) -> Result<Parameters, CommandError> {
    let api: Api<ConfigMap> = Api::namespaced(connection.client.clone(), namespace);
    match connection.wait(api.get_opt(config_map::PARAMETERS)).await? {
        Ok(found) => {
            let data = found.and_then(|found| found.data);
            Ok(Parameters::read(&data.unwrap_or_default()))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            warn(&format!(
                "you may not read {} in namespace {namespace}: its defaults stand in",
                config_map::PARAMETERS
            ));
            Ok(Parameters::read(&BTreeMap::new()))
        }
        Err(error) => Err(crate::cluster::failure::of(
            error,
            "read argocd-cmd-params-cm",
            &connection.endpoint,
        )),
    }
}

/// The clusters that have a Secret; `None` where these may not be read.
async fn clusters(
    connection: &Connection,
    namespace: &str,
) -> Result<Option<Vec<Cluster>>, CommandError> {
    let api: Api<Secret> = Api::namespaced(connection.client.clone(), namespace);
    let selector = format!("{}=cluster", label::SECRET_TYPE);
    let params = ListParams::default().labels(&selector);
    match connection.wait(api.list(&params)).await? {
        Ok(secrets) => {
            let mut clusters: Vec<Cluster> = secrets.iter().map(Cluster::of_secret).collect();
            clusters.sort();
            Ok(Some(clusters))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(crate::cluster::failure::of(
            error,
            "list the Secrets of clusters",
            &connection.endpoint,
        )),
    }
}

/// Clusters that a generator needs: fewer than there are would be another answer.
fn required(clusters: Option<Vec<Cluster>>) -> Result<Vec<Cluster>, CommandError> {
    clusters.ok_or_else(|| {
        CommandError::new(
            CommandErrorKind::Refused,
            "the set is made of clusters, and you may not list their Secrets: a preview without them would be wrong",
        )
        .hint("ask for the right to list Secrets there, or look at what the agent made: kubectl gitops appset get")
    })
}

/// The projects there are; those that are named where they may not be listed.
async fn projects(
    connection: &Connection,
    namespace: &str,
    generated: &[Desired],
    warnings: &mut Vec<String>,
) -> Result<BTreeSet<String>, CommandError> {
    let api: Api<AppProject> = Api::namespaced(connection.client.clone(), namespace);
    match connection.wait(api.list(&ListParams::default())).await? {
        Ok(projects) => Ok(projects.iter().map(ResourceExt::name_any).collect()),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            warnings.push(format!(
                "you may not list AppProjects in namespace {namespace}: all projects are taken for known"
            ));
            let named = generated
                .iter()
                .filter_map(|one| one.value["spec"]["project"].as_str());
            Ok(named.map(str::to_owned).collect())
        }
        Err(error) => Err(crate::cluster::failure::of(
            error,
            "list AppProjects",
            &connection.endpoint,
        )),
    }
}

/// A cluster by what a destination says of it.
fn destination(spec: &Value) -> Cluster {
    let text = |key: &str| {
        let value = spec["destination"][key].as_str();
        value.unwrap_or_default().to_owned()
    };
    Cluster {
        secret: text("name"),
        name: text("name"),
        server: text("server"),
        ..Cluster::default()
    }
}

/// What was generated, or everything that is wrong.
fn done(generation: Generation, name: &str) -> Result<(Vec<Desired>, Vec<Warning>), CommandError> {
    match generation {
        Generation::Done {
            applications,
            warnings,
        } => Ok((applications, warnings)),
        Generation::Failed(problems) => Err(failed(name, &problems)),
        Generation::Needs(_) => Err(CommandError::new(
            CommandErrorKind::Internal,
            "generating does not come to an end",
        )),
    }
}

/// Each problem on a line of its own, and what it comes to.
fn failed(name: &str, problems: &[Problem]) -> CommandError {
    let name = text::one_line(name);
    let message = match problems {
        [one] => text::one_line(&format!("ApplicationSet {name} generates nothing: {one}")),
        problems => {
            for problem in problems.iter().take(MAX_PROBLEMS) {
                warn(&text::one_line(&problem.to_string()));
            }
            format!(
                "ApplicationSet {name} generates nothing, because of {} problems",
                problems.len()
            )
        }
    };
    CommandError::new(CommandErrorKind::Usage, message)
}

/// A generated Application as a manifest.
fn object(desired: &Desired) -> Value {
    let mut object = desired.value.clone();
    object["apiVersion"] = "argoproj.io/v1alpha1".into();
    object["kind"] = "Application".into();
    object
}
