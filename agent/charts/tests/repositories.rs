//! Chart repositories over HTTP, against a real server on 127.0.0.1.

#![allow(clippy::unwrap_used)]

mod repository;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gitops_charts::{ArchiveEntry, ChartError, ChartFetcher, FetcherConfig};
use repository::{at, entry, fetcher, index, web_server};
use server::{Answer, Server, chart_archive, gzip, sha256};
use tempfile::TempDir;

fn fresh() -> (TempDir, ChartFetcher) {
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::from_mins(10));
    (directory, fetcher)
}

#[tokio::test]
async fn resolves_and_fetches() {
    let server = Server::start(web_server).await;
    let (_directory, fetcher) = fresh();
    let repository = at(&server);
    for (range, version) in [
        ("", "1.1.0"),
        ("1.0.x", "1.0.0"),
        (">1-0", "2.0.0-rc.1"),
        ("v1.0.0", "1.0.0"),
    ] {
        assert_eq!(
            fetcher.resolve(&repository, "web", range).await.as_deref(),
            Ok(version)
        );
    }
    let chart = fetcher.fetch(&repository, "web", "1.1.0").await.unwrap();
    assert_eq!(
        (chart.name.as_str(), chart.version.as_str()),
        ("web", "1.1.0")
    );
    assert_eq!(
        chart.digest,
        format!("sha256:{}", sha256(&chart_archive("web", "1.1.0")))
    );
    assert_eq!(chart.entry("templates"), Some(ArchiveEntry::Directory));
    assert_eq!(
        chart.read("values.yaml").unwrap().as_ref(),
        b"replicas: 1\n"
    );

    let again = fetcher.fetch(&repository, "web", "v1.1.0").await.unwrap();
    assert!(
        Arc::ptr_eq(&chart, &again),
        "held in memory while it is used"
    );
    assert_eq!(server.paths(), ["/index.yaml", "/web-1.1.0.tgz"]);
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_is_there() {
    let server = Server::start(web_server).await;
    let (_directory, fetcher) = fresh();
    let repository = at(&server);
    let url = &repository.url;
    let message = |result: Result<String, ChartError>| result.unwrap_err().to_string();
    assert_eq!(
        message(fetcher.resolve(&repository, "web", "3.x").await),
        format!("chart web 3.x not found in {url}; newest are 2.0.0-rc.1, 1.1.0, 1.0.0")
    );
    assert_eq!(
        message(fetcher.resolve(&repository, "wep", "1.x").await),
        format!("chart wep not found in {url}; similar names there: web")
    );
    assert!(message(fetcher.resolve(&repository, "web", "main").await).contains("\"main\""));
    let error = fetcher
        .fetch(&repository, "web", "1.2.3")
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChartError::VersionNotFound { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_unchanged_index_is_not_sent_again_even_after_a_restart() {
    let body = index(&[entry("1.0.0", "web-1.0.0.tgz", None)]);
    let server = Server::start(move |seen| {
        if seen.if_none_match.as_deref() == Some("\"one\"") {
            return Answer::status(304);
        }
        Answer::ok(gzip(body.as_bytes()))
            .with("etag", "\"one\"")
            .with("content-encoding", "gzip")
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let repository = at(&server);
    for _process in 0..2 {
        let fetcher = fetcher(&directory, Duration::ZERO);
        for _request in 0..2 {
            assert_eq!(
                fetcher.resolve(&repository, "web", "").await.as_deref(),
                Ok("1.0.0")
            );
        }
        assert_eq!(
            fetcher.resolve(&repository, "api", "").await.as_deref(),
            Ok("9.9.9")
        );
    }
    let conditions: Vec<bool> = server
        .seen()
        .iter()
        .map(|seen| seen.if_none_match.is_some())
        .collect();
    assert_eq!(conditions, [false, true, true, true, true, true]);
}

#[tokio::test]
async fn a_damaged_cache_is_downloaded_again() {
    let server = Server::start(|seen| web_server(seen).with("etag", "\"one\"")).await;
    let directory = tempfile::tempdir().unwrap();
    let repository = at(&server);
    fetcher(&directory, Duration::ZERO)
        .fetch(&repository, "web", "1.0.0")
        .await
        .unwrap();
    for part in ["archives", "indexes"] {
        let kept: Vec<_> = std::fs::read_dir(directory.path().join(part))
            .unwrap()
            .collect();
        assert_eq!(kept.len(), 1, "{part}");
        let path = kept[0].as_ref().unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 3);
        std::fs::write(path, bytes).unwrap();
    }
    let chart = fetcher(&directory, Duration::ZERO)
        .fetch(&repository, "web", "1.0.0")
        .await
        .unwrap();
    assert_eq!(chart.version, "1.0.0");
    let chart = fetcher(&directory, Duration::ZERO)
        .fetch(&repository, "web", "1.0.0")
        .await
        .unwrap();
    assert_eq!(chart.version, "1.0.0");
    let archives = server
        .paths()
        .iter()
        .filter(|path| *path == "/web-1.0.0.tgz")
        .count();
    assert_eq!(
        archives, 2,
        "first and after the damage, then from the cache"
    );
}

#[tokio::test]
async fn requests_for_the_same_thing_become_one() {
    let server = Server::start(web_server).await;
    let (_directory, fetcher) = fresh();
    let fetcher = Arc::new(fetcher);
    let repository = at(&server);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (fetcher, repository) = (fetcher.clone(), repository.clone());
        tasks.spawn(async move { fetcher.fetch(&repository, "web", "1.0.0").await.unwrap() });
    }
    // Kept until all are there, as by applications that render at the same time.
    assert_eq!(tasks.join_all().await.len(), 20);
    assert_eq!(server.paths(), ["/index.yaml", "/web-1.0.0.tgz"]);
}

#[tokio::test]
async fn a_repository_that_is_away_for_a_while() {
    let away = Arc::new(AtomicBool::new(false));
    let is_away = away.clone();
    let server = Server::start(move |seen| {
        if is_away.load(Ordering::SeqCst) {
            Answer::status(503)
        } else {
            web_server(seen)
        }
    })
    .await;
    let repository = at(&server);
    let directory = tempfile::tempdir().unwrap();
    let patient = fetcher(&directory, Duration::ZERO);
    let strict = ChartFetcher::new(FetcherConfig {
        max_age: Duration::ZERO,
        stale_for: Duration::ZERO,
        local_addresses: gitops_transport::LocalAddresses::Allowed,
        ..FetcherConfig::new(directory.path())
    });
    for fetcher in [&patient, &strict] {
        fetcher.fetch(&repository, "web", "1.1.0").await.unwrap();
    }
    away.store(true, Ordering::SeqCst);
    assert_eq!(
        patient.resolve(&repository, "web", "1.x").await.as_deref(),
        Ok("1.1.0")
    );
    assert_eq!(
        patient
            .fetch(&repository, "web", "1.1.0")
            .await
            .unwrap()
            .version,
        "1.1.0"
    );
    let error = strict.resolve(&repository, "web", "1.x").await.unwrap_err();
    assert!(
        error.is_temporary() && error.to_string().contains("503"),
        "{error}"
    );
    patient.forget(&repository);
    assert!(patient.resolve(&repository, "web", "1.x").await.is_err());
    away.store(false, Ordering::SeqCst);
    assert_eq!(
        strict.resolve(&repository, "web", "1.x").await.as_deref(),
        Ok("1.1.0")
    );
}

#[tokio::test]
async fn a_newly_published_version_is_found_by_a_hard_refresh() {
    let published = Arc::new(AtomicUsize::new(1));
    let count = published.clone();
    let server = Server::start(move |_| {
        let versions =
            (0..count.load(Ordering::SeqCst)).map(|n| entry(&format!("1.{n}.0"), "x", None));
        Answer::ok(index(&versions.collect::<Vec<_>>()))
    })
    .await;
    let (_directory, fetcher) = fresh();
    let repository = at(&server);
    assert_eq!(
        fetcher.resolve(&repository, "web", "1.x").await.as_deref(),
        Ok("1.0.0")
    );
    published.store(2, Ordering::SeqCst);
    assert_eq!(
        fetcher.resolve(&repository, "web", "1.x").await.as_deref(),
        Ok("1.0.0")
    );
    fetcher.forget(&repository);
    assert_eq!(
        fetcher.resolve(&repository, "web", "1.x").await.as_deref(),
        Ok("1.1.0")
    );
}
