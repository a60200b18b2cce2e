//! Questions a watch cannot answer: what exactly differs, and who changes on its way in what Git
//! states?

use gitops_api::constants;
use gitops_core::compare::comparison;
use gitops_core::compare::comparison::State;
use gitops_core::live::admission::MutatedByAdmission;
use gitops_core::live::{admission, takeover};
use gitops_core::manifest::desired::DesiredObject;
use gitops_core::manifest::object::GroupVersionKind;
use gitops_core::manifest::options::AppOptions;
use gitops_core::manifest::tracking;
use gitops_core::project::WritePermit;
use jiff::Timestamp;
use serde_json::Value;

use super::Cluster;
use super::write::{Answer, WriteError, Writer};

/// Attempts while somebody else writes the object between two answers about it.
const MAX_ATTEMPTS: usize = 3;

/// Asks the API server what an apply would change, and takes note when that is nothing that
/// counts. Rules about what to ignore that could not be followed are returned along.
pub(crate) async fn confirm(
    cluster: &Cluster,
    permit: &WritePermit,
    desired: &DesiredObject,
    options: &AppOptions,
) -> Result<(State, Vec<String>), WriteError> {
    let Cluster { writer, index, .. } = cluster;
    let manifest = desired.manifest();
    let mut attempt = 1;
    let (live, applied, left_out, confirmed) = loop {
        let known = index.uid(&desired.key);
        let (live, applied) = tokio::join!(
            writer.get(&desired.gvk, &desired.key),
            writer.dry_run(
                permit,
                &desired.gvk,
                &manifest,
                options.validates(desired.options)
            )
        );
        let Some(live) = live? else {
            if let Some(uid) = known {
                cluster.wake(index.remove(&desired.key, &uid));
            }
            return Ok((State::Missing, Vec::new()));
        };
        // It may be newer than the record by which everything else was judged.
        cluster.wake(index.observe(&live));
        let Answer {
            object: applied,
            left_out,
        } = applied?;
        let confirmed = comparison::confirm(&live, &applied, desired, Timestamp::now());
        // Somebody wrote it between the two answers: what they wrote is no drift.
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if confirmed.state.is_synced()
            || version(&live) == version(&applied)
            || attempt == MAX_ATTEMPTS
        {
            break (live, applied, left_out, confirmed);
        }
        attempt += 1;
    };
    // An apply shows nothing of fields that Git gave up while another tool delivered them.
    let record = index.get(&desired.key);
    let tracking = record.and_then(|record| record.tracking);
    let own = tracking::owner(&manifest)
        .is_some_and(|owner| tracking.is_some_and(|tracking| tracking.instance == owner.instance));
    if confirmed.state.is_synced()
        && own
        && takeover::has_given_up(&live, constants::FIELD_MANAGER, &manifest)
    {
        return Ok((State::Changed, confirmed.problems));
    }
    if let Some(confirmation) = confirmed.confirmation {
        let mutated = mutated_by_admission(writer, &manifest, &applied, desired).await;
        let confirmation = confirmation.admitted(mutated.into());
        index.confirm(&desired.key, confirmation.leaving_out(left_out));
    }
    Ok((confirmed.state, confirmed.problems))
}

/// What admission made of what was applied, and who may have done it.
pub(crate) async fn mutated_by_admission(
    writer: &Writer,
    sent: &Value,
    answer: &Value,
    desired: &DesiredObject,
) -> MutatedByAdmission {
    let fields = admission::fields(sent, answer, desired);
    if fields.is_empty() {
        return MutatedByAdmission::default();
    }
    let webhooks = GroupVersionKind {
        group: "admissionregistration.k8s.io".into(),
        version: "v1".into(),
        kind: "MutatingWebhookConfiguration".into(),
    };
    let by = match (
        writer.list(&webhooks).await,
        writer.served(&desired.gvk).await,
    ) {
        (Ok(webhooks), Ok(served)) => {
            let gvk = &desired.gvk;
            let kind = (&*gvk.group, &*gvk.version, &*served.plural);
            admission::suspects(&webhooks, kind, &desired.key.namespace)
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::debug!(object = %desired.key, %error, "mutating webhooks cannot be listed");
            Vec::new()
        }
    };
    MutatedByAdmission { fields, by }
}
