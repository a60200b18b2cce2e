//! From a source to a job: where its directory is, what Argo CD's override files change, which kind it is, and its
//! options with paths resolved and the build environment substituted. It reads a handful of files and renders nothing.

use std::collections::BTreeMap;

use gitops_core::glob::admit;
use serde_json::Value;

use crate::environment::Environment;
use crate::error::RenderError;
use crate::message::{
    DirectoryOptions, FileParameter, GivenRemote, HelmOptions, JsonnetOptions, KustomizeOptions,
    Options, Parameter, Replica,
};
use crate::path::join;
use crate::reader::Place;
use crate::remote::Remote;
use crate::request::{AppContext, RenderRequest, SourceType};
use crate::source::{
    DirectorySpec, HelmSpec, JsonnetSpec, JsonnetVariable, KustomizeSpec, SourceSpec,
};
use crate::trees::{OWN, Trees};
use crate::value_files::Resolver;

/// Names of kustomization files.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The application's directory, which must exist.
pub(crate) fn source_directory(
    request: &RenderRequest,
    trees: &mut Trees,
) -> Result<String, RenderError> {
    let source = &request.source;
    let written = match &source.spec.path {
        Some(path) if !source.is_chart_archive => path.as_str(),
        _ => "",
    };
    let escapes = || RenderError::PathEscapes {
        field: "spec.source.path".to_owned(),
        path: written.to_owned(),
    };
    if written.starts_with('/') {
        return Err(escapes());
    }
    let path = join("", written).map_err(|_| escapes())?;
    match trees.stat(OWN, &path)? {
        Place::Directory { real } => Ok(real),
        Place::File { .. } => Err(RenderError::PathIsFile { path }),
        Place::Absent => Err(RenderError::PathMissing {
            path,
            revision: source.revision.clone(),
        }),
    }
}

/// Paths of the files that may override the source, in the order they apply.
pub(crate) fn override_files(directory: &str, app: &AppContext) -> Vec<String> {
    [
        ".argocd-source.yaml".to_owned(),
        format!(".argocd-source-{}.yaml", app.name),
    ]
    .iter()
    .filter_map(|name| join(directory, name).ok())
    .collect()
}

/// Merges an override file's content over a source; what decides which repository is read stays.
pub(crate) fn override_source(
    spec: &SourceSpec,
    patch: &Value,
    file: &str,
) -> Result<SourceSpec, RenderError> {
    let invalid = |error: serde_json::Error| RenderError::Invalid {
        path: file.to_owned(),
        line: None,
        message: format!("{file}: {error}; it must have the fields of an Application's source"),
    };
    let mut merged = serde_json::to_value(spec).map_err(invalid)?;
    // An empty file changes nothing.
    if !patch.is_null() {
        json_patch::merge(&mut merged, patch);
    }
    let mut merged = SourceSpec::from_json(merged).map_err(invalid)?;
    merged.repo_url.clone_from(&spec.repo_url);
    merged.path.clone_from(&spec.path);
    merged.chart.clone_from(&spec.chart);
    merged.target_revision.clone_from(&spec.target_revision);
    Ok(merged)
}

/// Which kind a source is: what it says, else what its directory has.
pub(crate) fn detect(
    spec: &SourceSpec,
    directory: &str,
    trees: &mut Trees,
) -> Result<SourceType, RenderError> {
    if spec.plugin.is_some() {
        return Err(RenderError::Unsupported {
            message: "spec.source.plugin: config management plugins are not supported, because they are programs from a repository; use kustomize, Helm, or commit the rendered manifests".to_owned(),
        });
    }
    let explicit: Vec<SourceType> = [
        spec.kustomize.as_ref().map(|_| SourceType::Kustomize),
        spec.helm.as_ref().map(|_| SourceType::Helm),
        spec.directory.as_ref().map(|_| SourceType::Directory),
    ]
    .into_iter()
    .flatten()
    .collect();
    match explicit.as_slice() {
        [] => {}
        [one] => return Ok(*one),
        _ => {
            return Err(RenderError::BadRequest {
                message: "spec.source has more than one of helm, kustomize and directory; keep the one that applies".to_owned(),
            });
        }
    }
    let mut has = |name: &str| -> Result<bool, RenderError> {
        let path = join(directory, name).unwrap_or_default();
        Ok(matches!(trees.stat(OWN, &path)?, Place::File { .. }))
    };
    // With both it is a kustomization, as in Argo CD.
    for name in KUSTOMIZATIONS {
        if has(name)? {
            return Ok(SourceType::Kustomize);
        }
    }
    if has("Chart.yaml")? {
        return Ok(SourceType::Helm);
    }
    Ok(SourceType::Directory)
}

/// What the worker gets.
pub(crate) fn options(
    kind: SourceType,
    spec: &SourceSpec,
    request: &RenderRequest,
    directory: &str,
    environment: &Environment,
    trees: &mut Trees,
) -> Result<Options, RenderError> {
    Ok(match kind {
        SourceType::Directory => Options::Directory(directory_options(
            &spec.directory.clone().unwrap_or_default(),
            environment,
        )?),
        SourceType::Kustomize => Options::Kustomize(kustomize(
            spec.kustomize.clone().unwrap_or_default(),
            request,
            environment,
        )?),
        SourceType::Helm => {
            let resolver = Resolver {
                trees,
                environment,
                directory,
                schemes: &request.app.values_schemes,
            };
            Options::Helm(helm(
                spec.helm.clone().unwrap_or_default(),
                request,
                resolver,
            )?)
        }
    })
}

fn directory_options(
    spec: &DirectorySpec,
    environment: &Environment,
) -> Result<DirectoryOptions, RenderError> {
    // The worker compiles them with a library that recurses once per brace.
    let pattern = |field: &str, text: &str| {
        let pattern = environment.substitute(field, text)?;
        admit(&pattern).map_err(|error| RenderError::BadRequest {
            message: format!("{field} is not a glob pattern that can be used: {error}"),
        })?;
        Ok::<_, RenderError>(pattern)
    };
    let jsonnet = spec.jsonnet.as_ref();
    Ok(DirectoryOptions {
        jsonnet: jsonnet
            .map(|jsonnet| jsonnet_options(jsonnet, environment))
            .transpose()?,
        recurse: spec.recurse,
        include: pattern("spec.source.directory.include", &spec.include)?,
        exclude: pattern("spec.source.directory.exclude", &spec.exclude)?,
        all_files: spec.disable_extension_filter,
    })
}

/// Variables substituted as Argo CD does, and libraries as paths from the root.
fn jsonnet_options(
    spec: &JsonnetSpec,
    environment: &Environment,
) -> Result<JsonnetOptions, RenderError> {
    let variables = |field: &str, variables: &[JsonnetVariable]| {
        variables
            .iter()
            .map(|variable| {
                Ok(JsonnetVariable {
                    name: variable.name.clone(),
                    value: environment.substitute(field, &variable.value)?,
                    code: variable.code,
                })
            })
            .collect::<Result<Vec<_>, RenderError>>()
    };
    let libs = spec.libs.iter().map(|library| {
        join("", library).map_err(|_| RenderError::PathEscapes {
            field: "spec.source.directory.jsonnet.libs".to_owned(),
            path: library.clone(),
        })
    });
    Ok(JsonnetOptions {
        tlas: variables("spec.source.directory.jsonnet.tlas", &spec.tlas)?,
        ext_vars: variables("spec.source.directory.jsonnet.extVars", &spec.ext_vars)?,
        libs: libs.collect::<Result<_, _>>()?,
    })
}

/// Substitutes in all values of a map.
fn substitute_values(
    environment: &Environment,
    field: &str,
    map: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, RenderError> {
    map.into_iter()
        .map(|(key, value)| Ok((key, environment.substitute(field, &value)?)))
        .collect()
}

fn kustomize(
    spec: KustomizeSpec,
    request: &RenderRequest,
    environment: &Environment,
) -> Result<KustomizeOptions, RenderError> {
    let mut replicas = Vec::with_capacity(spec.replicas.len());
    for replica in &spec.replicas {
        let count = match &replica.count {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let count = count.ok_or_else(|| RenderError::BadRequest {
            message: format!(
                "spec.source.kustomize.replicas: the count of {} is not a whole number",
                replica.name
            ),
        })?;
        replicas.push(Replica {
            name: replica.name.clone(),
            count,
        });
    }
    let common_annotations = if spec.common_annotations_envsubst {
        const FIELD: &str = "spec.source.kustomize.commonAnnotations";
        substitute_values(environment, FIELD, spec.common_annotations)?
    } else {
        spec.common_annotations
    };
    let images = spec.images.iter();
    let images = images.map(|image| environment.substitute("spec.source.kustomize.images", image));
    for pattern in &spec.components {
        admit(pattern).map_err(|error| RenderError::BadRequest {
            message: format!(
                "spec.source.kustomize.components: a pattern of it cannot be used: {error}"
            ),
        })?;
    }
    Ok(KustomizeOptions {
        name_prefix: spec.name_prefix,
        name_suffix: spec.name_suffix,
        namespace: spec.namespace,
        images: images.collect::<Result<_, _>>()?,
        replicas,
        common_labels: substitute_values(
            environment,
            "spec.source.kustomize.commonLabels",
            spec.common_labels,
        )?,
        force_common_labels: spec.force_common_labels,
        label_without_selector: spec.label_without_selector,
        label_include_templates: spec.label_include_templates,
        common_annotations,
        force_common_annotations: spec.force_common_annotations,
        patches: spec.patches,
        components: spec.components,
        ignore_missing_components: spec.ignore_missing_components,
        kube_version: or(spec.kube_version, &request.app.kube_version),
        api_versions: if spec.api_versions.is_empty() {
            request.app.api_versions.to_vec()
        } else {
            spec.api_versions
        },
        load_anywhere: request.app.kustomize.load_anywhere,
        legacy_order: request.app.kustomize.legacy_order,
        managed_by_label: request.app.kustomize.managed_by_label,
        remotes: given(request),
    })
}

/// What is outside of the source's tree and is there.
fn given(request: &RenderRequest) -> Vec<GivenRemote> {
    let given = |remote: &Remote| GivenRemote {
        tree: remote.tree(),
        remote: remote.clone(),
    };
    request.source.remotes.keys().map(given).collect()
}

fn or(value: String, default: &str) -> String {
    if value.is_empty() {
        default.to_owned()
    } else {
        value
    }
}

fn helm(
    spec: HelmSpec,
    request: &RenderRequest,
    mut files: Resolver<'_>,
) -> Result<HelmOptions, RenderError> {
    let app = &request.app;
    let value_files = files.value_files(&spec.value_files, spec.ignore_missing_value_files)?;
    let mut file_parameters = Vec::with_capacity(spec.file_parameters.len());
    for parameter in &spec.file_parameters {
        const FIELD: &str = "spec.source.helm.fileParameters";
        let file = files.locate(FIELD, &parameter.path)?;
        if !matches!(
            files.trees.stat(&file.tree, &file.path)?,
            Place::File { .. }
        ) {
            return Err(RenderError::FileMissing {
                path: file.path.clone(),
                message: format!(
                    "{FIELD}: {} is not a file (looked for {})",
                    parameter.path, file.path
                ),
            });
        }
        file_parameters.push(FileParameter {
            name: parameter.name.clone(),
            file,
        });
    }
    let values = match &spec.values_object {
        Some(object) => object.to_string(),
        None => spec.values,
    };
    let environment = files.environment;
    Ok(HelmOptions {
        release_name: or(spec.release_name, &app.name),
        namespace: or(spec.namespace, &app.destination_namespace),
        value_files,
        values,
        parameters: spec
            .parameters
            .into_iter()
            .map(|parameter| {
                const FIELD: &str = "spec.source.helm.parameters";
                Ok(Parameter {
                    name: parameter.name,
                    value: environment.substitute(FIELD, &parameter.value)?,
                    force_string: parameter.force_string,
                })
            })
            .collect::<Result<_, RenderError>>()?,
        file_parameters,
        skip_crds: spec.skip_crds,
        skip_tests: spec.skip_tests,
        skip_schema_validation: spec.skip_schema_validation,
        kube_version: or(spec.kube_version, &app.kube_version),
        api_versions: if spec.api_versions.is_empty() {
            app.api_versions.to_vec()
        } else {
            spec.api_versions
        },
        remotes: given(request),
        packaged: request.source.packaged.clone(),
        shown: files.directory.to_owned(),
    })
}
