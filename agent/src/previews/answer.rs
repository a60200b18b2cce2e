//! The answer to a Preview: looked up, edited, rendered, compared.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gitops_api::Application;
use gitops_api::preview::{
    PreviewAction, PreviewFile, PreviewInputs, PreviewObject, PreviewPhase, PreviewRestore,
    PreviewSpec, PreviewStatus,
};
use gitops_core::compare::pipeline;
use gitops_core::rollback::warnings;
use gitops_core::rollback::warnings::Evidence;
use gitops_core::source;
use gitops_core::sync::hold;

use super::PATIENCE;
use super::edited_tree::{Edit, EditedTree};
use super::objects::preview_objects;
use super::reader::Reader;
use super::restore::{Restoration, read_paths, restoration};
use crate::app_key::AppKey;
use crate::applications::context::ReconcileContext;
use crate::applications::controller::Controller;
use crate::applications::permission;
use crate::applications::sources::rendered::RenderedSources;
use crate::applications::sources::resolved::ResolvedSource;
use crate::repositories::blocking;

/// Most files listed as read, a source.
const MAX_INPUTS: usize = 5000;

/// Answers a question of a reader; the error is for people.
pub(super) async fn preview(
    controller: &Controller,
    spec: &PreviewSpec,
    reader: &Reader,
) -> Result<PreviewStatus, String> {
    let namespace = &controller.configuration.namespace;
    if !spec.files.is_empty() && !reader.may_change_files(namespace).await? {
        return Err(may_not_change_files(namespace, reader));
    }
    let key = AppKey {
        namespace: namespace.clone(),
        name: spec.application.clone(),
    };
    let app = controller.configuration.application(&key).ok_or_else(|| {
        format!(
            "there is no Application {:?} in namespace {}",
            spec.application, namespace
        )
    })?;
    let sources = hold::at_revisions(
        app.spec.effective_sources(),
        &spec.revision,
        &spec.revisions,
    );
    let context =
        ReconcileContext::new(controller, &key, &app).map_err(|error| error.to_string())?;
    let from = &controller.sources;
    let mut notes = BTreeSet::new();
    let found = from
        .resolve_within(PATIENCE, &app.spec, &sources, true, &mut notes)
        .await
        .map_err(|error| error.to_string())?;
    let mut status = PreviewStatus {
        phase: PreviewPhase::Succeeded,
        revisions: found.iter().map(|found| found.revision.clone()).collect(),
        warnings: notes
            .into_iter()
            .map(|condition| condition.message)
            .collect(),
        ..PreviewStatus::default()
    };
    if !spec.revision.is_empty() || !spec.revisions.is_empty() {
        status.contained = is_live(&app, &found).await;
    }
    let found = edited(found, spec)?;
    let (found, restoration) = match &spec.restore {
        None => (found, None),
        Some(wanted) => {
            let restoration = restoration(&context, found, wanted).await?;
            (restoration.found.clone(), Some(restoration))
        }
    };
    let mut rendered = from
        .render(
            &context.target(),
            found.clone(),
            String::new(),
            String::new(),
        )
        .await
        .map_err(|error| error.to_string())?;
    let with_ignore_rules = rendered.with_ignore_rules(&app, &from.settings.get());
    rendered.desired = with_ignore_rules.desired;
    let repositories = rendered.repositories();
    let (configuration, desired) = (&controller.configuration, &rendered.desired);
    let denied = permission::denied(configuration, &app.spec, &repositories, desired)
        .map_err(|error| error.to_string())?;
    if let Some(error) = permission::refusal(&denied) {
        return Err(error.to_string());
    }
    rendered.desired.digest().clone_into(&mut status.digest);
    status.inputs = inputs(&rendered, &found);
    status.warnings.extend(rendered.warnings.iter().cloned());
    status.warnings.extend(pipeline::notes(&rendered.desired));
    status.warnings.extend(with_ignore_rules.problems);
    let (objects, counts) = {
        let (desired, whole) = (&rendered.desired, spec.objects);
        preview_objects(&context, &repositories, desired, whole, reader)
            .await
            .map_err(|error| error.to_string())?
    };
    let is_withheld = |object: &PreviewObject| object.action == PreviewAction::Withheld;
    if objects.iter().any(is_withheld) {
        let doubt = reader.asker().doubt();
        status.warnings.extend(doubt.map(|doubt| doubt.to_string()));
        if !spec.files.is_empty() {
            // With files of one's own it would tell a right guess of what is withheld.
            status.digest.clear();
        }
    }
    status.objects = objects;
    status.counts = Some(counts);
    if let Some(restoration) = restoration {
        fill(&mut status, &app, &rendered, restoration);
    }
    Ok(status)
}

fn may_not_change_files(namespace: &str, reader: &Reader) -> String {
    let doubt = reader.asker().doubt();
    let doubt = doubt.map_or_else(String::new, |doubt| format!("; {doubt}"));
    format!(
        "you may not ask what changed files would do: it takes the right to create previews/files in \
         namespace {namespace}{doubt}"
    )
}

fn fill(
    status: &mut PreviewStatus,
    app: &Application,
    rendered: &RenderedSources,
    restoration: Restoration,
) {
    status.cautions = warnings::of(&Evidence {
        now: restoration.now.as_deref(),
        then: &rendered.desired,
        objects: &status.objects,
        sources: app.spec.effective_sources(),
        irreversible: &restoration.irreversible,
        automated_files: &restoration.automated_files,
    });
    let exact = rendered.desired.digest() == restoration.then.digest();
    status.restores = restoration
        .restores
        .into_iter()
        .map(|restore| PreviewRestore {
            exact,
            inexact_because: if exact {
                String::new()
            } else {
                inexact_because(&restore, rendered)
            },
            ..restore
        })
        .collect();
    status.warnings.extend(restoration.warnings);
}

fn inexact_because(restore: &PreviewRestore, rendered: &RenderedSources) -> String {
    let left = restore.files.iter().filter(|file| file.left).count();
    if left > 0 {
        format!("{left} files that other applications read too are left as they are")
    } else if rendered
        .sources
        .iter()
        .any(|source| source.inputs.uses_revision())
    {
        "the manifests contain the name of the commit".into()
    } else {
        "something besides this repository's files has changed since: a chart, the Application \
         itself, or what the cluster serves"
            .into()
    }
}

/// Whether the commit asked for is what is live, or an ancestor of it.
async fn is_live(app: &Application, found: &[ResolvedSource]) -> Option<bool> {
    let asked = found.iter().find(|found| !found.is_chart())?;
    let mirror = asked.checkout.as_ref()?.mirror.clone();
    let live = app.status.as_ref()?.live.as_ref()?.commit.revision.clone();
    let asked = asked.revision.clone();
    blocking(move || Ok(asked == live || mirror.is_ancestor(&asked, &live)?))
        .await
        .ok()
}

/// The sources with the files of the question changed.
fn edited(
    mut found: Vec<ResolvedSource>,
    spec: &PreviewSpec,
) -> Result<Vec<ResolvedSource>, String> {
    if spec.files.is_empty() {
        return Ok(found);
    }
    let first = found.iter().find(|found| !found.is_chart());
    let url = if spec.files_repo_url.is_empty() {
        first.map(|found| found.spec.repo_url.clone())
    } else {
        Some(spec.files_repo_url.clone())
    };
    let url = url.map(|url| source::normalize(&url)).unwrap_or_default();
    let edits = spec
        .files
        .iter()
        .map(|file| Ok((file.path.clone(), edit(file)?)))
        .collect::<Result<std::collections::BTreeMap<_, _>, String>>()?;
    let mut any = false;
    for found in &mut found {
        if !found.is_chart() && source::normalize(&found.spec.repo_url) == url {
            any = true;
            found.tree = Arc::new(EditedTree {
                base: found.tree.clone(),
                edits: edits.clone(),
            });
        }
    }
    if any {
        Ok(found)
    } else {
        Err("spec.filesRepoURL is no repository of the Application's sources".into())
    }
}

fn edit(file: &PreviewFile) -> Result<Edit, String> {
    let clean = !file.path.is_empty()
        && file
            .path
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."));
    if !clean {
        return Err(format!(
            "spec.files: {:?} is not a path from the top of a repository",
            file.path
        ));
    }
    let Some(content) = &file.content else {
        return Ok(Edit::Absent);
    };
    let refused = |why: &str| format!("spec.files: the content of {} {why}", file.path);
    let bytes = STANDARD
        .decode(content)
        .map_err(|_| refused("is not base64"))?;
    // A link shows whatever it leads to.
    if file.symlink {
        return Err(refused(
            "is a symbolic link, which cannot be asked about; ask for a revision that has it",
        ));
    }
    Ok(Edit::File {
        bytes: bytes.into(),
        executable: false,
    })
}

fn inputs(rendered: &RenderedSources, found: &[ResolvedSource]) -> Vec<PreviewInputs> {
    found
        .iter()
        .enumerate()
        .map(|(place, source)| PreviewInputs {
            repo_url: source.spec.repo_url.clone(),
            revision: source.revision.clone(),
            paths: read_paths(rendered, found, place)
                .into_iter()
                .take(MAX_INPUTS)
                .collect(),
            ..PreviewInputs::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_and_no_path_that_leads_away_is_laid_over_a_repository() {
        let file = |path: &str, symlink: bool| PreviewFile {
            path: path.into(),
            content: Some(STANDARD.encode("README.md")),
            symlink,
        };
        assert!(edit(&file("a/b.yaml", false)).is_ok());
        let refused = [
            file("a/link", true),
            file("../a", false),
            file("/a", false),
            file("a//b", false),
            file("", false),
        ];
        for file in refused {
            assert!(edit(&file).is_err(), "{file:?}");
        }
        let gone = PreviewFile {
            content: None,
            ..file("a", false)
        };
        assert_eq!(edit(&gone), Ok(Edit::Absent));
    }
}
