//! Sending a request to the API server again when it failed for a moment. Whether and when is
//! decided in core.

use std::time::Duration;

use gitops_core::attempts;
use gitops_core::attempts::{Ask, Failure};
use kube::Error;

use crate::request_limits::NoAnswer;

/// Sends a request until it is answered, or refused for good, or until it is given up.
///
/// # Errors
/// The last failure.
pub(crate) async fn patiently<T, F>(ask: Ask, request: impl Fn() -> F) -> kube::Result<T>
where
    F: Future<Output = kube::Result<T>>,
{
    let mut sent = 0;
    loop {
        let error = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        sent += 1;
        let failure = failure(&error);
        let Some(pause) = failure.and_then(|failure| attempts::pause(ask, failure, sent)) else {
            return Err(error);
        };
        tracing::debug!(
            ?ask,
            sent,
            ?pause,
            error = gitops_transport::chain(&error),
            "the API server is asked again"
        );
        tokio::time::sleep(pause).await;
    }
}

/// What came back, as far as asking again could help.
fn failure(error: &Error) -> Option<Failure<'_>> {
    match error {
        Error::Api(status) => Some(Failure::Status {
            code: status.code,
            message: &status.message,
            retry_after: status
                .details
                .as_ref()
                .map(|details| Duration::from_secs(details.retry_after_seconds.into())),
        }),
        Error::Service(_) | Error::HyperError(_) if NoAnswer::caused(error) => {
            Some(Failure::NoAnswer)
        }
        Error::Service(_) | Error::HyperError(_) => Some(Failure::Connection),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn refused(code: u16) -> Error {
        Error::Api(Box::new(kube::core::Status {
            code,
            ..kube::core::Status::default()
        }))
    }

    /// How often a request was sent that fails so many times.
    async fn sent(ask: Ask, failures: u32, code: u16) -> (u32, bool) {
        let sent = AtomicU32::new(0);
        let answer = patiently(ask, || {
            let fails = sent.fetch_add(1, Ordering::Relaxed) < failures;
            async move { if fails { Err(refused(code)) } else { Ok(()) } }
        });
        let answered = answer.await.is_ok();
        (sent.into_inner(), answered)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_a_moment_goes_through_and_the_rest_ends() {
        assert_eq!(sent(Ask::Delete, 3, 429).await, (4, true));
        assert_eq!(sent(Ask::Delete, 99, 500).await, (6, false));
        assert_eq!(sent(Ask::Apply, 2, 409).await, (3, true));
        assert_eq!(sent(Ask::Conditional, 2, 409).await, (1, false));
        assert_eq!(sent(Ask::Read, 9, 403).await, (1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_told_from_silence() {
        let lost = Error::Service("connection reset".into());
        assert!(matches!(failure(&lost), Some(Failure::Connection)));
        assert!(failure(&Error::LinesCodecMaxLineLengthExceeded).is_none());
    }
}
