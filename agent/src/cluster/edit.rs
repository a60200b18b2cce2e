//! Changes to the metadata of an object that depend on what it is now: read, decided, and written on the
//! condition that nobody wrote it in between.
//!
//! One way for all of them, because controllers write the status of their objects at any moment: whoever
//! was faster is no reason to fail, only to look again.

use gitops_api::constants;
use gitops_api::constants::finalizer;
use gitops_core::attempts::Ask;
use gitops_core::live::takeover;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::project::{ReleasePermit, WritePermit};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::write::{WriteError, Writer, is_of_kind};

/// So often an object is read anew because somebody else wrote it in between.
pub(super) const MAX_CONFLICTS: u32 = 8;

impl Writer {
    /// Changes the metadata of an object as `change` says of what it is, with a merge patch and a result;
    /// no patch changes nothing. The answer is the object as it is then; `None` when there is none.
    /// `verb` names the write in the metrics.
    pub(super) async fn edit<T>(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
        verb: &'static str,
        change: impl Fn(&Value) -> (Option<Value>, T),
    ) -> Result<Option<(Value, T)>, WriteError> {
        let params = PatchParams {
            field_manager: Some(constants::FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let mut attempt = 1;
        loop {
            let Some(live) = self.get(gvk, key).await? else {
                return Ok(None);
            };
            let (metadata, result) = change(&live);
            let Some(mut metadata) = metadata else {
                return Ok(Some((live, result)));
            };
            metadata["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            let api = self.api(gvk, &key.namespace).await?;
            self.count(verb);
            let patch = Patch::Merge(json!({"metadata": metadata}));
            let written = self
                .object(Ask::Conditional, key, || {
                    api.patch(&key.name, &params, &patch)
                })
                .await;
            match written {
                Ok(object) => return Ok(Some((object, result))),
                Err(WriteError::Refused { code: 409, .. }) if attempt < MAX_CONFLICTS => {
                    attempt += 1;
                }
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the list of who holds which field of the object that is permitted, as `list` says of what
    /// is read. Returns whether anything was written.
    pub(super) async fn hold(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        list: impl Fn(&Value) -> Option<Value>,
    ) -> Result<bool, WriteError> {
        is_of_kind(gvk, permit.key())?;
        let change = |live: &Value| {
            let fields = list(live).map(|list| json!({"managedFields": list}));
            let changes = fields.is_some();
            (fields, changes)
        };
        let held = self.edit(gvk, permit.key(), "take-over", change).await?;
        Ok(held.is_some_and(|(_, changed)| changed))
    }

    /// Makes the agent the holder of what client-side apply, Argo CD or Helm set on an object and Git
    /// holds or held, so that fields removed from Git really go: see [`takeover`]. Returns whether
    /// anything was taken over.
    pub(crate) async fn take_over(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        (desired, tracked): (&Value, bool),
    ) -> Result<bool, WriteError> {
        let list =
            |live: &Value| takeover::taken_over(live, constants::FIELD_MANAGER, desired, tracked);
        self.hold(permit, gvk, list).await
    }

    /// Makes the agent the holder of all that anybody set on an object, so that its next apply
    /// leaves nothing but the manifest.
    pub(crate) async fn take_over_all(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
    ) -> Result<(), WriteError> {
        let list = |live: &Value| takeover::taken_over_from_all(live, constants::FIELD_MANAGER);
        self.hold(permit, gvk, list).await.map(drop)
    }

    /// Takes the finalizer of hooks off the object that is permitted, if it has it; gives the object as
    /// it is then, `None` when there is none.
    pub(crate) async fn release_hook(
        &self,
        permit: &ReleasePermit,
        gvk: &GroupVersionKind,
    ) -> Result<Option<Value>, WriteError> {
        is_of_kind(gvk, permit.key())?;
        let change = |live: &Value| {
            let finalizers = live["metadata"]["finalizers"].as_array();
            let finalizers = finalizers.map_or(&[][..], Vec::as_slice);
            let is_held = finalizers.iter().any(|held| held == finalizer::HOOK);
            let kept = finalizers.iter().filter(|held| *held != finalizer::HOOK);
            let kept: Vec<&Value> = kept.collect();
            (is_held.then(|| json!({"finalizers": kept})), ())
        };
        let released = self.edit(gvk, permit.key(), "finalizer", change).await?;
        Ok(released.map(|(object, ())| object))
    }
}
