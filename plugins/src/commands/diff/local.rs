//! `diff --local`: a working tree rendered by the same worker as the agent's, and applied to the
//! cluster as a dry run under the user's own rights. Writes nothing anywhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gitops_api::preview::{PreviewPhase, PreviewStatus};
use gitops_api::{Application, ApplicationSource};
use gitops_core::compare::pipeline;
use gitops_core::compare::pipeline::Pipeline;
use gitops_core::listing;
use gitops_core::live::discovery::ServedKinds;
use gitops_core::manifest::desired::Manifest;
use gitops_core::manifest::object::Origin;
use gitops_core::report::preview::SyncPreview;
use gitops_core::source::only_lends_files;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::progress::Progress;
use gitops_kit::text;
use gitops_render::{
    AppContext, KustomizeBuild, LocalDirectory, RenderError, RenderRequest, Renderer,
    RendererConfig, SourceRequest, SourceSpec, SourceTree,
};
use jiff::Timestamp;

use crate::cluster::connection::Connection;
use crate::commands::diff::cluster::Comparison;
use crate::commands::diff::installation::Installation;
use crate::commands::diff::suitable::Unsuitable;
use crate::commands::diff::{cluster, place, suitable};
use crate::git::WorkingTree;
use crate::render_worker;

/// Most objects named that the project does not allow.
const MAX_PROBLEMS: usize = 5;

/// Renders and compares. Returns the answer and the Git side in words.
pub(super) async fn compare(
    directory: &Path,
    application: &Application,
    connection: &Connection,
    whole: bool,
    progress: &mut Progress,
) -> Result<(PreviewStatus, String), CommandError> {
    let sources = application.spec.effective_sources();
    let program = render_worker::program().map_err(|error| {
        error.hint(
            "what is pushed is compared without it: kubectl gitops diff APP --revision BRANCH",
        )
    })?;
    let tree = WorkingTree::of(directory).await?;
    suitable::check(sources, &tree, |url| tree.is_of(url))
        .map_err(|why| unsuitable(&why, directory, application))?;
    progress.begin("asking the cluster for its kinds");
    let namespace = agent_namespace(application);
    let (kinds, installation) = tokio::try_join!(
        cluster::served_kinds(connection),
        Installation::read(connection, namespace, application),
    )?;
    progress.update("rendering");
    let pipeline = Pipeline {
        application,
        controller_namespace: namespace,
        settings: &installation.settings,
        kinds: &kinds,
        // Only the agent has it.
        digest_key: None,
    };
    let renderer = Renderer::new(RendererConfig::new(program));
    let build = installation.settings.kustomize_build;
    let build = KustomizeBuild {
        load_anywhere: build.load_anywhere,
        legacy_order: build.legacy_order,
        managed_by_label: build.managed_by_label,
    };
    let schemes = installation.settings.helm_values_file_schemes.as_slice();
    let rendering = render(
        &renderer,
        application,
        sources,
        &tree,
        &kinds,
        (build, schemes),
    );
    let (manifests, notices) = rendering.await?;
    let (desired, rules) = pipeline
        .desired(manifests)
        .map_err(|problems| failed(&text::one_line(&pipeline::describe(&problems))))?;
    let spec = &application.spec;
    if let Some(rules) = &installation.rules {
        let denied = rules.denied_objects(&spec.destination, &desired);
        if !denied.is_empty() {
            let denied = denied.into_iter().map(|denied| denied.why);
            let denied = listing::shortened(denied, MAX_PROBLEMS, "; ");
            return Err(failed(&text::one_line(&denied)));
        }
    }
    progress.update("comparing with the cluster");
    let comparison = Comparison {
        connection,
        pipeline,
        rules: installation.rules.as_ref(),
        preview: SyncPreview {
            spec,
            desired: &desired,
            mask: &installation.settings.mask,
            whole,
            now: Timestamp::now(),
        },
    };
    let (objects, counts) = comparison.run().await?;
    let notes = pipeline::notes(&desired);
    let answer = PreviewStatus {
        phase: PreviewPhase::Succeeded,
        revisions: tree.commit.iter().cloned().collect(),
        digest: desired.digest().to_owned(),
        counts: Some(counts),
        objects,
        warnings: installation
            .warnings
            .into_iter()
            .chain(notices)
            .chain(notes)
            .chain(rules)
            .collect(),
        ..PreviewStatus::default()
    };
    Ok((
        answer,
        suitable::side(&directory.display().to_string(), &tree),
    ))
}

/// The manifests of all sources, and what the renderer says besides.
async fn render(
    renderer: &Renderer,
    application: &Application,
    sources: &[ApplicationSource],
    tree: &WorkingTree,
    kinds: &ServedKinds,
    (kustomize, values_schemes): (KustomizeBuild, &[String]),
) -> Result<(Vec<Manifest>, Vec<String>), CommandError> {
    let files: Arc<dyn SourceTree> = Arc::new(LocalDirectory::new(&tree.top));
    let refs: BTreeMap<String, Arc<dyn SourceTree>> = sources
        .iter()
        .filter(|source| !source.ref_name.is_empty())
        .map(|source| (source.ref_name.clone(), Arc::clone(&files)))
        .collect();
    let spec = &application.spec;
    let (_, name) = place(application);
    let mut manifests = Vec::new();
    let mut warnings = Vec::new();
    for source in sources {
        if only_lends_files(source) {
            continue;
        }
        let source_spec: SourceSpec = serde_json::to_value(source)
            .and_then(serde_json::from_value)
            .map_err(|error| failed(&format!("a source cannot be read: {error}")))?;
        let request = RenderRequest {
            app: AppContext {
                name: name.to_owned(),
                destination_namespace: spec.destination.namespace.clone(),
                project: spec.effective_project().to_owned(),
                kube_version: kinds.version.clone(),
                api_versions: Arc::clone(&kinds.api_versions),
                kustomize,
                values_schemes: values_schemes.into(),
            },
            source: SourceRequest {
                spec: source_spec,
                tree: Arc::clone(&files),
                revision: tree.commit.clone().unwrap_or_default(),
                refs: refs.clone(),
                is_chart_archive: false,
                packaged: Vec::new(),
                remotes: BTreeMap::new(),
            },
        };
        let found = renderer
            .render(request)
            .await
            .map_err(|error| not_rendered(&error, tree))?;
        warnings.extend(found.warnings);
        manifests.extend(found.objects.into_iter().map(|object| Manifest {
            value: object.value,
            origin: Origin {
                path: object.origin.path,
                line: object.origin.line,
            },
        }));
    }
    Ok((manifests, warnings))
}

/// Namespace of the agent, by which it marks objects.
fn agent_namespace(application: &Application) -> &str {
    application
        .status
        .as_ref()
        .map(|status| status.controller_namespace.as_str())
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or(place(application).0)
}

fn failed(message: &str) -> CommandError {
    CommandError::new(CommandErrorKind::Usage, message)
}

fn unsuitable(why: &Unsuitable, directory: &Path, application: &Application) -> CommandError {
    let (_, name) = place(application);
    match why {
        Unsuitable::OtherRepository { wanted, remotes } => {
            let remotes = if remotes.is_empty() {
                "no remote".to_owned()
            } else {
                remotes.join(", ")
            };
            failed(&format!(
                "{} is no clone of a repository Application {name} is made from: it has {remotes}, \
                 the Application {}",
                directory.display(),
                wanted.join(", ")
            ))
            .hint("name a directory of the right clone with --local DIR")
        }
        Unsuitable::Elsewhere { number, what } => failed(&format!(
            "source {number} of Application {name} is {what}, which is not in {}: only what is in \
             one clone can be rendered here",
            directory.display()
        ))
        .hint(format!(
            "push a branch and ask the agent, which has access: kubectl gitops diff {name} \
             --revision BRANCH"
        )),
    }
}

fn not_rendered(error: &RenderError, tree: &WorkingTree) -> CommandError {
    match error {
        // Its advice is the agent's: commit the directory.
        RenderError::PathMissing { path, .. } => failed(&format!(
            "directory {path} does not exist in {}",
            tree.top.display()
        )),
        RenderError::MissingDependencies { message, .. } => failed(&text::one_line(message))
            .hint("fetch them into charts/: helm dependency build")
            .hint("or push a branch and ask the agent, which fetches them: --revision BRANCH"),
        RenderError::MissingRemotes { message, .. } => failed(&text::one_line(message))
            .hint("push a branch and ask the agent, which fetches it: --revision BRANCH"),
        error => failed(&text::one_line(&error.to_string())),
    }
}
