//! Resolving a version and fetching a chart, with everything learnt on the way kept and shared.
//!
//! Decides when the repository is asked at all: an index, a list of tags or a manifest counts as
//! current for a short while; an archive, found by its digest, for ever. Requests for the same
//! thing at the same time become one. Nothing learnt with one repository's credentials is used for
//! another's.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gitops_core::source::version::parse_version;
use gitops_transport::{HostSlots, Limits, LocalAddresses};

use crate::archive::{ArchiveLimits, ChartArchive};
use crate::error::ChartError;
use crate::file::KnownFile;
use crate::http::Http;
use crate::index::{Listing, PublishedVersion};
use crate::published::{Freshness, Index, Published};
use crate::recent::Recent;
use crate::registry::{ChartLayer, Registry, is_sha256};
use crate::repository::{ChartRepository, Endpoint, RepositoryKind};
use crate::store::Store;
use crate::token::Tokens;
use crate::version::{is_exact, range};

/// A version that is not there is asked for again after this time, because it may just have been
/// published.
pub(crate) const MISS_MAX_AGE: Duration = Duration::from_secs(5);
/// Versions named when the one asked for is not there.
const SHOWN_VERSIONS: usize = 5;

/// Where downloads are kept and how much is allowed.
#[derive(Clone, Debug)]
pub struct FetcherConfig {
    /// Directory for indexes and archives; made when missing, may be deleted at any time.
    pub cache_dir: PathBuf,
    /// How long an index, a list of tags or a tag's digest is used without asking again.
    pub max_age: Duration,
    /// How long it is used when the repository cannot be asked.
    pub stale_for: Duration,
    /// Limits for archives.
    pub limits: ArchiveLimits,
    /// Largest `index.yaml` in bytes.
    pub index_bytes: u64,
    /// Size of all kept archives together in bytes, and of all kept indexes.
    pub cache_bytes: u64,
    /// Time limits of one request.
    pub http: Limits,
    /// Whether servers on the machine itself may be asked.
    pub local_addresses: LocalAddresses,
    /// Turns to talk to hosts.
    pub slots: Arc<HostSlots>,
}

impl FetcherConfig {
    /// Defaults for everything but the directory: 30 s, an hour, 32 MiB of index (the
    /// largest public ones are about as large), 512 MiB of archives.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            max_age: Duration::from_secs(30),
            stale_for: Duration::from_hours(1),
            limits: ArchiveLimits::default(),
            index_bytes: 32 << 20,
            cache_bytes: 512 << 20,
            http: Limits::DEFAULT,
            local_addresses: LocalAddresses::Refused,
            slots: Arc::default(),
        }
    }
}

/// Finds and downloads charts. One is shared by everything in a process.
pub struct ChartFetcher {
    pub(crate) config: FetcherConfig,
    pub(crate) http: Http,
    pub(crate) tokens: Tokens,
    pub(crate) store: Arc<Store>,
    indexes: Recent<[u8; 32], Option<Index>>,
    pub(crate) registries: Recent<([u8; 32], String), Known>,
    pub(crate) archives: Recent<String, Slot>,
    pub(crate) files: Recent<[u8; 32], KnownFile>,
    /// How many bytes of single files are in use.
    pub(crate) file_bytes: Arc<AtomicU64>,
}

/// Most repositories whose index is remembered, and most charts of registries.
const MAX_KNOWN: usize = 256;
/// Most archives and single files whose places are remembered.
const MAX_SLOTS: usize = 1024;

/// What is known about one chart in a registry.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) versions: Option<(Instant, Arc<Vec<String>>)>,
    pub(crate) layers: HashMap<String, (Instant, ChartLayer)>,
}

/// One archive: in memory while someone uses it.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) archive: Weak<ChartArchive>,
    /// Its digest, learnt when it was downloaded, for indexes that have none.
    pub(crate) digest: Option<String>,
}

impl ChartFetcher {
    /// Makes a fetcher; nothing is asked or written yet.
    pub fn new(config: FetcherConfig) -> Self {
        let store = Arc::new(Store::new(&config.cache_dir, config.cache_bytes));
        let kept = config.stale_for;
        Self {
            http: Http::new(config.http, config.local_addresses, config.slots.clone()),
            config,
            tokens: Tokens::default(),
            store,
            indexes: Recent::new(MAX_KNOWN, kept),
            registries: Recent::new(MAX_KNOWN, kept),
            archives: Recent::new(MAX_SLOTS, kept),
            files: Recent::new(MAX_SLOTS, kept),
            file_bytes: Arc::default(),
        }
    }

    /// The version a range means now, spelled as it is published.
    ///
    /// As in Helm: a version that is published exactly as asked for wins, else the newest in the
    /// range; an empty range or `*` is the newest that is not a pre-release. An exact version of a
    /// registry is returned as it is, without a request; [`Self::fetch`] says when it is not there.
    pub async fn resolve(
        &self,
        repository: &ChartRepository,
        chart: &str,
        version_range: &str,
    ) -> Result<String, ChartError> {
        let endpoint = Endpoint::of(repository)?;
        let asked = version_range.trim();
        if matches!(repository.kind, RepositoryKind::Oci { .. })
            && (is_exact(asked) || asked.strip_prefix("sha256:").is_some_and(is_sha256))
        {
            return Ok(asked.to_owned());
        }
        let pick = |versions: &[String]| -> Result<Option<String>, ChartError> {
            if versions.iter().any(|version| version == asked) {
                return Ok(Some(asked.to_owned()));
            }
            let range = range(asked).map_err(|error| ChartError::InvalidRange {
                repository: endpoint.shown.clone(),
                chart: chart.to_owned(),
                asked: asked.to_owned(),
                reason: error.to_string(),
            })?;
            Ok(range
                .newest(versions.iter().map(String::as_str))
                .map(str::to_owned))
        };
        let versions = self.versions(&endpoint, chart, self.config.max_age).await?;
        if let Some(version) = pick(&versions)? {
            return Ok(version);
        }
        let versions = self.versions(&endpoint, chart, MISS_MAX_AGE).await?;
        pick(&versions)?.ok_or_else(|| version_not_found(&endpoint, chart, asked, &versions))
    }

    /// The chart published as exactly `version`.
    pub async fn fetch(
        &self,
        repository: &ChartRepository,
        chart: &str,
        version: &str,
    ) -> Result<Arc<ChartArchive>, ChartError> {
        let endpoint = Endpoint::of(repository)?;
        match repository.kind {
            RepositoryKind::Http => self.fetch_published(&endpoint, chart, version).await,
            RepositoryKind::Oci { .. } => self.fetch_pushed(&endpoint, chart, version).await,
        }
    }

    /// Forgets what is known about a repository, so that the next request asks it again (a hard
    /// refresh). Archives stay: their digest says whether they are still the right ones.
    pub fn forget(&self, repository: &ChartRepository) {
        if let Ok(endpoint) = Endpoint::of(repository) {
            let identity = endpoint.identity;
            self.indexes.forget(|known| *known == identity);
            self.registries.forget(|(known, _)| *known == identity);
            self.files.forget(|known| *known == identity);
        }
    }

    async fn versions(
        &self,
        endpoint: &Endpoint,
        chart: &str,
        max_age: Duration,
    ) -> Result<Arc<Vec<String>>, ChartError> {
        if matches!(endpoint.settings.kind, RepositoryKind::Oci { .. }) {
            return self.tags(endpoint, chart, max_age).await;
        }
        let listing = self.listing(endpoint, chart, max_age).await?;
        let versions = published(endpoint, chart, &listing)?;
        Ok(Arc::new(
            versions
                .iter()
                .map(|listed| listed.version.clone())
                .collect(),
        ))
    }

    pub(crate) async fn listing(
        &self,
        endpoint: &Endpoint,
        chart: &str,
        max_age: Duration,
    ) -> Result<Arc<Listing>, ChartError> {
        let known = self.indexes.get(endpoint.identity, Instant::now());
        let mut known = known.lock().await;
        let freshness = Freshness {
            max_age: max_age.min(self.config.max_age),
            stale_for: self.config.stale_for,
        };
        self.published(endpoint)
            .listing(&mut known, chart, freshness)
            .await
    }

    pub(crate) fn published<'a>(&'a self, endpoint: &'a Endpoint) -> Published<'a> {
        Published {
            http: &self.http,
            store: &self.store,
            endpoint,
            index_bytes: self.config.index_bytes,
        }
    }

    /// What is known about one chart in a registry.
    pub(crate) fn known(&self, endpoint: &Endpoint, chart: &str) -> Arc<tokio::sync::Mutex<Known>> {
        let key = (endpoint.identity, chart.to_owned());
        self.registries.get(key, Instant::now())
    }

    pub(crate) async fn tags(
        &self,
        endpoint: &Endpoint,
        chart: &str,
        max_age: Duration,
    ) -> Result<Arc<Vec<String>>, ChartError> {
        let registry = Registry::new(&self.http, &self.tokens, endpoint, chart)?;
        let known = self.known(endpoint, chart);
        let mut known = known.lock().await;
        let max_age = max_age.min(self.config.max_age);
        let age = known
            .versions
            .as_ref()
            .map(|(at, versions)| (at.elapsed(), versions.clone()));
        if let Some((age, versions)) = &age
            && *age < max_age
        {
            return Ok(versions.clone());
        }
        match registry.versions().await {
            Ok(Some(versions)) => {
                let versions = Arc::new(versions);
                known.versions = Some((Instant::now(), versions.clone()));
                Ok(versions)
            }
            Ok(None) => Err(ChartError::ChartNotFound {
                repository: endpoint.shown.clone(),
                chart: chart.to_owned(),
                similar: Vec::new(),
            }),
            Err(error) => match age {
                Some((age, versions))
                    if error.leaves_last_seen_usable() && age < self.config.stale_for =>
                {
                    tracing::warn!(%error, chart, "using the list of tags as it was last seen");
                    Ok(versions)
                }
                _ => Err(error),
            },
        }
    }
}

pub(crate) fn published<'a>(
    endpoint: &Endpoint,
    chart: &str,
    listing: &'a Listing,
) -> Result<&'a [PublishedVersion], ChartError> {
    match listing {
        Listing::Versions(versions) => Ok(versions),
        Listing::NoSuchChart { similar } => Err(ChartError::ChartNotFound {
            repository: endpoint.shown.clone(),
            chart: chart.to_owned(),
            similar: similar.clone(),
        }),
    }
}

pub(crate) fn version_not_found(
    endpoint: &Endpoint,
    chart: &str,
    asked: &str,
    versions: &[String],
) -> ChartError {
    let mut known: Vec<_> = versions
        .iter()
        .filter_map(|text| Some((parse_version(text)?, text)))
        .collect();
    known.sort_by(|(left, _), (right, _)| right.cmp_precedence(left));
    ChartError::VersionNotFound {
        repository: endpoint.shown.clone(),
        chart: chart.to_owned(),
        asked: if asked.is_empty() {
            "*".to_owned()
        } else {
            asked.to_owned()
        },
        newest: known
            .into_iter()
            .take(SHOWN_VERSIONS)
            .map(|(_, text)| text.clone())
            .collect(),
    }
}
