//! Sends requests to one forge and reads pages. The secret goes to the forge's own address only, and no
//! redirect and no link to a next page leads elsewhere.

use gitops_transport::http::header::{ACCEPT, LINK, RETRY_AFTER};
use gitops_transport::http::{HeaderMap, HeaderValue};
use gitops_transport::{
    Client, CredentialScope, RedirectRules, Request, TransportError, chain, is_temporary_status,
    redact,
};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use crate::request::complaint;

/// What stands for itself in one segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 16 << 20;
/// Most pages of one list.
const MAX_PAGES: usize = 1000;
/// Most redirects of one request: repositories that were renamed.
const MAX_REDIRECTS: usize = 3;
/// Longest rendition of what a forge said in a message, in characters.
const MAX_SAID: usize = 300;
/// Pages of a forge that says in a header which page is next.
const NEXT_PAGE: &str = "x-next-page";
/// How many entries a list has altogether.
const TOTAL_COUNT: &str = "x-total-count";
/// When a forge answers again, in seconds since 1970.
const LIMIT_ENDS: &str = "x-ratelimit-reset";
/// How many requests are left.
const LIMIT_LEFT: &str = "x-ratelimit-remaining";

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What and why.
    pub message: String,
    /// Whether it may pass by itself.
    pub is_temporary: bool,
}

impl Failure {
    /// For ever, until somebody changes something.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_temporary: false,
        }
    }

    fn temporary(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_temporary: true,
        }
    }
}

/// The API of one forge.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    base: Url,
    authorization: Option<HeaderValue>,
}

/// What was answered.
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) document: Value,
    headers: HeaderMap,
    url: Url,
}

impl Api {
    pub(super) fn new(
        client: Client,
        base: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, Failure> {
        let url = Url::parse(base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| {
            let shown = redact::one_line(base, MAX_SAID);
            Failure::permanent(format!(
                "{shown:?} is no address of an API: write https://HOST"
            ))
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::permanent(
                "the address of the API holds a user or a password; name a Secret instead",
            ));
        }
        Ok(Self {
            client,
            base: url,
            authorization,
        })
    }

    /// An address of the API, from segments of its path as they are meant, and a query.
    pub(super) fn address<'a>(
        &self,
        segments: impl IntoIterator<Item = &'a str>,
        query: &[(&str, &str)],
    ) -> Url {
        let mut url = self.base.clone();
        let mut path = url.path().trim_end_matches('/').to_owned();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        url.set_path(&path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Asks for a document; any status is an answer.
    pub(super) fn get(&self, url: &Url) -> Result<Page, Failure> {
        if url.origin() != self.base.origin() {
            let shown = redact::one_line(url.as_str(), MAX_SAID);
            return Err(Failure::permanent(format!(
                "the forge sends to another server for the next page ({shown}), which is not asked"
            )));
        }
        let accept = (ACCEPT, HeaderValue::from_static("application/json"));
        let request = Request {
            url: url.clone(),
            headers: HeaderMap::from_iter([accept]),
            authorization: self.authorization.clone(),
            scope: CredentialScope::of(self.base.clone()),
            body: None,
            deadline: self.client.deadline(),
        };
        let rules = RedirectRules {
            max: MAX_REDIRECTS,
            tail: None,
            allow_plain_http: false,
        };
        let failed = |error: TransportError| Failure {
            message: format!("it cannot be asked: {}", chain(&error)),
            is_temporary: error.is_temporary(),
        };
        let answer = self.client.follow(&request, &rules).map_err(failed)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.read(MAX_ANSWER).map_err(failed)?;
        let document = match serde_json::from_slice(&body) {
            Ok(document) => document,
            // "No content" has no document.
            Err(_) if status == 204 && body.is_empty() => Value::Null,
            Err(_) if !(200..300).contains(&status) => {
                Value::String(String::from_utf8_lossy(&body).into_owned())
            }
            Err(error) => {
                return Err(Failure::permanent(format!(
                    "its answer to {} is no JSON: {error}",
                    url.path()
                )));
            }
        };
        Ok(Page {
            status,
            document,
            headers,
            url: url.clone(),
        })
    }

    /// Asks for a document that has to be there.
    pub(super) fn found(&self, url: &Url) -> Result<Page, Failure> {
        let page = self.get(url)?;
        if page.status == 200 {
            Ok(page)
        } else {
            Err(page.refusal())
        }
    }

    /// Asks for a document; `None` when there is none.
    pub(super) fn find(&self, url: &Url) -> Result<Option<Page>, Failure> {
        let page = self.get(url)?;
        match page.status {
            200 => Ok(Some(page)),
            404 => Ok(None),
            _ => Err(page.refusal()),
        }
    }

    /// The one entry a document is, or none where it is not there.
    pub(super) fn one(&self, url: &Url) -> Result<Vec<Value>, Failure> {
        let page = self.find(url)?;
        Ok(page.map(|page| page.document).into_iter().collect())
    }

    /// Every entry of a list; `None` when its first page is not there. `entries` finds the list in a page,
    /// `next` the address of the next one, told how many entries were read so far.
    pub(super) fn list(
        &self,
        first: Url,
        entries: impl Fn(&Page) -> Option<&Vec<Value>>,
        next: impl Fn(&Page, usize) -> Option<Url>,
    ) -> Result<Option<Vec<Value>>, Failure> {
        let mut all = Vec::new();
        let mut url = first;
        for number in 0..MAX_PAGES {
            let page = if number == 0 {
                match self.find(&url)? {
                    Some(page) => page,
                    None => return Ok(None),
                }
            } else {
                self.found(&url)?
            };
            let Some(list) = entries(&page) else {
                return Err(Failure::permanent(format!(
                    "its answer to {} is no list",
                    page.url.path()
                )));
            };
            all.extend(list.iter().cloned());
            match next(&page, all.len()) {
                None => return Ok(Some(all)),
                Some(next) if next == url => {
                    return Err(Failure::permanent(format!(
                        "the next page of {} is the same again",
                        page.url.path()
                    )));
                }
                Some(next) => url = next,
            }
        }
        Err(Failure::permanent(format!(
            "its list has more than {MAX_PAGES} pages"
        )))
    }

    /// The same where a list has to be there.
    pub(super) fn whole(
        &self,
        first: Url,
        entries: impl Fn(&Page) -> Option<&Vec<Value>>,
        next: impl Fn(&Page, usize) -> Option<Url>,
    ) -> Result<Vec<Value>, Failure> {
        let path = first.path().to_owned();
        let all = self.list(first, entries, next)?;
        all.ok_or_else(|| Failure::permanent(format!("it answered 404 to {path}")))
    }
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The entries of a page that is a list itself.
    pub(super) fn items(&self) -> Option<&Vec<Value>> {
        self.document.as_array()
    }

    /// The entries of a page that has them in a field.
    pub(super) fn items_of(&self, key: &str) -> Option<&Vec<Value>> {
        self.document[key].as_array()
    }

    /// The next page, as the header `Link` has it (RFC 8288).
    pub(super) fn linked(&self) -> Option<Url> {
        let all = self.headers.get_all(LINK).iter();
        let links = all.filter_map(|value| value.to_str().ok());
        let next = links.flat_map(|value| value.split(',')).find_map(|link| {
            let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let mut parameters = parameters.split(';').map(str::trim);
            let is_next = parameters.any(|one| one == "rel=\"next\"" || one == "rel=next");
            is_next.then(|| target.to_owned())
        })?;
        let mut url = self.url.join(&next).ok()?;
        // In one order: the same page has one address.
        let mut query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        query.sort();
        url.query_pairs_mut().clear().extend_pairs(&query);
        Some(url)
    }

    /// The next page, as a number in a header.
    pub(super) fn numbered(&self) -> Option<Url> {
        let number: u32 = self.header(NEXT_PAGE)?.trim().parse().ok()?;
        Some(self.with("page", &number.to_string()))
    }

    /// How many entries the whole list has, if the forge says so.
    pub(super) fn total(&self) -> Option<usize> {
        self.header(TOTAL_COUNT)?.trim().parse().ok()
    }

    /// This page's address with another value of a parameter.
    pub(super) fn with(&self, key: &str, value: &str) -> Url {
        let mut url = self.url.clone();
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != key)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(&others)
            .append_pair(key, value);
        url
    }

    /// The value of a parameter of this page's address.
    pub(super) fn parameter(&self, key: &str) -> Option<usize> {
        let mut pairs = self.url.query_pairs();
        let (_, value) = pairs.find(|(name, _)| name == key)?;
        value.parse().ok()
    }

    /// An address of the forge that this page holds.
    pub(super) fn joined(&self, target: &str) -> Option<Url> {
        self.url.join(target).ok()
    }

    /// A status that is no answer, as an error.
    pub(super) fn refusal(&self) -> Failure {
        let (status, path) = (self.status, self.url.path());
        let limited = status == 429
            || status == 403
                && (self.header(LIMIT_LEFT) == Some("0") || self.headers.contains_key(RETRY_AFTER));
        let said = match &self.document {
            Value::String(text) => redact::one_line(text, MAX_SAID),
            document => complaint(document),
        };
        let said = if said.is_empty() {
            said
        } else {
            format!(": {said}")
        };
        if limited {
            let when = match (self.header(RETRY_AFTER.as_str()), self.header(LIMIT_ENDS)) {
                (Some(seconds), _) if seconds.parse::<u64>().is_ok() => {
                    format!(" for {seconds} s")
                }
                (_, Some(until)) => {
                    let until = until.parse().ok().map(Timestamp::from_second);
                    until
                        .and_then(Result::ok)
                        .map_or_else(String::new, |until| format!(" until {until}"))
                }
                _ => String::new(),
            };
            return Failure::temporary(format!(
                "it allows no more requests{when} ({status} to {path}){said}"
            ));
        }
        let advice = match status {
            401 => "; the token is not valid",
            403 => "; the token may not read it",
            _ => "",
        };
        Failure {
            message: format!("it answered {status} to {path}{said}{advice}"),
            is_temporary: is_temporary_status(status),
        }
    }
}
