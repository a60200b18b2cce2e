//! Smart HTTP for gix: its `Http` trait over a blocking client. Decides where credentials go (only
//! to the repository's own host), which redirects are followed (the first request's, never from
//! https to http), and what a status or a broken connection means. Never parses the Git protocol.

use std::cell::RefCell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use gix::error::{ErrorExt as _, message};
use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};

use crate::access::{Credentials, RepositoryAccess};
use crate::failure::{Failure, FailureSlot, of_client};
use crate::http_answer::{Body, Headers, Part, RequestBody, Stage};

/// Redirects followed for one request.
const MOST_REDIRECTS: usize = 5;
/// How much of an error page is read for its message.
const LONGEST_ERROR_PAGE: u64 = 4096;

/// The HTTP side of one exchange.
pub(crate) struct HttpClient {
    agent: ureq::Agent,
    /// The repository's URL as configured: the only host that gets credentials.
    own: url::Url,
    authorization: Option<String>,
    redirected: Option<String>,
    started: Instant,
    total: Duration,
    failure: FailureSlot,
}

impl HttpClient {
    pub(crate) fn new(
        agent: ureq::Agent,
        own: url::Url,
        access: &RepositoryAccess,
        user_information: Option<&(String, String)>,
        failure: FailureSlot,
    ) -> Self {
        let basic = |user: &str, password: &str| {
            let pair = format!("{user}:{password}");
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            )
        };
        let authorization = match &access.credentials {
            Credentials::Basic { username, password } => Some(basic(username, password)),
            Credentials::Bearer(token) => Some(format!("Bearer {token}")),
            Credentials::None | Credentials::SshKey(_) => {
                user_information.map(|(user, password)| basic(user, password))
            }
        };
        let total = access.limits.total;
        Self {
            agent,
            own,
            authorization,
            redirected: None,
            started: Instant::now(),
            total,
            failure,
        }
    }

    /// Sends one request without following redirects.
    pub(crate) fn send(
        &self,
        url: &url::Url,
        headers: &[(String, String)],
        body: Option<&[u8]>,
    ) -> Result<Answer, Failure> {
        let left = self.total.saturating_sub(self.started.elapsed());
        if left.is_zero() {
            return Err(Failure::Timeout(format!(
                "the exchange took longer than {} s",
                self.total.as_secs()
            )));
        }
        let authorization = self
            .authorization
            .as_ref()
            .filter(|_| may_have_credentials(&self.own, url));
        let own = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let all = own.chain(authorization.map(|value| ("Authorization", value.as_str())));
        let result = match body {
            None => {
                let mut request = self.agent.get(url.as_str());
                for (name, value) in all {
                    request = request.header(name, value);
                }
                request.config().timeout_global(Some(left)).build().call()
            }
            Some(body) => {
                let mut request = self.agent.post(url.as_str());
                for (name, value) in all {
                    request = request.header(name, value);
                }
                request
                    .config()
                    .timeout_global(Some(left))
                    .build()
                    .send(body)
            }
        };
        result.map_err(|error| of_client(&error))
    }

    /// Sends a GET whose URL ends in `tail`, following redirects that keep this tail.
    fn get_following(
        &mut self,
        url: &str,
        tail: &str,
        headers: &[(String, String)],
    ) -> Result<Answer, Failure> {
        let mut url = url::Url::parse(url).map_err(|error| Failure::Protocol(error.to_string()))?;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.send(&url, headers, None)?;
            let status = answer.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return accept(answer);
            }
            let target = answer
                .headers()
                .get("location")
                .and_then(|value| value.to_str().ok());
            let target = target
                .and_then(|target| url.join(target).ok())
                .ok_or_else(|| {
                    Failure::Protocol(format!("it answers {status} without saying where to go"))
                })?;
            url = check_redirect(&url, target, tail)?;
            self.redirected = url.as_str().strip_suffix(tail).map(str::to_owned);
        }
        Err(Failure::Protocol(format!(
            "more than {MOST_REDIRECTS} redirects"
        )))
    }

    fn fail(&self, failure: Failure) -> gix::Error {
        // The reason is in the slot; this text goes nowhere.
        let error = io::Error::other("the transport failed");
        *self.failure.borrow_mut() = Some(failure);
        error.and_raise(message("HTTP request failed"))
    }
}

pub(crate) type Answer = ureq::http::Response<ureq::Body>;

/// Whether `url` is the repository's own host: same origin, or the same host one redirect from http
/// to https away.
fn may_have_credentials(own: &url::Url, url: &url::Url) -> bool {
    let upgraded = own.scheme() == "http"
        && url.scheme() == "https"
        && own.port_or_known_default() == Some(80)
        && url.port_or_known_default() == Some(443);
    own.host() == url.host() && (own.origin() == url.origin() || upgraded)
}

fn check_redirect(from: &url::Url, mut to: url::Url, tail: &str) -> Result<url::Url, Failure> {
    // User information in a Location header would become credentials nobody configured.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    let shown = to.as_str().to_owned();
    match (from.scheme(), to.scheme()) {
        ("https", "https") | ("http", "http" | "https") => {}
        ("https", "http") => {
            return Err(Failure::Protocol(format!(
                "it redirects from https to plain http ({shown}), which is refused"
            )));
        }
        _ => return Err(Failure::Protocol(format!("it redirects to {shown}"))),
    }
    if to.as_str().ends_with(tail) {
        Ok(to)
    } else {
        Err(Failure::Protocol(format!(
            "it redirects to {shown}, which looks like a page for people (a login?)"
        )))
    }
}

/// Turns a status other than 200 into what it means for a repository.
pub(crate) fn accept(answer: Answer) -> Result<Answer, Failure> {
    let status = answer.status();
    if status.as_u16() == 200 {
        return Ok(answer);
    }
    let plain_text = answer
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let mut page = String::new();
    if plain_text {
        // Only to explain the status better: an unreadable page changes nothing.
        let _ = answer
            .into_body()
            .into_reader()
            .take(LONGEST_ERROR_PAGE)
            .read_to_string(&mut page);
    }
    let said = if page.trim().is_empty() {
        String::new()
    } else {
        format!(": {}", page.trim())
    };
    let text = format!("the server answers {status}{said}");
    Err(match status.as_u16() {
        401 | 403 => Failure::Authentication(text),
        404 | 410 => Failure::NotFound(text),
        407 => Failure::Unreachable(format!(
            "the proxy wants a user name and password ({status})"
        )),
        408 | 425 | 429 | 500..=599 => Failure::Unreachable(text),
        _ => Failure::Protocol(text),
    })
}

/// Splits gix's header lines; its own user agent is left out in favour of the client's.
fn split_headers(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<(String, String)> {
    let split = |line: &str| {
        line.split_once(':')
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
    };
    let pairs = lines.into_iter().filter_map(|line| split(line.as_ref()));
    pairs
        .filter(|(name, _)| !name.eq_ignore_ascii_case("user-agent"))
        .collect()
}

pub(crate) fn header_lines(answer: &Answer) -> Cursor<Vec<u8>> {
    let mut lines = Vec::new();
    for (name, value) in answer.headers() {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.push(b'\n');
    }
    Cursor::new(lines)
}

impl Http for HttpClient {
    type Headers = Headers;
    type ResponseBody = Body;
    type PostBody = RequestBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Headers, Body>> {
        let tail = url.strip_prefix(base_url).unwrap_or(url);
        let answer = self.get_following(url, tail, &split_headers(headers));
        let answer = answer.map_err(|failure| self.fail(failure))?;
        let stage = Rc::new(RefCell::new(Stage::listing(answer)));
        let part = || Part::new(&stage, &self.failure);
        Ok(GetResponse {
            headers: Headers(part()),
            body: Body(part()),
        })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Headers, Body, RequestBody>> {
        let client = Self {
            agent: self.agent.clone(),
            own: self.own.clone(),
            authorization: self.authorization.clone(),
            redirected: None,
            started: self.started,
            total: self.total,
            failure: self.failure.clone(),
        };
        let stage = Stage::Collecting {
            client: Box::new(client),
            url: url.to_owned(),
            headers: split_headers(headers),
            body: Vec::new(),
        };
        let stage = Rc::new(RefCell::new(stage));
        let part = || Part::new(&stage, &self.failure);
        Ok(PostResponse {
            post_body: RequestBody(part()),
            headers: Headers(part()),
            body: Body(part()),
        })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result<()> {
        // Everything is known at construction; Git configuration does not reach this client.
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.redirected.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_their_host() {
        let cases = [
            ("https://a.example/r", "https://a.example/x", true),
            ("https://a.example/r", "https://a.example:443/x", true),
            ("https://a.example/r", "https://a.example:8443/x", false),
            ("https://a.example/r", "https://b.example/r", false),
            ("https://a.example/r", "https://a.example.evil/r", false),
            ("https://a.example/r", "http://a.example/r", false),
            ("http://a.example/r", "https://a.example/r", true),
            ("http://a.example:8080/r", "https://a.example/r", false),
        ];
        for (own, url, expected) in cases {
            let parse = |text| url::Url::parse(text).unwrap();
            assert_eq!(
                may_have_credentials(&parse(own), &parse(url)),
                expected,
                "{own} {url}"
            );
        }
    }

    #[test]
    fn redirects_that_lead_elsewhere_are_refused() {
        let tail = "/info/refs?service=git-upload-pack";
        let check = |from: &str, to: &str| {
            let from = url::Url::parse(from).unwrap();
            check_redirect(&from, url::Url::parse(to).unwrap(), tail).map(|url| url.to_string())
        };
        let moved = format!("https://b.example/new{tail}");
        assert_eq!(check("https://a.example/r", &moved), Ok(moved.clone()));
        assert_eq!(
            check(
                "https://a.example/r",
                &format!("https://u:p@b.example/new{tail}")
            ),
            Ok(moved)
        );
        for to in [
            "http://a.example/r/info/refs?service=git-upload-pack",
            "https://a.example/login",
            "file:///etc/passwd",
        ] {
            assert!(
                matches!(check("https://a.example/r", to), Err(Failure::Protocol(_))),
                "{to}"
            );
        }
    }
}
