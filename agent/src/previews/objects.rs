//! What a sync would do with each object, exactly as the API server sees it: by a dry run.

use futures::{StreamExt, stream};
use gitops_api::preview::{LARGEST_ANSWER, PreviewCounts, PreviewObject, PreviewStatus};
use gitops_core::compare::comparison::State;
use gitops_core::manifest::desired::{DesiredObject, DesiredSet};
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::manifest::options::AppOptions;
use gitops_core::project;
use gitops_core::report::preview::{DryRun, ObjectPreview, SyncPreview};
use gitops_core::report::{preview, refusal};
use jiff::Timestamp;

use crate::applications::context::ReconcileContext;
use crate::applications::error::ReconcileError;
use crate::applications::handover;
use crate::applications::permission;
use crate::cluster::write::{WriteError, Writer};

/// Requests under way at the same time for one Preview.
const MAX_CONCURRENT_INSPECTIONS: usize = 8;

/// What a sync would do with one object.
type Answer = Result<ObjectPreview, WriteError>;

/// Compares manifests with the cluster; equal objects are only counted. `whole` adds the
/// objects themselves.
pub(super) async fn preview_objects(
    context: &ReconcileContext<'_>,
    desired: &DesiredSet,
    whole: bool,
) -> Result<(Vec<PreviewObject>, PreviewCounts), ReconcileError> {
    let configuration = &context.controller.configuration;
    let (cluster, instance) = (&*context.cluster, &context.instance);
    let spec = &context.app.spec;
    let project_name = spec.effective_project();
    let project = permission::project(configuration, project_name)?;
    let index = &cluster.index;
    let (comparison, live) = index.compare(desired, instance, |other| configuration.exists(other));
    let next_owner =
        |object: &ObjectKey| handover::next_owner(configuration, cluster, instance, object);
    let options = AppOptions::of(spec.sync_policy.as_ref());
    let settings = context.controller.sources.settings.get();
    let preview = SyncPreview {
        spec,
        desired,
        mask: &settings.mask,
        whole,
        now: Timestamp::now(),
    };
    let judged: Vec<_> = comparison.into_iter().collect();
    let found: Vec<(ObjectKey, Answer)> = stream::iter(judged)
        .map(async |(object, state)| {
            let answer = match (&state, desired.objects.get(&object)) {
                (State::Extra | State::Extraneous, _) => {
                    let allowed = project::permits_object(
                        &project.spec,
                        project_name,
                        &spec.destination,
                        &object,
                    );
                    match live.get(&object) {
                        Some(record) if allowed.is_ok() && next_owner(&object).is_none() => {
                            pruned(&cluster.writer, &preview, &record.gvk(), &object).await
                        }
                        _ => Ok(ObjectPreview::default()),
                    }
                }
                (_, None) => Ok(ObjectPreview::default()),
                (_, Some(wanted)) => match preview.without_dry_run(wanted, &state) {
                    Some(known) => Ok(ObjectPreview {
                        ignored: index.ignored(&object).len(),
                        ..known
                    }),
                    None => applied(&cluster.writer, &preview, wanted, &options).await,
                },
            };
            (object, answer)
        })
        .buffer_unordered(MAX_CONCURRENT_INSPECTIONS)
        .collect()
        .await;
    let mut answers = Vec::new();
    for (object, answer) in found {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => ObjectPreview {
                object: desired
                    .objects
                    .get(&object)
                    .map(|wanted| preview::refused(wanted, &error.to_string())),
                ignored: 0,
            },
        };
        answers.push((object, answer));
    }
    Ok(preview::collect(answers))
}

/// What an apply would make of an object.
async fn applied(
    writer: &Writer,
    preview: &SyncPreview<'_>,
    wanted: &DesiredObject,
    options: &AppOptions,
) -> Answer {
    let manifest = wanted.manifest();
    let (live, applied) = tokio::join!(
        writer.get(&wanted.gvk, &wanted.key),
        writer.dry_run(&wanted.gvk, &manifest, options.validates(wanted.options))
    );
    let live = match live {
        Ok(live) => live,
        Err(WriteError::UnknownKind(_)) => None,
        Err(error) => return Err(error),
    };
    let answer = match &applied {
        Ok(applied) => DryRun::Applied(applied),
        Err(WriteError::UnknownKind(_)) => DryRun::UnknownKind,
        Err(WriteError::Refused { code, message, .. })
            if !refusal::is_transient(*code, message) =>
        {
            DryRun::Refused {
                code: *code,
                message,
            }
        }
        Err(error) => return Err(error.clone()),
    };
    Ok(preview.with_dry_run(wanted, live.as_ref(), answer))
}

async fn pruned(
    writer: &Writer,
    preview: &SyncPreview<'_>,
    gvk: &GroupVersionKind,
    key: &ObjectKey,
) -> Answer {
    let live = writer.get(gvk, key).await?;
    Ok(ObjectPreview {
        object: live.map(|live| preview.extra(key, &gvk.version, &live)),
        ignored: 0,
    })
}

/// Keeps an answer within what can be stored: whole objects go first, then objects.
pub(super) fn fit(status: &mut PreviewStatus) {
    let size = |object: &PreviewObject| serde_json::to_vec(object).map_or(usize::MAX, |v| v.len());
    let rest = PreviewStatus {
        objects: Vec::new(),
        ..status.clone()
    };
    let mut left =
        LARGEST_ANSWER.saturating_sub(serde_json::to_vec(&rest).map_or(usize::MAX, |v| v.len()));
    let mut kept = Vec::new();
    for mut object in std::mem::take(&mut status.objects) {
        if size(&object) > left {
            object.live = None;
            object.merged = None;
        }
        let size = size(&object);
        if size > left {
            status.truncated += 1;
            continue;
        }
        left -= size;
        kept.push(object);
    }
    status.objects = kept;
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn an_answer_stays_within_what_can_be_stored() {
        let object = |size: usize| {
            let mut object = PreviewObject {
                kind: "ConfigMap".into(),
                ..PreviewObject::default()
            };
            let text = Value::from("x".repeat(size));
            object.live = Some(Map::from_iter([("text".to_owned(), text)]));
            object
        };
        let mut status = PreviewStatus {
            objects: vec![object(LARGEST_ANSWER), object(10)],
            ..PreviewStatus::default()
        };
        fit(&mut status);
        assert_eq!(status.truncated, 0);
        assert_eq!(
            status
                .objects
                .iter()
                .map(|object| object.live.is_some())
                .collect::<Vec<_>>(),
            [false, true]
        );
        status.message = "x".repeat(LARGEST_ANSWER);
        fit(&mut status);
        assert_eq!((status.objects.len(), status.truncated), (0, 2));
    }
}
