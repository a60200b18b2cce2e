//! The directory with downloaded indexes, archives and single files, so that a restart downloads nothing again.
//!
//! Every file carries or is named by its digest and is checked when read; what does not match is
//! removed and counts as absent. The directory may be deleted at any time. Nothing here fails a
//! request: a full or read-only disk only means downloading again. Never decides whether a stored
//! file is current.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Downloads kept between runs.
pub(crate) struct Store {
    directory: PathBuf,
    /// Size all archives together may have, all indexes, and all single files; the least recently used go first.
    max_bytes: u64,
}

/// An index as it was last downloaded, and what to ask the server with whether it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredIndex {
    pub(crate) validators: Validators,
    pub(crate) body: String,
}

/// What a server calls a version of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(flatten)]
    validators: Validators,
    sha256: String,
}

impl Store {
    /// The store in this directory, which is made when something is kept, each time it is missing.
    pub(crate) fn new(directory: &Path, max_bytes: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            max_bytes,
        }
    }

    /// The archive with this digest that came from this repository.
    ///
    /// The repository is part of the name so that a private repository's archive cannot be had by
    /// publishing its digest elsewhere.
    pub(crate) fn archive(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        let path = self.archive_path(repository, digest);
        let bytes = fs::read(&path).ok()?;
        if hexadecimal_sha256(&bytes) != digest {
            tracing::warn!(path = %path.display(), "a stored chart archive is damaged; it is downloaded again");
            remove(&path);
            return None;
        }
        // The time of last use decides what goes first.
        if let Ok(file) = fs::File::options().write(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(bytes)
    }

    /// Keeps an archive, and removes the least recently used ones when they get too many.
    pub(crate) fn keep_archive(&self, repository: &str, digest: &str, bytes: &[u8]) {
        write(&self.archive_path(repository, digest), &[bytes]);
        self.remove_oldest("archives");
    }

    /// The index last downloaded from this URL.
    pub(crate) fn index(&self, url: &str) -> Option<StoredIndex> {
        let (validators, body) = document(&self.index_path(url))?;
        let body = String::from_utf8(body).ok()?;
        Some(StoredIndex { validators, body })
    }

    /// Keeps an index, and removes those downloaded longest ago when they get too many.
    pub(crate) fn keep_index(&self, url: &str, validators: &Validators, body: &str) {
        keep_document(&self.index_path(url), validators, body.as_bytes());
        self.remove_oldest("indexes");
    }

    /// The single file last downloaded under this key.
    pub(crate) fn file(&self, key: &str) -> Option<(Validators, Arc<[u8]>)> {
        let (validators, body) = document(&self.file_path(key))?;
        Some((validators, body.into()))
    }

    /// Keeps a single file, and removes those downloaded longest ago when they get too many.
    pub(crate) fn keep_file(&self, key: &str, validators: &Validators, body: &[u8]) {
        keep_document(&self.file_path(key), validators, body);
        self.remove_oldest("files");
    }

    fn archive_path(&self, repository: &str, digest: &str) -> PathBuf {
        let name = hexadecimal_sha256(format!("{repository}\n{digest}").as_bytes());
        self.directory.join("archives").join(name + ".tgz")
    }

    fn index_path(&self, url: &str) -> PathBuf {
        self.directory
            .join("indexes")
            .join(hexadecimal_sha256(url.as_bytes()))
    }

    fn file_path(&self, key: &str) -> PathBuf {
        self.directory
            .join("files")
            .join(hexadecimal_sha256(key.as_bytes()))
    }

    fn remove_oldest(&self, part: &str) {
        let Ok(entries) = fs::read_dir(self.directory.join(part)) else {
            return;
        };
        let mut archives: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        archives.sort();
        let mut total: u64 = archives.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in archives {
            if total <= self.max_bytes {
                return;
            }
            remove(&path);
            total -= size;
        }
    }
}

/// What was kept at a place, if it is whole.
fn document(path: &Path) -> Option<(Validators, Vec<u8>)> {
    let bytes = fs::read(path).ok()?;
    let whole = || {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let header: Header = serde_json::from_slice(&bytes[..end]).ok()?;
        let body = bytes.get(end + 1..)?;
        (hexadecimal_sha256(body) == header.sha256).then(|| (header.validators, body.to_vec()))
    };
    let found = whole();
    if found.is_none() {
        tracing::warn!(path = %path.display(), "a stored chart index or file is damaged; it is downloaded again");
        remove(path);
    }
    found
}

fn keep_document(path: &Path, validators: &Validators, body: &[u8]) {
    let header = Header {
        validators: validators.clone(),
        sha256: hexadecimal_sha256(body),
    };
    if let Ok(header) = serde_json::to_string(&header) {
        write(path, &[header.as_bytes(), b"\n", body]);
    }
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn hexadecimal_sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Writes beside the file and renames, so that a reader never sees half of it.
fn write(path: &Path, parts: &[&[u8]]) {
    let Some(directory) = path.parent() else {
        return;
    };
    let written = fs::create_dir_all(directory)
        .and_then(|()| tempfile::NamedTempFile::new_in(directory))
        .and_then(|mut file| {
            for part in parts {
                file.write_all(part)?;
            }
            file.persist(path).map_err(|error| error.error).map(drop)
        });
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "a downloaded chart, index or file cannot be kept");
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a stored chart, index or file cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), 1 << 20);
        let digest = hexadecimal_sha256(b"archive");
        assert_eq!(store.archive("a", &digest), None);
        store.keep_archive("a", &digest, b"archive");
        assert_eq!(
            store.archive("a", &digest).as_deref(),
            Some(b"archive".as_ref())
        );
        assert_eq!(
            store.archive("b", &digest),
            None,
            "another repository's archive"
        );

        let validators = Validators {
            etag: Some("\"7\"".into()),
            last_modified: None,
        };
        store.keep_index("https://a", &validators, "entries:\n  x:\n");
        let stored = store.index("https://a").unwrap();
        assert_eq!(
            (stored.validators, stored.body.as_str()),
            (validators, "entries:\n  x:\n")
        );
        assert_eq!(store.index("https://b"), None);
    }

    #[test]
    fn damaged_files_count_as_absent_and_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), 1 << 20);
        let digest = hexadecimal_sha256(b"archive");
        store.keep_archive("a", &digest, b"archive");
        store.keep_index("https://a", &Validators::default(), "entries: {}");
        for path in [
            store.archive_path("a", &digest),
            store.index_path("https://a"),
        ] {
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        assert_eq!(store.archive("a", &digest), None);
        assert_eq!(store.index("https://a"), None);
        assert!(!store.archive_path("a", &digest).exists());
        assert!(!store.index_path("https://a").exists());
    }

    #[test]
    fn a_directory_that_vanishes_or_cannot_be_written_only_means_downloading_again() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("charts");
        let store = Store::new(&inside, 1 << 20);
        let digest = hexadecimal_sha256(b"archive");
        let kept = || {
            store.keep_archive("a", &digest, b"archive");
            store.keep_index("https://a", &Validators::default(), "entries: {}");
            store.archive("a", &digest).is_some() && store.index("https://a").is_some()
        };
        assert!(kept(), "made when it is needed");
        fs::remove_dir_all(&inside).unwrap();
        assert_eq!(store.archive("a", &digest), None);
        assert!(kept(), "made again");
        fs::remove_dir_all(&inside).unwrap();
        fs::write(&inside, "no directory").unwrap();
        assert!(!kept());
        fs::remove_file(&inside).unwrap();
        assert!(kept(), "it comes back by itself");
    }

    #[test]
    fn the_least_recently_used_archives_go_first() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), 20);
        let archives: [&[u8]; 3] = [b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"];
        let digests = archives.map(hexadecimal_sha256);
        for (age, digest) in [(10, &digests[0]), (20, &digests[1])] {
            let index = digests.iter().position(|d| d == digest).unwrap();
            store.keep_archive("a", digest, archives[index]);
            let file = fs::File::options()
                .write(true)
                .open(store.archive_path("a", digest))
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age))
                .unwrap();
        }
        assert!(
            store.archive("a", &digests[1]).is_some(),
            "used now, so newer than the first"
        );
        store.keep_archive("a", &digests[2], archives[2]);
        assert!(store.archive("a", &digests[0]).is_none());
        assert!(store.archive("a", &digests[1]).is_some());
        assert!(store.archive("a", &digests[2]).is_some());
    }
}
