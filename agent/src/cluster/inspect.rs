//! Questions a watch cannot answer: is there an object nobody marked yet, and what exactly differs?

use gitops_core::{
    compare::{Confirmation, State},
    desired::DesiredObject,
    drift,
    live::LiveObject,
};

use super::{
    index::Index,
    write::{WriteError, Writer},
};

/// Looks up a desired object that has no record, because objects the agent never applied carry no
/// label to watch.
pub(crate) async fn probe(
    writer: &Writer,
    index: &Index,
    desired: &DesiredObject,
) -> Result<(), WriteError> {
    match writer.look_up(&desired.gvk, &desired.key).await {
        Ok(Some(object)) => {
            index.observe(&object);
            Ok(())
        }
        Ok(None) | Err(WriteError::UnknownKind(_)) => {
            index.note_absent(&desired.key);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Asks the API server what an apply would change, and takes note when that is nothing.
pub(crate) async fn confirm(
    writer: &Writer,
    index: &Index,
    desired: &DesiredObject,
) -> Result<State, WriteError> {
    let manifest = desired.manifest();
    let (live, applied) = tokio::join!(
        writer.get(&desired.gvk, &desired.key),
        writer.dry_run(&desired.gvk, &manifest)
    );
    let Some(live) = live? else {
        index.remove(&desired.key);
        return Ok(State::Missing);
    };
    index.observe(&live);
    let fields = drift::drifted_fields(&live, &applied?);
    if !fields.is_empty() {
        return Ok(State::Drifted(fields));
    }
    if let Some(record) = LiveObject::observe(&live, true) {
        let confirmation = if record.covers(&manifest) {
            Confirmation::of(&record, &desired.digest)
        } else {
            Confirmation::only_now(&record, &desired.digest)
        };
        index.confirm(&desired.key, confirmation);
    }
    Ok(State::Synced)
}
