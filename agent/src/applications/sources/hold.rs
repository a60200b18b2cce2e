//! The hold on an application: whether another revision than the tracked one is delivered.

use std::time::Duration;

use gitops_api::ApplicationSource;
use gitops_api::constants::{annotation, condition};
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;
use gitops_core::sync::hold;
use jiff::Timestamp;

use crate::app_key::AppKey;
use crate::applications::draft::{HoldState, StatusDraft};
use crate::applications::sources::rendered::RenderedApp;

/// The sources at the held revision, when a hold is in force. `tracked` is what the tracked
/// revision renders to, `None` when it does not.
pub(crate) fn held(
    draft: &mut StatusDraft<'_>,
    tracked: Option<&RenderedApp>,
) -> Option<Vec<ApplicationSource>> {
    let app = draft.app;
    let text = app.metadata.annotations.as_ref()?.get(annotation::HOLD)?;
    let found = match hold::parse(text) {
        Ok(found) => found,
        Err(why) => {
            let reason = Reason::HoldInvalid { detail: why };
            draft
                .conditions
                .insert(Condition::new(condition::HELD_WARNING, reason));
            return None;
        }
    };
    // As it is recorded: a hold may be older than the key of the digests.
    let digest = tracked.map(|wanted| {
        if wanted.desired.is_recorded_as(&found.instead_of_digest) {
            found.instead_of_digest.as_str()
        } else {
            wanted.desired.digest()
        }
    });
    match hold::judge(&found, &draft.tracked, digest, Timestamp::now()) {
        hold::Verdict::InForce => {
            draft.conditions.insert(Condition::new(
                condition::HELD_WARNING,
                hold::reason(&found),
            ));
            let sources = hold::sources(&found, app.spec.effective_sources());
            draft.hold = HoldState::InForce(Box::new(found));
            Some(sources)
        }
        hold::Verdict::Ended(why) => {
            tracing::info!(application = %AppKey::of(app), why, "a hold ends");
            draft.hold = HoldState::Ended;
            None
        }
    }
}

/// When a hold in force ends at the latest.
pub(crate) fn time_left(hold: &HoldState) -> Option<Duration> {
    let HoldState::InForce(hold) = hold else {
        return None;
    };
    let left = hold.until.as_ref()?.0.as_second() - Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0) + 1))
}
