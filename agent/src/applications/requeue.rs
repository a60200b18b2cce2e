//! When an application is reconciled again although nothing happens.

use std::time::Duration;

/// What the queue is told at the end of a reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requeue {
    /// Not before something changes: a watch, a repository or a user says so.
    AwaitChange,
    /// At the latest after this time.
    After(Duration),
}

impl Requeue {
    /// At once, after what else is in the queue.
    pub(crate) const NOW: Self = Self::After(Duration::ZERO);

    /// After a while, in case nobody says that the server that is being asked has answered.
    pub(crate) const FETCHING: Self = Self::After(Duration::from_secs(15));

    /// The sooner of the two.
    pub(crate) fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(one), Self::After(two)) => Self::After(one.min(two)),
            (Self::AwaitChange, sooner) | (sooner, Self::AwaitChange) => sooner,
        }
    }
}

impl From<Option<Duration>> for Requeue {
    fn from(pause: Option<Duration>) -> Self {
        pause.map_or(Self::AwaitChange, Self::After)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_counts_and_no_time_is_later_than_any() {
        let (one, two) = (
            Requeue::After(Duration::from_secs(1)),
            Requeue::After(Duration::from_secs(2)),
        );
        assert_eq!(two.or_sooner(one).or_sooner(Requeue::AwaitChange), one);
        assert_eq!(Requeue::AwaitChange.or_sooner(two), two);
        let none = Requeue::AwaitChange.or_sooner(None.into());
        assert_eq!(none, Requeue::AwaitChange);
        assert_eq!(one.or_sooner(Requeue::NOW), Requeue::NOW);
    }
}
