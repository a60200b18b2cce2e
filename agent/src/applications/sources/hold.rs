//! The hold on an application: whether another revision than the tracked one is delivered.

use std::time::Duration;

use gitops_api::constants::{annotation, condition};
use gitops_api::{ApplicationSource, Hold};
use gitops_core::report::status::Condition;
use gitops_core::sync::hold;
use jiff::Timestamp;

use crate::applications::reconcile::Reconciliation;
use crate::applications::sources::render::RenderedApp;

/// What became of a hold in this pass.
pub(crate) enum Holding {
    /// The held revision is delivered.
    InForce(Box<Hold>),
    /// The annotation is to be removed.
    Ended,
}

impl Reconciliation<'_> {
    /// The sources at the held revision, when a hold is in force. `tracked` is what the tracked
    /// revision renders to, `None` when it does not.
    pub(crate) fn held(&mut self, tracked: Option<&RenderedApp>) -> Option<Vec<ApplicationSource>> {
        let text = self
            .app
            .metadata
            .annotations
            .as_ref()?
            .get(annotation::HOLD)?;
        let found = match hold::parse(text) {
            Ok(found) => found,
            Err(why) => {
                let message = format!("annotation {} is ignored: {why}", annotation::HOLD);
                self.conditions
                    .insert(Condition::new(condition::HELD_WARNING, message));
                return None;
            }
        };
        let digest = tracked.map(|wanted| wanted.desired.digest());
        match hold::judge(&found, &self.tracked, digest.as_deref(), Timestamp::now()) {
            hold::Verdict::InForce => {
                self.conditions.insert(Condition::new(
                    condition::HELD_WARNING,
                    hold::message(&found),
                ));
                let sources = hold::sources(&found, self.app.spec.effective_sources());
                self.hold = Some(Holding::InForce(Box::new(found)));
                Some(sources)
            }
            hold::Verdict::Ended(why) => {
                tracing::info!(application = %self.key, why, "a hold ends");
                self.hold = Some(Holding::Ended);
                None
            }
        }
    }

    /// When a hold in force ends at the latest.
    pub(crate) fn hold_interval(&self) -> Option<Duration> {
        let Some(Holding::InForce(hold)) = &self.hold else {
            return None;
        };
        let left = hold.until.as_ref()?.0.as_second() - Timestamp::now().as_second();
        Some(Duration::from_secs(u64::try_from(left).unwrap_or(0) + 1))
    }
}
