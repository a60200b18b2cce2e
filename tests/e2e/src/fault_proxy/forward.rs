//! Connections: requests go to the API server and answers come back, hurt as the rules say.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::request::{Request, Verb};
use super::rule::{Answer, Fault};
use super::{Lines, Shared};
use crate::must;

/// Largest request that is passed on, in bytes: what etcd would never take.
const LARGEST: usize = 16 << 20;

/// The end of a connection.
#[derive(Debug)]
pub(super) struct Cut(&'static str);

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the fault proxy cut the connection: {}", self.0)
    }
}

impl std::error::Error for Cut {}

/// A client of the API server of a kubeconfig, which retries nothing and waits for ever.
pub(super) async fn client(kubeconfig: &Path) -> Client {
    let read = must(Kubeconfig::read_from(kubeconfig), "read the kubeconfig");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(read, &options).await;
    let mut config = must(config, "use the kubeconfig");
    config.default_retry = false;
    config.read_timeout = None;
    config.write_timeout = None;
    must(Client::try_from(config), "make a client")
}

/// Serves connections.
pub(super) async fn accept(listener: TcpListener, client: Client, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if shared.lines.borrow().away {
            continue;
        }
        tokio::spawn(connection(stream, client.clone(), Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, client: Client, shared: Arc<Shared>) {
    let mut lines = shared.lines.subscribe();
    let cuts = lines.borrow().cuts;
    let service = service_fn(|request| answer(request, client.clone(), Arc::clone(&shared)));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        _ = lines.wait_for(|lines| lines.cuts != cuts) => {}
    }
}

/// The answer to one request; an error cuts the connection.
async fn answer(
    request: hyper::Request<Incoming>,
    client: Client,
    shared: Arc<Shared>,
) -> Result<Response<Body>, Cut> {
    let uri = request.uri();
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let asked = Request::read(request.method(), path, query, request.headers());
    let (at, hit) = shared.take(asked.clone());
    audible(&shared).await;
    let forward = async || {
        let answer = pass(request, &client).await?;
        shared.answered(at, answer.status().as_u16());
        audible(&shared).await;
        Ok(answer)
    };
    let whole = |answer| Ok(passed_on(answer, &asked, &shared));
    let Some((fault, rule, n)) = hit else {
        return whole(forward().await?);
    };
    match fault {
        Fault::Answer(own) => {
            shared.answered(at, own.status);
            Ok(own_answer(&own))
        }
        Fault::Swallow => std::future::pending().await,
        Fault::SwallowAnswer => {
            forward().await?;
            std::future::pending().await
        }
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            whole(forward().await?)
        }
        Fault::DelayAnswer(time) => {
            let answer = forward().await?;
            tokio::time::sleep(time).await;
            whole(answer)
        }
        Fault::Cut => Err(Cut("before the request")),
        Fault::CutAnswer => {
            forward().await?;
            Err(Cut("before the answer"))
        }
        Fault::CutWithinAnswer => half(forward().await?).await,
        Fault::Pause => {
            rule.let_go(n).await;
            whole(forward().await?)
        }
        Fault::PauseAnswer => {
            let answer = forward().await?;
            rule.let_go(n).await;
            whole(answer)
        }
        Fault::Call(does) => {
            blocking(does, &asked).await;
            whole(forward().await?)
        }
        Fault::CallAfter(does) => {
            let answer = forward().await?;
            blocking(does, &asked).await;
            whole(answer)
        }
    }
}

async fn blocking(does: super::Callback, asked: &Request) {
    let asked = asked.clone();
    let done = tokio::task::spawn_blocking(move || does(&asked)).await;
    must(done, "do what the fault calls");
}

/// Waits while the lines are silent.
async fn audible(shared: &Shared) {
    let _ = shared
        .lines
        .subscribe()
        .wait_for(|lines| !lines.silent)
        .await;
}

/// Asks the API server.
async fn pass(
    request: hyper::Request<Incoming>,
    client: &Client,
) -> Result<Response<kube::client::Body>, Cut> {
    let (mut parts, body) = request.into_parts();
    for header in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        parts.headers.remove(header);
    }
    let body = axum::body::to_bytes(Body::new(body), LARGEST).await;
    let body = body.map_err(|_| Cut("the request was not whole"))?;
    let request = hyper::Request::from_parts(parts, kube::client::Body::from(body));
    let answer = client.send(request).await;
    answer.map_err(|_| Cut("the API server did"))
}

/// The API server's answer as it comes.
fn passed_on(
    answer: Response<kube::client::Body>,
    asked: &Request,
    shared: &Shared,
) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    if asked.verb != Verb::Watch {
        parts.headers.remove(CONNECTION);
        return Response::from_parts(parts, Body::new(body));
    }
    for header in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        parts.headers.remove(header);
    }
    let bytes = Body::new(body).into_data_stream().boxed();
    let events = events(bytes, asked.resource.clone(), shared);
    Response::from_parts(parts, Body::from_stream(events))
}

/// The events of a watch, held and delayed.
fn events(
    mut bytes: BoxStream<'static, Result<Bytes, axum::Error>>,
    resource: String,
    shared: &Shared,
) -> impl Stream<Item = Result<Bytes, Cut>> + use<> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // Read at once, so that a delay is one of each event and not of all before it.
    tokio::spawn(async move {
        loop {
            let part = tokio::select! {
                part = bytes.next() => part,
                () = sender.closed() => return,
            };
            let Some(part) = part else { return };
            if sender.send((Instant::now(), part)).is_err() {
                return;
            }
        }
    });
    let lines = shared.lines.subscribe();
    let cuts = lines.borrow().watch_cuts;
    stream::unfold(Some((receiver, lines)), move |state| {
        let resource = resource.clone();
        async move {
            let (mut receiver, mut lines) = state?;
            let mut ends = lines.clone();
            let next = async {
                let (came, part) = receiver.recv().await?;
                due(&mut lines, &resource, came).await;
                Some(part)
            };
            let part = tokio::select! {
                part = next => part?,
                _ = ends.wait_for(|lines| lines.watch_cuts != cuts) => {
                    return Some((Err(Cut("of a watch")), None));
                }
            };
            match part {
                Ok(bytes) => Some((Ok(bytes), Some((receiver, lines)))),
                Err(_) => Some((Err(Cut("the API server ended a watch")), None)),
            }
        }
    })
}

/// Waits until something that came then may be told.
async fn due(lines: &mut tokio::sync::watch::Receiver<Lines>, resource: &str, came: Instant) {
    loop {
        let (held, late) = {
            let lines = lines.borrow_and_update();
            let held = lines.silent || lines.held.contains(resource);
            (held, lines.late.get(resource).copied().unwrap_or_default())
        };
        let left = late.saturating_sub(came.elapsed());
        if !held && left.is_zero() {
            return;
        }
        let pause = if held { Duration::MAX } else { left };
        // Whatever changes meanwhile is looked at anew.
        let _ = tokio::time::timeout(pause, lines.changed()).await;
    }
}

/// Half of an answer, and the end of the connection.
async fn half(answer: Response<kube::client::Body>) -> Result<Response<Body>, Cut> {
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(CONNECTION);
    let bytes = axum::body::to_bytes(Body::new(body), usize::MAX).await;
    let bytes = bytes.map_err(|_| Cut("the answer was not whole"))?;
    let first: Result<Bytes, Cut> = Ok(bytes.slice(..bytes.len() / 2));
    let both = stream::iter([first, Err(Cut("within the answer"))]);
    Ok(Response::from_parts(parts, Body::from_stream(both)))
}

/// An answer in the API server's place.
fn own_answer(answer: &Answer) -> Response<Body> {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": answer.status, "reason": answer.reason, "message": answer.message,
    });
    if let Some(seconds) = answer.retry_after {
        status["details"] = json!({"retryAfterSeconds": seconds});
    }
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}
