//! Rules: which requests, and what happens to them.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::request::{Request, Verb};
use crate::wait;

/// What also has to hold of a request.
type Condition = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// Chooses requests; each part that is set has to match.
#[derive(Clone, Default)]
pub struct Requests {
    verbs: Vec<Verb>,
    resource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
    dry_run: Option<bool>,
    also: Option<Condition>,
    /// The first that counts, from 1.
    first: usize,
    /// How many count.
    times: Option<usize>,
}

impl Requests {
    /// Every request.
    pub fn all() -> Self {
        Self {
            first: 1,
            ..Self::default()
        }
    }

    /// Those of a verb.
    pub fn of(verb: Verb) -> Self {
        Self::all().or(verb)
    }

    /// Those that store something.
    pub fn writes() -> Self {
        let mut writes = Self::all().dry_run(false);
        writes.verbs = [
            Verb::Create,
            Verb::Update,
            Verb::Patch,
            Verb::Delete,
            Verb::DeleteCollection,
        ]
        .into();
        writes
    }

    /// Those that read objects once.
    pub fn reads() -> Self {
        Self::of(Verb::Get).or(Verb::List)
    }

    /// And those of another verb.
    #[must_use]
    pub fn or(mut self, verb: Verb) -> Self {
        self.verbs.push(verb);
        self
    }

    /// Of the plural of a kind, or of a path for [`Verb::Other`].
    #[must_use]
    pub fn resource(mut self, plural: &str) -> Self {
        self.resource = Some(plural.into());
        self
    }

    /// In a namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// About the object of that name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Of a subresource; empty for the object itself.
    #[must_use]
    pub fn subresource(mut self, name: &str) -> Self {
        self.subresource = Some(name.into());
        self
    }

    /// Dry runs only, or none.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = Some(dry_run);
        self
    }

    /// Only where this holds, too.
    #[must_use]
    pub fn that(mut self, also: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.also = Some(Arc::new(also));
        self
    }

    /// Only the `n`-th of them, from 1.
    #[must_use]
    pub fn nth(self, n: usize) -> Self {
        self.from(n).times(1)
    }

    /// From the `n`-th of them on, from 1.
    #[must_use]
    pub fn from(mut self, n: usize) -> Self {
        self.first = n;
        self
    }

    /// At most so many of them.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Whether they are about this, whichever one it is.
    pub(super) fn match_(&self, request: &Request) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|w| w == value);
        (self.verbs.is_empty() || self.verbs.contains(&request.verb))
            && is(&self.resource, &request.resource)
            && is(&self.namespace, &request.namespace)
            && is(&self.name, &request.name)
            && is(&self.subresource, &request.subresource)
            && self.dry_run.is_none_or(|dry| dry == request.dry_run)
            && self.also.as_ref().is_none_or(|also| also(request))
    }

    /// Whether the `n`-th of them is meant.
    pub(super) fn include(&self, n: usize) -> bool {
        n >= self.first && self.times.is_none_or(|times| n < self.first + times)
    }
}

/// What happens to a request.
#[derive(Clone)]
pub enum Fault {
    /// Answered in the API server's place, which never sees it.
    Answer(Answer),
    /// Never answered, and the API server never sees it; the connection stays.
    Swallow,
    /// The API server sees it, and its answer never comes; the connection stays.
    SwallowAnswer,
    /// Reaches the API server later.
    Delay(Duration),
    /// The API server sees it at once, and its answer comes later.
    DelayAnswer(Duration),
    /// The connection is cut before the API server sees it.
    Cut,
    /// The API server sees it, and the connection is cut before its answer comes.
    CutAnswer,
    /// The API server sees it, and the connection is cut in the middle of its answer's body.
    CutWithinAnswer,
    /// Waits before the API server sees it until the rule is lifted or [`Rule::release`]d.
    Pause,
    /// The API server sees it, and its answer waits likewise.
    PauseAnswer,
    /// Something is done before the API server sees it, which may block.
    Call(Callback),
    /// Something is done when the API server has answered and the agent does not know yet.
    CallAfter(Callback),
}

/// What [`Fault::Call`] does.
pub type Callback = Arc<dyn Fn(&Request) + Send + Sync>;

/// An answer of the proxy's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `reason` of the Status.
    pub reason: String,
    /// `message` of the Status.
    pub message: String,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u32>,
}

impl Fault {
    /// An answer of that HTTP status, with the reason and words the API server gives with it.
    pub fn status(status: u16) -> Self {
        let (reason, message) = match status {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "the fault proxy may not let this pass"),
            404 => ("NotFound", "the fault proxy finds no such object"),
            409 => (
                "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
            410 => ("Expired", "too old resource version"),
            429 => (
                "TooManyRequests",
                "too many requests, please try again later",
            ),
            500 => (
                "InternalError",
                "an error on the server has prevented the request from succeeding",
            ),
            503 => (
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
            504 => (
                "Timeout",
                "the server was unable to return a response in time",
            ),
            _ => ("", "the fault proxy says so"),
        };
        Self::Answer(Answer {
            status,
            reason: reason.into(),
            message: message.into(),
            retry_after: None,
        })
    }

    /// 429 with `Retry-After`.
    pub fn busy(seconds: u32) -> Self {
        let Self::Answer(answer) = Self::status(429) else {
            return Self::status(429);
        };
        Self::Answer(Answer {
            retry_after: Some(seconds),
            ..answer
        })
    }

    /// Calls before the API server sees the request.
    pub fn call(does: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        Self::Call(Arc::new(does))
    }

    /// Calls when the API server has answered.
    pub fn call_after(does: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        Self::CallAfter(Arc::new(does))
    }
}

/// A rule in force. It stays in force when this is dropped.
#[derive(Clone)]
pub struct Rule {
    pub(super) state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// Requests chosen so far, those before the first that is meant too.
    pub(super) seen: usize,
    /// Requests hurt so far.
    pub(super) hurt: usize,
    /// How many of those that wait were let go.
    pub(super) released: usize,
    pub(super) lifted: bool,
}

impl Rule {
    pub(super) fn new() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(State::default())),
        }
    }

    /// Ends it; what it holds goes on. What was swallowed stays swallowed.
    pub fn lift(&self) {
        self.state.send_modify(|state| state.lifted = true);
    }

    /// Lets everything go on that waits now.
    pub fn release(&self) {
        self.state.send_modify(|state| state.released = state.hurt);
    }

    /// How many requests it hurt so far.
    pub fn hits(&self) -> usize {
        self.state.borrow().hurt
    }

    /// Waits until it has hurt so many requests.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn hit(&self, times: usize) {
        let mut state = self.state.subscribe();
        let waited = state.wait_for(|state| state.hurt >= times);
        let reached = tokio::time::timeout(wait::LIMIT, waited).await.is_ok();
        assert!(
            reached,
            "the fault hit {} requests instead of {times}",
            self.hits()
        );
    }

    /// Waits until what the `n`-th hit holds may go on.
    pub(super) async fn let_go(&self, n: usize) {
        let mut state = self.state.subscribe();
        let _ = state
            .wait_for(|state| state.lifted || state.released >= n)
            .await;
    }
}
