//! A chart archive unpacked in memory: a tree of files below the chart's directory.
//!
//! Decides what an archive may hold, by the rules Helm's own loader has: everything lies in one
//! top directory, no absolute path, no `..`, no links or devices, and limits on sizes and counts.
//! Never writes to disk and never looks into a file but `Chart.yaml`, for name and version.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use bytes::Bytes;
use serde::Deserialize;

use crate::error::ChartError;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Packed size in bytes.
    pub packed_bytes: u64,
    /// Size of all files together in bytes (Helm: 100 MiB).
    pub unpacked_bytes: u64,
    /// Size of one file in bytes (Helm: 5 MiB).
    pub file_bytes: u64,
    /// Entries, directories included.
    pub entries: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            packed_bytes: 32 << 20,
            unpacked_bytes: 100 << 20,
            file_bytes: 5 << 20,
            entries: 20_000,
        }
    }
}

/// One chart version in memory. Paths are relative to the chart's directory, separated by `/`.
#[derive(Debug)]
pub struct ChartArchive {
    /// Name, from its `Chart.yaml`.
    pub name: String,
    /// Version, from its `Chart.yaml`.
    pub version: String,
    /// `sha256:` and the digest of the archive as it was downloaded, in hexadecimal. Together with
    /// a path it identifies a file's content.
    pub digest: String,
    files: BTreeMap<String, Bytes>,
    directories: BTreeSet<String>,
}

/// What is at a path of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveEntry {
    /// A file of so many bytes.
    File {
        /// Size in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
}

impl ChartArchive {
    /// Unpacks a gzipped tar archive. `chart`, `version` and `digest` say what it was published as.
    pub(crate) fn unpack(
        packed: &[u8],
        chart: &str,
        version: &str,
        digest: String,
        limits: &ArchiveLimits,
    ) -> Result<Self, ChartError> {
        unpack(packed, digest, limits).map_err(|reason| ChartError::InvalidArchive {
            chart: chart.to_owned(),
            version: version.to_owned(),
            reason,
        })
    }

    /// What is at `path`; the empty path is the chart's directory.
    pub fn entry(&self, path: &str) -> Option<ArchiveEntry> {
        let path = path.trim_matches('/');
        match self.files.get(path) {
            Some(content) => Some(ArchiveEntry::File {
                size: content.len() as u64,
            }),
            None if self.directories.contains(path) => Some(ArchiveEntry::Directory),
            None => None,
        }
    }

    /// Content of the file at `path`.
    pub fn read(&self, path: &str) -> Option<&Bytes> {
        self.files.get(path.trim_matches('/'))
    }

    /// Names directly in the directory at `path`, sorted, with what they are; `None` when there is
    /// no such directory.
    pub fn list(&self, path: &str) -> Option<Vec<(&str, ArchiveEntry)>> {
        let path = path.trim_matches('/');
        if !self.directories.contains(path) {
            return None;
        }
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let direct = |full: &'_ str| {
            full.strip_prefix(&prefix)
                .is_some_and(|name| !name.is_empty() && !name.contains('/'))
        };
        let files = self.files.range(prefix.clone()..);
        let files = files.take_while(|(full, _)| full.starts_with(&prefix));
        let files = files
            .filter(|(full, _)| direct(full))
            .map(|(full, content)| {
                (
                    &full[prefix.len()..],
                    ArchiveEntry::File {
                        size: content.len() as u64,
                    },
                )
            });
        let directories = self.directories.range(prefix.clone()..);
        let directories = directories.take_while(|full| full.starts_with(&prefix));
        let directories = directories
            .filter(|full| direct(full))
            .map(|full| (&full[prefix.len()..], ArchiveEntry::Directory));
        let mut names: Vec<_> = files.chain(directories).collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        Some(names)
    }

    /// Every file with its content, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.files
            .iter()
            .map(|(path, content)| (path.as_str(), content))
    }
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

fn unpack(packed: &[u8], digest: String, limits: &ArchiveLimits) -> Result<ChartArchive, String> {
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Err(
            "what was downloaded is not a gzipped archive; check the URL in the index".into(),
        );
    }
    // Headers and padding count too, so that an archive of empty entries cannot run on for ever.
    let inflated = limits
        .unpacked_bytes
        .saturating_add(limits.entries as u64 * 4096);
    let reader = flate2::read::MultiGzDecoder::new(packed).take(inflated);
    let mut archive = tar::Archive::new(reader);
    let mut files = BTreeMap::new();
    let mut directories = BTreeSet::from([String::new()]);
    let mut total = 0_u64;
    let mut count = 0;
    let broken = |error: std::io::Error| format!("it is damaged: {error}");
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        count += 1;
        if count > limits.entries {
            return Err(format!("it holds more than {} entries", limits.entries));
        }
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(|e| {
            format!(
                "{:?} is not a UTF-8 name",
                String::from_utf8_lossy(e.as_bytes())
            )
        })?;
        let directory = kind.is_dir() || name.ends_with('/');
        if !directory && !kind.is_file() && !kind.is_contiguous() {
            return Err(format!(
                "{name:?} is a link or a device; a chart may hold only files"
            ));
        }
        let Some(path) = path_in_chart(&name, directory)? else {
            continue;
        };
        let mut parent = path.as_str();
        while let Some((above, _)) = parent.rsplit_once('/') {
            if !directories.insert(above.to_owned()) {
                break;
            }
            parent = above;
        }
        if directory {
            directories.insert(path);
            continue;
        }
        let size = entry.size();
        total = size.saturating_add(total);
        if size > limits.file_bytes {
            return Err(format!(
                "{name:?} is larger than {} bytes",
                limits.file_bytes
            ));
        }
        if total > limits.unpacked_bytes {
            return Err(format!(
                "it unpacks to more than {} bytes",
                limits.unpacked_bytes
            ));
        }
        let mut content = Vec::with_capacity(size as usize);
        entry.read_to_end(&mut content).map_err(broken)?;
        if content.len() as u64 != size {
            return Err("it is damaged: it ends in the middle of a file".into());
        }
        files.insert(path, Bytes::from(content));
    }
    if let Some(path) = files.keys().find(|path| directories.contains(*path)) {
        return Err(format!("{path:?} is both a file and a directory"));
    }
    let metadata = files
        .get("Chart.yaml")
        .ok_or("it has no Chart.yaml in its top directory")?;
    let Metadata { name, version } = serde_saphyr::from_slice(metadata)
        .map_err(|error| format!("Chart.yaml: {}", first_line(&error.to_string())))?;
    Ok(ChartArchive {
        name,
        version,
        digest,
        files,
        directories,
    })
}

/// The path below the archive's top directory; `None` for the top directory itself.
fn path_in_chart(name: &str, directory: bool) -> Result<Option<String>, String> {
    // Archives made on Windows may separate with backslashes.
    let name_read = if name.contains('\\') {
        name.replace('\\', "/")
    } else {
        name.to_owned()
    };
    let outside = || format!("{name:?} is not below the archive's top directory");
    if name_read.starts_with('/') || name_read.contains('\0') {
        return Err(outside());
    }
    let mut parts = name_read
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    let Some(top) = parts.next() else {
        return Ok(None);
    };
    let rest: Vec<&str> = parts.collect();
    let drive = |part: &&str| part.len() == 2 && part.ends_with(':');
    if top == ".." || rest.contains(&"..") || rest.first().is_some_and(drive) {
        return Err(outside());
    }
    if rest.is_empty() {
        return if directory { Ok(None) } else { Err(outside()) };
    }
    Ok(Some(rest.join("/")))
}

pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    enum Item<'a> {
        File(&'a str, &'a [u8]),
        Directory(&'a str),
        Link(&'a str, &'a str),
    }
    use Item::{Directory, File, Link};

    const CHART: Item<'_> = File("web/Chart.yaml", b"name: web\nversion: 1.2.3\n");

    /// Writes headers by hand, so that names a well-behaved writer refuses can be written too.
    fn packed(items: &[Item<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for item in items {
            let mut header = tar::Header::new_ustar();
            let (name, kind, content): (&str, _, &[u8]) = match item {
                File(name, content) => (name, tar::EntryType::Regular, content),
                Directory(name) => (name, tar::EntryType::Directory, b""),
                Link(name, target) => {
                    header.set_link_name(target).unwrap();
                    (name, tar::EntryType::Symlink, b"")
                }
            };
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        gzipped(&builder.into_inner().unwrap())
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn tree(items: &[Item<'_>], limits: &ArchiveLimits) -> Result<ChartArchive, String> {
        unpack(&packed(items), "sha256:0".into(), limits)
    }

    #[test]
    fn a_chart_becomes_a_tree() {
        let chart = tree(
            &[
                Directory("web/"),
                CHART,
                File("web/templates/a.yaml", b"a"),
                File("web/templates/sub/b.yaml", b"bb"),
                File("web/templates-old.txt", b""),
                File("web/charts/db/Chart.yaml", b"name: db"),
                Directory("web/empty"),
            ],
            &ArchiveLimits::default(),
        )
        .unwrap();
        assert_eq!(
            (chart.name.as_str(), chart.version.as_str()),
            ("web", "1.2.3")
        );
        let listed = |path| {
            chart
                .list(path)
                .map(|names| names.into_iter().map(|(n, _)| n).collect::<Vec<_>>())
        };
        assert_eq!(
            listed(""),
            Some(vec![
                "Chart.yaml",
                "charts",
                "empty",
                "templates",
                "templates-old.txt"
            ])
        );
        assert_eq!(listed("templates/"), Some(vec!["a.yaml", "sub"]));
        assert_eq!(listed("empty"), Some(vec![]));
        assert_eq!(listed("templates/a.yaml"), None);
        assert_eq!(listed("nowhere"), None);
        assert_eq!(chart.entry("templates/sub"), Some(ArchiveEntry::Directory));
        assert_eq!(
            chart.entry("templates/sub/b.yaml"),
            Some(ArchiveEntry::File { size: 2 })
        );
        assert_eq!(chart.entry("templates/../Chart.yaml"), None);
        assert_eq!(
            chart.read("templates/a.yaml").map(AsRef::as_ref),
            Some(b"a".as_ref())
        );
        assert_eq!(chart.read("templates"), None);
        assert_eq!(chart.files().count(), 5);
    }

    #[test]
    fn names_from_windows_are_understood() {
        let chart = tree(
            &[CHART, File("web\\templates\\a.yaml", b"a")],
            &ArchiveLimits::default(),
        );
        assert!(chart.unwrap().read("templates/a.yaml").is_some());
    }

    #[test]
    fn what_no_chart_may_hold_is_refused() {
        let cases: [(&[Item<'_>], &str); 11] = [
            (&[CHART, File("/etc/passwd", b"")], "not below"),
            (&[CHART, File("../etc/passwd", b"")], "not below"),
            (&[CHART, File("web/../../etc/passwd", b"")], "not below"),
            (&[CHART, File("web\\..\\..\\x", b"")], "not below"),
            (&[CHART, File("web/c:/x", b"")], "not below"),
            (&[CHART, File("README.md", b"")], "not below"),
            (&[CHART, Link("web/values.yaml", "/etc/passwd")], "link"),
            (
                &[CHART, File("web/a", b""), File("web/a/b", b"")],
                "both a file and a directory",
            ),
            (&[File("web/values.yaml", b"")], "no Chart.yaml"),
            (&[File("web/Chart.yaml", b"name: [")], "Chart.yaml: "),
            (&[File("web/Chart.yaml", b"name: web")], "version"),
        ];
        for (items, expected) in cases {
            let error = tree(items, &ArchiveLimits::default())
                .err()
                .unwrap_or_default();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits = ArchiveLimits {
            unpacked_bytes: 100,
            file_bytes: 60,
            entries: 3,
            ..Default::default()
        };
        let content = [b'x'; 61];
        let cases: [(&[Item<'_>], &str); 3] = [
            (&[CHART, File("web/a", &content)], "larger than 60"),
            (
                &[
                    CHART,
                    File("web/a", &content[..60]),
                    File("web/b", &content[..60]),
                ],
                "more than 100",
            ),
            (
                &[
                    CHART,
                    File("web/a", b""),
                    File("web/b", b""),
                    File("web/c", b""),
                ],
                "more than 3 entries",
            ),
        ];
        for (items, expected) in cases {
            let error = tree(items, &limits).err().unwrap_or_default();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn damaged_archives_are_refused() {
        let whole = packed(&[CHART, File("web/values.yaml", &[b'v'; 5000])]);
        let cases: [&[u8]; 4] = [
            b"",
            b"<html>",
            &whole[..whole.len() / 2],
            &gzipped(b"not a tar at all"),
        ];
        for bytes in cases {
            assert!(unpack(bytes, String::new(), &ArchiveLimits::default()).is_err());
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let limits = ArchiveLimits {
            file_bytes: u64::MAX,
            unpacked_bytes: 1 << 20,
            ..Default::default()
        };
        let bomb = packed(&[CHART, File("web/zeros", &vec![0; 8 << 20])]);
        assert!(bomb.len() < 64 << 10);
        assert!(
            unpack(&bomb, String::new(), &limits)
                .unwrap_err()
                .contains("more than 1048576")
        );
    }
}
