//! What a sync would do with each object, exactly as the API server sees it: by a dry run.

use futures::{StreamExt, stream};
use gitops_api::{
    Application,
    preview::{LARGEST_ANSWER, PreviewAction, PreviewCounts, PreviewObject, PreviewStatus},
};
use gitops_core::{
    compare::State,
    desired::{DesiredObject, DesiredSet},
    drift, mask,
    object::{GroupVersionKind, ObjectKey},
    project,
    status::{Condition, field_drift},
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    applications::{AppKey, Controller},
    cluster::write::WriteError,
};

/// Requests under way at the same time for one Preview.
const INSPECTIONS: usize = 8;

/// What was found of one object.
enum Found {
    Equal,
    Differs(Box<PreviewObject>),
}

impl Controller {
    /// Compares manifests with the cluster; equal objects are only counted. `whole` adds the
    /// objects themselves.
    pub(super) async fn preview_objects(
        &self,
        key: &AppKey,
        app: &Application,
        desired: &DesiredSet,
        whole: bool,
    ) -> Result<(Vec<PreviewObject>, PreviewCounts), Condition> {
        let spec = &app.spec;
        let project_name = spec.effective_project();
        let project = self.project(project_name)?;
        let (comparison, live) =
            self.cluster
                .index
                .compare(desired, &self.instance(key), |instance| {
                    self.exists(instance)
                });
        let brings = |namespace: &str| {
            let created = namespace == spec.destination.namespace
                && spec
                    .sync_policy
                    .as_ref()
                    .is_some_and(|policy| policy.has_option("CreateNamespace=true"));
            let is_it = |key: &ObjectKey| key.kind == "Namespace" && key.name == namespace;
            created || desired.objects.keys().any(is_it)
        };
        let judged: Vec<_> = comparison.into_iter().collect();
        let mut found: Vec<(ObjectKey, Result<Found, WriteError>)> = stream::iter(judged)
            .map(async |(object, state)| {
                let answer = match (&state, desired.objects.get(&object)) {
                    (State::Extra, _) => {
                        let allowed = project::permits_object(
                            &project.spec,
                            project_name,
                            &spec.destination,
                            &object,
                        );
                        match live.get(&object) {
                            Some(record) if allowed.is_ok() => {
                                self.pruned(&record.gvk(), &object, whole).await
                            }
                            _ => Ok(Found::Equal),
                        }
                    }
                    (State::Synced, _) | (_, None) => Ok(Found::Equal),
                    (State::OwnedBy(other), Some(wanted)) => Ok(refused(
                        wanted,
                        &format!("it is part of application {other} and stays with it"),
                    )),
                    (_, Some(wanted)) => self.applied(wanted, &brings, whole).await,
                };
                (object, answer)
            })
            .buffer_unordered(INSPECTIONS)
            .collect()
            .await;
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut objects = Vec::new();
        let mut counts = PreviewCounts::default();
        for (object, answer) in found {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if error.is_transient() => {
                    return Err(crate::applications::comparison_error(error.to_string()));
                }
                Err(error) => match desired.objects.get(&object) {
                    Some(wanted) => refused(wanted, &error.to_string()),
                    None => Found::Equal,
                },
            };
            match answer {
                Found::Equal => counts.equal += 1,
                Found::Differs(object) => {
                    *match object.action {
                        PreviewAction::Create => &mut counts.create,
                        PreviewAction::Change => &mut counts.change,
                        PreviewAction::Prune => &mut counts.prune,
                        PreviewAction::Refuse | PreviewAction::Unknown => &mut counts.refuse,
                    } += 1;
                    objects.push(*object);
                }
            }
        }
        Ok((objects, counts))
    }

    /// What an apply would make of an object.
    async fn applied(
        &self,
        wanted: &DesiredObject,
        brings_namespace: &impl Fn(&str) -> bool,
        whole: bool,
    ) -> Result<Found, WriteError> {
        let writer = &self.cluster.writer;
        let manifest = wanted.manifest();
        let (live, applied) = tokio::join!(
            writer.get(&wanted.gvk, &wanted.key),
            writer.dry_run(&wanted.gvk, &manifest)
        );
        let mut object = described(&wanted.key, &wanted.gvk.version);
        object.origin = wanted.origin.to_string();
        let live = match live {
            Ok(live) => live,
            Err(WriteError::UnknownKind(_)) => None,
            Err(error) => return Err(error),
        };
        let applied = match applied {
            Ok(applied) => Some(applied),
            Err(error) if live.is_none() && comes_later(&error, wanted, brings_namespace) => None,
            Err(error) => return Err(error),
        };
        match (&live, &applied) {
            (Some(live), Some(applied)) => {
                let now = Timestamp::now();
                object.action = PreviewAction::Change;
                object.fields = drift::drifted_fields_in_full(live, applied)
                    .iter()
                    .map(|field| field_drift(field, now))
                    .collect();
                if object.fields.is_empty() {
                    return Ok(Found::Equal);
                }
            }
            _ => object.action = PreviewAction::Create,
        }
        if whole {
            let merged = applied.as_ref().unwrap_or(&manifest);
            let (live, merged) = drift::for_display(live.as_ref(), Some(merged));
            object.live = live.and_then(into_map);
            object.merged = merged.and_then(into_map);
        }
        Ok(Found::Differs(Box::new(object)))
    }

    async fn pruned(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
        whole: bool,
    ) -> Result<Found, WriteError> {
        let Some(live) = self.cluster.writer.get(gvk, key).await? else {
            return Ok(Found::Equal);
        };
        let mut object = described(key, &gvk.version);
        object.action = PreviewAction::Prune;
        if whole {
            object.live = drift::for_display(Some(&live), None).0.and_then(into_map);
        }
        Ok(Found::Differs(Box::new(object)))
    }
}

/// Whether a refusal only says that something the same sync brings is not there yet: the
/// namespace, or the kind's definition.
fn comes_later(
    error: &WriteError,
    wanted: &DesiredObject,
    brings_namespace: &impl Fn(&str) -> bool,
) -> bool {
    match error {
        WriteError::UnknownKind(_) => wanted.kind_known,
        error => error.is_not_found() && brings_namespace(&wanted.key.namespace),
    }
}

fn described(key: &ObjectKey, version: &str) -> PreviewObject {
    PreviewObject {
        group: key.group.clone(),
        version: version.into(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        ..PreviewObject::default()
    }
}

fn refused(wanted: &DesiredObject, message: &str) -> Found {
    Found::Differs(Box::new(PreviewObject {
        action: PreviewAction::Refuse,
        origin: wanted.origin.to_string(),
        message: mask::mask_text::<&str>(message, &[]),
        ..described(&wanted.key, &wanted.gvk.version)
    }))
}

fn into_map(object: Value) -> Option<Map<String, Value>> {
    match object {
        Value::Object(map) => Some(map),
        _ => None,
    }
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
    use super::*;

    #[test]
    fn an_answer_stays_within_what_can_be_stored() {
        let object = |size: usize| {
            let mut object = described(
                &ObjectKey {
                    group: String::new(),
                    kind: "ConfigMap".into(),
                    namespace: "n".into(),
                    name: "c".into(),
                },
                "v1",
            );
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
