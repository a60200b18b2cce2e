//! A tree held in memory: unpacked chart archives, manifests handed over by a user, and test fixtures.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::tree::{SourceTree, TreeEntry, TreeError, TreeItem};

#[derive(Clone, Debug)]
enum Content {
    File(Arc<[u8]>),
    Symlink(String),
    Submodule,
}

/// Files by path; directories exist where a file is below them. Ids are SHA-256 of the content.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    files: BTreeMap<String, Content>,
}

impl MemoryTree {
    /// A tree with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file at a path, in place of what was there.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        let bytes: Vec<u8> = content.into();
        self.files.insert(path.into(), Content::File(bytes.into()));
    }

    /// Puts a symbolic link at a path.
    pub fn insert_symlink(&mut self, path: impl Into<String>, target: impl Into<String>) {
        self.files
            .insert(path.into(), Content::Symlink(target.into()));
    }

    /// Puts a submodule at a path.
    pub fn insert_submodule(&mut self, path: impl Into<String>) {
        self.files.insert(path.into(), Content::Submodule);
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// Every path that holds a file, a link or a submodule, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Content)> {
        self.files
            .range(prefix.to_owned()..)
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(move |(path, content)| (&path[prefix.len()..], content))
    }

    fn directory_entry(&self, path: &str) -> TreeEntry {
        let prefix = directory_prefix(path);
        let mut hash = Sha256::new();
        let mut any = path.is_empty();
        for (name, content) in self.below(&prefix) {
            any = true;
            hash.update(name);
            hash.update([0]);
            hash.update(id(content));
            hash.update([0]);
        }
        if any {
            TreeEntry::Tree {
                id: hex::encode(hash.finalize()),
            }
        } else {
            TreeEntry::Absent
        }
    }
}

fn directory_prefix(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    }
}

fn id(content: &Content) -> String {
    match content {
        Content::File(bytes) => hex::encode(Sha256::digest(bytes)),
        Content::Symlink(target) => hex::encode(Sha256::digest(target)),
        Content::Submodule => String::new(),
    }
}

fn entry_of(content: &Content) -> TreeEntry {
    match content {
        Content::File(_) => TreeEntry::Blob {
            id: id(content),
            symlink: None,
            executable: false,
        },
        Content::Symlink(target) => TreeEntry::Blob {
            id: id(content),
            symlink: Some(target.clone()),
            executable: false,
        },
        Content::Submodule => TreeEntry::Commit,
    }
}

impl SourceTree for MemoryTree {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        Ok(match self.files.get(path) {
            Some(content) => entry_of(content),
            None => self.directory_entry(path),
        })
    }

    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        Ok(match self.files.get(path) {
            Some(Content::File(bytes)) => Some(bytes.len() as u64),
            Some(Content::Symlink(target)) => Some(target.len() as u64),
            _ => None,
        })
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        match self.files.get(path) {
            Some(Content::File(bytes)) => Ok(Arc::clone(bytes)),
            Some(Content::Symlink(target)) => Ok(target.as_bytes().into()),
            _ => Err(TreeError::NotAFile {
                path: path.to_owned(),
            }),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        if !matches!(self.entry(path)?, TreeEntry::Tree { .. }) {
            return Err(TreeError::NotADirectory {
                path: path.to_owned(),
            });
        }
        let prefix = directory_prefix(path);
        let mut items: BTreeMap<String, TreeEntry> = BTreeMap::new();
        for (rest, content) in self.below(&prefix) {
            match rest.split_once('/') {
                None => {
                    items.insert(rest.to_owned(), entry_of(content));
                }
                Some((directory, _)) if !items.contains_key(directory) => {
                    items.insert(
                        directory.to_owned(),
                        self.directory_entry(&format!("{prefix}{directory}")),
                    );
                }
                Some(_) => {}
            }
        }
        Ok(items
            .into_iter()
            .map(|(name, entry)| TreeItem { name, entry })
            .collect())
    }
}
