//! Follows what was delivered until it is live.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gitops_api::constants::annotation;
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::progress::Progress;
use gitops_kit::text;
use serde_json::json;

use crate::cluster::follow;
use crate::cluster::follow::{Followed, Verdict};
use crate::commands::rollback::DEFAULT_TIMEOUT;
use crate::commands::rollback::deliver::Delivery;
use crate::commands::rollback::outcome::{Goal, Stage, stage};
use crate::commands::rollback::prepare::RollbackReady;
use crate::commands::rollback::session::Session;

/// Commits that are known to be older than the new one.
const EARLIER: usize = 2000;

impl Session {
    /// Waits, if that was asked for, and notes in the delivery how it went.
    pub(super) async fn wait(
        &mut self,
        ready: &RollbackReady,
        delivery: &mut Delivery,
    ) -> Result<ExitStatus, CommandError> {
        if !delivery.proposed || delivery.held {
            self.refresh().await;
        }
        let wanted = if delivery.proposed {
            self.args.wait || delivery.held
        } else {
            !self.args.no_wait
        };
        if !wanted || self.args.no_wait {
            return Ok(ExitStatus::Success);
        }
        if delivery.held && delivery.proposed {
            let held = self.follow(ready, delivery, Goal::Held, "held version");
            let status = Box::pin(held).await?;
            if status != ExitStatus::Success || !self.args.wait {
                return Ok(status);
            }
        }
        let earlier: HashSet<String> = ready
            .repository
            .history(&ready.tip, EARLIER)
            .await?
            .into_iter()
            .collect();
        let commit = delivery.commit.clone();
        let goal = if delivery.proposed {
            Goal::Merged {
                digest: &ready.plan.digest,
                earlier: &earlier,
            }
        } else {
            Goal::Commit {
                id: &commit,
                earlier: &earlier,
            }
        };
        let what = text::short_revision(&commit).to_owned();
        Box::pin(self.follow(ready, delivery, goal, &what)).await
    }

    /// Asks the agent to look now. Without the right to ask, it looks by itself a little later.
    async fn refresh(&mut self) {
        let stamp = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or_else(|_| "0".to_owned(), |time| time.as_millis().to_string());
        let patch = json!({"metadata": {"annotations": {
            annotation::REFRESH: "normal", annotation::REFRESH_TIMESTAMP: stamp,
        }}});
        if let Err(error) = self.patch(&patch, "ask for a refresh").await {
            self.progress.info(&format!(
                "{error}; the agent looks by itself a little later"
            ));
        }
    }

    async fn follow(
        &mut self,
        ready: &RollbackReady,
        delivery: &mut Delivery,
        goal: Goal<'_>,
        what: &str,
    ) -> Result<ExitStatus, CommandError> {
        let timeout = match self.args.timeout {
            None => Some(DEFAULT_TIMEOUT),
            Some(Duration::ZERO) => None,
            set => set,
        };
        let followed = Followed {
            namespace: &self.namespace,
            name: &self.name,
            timeout,
        };
        let since = delivery.since;
        let auto_sync = ready.plan.auto_sync;
        let (mut seen, mut live) = (false, false);
        let notice = |seen: &mut bool, progress: &mut Progress| {
            if !std::mem::replace(seen, true) && !matches!(goal, Goal::Held) {
                progress.done(&format!("fetched by the agent after {}", seconds(since)));
            }
        };
        let following = follow::follow(
            &self.connection,
            &followed,
            &mut self.progress,
            |application, progress| match stage(application, ready.source, goal) {
                Stage::Unseen(text) => Verdict::Wait(text),
                Stage::Seen(text) => {
                    notice(&mut seen, progress);
                    if auto_sync {
                        Verdict::Wait(text)
                    } else {
                        Verdict::Done("auto-sync is off: the cluster is as it was".to_owned())
                    }
                }
                Stage::Live(text) => {
                    notice(&mut seen, progress);
                    live = true;
                    Verdict::Done(format!("live: {what}, {text} after {}", seconds(since)))
                }
            },
        );
        let status = Box::pin(following).await?;
        if status == ExitStatus::Success && !live {
            self.progress.info(&format!(
                "bring it there with: kubectl gitops sync {} -n {}",
                self.name, self.namespace
            ));
            return Ok(ExitStatus::Success);
        }
        delivery.live = Some(status == ExitStatus::Success);
        Ok(status)
    }
}

fn seconds(since: Instant) -> String {
    text::duration(i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX))
}
