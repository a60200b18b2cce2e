//! Charts in an OCI registry: tags, the manifest of a tag, and the layer that is the archive.
//!
//! Speaks the parts of the OCI distribution specification that pulling needs. Never picks a
//! version, never pushes, and never unpacks what it downloads.

use gitops_transport::http::header::{ACCEPT, WWW_AUTHENTICATE};
use gitops_transport::http::{HeaderMap, HeaderValue, StatusCode};
use gitops_transport::redact::host_and_port;
use serde::Deserialize;
use url::{Host, Url};

use crate::error::ChartError;
use crate::http::{Http, Request, Response, basic_authorization, unexpected};
use crate::repository::Endpoint;
use crate::store::hexadecimal_sha256;
use crate::token::{Challenge, TokenAnswer, TokenKey, Tokens, parse_challenge};

/// Largest manifest (the limit registries themselves keep to), token answer and page of tags.
const METADATA_BYTES: u64 = 4 << 20;
/// Most pages of tags, of up to a thousand each.
const MAX_TAG_PAGES: usize = 100;
/// Most tags taken of one repository; all are kept in memory.
const MAX_TAGS: usize = 20_000;
const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";
/// Layer types of a packaged chart: today's, and that of Helm before 3.7.
const CHART_LAYER_TYPES: [&str; 2] = [
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    "application/tar+gzip",
];

/// Access to one chart's repository in a registry.
pub(crate) struct Registry<'a> {
    http: &'a Http,
    tokens: &'a Tokens,
    endpoint: &'a Endpoint,
    /// Path in the registry, such as `charts/web`.
    name: String,
}

/// The layer that holds a chart's archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChartLayer {
    /// SHA-256 in lower-case hexadecimal.
    pub(crate) digest: String,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    manifests: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
}

#[derive(Deserialize)]
struct TagPage {
    tags: Option<Vec<String>>,
}

impl<'a> Registry<'a> {
    /// The chart's repository; the error says why no repository can have that name.
    pub(crate) fn new(
        http: &'a Http,
        tokens: &'a Tokens,
        endpoint: &'a Endpoint,
        chart: &str,
    ) -> Result<Self, ChartError> {
        let name = format!("{}{chart}", endpoint.base.path().trim_start_matches('/'));
        if !is_repository_name(&name) {
            return Err(ChartError::InvalidChartName {
                repository: endpoint.shown.clone(),
                chart: chart.to_owned(),
                reason: "a registry allows lower-case letters, digits and . _ - between slashes"
                    .to_owned(),
            });
        }
        Ok(Self {
            http,
            tokens,
            endpoint,
            name,
        })
    }

    /// All tags as versions (`_` read as the `+` a tag cannot hold); `None` when the registry does
    /// not know the repository.
    pub(crate) async fn versions(&self) -> Result<Option<Vec<String>>, ChartError> {
        let what = format!("list of versions of {}", self.name);
        let mut url = self.url("tags/list", &what)?;
        url.set_query(Some("n=1000"));
        let mut versions = Vec::new();
        for _ in 0..MAX_TAG_PAGES {
            let answer = self
                .get(url.clone(), "application/json", METADATA_BYTES, &what)
                .await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                _ => return Err(answer.refusal(self.endpoint, &what)),
            }
            let page: TagPage = self.json(&answer, &what, &url)?;
            let tags = page.tags.unwrap_or_default();
            versions.extend(tags.into_iter().map(|tag| tag.replace('_', "+")));
            if versions.len() > MAX_TAGS {
                return Err(ChartError::TooLarge {
                    repository: self.endpoint.shown.clone(),
                    what,
                    limit: format!("{MAX_TAGS} tags"),
                });
            }
            let next = answer
                .header("link")
                .and_then(next_page)
                .and_then(|link| url.join(link).ok());
            // Another host is no next page: the token would not be sent there anyway.
            match next.filter(|next| next.origin() == url.origin()) {
                Some(next) => url = next,
                None => return Ok(Some(versions)),
            }
        }
        Ok(Some(versions))
    }

    /// The chart layer of a version or of a manifest digest; `None` when there is no such tag.
    pub(crate) async fn layer(&self, version: &str) -> Result<Option<ChartLayer>, ChartError> {
        let reference = version.replace('+', "_");
        let what = format!("manifest of {}:{reference}", self.name);
        if !is_reference(&reference) {
            return Ok(None);
        }
        let url = self.url(&format!("manifests/{reference}"), &what)?;
        let answer = self
            .get(url.clone(), MANIFEST_TYPES, METADATA_BYTES, &what)
            .await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(answer.refusal(self.endpoint, &what)),
        }
        if let Some(expected) = reference.strip_prefix("sha256:") {
            self.check_digest(&answer.body, expected, &what)?;
        }
        let manifest: Manifest = self.json(&answer, &what, &url)?;
        let layer = CHART_LAYER_TYPES.iter().find_map(|kind| {
            manifest
                .layers
                .iter()
                .find(|layer| layer.media_type == *kind)
        });
        let Some(layer) = layer else {
            let found = if manifest.manifests.is_empty() {
                "an image"
            } else {
                "an image index"
            };
            let reason = format!(
                "holds {found} there, not a Helm chart; push the chart with `helm push`, or check \
                 the name"
            );
            return Err(unexpected(self.endpoint, &what, &url, reason));
        };
        let digest = layer.digest.strip_prefix("sha256:");
        let Some(digest) = digest.filter(|digest| is_sha256(digest)) else {
            let reason = "names a layer digest that is not sha256; push the chart again";
            return Err(unexpected(self.endpoint, &what, &url, reason.to_owned()));
        };
        Ok(Some(ChartLayer {
            digest: digest.to_owned(),
        }))
    }

    /// Downloads a layer and checks its digest.
    pub(crate) async fn download(
        &self,
        layer: &ChartLayer,
        limit: u64,
    ) -> Result<Vec<u8>, ChartError> {
        let what = format!("archive of {}", self.name);
        let url = self.url(&format!("blobs/sha256:{}", layer.digest), &what)?;
        let answer = self.get(url, "*/*", limit, &what).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.refusal(self.endpoint, &what));
        }
        self.check_digest(&answer.body, &layer.digest, &what)?;
        Ok(answer.body)
    }

    fn check_digest(&self, body: &[u8], expected: &str, what: &str) -> Result<(), ChartError> {
        let actual = hexadecimal_sha256(body);
        if actual == expected {
            return Ok(());
        }
        Err(ChartError::DigestMismatch {
            repository: self.endpoint.shown.clone(),
            what: what.to_owned(),
            expected: format!("sha256:{expected}"),
        })
    }

    fn url(&self, rest: &str, what: &str) -> Result<Url, ChartError> {
        let base = &self.endpoint.base;
        base.join(&format!("/v2/{}/{rest}", self.name))
            .map_err(|_| {
                unexpected(
                    self.endpoint,
                    what,
                    base,
                    "cannot be addressed with this name".to_owned(),
                )
            })
    }

    fn json<T: for<'de> Deserialize<'de>>(
        &self,
        answer: &Response,
        what: &str,
        url: &Url,
    ) -> Result<T, ChartError> {
        serde_json::from_slice(&answer.body).map_err(|_| {
            let reason = "answered with something else than a registry's JSON; check that the URL \
                          is that of an OCI registry";
            unexpected(self.endpoint, what, url, reason.to_owned())
        })
    }

    /// Asks with the token that last worked, else without one, and once more as the registry's
    /// challenge says.
    async fn get(
        &self,
        url: Url,
        accept: &'static str,
        limit: u64,
        what: &str,
    ) -> Result<Response, ChartError> {
        let registry = host_and_port(&self.endpoint.base);
        let key: TokenKey = (self.endpoint.identity, format!("{registry}/{}", self.name));
        let send = |authorization: Option<HeaderValue>| {
            let request = Request {
                endpoint: self.endpoint,
                url: url.clone(),
                headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]),
                authorization,
                authorized_origin: None,
                limit,
                what,
            };
            self.http.get(request)
        };
        let answer = send(self.tokens.get(&key)).await?;
        // Only the registry itself may ask; a storage host it redirected to may not.
        if answer.status != StatusCode::UNAUTHORIZED || answer.host != registry {
            return Ok(answer);
        }
        let challenges = answer.headers.get_all(WWW_AUTHENTICATE);
        let challenge = challenges
            .iter()
            .find_map(|value| parse_challenge(value.to_str().ok()?));
        let mut withheld = None;
        let (value, life) = match challenge {
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                let token = self.token(&realm, service, scope, what).await?;
                withheld = token.withheld;
                (token.value, token.life)
            }
            Some(Challenge::Basic) => match basic_authorization(self.endpoint) {
                Some(value) => (value, std::time::Duration::from_hours(1)),
                None => return Ok(answer),
            },
            None => return Ok(answer),
        };
        self.tokens.keep(key, value.clone(), life);
        let answer = send(Some(value)).await?;
        match withheld {
            // The token is nobody's: that it is refused says nothing about the credentials.
            Some(host) if is_refusal(answer.status) => Err(ChartError::CredentialsWithheld {
                repository: self.endpoint.shown.clone(),
                what: what.to_owned(),
                registry,
                host,
            }),
            _ => Ok(answer),
        }
    }

    /// Gets a token from the realm the registry named, with the credentials or anonymously.
    async fn token(
        &self,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
        what: &str,
    ) -> Result<Token, ChartError> {
        let base = &self.endpoint.base;
        let usable = |url: &Url| {
            url.has_host()
                && (url.scheme() == "https" || url.scheme() == "http" && base.scheme() == "http")
        };
        let Some(mut url) = Url::parse(realm).ok().filter(usable) else {
            let reason = "wants a token from somewhere that is not an https:// URL; credentials \
                          are not sent there";
            return Err(unexpected(self.endpoint, what, base, reason.to_owned()));
        };
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.name));
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &scope);
        let what = format!("access token for {}", self.name);
        let own = self.endpoint.settings.pass_credentials || is_of_registry(base, &url);
        let authorization = basic_authorization(self.endpoint);
        let withheld = (!own && authorization.is_some()).then(|| host_and_port(&url));
        if let Some(host) = &withheld {
            tracing::warn!(
                registry = host_and_port(base),
                host,
                "asking for a registry's token without credentials: the token server is of another domain"
            );
        }
        let request = Request {
            endpoint: self.endpoint,
            url: url.clone(),
            headers: HeaderMap::new(),
            authorization: authorization.filter(|_| own),
            authorized_origin: own.then(|| url.origin()),
            limit: METADATA_BYTES,
            what: &what,
        };
        let answer = self.http.get(request).await?;
        if let Some(host) = withheld.clone().filter(|_| is_refusal(answer.status)) {
            return Err(ChartError::CredentialsWithheld {
                repository: self.endpoint.shown.clone(),
                what,
                registry: host_and_port(base),
                host,
            });
        }
        if answer.status != StatusCode::OK {
            return Err(answer.refusal(self.endpoint, &what));
        }
        let token: TokenAnswer = self.json(&answer, &what, &url)?;
        let (value, life) = token.authorization().ok_or_else(|| {
            unexpected(
                self.endpoint,
                &what,
                &url,
                "answered without a token".to_owned(),
            )
        })?;
        Ok(Token {
            value,
            life,
            withheld,
        })
    }
}

/// An access token.
struct Token {
    value: HeaderValue,
    life: std::time::Duration,
    /// The token server that did not get the credentials there are.
    withheld: Option<String>,
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Whether a token server belongs to a registry: it is the registry's own host, or lies in the domain
/// the registry lies in (`registry-1.docker.io` and `auth.docker.io`, `registry.gitlab.com` and
/// `gitlab.com`). A server could otherwise have the credentials sent to whom it likes.
fn is_of_registry(registry: &Url, realm: &Url) -> bool {
    let (Some(own), Some(host)) = (registry.host(), realm.host()) else {
        return false;
    };
    if own == host {
        return true;
    }
    let (Host::Domain(own), Host::Domain(host)) = (own, host) else {
        return false;
    };
    let Some((_, parent)) = own.split_once('.') else {
        return false;
    };
    let is_below = host
        .strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    is_below && is_domain_of_somebody(parent)
}

/// Whether a domain has one owner, as far as its name tells: `docker.io` has, `io` and `co.uk` have
/// not. Who has a two-letter name of a country would be sent a neighbor's credentials otherwise.
fn is_domain_of_somebody(domain: &str) -> bool {
    match domain.trim_end_matches('.').rsplit('.').collect::<Vec<_>>()[..] {
        [] | [_] => false,
        [top, second] => second.len() > 3 || top.len() > 2,
        _ => true,
    }
}

/// `<…>; rel="next"` of a `Link` header.
fn next_page(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters
            .split(';')
            .any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        next.then_some(target)
    })
}

/// Name grammar of the OCI distribution specification.
fn is_repository_name(name: &str) -> bool {
    let component = |part: &str| {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().next_back())
            && part.chars().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
            })
            && !part.contains("..")
    };
    name.len() <= 255 && name.split('/').all(component)
}

/// A tag or a `sha256:` digest.
fn is_reference(reference: &str) -> bool {
    if let Some(digest) = reference.strip_prefix("sha256:") {
        return is_sha256(digest);
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    reference.starts_with(word)
        && reference.len() <= 128
        && reference.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

/// Whether this is a SHA-256 digest in lower-case hexadecimal.
pub(crate) fn is_sha256(digest: &str) -> bool {
    digest.len() == 64
        && digest
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
