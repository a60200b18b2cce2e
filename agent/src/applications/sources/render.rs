//! What an application wants: sources rendered, manifests prepared.
//!
//! Renders only when an input changed: a new commit that touches nothing an application reads
//! costs it a few look-ups.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::constants::condition;
use gitops_api::{Application, ApplicationSource};
use gitops_core::compare::pipeline;
use gitops_core::compare::pipeline::Pipeline;
use gitops_core::live::discovery::ServedKinds;
use gitops_core::manifest::desired::{DesiredSet, Manifest};
use gitops_core::manifest::digest;
use gitops_core::manifest::object::Origin;
use gitops_core::manifest::options::AppOptions;
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;
use gitops_core::settings::Settings;
use gitops_core::source::only_lends_files;
use gitops_render::{
    AppContext, KustomizeBuild, Remote, RenderError, RenderRequest, Rendered, SourceRequest,
    SourceSpec, SourceTree, SourceType,
};
use jiff::Timestamp;

use crate::app_key::AppKey;
use crate::applications::condition::invalid_setting;
use crate::applications::error::ReconcileError;
use crate::applications::source_error::SourceError;
use crate::applications::sources::dependencies::overlay;
use crate::applications::sources::outside::RemoteTree;
use crate::applications::sources::rendered::{
    Dependency, RenderCache, RenderedApp, RenderedSource, RenderedSources,
};
use crate::applications::sources::resolved::ResolvedSource;
use crate::applications::sources::{Sources, dependencies, outside, revisions, unreadable};

/// How often one source is rendered because it needs something more: bases of bases of bases.
const MAX_ROUNDS: usize = 16;

/// What manifests are rendered for.
pub(crate) struct RenderTarget<'a> {
    /// The application's name.
    pub(crate) key: &'a AppKey,
    /// Its spec.
    pub(crate) app: &'a Application,
    /// What the cluster serves.
    pub(crate) kinds: Arc<ServedKinds>,
}

impl Sources {
    /// Renders and prepares what was looked up, unless `last` says that nothing changed, also when it
    /// failed; `hard` renders again in any case.
    pub(crate) async fn render_app(
        &self,
        target: &RenderTarget<'_>,
        found: Vec<ResolvedSource>,
        last: &mut RenderCache,
        hard: bool,
    ) -> Result<RenderedApp, ReconcileError> {
        let revisions: Vec<String> = found.iter().map(|source| source.revision.clone()).collect();
        let git = found
            .iter()
            .enumerate()
            .find_map(|(place, source)| Some((place, source.checkout.as_ref()?.mirror.clone())));
        let RenderTarget { key, app, kinds } = target;
        let about_revisions = revisions::conditions(app, &found);
        let settings = self.settings.get();
        let render_key = render_key(key, app, &settings, found.iter().map(|source| &source.spec));
        let cluster = digest::of_value(&serde_json::json!([kinds.version, kinds.api_versions]));
        let mut stale = Vec::new();
        let outside = self.outside_now(key, &app.spec, hard, &mut stale).await;
        let reusable = last.take(|rendered| {
            !hard
                && rendered.render_key == render_key
                && (rendered.cluster == cluster || !rendered.depends_on_cluster())
                && unchanged(rendered, &found, &outside)
        });
        let rendered = if let Some(rendered) = reusable {
            self.metrics.render("unchanged");
            rendered
        } else {
            let outside: Vec<_> = outside
                .iter()
                .map(|(remote, found)| (remote, &found.revision))
                .collect();
            let inputs = serde_json::json!([render_key, cluster, revisions, outside]);
            let inputs = digest::of_value(&inputs);
            if let Some(error) = last.failure(&inputs, Timestamp::now()).filter(|_| !hard) {
                return Err(error.into());
            }
            match self.render(target, found, render_key, cluster).await {
                Ok(rendered) => {
                    self.metrics.render("rendered");
                    rendered
                }
                Err(error) => {
                    self.metrics.render("failed");
                    last.note_failure(inputs, &error, Timestamp::now());
                    return Err(error);
                }
            }
        };
        let read = rendered.sources.iter();
        let read = read.flat_map(|source| source.outside.keys());
        self.outside.used(key, read);
        let rendered = last.insert(rendered);
        let with_ignore_rules = rendered.with_ignore_rules(app, &settings);
        let desired = &rendered.desired;
        let repeated = |text: &String| {
            let detail = text.clone();
            let reason = Reason::RepeatedResource { detail };
            Condition::new(condition::REPEATED_RESOURCE_WARNING, reason)
        };
        let excluded = |text: &String| {
            let detail = text.clone();
            let reason = Reason::ExcludedResource { detail };
            Condition::new(condition::EXCLUDED_RESOURCE_WARNING, reason)
        };
        let conditions = desired.repeated.iter().map(repeated);
        let conditions = conditions.chain(desired.excluded.iter().map(excluded));
        let conditions =
            conditions.chain(with_ignore_rules.problems.into_iter().map(invalid_setting));
        let unreadable = pipeline::unreadable_settings(desired);
        let conditions = conditions.chain(unreadable.into_iter().map(invalid_setting));
        let render_warning = |text: &String| {
            let detail = text.clone();
            Condition::new(condition::RENDER_WARNING, Reason::RenderWarning { detail })
        };
        let conditions = conditions
            .chain(rendered.warnings.iter().chain(&stale).map(render_warning))
            .chain(about_revisions)
            .collect();
        Ok(RenderedApp {
            revisions,
            source_types: rendered
                .sources
                .iter()
                .map(|source| {
                    source
                        .source_type
                        .map_or_else(String::new, |kind| kind.to_string())
                })
                .collect(),
            repositories: rendered.repositories(),
            desired: with_ignore_rules.desired,
            conditions,
            git,
        })
    }

    /// Renders every source and prepares the manifests.
    pub(crate) async fn render(
        &self,
        target: &RenderTarget<'_>,
        found: Vec<ResolvedSource>,
        render_key: String,
        cluster: String,
    ) -> Result<RenderedSources, ReconcileError> {
        let refs = refs(&found);
        // What is stale was said when it was found out whether anything changed.
        let mut outside = self
            .outside_now(target.key, &target.app.spec, false, &mut Vec::new())
            .await;
        let mut manifests = Vec::new();
        let mut sources = Vec::new();
        let mut warnings = Vec::new();
        for source in found {
            if only_lends_files(&source.spec) {
                sources.push(RenderedSource {
                    repo_url: source.spec.repo_url,
                    revision: source.revision,
                    inputs: gitops_render::InputSet::default(),
                    source_type: None,
                    dependencies: BTreeMap::new(),
                    outside: BTreeMap::new(),
                });
                continue;
            }
            let (rendered, dependencies) = self
                .render_source(target, &source, &refs, &mut outside)
                .await?;
            unreadable::check(target.app, sources.len(), &source, &rendered.without)?;
            warnings.extend(rendered.warnings);
            manifests.extend(rendered.objects.into_iter().map(|object| Manifest {
                value: object.value,
                origin: Origin {
                    path: object.origin.path,
                    line: object.origin.line,
                },
            }));
            let read = outside::read(&outside, &rendered.inputs);
            sources.push(RenderedSource {
                repo_url: source.spec.repo_url,
                revision: source.revision,
                inputs: rendered.inputs,
                source_type: Some(rendered.source_type),
                dependencies,
                outside: read,
            });
        }
        let desired = self.prepare(target, manifests)?;
        Ok(RenderedSources {
            render_key,
            cluster,
            sources,
            desired: Arc::new(desired),
            with_ignore_rules: None,
            warnings,
        })
    }

    fn prepare(
        &self,
        target: &RenderTarget<'_>,
        manifests: Vec<Manifest>,
    ) -> Result<DesiredSet, SourceError> {
        let pipeline = Pipeline {
            application: target.app,
            controller_namespace: &self.configuration.namespace,
            settings: &self.settings.get(),
            kinds: &target.kinds,
            digest_key: Some(&self.digest_key),
        };
        pipeline
            .prepare(manifests)
            .map_err(|problems| SourceError::Manifests(problems.into()))
    }

    /// Renders one source, and again while it needs something that its repository does not hold.
    async fn render_source(
        &self,
        target: &RenderTarget<'_>,
        source: &ResolvedSource,
        refs: &BTreeMap<String, Arc<dyn SourceTree>>,
        outside: &mut BTreeMap<Remote, RemoteTree>,
    ) -> Result<(Rendered, BTreeMap<String, Dependency>), ReconcileError> {
        let RenderTarget { key, app, kinds } = target;
        let spec: SourceSpec = serde_json::to_value(&source.spec)
            .and_then(serde_json::from_value)
            .map_err(|error| SourceError::Spec(error.to_string()))?;
        let mut mounts = BTreeMap::new();
        for round in 0.. {
            let request = RenderRequest {
                app: AppContext {
                    name: key.name.clone(),
                    destination_namespace: app.spec.destination.namespace.clone(),
                    project: app.spec.effective_project().into(),
                    kube_version: kinds.version.clone(),
                    api_versions: kinds.api_versions.clone(),
                    kustomize: kustomize_build(&self.settings.get()),
                    values_schemes: self
                        .settings
                        .get()
                        .helm_values_file_schemes
                        .as_slice()
                        .into(),
                },
                source: SourceRequest {
                    spec: spec.clone(),
                    tree: overlay(source.tree.clone(), &mounts),
                    revision: source.revision.clone(),
                    refs: refs.clone(),
                    is_chart_archive: source.is_chart(),
                    packaged: dependencies::packaged(&mounts),
                    remotes: outside::trees(outside),
                },
            };
            let error = match self.renderer.render(request).await {
                Ok(rendered) => return Ok((rendered, mounts)),
                Err(error) => error,
            };
            match &error {
                _ if round == MAX_ROUNDS => return Err(SourceError::from(error).into()),
                RenderError::MissingDependencies { path, .. } if mounts.is_empty() => {
                    match dependencies::fetch(self, app, &source.tree, path).await? {
                        Some(found) => mounts = found,
                        None => return Err(SourceError::from(error).into()),
                    }
                }
                RenderError::MissingRemotes { remotes, .. } => {
                    self.get_outside(key, &app.spec, remotes, outside).await?;
                }
                _ => return Err(SourceError::from(error).into()),
            }
        }
        Err(SourceError::Spec("it was rendered too often".into()).into())
    }
}

impl RenderedSources {
    /// Whether another set of kinds in the cluster could give another result.
    fn depends_on_cluster(&self) -> bool {
        self.sources.iter().any(|source| {
            // A kustomization may hold charts.
            let mut paths = source.inputs.paths();
            source.source_type == Some(SourceType::Helm)
                || paths.any(|(_, path)| path.ends_with("Chart.yaml"))
        }) || self
            .desired
            .objects
            .values()
            .any(|object| !object.kind_known)
    }
}

/// The options of `kustomize build`, as the renderer takes them.
fn kustomize_build(settings: &Settings) -> KustomizeBuild {
    let build = settings.kustomize_build;
    KustomizeBuild {
        load_anywhere: build.load_anywhere,
        legacy_order: build.legacy_order,
        managed_by_label: build.managed_by_label,
    }
}

/// Everything a render depends on besides the files it reads and the cluster's kinds.
fn render_key<'a>(
    key: &AppKey,
    app: &Application,
    settings: &Settings,
    sources: impl Iterator<Item = &'a ApplicationSource>,
) -> String {
    let namespace = app.spec.sync_policy.as_ref().map(|policy| {
        (
            AppOptions::of(Some(policy)).create_namespace,
            &policy.managed_namespace_metadata,
        )
    });
    let destination = &app.spec.destination;
    let render_key = serde_json::json!([
        key.namespace,
        key.name,
        app.spec.project,
        destination,
        sources.collect::<Vec<_>>(),
        namespace,
        format!(
            "{:?} {:?} {:?} {:?}",
            settings.tracking,
            settings.resources,
            settings.kustomize_build,
            settings.helm_values_file_schemes
        ),
    ]);
    digest::of_value(&render_key)
}

fn refs(found: &[ResolvedSource]) -> BTreeMap<String, Arc<dyn SourceTree>> {
    found
        .iter()
        .filter(|source| !source.spec.ref_name.is_empty())
        .map(|source| (source.spec.ref_name.clone(), source.tree.clone()))
        .collect()
}

/// Whether every file every source read is as it was.
fn unchanged(
    rendered: &RenderedSources,
    found: &[ResolvedSource],
    outside: &BTreeMap<Remote, RemoteTree>,
) -> bool {
    let has_refs = found.iter().any(|source| !source.spec.ref_name.is_empty());
    let mut trees = refs(found);
    let remotes = outside.iter();
    trees.extend(remotes.map(|(remote, found)| (remote.tree(), Arc::clone(&found.tree))));
    let is_same = |(remote, before): (&Remote, &String)| {
        outside
            .get(remote)
            .is_some_and(|now| now.revision == *before)
    };
    rendered.sources.len() == found.len()
        && rendered.sources.iter().zip(found).all(|(before, now)| {
            if before.revision == now.revision && !has_refs && before.outside.iter().all(is_same) {
                return true;
            }
            let tree = overlay(now.tree.clone(), &before.dependencies);
            before
                .inputs
                .unchanged(tree.as_ref(), &trees)
                .unwrap_or(false)
        })
}
