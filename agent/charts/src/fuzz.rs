//! Ways into what reads a chart server's bytes, for tests/fuzz.

use crate::archive::{ArchiveLimits, ChartArchive};
use crate::index;
use crate::repository::{ChartRepository, Endpoint, RepositoryKind};

/// Reads an index.
pub fn index(text: &str, chart: &str) {
    let _ = index::listing(text, chart);
}

/// Unpacks an archive; what it holds stays within the limits.
///
/// # Panics
/// When it does not.
pub fn archive(packed: &[u8]) {
    let limits = ArchiveLimits {
        packed_bytes: 1 << 20,
        unpacked_bytes: 1 << 20,
        file_bytes: 1 << 16,
        entries: 100,
    };
    if let Ok(archive) = ChartArchive::unpack(packed, "web", "1.0.0", "sha256:0".into(), &limits) {
        assert!(archive.files().count() <= limits.entries);
        for (path, content) in archive.files() {
            assert!(content.len() as u64 <= limits.file_bytes);
            assert!(path.split('/').all(|name| !matches!(name, "" | "." | "..")));
        }
    }
}

/// Reads the URL of a repository or registry.
pub fn repository(url: &str) {
    for kind in [
        RepositoryKind::Http,
        RepositoryKind::Oci { plain_http: false },
    ] {
        let _ = Endpoint::of(&ChartRepository {
            url: url.to_owned(),
            kind,
            ..ChartRepository::default()
        });
    }
}
