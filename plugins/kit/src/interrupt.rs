//! Ctrl-C: the command is dropped where it stands, and what it left in the cluster is taken away.
//! A command that can stop in good order listens instead; the second Ctrl-C drops it all the same.
//!
//! Decides nothing about what a command leaves behind: whoever creates something short-lived hands
//! the work of removing it to [`leave`] when it is dropped before it could do so itself.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::exit::{CommandError, ExitStatus};

/// Longest time that is spent on taking away what was left.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(3);

type Work = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    // Programs run on one thread, so what a dropped value hands over is found here again.
    static LEFT: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

/// Hands over work to be done before the program ends, on whatever way it ends.
pub fn leave(work: impl Future<Output = ()> + 'static) {
    LEFT.with_borrow_mut(|left| left.push(Box::pin(work)));
}

/// How many parts of the program want to be told instead of dropped.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);
static TOLD: Notify = Notify::const_new();

/// As long as it lives, the first Ctrl-C is told here.
#[derive(Debug)]
pub struct Listener(());

impl Listener {
    /// Begins to listen.
    #[allow(
        clippy::new_without_default,
        reason = "listening is an act, not a value"
    )]
    pub fn new() -> Self {
        LISTENERS.fetch_add(1, Ordering::SeqCst);
        Self(())
    }

    /// Ends when the program is told to stop.
    pub async fn told_to_stop(&self) {
        TOLD.notified().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs a command until it ends or is told to stop, then does the work that was left.
pub async fn run(
    command: impl Future<Output = Result<ExitStatus, CommandError>>,
) -> Result<ExitStatus, CommandError> {
    let result = until_told(command).await;
    let left = LEFT.take();
    if !left.is_empty() {
        let tidy = tokio::time::timeout(CLEANUP_TIMEOUT, futures::future::join_all(left));
        tokio::select! {
            // Best effort: nobody waits for the result, and agents tidy up too.
            _ = tidy => {}
            () = told_to_stop() => {}
        }
    }
    result
}

async fn until_told(
    command: impl Future<Output = Result<ExitStatus, CommandError>>,
) -> Result<ExitStatus, CommandError> {
    let mut command = pin!(command);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            () = told_to_stop() => {
                if told || LISTENERS.load(Ordering::SeqCst) == 0 {
                    return Ok(ExitStatus::Interrupted);
                }
                told = true;
                TOLD.notify_one();
            }
            result = &mut command => return result,
        }
    }
}

#[cfg(unix)]
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without handlers the system ends the program, as it always did.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn told_to_stop() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    struct Guard(Rc<Cell<bool>>);

    impl Drop for Guard {
        fn drop(&mut self) {
            let done = Rc::clone(&self.0);
            leave(async move { done.set(true) });
        }
    }

    #[tokio::test]
    async fn what_is_left_is_done_before_the_program_ends() {
        let done = Rc::new(Cell::new(false));
        let guard = Guard(Rc::clone(&done));
        let command = async move {
            let _guard = guard;
            Ok(ExitStatus::No)
        };
        assert_eq!(run(command).await, Ok(ExitStatus::No));
        assert!(done.get());
    }
}
