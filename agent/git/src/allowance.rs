//! How much of a server's answer is taken while it is kept in memory: handshake, refs, negotiation.
//! A pack goes to disk and has limits of its own. Shared by whoever reads and whoever knows what is
//! being read. Never reads.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Instant;

use gitops_transport::{Pace, PaceMeter};

use crate::failure::{Failure, FailureSlot};
use crate::refs::{MAX_LISTING_BYTES, listing_too_long};

/// Largest single object accepted, decompressed; the same for the base and the result of a delta.
/// What Kubernetes could store of it is a small part of this. Also the largest table gix makes for
/// the objects of one pack, which is one of two million.
pub(crate) const MAX_OBJECT_BYTES: usize = 64 << 20;

/// The bytes that may still come.
#[derive(Clone, Debug)]
pub(crate) struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    /// For a listing.
    pub(crate) fn listing() -> Self {
        Self(Rc::new(Cell::new(MAX_LISTING_BYTES)))
    }

    /// Another listing begins.
    pub(crate) fn renew(&self) {
        self.0.set(MAX_LISTING_BYTES);
    }

    /// A pack begins.
    pub(crate) fn lift(&self) {
        self.0.set(u64::MAX);
    }

    /// Takes `bytes` off; the failure says that more came than is taken.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Failure> {
        let left = self.0.get();
        if left == u64::MAX {
            return Ok(());
        }
        let left = left.checked_sub(bytes as u64);
        self.0.set(left.unwrap_or_default());
        left.map(drop)
            .ok_or_else(|| Failure::TooLarge(listing_too_long()))
    }
}

/// The output of a process, up to the allowance and at the least pace.
pub(crate) struct Metered<R> {
    inner: R,
    allowance: Allowance,
    meter: PaceMeter,
    began: Instant,
    failure: FailureSlot,
}

impl<R> Metered<R> {
    pub(crate) fn new(inner: R, allowance: Allowance, pace: Pace, failure: FailureSlot) -> Self {
        Self {
            inner,
            allowance,
            meter: PaceMeter::new(pace),
            began: Instant::now(),
            failure,
        }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length == 0 {
            return Ok(0);
        }
        let taken = self.allowance.take(length).and_then(|()| {
            let paced = self.meter.received(self.began.elapsed(), length as u64);
            paced.map_err(|slow| Failure::Timeout(slow.to_string()))
        });
        taken.map_err(|failure| {
            *self.failure.borrow_mut() = Some(failure);
            // The reason is in the slot; this text goes nowhere.
            io::Error::other("the transport failed")
        })?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    fn read_all(allowance: &Allowance, pace: Pace, bytes: u64) -> Option<Failure> {
        let failure: FailureSlot = Rc::new(RefCell::new(None));
        let source = io::repeat(b'x').take(bytes);
        let mut metered = Metered::new(source, allowance.clone(), pace, failure.clone());
        let read = io::copy(&mut metered, &mut io::sink());
        assert_eq!(read.is_err(), failure.borrow().is_some());
        failure.take()
    }

    #[test]
    fn a_listing_is_cut_off_and_a_pack_is_not() {
        let allowance = Allowance::listing();
        let read = |bytes| read_all(&allowance, Pace::DEFAULT, bytes);
        assert_eq!(read(MAX_LISTING_BYTES), None);
        assert!(matches!(read(1), Some(Failure::TooLarge(_))));
        allowance.lift();
        assert_eq!(read(2 * MAX_LISTING_BYTES), None);
        allowance.renew();
        assert!(matches!(
            read(MAX_LISTING_BYTES + 1),
            Some(Failure::TooLarge(_))
        ));
    }

    #[test]
    fn a_process_that_trickles_is_given_up() {
        let pace = Pace {
            bytes: u64::MAX,
            within: Duration::ZERO,
        };
        let failure = read_all(&Allowance::listing(), pace, 10);
        assert!(matches!(failure, Some(Failure::Timeout(_))), "{failure:?}");
    }
}
