//! What a sync would do with each object, exactly as the API server sees it: by a dry run.

use futures::{StreamExt, stream};
use gitops_api::preview::{PreviewCounts, PreviewObject};
use gitops_core::compare::comparison::State;
use gitops_core::manifest::desired::{DesiredObject, DesiredSet};
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::manifest::options::AppOptions;
use gitops_core::project::WritePermit;
use gitops_core::report::preview::{DryRun, ObjectPreview, SyncPreview};
use gitops_core::report::{preview, refusal};
use jiff::Timestamp;

use super::reader::Reader;
use crate::applications::compare::comparison::known;
use crate::applications::context::ReconcileContext;
use crate::applications::error::ReconcileError;
use crate::applications::handover;
use crate::cluster::write::{WriteError, Writer};

/// Requests under way at the same time for one Preview.
const MAX_CONCURRENT_INSPECTIONS: usize = 8;

/// Why objects cannot be compared for somebody.
#[derive(Debug, thiserror::Error)]
pub(super) enum PreviewError {
    /// As in a reconciliation.
    #[error(transparent)]
    Comparison(#[from] ReconcileError),
    /// What they may read cannot be found out.
    #[error("{0}")]
    Reader(String),
}

/// What a sync would do with one object.
type Answer = Result<ObjectPreview, WriteError>;

/// Compares manifests with the cluster; equal objects are only counted. `whole` adds the
/// objects themselves. Of what the reader may not read the name is given, and nothing is compared.
pub(super) async fn preview_objects(
    context: &ReconcileContext<'_>,
    repositories: &[String],
    desired: &DesiredSet,
    whole: bool,
    reader: &Reader,
) -> Result<(Vec<PreviewObject>, PreviewCounts), PreviewError> {
    let configuration = &context.controller.configuration;
    let (cluster, instance) = (&*context.cluster, &context.instance);
    let spec = &context.app.spec;
    let gate = context.gate(repositories)?;
    let index = &cluster.index;
    let may_hold = |other: &str, key: &ObjectKey| configuration.may_hold(other, key);
    let (comparison, live) = index.compare(desired, instance, &known(context.app, &may_hold));
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
    let found: Vec<(ObjectKey, Result<Answer, String>)> = stream::iter(judged)
        .map(async |(object, state)| {
            let kind = match (desired.objects.get(&object), live.get(&object)) {
                (Some(wanted), _) => Some(wanted.gvk.clone()),
                (None, Some(record)) => Some(record.gvk()),
                (None, None) => None,
            };
            let is_permitted = || {
                let record = live.get(&object);
                record.is_some_and(|record| gate.recreate(record).is_ok())
            };
            // What the project does not allow is not this application's, and not even named.
            if let Some(gvk) = kind
                && (desired.objects.contains_key(&object) || is_permitted())
            {
                match reader.may_read(&cluster.writer, &gvk, &object).await {
                    Ok(true) => {}
                    Ok(false) => {
                        let withheld = preview::withheld(&object, &gvk.version);
                        return (object, Ok(Ok(withheld.into())));
                    }
                    Err(why) => return (object, Err(why)),
                }
            }
            let answer = match (&state, desired.objects.get(&object)) {
                (State::Extra | State::Extraneous, _) => match live.get(&object) {
                    Some(record) if is_permitted() && next_owner(&object).is_none() => {
                        pruned(&cluster.writer, &preview, &record.gvk(), &object).await
                    }
                    _ => Ok(ObjectPreview::default()),
                },
                (_, None) => Ok(ObjectPreview::default()),
                (_, Some(wanted)) => match preview.without_dry_run(wanted, &state) {
                    Some(known) => Ok(ObjectPreview {
                        ignored: index.ignored(&object).len(),
                        ..known
                    }),
                    None => match gate.write(&wanted.key) {
                        Ok(permit) => {
                            let writer = &cluster.writer;
                            applied(writer, &permit, &preview, wanted, &options).await
                        }
                        Err(refusal) => Err(refusal.into()),
                    },
                },
            };
            (object, Ok(answer))
        })
        .buffer_unordered(MAX_CONCURRENT_INSPECTIONS)
        .collect()
        .await;
    let mut answers = Vec::new();
    for (object, answer) in found {
        let answer = match answer.map_err(PreviewError::Reader)? {
            Ok(answer) => answer,
            Err(error) if error.is_transient() => return Err(ReconcileError::from(error).into()),
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
    permit: &WritePermit,
    preview: &SyncPreview<'_>,
    wanted: &DesiredObject,
    options: &AppOptions,
) -> Answer {
    let manifest = wanted.manifest();
    let (live, applied) = tokio::join!(
        writer.get(&wanted.gvk, &wanted.key),
        writer.dry_run(
            permit,
            &wanted.gvk,
            &manifest,
            options.validates(wanted.options)
        )
    );
    let live = match live {
        Ok(live) => live,
        Err(WriteError::UnknownKind(_)) => None,
        Err(error) => return Err(error),
    };
    let answer = match &applied {
        Ok(applied) => DryRun::Applied(&applied.object),
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
