//! Whether the agent lives, by its Lease: what is shown is as old as its last look.

use gitops_kit::text;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

/// Seconds after which a Lease that names no duration counts as abandoned.
const DEFAULT_LEASE_SECONDS: i64 = 30;

/// What the Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    /// Renewed in time.
    Running {
        /// Last renewal.
        renewed: Timestamp,
    },
    /// Not renewed for longer than it promised.
    Stale {
        /// Last renewal.
        renewed: Timestamp,
    },
    /// There is no Lease: no agent ever ran, or another controller is at work.
    Absent,
    /// The Lease may not be read.
    Unknown,
}

impl Agent {
    /// Judges a Lease.
    pub fn of(lease: &Lease, now: Timestamp) -> Self {
        let spec = lease.spec.as_ref();
        let Some(renewed) = spec
            .and_then(|spec| spec.renew_time.as_ref())
            .map(|time| time.0)
        else {
            return Self::Absent;
        };
        let promised = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .map_or(DEFAULT_LEASE_SECONDS, i64::from);
        let has_holder = spec
            .and_then(|spec| spec.holder_identity.as_deref())
            .is_some_and(|holder| !holder.is_empty());
        let quiet = now.as_second().saturating_sub(renewed.as_second());
        // Twice the promise: clocks differ and a renewal may be under way.
        if has_holder && quiet <= promised.saturating_mul(2) {
            Self::Running { renewed }
        } else {
            Self::Stale { renewed }
        }
    }

    /// For the summary line; `None` when there is nothing to say.
    pub fn summary(&self, now: Timestamp) -> Option<String> {
        match self {
            Self::Running { renewed } => {
                Some(format!("agent ok, seen {} ago", text::age(*renewed, now)))
            }
            Self::Stale { renewed } => {
                Some(format!("agent silent for {}", text::age(*renewed, now)))
            }
            Self::Absent => Some("no agent".into()),
            Self::Unknown => None,
        }
    }

    /// A warning for standard error; `None` when all is well.
    pub fn warning(&self, namespace: &str, now: Timestamp) -> Option<String> {
        match self {
            Self::Running { .. } | Self::Unknown => None,
            Self::Stale { renewed } => Some(format!(
                "the agent in namespace {namespace} has been silent for {}: what follows may be \
                 out of date (kubectl -n {namespace} get pods -l app.kubernetes.io/name=gitops-agent)",
                text::age(*renewed, now)
            )),
            Self::Absent => Some(format!(
                "no gitops-agent runs in namespace {namespace}: what follows is what was last \
                 written, by whatever controller"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_judged_by_its_own_promise() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let lease = |renewed: &str, holder: &str| -> Lease {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "gitops-agent"},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}
            }))
            .unwrap()
        };
        let seen = |lease: &Lease| Agent::of(lease, now);
        assert!(matches!(
            seen(&lease("2026-11-21T11:59:40.000000Z", "a")),
            Agent::Running { .. }
        ));
        assert!(matches!(
            seen(&lease("2026-11-21T11:59:29.000000Z", "a")),
            Agent::Stale { .. }
        ));
        assert!(matches!(
            seen(&lease("2026-11-21T11:59:59.000000Z", "")),
            Agent::Stale { .. }
        ));
        // The agent's clock is ahead.
        assert!(matches!(
            seen(&lease("2026-11-21T12:00:09.000000Z", "a")),
            Agent::Running { .. }
        ));
        assert_eq!(seen(&Lease::default()), Agent::Absent);
    }
}
