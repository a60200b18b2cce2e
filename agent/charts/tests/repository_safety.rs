//! Where a chart repository's credentials go, what is trusted, and what is refused, over real TCP
//! and TLS on 127.0.0.1.

#![allow(clippy::unwrap_used)]

mod repository;
mod server;

use std::time::Duration;

use gitops_charts::{ArchiveLimits, ChartError, ChartFetcher, ChartRepository, FetcherConfig};
use repository::{at, entry, fetcher, index, web_server, with_credentials};
use server::{Answer, Authority, BASIC, Server, chart_archive, gzip};

#[tokio::test]
async fn credentials_stay_with_the_repository() {
    let elsewhere = Server::start(|seen| {
        assert_eq!(seen.path, "/web.tgz");
        Answer::ok(chart_archive("web", "1.0.0"))
    })
    .await;
    let other = elsewhere.address;
    let server = Server::start(move |seen| {
        if seen.authorization.as_deref() != Some(BASIC) {
            return Answer::status(401);
        }
        match seen.path.as_str() {
            "/index.yaml" => Answer::ok(index(&[
                entry("1.0.0", &format!("http://{other}/web.tgz"), None),
                entry("1.1.0", "redirected.tgz", None),
                entry("1.2.0", "own.tgz", None),
            ])),
            "/redirected.tgz" => Answer::redirect(format!("http://{other}/web.tgz")),
            _ => Answer::ok(chart_archive("web", "1.2.0")),
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::from_mins(10));
    let repository = with_credentials(at(&server));
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        fetcher.fetch(&repository, "web", version).await.unwrap();
    }
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|seen| seen.authorization.is_none())
    );
    assert_eq!(elsewhere.seen().len(), 2);

    let passing = ChartRepository {
        pass_credentials: true,
        ..repository.clone()
    };
    for version in ["1.0.0", "1.1.0"] {
        fetcher.fetch(&passing, "web", version).await.unwrap();
    }
    let passed = elsewhere
        .seen()
        .iter()
        .filter(|s| s.authorization.as_deref() == Some(BASIC))
        .count();
    assert_eq!(passed, 2);

    let error = fetcher.resolve(&at(&server), "web", "").await.unwrap_err();
    assert!(
        error.to_string().contains("it wants credentials"),
        "{error}"
    );
    let mut wrong = repository;
    wrong.credentials.as_mut().unwrap().password = "guess-me".into();
    let error = fetcher.resolve(&wrong, "web", "").await.unwrap_err();
    assert!(
        error.to_string().contains("credentials are wrong"),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("guess-me"));
}

#[tokio::test]
async fn what_was_learnt_with_credentials_is_not_shown_without() {
    let server = Server::start(|seen| {
        if seen.authorization.as_deref() == Some(BASIC) {
            web_server(seen)
        } else {
            Answer::status(403)
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::from_mins(10));
    fetcher
        .fetch(&with_credentials(at(&server)), "web", "1.0.0")
        .await
        .unwrap();
    let error = fetcher
        .fetch(&at(&server), "web", "1.0.0")
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChartError::Unauthorized { status: 403, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn private_authorities_are_trusted_only_when_named() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority, web_server).await;
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::from_mins(10));
    let url = format!("https://{}", server.address);
    let unknown = ChartRepository {
        url,
        ..ChartRepository::default()
    };
    let error = fetcher.resolve(&unknown, "web", "").await.unwrap_err();
    assert!(
        !error.is_temporary() && error.to_string().contains("argocd-tls-certs-cm"),
        "{error}"
    );

    let named = ChartRepository {
        ca_pem: Some(authority.pem()),
        ..unknown.clone()
    };
    assert_eq!(
        fetcher.resolve(&named, "web", "").await.as_deref(),
        Ok("1.1.0")
    );
    let other = ChartRepository {
        ca_pem: Some(Authority::new().pem()),
        ..unknown.clone()
    };
    assert!(fetcher.resolve(&other, "web", "").await.is_err());
    let insecure = ChartRepository {
        insecure: true,
        ..unknown.clone()
    };
    assert_eq!(
        fetcher.resolve(&insecure, "web", "").await.as_deref(),
        Ok("1.1.0")
    );
    let garbage = ChartRepository {
        ca_pem: Some("no pem".to_owned()),
        ..unknown
    };
    let error = fetcher.resolve(&garbage, "web", "").await.unwrap_err();
    assert!(
        matches!(error, ChartError::InvalidRepository { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn redirects_end_and_never_leave_tls() {
    let authority = Authority::new();
    let plain = Server::start(web_server).await;
    let to = format!("http://{}/index.yaml", plain.address);
    let server = Server::start_tls(&authority, move |seen| match seen.path.as_str() {
        "/loop/index.yaml" => Answer::redirect("index.yaml"),
        "/file/index.yaml" => Answer::redirect("file:///etc/passwd"),
        _ => Answer::redirect(to.clone()),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::from_mins(10));
    for (path, expected) in [
        ("down", "from https to http"),
        ("loop", "more than 10 times"),
        ("file", "not an http(s) URL"),
    ] {
        let repository = ChartRepository {
            url: format!("https://{}/{path}", server.address),
            ca_pem: Some(authority.pem()),
            ..ChartRepository::default()
        };
        let error = fetcher.resolve(&repository, "web", "").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn an_archive_must_be_what_the_index_announced() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/index.yaml" => Answer::ok(index(&[
            entry("1.0.0", "changed.tgz", Some(&"0".repeat(64))),
            entry("1.1.0", "gone.tgz", None),
            entry("1.2.0", "page.tgz", None),
            entry("1.3.0", "web.tgz", Some("md5:abc")),
        ])),
        "/gone.tgz" => Answer::status(404),
        "/page.tgz" => Answer::ok("<html>please log in</html>"),
        _ => Answer::ok(chart_archive("web", "1.0.0")),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::from_mins(10));
    for (version, expected) in [
        ("1.0.0", "sha256:0000"),
        ("1.1.0", "404"),
        ("1.2.0", "not a gzipped archive"),
        ("1.3.0", "not SHA-256"),
    ] {
        let error = fetcher
            .fetch(&at(&server), "web", version)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.is_temporary());
    }
    let kept = std::fs::read_dir(directory.path().join("archives"))
        .unwrap()
        .count();
    assert_eq!(kept, 1, "only what had no digest to contradict");
}

#[tokio::test]
async fn sizes_are_limited() {
    let server = Server::start(|seen| {
        if seen.path.starts_with("/big") {
            // Small on the wire, large unpacked.
            return Answer::ok(gzip(&vec![b' '; 2 << 20])).with("content-encoding", "gzip");
        }
        web_server(seen)
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let config = FetcherConfig {
        index_bytes: 1 << 20,
        limits: ArchiveLimits {
            packed_bytes: 10,
            ..ArchiveLimits::default()
        },
        local_addresses: gitops_transport::LocalAddresses::Allowed,
        ..FetcherConfig::new(directory.path())
    };
    let fetcher = ChartFetcher::new(config);
    let repository = at(&server);
    let big = ChartRepository {
        url: format!("{}/big", repository.url),
        ..repository.clone()
    };
    let error = fetcher.resolve(&big, "web", "").await.unwrap_err();
    assert!(matches!(error, ChartError::TooLarge { .. }), "{error}");
    let error = fetcher
        .fetch(&repository, "web", "1.0.0")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("larger than 10 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn no_server_at_all() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::from_mins(10));
    let repository = ChartRepository {
        url: format!("http://someone:hunter2@{address}/charts?token=hunter2"),
        ..ChartRepository::default()
    };
    let error = fetcher.resolve(&repository, "web", "").await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(error.is_temporary() && text.contains("refused"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn servers_on_the_machine_itself_are_not_asked() {
    let server = Server::start(web_server).await;
    let directory = tempfile::tempdir().unwrap();
    let careful = ChartFetcher::new(FetcherConfig::new(directory.path()));
    let error = careful.resolve(&at(&server), "web", "").await.unwrap_err();
    assert!(
        error.to_string().contains("--allow-local-addresses"),
        "{error}"
    );
    assert!(!error.is_temporary());
    assert!(server.seen().is_empty());
    // Nor by way of an index that names one, whatever is allowed.
    let index = "entries:\n  web:\n  - version: 1.0.0\n    urls: [\"http://169.254.169.254/latest/meta-data\"]\n";
    let server = Server::start(move |_| Answer::ok(index)).await;
    let fetcher = fetcher(&directory, Duration::ZERO);
    let error = fetcher.fetch(&at(&server), "web", "1.0.0").await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("metadata service"), "{error}");
}

#[tokio::test]
async fn what_a_stranger_answers_is_not_repeated() {
    let server = Server::start(|_| Answer::ok("internal-s3cret")).await;
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::ZERO);
    let error = fetcher.resolve(&at(&server), "web", "").await.unwrap_err();
    assert!(matches!(error, ChartError::InvalidIndex { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
}
