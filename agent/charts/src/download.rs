//! From a version to its archive: out of memory, out of the cache directory, or from the
//! repository, with its digest checked wherever one was announced.
//!
//! Never decides which version; the fetcher has resolved that.

use std::sync::Arc;
use std::time::Instant;

use gitops_core::source::version::parse_version;
use gitops_transport::redact::host_and_port;

use crate::archive::ChartArchive;
use crate::blocking::blocking;
use crate::error::ChartError;
use crate::fetcher::{ChartFetcher, Known, MISS_MAX_AGE, Slot, published, version_not_found};
use crate::index::PublishedVersion;
use crate::published::ArchiveLocation;
use crate::registry::{ChartLayer, Registry, is_sha256};
use crate::repository::Endpoint;
use crate::store::hexadecimal_sha256;

/// Most versions of one chart whose manifests are remembered.
const MAX_LAYERS: usize = 256;

impl ChartFetcher {
    pub(crate) async fn fetch_published(
        &self,
        endpoint: &Endpoint,
        chart: &str,
        version: &str,
    ) -> Result<Arc<ChartArchive>, ChartError> {
        let mut listing = self.listing(endpoint, chart, self.config.max_age).await?;
        if find(published(endpoint, chart, &listing)?, version).is_none() {
            listing = self.listing(endpoint, chart, MISS_MAX_AGE).await?;
        }
        let versions = published(endpoint, chart, &listing)?;
        let Some(listed) = find(versions, version) else {
            let versions: Vec<String> = versions.iter().map(|v| v.version.clone()).collect();
            return Err(version_not_found(endpoint, chart, version, &versions));
        };
        let what = format!("archive of {chart} {}", listed.version);
        let unusable = |reason: &str| ChartError::UnexpectedAnswer {
            repository: endpoint.shown.clone(),
            what: what.clone(),
            host: host_and_port(&endpoint.base),
            reason: reason.to_owned(),
            temporary: false,
        };
        let url = listed
            .urls
            .first()
            .ok_or_else(|| unusable("lists this version without a URL; publish the chart again"))?;
        if listed
            .digest
            .as_deref()
            .is_some_and(|digest| !is_sha256(digest))
        {
            return Err(unusable(
                "lists a digest that is not SHA-256; build the index again",
            ));
        }
        let published = self.published(endpoint);
        let location = published.archive_location(url)?;
        let slot_key = format!(
            "{}\n{}",
            hexadecimal_sha256(&endpoint.identity),
            listed.digest.as_deref().unwrap_or(url)
        );
        let slot = self.slot(slot_key);
        let mut slot = slot.lock().await;
        if let Some(archive) = slot.archive.upgrade() {
            return Ok(archive);
        }
        let mut bytes = None;
        if let Some(digest) = listed.digest.as_ref().or(slot.digest.as_ref()) {
            bytes = self
                .stored(endpoint, digest)
                .await
                .map(|bytes| (digest.clone(), bytes));
        }
        let (digest, bytes) = if let Some(stored) = bytes {
            stored
        } else {
            let limit = self.config.limits.packed_bytes;
            let bytes = match location {
                ArchiveLocation::Http(url) => published.download(url, &what, limit).await?,
                ArchiveLocation::Oci {
                    registry,
                    chart,
                    tag,
                } => {
                    self.download_elsewhere(endpoint, &registry, &chart, &tag)
                        .await?
                }
            };
            let actual = hexadecimal_sha256(&bytes);
            if let Some(expected) = listed.digest.as_ref().filter(|digest| **digest != actual) {
                return Err(ChartError::DigestMismatch {
                    repository: endpoint.shown.clone(),
                    what,
                    expected: format!("sha256:{expected}"),
                });
            }
            self.keep(endpoint, &actual, &bytes).await;
            (actual, bytes)
        };
        let archive = self
            .unpack(chart, &listed.version, digest.clone(), bytes)
            .await?;
        *slot = Slot {
            archive: Arc::downgrade(&archive),
            digest: Some(digest),
        };
        Ok(archive)
    }

    /// An archive an index keeps in a registry: without the repository's credentials, which are
    /// not that registry's.
    async fn download_elsewhere(
        &self,
        endpoint: &Endpoint,
        registry: &str,
        chart: &str,
        tag: &str,
    ) -> Result<Vec<u8>, ChartError> {
        let endpoint = endpoint.stranger(registry)?;
        let registry = Registry::new(&self.http, &self.tokens, &endpoint, chart)?;
        let layer = registry
            .layer(tag)
            .await?
            .ok_or_else(|| version_not_found(&endpoint, chart, tag, &[]))?;
        registry
            .download(&layer, self.config.limits.packed_bytes)
            .await
    }

    pub(crate) async fn fetch_pushed(
        &self,
        endpoint: &Endpoint,
        chart: &str,
        version: &str,
    ) -> Result<Arc<ChartArchive>, ChartError> {
        let registry = Registry::new(&self.http, &self.tokens, endpoint, chart)?;
        let layer = {
            let known = self.known(endpoint, chart);
            let mut known = known.lock().await;
            self.layer(&registry, &mut known, version).await?
        };
        let Some(layer) = layer else {
            let versions = self.tags(endpoint, chart, MISS_MAX_AGE).await?;
            return Err(version_not_found(endpoint, chart, version, &versions));
        };
        let slot = self.slot(format!(
            "{}\n{}",
            hexadecimal_sha256(&endpoint.identity),
            layer.digest
        ));
        let mut slot = slot.lock().await;
        if let Some(archive) = slot.archive.upgrade() {
            return Ok(archive);
        }
        let bytes = if let Some(bytes) = self.stored(endpoint, &layer.digest).await {
            bytes
        } else {
            let bytes = registry
                .download(&layer, self.config.limits.packed_bytes)
                .await?;
            self.keep(endpoint, &layer.digest, &bytes).await;
            bytes
        };
        let archive = self.unpack(chart, version, layer.digest, bytes).await?;
        slot.archive = Arc::downgrade(&archive);
        Ok(archive)
    }

    /// The layer behind a tag; a tag can be moved, so this is asked again after a while.
    async fn layer(
        &self,
        registry: &Registry<'_>,
        known: &mut Known,
        version: &str,
    ) -> Result<Option<ChartLayer>, ChartError> {
        let age = known
            .layers
            .get(version)
            .map(|(at, layer)| (at.elapsed(), layer.clone()));
        if let Some((age, layer)) = &age
            && *age < self.config.max_age
        {
            return Ok(Some(layer.clone()));
        }
        match registry.layer(version).await {
            Ok(Some(layer)) => {
                known
                    .layers
                    .retain(|_, (at, _)| at.elapsed() < self.config.stale_for);
                if known.layers.len() >= MAX_LAYERS {
                    known.layers.clear();
                }
                known
                    .layers
                    .insert(version.to_owned(), (Instant::now(), layer.clone()));
                Ok(Some(layer))
            }
            Ok(None) => {
                known.layers.remove(version);
                Ok(None)
            }
            Err(error) => match age {
                Some((age, layer))
                    if error.leaves_last_seen_usable() && age < self.config.stale_for =>
                {
                    tracing::warn!(%error, version, "using the manifest as it was last seen");
                    Ok(Some(layer))
                }
                _ => Err(error),
            },
        }
    }

    fn slot(&self, key: String) -> Arc<tokio::sync::Mutex<Slot>> {
        self.archives.get(key, Instant::now())
    }

    async fn stored(&self, endpoint: &Endpoint, digest: &str) -> Option<Vec<u8>> {
        let (store, repository) = (self.store.clone(), endpoint.store_key());
        let digest = digest.to_owned();
        blocking(move || store.archive(&repository, &digest))
            .await
            .flatten()
    }

    async fn keep(&self, endpoint: &Endpoint, digest: &str, bytes: &[u8]) {
        let (store, repository) = (self.store.clone(), endpoint.store_key());
        let (digest, bytes) = (digest.to_owned(), bytes.to_vec());
        blocking(move || store.keep_archive(&repository, &digest, &bytes)).await;
    }

    async fn unpack(
        &self,
        chart: &str,
        version: &str,
        digest: String,
        bytes: Vec<u8>,
    ) -> Result<Arc<ChartArchive>, ChartError> {
        let (chart_asked, version_asked) = (chart.to_owned(), version.to_owned());
        let limits = self.config.limits;
        let digest = format!("sha256:{digest}");
        let unpacked = blocking(move || {
            ChartArchive::unpack(&bytes, &chart_asked, &version_asked, digest, &limits)
        })
        .await;
        unpacked.map_or_else(
            || {
                Err(ChartError::InvalidArchive {
                    chart: chart.to_owned(),
                    version: version.to_owned(),
                    reason: "unpacking was cut off; try again".to_owned(),
                })
            },
            |unpacked| unpacked.map(Arc::new),
        )
    }
}

/// The version spelled exactly so, else the one that is equal (`v1.2.3` and `1.2.3`).
fn find<'a>(versions: &'a [PublishedVersion], asked: &str) -> Option<&'a PublishedVersion> {
    versions
        .iter()
        .find(|listed| listed.version == asked)
        .or_else(|| {
            let asked = parse_version(asked)?;
            versions
                .iter()
                .find(|listed| parse_version(&listed.version).as_ref() == Some(&asked))
        })
}
