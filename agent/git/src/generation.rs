//! The directory of a mirror: one bare repository at a time, each a numbered generation, with a
//! lock and a file that says which one is current. A damaged generation is never repaired: a new
//! one is filled beside it, takes its place, and the old one goes when its last reader is done.
//!
//! ```text
//! lock       held while a generation is changed, by whichever process
//! current    the name of the generation in use
//! g1/        bare repository; besides git's own files:
//!   gitops-url      what it was fetched from
//!   gitops-tips     commits it has with their history: what fetches tell the server we have
//!   gitops-damaged  why its objects are no longer trusted, once they are not
//! ```
//!
//! Never talks to a server.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::error::GitError;

const TIPS: &str = "gitops-tips";
const DAMAGED: &str = "gitops-damaged";
const URL: &str = "gitops-url";
/// Most tips remembered: enough for any number of branches users keep, small enough to read at
/// each fetch.
const MAX_TIPS: usize = 4096;

/// The directory a mirror lives in.
pub(crate) struct Storage {
    directory: PathBuf,
}

/// Held while a generation is changed. The operating system releases it when the process ends,
/// however it ends.
pub(crate) struct StorageLock {
    _file: File,
}

impl Storage {
    pub(crate) fn open(directory: &Path) -> Result<Self, GitError> {
        fs::create_dir_all(directory).map_err(|error| GitError::storage(directory, &error))?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// Waits until no other process changes this mirror.
    pub(crate) fn lock(&self) -> Result<StorageLock, GitError> {
        // The cache is disposable: the whole directory may be gone.
        fs::create_dir_all(&self.directory)
            .map_err(|error| GitError::storage(&self.directory, &error))?;
        let path = self.directory.join("lock");
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.and_then(|file| file.lock().map(|()| file));
        file.map(|file| StorageLock { _file: file })
            .map_err(|error| GitError::storage(path, &error))
    }

    /// The directory of the generation in use.
    pub(crate) fn current(&self) -> Option<PathBuf> {
        let name = fs::read_to_string(self.directory.join("current")).ok()?;
        generation_number(name.trim())?;
        Some(self.directory.join(name.trim()))
    }

    /// Creates the generation after the newest one. It is not in use before [`Self::make_current`].
    pub(crate) fn create(&self, url: &str) -> Result<Arc<Generation>, GitError> {
        let numbers = self
            .generations()
            .into_iter()
            .filter_map(|path| generation_number(&file_name(&path)));
        let path = self
            .directory
            .join(format!("g{}", numbers.max().unwrap_or(0) + 1));
        let created = gix::ThreadSafeRepository::init_opts(
            &path,
            gix::create::Kind::Bare,
            gix::create::Options {
                destination_must_be_empty: Some(true),
                ..Default::default()
            },
            open_options(),
        );
        created.map_err(|error| GitError::storage(&path, &error))?;
        fs::write(path.join(URL), url).map_err(|error| GitError::storage(&path, &error))?;
        Generation::open(&path)
            .map(Arc::new)
            .map_err(|reason| GitError::storage(&path, &reason))
    }

    /// Puts a generation into use, in one step.
    pub(crate) fn make_current(&self, generation: &Generation) -> Result<(), GitError> {
        let path = self.directory.join("current");
        replace_file(&path, &file_name(&generation.path))
            .map_err(|error| GitError::storage(path, &error))
    }

    /// Removes generations not in use and what interrupted fetches left behind. Only under the
    /// lock.
    pub(crate) fn sweep(&self) {
        let current = self.current();
        for path in self.generations() {
            if Some(&path) == current.as_ref() {
                sweep_interrupted(&path);
            } else {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }

    fn generations(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let paths = entries.map(|entry| entry.path());
        paths
            .filter(|path| generation_number(&file_name(path)).is_some())
            .collect()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn generation_number(name: &str) -> Option<u64> {
    name.strip_prefix('g')?.parse().ok()
}

/// Removes lock files and unfinished packs: whoever wrote them is gone, since the lock is ours.
fn sweep_interrupted(generation: &Path) {
    let files = |directory: &Path| {
        fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let has_extension = |path: &Path, names: &[&str]| {
        path.extension()
            .is_some_and(|extension| names.iter().any(|name| extension == *name))
    };
    for path in files(generation).filter(|path| has_extension(path, &["lock"])) {
        let _ = fs::remove_file(path);
    }
    for path in files(&generation.join("objects/pack")) {
        let finished = has_extension(&path, &["idx"])
            || has_extension(&path, &["pack"]) && path.with_extension("idx").exists();
        if !finished {
            let _ = fs::remove_file(path);
        }
    }
}

fn replace_file(path: &Path, content: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, content)?;
    fs::rename(&temporary, path)
}

/// Nothing of the machine's git configuration, and no more threads than one fetch is worth.
fn open_options() -> gix::open::Options {
    gix::open::Options::isolated()
        .open_path_as_is(true)
        .config_overrides(["core.logAllRefUpdates=false", "pack.threads=1"])
}

/// One bare repository, shared by the mirror and by snapshots.
pub(crate) struct Generation {
    pub(crate) path: PathBuf,
    /// Reopened when packs arrive, since gix sizes its table of packs when opening.
    repository: RwLock<gix::ThreadSafeRepository>,
    /// Grows with each opening.
    openings: AtomicU64,
    damaged: AtomicBool,
    retired: AtomicBool,
}

impl Generation {
    /// Opens an existing one; the error says why it cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let repository = gix::ThreadSafeRepository::open_opts(path, open_options())
            .map_err(|error| chain(&error))?;
        if !repository.to_thread_local().is_bare() {
            return Err("not a bare repository".to_owned());
        }
        Ok(Self {
            path: path.to_owned(),
            repository: RwLock::new(repository),
            openings: AtomicU64::new(0),
            damaged: AtomicBool::new(path.join(DAMAGED).exists()),
            retired: AtomicBool::new(false),
        })
    }

    /// The repository for this thread.
    pub(crate) fn repository(&self) -> gix::Repository {
        self.repository.read().to_thread_local()
    }

    /// Reads with `work`, once more when packs were merged meanwhile: an object that seems missing
    /// may just have moved.
    pub(crate) fn read<T>(
        &self,
        work: impl Fn(&gix::Repository) -> gix::Result<Option<T>>,
    ) -> gix::Result<Option<T>> {
        let mut before = self.openings.load(Ordering::SeqCst);
        loop {
            let result = work(&self.repository());
            let now = self.openings.load(Ordering::SeqCst);
            if matches!(result, Ok(Some(_))) || now == before {
                return result;
            }
            before = now;
        }
    }

    /// Takes in packs that have arrived since.
    pub(crate) fn reopen(&self) -> Result<(), GitError> {
        let opened = gix::ThreadSafeRepository::open_opts(&self.path, open_options());
        let opened = opened.map_err(|error| GitError::storage(&self.path, &chain(&error)))?;
        *self.repository.write() = opened;
        self.openings.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn url(&self) -> Option<String> {
        fs::read_to_string(self.path.join(URL)).ok()
    }

    pub(crate) fn is_shallow(&self) -> bool {
        fs::metadata(self.path.join("shallow")).is_ok_and(|metadata| metadata.len() > 0)
    }

    /// The commits fetched so far, newest first.
    pub(crate) fn tips(&self) -> Vec<gix::ObjectId> {
        let text = fs::read_to_string(self.path.join(TIPS)).unwrap_or_default();
        text.lines()
            .filter_map(|line| gix::ObjectId::from_hex(line.trim().as_bytes()).ok())
            .collect()
    }

    /// Puts `fetched` before the known tips and drops those of them that `fetched` contains within
    /// a short walk.
    pub(crate) fn add_tips(&self, fetched: &[gix::ObjectId]) -> Result<(), GitError> {
        let repository = self.repository();
        let mut ancestors = std::collections::HashSet::new();
        // A walk that fails leaves tips in place, which costs a line to the server at most.
        if let Ok(walk) = repository.rev_walk(fetched.iter().copied()).all() {
            ancestors.extend(walk.take(256).flatten().map(|info| info.id));
        }
        let known = self.tips();
        let kept = known
            .iter()
            .filter(|tip| !ancestors.contains(*tip) && !fetched.contains(tip));
        let lines: Vec<String> = fetched
            .iter()
            .chain(kept)
            .take(MAX_TIPS)
            .map(ToString::to_string)
            .collect();
        let path = self.path.join(TIPS);
        replace_file(&path, &lines.join("\n")).map_err(|error| GitError::storage(path, &error))
    }

    /// Why the objects here are no longer trusted; none while they are.
    pub(crate) fn damage(&self) -> Option<String> {
        let damaged = self.damaged.load(Ordering::Relaxed);
        damaged.then(|| fs::read_to_string(self.path.join(DAMAGED)).unwrap_or_default())
    }

    /// What it means that reading `what` failed. Anything but trouble of the machine is damage, and
    /// remembered as such.
    pub(crate) fn read_error(&self, url: &str, what: &str, error: &gix::Error) -> GitError {
        let trouble = error
            .iter_errors()
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(|error| {
                !matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::NotFound
                        | io::ErrorKind::Other
                )
            });
        if trouble {
            return GitError::storage(&self.path, &chain(error));
        }
        self.report_damage(url, &format!("{what}: {}", chain(error)))
    }

    /// Remembers that objects are broken or missing, so that the next fetch replaces them.
    pub(crate) fn report_damage(&self, url: &str, reason: &str) -> GitError {
        if !self.damaged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                repository = url,
                reason,
                "damaged mirror: the next fetch replaces it"
            );
            // In memory it is known anyway; the file only saves the next process from finding out
            // again.
            let _ = fs::write(self.path.join(DAMAGED), reason);
        }
        GitError::Corrupt {
            url: url.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Lets the directory go with its last user.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Relaxed) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// All messages of a gix error on one line, outermost first.
pub(crate) fn chain(error: &gix::Error) -> String {
    gitops_transport::join_causes(error.iter_errors().map(ToString::to_string))
}
