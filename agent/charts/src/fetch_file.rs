//! Single files behind an address: a manifest, a patch, a values file. Fetched as an index is, with what the server calls its version
//! and kept between runs.
//!
//! Decides how long a file counts as current, and what is none. Never reads what it says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use gitops_transport::http::header::{CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use gitops_transport::http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use crate::blocking::blocking;
use crate::error::ChartError;
use crate::fetcher::ChartFetcher;
use crate::file::{KnownFile, RemoteFile};
use crate::http::{Request, Response, basic_authorization, unexpected};
use crate::repository::{ChartRepository, Endpoint};
use crate::store::{Validators, hexadecimal_sha256};

/// Largest file, in bytes: the largest sets of CustomResourceDefinitions that projects publish are half as large.
const MAX_BYTES: u64 = 8 << 20;
/// Most bytes of such files that are in use at a time.
const MAX_BYTES_IN_USE: u64 = 64 << 20;
/// What messages call it.
const WHAT: &str = "the file";

impl ChartFetcher {
    /// The file at an address, as its server has it now, or had it a short while ago. One whose address names a commit is never asked
    /// for again while it is kept. A server that cannot be asked is answered for by what it last said.
    ///
    /// # Errors
    /// Why it cannot be had, or may not be used.
    pub async fn file(&self, address: &ChartRepository) -> Result<Arc<RemoteFile>, ChartError> {
        let endpoint = Endpoint::of(address)?;
        let known = self.files.get(endpoint.identity, Instant::now());
        let mut known = known.lock().await;
        let age = known.checked.map(|checked| checked.elapsed());
        if let Some(file) = known.file.upgrade()
            && (names_commit(&address.url) || age.is_some_and(|age| age < self.config.max_age))
        {
            return Ok(file);
        }
        match self.revalidate_file(&endpoint, &mut known).await {
            Ok(file) => Ok(file),
            Err(error) if error.leaves_last_seen_usable() => {
                let last = known.file.upgrade();
                let last = last.filter(|_| age.is_some_and(|age| age < self.config.stale_for));
                let Some(file) = last else {
                    return Err(error);
                };
                tracing::warn!(%error, "using a file of another server as it was last seen");
                Ok(file)
            }
            Err(error) => Err(error),
        }
    }

    async fn revalidate_file(
        &self,
        endpoint: &Endpoint,
        known: &mut KnownFile,
    ) -> Result<Arc<RemoteFile>, ChartError> {
        let url = address(endpoint)?;
        let key = format!("{url} {}", hex::encode(endpoint.identity));
        let (store, wanted) = (Arc::clone(&self.store), key.clone());
        let at_hand = known.file.upgrade();
        let stored = match &at_hand {
            Some(_) => None,
            None => blocking(move || store.file(&wanted)).await.flatten(),
        };
        if let Some((validators, body)) = &stored
            && names_commit(url.as_str())
        {
            return self.learn_file(endpoint, known, validators.clone(), body.clone());
        }
        let validators = match (&at_hand, &stored) {
            (Some(_), _) => known.validators.clone(),
            (None, Some((validators, _))) => validators.clone(),
            (None, None) => Validators::default(),
        };
        match self.changed_file(endpoint, &url, &validators).await {
            Ok(Some((validators, body))) => {
                let file = self.learn_file(endpoint, known, validators.clone(), body.clone())?;
                let store = Arc::clone(&self.store);
                blocking(move || store.keep_file(&key, &validators, &body)).await;
                Ok(file)
            }
            Ok(None) => {
                if let Some(file) = at_hand {
                    known.checked = Some(Instant::now());
                    return Ok(file);
                }
                let Some((validators, body)) = stored else {
                    let reason =
                        "answered 304 Not Modified though nothing was known; check the server";
                    return Err(unexpected(endpoint, WHAT, &url, reason.to_owned()));
                };
                self.learn_file(endpoint, known, validators, body)
            }
            Err(error) if error.leaves_last_seen_usable() => {
                let Some((validators, body)) = stored else {
                    return Err(error);
                };
                tracing::warn!(%error, "using a file of another server as it was kept");
                self.learn_file(endpoint, known, validators, body)
            }
            Err(error) => Err(error),
        }
    }

    /// The file, unless the server says that it is as it was.
    async fn changed_file(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        validators: &Validators,
    ) -> Result<Option<(Validators, Arc<[u8]>)>, ChartError> {
        let answer = self.request_file(endpoint, url, validators).await?;
        match answer.status {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK if is_page(&answer) => {
                let reason = "answered with a web page, not with a file; name the file as it is (on a forge: the address behind Raw)";
                Err(unexpected(endpoint, WHAT, url, reason.to_owned()))
            }
            StatusCode::OK => {
                let validators = answer.validators();
                Ok(Some((validators, answer.body.into())))
            }
            StatusCode::NOT_FOUND => {
                let reason = "answered 404 Not Found; correct its address, or commit the file";
                Err(unexpected(endpoint, WHAT, url, reason.to_owned()))
            }
            _ => Err(answer.refusal(endpoint, WHAT)),
        }
    }

    async fn request_file(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        validators: &Validators,
    ) -> Result<Response, ChartError> {
        let mut headers = HeaderMap::new();
        let conditions = [
            (IF_NONE_MATCH, &validators.etag),
            (IF_MODIFIED_SINCE, &validators.last_modified),
        ];
        for (name, value) in conditions {
            if let Some(value) = value.as_ref().and_then(|v| HeaderValue::from_str(v).ok()) {
                headers.insert(name, value);
            }
        }
        let request = Request {
            endpoint,
            url: url.clone(),
            headers,
            authorization: basic_authorization(endpoint),
            authorized_origin: None,
            limit: MAX_BYTES,
            what: WHAT,
        };
        self.http.get(request).await
    }

    fn learn_file(
        &self,
        endpoint: &Endpoint,
        known: &mut KnownFile,
        validators: Validators,
        content: Arc<[u8]>,
    ) -> Result<Arc<RemoteFile>, ChartError> {
        let size = content.len() as u64;
        let in_use = Arc::clone(&self.file_bytes);
        let before = in_use.fetch_add(size, Ordering::Relaxed);
        let file = Arc::new(RemoteFile {
            sha256: hexadecimal_sha256(&content),
            content,
            in_use,
        });
        if before + size > MAX_BYTES_IN_USE {
            return Err(ChartError::TooLarge {
                repository: endpoint.shown.clone(),
                what: format!("what all Applications read of single files, with {WHAT}"),
                limit: format!("{MAX_BYTES_IN_USE} bytes"),
            });
        }
        *known = KnownFile {
            file: Arc::downgrade(&file),
            validators,
            checked: Some(Instant::now()),
        };
        Ok(file)
    }
}

/// The address itself: unlike that of a repository, it ends where it ends.
fn address(endpoint: &Endpoint) -> Result<Url, ChartError> {
    let invalid = || ChartError::InvalidRepository {
        repository: endpoint.shown.clone(),
        reason: "only https:// and http:// addresses of files are understood".to_owned(),
    };
    let mut url = Url::parse(endpoint.settings.url.trim()).map_err(|_| invalid())?;
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    Ok(url)
}

/// Whether an address names a commit, so that what is behind it never changes.
fn names_commit(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_commit = |part: &str| part.len() == 40 && part.bytes().all(|b| b.is_ascii_hexdigit());
    path.split('/').any(is_commit)
}

/// Whether a server answered with a page for people: of a sign-in, or of a forge around the file.
fn is_page(answer: &Response) -> bool {
    let of_kind = answer.header(CONTENT_TYPE.as_str());
    let start = answer.body.trim_ascii_start();
    let start = start[..start.len().min(15)].to_ascii_lowercase();
    of_kind.is_some_and(|kind| kind.starts_with("text/html"))
        && (start.starts_with(b"<!doctype html") || start.starts_with(b"<html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_commit_in_it_never_changes() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (url, expected) in [
            (format!("https://raw.example.com/o/r/{commit}/a.yaml"), true),
            (format!("https://example.com/{commit}.yaml"), false),
            (format!("https://example.com/a.yaml?sha={commit}"), false),
            ("https://raw.example.com/o/r/main/a.yaml".to_owned(), false),
        ] {
            assert_eq!(names_commit(&url), expected, "{url}");
        }
    }
}
