//! Chart repositories over HTTP: the index, asked for again only when it may have changed, and the
//! address of an archive.
//!
//! Decides how long an index counts as current and what happens when the server cannot be asked.
//! Never picks a version and never unpacks an archive.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gitops_transport::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH,
};
use gitops_transport::http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use crate::archive::first_line;
use crate::blocking::blocking;
use crate::error::ChartError;
use crate::http::{Http, Request, Response, basic_authorization, unexpected};
use crate::index::{self, Listing};
use crate::repository::Endpoint;
use crate::store::{Store, StoredIndex, Validators, hexadecimal_sha256};

/// What is known about one repository's index. The text itself stays on disk.
pub(crate) struct Index {
    validators: Validators,
    sha256: String,
    /// When the server last said this is current.
    checked: Instant,
    charts: HashMap<String, Arc<Listing>>,
}

/// Most charts of one index whose versions are remembered; others are looked up in the file again.
const MAX_CHARTS: usize = 64;

/// How long an index may be used.
#[derive(Clone, Copy)]
pub(crate) struct Freshness {
    /// Without asking the server.
    pub(crate) max_age: Duration,
    /// While the server cannot be asked.
    pub(crate) stale_for: Duration,
}

/// Access to one repository's index.
pub(crate) struct Published<'a> {
    pub(crate) http: &'a Http,
    pub(crate) store: &'a Arc<Store>,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) index_bytes: u64,
}

/// Where an archive is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArchiveLocation {
    /// A file behind a URL.
    Http(Url),
    /// A tag in a registry, as `oci://HOST/PATH/CHART:TAG` split in three.
    Oci {
        registry: String,
        chart: String,
        tag: String,
    },
}

impl Published<'_> {
    /// The versions of `chart`, from `known` where that is fresh enough.
    pub(crate) async fn listing(
        &self,
        known: &mut Option<Index>,
        chart: &str,
        freshness: Freshness,
    ) -> Result<Arc<Listing>, ChartError> {
        if let Some(index) = known
            .as_mut()
            .filter(|i| i.checked.elapsed() < freshness.max_age)
            && let Some(listing) = self.listing_at_hand(index, chart).await?
        {
            return Ok(listing);
        }
        match self.revalidate(known, chart).await {
            Ok(listing) => Ok(listing),
            Err(error) if error.leaves_last_seen_usable() => {
                let usable = known
                    .as_mut()
                    .filter(|i| i.checked.elapsed() < freshness.stale_for);
                let Some(index) = usable else {
                    return Err(error);
                };
                let Some(listing) = self.listing_at_hand(index, chart).await? else {
                    return Err(error);
                };
                tracing::warn!(%error, chart, "using the chart index as it was last seen");
                Ok(listing)
            }
            Err(error) => Err(error),
        }
    }

    /// Where the archive behind a URL of the index is.
    pub(crate) fn archive_location(&self, url: &str) -> Result<ArchiveLocation, ChartError> {
        let refuse = || {
            let reason = "has an archive URL that is neither http(s):// nor oci://HOST/PATH:TAG";
            unexpected(
                self.endpoint,
                "index.yaml",
                &self.endpoint.base,
                reason.to_owned(),
            )
        };
        if let Some(reference) = url.strip_prefix("oci://") {
            let (name, tag) = reference.rsplit_once(':').ok_or_else(refuse)?;
            let (registry, chart) = name.rsplit_once('/').ok_or_else(refuse)?;
            if tag.contains('/') || chart.is_empty() {
                return Err(refuse());
            }
            return Ok(ArchiveLocation::Oci {
                registry: registry.to_owned(),
                chart: chart.to_owned(),
                tag: tag.to_owned(),
            });
        }
        if let Ok(mut absolute) = Url::parse(url) {
            if !matches!(absolute.scheme(), "http" | "https") || !absolute.has_host() {
                return Err(refuse());
            }
            // A name and password written into an index are public anyway; they are not sent.
            let _ = absolute.set_username("");
            let _ = absolute.set_password(None);
            return Ok(ArchiveLocation::Http(absolute));
        }
        self.below_base(url)
            .map(ArchiveLocation::Http)
            .ok_or_else(refuse)
    }

    /// Downloads an archive.
    pub(crate) async fn download(
        &self,
        url: Url,
        what: &str,
        limit: u64,
    ) -> Result<Vec<u8>, ChartError> {
        let request = Request {
            endpoint: self.endpoint,
            url: url.clone(),
            headers: HeaderMap::new(),
            authorization: basic_authorization(self.endpoint),
            authorized_origin: None,
            limit,
            what,
        };
        let answer = self.http.get(request).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            StatusCode::NOT_FOUND => Err(unexpected(
                self.endpoint,
                what,
                &url,
                "answered 404 Not Found for an archive the index lists; publish it again"
                    .to_owned(),
            )),
            _ => Err(answer.refusal(self.endpoint, what)),
        }
    }

    async fn listing_at_hand(
        &self,
        index: &mut Index,
        chart: &str,
    ) -> Result<Option<Arc<Listing>>, ChartError> {
        if let Some(listing) = index.charts.get(chart) {
            return Ok(Some(listing.clone()));
        }
        let Some(stored) = self.stored().await else {
            return Ok(None);
        };
        if hexadecimal_sha256(stored.body.as_bytes()) != index.sha256 {
            return Ok(None);
        }
        let listing = self.parse(Arc::new(stored.body), chart).await?.1;
        if index.charts.len() >= MAX_CHARTS {
            index.charts.clear();
        }
        index.charts.insert(chart.to_owned(), listing.clone());
        Ok(Some(listing))
    }

    async fn revalidate(
        &self,
        known: &mut Option<Index>,
        chart: &str,
    ) -> Result<Arc<Listing>, ChartError> {
        // The text is needed only when this chart was not looked up in it yet.
        let listed = known
            .as_ref()
            .and_then(|index| index.charts.get(chart))
            .cloned();
        let stored = if listed.is_none() {
            self.stored().await
        } else {
            None
        };
        let validators = match (&listed, &stored, &*known) {
            (Some(_), _, Some(index)) => index.validators.clone(),
            (None, Some(stored), _) => stored.validators.clone(),
            _ => Validators::default(),
        };
        let answer = self.request_index(&validators).await?;
        match answer.status {
            StatusCode::NOT_MODIFIED => {
                if let (Some(listing), Some(index)) = (listed, known.as_mut()) {
                    index.checked = Instant::now();
                    return Ok(listing);
                }
                let Some(stored) = stored else {
                    return Err(unexpected(
                        self.endpoint,
                        "index.yaml",
                        &self.endpoint.base,
                        "answered 304 Not Modified though nothing was known; check the server"
                            .into(),
                    ));
                };
                self.learn(known, stored.validators, Arc::new(stored.body), chart)
                    .await
            }
            StatusCode::OK => {
                let validators = answer.validators();
                let body = Arc::new(self.text(answer).await?);
                let listing = self
                    .learn(known, validators.clone(), body.clone(), chart)
                    .await?;
                let (store, url) = (self.store.clone(), self.index_key());
                blocking(move || store.keep_index(&url, &validators, &body)).await;
                Ok(listing)
            }
            _ => Err(answer.refusal(self.endpoint, "index.yaml")),
        }
    }

    async fn learn(
        &self,
        known: &mut Option<Index>,
        validators: Validators,
        body: Arc<String>,
        chart: &str,
    ) -> Result<Arc<Listing>, ChartError> {
        let (sha256, listing) = self.parse(body, chart).await?;
        let charts = HashMap::from([(chart.to_owned(), listing.clone())]);
        *known = Some(Index {
            validators,
            sha256,
            checked: Instant::now(),
            charts,
        });
        Ok(listing)
    }

    async fn parse(
        &self,
        body: Arc<String>,
        chart: &str,
    ) -> Result<(String, Arc<Listing>), ChartError> {
        let chart = chart.to_owned();
        let parsed = blocking(move || {
            let sha256 = hexadecimal_sha256(body.as_bytes());
            index::listing(&body, &chart).map(|listing| (sha256, Arc::new(listing)))
        })
        .await;
        match parsed {
            Some(Ok(parsed)) => Ok(parsed),
            Some(Err(reason)) if self.endpoint.credentials.is_some() => {
                Err(self.invalid_index(first_line(&reason)))
            }
            // A parser quotes what it cannot read, and this may be anything a server near the agent
            // says to somebody it does not know.
            Some(Err(reason)) => Err(self.invalid_index(&unreadable(&reason))),
            None => Err(self.invalid_index("it could not be read")),
        }
    }

    async fn request_index(&self, validators: &Validators) -> Result<Response, ChartError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let conditions = [
            (IF_NONE_MATCH, &validators.etag),
            (IF_MODIFIED_SINCE, &validators.last_modified),
        ];
        for (name, value) in conditions {
            if let Some(value) = value.as_ref().and_then(|v| HeaderValue::from_str(v).ok()) {
                headers.insert(name, value);
            }
        }
        let url = self
            .below_base("index.yaml")
            .ok_or_else(|| ChartError::InvalidRepository {
                repository: self.endpoint.shown.clone(),
                reason: "no index.yaml can be below this URL".to_owned(),
            })?;
        let request = Request {
            endpoint: self.endpoint,
            url,
            headers,
            authorization: basic_authorization(self.endpoint),
            authorized_origin: None,
            limit: self.index_bytes,
            what: "index.yaml",
        };
        self.http.get(request).await
    }

    /// The answer as text, unpacked where the server packed it.
    async fn text(&self, answer: Response) -> Result<String, ChartError> {
        let packed = answer.header(CONTENT_ENCODING.as_str()) == Some("gzip");
        let limit = self.index_bytes;
        let unpacked = blocking(move || {
            if !packed {
                return Ok(answer.body);
            }
            let mut body = Vec::new();
            flate2::read::MultiGzDecoder::new(answer.body.as_slice())
                .take(limit + 1)
                .read_to_end(&mut body)
                .map(|_| body)
        })
        .await;
        let body = match unpacked {
            Some(Ok(body)) if body.len() as u64 <= limit => body,
            Some(Ok(_)) => {
                return Err(ChartError::TooLarge {
                    repository: self.endpoint.shown.clone(),
                    what: "index.yaml".to_owned(),
                    limit: format!("{limit} bytes"),
                });
            }
            Some(Err(_)) | None => return Err(self.invalid_index("it is damaged gzip")),
        };
        String::from_utf8(body).map_err(|_| self.invalid_index("it is not UTF-8 text"))
    }

    async fn stored(&self) -> Option<StoredIndex> {
        let (store, url) = (self.store.clone(), self.index_key());
        blocking(move || store.index(&url)).await.flatten()
    }

    /// The configured query belongs to the address: it may select what is listed.
    fn index_key(&self) -> String {
        format!(
            "{}?{}",
            self.endpoint.base,
            self.endpoint.query.as_deref().unwrap_or_default()
        )
    }

    fn below_base(&self, relative: &str) -> Option<Url> {
        let mut url = self.endpoint.base.join(relative).ok()?;
        if let Some(query) = &self.endpoint.query {
            url.set_query(Some(query));
        }
        matches!(url.scheme(), "http" | "https").then_some(url)
    }

    fn invalid_index(&self, reason: &str) -> ChartError {
        ChartError::InvalidIndex {
            repository: self.endpoint.shown.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// That something cannot be read, and where; of the reason only the numbers.
fn unreadable(reason: &str) -> String {
    let number = |word: &str| {
        let after = reason.split(word).nth(1)?.trim_start();
        let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u64>().ok()
    };
    match (number("line "), number("column ")) {
        (Some(line), Some(column)) => {
            format!("it is not an index of charts (line {line}, column {column})")
        }
        _ => "it is not an index of charts".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::ChartRepository;

    #[test]
    fn nothing_of_an_unreadable_answer_is_repeated() {
        for (reason, shown) in [
            (
                "invalid type: string \"s3cret line 7\", expected an index at line 3, column 14",
                "it is not an index of charts",
            ),
            (
                "expected value at line 3 column 14",
                "it is not an index of charts (line 3, column 14)",
            ),
            ("the document is empty", "it is not an index of charts"),
        ] {
            let text = unreadable(reason);
            assert!(
                text.starts_with(shown) && !text.contains("s3cret"),
                "{text}"
            );
        }
    }

    #[test]
    fn archive_urls_resolve_as_helm_resolves_them() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::new(directory.path(), 0));
        let http = Http::new(
            gitops_transport::Limits::DEFAULT,
            gitops_transport::LocalAddresses::Refused,
            Arc::default(),
        );
        let endpoint = Endpoint::of(&ChartRepository {
            url: "https://h.example.com/a/b?token=t".into(),
            ..ChartRepository::default()
        })
        .unwrap();
        let published = Published {
            http: &http,
            store: &store,
            endpoint: &endpoint,
            index_bytes: 1,
        };
        let cases = [
            (
                "web-1.tgz",
                Some("https://h.example.com/a/b/web-1.tgz?token=t"),
            ),
            (
                "charts/web-1.tgz",
                Some("https://h.example.com/a/b/charts/web-1.tgz?token=t"),
            ),
            (
                "../web-1.tgz",
                Some("https://h.example.com/a/web-1.tgz?token=t"),
            ),
            (
                "/web-1.tgz",
                Some("https://h.example.com/web-1.tgz?token=t"),
            ),
            (
                "https://cdn.example.com/web.tgz?x=1",
                Some("https://cdn.example.com/web.tgz?x=1"),
            ),
            (
                "https://u:p@cdn.example.com/web.tgz",
                Some("https://cdn.example.com/web.tgz"),
            ),
            ("file:///etc/passwd", None),
            ("ftp://h/x.tgz", None),
            ("oci://h/x", None),
        ];
        for (url, expected) in cases {
            let location = published.archive_location(url).ok();
            let expected = expected.map(|e| ArchiveLocation::Http(Url::parse(e).unwrap()));
            assert_eq!(location, expected, "{url}");
        }
        assert_eq!(
            published
                .archive_location("oci://h.example.com:5000/team/web:1.2.3_b")
                .unwrap(),
            ArchiveLocation::Oci {
                registry: "h.example.com:5000/team".into(),
                chart: "web".into(),
                tag: "1.2.3_b".into(),
            }
        );
    }
}
