//! The fence around every write: nothing is written to the cluster but while the lease is known to be
//! held. It stands in the client itself, so that no writer can forget it.
//!
//! Time is counted from before a renewal was sent: from then on, at the latest, others count, too.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request};
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, Layer, Service};

/// Until when this process may write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Until when the lease is known to be held.
    until: Option<Instant>,
    /// Another controller acts: the lease alone opens nothing.
    blocked: bool,
}

/// A write that was not sent, or given up: another process may hold the lease by now.
#[derive(Debug, thiserror::Error)]
#[error(
    "the agent's Lease could not be renewed in time, or another controller acts on the same \
     Applications, so nothing is written; it goes on when the Lease is renewed and the other is gone"
)]
pub(crate) struct Fenced;

impl Fence {
    /// The lease was renewed by a request that was sent at `sent`, for `duration`.
    pub(crate) fn renewed(&self, sent: Instant, duration: Duration) {
        self.0.lock().until = Some(sent + duration);
    }

    /// Another controller acts on the same objects: nothing is written any more by this process.
    pub(crate) fn block(&self) {
        self.0.lock().blocked = true;
    }

    /// Whether writes pass.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.check().is_ok()
    }

    /// Another process holds the lease, or it was given back.
    pub(crate) fn close(&self) {
        self.0.lock().until = None;
    }

    /// Until when writes pass.
    fn until(&self) -> Option<Instant> {
        let state = *self.0.lock();
        state.until.filter(|_| !state.blocked)
    }

    fn check(&self) -> Result<(), Fenced> {
        match self.until() {
            Some(until) if Instant::now() < until => Ok(()),
            _ => Err(Fenced),
        }
    }

    /// Completes when nothing may be written any more.
    async fn closed(&self) {
        loop {
            match self.until() {
                Some(until) if Instant::now() < until => sleep_until(until).await,
                _ => return,
            }
        }
    }
}

impl<S> Layer<S> for Fence {
    type Service = Fenceable<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Fenceable {
            inner,
            fence: self.clone(),
        }
    }
}

/// A client's service behind the fence.
#[derive(Clone)]
pub(crate) struct Fenceable<S> {
    inner: S,
    fence: Fence,
}

impl<S, R> Service<Request<Body>> for Fenceable<S>
where
    S: Service<Request<Body>, Response = R>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    R: Send + 'static,
{
    type Response = R;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            let answer = self.inner.call(request);
            return Box::pin(async move { answer.await.map_err(Into::into) });
        }
        if let Err(fenced) = self.fence.check() {
            return Box::pin(async move { Err(fenced.into()) });
        }
        let answer = self.inner.call(request);
        let fence = self.fence.clone();
        Box::pin(async move {
            tokio::select! {
                biased;
                () = fence.closed() => Err(Fenced.into()),
                answer = answer => answer.map_err(Into::into),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LEASE: Duration = Duration::from_secs(12);

    /// Answers after a time, and counts what it was sent.
    fn server(
        answers_after: Duration,
        sent: Arc<AtomicUsize>,
    ) -> impl Service<Request<Body>, Response = (), Error = BoxError, Future: Send> {
        tower::service_fn(move |_| {
            sent.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(answers_after).await;
                Ok(())
            }
        })
    }

    fn request(method: Method) -> Request<Body> {
        Request::builder()
            .method(method)
            .body(Body::empty())
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_written_but_while_the_lease_is_known_to_be_held() {
        let fence = Fence::default();
        let sent = Arc::new(AtomicUsize::new(0));
        let mut client = fence.layer(server(Duration::ZERO, Arc::clone(&sent)));
        assert!(
            client.call(request(Method::PATCH)).await.is_err(),
            "never held"
        );
        assert!(
            client.call(request(Method::GET)).await.is_ok(),
            "reading is free"
        );
        fence.renewed(Instant::now(), LEASE);
        for method in [Method::PATCH, Method::POST, Method::PUT, Method::DELETE] {
            assert!(client.call(request(method)).await.is_ok());
        }
        tokio::time::sleep(LEASE).await;
        let before = sent.load(Ordering::Relaxed);
        assert!(
            client.call(request(Method::DELETE)).await.is_err(),
            "run out"
        );
        assert_eq!(sent.load(Ordering::Relaxed), before, "not even sent");
        fence.renewed(Instant::now(), LEASE);
        assert!(client.call(request(Method::DELETE)).await.is_ok());
        fence.close();
        assert!(client.call(request(Method::DELETE)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_under_way_is_given_up_when_the_lease_runs_out_and_not_while_it_is_renewed() {
        let fence = Fence::default();
        let sent = Arc::new(AtomicUsize::new(0));
        let mut client = fence.layer(server(Duration::from_secs(30), Arc::clone(&sent)));
        fence.renewed(Instant::now(), LEASE);
        let began = Instant::now();
        let failed = client.call(request(Method::PATCH)).await;
        assert!(failed.unwrap_err().is::<Fenced>());
        assert_eq!(began.elapsed(), LEASE);

        fence.renewed(Instant::now(), LEASE);
        let write = client.call(request(Method::PATCH));
        let renewals = async {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                fence.renewed(Instant::now(), LEASE);
            }
        };
        let (written, ()) = tokio::join!(write, renewals);
        assert!(written.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_to_a_renewal_gives_no_more_time_than_was_left() {
        let fence = Fence::default();
        let sent = Instant::now();
        tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
        fence.renewed(sent, LEASE);
        assert!(fence.check().is_err());
    }
}
