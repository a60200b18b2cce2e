//! A directory on disk as a tree, for rendering what a user is about to commit. `.git` is not part of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::tree::{SourceTree, TreeEntry, TreeError, TreeItem};

/// A directory on disk. A file's id is the SHA-256 of its content; a directory's id covers the names and kinds in it.
#[derive(Clone, Debug)]
pub struct LocalDirectory {
    root: PathBuf,
}

impl LocalDirectory {
    /// The directory that is the tree's root.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The place on disk, unless a link or `.git` is on the way to it: links are the reader's business.
    fn locate(&self, path: &str) -> Option<PathBuf> {
        let mut place = self.root.clone();
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        for (index, name) in names.iter().enumerate() {
            if *name == ".git" || *name == ".." {
                return None;
            }
            place.push(name);
            let last = index + 1 == names.len();
            if !last && fs::symlink_metadata(&place).is_ok_and(|found| found.is_symlink()) {
                return None;
            }
        }
        Some(place)
    }
}

fn entry_at(place: &Path, path: &str) -> Result<TreeEntry, TreeError> {
    let found = match fs::symlink_metadata(place) {
        Ok(found) => found,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(TreeEntry::Absent);
        }
        Err(error) => return Err(storage(path, &error)),
    };
    if found.is_symlink() {
        let target = fs::read_link(place).map_err(|error| storage(path, &error))?;
        let target = target.to_string_lossy().into_owned();
        let id = hex::encode(Sha256::digest(&target));
        return Ok(TreeEntry::Blob {
            id,
            symlink: Some(target),
            executable: false,
        });
    }
    if found.is_dir() {
        let mut hash = Sha256::new();
        for (name, kind) in names(place, path)? {
            hash.update(name);
            hash.update([0, kind]);
        }
        return Ok(TreeEntry::Tree {
            id: hex::encode(hash.finalize()),
        });
    }
    let content = fs::read(place).map_err(|error| storage(path, &error))?;
    Ok(TreeEntry::Blob {
        id: hex::encode(Sha256::digest(&content)),
        symlink: None,
        executable: executable(&found),
    })
}

#[cfg(unix)]
fn executable(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    found.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn executable(_found: &fs::Metadata) -> bool {
    false
}

fn storage(path: &str, error: &std::io::Error) -> TreeError {
    TreeError::Storage {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Names in a directory with a byte for their kind, sorted.
fn names(place: &Path, path: &str) -> Result<Vec<(String, u8)>, TreeError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).map_err(|error| storage(path, &error))? {
        let entry = entry.map_err(|error| storage(path, &error))?;
        let kind = entry.file_type().map_err(|error| storage(path, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != ".git" {
            let kind = if kind.is_dir() {
                b'd'
            } else if kind.is_symlink() {
                b'l'
            } else {
                b'f'
            };
            found.push((name, kind));
        }
    }
    found.sort();
    Ok(found)
}

impl SourceTree for LocalDirectory {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        match self.locate(path) {
            Some(place) => entry_at(&place, path),
            None => Ok(TreeEntry::Absent),
        }
    }

    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        let Some(place) = self.locate(path) else {
            return Ok(None);
        };
        let found = fs::symlink_metadata(&place).map_err(|error| storage(path, &error))?;
        Ok(Some(found.len()))
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        let not_a_file = || TreeError::NotAFile {
            path: path.to_owned(),
        };
        let place = self.locate(path).ok_or_else(not_a_file)?;
        let found = fs::symlink_metadata(&place).map_err(|error| storage(path, &error))?;
        if !found.is_file() {
            return Err(not_a_file());
        }
        Ok(fs::read(&place)
            .map_err(|error| storage(path, &error))?
            .into())
    }

    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        let place = self.locate(path).ok_or_else(|| TreeError::NotADirectory {
            path: path.to_owned(),
        })?;
        names(&place, path)?
            .into_iter()
            .map(|(name, _)| {
                let entry = entry_at(&place.join(&name), path)?;
                Ok(TreeItem { name, entry })
            })
            .collect()
    }
}
