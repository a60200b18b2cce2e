//! Who may act: the decision behind the agent's Lease.
//!
//! One agent acts at a time. Whether a lease has run out is judged by the time this process has
//! seen it unchanged, never by comparing clocks of two machines.
//! Source: <https://kubernetes.io/docs/concepts/architecture/leases/>.

use std::time::Duration;

/// A Lease as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `spec.holderIdentity`; empty when nobody holds it.
    pub holder: String,
    /// `spec.leaseDurationSeconds`.
    pub duration: Duration,
    /// How long this process has seen the lease without a change.
    pub unchanged_for: Duration,
}

/// What to do about the lease now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take it: nobody holds it, or its holder has stopped renewing it.
    Acquire,
    /// Write a new renew time.
    Renew,
    /// Look again after this time.
    Wait(Duration),
}

/// Decides for the process `me`. `lease` is `None` when the Lease does not exist.
pub fn evaluate(lease: Option<&Observed>, me: &str) -> Action {
    match lease {
        None => Action::Acquire,
        Some(lease) if lease.holder == me => Action::Renew,
        Some(lease) if lease.holder.is_empty() => Action::Acquire,
        Some(lease) if lease.unchanged_for >= lease.duration => Action::Acquire,
        Some(lease) => Action::Wait(lease.duration.saturating_sub(lease.unchanged_for)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions() {
        let seconds = Duration::from_secs;
        let held = |holder: &str, unchanged: u64| {
            Some(Observed {
                holder: holder.into(),
                duration: seconds(15),
                unchanged_for: seconds(unchanged),
            })
        };
        let cases = [
            (None, Action::Acquire),
            (held("me", 99), Action::Renew),
            (held("", 0), Action::Acquire),
            (held("other", 15), Action::Acquire),
            (held("other", 4), Action::Wait(seconds(11))),
        ];
        for (lease, expected) in cases {
            assert_eq!(evaluate(lease.as_ref(), "me"), expected, "{lease:?}");
        }
    }
}
