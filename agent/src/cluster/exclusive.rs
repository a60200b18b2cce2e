//! The second step of an apply that is refused because a field is in the way that excludes one of Git's,
//! and the first step of one that gives up fields others hold, too. What is in the way, and who is to
//! hold what, core decides; a common apply never comes here.

use gitops_api::constants;
use gitops_core::attempts::Ask;
use gitops_core::compare::exclusive;
use gitops_core::compare::exclusive::Cause;
use gitops_core::compare::path::Path;
use gitops_core::live::given_up;
use gitops_core::live::given_up::Kept;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::project::WritePermit;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::edit::MAX_CONFLICTS;
use super::write::{Answer, WriteError, Writer, is_of_kind};

/// Most rounds in which a refusal names further fields.
const MAX_ROUNDS: usize = 6;

impl Writer {
    /// Applies again what was refused, without the fields that are in the way, when the API server
    /// would agree to that. Otherwise the refusal stands, and nothing was changed.
    pub(super) async fn apply_alone(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        manifest: &Value,
        validates: bool,
        refusal: WriteError,
    ) -> Result<Answer, WriteError> {
        let Some(key) = ObjectKey::of(manifest) else {
            return Err(refusal);
        };
        let Some(live) = self.get(gvk, &key).await? else {
            return Err(refusal);
        };
        let Some((paths, _)) = self.without(gvk, &live, manifest, &refusal).await? else {
            return Err(refusal);
        };
        let list = |live: &Value| exclusive::held_alone(live, constants::FIELD_MANAGER, &paths);
        if !self.hold(permit, gvk, list).await? {
            return Err(refusal);
        }
        let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
        tracing::info!(object = %key, fields = names.join(", "), "removed: they exclude what Git has");
        self.known_fields(gvk, manifest, validates, false).await
    }

    /// What the object would be after such an apply.
    pub(super) async fn dry_run_alone(
        &self,
        gvk: &GroupVersionKind,
        manifest: &Value,
        refusal: WriteError,
    ) -> Result<Answer, WriteError> {
        let Some(key) = ObjectKey::of(manifest) else {
            return Err(refusal);
        };
        let Some(live) = self.get(gvk, &key).await? else {
            return Err(refusal);
        };
        match self.without(gvk, &live, manifest, &refusal).await? {
            Some((_, object)) => Ok(Answer {
                object,
                left_out: Vec::new(),
            }),
            None => Err(refusal),
        }
    }

    /// Makes the agent the only holder of what Git gives up of an object and others hold because
    /// they sent the same, and lets go what is to stay; says what stays with others.
    pub(crate) async fn give_up(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        manifest: &Value,
    ) -> Result<Vec<Kept>, WriteError> {
        is_of_kind(gvk, permit.key())?;
        let change = |live: &Value| {
            let given_up = given_up::of(live, manifest, constants::FIELD_MANAGER);
            let fields = given_up.list.map(|list| json!({"managedFields": list}));
            (fields, given_up.kept)
        };
        let edited = self.edit(gvk, permit.key(), "take-over", change).await?;
        Ok(edited.map_or_else(Vec::new, |(_, kept)| kept))
    }

    /// The fields without which the API server would take what Git has, and what it would make of it.
    async fn without(
        &self,
        gvk: &GroupVersionKind,
        live: &Value,
        manifest: &Value,
        refusal: &WriteError,
    ) -> Result<Option<(Vec<Path>, Value)>, WriteError> {
        let WriteError::Refused { causes, .. } = refusal else {
            return Ok(None);
        };
        // The API server does not always name all that is wrong at once.
        let mut causes = causes.clone();
        for _ in 0..MAX_ROUNDS {
            let before = causes.len();
            for paths in exclusive::attempts(live, manifest, &causes) {
                let object = exclusive::replaced(live, manifest, &paths);
                match self.dry_replace(gvk, &object).await {
                    Ok(answer) => return Ok(Some((paths, answer))),
                    Err(error) if error.is_transient() => return Err(error),
                    Err(WriteError::Refused { causes: more, .. }) => {
                        let known = |cause: &Cause| causes.contains(cause);
                        let more: Vec<Cause> = more.into_iter().filter(|c| !known(c)).collect();
                        if !more.is_empty() {
                            causes.extend(more);
                            break;
                        }
                    }
                    Err(_) => {}
                }
            }
            if causes.len() == before {
                break;
            }
        }
        Ok(None)
    }

    /// What the API server would make of an object that replaces the one of its name.
    async fn dry_replace(
        &self,
        gvk: &GroupVersionKind,
        object: &Value,
    ) -> Result<Value, WriteError> {
        let key = ObjectKey::of(object).ok_or_else(|| WriteError::UnknownKind(gvk.clone()))?;
        let api = self.api(gvk, &key.namespace).await?;
        let params = PostParams {
            dry_run: true,
            field_manager: Some(constants::FIELD_MANAGER.into()),
        };
        let mut object = object.clone();
        let mut attempt = 1;
        loop {
            let body = serde_json::from_value(object.clone())
                .map_err(|_| WriteError::UnknownKind(gvk.clone()))?;
            self.count("dry-run");
            let answer = self.object(Ask::Conditional, &key, || {
                api.replace(&key.name, &params, &body)
            });
            match answer.await {
                // Its controller was faster: what is asked about is the manifest, and not its status.
                Err(WriteError::Refused { code: 409, .. }) if attempt < MAX_CONFLICTS => {
                    attempt += 1;
                    let live = self.get(gvk, &key).await?;
                    let version = live.map(|live| live["metadata"]["resourceVersion"].clone());
                    object["metadata"]["resourceVersion"] = version.unwrap_or_default();
                }
                answer => return answer.map_err(|error| error.about(&object)),
            }
        }
    }
}
