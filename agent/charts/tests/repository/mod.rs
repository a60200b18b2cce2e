//! A chart repository with a few versions of one chart, and how a test reaches it.

// Each test binary uses a part of this.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use gitops_charts::{BasicCredentials, ChartFetcher, ChartRepository, FetcherConfig};
use tempfile::TempDir;

use crate::server::{Answer, Seen, Server, chart_archive, sha256};

/// One entry of an index.
pub(crate) fn entry(version: &str, url: &str, digest: Option<&str>) -> String {
    let digest = digest
        .map(|d| format!("    digest: {d}\n"))
        .unwrap_or_default();
    format!("  - version: {version}\n    urls:\n    - {url}\n{digest}")
}

pub(crate) fn index(entries: &[String]) -> String {
    format!(
        "apiVersion: v1\nentries:\n  api:\n  - version: 9.9.9\n  web:\n{}",
        entries.concat()
    )
}

/// 1.0.0, 1.1.0 and 2.0.0-rc.1 of `web`, each at `web-VERSION.tgz`.
pub(crate) fn web_server(seen: &Seen) -> Answer {
    let versions = ["1.0.0", "1.1.0", "2.0.0-rc.1"];
    if seen.path == "/index.yaml" {
        let entries = versions.map(|version| {
            let digest = sha256(&chart_archive("web", version));
            entry(version, &format!("web-{version}.tgz"), Some(&digest))
        });
        return Answer::ok(index(&entries));
    }
    let found = versions
        .into_iter()
        .find(|version| seen.path == format!("/web-{version}.tgz"));
    found.map_or_else(
        || Answer::status(404),
        |version| Answer::ok(chart_archive("web", version)),
    )
}

pub(crate) fn at(server: &Server) -> ChartRepository {
    ChartRepository {
        url: format!("http://{}", server.address),
        ..ChartRepository::default()
    }
}

pub(crate) fn with_credentials(mut repository: ChartRepository) -> ChartRepository {
    repository.credentials = Some(BasicCredentials {
        username: "user".into(),
        password: "pass".into(),
    });
    repository
}

pub(crate) fn fetcher(directory: &TempDir, max_age: Duration) -> ChartFetcher {
    ChartFetcher::new(FetcherConfig {
        max_age,
        local_addresses: gitops_transport::LocalAddresses::Allowed,
        ..FetcherConfig::new(directory.path())
    })
}
