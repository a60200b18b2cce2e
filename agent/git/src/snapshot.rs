//! The files of one commit, read from Git's objects without a checkout. Every path stays beneath
//! the root: `..` above it, absolute paths, and symbolic links that lead out are errors. The id in
//! each answer stands for its content, which is what makes a recorded set of answers comparable
//! across commits. Never follows a link unless asked to ([`Snapshot::resolve`]), never contacts a
//! server.

use std::sync::Arc;

use gix::objs::Find as _;

use crate::error::GitError;
use crate::generation::Generation;
use crate::object_id::ObjectId;
use crate::paths;
use crate::tree::{Mode, Tree, TreeCache};

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing, or something below a file, a link or a submodule.
    Absent,
    /// A file.
    Blob {
        /// Names its content.
        id: ObjectId,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Names its content.
        id: ObjectId,
        /// Where it points to, relative to its directory.
        target: String,
    },
    /// A directory.
    Tree {
        /// Names everything in it.
        id: ObjectId,
    },
    /// Another repository, whose files are not here.
    Submodule {
        /// The commit of that repository.
        id: ObjectId,
    },
}

/// What kind of thing an item of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// A file.
    Blob,
    /// A file that may be executed.
    Executable,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Tree,
    /// Another repository.
    Submodule,
}

/// One item of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name; bytes that are not UTF-8 are replaced, and such a file cannot be read by name.
    pub name: String,
    /// What it is.
    pub kind: ItemKind,
    /// Names its content.
    pub id: ObjectId,
}

/// Where a path leads when symbolic links are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The path without links, `.` and `..`; empty for the root.
    pub path: String,
    /// What is there; never a symbolic link.
    pub entry: Entry,
    /// The links that were followed, in order, each with its id: the answer holds as long as these
    /// do.
    pub links: Vec<(String, ObjectId)>,
}

/// The tree of one commit. Clones share one cache of directory listings, which goes with the last
/// of them.
#[derive(Clone)]
pub struct Snapshot {
    shared: Arc<Shared>,
}

struct Shared {
    generation: Arc<Generation>,
    url: String,
    commit: String,
    root: ObjectId,
    cache: TreeCache,
}

/// Links followed for one path, as Linux.
const MAX_LINKS: usize = 40;
/// Largest file that is read: as large as objects are accepted.
const MAX_BLOB_BYTES: u64 = crate::allowance::MAX_OBJECT_BYTES as u64;
/// Longest link target; Linux allows as much.
const MAX_TARGET_BYTES: u64 = 4096;

impl Snapshot {
    pub(crate) fn new(
        generation: Arc<Generation>,
        url: &str,
        commit: gix::ObjectId,
    ) -> Result<Self, GitError> {
        let root = generation.read(|repository| {
            let tree = repository.find_commit(commit)?.tree_id()?;
            Ok(Some(object_id(tree.detach())))
        });
        let unreadable =
            |error: &gix::Error| generation.read_error(url, &format!("commit {commit}"), error);
        let root = root.map_err(|error| unreadable(&error))?;
        let root = root
            .ok_or_else(|| generation.report_damage(url, &format!("commit {commit} is missing")))?;
        let shared = Shared {
            generation,
            url: url.to_owned(),
            commit: commit.to_string(),
            root,
            cache: TreeCache::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The commit.
    pub fn commit(&self) -> &str {
        &self.shared.commit
    }

    /// What is at `path`, not following links: a path through a link is absent.
    pub fn entry(&self, path: &str) -> Result<Entry, GitError> {
        let names = paths::split(path)?;
        let Some((mode, id)) = self.find(&names)? else {
            return Ok(Entry::Absent);
        };
        if path.ends_with('/') && mode != Mode::Tree {
            return Ok(Entry::Absent);
        }
        self.to_entry(mode, id)
    }

    /// Where `path` leads, following links as a file system would: through directories and at its
    /// end, also absent files. Links out of the repository, absolute ones, and endless chains are
    /// errors.
    pub fn resolve(&self, path: &str) -> Result<Resolved, GitError> {
        if path.starts_with('/') {
            return Err(paths::invalid(
                path,
                "it must be relative to the root of the repository",
            ));
        }
        if path.contains('\0') {
            return Err(paths::invalid(path, "it contains a NUL character"));
        }
        let mut links: Vec<(String, ObjectId)> = Vec::new();
        let mut real: Vec<String> = Vec::new();
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let outside = || paths::invalid(path, "it leads outside the repository");
        let mut current = (Mode::Tree, self.shared.root);
        while let Some(part) = left.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    real.pop().ok_or_else(outside)?;
                    let names: Vec<&str> = real.iter().map(String::as_str).collect();
                    current = self.find(&names)?.unwrap_or((Mode::Tree, self.shared.root));
                    continue;
                }
                _ => {}
            }
            let found = match current.0 {
                Mode::Tree => self
                    .tree(current.1)?
                    .find(part.as_bytes())
                    .map(|entry| (entry.mode, entry.id)),
                _ => None,
            };
            real.push(part);
            match found {
                None => {
                    real.extend(
                        left.into_iter()
                            .rev()
                            .filter(|part| !matches!(part.as_str(), "" | ".")),
                    );
                    if real.iter().any(|part| part == "..") {
                        // A file system says so too: `missing/../x` does not exist even when `x`
                        // does.
                        real.retain(|part| part != "..");
                    }
                    return Ok(Resolved {
                        path: real.join("/"),
                        entry: Entry::Absent,
                        links,
                    });
                }
                Some((Mode::Symlink, id)) => {
                    let target = self.link_target(id)?;
                    let link = real.join("/");
                    if target.starts_with('/') {
                        let reason = format!(
                            "the symbolic link `{link}` points to the absolute path `{target}`"
                        );
                        return Err(paths::invalid(path, &reason));
                    }
                    if links.len() == MAX_LINKS {
                        return Err(paths::invalid(
                            path,
                            "too many symbolic links, one after the other",
                        ));
                    }
                    links.push((link, id));
                    real.pop();
                    left.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(other) => current = other,
            }
        }
        let entry = self.to_entry(current.0, current.1)?;
        Ok(Resolved {
            path: real.join("/"),
            entry,
            links,
        })
    }

    /// The content of the file at `path`, not following links.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, GitError> {
        match self.entry(path)? {
            Entry::Blob { id, .. } => self.read_blob(id),
            Entry::Absent => Err(self.absent(path)),
            other => Err(self.unexpected(path, "a file", &other)),
        }
    }

    /// How many bytes the file at `path` has, without reading them; none where there is no file.
    pub fn size(&self, path: &str) -> Result<Option<u64>, GitError> {
        let Entry::Blob { id, .. } = self.entry(path)? else {
            return Ok(None);
        };
        let Shared {
            generation, url, ..
        } = &*self.shared;
        let header = generation.read(|repository| repository.try_find_header(id.to_gix()));
        match header {
            Ok(Some(header)) => Ok(Some(header.size())),
            Ok(None) => Err(self.damage(&format!("blob {id} is missing"))),
            Err(error) => Err(generation.read_error(url, &format!("blob {id}"), &error)),
        }
    }

    /// The items of the directory at `path` (the root: an empty path), in the byte order of their
    /// names.
    pub fn list(&self, path: &str) -> Result<Vec<Item>, GitError> {
        let id = match self.entry(path)? {
            Entry::Tree { id } => id,
            Entry::Absent => return Err(self.absent(path)),
            other => return Err(self.unexpected(path, "a directory", &other)),
        };
        let tree = self.tree(id)?;
        let items = tree.entries().map(|entry| Item {
            name: String::from_utf8_lossy(entry.name).into_owned(),
            kind: match entry.mode {
                Mode::File => ItemKind::Blob,
                Mode::Executable => ItemKind::Executable,
                Mode::Symlink => ItemKind::Symlink,
                Mode::Tree => ItemKind::Tree,
                Mode::Submodule => ItemKind::Submodule,
            },
            id: entry.id,
        });
        let mut items: Vec<Item> = items.collect();
        items.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(items)
    }

    /// The id of the directory at `path`; none when there is no directory.
    pub fn tree_id(&self, path: &str) -> Result<Option<ObjectId>, GitError> {
        let found = self.find(&paths::split(path)?)?;
        Ok(found.and_then(|(mode, id)| (mode == Mode::Tree).then_some(id)))
    }

    /// The content of a blob of this commit by its id.
    pub fn read_blob(&self, id: ObjectId) -> Result<Vec<u8>, GitError> {
        self.object(id, gix::object::Kind::Blob, MAX_BLOB_BYTES)
    }

    fn find(&self, names: &[&str]) -> Result<Option<(Mode, ObjectId)>, GitError> {
        let mut current = (Mode::Tree, self.shared.root);
        for name in names {
            if current.0 != Mode::Tree {
                return Ok(None);
            }
            match self.tree(current.1)?.find(name.as_bytes()) {
                Some(entry) => current = (entry.mode, entry.id),
                None => return Ok(None),
            }
        }
        Ok(Some(current))
    }

    fn to_entry(&self, mode: Mode, id: ObjectId) -> Result<Entry, GitError> {
        Ok(match mode {
            Mode::File => Entry::Blob {
                id,
                executable: false,
            },
            Mode::Executable => Entry::Blob {
                id,
                executable: true,
            },
            Mode::Tree => Entry::Tree { id },
            Mode::Submodule => Entry::Submodule { id },
            Mode::Symlink => Entry::Symlink {
                id,
                target: self.link_target(id)?,
            },
        })
    }

    fn link_target(&self, id: ObjectId) -> Result<String, GitError> {
        let target = self.object(id, gix::object::Kind::Blob, MAX_TARGET_BYTES)?;
        Ok(String::from_utf8_lossy(&target).into_owned())
    }

    fn tree(&self, id: ObjectId) -> Result<Arc<Tree>, GitError> {
        if let Some(tree) = self.shared.cache.get(&id) {
            return Ok(tree);
        }
        let data = self.object(id, gix::object::Kind::Tree, MAX_BLOB_BYTES)?;
        let tree = Tree::parse(data)
            .ok_or_else(|| self.damage(&format!("directory listing {id} is malformed")))?;
        let tree = Arc::new(tree);
        self.shared.cache.put(id, &tree);
        Ok(tree)
    }

    /// Reads one object that a commit or a listing names, and which therefore must be here.
    fn object(
        &self,
        id: ObjectId,
        kind: gix::object::Kind,
        most: u64,
    ) -> Result<Vec<u8>, GitError> {
        let Shared {
            generation, url, ..
        } = &*self.shared;
        let found = generation.read(|repository| {
            let Some(header) = repository.try_find_header(id.to_gix())? else {
                return Ok(None);
            };
            if header.kind() != kind || header.size() > most {
                return Ok(Some(Err(header)));
            }
            let mut data = Vec::new();
            let found = repository
                .objects
                .try_find(&id.to_gix(), &mut data)?
                .is_some();
            Ok(found.then_some(Ok(data)))
        });
        match found {
            Ok(Some(Ok(data))) => Ok(data),
            Ok(Some(Err(header))) if header.kind() != kind => {
                Err(self.damage(&format!("{id} is a {}, not a {kind}", header.kind())))
            }
            Ok(Some(Err(header))) => {
                let size = header.size();
                let reason =
                    format!("{kind} {id} has {size} bytes, more than the {most} that are read");
                Err(paths::invalid(&id.to_string(), &reason))
            }
            Ok(None) => Err(self.damage(&format!("{kind} {id} is missing"))),
            Err(error) => Err(generation.read_error(url, &format!("{kind} {id}"), &error)),
        }
    }

    fn damage(&self, reason: &str) -> GitError {
        self.shared
            .generation
            .report_damage(&self.shared.url, reason)
    }

    fn absent(&self, path: &str) -> GitError {
        let Shared { url, commit, .. } = &*self.shared;
        GitError::PathNotFound {
            url: url.clone(),
            revision: commit.clone(),
            path: path.to_owned(),
        }
    }

    fn unexpected(&self, path: &str, expected: &'static str, found: &Entry) -> GitError {
        let found = match found {
            Entry::Absent => "absent",
            Entry::Blob { .. } => "a file",
            Entry::Symlink { .. } => "a symbolic link",
            Entry::Tree { .. } => "a directory",
            Entry::Submodule { .. } => "a submodule",
        };
        let Shared { url, commit, .. } = &*self.shared;
        let (url, revision) = (url.clone(), commit.clone());
        GitError::UnexpectedKind {
            url,
            revision,
            path: path.to_owned(),
            expected,
            found,
        }
    }
}

fn object_id(id: gix::ObjectId) -> ObjectId {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(id.as_slice());
    ObjectId::from_bytes(bytes)
}
