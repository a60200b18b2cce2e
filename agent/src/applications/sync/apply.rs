//! Applying one object: as Git has it, or with the live values of what is to be ignored.

use gitops_core::compare::comparison::Confirmation;
use gitops_core::live::injected;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::DesiredObject;
use gitops_core::manifest::digest::Agreement;
use gitops_core::manifest::options::AppOptions;
use gitops_core::manifest::tracking;
use gitops_core::project::WritePermit;
use gitops_core::settings::ignore;
use gitops_core::settings::ignore::ObjectRules;
use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::write::{Answer, WriteError};
use crate::cluster::{Cluster, inspect};

/// Attempts while somebody else changes the object between reading and applying it.
const MAX_ATTEMPTS: usize = 5;

/// Applies one object and takes note of the answer. With `RespectIgnoreDifferences` fields
/// whose differences are ignored keep their live value.
pub(crate) async fn apply(
    cluster: &Cluster,
    permit: &WritePermit,
    desired: &DesiredObject,
    exists: bool,
    options: &AppOptions,
) -> Result<(), WriteError> {
    let writer = &cluster.writer;
    let record = cluster.index.get(&desired.key);
    // Only an object the agent never applied can have fields to take over.
    let is_new_here = record
        .as_ref()
        .is_some_and(|record| record.owned.is_empty());
    if exists && is_new_here && options.client_side_apply_migration {
        let manifest = desired.manifest();
        let owner = tracking::owner(&manifest).map(|tracking| tracking.instance);
        let before = record.as_ref().and_then(|record| record.tracking.as_ref());
        let tracked = before.is_some_and(|before| owner.as_ref() == Some(&before.instance));
        let taken = (&manifest, tracked);
        writer.take_over(permit, &desired.gvk, taken).await?;
    }
    let manifest = desired.manifest();
    let kept = match &record {
        Some(record) if exists && gives_up(record, desired, &manifest) => {
            writer.give_up(permit, &desired.gvk, &manifest).await?
        }
        _ => Vec::new(),
    };
    let validates = options.validates(desired.options);
    // Taking an object over must not reset what others were left to decide either.
    let rules = desired.ignore.as_deref();
    let respected = rules.filter(|_| options.respect_ignore_differences || is_new_here);
    let injected = record.is_some_and(|record| record.injected);
    let (sent, answer, ignored) = if exists && (respected.is_some() || injected) {
        apply_keeping(cluster, permit, desired, respected, validates).await?
    } else {
        let answer = writer
            .apply(permit, &desired.gvk, &manifest, validates)
            .await?;
        (manifest, answer, Vec::new())
    };
    let Answer {
        object: applied,
        left_out,
    } = answer;
    let mut concerned = cluster.index.observe(&applied);
    // Whoever applies it looks at the records afterwards.
    if let Some(own) = tracking::owner(&desired.manifest()) {
        concerned.remove(&own.instance);
    }
    cluster.wake(concerned);
    if let Some(live) = LiveObject::observe(&applied, false) {
        let mutated_by_admission =
            inspect::mutated_by_admission(writer, &sent, &applied, desired).await;
        let confirmation = Confirmation::of(&live, desired)
            .ignoring(ignored)
            .keeping(kept)
            .leaving_out(left_out);
        let confirmation = confirmation
            .admitted(mutated_by_admission.into())
            .seen_at(&live, Timestamp::now());
        cluster.index.confirm(&desired.key, confirmation);
    }
    Ok(())
}

/// Whether Git may give up fields of an object that an apply alone would not take away, or would take
/// away too early: only where it changed, and only where somebody else holds the same or the number of
/// replicas is let go.
fn gives_up(record: &LiveObject, desired: &DesiredObject, manifest: &Value) -> bool {
    let lets_go = record.holds_replicas && manifest.pointer("/spec/replicas").is_none();
    let recorded = record.desired_digest.as_deref();
    (record.shares || lets_go)
        && recorded.is_none_or(|recorded| desired.agreement(recorded) != Agreement::Same)
}

/// Applies the manifest with the live values of ignored fields, and with the entries that
/// controllers keep in maps of the object; gives what was sent, the answer, and which ignored
/// fields differ from Git.
async fn apply_keeping(
    cluster: &Cluster,
    permit: &WritePermit,
    desired: &DesiredObject,
    rules: Option<&ObjectRules>,
    validates: bool,
) -> Result<(Value, Answer, Vec<String>), WriteError> {
    let writer = &cluster.writer;
    let manifest = &desired.manifest();
    let mut attempt = 1;
    loop {
        let live = writer.get(&desired.gvk, &desired.key).await?;
        let respected = rules
            .zip(live.as_ref())
            .and_then(|(rules, live)| ignore::respected(manifest, live, rules));
        let (mut sent, ignored) = respected.unwrap_or_else(|| (manifest.clone(), Vec::new()));
        if let Some(live) = &live {
            injected::keep(&mut sent, live);
        }
        match writer.apply(permit, &desired.gvk, &sent, validates).await {
            // Somebody was faster: what is live now is to be kept.
            Err(WriteError::Refused { code: 409, .. }) if attempt < MAX_ATTEMPTS => attempt += 1,
            applied => return Ok((sent, applied?, ignored)),
        }
    }
}
