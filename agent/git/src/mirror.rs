//! The mirror of one repository: lists refs, fetches what is wanted and not there yet, and replaces
//! itself when its objects turn out damaged. One fetch at a time for a directory, across threads
//! and processes; reading never waits. Never decides when to fetch or which revision an application
//! wants.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::access::RepositoryAccess;
use crate::error::GitError;
use crate::exchange::{Exchange, Want};
use crate::generation::{Generation, Storage};
use crate::refs::Refs;
use crate::room::size_below;
use crate::server::Server;
use crate::snapshot::Snapshot;

/// A bare mirror of one repository. Share it between threads behind an `Arc`.
pub struct Mirror {
    url: String,
    server: RwLock<Arc<Server>>,
    storage: Storage,
    fetching: Mutex<()>,
    generation: RwLock<Arc<Generation>>,
}

/// What one fetch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchReport {
    /// Whether the server was asked at all; false when everything was there.
    pub contacted: bool,
    /// Objects received, with those repeated to make the pack complete in itself.
    pub objects: usize,
    /// Bytes of packs received.
    pub bytes: u64,
    /// What each wanted ref points to (the commit, also for annotated tags).
    pub refs: BTreeMap<String, String>,
    /// Why the mirror was recreated, when it was.
    pub recreated: Option<String>,
}

const SHALLOW: &str = "it is shallow, and all history is wanted now";
const HEADS_TAGS_AND_HEAD: [&str; 3] = ["HEAD", "refs/heads/", "refs/tags/"];

impl Mirror {
    /// Opens the mirror in `directory`, which nothing else may use; creates it, or starts over when
    /// what is there is unusable, of another repository, or shallow although all history is wanted.
    /// Contacts no server.
    pub fn open(directory: &Path, access: RepositoryAccess) -> Result<Self, GitError> {
        let server = Server::new(access)?;
        let storage = Storage::open(directory)?;
        let _lock = storage.lock()?;
        let generation = match Self::open_current(&storage, &server) {
            Ok(generation) => generation,
            Err(reason) => {
                if let Some(reason) = reason {
                    tracing::warn!(
                        repository = server.url(),
                        reason,
                        "unusable mirror: starting over"
                    );
                }
                let generation = storage.create(server.url())?;
                storage.make_current(&generation)?;
                generation
            }
        };
        storage.sweep();
        Ok(Self {
            url: server.url().to_owned(),
            server: RwLock::new(Arc::new(server)),
            storage,
            fetching: Mutex::new(()),
            generation: RwLock::new(generation),
        })
    }

    /// The generation in use, or why it cannot be (nothing when there is none).
    fn open_current(storage: &Storage, server: &Server) -> Result<Arc<Generation>, Option<String>> {
        let path = storage.current().ok_or(None)?;
        let generation = Generation::open(&path).map_err(Some)?;
        if generation.url().as_deref() != Some(server.url()) {
            return Err(Some("it was fetched from another URL".to_owned()));
        }
        if server.access.depth.is_none() && generation.is_shallow() {
            return Err(Some(SHALLOW.to_owned()));
        }
        Ok(Arc::new(generation))
    }

    /// The repository's URL without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How the server is reached from now on; what was fetched stays. The URL must be the same one.
    /// Contacts no server.
    pub fn set_access(&self, access: RepositoryAccess) -> Result<(), GitError> {
        let server = Server::new(access)?;
        if server.url() != self.url {
            return Err(GitError::InvalidUrl {
                url: server.url().to_owned(),
                reason: format!("this is the mirror of {}", self.url),
            });
        }
        let generation = self.generation();
        if server.access.depth.is_none() && generation.is_shallow() {
            generation.report_damage(&self.url, SHALLOW);
        }
        *self.server.write() = Arc::new(server);
        Ok(())
    }

    /// Remembers that objects are missing or broken, which a reader found out: the next fetch starts
    /// over.
    pub fn report_missing(&self, reason: &str) {
        self.generation().report_damage(&self.url, reason);
    }

    /// Why the next fetch starts over; `None` while what is here is trusted.
    pub fn damage(&self) -> Option<String> {
        self.generation().damage()
    }

    fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server.read())
    }

    /// Asks the server for its branches, tags and HEAD. Fetches nothing and waits for no other
    /// fetch.
    pub fn list_refs(&self) -> Result<Refs, GitError> {
        let server = self.server();
        let (_, refs) = Exchange::connect(&server)?.list(&HEADS_TAGS_AND_HEAD)?;
        Ok(refs)
    }

    /// Makes sure everything in `wants` is in the mirror, asking the server only for what is
    /// missing. When objects turn out damaged, recreates the mirror and says so in the report.
    pub fn fetch(&self, wants: &[Want]) -> Result<FetchReport, GitError> {
        let _fetching = self.fetching.lock();
        let _lock = self.storage.lock()?;
        self.follow_other_processes();
        let generation = self.generation();
        let mut report = FetchReport::default();
        let damage = match generation.damage() {
            Some(reason) => reason,
            None => match self.fetch_into(&generation, wants, &mut report) {
                Err(GitError::Corrupt { reason, .. }) => reason,
                // Years of force-pushes fill a mirror that a fresh one has no use for.
                Err(GitError::TooLarge { .. }) if self.is_outgrown(&generation) => {
                    "it has outgrown its limit".to_owned()
                }
                // In these words the library tells of what the server sent and of what it read from
                // disk alike. Only a mirror without a past tells them apart.
                Err(error @ GitError::Protocol { .. }) if !generation.tips().is_empty() => {
                    let reason = error.to_string();
                    return self
                        .start_over(&generation, wants, reason)
                        .map_err(|_| error);
                }
                result => return result.map(|()| report),
            },
        };
        self.start_over(&generation, wants, damage)
    }

    /// Fetches into a new generation, which takes the place of this one.
    fn start_over(
        &self,
        generation: &Generation,
        wants: &[Want],
        damage: String,
    ) -> Result<FetchReport, GitError> {
        let reason = damage.clone();
        let mut report = FetchReport {
            recreated: Some(damage),
            ..FetchReport::default()
        };
        let fresh = self.storage.create(self.url())?;
        let result = self
            .fetch_into(&fresh, wants, &mut report)
            .and_then(|()| self.storage.make_current(&fresh));
        if let Err(error) = result {
            fresh.retire();
            return Err(error);
        }
        tracing::warn!(
            repository = self.url(),
            reason,
            "the mirror in the cache was damaged, and is fetched anew"
        );
        generation.retire();
        self.replace_generation(fresh);
        Ok(report)
    }

    /// Whether most of the room is taken by what was fetched before, so that starting over may help.
    fn is_outgrown(&self, generation: &Generation) -> bool {
        let packs = size_below(&generation.path.join("objects/pack"));
        packs > self.server().access.disk.repository / 2
    }

    fn replace_generation(&self, generation: Arc<Generation>) {
        *self.generation.write() = generation;
    }

    /// Uses the generation another process has put into use, if one has.
    fn follow_other_processes(&self) {
        let generation = self.generation();
        if self.storage.current().as_ref() == Some(&generation.path) && generation.path.exists() {
            return;
        }
        match Self::open_current(&self.storage, &self.server()) {
            Ok(current) => self.replace_generation(current),
            Err(reason) => {
                let reason = reason.unwrap_or_else(|| "its directory is gone".to_owned());
                generation.report_damage(self.url(), &reason);
            }
        }
    }

    fn fetch_into(
        &self,
        generation: &Generation,
        wants: &[Want],
        report: &mut FetchReport,
    ) -> Result<(), GitError> {
        let mut ids = Vec::new();
        let mut names = Vec::new();
        let mut all = false;
        for want in wants {
            match want {
                Want::Sha(sha) => ids.push(self.parse_sha(sha)?),
                Want::Ref(name) => names.push(name.as_str()),
                Want::AllHeadsAndTags => all = true,
            }
        }
        let shas = ids.clone();
        let missing = |ids: &[gix::ObjectId]| self.missing(generation, ids);
        if names.is_empty() && !all && missing(&ids)?.is_empty() {
            return Ok(());
        }
        report.contacted = true;
        let server = self.server();
        let mut exchange = Exchange::connect(&server)?;
        if all || !names.is_empty() {
            let prefixes: Vec<&str> = if all {
                HEADS_TAGS_AND_HEAD.to_vec()
            } else {
                names.clone()
            };
            let (listed, refs) = exchange.list(&prefixes)?;
            exchange = listed;
            for name in &names {
                let Some((sha, advertised)) = find(&refs, name) else {
                    return Err(self.revision_not_found(name));
                };
                report.refs.insert((*name).to_owned(), sha.to_owned());
                ids.push(self.parse_sha(advertised)?);
            }
            if all {
                for (name, target) in &refs.by_name {
                    report.refs.insert(name.clone(), target.sha.clone());
                    ids.push(self.parse_sha(target.advertised())?);
                }
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let wanted = missing(&ids)?;
        if wanted.is_empty() {
            return Ok(());
        }
        match exchange.fetch(generation, &wanted) {
            Ok(received) => {
                report.objects += received.objects;
                report.bytes += received.bytes;
            }
            // Some servers give out advertised commits only: the one we want may be in their
            // history.
            Err(GitError::RevisionNotFound { .. })
                if !all && !shas.is_empty() && server.access.depth.is_none() =>
            {
                self.fetch_into(generation, &[Want::AllHeadsAndTags], report)?;
            }
            Err(error) => return Err(self.unless_damaged(generation, error)),
        }
        generation.reopen()?;
        if let Some(id) = missing(&ids)?.first() {
            return Err(self.revision_not_found(&id.to_string()));
        }
        let commits: Vec<_> = wanted
            .iter()
            .filter_map(|id| self.peel(generation, *id).ok().flatten())
            .collect();
        generation.add_tips(&commits)?;
        if let Err(error) = crate::consolidate::consolidate(generation) {
            // Many packs are slow, not wrong; the next fetch tries again.
            let reason = crate::generation::chain(&error);
            tracing::warn!(
                repository = self.url(),
                reason,
                "cannot merge the packs of a mirror"
            );
        }
        Ok(())
    }

    /// Whether this commit (or tag object) can be read from the mirror. False once the mirror is
    /// known to be damaged, so that callers fetch.
    pub fn contains(&self, sha: &str) -> Result<bool, GitError> {
        let generation = self.generation();
        if generation.damage().is_some() {
            return Ok(false);
        }
        match self.missing(&generation, &[self.parse_sha(sha)?]) {
            Ok(missing) => Ok(missing.is_empty()),
            Err(GitError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The tree of one commit, for reading. Cheap; keeps what it needs even when the mirror is
    /// recreated meanwhile.
    pub fn snapshot(&self, sha: &str) -> Result<Snapshot, GitError> {
        let generation = self.generation();
        let commit = self.existing_commit(&generation, sha)?;
        Snapshot::new(generation, self.url(), commit)
    }

    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.generation.read())
    }

    /// The commit that `sha` names, which must be here.
    pub(crate) fn existing_commit(
        &self,
        generation: &Generation,
        sha: &str,
    ) -> Result<gix::ObjectId, GitError> {
        let id = self.parse_sha(sha)?;
        self.peel(generation, id)?
            .ok_or_else(|| self.revision_not_found(sha))
    }

    fn parse_sha(&self, sha: &str) -> Result<gix::ObjectId, GitError> {
        let parsed = sha.parse::<crate::object_id::ObjectId>();
        parsed
            .map(crate::object_id::ObjectId::to_gix)
            .map_err(|_| self.revision_not_found(sha))
    }

    pub(crate) fn revision_not_found(&self, revision: &str) -> GitError {
        GitError::RevisionNotFound {
            url: self.url().to_owned(),
            revision: revision.to_owned(),
        }
    }
}

/// The commit a ref points to, and the object to ask for.
fn find<'a>(refs: &'a Refs, name: &str) -> Option<(&'a str, &'a str)> {
    if name == "HEAD" {
        return refs.head_sha.as_deref().map(|sha| (sha, sha));
    }
    refs.by_name
        .get(name)
        .map(|target| (target.sha.as_str(), target.advertised()))
}
