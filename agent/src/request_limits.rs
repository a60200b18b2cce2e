//! An end for every request to the API server: limits for the answer to begin, for all of it, and for
//! the silence of a watch. They stand in the client itself, so that nobody can forget them.
//!
//! Sends nothing again: what ran out of time is an error like a lost connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use kube::client::Body;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout_at};
use tower::{BoxError, Layer, Service};

/// Longest wait for the answer to a read to begin, and to end: a list may be long.
const READ: Duration = Duration::from_secs(30);
const WHOLE_READ: Duration = Duration::from_mins(1);
/// Longest wait for the whole answer to a write: longer than an API server waits for one webhook
/// (`timeoutSeconds` is at most 30), so that what it would let pass after that wait is not lost.
const WRITE: Duration = Duration::from_secs(45);
/// Longest silence of a watch. The API server sends a bookmark each minute, at most a quarter later.
const WATCH_IDLE: Duration = Duration::from_secs(150);

/// What one request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    /// Until the answer begins.
    begin: Duration,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// All of it is there so long after the request.
    Within(Duration),
    /// Something comes at least this often.
    NeverIdle(Duration),
}

impl Limit {
    fn of(method: &Method, query: &str) -> Self {
        let is_watch = query.split('&').any(|part| {
            matches!(part.split_once('='), Some(("watch", value)) if value != "false" && value != "0")
        });
        match *method {
            Method::GET if is_watch => Self {
                begin: READ,
                rest: Rest::NeverIdle(WATCH_IDLE),
            },
            Method::GET | Method::HEAD => Self {
                begin: READ,
                rest: Rest::Within(WHOLE_READ),
            },
            _ => Self {
                begin: WRITE,
                rest: Rest::Within(WRITE),
            },
        }
    }
}

/// A request that was not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {}s", .0.as_secs())]
pub(crate) struct NoAnswer(Duration);

impl NoAnswer {
    /// Whether this is why a request failed.
    pub(crate) fn caused(error: &kube::Error) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Gives a client limits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestLimits;

impl<S> Layer<S> for RequestLimits {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Limited { inner }
    }
}

/// A client's service with limits.
#[derive(Clone)]
pub(crate) struct Limited<S> {
    inner: S,
}

impl<S, B> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<LimitedBody<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limit = Limit::of(request.method(), request.uri().query().unwrap_or_default());
        let sent = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = timeout_at(sent + limit.begin, answer).await;
            let answer = answer.map_err(|_| NoAnswer(limit.begin))?;
            Ok(answer.map_err(Into::into)?.map(|inner| LimitedBody {
                inner,
                rest: limit.rest,
                over: Box::pin(match limit.rest {
                    Rest::Within(whole) => sleep_until(sent + whole),
                    Rest::NeverIdle(idle) => sleep(idle),
                }),
            }))
        })
    }
}

/// The body of an answer, which ends in time.
pub(crate) struct LimitedBody<B> {
    inner: B,
    rest: Rest,
    over: Pin<Box<Sleep>>,
}

impl<B> HttpBody for LimitedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            if let Rest::NeverIdle(idle) = this.rest {
                this.over.as_mut().reset(Instant::now() + idle);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let (Rest::Within(limit) | Rest::NeverIdle(limit)) = this.rest;
        match this.over.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(NoAnswer(limit).into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A body whose parts come after pauses; it never ends.
    struct Parts(VecDeque<Duration>, Option<Pin<Box<Sleep>>>);

    impl HttpBody for Parts {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            if self.1.is_none() {
                self.1 = self.0.pop_front().map(|pause| Box::pin(sleep(pause)));
            }
            let Some(pause) = &mut self.1 else {
                return Poll::Pending;
            };
            std::task::ready!(pause.as_mut().poll(context));
            self.1 = None;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    /// When a request fails, whose answer begins and goes on after these pauses.
    async fn fails_after(method: Method, query: &str, begins: u64, goes_on: &[u64]) -> u64 {
        let parts: VecDeque<_> = goes_on.iter().copied().map(Duration::from_secs).collect();
        let server = tower::service_fn(move |_: Request<Body>| {
            let parts = parts.clone();
            async move {
                sleep(Duration::from_secs(begins)).await;
                Ok::<_, BoxError>(Response::new(Parts(parts, None)))
            }
        });
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/configmaps?{query}"))
            .body(Body::empty())
            .unwrap();
        let began = Instant::now();
        let failed = match RequestLimits.layer(server).call(request).await {
            Err(error) => error,
            Ok(answer) => {
                let mut body = answer.into_body();
                loop {
                    let next =
                        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
                    if let Err(error) = next.await.unwrap() {
                        break error;
                    }
                }
            }
        };
        assert!(NoAnswer::caused(&kube::Error::Service(failed)));
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn every_request_ends_however_an_api_server_keeps_silent() {
        const NEVER: u64 = 1_000_000;
        for (method, limit) in [
            (Method::GET, 30),
            (Method::PATCH, 45),
            (Method::POST, 45),
            (Method::PUT, 45),
            (Method::DELETE, 45),
        ] {
            assert_eq!(fails_after(method, "", NEVER, &[]).await, limit);
        }
        // It begins, and drips on without an end.
        assert_eq!(
            fails_after(Method::GET, "limit=500", 29, &[9; 99]).await,
            60
        );
        assert_eq!(fails_after(Method::PATCH, "", 1, &[9; 99]).await, 45);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_may_take_for_ever_and_not_be_silent() {
        let watch = "allowWatchBookmarks=true&watch=true";
        assert_eq!(fails_after(Method::GET, watch, 1_000_000, &[]).await, 30);
        assert_eq!(fails_after(Method::GET, watch, 0, &[]).await, 150);
        assert_eq!(
            fails_after(Method::GET, watch, 0, &[75; 100]).await,
            75 * 100 + 150
        );
    }
}
