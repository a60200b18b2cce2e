//! One mirror and one poll per repository, however many applications use it.
//!
//! A repository is listed at its interval (and when a refresh is asked for); commits are fetched
//! only when a ref some application follows has moved. While a server is away, the commits seen
//! last stay in use, so that drift is still repaired.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gitops_core::manifest::digest;
use gitops_core::source::revision;
use gitops_core::source::revision::Resolution;
use gitops_git::{GitError, Mirror, Refs, RepositoryAccess, Snapshot, Want};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::app_key::AppKey;
use crate::metrics::Metrics;

/// Called with the applications whose repository changed, failed or came back.
pub(crate) type OnChange = Arc<dyn Fn(BTreeSet<AppKey>) + Send + Sync>;

/// A revision in a form that can be rendered.
#[derive(Clone)]
pub(crate) struct Checkout {
    /// Full commit id.
    pub(crate) revision: String,
    /// The commit's files.
    pub(crate) snapshot: Snapshot,
    /// The repository's history.
    pub(crate) mirror: Arc<Mirror>,
    /// Name of the branch or tag that was followed; `None` for a commit named by its id.
    pub(crate) reference: Option<String>,
    /// Set when the server could not be asked and this is the commit known last.
    pub(crate) stale: Option<String>,
}

/// Why a revision cannot be had. Messages name the repository and hold no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RepositoryError(pub String);

impl From<GitError> for RepositoryError {
    fn from(error: GitError) -> Self {
        Self(gitops_transport::chain(&error))
    }
}

/// All repositories in use.
#[derive(Clone)]
pub(crate) struct RepositoryManager(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    /// `None`: never.
    interval: watch::Sender<Option<Duration>>,
    on_change: OnChange,
    metrics: Arc<Metrics>,
    repositories: Mutex<HashMap<String, Arc<Repository>>>,
}

struct Repository {
    access: RepositoryAccess,
    directory: PathBuf,
    /// Which target revisions each application follows here.
    users: Mutex<HashMap<AppKey, BTreeSet<Target>>>,
    state: tokio::sync::Mutex<State>,
    poll: Mutex<Option<AbortHandle>>,
}

/// What an application follows: a target revision and the prefix of its tags.
type Target = (String, String);

#[derive(Default)]
struct State {
    mirror: Option<Arc<Mirror>>,
    refs: Option<Arc<Refs>>,
    /// The refs as the applications were last told of them. Who asks for a refresh or a preview
    /// learns of newer ones alone; the others hear of them at the next poll.
    told: Option<Arc<Refs>>,
    /// When the server was last asked, successfully or not.
    asked: Option<Instant>,
    error: Option<RepositoryError>,
}

impl RepositoryManager {
    /// Mirrors are kept below `directory`; repositories are listed every `interval`.
    pub(crate) fn new(
        directory: PathBuf,
        interval: Duration,
        on_change: OnChange,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Inner {
            directory,
            interval: watch::Sender::new(Some(interval)),
            on_change,
            metrics,
            repositories: Mutex::default(),
        }))
    }

    /// Lists repositories at another interval from now on; `None` for never.
    pub(crate) fn set_interval(&self, interval: Option<Duration>) {
        self.0
            .interval
            .send_if_modified(|current| std::mem::replace(current, interval) != interval);
    }

    /// Identity of a repository: its address together with who asks, so that nobody reads through
    /// somebody else's credentials.
    fn id(access: &RepositoryAccess) -> String {
        let credentials = match &access.credentials {
            gitops_git::Credentials::None => vec![],
            gitops_git::Credentials::Basic { username, password } => {
                vec![username.as_str(), password]
            }
            gitops_git::Credentials::Bearer(token) => vec!["bearer", token],
            gitops_git::Credentials::SshKey(key) => vec!["ssh", key],
        };
        let mut parts = vec![access.url.as_bytes()];
        parts.extend(credentials.iter().map(|part| part.as_bytes()));
        for text in [&access.ca_pem, &access.known_hosts] {
            parts.push(text.as_deref().unwrap_or_default().as_bytes());
        }
        let proxy = access.proxy.as_ref();
        parts.push(proxy.map_or(&[], |proxy| proxy.url.as_bytes()));
        let certificate = access.client_certificate.as_ref();
        parts.push(certificate.map_or(&[], |pair| pair.certificate_pem.as_bytes()));
        parts.push(certificate.map_or(&[], |pair| pair.key_pem.as_bytes()));
        let flags = [
            u8::from(access.insecure_skip_tls),
            u8::from(access.insecure_ignore_host_key),
        ];
        parts.push(&flags);
        let depth = access.depth.unwrap_or(0).to_le_bytes();
        parts.push(&depth);
        digest::of_parts(parts)
    }

    fn repository(&self, access: &RepositoryAccess) -> Arc<Repository> {
        let id = Self::id(access);
        let mut repositories = self.0.repositories.lock();
        if let Some(repository) = repositories.get(&id) {
            return repository.clone();
        }
        let repository = Arc::new(Repository {
            access: access.clone(),
            directory: self.0.directory.join(&id),
            users: Mutex::default(),
            state: tokio::sync::Mutex::default(),
            poll: Mutex::default(),
        });
        repositories.insert(id.clone(), repository.clone());
        let poll = tokio::spawn(poll(self.clone(), id, Arc::downgrade(&repository)));
        *repository.poll.lock() = Some(poll.abort_handle());
        repository
    }

    /// Says which repositories and revisions an application follows now; those nobody follows any
    /// more are no longer polled.
    pub(crate) fn follow(&self, app: &AppKey, followed: &[(RepositoryAccess, String, String)]) {
        let mut wanted: HashMap<String, BTreeSet<Target>> = HashMap::new();
        for (access, target, prefix) in followed {
            self.repository(access);
            wanted
                .entry(Self::id(access))
                .or_default()
                .insert((target.clone(), prefix.clone()));
        }
        self.0.repositories.lock().retain(|id, repository| {
            let mut users = repository.users.lock();
            match wanted.remove(id) {
                Some(targets) => {
                    users.insert(app.clone(), targets);
                }
                None => {
                    users.remove(app);
                }
            }
            let in_use = !users.is_empty();
            if !in_use && let Some(poll) = repository.poll.lock().take() {
                poll.abort();
            }
            in_use
        });
    }

    /// The commit a target revision means now, fetched.
    ///
    /// Asks the server only when it was never asked, or when `refresh` says so.
    pub(crate) async fn resolve(
        &self,
        access: &RepositoryAccess,
        target: &str,
        tag_prefix: &str,
        refresh: bool,
    ) -> Result<Checkout, RepositoryError> {
        let repository = self.repository(access);
        let asked_at = Instant::now();
        let mut state = repository.state.lock().await;
        // Others may have asked while this one waited for its turn.
        let fresh = state.asked.is_some_and(|asked| asked >= asked_at);
        if (state.asked.is_none() || refresh) && !fresh {
            let _ = self.list(&repository, &mut state).await;
        }
        let failure = state.error.clone();
        match (state.refs.clone(), failure) {
            (Some(refs), failure) => {
                let mut checkout = self
                    .checkout(&repository, &mut state, &refs, target, tag_prefix)
                    .await?;
                checkout.stale = failure.map(|error| error.0);
                Ok(checkout)
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(RepositoryError("the repository was not listed yet".into())),
        }
    }

    async fn list(
        &self,
        repository: &Repository,
        state: &mut State,
    ) -> Result<Arc<Refs>, RepositoryError> {
        let result = async {
            let mirror = self.mirror(repository, state).await?;
            blocking(move || mirror.list_refs()).await
        }
        .await;
        state.asked = Some(Instant::now());
        match result {
            Ok(refs) => {
                self.0.metrics.git("listed");
                state.error = None;
                let refs = Arc::new(refs);
                state.refs = Some(refs.clone());
                state.told.get_or_insert_with(|| refs.clone());
                Ok(refs)
            }
            Err(error) => {
                self.0.metrics.git("failed");
                tracing::warn!(error = %error, "a repository cannot be listed");
                state.error = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn mirror(
        &self,
        repository: &Repository,
        state: &mut State,
    ) -> Result<Arc<Mirror>, RepositoryError> {
        if let Some(mirror) = &state.mirror {
            return Ok(mirror.clone());
        }
        let (directory, access) = (repository.directory.clone(), repository.access.clone());
        let mirror = Arc::new(blocking(move || Mirror::open(&directory, access)).await?);
        state.mirror = Some(mirror.clone());
        Ok(mirror)
    }

    async fn checkout(
        &self,
        repository: &Repository,
        state: &mut State,
        refs: &Refs,
        target: &str,
        tag_prefix: &str,
    ) -> Result<Checkout, RepositoryError> {
        let mirror = self.mirror(repository, state).await?;
        let mut reference = None;
        let revision = match resolve(refs, target, tag_prefix) {
            Resolution::Ref { name, sha } => {
                reference = Some(name.clone());
                // By id, because the ref may have moved since it was listed; by name where a server
                // does not hand out commits by id.
                if self
                    .fetch_missing(&mirror, &sha, Want::Sha(sha.clone()))
                    .await
                    .is_err()
                {
                    self.fetch_missing(&mirror, &sha, Want::Ref(name)).await?;
                }
                sha
            }
            Resolution::Sha(sha) => {
                if self
                    .fetch_missing(&mirror, &sha, Want::Sha(sha.clone()))
                    .await
                    .is_err()
                {
                    // Some servers do not hand out commits by id; they come with their branch.
                    self.fetch_missing(&mirror, &sha, Want::AllHeadsAndTags)
                        .await?;
                }
                sha
            }
            Resolution::NeedsShortShaLookup(prefix) => {
                let mut found = self.find_short(&mirror, &prefix).await?;
                if found.is_none() {
                    self.fetch(&mirror, Want::AllHeadsAndTags).await?;
                    found = self.find_short(&mirror, &prefix).await?;
                }
                found.ok_or_else(|| not_found(&repository.access, target, &[]))?
            }
            Resolution::NotFound { nearest } => {
                return Err(not_found(&repository.access, target, &nearest));
            }
        };
        let (commit, storage) = (revision.clone(), mirror.clone());
        let snapshot = blocking(move || storage.snapshot(&commit)).await?;
        Ok(Checkout {
            revision,
            snapshot,
            mirror,
            reference,
            stale: None,
        })
    }

    async fn find_short(
        &self,
        mirror: &Arc<Mirror>,
        prefix: &str,
    ) -> Result<Option<String>, RepositoryError> {
        let (mirror, prefix) = (mirror.clone(), prefix.to_owned());
        blocking(move || mirror.find_short_sha(&prefix)).await
    }

    async fn fetch_missing(
        &self,
        mirror: &Arc<Mirror>,
        sha: &str,
        want: Want,
    ) -> Result<(), RepositoryError> {
        let (known, id) = (mirror.clone(), sha.to_owned());
        if blocking(move || known.contains(&id)).await? {
            return Ok(());
        }
        self.fetch(mirror, want).await
    }

    async fn fetch(&self, mirror: &Arc<Mirror>, want: Want) -> Result<(), RepositoryError> {
        let mirror = mirror.clone();
        match blocking(move || mirror.fetch(&[want])).await {
            Ok(_) => {
                self.0.metrics.git("fetched");
                Ok(())
            }
            Err(error) => {
                self.0.metrics.git("failed");
                Err(error)
            }
        }
    }

    /// Lists once and returns the applications that have to look again.
    async fn poll_once(&self, repository: &Repository) -> BTreeSet<AppKey> {
        let users = repository.users.lock().clone();
        let mut state = repository.state.lock().await;
        let (before, failed_before) = (state.told.clone(), state.error.is_some());
        let after = self.list(repository, &mut state).await;
        if let Ok(after) = &after {
            state.told = Some(after.clone());
        }
        match (before, after) {
            (Some(before), Ok(after)) => {
                let moved = |(target, prefix): &Target| {
                    resolve(&before, target, prefix) != resolve(&after, target, prefix)
                };
                users
                    .into_iter()
                    .filter(|(_, targets)| failed_before || targets.iter().any(moved))
                    .map(|(app, _)| app)
                    .collect()
            }
            (_, Err(_)) if failed_before => BTreeSet::new(),
            (None, Ok(_)) | (_, Err(_)) => users.into_keys().collect(),
        }
    }
}

async fn poll(hub: RepositoryManager, id: String, repository: std::sync::Weak<Repository>) {
    // Repositories are spread over the interval by their identity, so that they do not all ask at
    // the same moment.
    let spread = u32::from_str_radix(id.get(..4).unwrap_or("0"), 16).unwrap_or(0);
    let spread = f64::from(spread) / 65536.0 / 4.0;
    let mut interval = hub.0.interval.subscribe();
    let mut pause = (*interval.borrow_and_update()).map(|pause| pause + pause.mul_f64(spread));
    loop {
        let due = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            changed = interval.changed() => {
                if changed.is_err() {
                    return;
                }
                pause = (*interval.borrow_and_update()).map(|pause| pause.mul_f64(spread * 4.0));
                continue;
            }
        }
        let Some(repository) = repository.upgrade() else {
            return;
        };
        let affected = hub.poll_once(&repository).await;
        if !affected.is_empty() {
            (hub.0.on_change)(affected);
        }
        pause = *interval.borrow();
    }
}

fn resolve(refs: &Refs, target: &str, tag_prefix: &str) -> Resolution {
    let by_name = refs
        .by_name
        .iter()
        .map(|(name, t)| (name.clone(), t.sha.clone()))
        .collect();
    revision::resolve(&by_name, refs.head.as_deref(), target, tag_prefix)
}

fn not_found(access: &RepositoryAccess, target: &str, nearest: &[String]) -> RepositoryError {
    let hint = if nearest.is_empty() {
        "; push it, or correct targetRevision".to_owned()
    } else {
        format!("; did you mean {}?", nearest.join(", "))
    };
    RepositoryError(format!(
        "revision {target:?} is not in {}{hint}",
        crate::error_text::mask_url(&access.url)
    ))
}

/// Runs work on a repository where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, RepositoryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(RepositoryError(format!(
            "reading the repository broke off: {error}"
        ))),
    }
}
