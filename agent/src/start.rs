//! What the start needs of the API server: asked for until it is there.
//!
//! An agent that ended instead would be started again ever later, and stay away after the API server
//! is back. Until all is there it is not ready, and its log says what it waits for.

use std::fmt::Display;
use std::time::Duration;

use gitops_core::backoff;

/// First and longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Tries until it succeeds.
pub(crate) async fn until_done<T, E: Display>(
    waits_for: &str,
    attempt: impl AsyncFn() -> Result<T, E>,
) -> T {
    let mut failed = 0;
    loop {
        let error = match attempt().await {
            Ok(done) => return done,
            Err(error) => error,
        };
        let pause = backoff::delay(failed, FIRST_PAUSE, 2, MAX_PAUSE);
        tracing::warn!(
            waits_for,
            error = format!("{error:#}"),
            again_in = ?pause,
            "not ready yet: the start waits"
        );
        tokio::time::sleep(pause).await;
        failed = failed.saturating_add(1);
    }
}

/// Waits for something that comes by itself, and says every now and then that it has not come.
pub(crate) async fn waiting_for<T>(
    waits_for: &str,
    hint: &str,
    come: impl Future<Output = T>,
) -> T {
    const SAY_EVERY: Duration = Duration::from_secs(10);
    let mut come = std::pin::pin!(come);
    loop {
        if let Ok(come) = tokio::time::timeout(SAY_EVERY, come.as_mut()).await {
            return come;
        }
        tracing::warn!(waits_for, hint, "not ready yet: the start waits");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_start_outlasts_an_outage_of_an_hour_and_goes_on_soon_after() {
        let back = tokio::time::Instant::now() + Duration::from_hours(1);
        let asked = AtomicU32::new(0);
        until_done("the API server", async || {
            asked.fetch_add(1, Ordering::Relaxed);
            if tokio::time::Instant::now() < back {
                return Err("503");
            }
            Ok(())
        })
        .await;
        assert!(back.elapsed() <= MAX_PAUSE);
        assert!(asked.into_inner() < 800, "it does not hammer");
    }
}
