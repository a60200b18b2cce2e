//! Questions a watch cannot answer: is there an object nobody marked yet, and what exactly differs?

use gitops_core::{
    compare::{Confirmation, State},
    desired::DesiredObject,
    drift,
    live::LiveObject,
    options::AppOptions,
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

/// Asks the API server what an apply would change, and takes note when that is nothing that
/// counts. Rules about what to ignore that could not be followed are returned along.
pub(crate) async fn confirm(
    writer: &Writer,
    index: &Index,
    desired: &DesiredObject,
    options: &AppOptions,
) -> Result<(State, Vec<String>), WriteError> {
    let manifest = desired.manifest();
    let (live, applied) = tokio::join!(
        writer.get(&desired.gvk, &desired.key),
        writer.dry_run(&desired.gvk, &manifest, options.validates(desired.options))
    );
    let Some(live) = live? else {
        index.remove(&desired.key);
        return Ok((State::Missing, Vec::new()));
    };
    index.observe(&live);
    let drift = drift::compare(&live, &applied?, desired);
    if !drift.fields.is_empty() {
        return Ok((State::Drifted(drift.fields), drift.problems));
    }
    if let Some(record) = LiveObject::observe(&live, true) {
        // What is ignored need not be held: another one's changes to it then cost no request.
        let mut expected = manifest;
        for field in &drift.ignored {
            field.path.put(&mut expected, None);
        }
        if let Some(rules) = &desired.ignore {
            expected = rules.stripped(&expected);
        }
        let confirmation = if record.covers(&expected) {
            Confirmation::of(&record, desired)
        } else {
            Confirmation::only_now(&record, desired)
        };
        let ignored = drift.ignored.iter().map(|field| field.path.to_string());
        index.confirm(&desired.key, confirmation.ignoring(ignored.collect()));
    }
    Ok((State::Synced, drift.problems))
}
