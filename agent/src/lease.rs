//! Holding the agent's Lease: reads, takes and renews it. Who may take it is decided in core.
//!
//! Losing the lease ends the process: a replica that starts anew is simpler to reason about than
//! one that stops half-way.

use std::time::Duration;

use anyhow::Context;
use gitops_api::constants;
use gitops_core::lease::{Action, Observed, evaluate};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Error};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fence::Fence;

/// Others wait this long after the last renewal before they take over.
const DURATION: Duration = Duration::from_secs(15);
/// This process writes no longer than this after it asked for the last renewal that was granted: the
/// rest is for what was sent last to arrive.
const HELD_FOR: Duration = Duration::from_secs(12);
/// Renewed this often.
const RENEWAL: Duration = Duration::from_secs(5);
/// Longest wait for an answer to a renewal, and the pause before the next try when it failed.
const RENEWAL_LIMIT: Duration = Duration::from_secs(4);
const RENEWAL_RETRY: Duration = Duration::from_secs(1);

/// The lease as this process sees it.
pub(crate) struct Holder {
    api: Api<Lease>,
    namespace: String,
    identity: String,
    seen: Option<(Lease, Instant)>,
    fence: Fence,
}

impl Holder {
    /// `identity` must differ between processes.
    pub(crate) fn new(client: Client, namespace: &str, identity: String, fence: Fence) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.into(),
            identity,
            seen: None,
            fence,
        }
    }

    /// Waits until this process holds the lease; `false` when told to stop before.
    ///
    /// # Errors
    /// When the agent may not use Leases.
    pub(crate) async fn acquire(&mut self, stop: &CancellationToken) -> anyhow::Result<bool> {
        loop {
            let pause = match self.renew().await {
                Ok(Action::Acquire | Action::Renew) => return Ok(true),
                Ok(Action::Wait(pause)) => pause.min(RENEWAL),
                Err(NotRenewed::Refused(Error::Api(status))) if status.code == 403 => {
                    anyhow::bail!(
                        "may not use Leases in namespace {}: {status}",
                        self.namespace
                    )
                }
                Err(error) => {
                    tracing::warn!(
                        error = gitops_transport::chain(&error),
                        "the lease cannot be read"
                    );
                    RENEWAL_RETRY
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(false),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Renews the lease until told to stop, then gives it back. While it cannot be renewed the fence
    /// lets no write pass: that this process is cut off does not mean that others are.
    ///
    /// # Errors
    /// When another process has it.
    pub(crate) async fn hold(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut renewed = Instant::now();
        let mut pause = RENEWAL;
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
                () = tokio::time::sleep(pause) => {}
            }
            pause = RENEWAL;
            match self.renew().await {
                Ok(Action::Renew | Action::Acquire) => renewed = Instant::now(),
                Ok(Action::Wait(_)) => {
                    self.fence.close();
                    anyhow::bail!("another process took the lease {}", constants::LEASE_NAME)
                }
                Err(error) => {
                    pause = RENEWAL_RETRY;
                    tracing::warn!(
                        error = gitops_transport::chain(&error),
                        since = ?renewed.elapsed(),
                        "the lease cannot be renewed"
                    );
                }
            }
        }
    }

    /// A step that ends, and opens the fence when the lease was written.
    async fn renew(&mut self) -> Result<Action, NotRenewed> {
        // Others count from when the renewal reaches the API server, which is not before now.
        let sent = Instant::now();
        let action = tokio::time::timeout(RENEWAL_LIMIT, self.step())
            .await
            .map_err(|_| NotRenewed::NoAnswer)??;
        if matches!(action, Action::Renew | Action::Acquire) {
            self.fence.renewed(sent, HELD_FOR);
        }
        Ok(action)
    }

    /// Reads the lease and does what core decides.
    async fn step(&mut self) -> kube::Result<Action> {
        let known = match &self.seen {
            // While held, the last answer is enough to renew: one request instead of two.
            Some((lease, since)) if holder(lease) == self.identity => Some((lease.clone(), *since)),
            _ => self.read().await?,
        };
        let observed = known.as_ref().map(|(lease, since)| Observed {
            holder: holder(lease).into(),
            duration: lease
                .spec
                .as_ref()
                .and_then(|spec| spec.lease_duration_seconds)
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map_or(DURATION, Duration::from_secs),
            unchanged_for: since.elapsed(),
        });
        let action = evaluate(observed.as_ref(), &self.identity);
        if let Action::Wait(_) = action {
            return Ok(action);
        }
        match self.write(known.as_ref().map(|(lease, _)| lease)).await {
            Ok(()) => Ok(action),
            // It was written meanwhile: by another process, or by an earlier try of this one whose
            // answer was lost. That one is too old to count, so it is written once more.
            Err(Error::Api(status)) if status.code == 409 => {
                self.seen = None;
                let Some((taken, _)) = self.read().await? else {
                    return Ok(Action::Wait(RENEWAL_RETRY));
                };
                if holder(&taken) != self.identity {
                    return Ok(Action::Wait(RENEWAL));
                }
                self.write(Some(&taken)).await.map(|()| action)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the lease as this process's, in place of `before`; another one is a conflict.
    async fn write(&mut self, before: Option<&Lease>) -> kube::Result<()> {
        let (wanted, params) = (self.lease(before), PostParams::default());
        let written = if before.is_some() {
            let name = constants::LEASE_NAME;
            self.api.replace(name, &params, &wanted).await?
        } else {
            self.api.create(&params, &wanted).await?
        };
        self.seen = Some((written, Instant::now()));
        Ok(())
    }

    async fn read(&mut self) -> kube::Result<Option<(Lease, Instant)>> {
        let Some(lease) = self.api.get_opt(constants::LEASE_NAME).await? else {
            self.seen = None;
            return Ok(None);
        };
        let unchanged = self
            .seen
            .as_ref()
            .filter(|(seen, _)| seen.spec == lease.spec);
        let since = unchanged.map_or_else(Instant::now, |(_, since)| *since);
        self.seen = Some((lease, since));
        Ok(self.seen.clone())
    }

    fn lease(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let previous = before.and_then(|lease| lease.spec.as_ref());
        let held =
            previous.and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.identity);
        let transitions = previous
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or(0);
        Lease {
            metadata: ObjectMeta {
                name: Some(constants::LEASE_NAME.into()),
                resource_version: before.and_then(|l| l.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if held {
                    previous.and_then(|spec| spec.acquire_time.clone())
                } else {
                    Some(now.clone())
                },
                renew_time: Some(now),
                lease_transitions: Some(if held { transitions } else { transitions + 1 }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Lets the next process start at once.
    async fn release(&self) {
        self.fence.close();
        let Some((lease, _)) = &self.seen else { return };
        let mut free = lease.clone();
        if let Some(spec) = &mut free.spec {
            spec.holder_identity = None;
        }
        let params = PostParams::default();
        let release = self.api.replace(constants::LEASE_NAME, &params, &free);
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(2), release).await {
            tracing::info!("released lease");
        } else {
            tracing::warn!("could not release lease; it will expire");
        }
    }
}

/// Why the lease was not renewed.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    #[error(transparent)]
    Refused(#[from] Error),
    #[error("the API server did not answer within {}s", RENEWAL_LIMIT.as_secs())]
    NoAnswer,
}

fn holder(lease: &Lease) -> &str {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// Waits for the lease and returns its holder.
///
/// # Errors
/// As [`Holder::acquire`].
pub(crate) async fn wait(
    client: Client,
    namespace: &str,
    identity: String,
    fence: Fence,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Holder>> {
    let mut holder = Holder::new(client, namespace, identity, fence);
    let acquired = holder
        .acquire(stop)
        .await
        .context("waiting for the lease")?;
    Ok(acquired.then_some(holder))
}
