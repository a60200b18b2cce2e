//! Sends requests as the settings say and follows redirects by hand: only here it is known where
//! credentials may go. Never retries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::http::header::{AUTHORIZATION, LOCATION};
use ureq::http::{HeaderMap, HeaderValue};
use ureq::unversioned::transport::DefaultConnector;
use url::Url;

use crate::address::{CheckedResolver, check_literal};
use crate::answer::Answer;
use crate::error::{FailureKind, SettingsError, TransportError};
use crate::proxy::Proxies;
use crate::redirect::{self, RedirectRules};
use crate::scope::CredentialScope;
use crate::settings::ClientSettings;
use crate::tls::Tls;

/// How long an unused connection is kept: long enough for the next poll of a repository, short
/// enough for a server's own limit.
const KEEP_IDLE: Duration = Duration::from_secs(50);
/// Clients a pool keeps; settings that were changed leave unused ones behind.
const MAX_CLIENTS: usize = 64;

/// One request. Without a body it is a GET, with one a POST.
#[derive(Clone)]
pub struct Request<'a> {
    /// What is asked.
    pub url: Url,
    /// Headers sent to every URL on the way.
    pub headers: HeaderMap,
    /// The `Authorization` header, sent only within the scope.
    pub authorization: Option<HeaderValue>,
    /// Where authorization and client certificate may go.
    pub scope: CredentialScope,
    /// Sent with POST.
    pub body: Option<&'a [u8]>,
    /// When everything, redirects and body included, must be done; see [`Client::deadline`].
    pub deadline: Instant,
}

/// A client of one server, or of several with the same settings. Cheap to clone; clones share
/// their connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ClientSettings,
    tls: Tls,
    proxies: Proxies,
    agents: Mutex<HashMap<Route, ureq::Agent>>,
}

/// What an agent's connections have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Route {
    https: bool,
    through_proxy: bool,
    with_client_certificate: bool,
}

impl Client {
    /// Reads the settings; nothing is sent.
    pub fn new(settings: ClientSettings) -> Result<Self, SettingsError> {
        let tls = Tls::read(&settings.trust, settings.client_certificate.as_ref())?;
        let proxies = Proxies::read(settings.proxy.as_ref())?;
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                tls,
                proxies,
                agents: Mutex::default(),
            }),
        })
    }

    /// When an exchange that begins now must be done.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.shared.settings.limits.total
    }

    /// Sends a request; a redirect is an answer like any other.
    pub fn send(&self, request: &Request<'_>) -> Result<Answer, TransportError> {
        self.send_to(&request.url, request)
    }

    /// Sends a request and follows redirects as `rules` say. A body goes on only with 307 and 308,
    /// and only within the request's scope; else the redirect is the answer.
    pub fn follow(
        &self,
        request: &Request<'_>,
        rules: &RedirectRules<'_>,
    ) -> Result<Answer, TransportError> {
        let mut url = request.url.clone();
        for _ in 0..=rules.max {
            let answer = self.send_to(&url, request)?;
            let location = answer.headers().get(LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            let status = answer.status().as_u16();
            let Some(target) =
                redirect::target(&url, status, location, rules).map_err(|error| error.at(&url))?
            else {
                return Ok(answer);
            };
            let may_go_on = matches!(status, 307 | 308) && request.scope.allows(&target);
            if request.body.is_some() && !may_go_on {
                return Ok(answer);
            }
            url = target;
        }
        Err(redirect::too_many(rules).at(&url))
    }

    fn send_to(&self, url: &Url, request: &Request<'_>) -> Result<Answer, TransportError> {
        let left = request.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let limit = self.shared.settings.limits.total.as_secs();
            let reason = format!("the exchange took longer than {limit} s");
            return Err(TransportError::new(FailureKind::Timeout, reason).at(url));
        }
        check_literal(url, self.shared.settings.local_addresses)
            .map_err(|refused| TransportError::from(refused).at(url))?;
        let in_scope = request.scope.allows(url);
        let authorization = request.authorization.as_ref().filter(|_| in_scope);
        let mut head = ureq::http::Request::builder().uri(url.as_str());
        if let Some(headers) = head.headers_mut() {
            headers.clone_from(&request.headers);
            headers.extend(authorization.map(|value| (AUTHORIZATION, value.clone())));
        }
        let agent = self.agent(url, in_scope);
        let result = match request.body {
            None => run(&agent, head.method("GET"), (), left),
            Some(body) => run(&agent, head.method("POST"), body, left),
        };
        Ok(Answer {
            response: result.map_err(|error| TransportError::of_client(&error).at(url))?,
            pace: self.shared.settings.limits.pace,
            url: url.clone(),
            credentials_sent: authorization.is_some(),
        })
    }

    fn agent(&self, url: &Url, in_scope: bool) -> ureq::Agent {
        let Shared {
            settings,
            tls,
            proxies,
            agents,
        } = &*self.shared;
        let proxy = proxies.on_the_way_to(url);
        let route = Route {
            https: url.scheme() == "https",
            through_proxy: proxy.is_some(),
            with_client_certificate: in_scope && tls.has_client_certificate(),
        };
        let build = || {
            let limits = settings.limits;
            let resolver = CheckedResolver {
                local: settings.local_addresses,
                proxy: proxy
                    .as_ref()
                    .map(|proxy| (proxy.host().to_owned(), proxy.port())),
            };
            let config = ureq::Agent::config_builder()
                .tls_config(tls.config(route.with_client_certificate))
                .proxy(proxy)
                .user_agent(settings.user_agent)
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_resolve(Some(limits.connect))
                .timeout_connect(Some(limits.connect))
                .timeout_per_read(Some(limits.idle))
                .timeout_per_write(Some(limits.idle))
                // The pace of a body is measured where it is read; a head has no such reader.
                .timeout_recv_response(Some(limits.pace.within))
                .max_idle_connections_per_host(2)
                .max_idle_age(KEEP_IDLE)
                .build();
            ureq::Agent::with_parts(config, DefaultConnector::default(), resolver)
        };
        agents.lock().entry(route).or_insert_with(build).clone()
    }
}

fn run(
    agent: &ureq::Agent,
    head: ureq::http::request::Builder,
    body: impl ureq::AsSendBody,
    left: Duration,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let request = head.body(body)?;
    let timed = agent.configure_request(request).timeout_global(Some(left));
    agent.run(timed.build())
}

/// Clients by their settings, so that servers with equal settings share connections and what was
/// read of their certificates.
#[derive(Default)]
pub struct ClientPool {
    clients: Mutex<HashMap<ClientSettings, Client>>,
}

impl ClientPool {
    /// The client with these settings.
    pub fn get(&self, settings: &ClientSettings) -> Result<Client, SettingsError> {
        if let Some(client) = self.clients.lock().get(settings) {
            return Ok(client.clone());
        }
        let client = Client::new(settings.clone())?;
        let mut clients = self.clients.lock();
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(settings.clone(), client.clone());
        Ok(client)
    }
}
