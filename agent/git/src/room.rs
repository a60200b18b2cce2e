//! Whether what is being received still has room: in its repository, and in the cache of all. Looked
//! at while bytes arrive, since a server may send for as long as it is listened to. Removes nothing.

use std::fs;
use std::path::Path;

use crate::access::DiskLimits;

/// Bytes received between two looks at the size of the whole cache. Fetches under way at the same
/// time may each be that much further than the limit.
const LOOK_EVERY: u64 = 16 << 20;

/// The room of one fetch.
pub(crate) struct Room<'a> {
    limits: &'a DiskLimits,
    /// Packs the mirror had before.
    existing: u64,
    /// Where the next look at the cache is due, in bytes received.
    next_look: u64,
}

impl<'a> Room<'a> {
    /// Room beside the packs in `packs`.
    pub(crate) fn beside(packs: &Path, limits: &'a DiskLimits) -> Self {
        Self {
            limits,
            existing: size_below(packs),
            next_look: 0,
        }
    }

    /// Why `received` bytes are too many; `None` while there is room.
    pub(crate) fn exceeded(&mut self, received: u64) -> Option<String> {
        let cache = if received >= self.next_look {
            self.next_look = received.saturating_add(LOOK_EVERY);
            let cache = self.limits.cache.as_ref();
            cache.map_or(0, |cache| size_below(&cache.directory))
        } else {
            0
        };
        exceeded(self.limits, self.existing.saturating_add(received), cache)
    }
}

/// Why packs of `repository` bytes, in a cache of `cache` bytes altogether, are too much.
fn exceeded(limits: &DiskLimits, repository: u64, cache: u64) -> Option<String> {
    if repository > limits.repository {
        return Some(format!(
            "its packs would take more than {}; set `depth` in the repository Secret, or raise --max-repository-size of the agent",
            size(limits.repository)
        ));
    }
    let limit = limits.cache.as_ref().map(|cache| cache.bytes)?;
    (cache > limit).then(|| {
        format!(
            "no room is left for it, all mirrors together take more than {}; raise --max-cache-size of the agent and sizeLimit of its cache volume, or have it follow fewer repositories",
            size(limit)
        )
    })
}

/// Bytes as people read them; exact where they are a whole number of MiB.
fn size(bytes: u64) -> String {
    if bytes >= 1 << 30 && bytes.is_multiple_of(1 << 30) {
        format!("{} GiB", bytes >> 30)
    } else if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{bytes} bytes")
    }
}

/// Size of all files below `directory`, in bytes. What cannot be read, or goes away meanwhile, counts
/// as nothing; links are not followed.
pub fn size_below(directory: &Path) -> u64 {
    let mut total: u64 = 0;
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                total = total.saturating_add(entry.metadata().map_or(0, |file| file.len()));
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::CacheLimit;

    #[test]
    fn limits_are_said_with_what_raises_them() {
        let limits = DiskLimits {
            repository: 2 << 30,
            cache: Some(CacheLimit {
                directory: "/cache".into(),
                bytes: 100 << 20,
            }),
        };
        assert_eq!(exceeded(&limits, 2 << 30, 100 << 20), None);
        let reason = exceeded(&limits, (2 << 30) + 1, 0).unwrap();
        assert!(reason.contains("more than 2 GiB") && reason.contains("--max-repository-size"));
        let reason = exceeded(&limits, 1, (100 << 20) + 1).unwrap();
        assert!(reason.contains("more than 100 MiB") && reason.contains("--max-cache-size"));
        let unlimited = DiskLimits {
            cache: None,
            ..limits
        };
        assert_eq!(exceeded(&unlimited, 1, u64::MAX), None);
    }

    #[test]
    fn the_cache_is_measured_at_the_beginning_and_now_and_then() {
        let directory = tempfile::tempdir().unwrap();
        let limits = DiskLimits {
            repository: u64::MAX,
            cache: Some(CacheLimit {
                directory: directory.path().to_owned(),
                bytes: 10,
            }),
        };
        let mut room = Room::beside(&directory.path().join("packs"), &limits);
        assert_eq!(room.exceeded(0), None);
        fs::create_dir(directory.path().join("deep")).unwrap();
        fs::write(directory.path().join("deep/file"), [0; 11]).unwrap();
        assert_eq!(room.exceeded(LOOK_EVERY - 1), None, "not looked at");
        assert!(room.exceeded(LOOK_EVERY).is_some());
    }
}
