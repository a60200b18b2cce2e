//! Looks at everything an installation depends on, before anything is changed. What would fail
//! later fails here; nothing here changes a cluster, a repository or a forge.

use gitops_api::Application;
use gitops_api::constants::FIELD_MANAGER;
use gitops_forge::{DeployKey, Forge};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::progress::Progress;
use gitops_kit::text;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cluster::connection::Connection;
use crate::cluster::projects;
use crate::commands::bootstrap::cluster::{Cluster, shown};
use crate::commands::bootstrap::controllers::Controller;
use crate::commands::bootstrap::image::Decision;
use crate::commands::bootstrap::layout::{Layout, PlannedFile};
use crate::commands::bootstrap::manifests::{Choice, Installation, NAME, PART_OF};
use crate::commands::bootstrap::options::BootstrapOptions;
use crate::commands::bootstrap::plan::{ObjectChange, Plan, Verb};
use crate::commands::bootstrap::source::Tip;
use crate::commands::bootstrap::{
    access, credentials, image, known_hosts, layout, manifests, permissions, secret, source,
    take_over,
};
use crate::commands::uninstall::find;
use crate::forge;
use crate::git::{Repository, Target, WorkDir};

/// Oldest Kubernetes that is known to do: it has ValidatingAdmissionPolicies, by which a Preview says
/// who asks.
const OLDEST: (u32, u32) = (1, 30);

/// All is well: what was found, what to do, and what was made ready for it.
pub struct Ready {
    /// Where things are.
    pub layout: Layout,
    /// The repository.
    pub repository: Repository,
    /// Its branch.
    pub tip: Tip,
    /// What is installed.
    pub installation: Installation,
    /// Objects the cluster lacks or has otherwise.
    pub objects: Vec<Value>,
    /// What users see.
    pub plan: Plan,
    /// The commit, not pushed yet.
    pub commit: Option<String>,
    /// Its message.
    pub message: String,
    /// The Secret to write.
    pub secret: Option<Value>,
    /// Key that the forge has to learn about.
    pub deploy_key: Option<DeployKey>,
    /// The forge.
    pub forge: Option<Forge>,
    /// Controllers of Argo CD to stop.
    pub conflicting_controllers: Vec<Controller>,
    /// Argo CD's own definitions, settings: used as they are.
    pub left: Vec<String>,
}

/// Looks at everything, telling what was found.
pub async fn check(
    options: &BootstrapOptions,
    connection: &Connection,
    progress: &mut Progress,
) -> Result<Ready, CommandError> {
    let url = access::public_address(&options.url)?;
    let cluster = Cluster { connection };
    let namespace = options.namespace.as_str();
    // Both are far away: asked at the same time would be faster, but told one after the other.
    cluster_itself(options, &url, cluster, progress).await?;
    let namespace_exists = cluster.has_namespace(namespace).await?;

    progress.begin("looking for other GitOps controllers");
    let controllers = cluster.controllers().await?;
    let elsewhere = controllers.elsewhere(
        crate::commands::bootstrap::controllers::Role::Agent,
        namespace,
    );
    if let Some(other) = elsewhere.first() {
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            format!("an agent is installed in namespace {other} already"),
        )
        .hint(format!("one serves a cluster: go on with --namespace {other}, or remove it with: kubectl gitops uninstall -n {other}")));
    }
    let conflicting_controllers: Vec<&Controller> = controllers.conflicting_controllers(namespace);
    let take_over = if conflicting_controllers.is_empty() {
        None
    } else {
        let applications = applications(connection, namespace).await?;
        if !options.adopt {
            return Err(take_over::refuse(
                &conflicting_controllers,
                namespace,
                applications.len(),
            ));
        }
        let sets = application_sets(connection, namespace).await;
        Some(take_over::plan(
            &conflicting_controllers,
            &applications,
            sets,
            &projects::read(connection, namespace)
                .await
                .unwrap_or_default(),
        )?)
    };
    let conflicting_controllers: Vec<Controller> =
        conflicting_controllers.into_iter().cloned().collect();
    match controllers.argo_version(namespace) {
        Some(version) => progress.warn(&format!("found Argo CD {version} in {namespace}")),
        None => progress.clear(),
    }
    let mut notes = take_over::notes(&controllers, namespace);

    progress.begin("reading the repository");
    let repository = Repository::open(&WorkDir::current()?, &url, None).await?;
    if let Some(note) = repository.note() {
        progress.info(note);
    }
    let branch = source::branch(&repository, options.branch.as_deref()).await?;
    let layout = Layout::new(&options.path, &url, &branch, namespace)?;
    let tip = source::read(&repository, &layout).await?;
    let beside = layout.beside(&tip.files)?;
    let known = applications(connection, namespace).await;
    if let Some(name) = known
        .unwrap_or_default()
        .iter()
        .find_map(|application| take_over::delivers(application, &layout))
    {
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            format!(
                "the Application {name} delivers {} of this repository already: it and the root would both \
                 deliver what is there, the agent included",
                layout.directory()
            ),
        )
        .hint("name a directory of its own with --path, such as clusters/NAME"));
    }

    progress.begin("comparing with the cluster");
    let earlier = earlier_installation(&tip, &layout)?;
    let live = live_applications(cluster, &layout).await?;
    let (installation, left) =
        installation(options, cluster, namespace_exists, &earlier, &url, progress).await?;
    let files = layout.plan(&tip.files, &installation.to_yaml()?)?;
    let by_agent = live.root && live.agent && cluster.agent_runs(namespace).await;
    let all: Vec<&Value> = installation.objects.iter().collect();
    let mut changes = cluster.compare(&all, namespace, namespace_exists).await?;
    if by_agent {
        // The agent rolls out what differs; what is missing it may need for that.
        for change in &mut changes {
            if change.verb == Verb::Change {
                change.verb = Verb::Same;
            }
        }
    }
    let objects: Vec<Value> = installation
        .objects
        .iter()
        .zip(&changes)
        .filter(|(_, change)| change.verb != Verb::Same)
        .map(|(object, _)| object.clone())
        .collect();
    let patched = files.iter().any(|file| {
        file.path == layout.kustomization_file() && file.change == layout::Change::Keep
    });
    if patched && !objects.is_empty() {
        notes.push(format!(
            "your changes in {} follow when the agent runs",
            layout.kustomization_file()
        ));
    }
    let root = root_of(&files, &layout)?;
    let root_changes = !live.root
        || cluster
            .compare(&[&root], namespace, true)
            .await?
            .iter()
            .any(|change| change.verb != Verb::Same);

    let readable = credentials::find(options, &url, cluster, namespace_exists, progress).await?;
    let propose = options.propose && files.iter().any(PlannedFile::is_written);
    let forge = if propose || readable.deploy_key.is_some() {
        Forge::find(&url, options.forge.as_ref(), |name| {
            std::env::var(name).ok()
        })
        .await
        .map_err(forge::failure)?
    } else {
        None
    };
    if readable.deploy_key.is_some()
        && let Some(forge) = forge.as_ref().filter(|forge| forge.is_logged_in())
    {
        forge.may_list_deploy_keys().await.map_err(forge::failure)?;
    }

    let message = message(&layout, &installation, &tip);
    let proposal = propose.then(|| proposal_branch(&files));
    let commit = if files.iter().any(PlannedFile::is_written) {
        progress.begin("asking whether a push would be accepted");
        let parent = tip.commit.as_deref();
        let commit = source::commit(&repository, parent, &files, &message).await?;
        let target = Target {
            branch: proposal.as_deref().unwrap_or(&layout.branch),
            expected: if proposal.is_some() { None } else { parent },
        };
        let exists = match &proposal {
            Some(head) => repository.tip(head).await?.is_some(),
            None => false,
        };
        if !exists {
            source::try_push(&repository, &commit, target).await?;
        }
        Some(commit)
    } else {
        None
    };
    let at = tip.commit.as_deref().map_or("empty".to_owned(), |commit| {
        format!("at {}", text::short_revision(commit))
    });
    let writable = if commit.is_some() {
        "readable and writable with your credentials"
    } else {
        "has all files already"
    };
    progress.done(&format!("git {branch} {at}, {writable}"));

    let secret_value = readable.secret;
    let plan = Plan {
        take_over,
        files,
        branch,
        url: repository.url().to_owned(),
        proposal: proposal.map(|head| {
            let kind = forge
                .as_ref()
                .map_or("pull request", |forge| forge.kind.request_name());
            (head, kind)
        }),
        objects: changes
            .into_iter()
            .chain(left.iter().map(|object| ObjectChange {
                verb: Verb::Leave,
                object: object.clone(),
            }))
            .filter(|change| !by_agent || change.verb == Verb::Create)
            .collect(),
        by_agent: by_agent && objects.is_empty(),
        secret: secret_value
            .as_ref()
            .map(|secret| (shown(secret), readable.access.shown())),
        directory: layout.directory().to_owned(),
        root_changes,
        beside: if root_changes { beside } else { Vec::new() },
        notes,
    };
    Ok(Ready {
        layout,
        repository,
        tip,
        installation,
        objects,
        plan,
        commit,
        message,
        secret: secret_value,
        deploy_key: readable.deploy_key,
        forge,
        conflicting_controllers,
        left,
    })
}

/// Reachable, new enough, and the user may do what is needed.
async fn cluster_itself(
    options: &BootstrapOptions,
    url: &str,
    cluster: Cluster<'_>,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let context = &cluster.connection.endpoint.context;
    progress.begin(&format!("asking the cluster {context} what you may do"));
    let (major, minor, version) = cluster.version().await?;
    if (major, minor) < OLDEST {
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            format!(
                "the cluster of context {context:?} runs Kubernetes {version}; the agent needs {}.{} or newer",
                OLDEST.0, OLDEST.1
            ),
        ));
    }
    let with_secret =
        options.offer.token.is_some() || options.offer.ssh_key.is_some() || access::is_ssh(url);
    let rules = permissions::to_install(&options.namespace, with_secret, options.adopt);
    permissions::check(cluster.connection, &rules).await?;
    progress.done(&format!(
        "cluster {context}, Kubernetes {version}, you have the required permissions ({} checked)",
        rules.len()
    ));
    Ok(())
}

async fn applications(
    connection: &Connection,
    namespace: &str,
) -> Result<Vec<Application>, CommandError> {
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    let listed = connection
        .ask("list Applications", api.list(&ListParams::default()))
        .await?;
    Ok(listed.items)
}

async fn application_sets(connection: &Connection, namespace: &str) -> usize {
    let api: Api<gitops_api::ApplicationSet> =
        Api::namespaced(connection.client.clone(), namespace);
    // Only for a warning.
    match connection
        .wait(api.list_metadata(&ListParams::default()))
        .await
    {
        Ok(Ok(listed)) => listed.items.len(),
        _ => 0,
    }
}

/// The installation that Git has.
fn earlier_installation(tip: &Tip, layout: &Layout) -> Result<Vec<Value>, CommandError> {
    match tip.files.get(&layout.install_file()) {
        Some(text) => manifests::parse(text).map_err(|error| {
            CommandError::new(
                CommandErrorKind::Refused,
                format!("{}: {}", layout.install_file(), error.message),
            )
        }),
        None => Ok(Vec::new()),
    }
}

struct Live {
    root: bool,
    agent: bool,
}

/// Which of the two Applications the cluster has; refuses those of another installation.
async fn live_applications(cluster: Cluster<'_>, layout: &Layout) -> Result<Live, CommandError> {
    let mut found = [false, false];
    for (present, wanted) in found.iter_mut().zip([layout.root(), layout.agent()]) {
        let Some(live) = cluster.live(&wanted).await? else {
            continue;
        };
        layout::is_same_application(&live, &wanted).map_err(|why| {
            let error = CommandError::new(
                CommandErrorKind::Refused,
                format!("{} exists in the cluster: {why}", shown(&wanted)),
            );
            if find::is_own(&live, &layout.namespace) {
                error.hint("bootstrap with the same --repo, --path and --branch as before, or remove it first: kubectl gitops uninstall")
            } else {
                error.hint("it is not of an earlier bootstrap: the names root and gitops-agent are needed in the namespace, so give yours another one first")
            }
        })?;
        *present = true;
    }
    Ok(Live {
        root: found[0],
        agent: found[1],
    })
}

/// The installation to have, without what belongs to somebody else, which is returned too.
async fn installation(
    options: &BootstrapOptions,
    cluster: Cluster<'_>,
    namespace_exists: bool,
    earlier: &[Value],
    url: &str,
    progress: &mut Progress,
) -> Result<(Installation, Vec<String>), CommandError> {
    let namespace = options.namespace.clone();
    let own = Installation::new(&Choice {
        namespace: namespace.clone(),
        image: None,
    })?;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": namespace}});
    let current = match earlier.iter().find_map(manifests::image_of) {
        Some(image) => Some(image),
        None if namespace_exists => cluster
            .live(&deployment)
            .await?
            .as_ref()
            .and_then(manifests::image_of),
        None => None,
    };
    let own_image = own.image().ok_or_else(|| {
        CommandError::new(
            CommandErrorKind::Internal,
            "this program was built without an installation",
        )
    })?;
    let image = match image::decide(options.image.as_ref(), current.as_ref(), &own_image) {
        Decision::Use(image) => image,
        Decision::Keep(image) => {
            if image.tag != own_image.tag {
                progress.info(&format!(
                    "image {image} is kept; choose another with --image"
                ));
            }
            image
        }
        Decision::Older { current, own } => {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                format!("the agent runs {current}, which is newer than this program's {own}"),
            )
            .hint("update kubectl gitops, or name the image to use with --image"));
        }
    };
    let installation = Installation::new(&Choice {
        namespace,
        image: Some(image),
    })?;

    let mut left = Vec::new();
    for object in &installation.objects {
        let was_ours = earlier
            .iter()
            .any(|earlier| shown(earlier) == shown(object));
        let is_others = match object["kind"].as_str() {
            Some("CustomResourceDefinition") => cluster
                .live(object)
                .await?
                .is_some_and(|live| live["metadata"]["labels"][PART_OF] != NAME),
            // Settings are their users': what is there is read, and never delivered or taken over.
            Some("ConfigMap" | "Secret" | "AppProject") if namespace_exists && !was_ours => cluster
                .live(object)
                .await?
                .is_some_and(|live| !is_applied_by_agent(&live)),
            _ => false,
        };
        if is_others {
            left.push(shown(object));
        }
    }
    if left
        .iter()
        .any(|object| object.starts_with("CustomResourceDefinition"))
    {
        progress.warn("found definitions of Argo CD's kinds that are not this project's: they are used as they are");
    }
    let mut installation = installation.without(|object| left.contains(&shown(object)));
    if let Some(host) = secret::ssh_host(url) {
        let lines =
            known_hosts::lines(&host, &installation, earlier, cluster, &options.namespace).await?;
        installation = installation.with_known_hosts(&lines);
    }
    Ok((installation, left))
}

/// Whether the agent, or an earlier run of bootstrap in its name, applied an object.
fn is_applied_by_agent(live: &Value) -> bool {
    let entries = live["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .any(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply")
}

/// The root Application as the file in Git will say it.
fn root_of(files: &[PlannedFile], layout: &Layout) -> Result<Value, CommandError> {
    let file = files.iter().find(|file| file.path == layout.root_file());
    let parsed = file.map(|file| manifests::parse(&file.text)).transpose()?;
    Ok(parsed
        .and_then(|objects| objects.into_iter().next())
        .unwrap_or_else(|| layout.root()))
}

fn message(layout: &Layout, installation: &Installation, tip: &Tip) -> String {
    let version = installation
        .image()
        .and_then(|image| image.tag)
        .unwrap_or_default();
    let verb = if tip.files.contains_key(&layout.install_file()) {
        "Update"
    } else {
        "Bootstrap"
    };
    format!(
        "{verb} gitops-agent {version} in {}\n\nMade by kubectl gitops bootstrap.\n",
        layout.directory()
    )
}

/// Branch for a pull request: the same for the same files, so that a second run finds it.
pub fn proposal_branch(files: &[PlannedFile]) -> String {
    let mut digest = Sha256::new();
    for file in files {
        digest.update(file.path.as_bytes());
        digest.update([0]);
        digest.update(file.text.as_bytes());
        digest.update([0]);
    }
    let hex = hex::encode(&digest.finalize()[..4]);
    format!("gitops/bootstrap-{hex}")
}
