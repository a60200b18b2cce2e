//! OCI registries, against a registry double that speaks the distribution API over real TCP.

#![allow(clippy::unwrap_used)]

mod server;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gitops_charts::{
    BasicCredentials, ChartError, ChartFetcher, ChartRepository, FetcherConfig, RepositoryKind,
};
use server::{Answer, BASIC, Seen, Server, chart_archive, sha256};
use tempfile::TempDir;

const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

fn manifest(layer_type: &str, digest: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.cncf.helm.config.v1+json"}},
            "layers":[{{"mediaType":"application/vnd.cncf.helm.chart.provenance.v1.prov","digest":"sha256:00"}},
                      {{"mediaType":"{layer_type}","digest":"sha256:{digest}","size":1}}]}}"#
    )
}

/// `charts/web` with 1.0.0, 1.1.0 and 1.2.0+build; one tag of another kind.
fn registry_double(seen: &Seen) -> Answer {
    let versions = ["1.0.0", "1.1.0", "1.2.0+build"];
    let archives = versions.map(|version| chart_archive("web", version));
    let path = seen
        .path
        .strip_prefix("/v2/charts/web/")
        .unwrap_or_default();
    if let Some(query) = path.strip_prefix("tags/list?") {
        return if query.contains("last=1.0.0") {
            Answer::ok(r#"{"name":"charts/web","tags":["1.1.0","1.2.0_build","latest"]}"#)
        } else {
            Answer::ok(r#"{"name":"charts/web","tags":["1.0.0"]}"#).with(
                "link",
                "</v2/charts/web/tags/list?last=1.0.0&n=1>; rel=\"next\"",
            )
        };
    }
    if let Some(tag) = path.strip_prefix("manifests/") {
        if tag == "latest" {
            let image = manifest(
                "application/vnd.oci.image.layer.v1.tar+gzip",
                &"0".repeat(64),
            );
            return Answer::ok(image);
        }
        let found = versions
            .iter()
            .position(|version| version.replace('+', "_") == tag);
        return found.map_or_else(
            || Answer::status(404),
            |found| Answer::ok(manifest(CHART_LAYER, &sha256(&archives[found]))),
        );
    }
    let blob = path.strip_prefix("blobs/sha256:");
    let found = blob.and_then(|digest| archives.iter().find(|a| sha256(a) == digest));
    found.map_or_else(
        || Answer::status(404),
        |archive| Answer::ok(archive.clone()),
    )
}

fn at(server: &Server) -> ChartRepository {
    ChartRepository {
        url: format!("{}/charts", server.address),
        kind: RepositoryKind::Oci { plain_http: true },
        ..ChartRepository::default()
    }
}

fn with_credentials(mut repository: ChartRepository) -> ChartRepository {
    repository.credentials = Some(BasicCredentials {
        username: "user".into(),
        password: "pass".into(),
    });
    repository
}

fn fetcher(max_age: Duration) -> (TempDir, ChartFetcher) {
    let directory = tempfile::tempdir().unwrap();
    let config = FetcherConfig {
        max_age,
        local_addresses: gitops_transport::LocalAddresses::Allowed,
        ..FetcherConfig::new(directory.path())
    };
    (directory, ChartFetcher::new(config))
}

#[tokio::test]
async fn resolves_and_fetches() {
    let server = Server::start(registry_double).await;
    let (_directory, fetcher) = fetcher(Duration::from_mins(10));
    let repository = at(&server);
    for (range, version) in [
        ("", "1.2.0+build"),
        ("1.1.x", "1.1.0"),
        ("<1.1", "1.0.0"),
        ("7.7.7", "7.7.7"),
    ] {
        assert_eq!(
            fetcher.resolve(&repository, "web", range).await.as_deref(),
            Ok(version)
        );
    }
    assert_eq!(server.paths().len(), 2, "two pages of tags, once");
    let chart = fetcher
        .fetch(&repository, "web", "1.2.0+build")
        .await
        .unwrap();
    assert_eq!(chart.version, "1.2.0+build");
    assert_eq!(
        chart.digest,
        format!("sha256:{}", sha256(&chart_archive("web", "1.2.0+build")))
    );
    let again = fetcher
        .fetch(&repository, "web", "1.2.0+build")
        .await
        .unwrap();
    assert!(Arc::ptr_eq(&chart, &again));
    assert_eq!(server.paths().len(), 4, "then a manifest and a blob");

    let prefixed = ChartRepository {
        url: format!("oci://{}/charts", server.address),
        ..repository
    };
    assert_eq!(
        fetcher
            .fetch(&prefixed, "web", "1.0.0")
            .await
            .unwrap()
            .version,
        "1.0.0"
    );
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_is_there() {
    let server = Server::start(registry_double).await;
    let (_directory, fetcher) = fetcher(Duration::from_mins(10));
    let repository = at(&server);
    let shown = format!("oci://{}/charts", server.address);
    assert_eq!(
        fetcher
            .fetch(&repository, "web", "7.7.7")
            .await
            .unwrap_err()
            .to_string(),
        format!("chart web 7.7.7 not found in {shown}; newest are 1.2.0+build, 1.1.0, 1.0.0")
    );
    let error = fetcher
        .fetch(&repository, "api", "1.0.0")
        .await
        .unwrap_err();
    assert!(matches!(error, ChartError::ChartNotFound { .. }), "{error}");
    let error = fetcher
        .resolve(&repository, "Web", "1.x")
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChartError::InvalidChartName { .. }),
        "{error}"
    );
    let error = fetcher
        .fetch(&repository, "../../other", "1.0.0")
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChartError::InvalidChartName { .. }),
        "{error}"
    );
    let error = fetcher
        .fetch(&repository, "web", "latest")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not a Helm chart"), "{error}");
}

/// Wants a token of its own token path, which wants `user:pass`.
fn with_tokens(seen: &Seen, realm: &str) -> Answer {
    if let Some(query) = seen.path.strip_prefix("/token?") {
        assert!(query.contains("service=double"), "{query}");
        assert!(
            query.contains("scope=repository%3Acharts%2Fweb%3Apull"),
            "{query}"
        );
        return if seen.authorization.as_deref() == Some(BASIC) {
            Answer::ok(r#"{"token":"good","expires_in":300}"#)
        } else {
            Answer::status(401)
        };
    }
    if seen.authorization.as_deref() == Some("Bearer good") {
        return registry_double(seen);
    }
    let challenge =
        format!("Bearer realm=\"{realm}\",service=\"double\",scope=\"repository:charts/web:pull\"");
    Answer::status(401).with("www-authenticate", challenge)
}

#[tokio::test]
async fn tokens_are_fetched_once_with_the_credentials() {
    let token_server = Server::start(|seen| with_tokens(seen, "unused")).await;
    let realm = format!("http://{}/token", token_server.address);
    let server = Server::start(move |seen| with_tokens(seen, &realm)).await;
    let (_directory, fetcher) = fetcher(Duration::ZERO);
    let repository = with_credentials(at(&server));
    assert_eq!(
        fetcher.resolve(&repository, "web", "1.1").await.as_deref(),
        Ok("1.1.0")
    );
    assert_eq!(
        fetcher
            .fetch(&repository, "web", "1.1.0")
            .await
            .unwrap()
            .version,
        "1.1.0"
    );
    assert_eq!(token_server.seen().len(), 1);
    let basic = server
        .seen()
        .iter()
        .filter(|s| s.authorization.as_deref() == Some(BASIC))
        .count();
    assert_eq!(basic, 0, "the registry itself gets tokens only");

    let error = fetcher
        .fetch(&at(&server), "web", "1.1.0")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ChartError::Unauthorized {
                credentials_sent: false,
                ..
            }
        ),
        "{error}"
    );
    let mut wrong = repository;
    wrong.credentials.as_mut().unwrap().password = "guess-me".into();
    let error = fetcher.fetch(&wrong, "web", "1.1.0").await.unwrap_err();
    assert!(
        matches!(
            error,
            ChartError::Unauthorized {
                credentials_sent: true,
                ..
            }
        ),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("guess-me"));
}

#[tokio::test]
async fn a_token_the_registry_no_longer_takes_is_replaced() {
    let issued = Arc::new(Mutex::new(0));
    let count = issued.clone();
    let token_server = Server::start(move |_| {
        let mut issued = count.lock().unwrap();
        *issued += 1;
        Answer::ok(format!(
            r#"{{"access_token":"t{issued}","expires_in":3600}}"#
        ))
    })
    .await;
    let realm = format!("http://{}/token", token_server.address);
    let server = Server::start(move |seen| {
        // The first token is good for manifests only.
        let wanted = if seen.path.contains("/blobs/") {
            "Bearer t2"
        } else {
            "Bearer t"
        };
        if seen
            .authorization
            .as_deref()
            .is_some_and(|value| value.starts_with(wanted))
        {
            return registry_double(seen);
        }
        Answer::status(401).with("www-authenticate", format!("Bearer realm=\"{realm}\""))
    })
    .await;
    let (_directory, fetcher) = fetcher(Duration::ZERO);
    assert_eq!(
        fetcher
            .fetch(&at(&server), "web", "1.0.0")
            .await
            .unwrap()
            .version,
        "1.0.0"
    );
    assert_eq!(*issued.lock().unwrap(), 2);
}

#[tokio::test]
async fn basic_challenges_are_answered() {
    let server = Server::start(|seen| {
        if seen.authorization.as_deref() == Some(BASIC) {
            registry_double(seen)
        } else {
            Answer::status(401).with("www-authenticate", "Basic realm=\"double\"")
        }
    })
    .await;
    let (_directory, fetcher) = fetcher(Duration::ZERO);
    let repository = with_credentials(at(&server));
    assert_eq!(
        fetcher
            .fetch(&repository, "web", "1.0.0")
            .await
            .unwrap()
            .version,
        "1.0.0"
    );
    let error = fetcher
        .fetch(&at(&server), "web", "1.0.0")
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChartError::Unauthorized { status: 401, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn blobs_in_a_storage_elsewhere_come_without_the_token() {
    let storage = Server::start(|_| Answer::ok(chart_archive("web", "1.0.0"))).await;
    let to = format!("http://{}/bucket/blob?signature=s", storage.address);
    let server = Server::start(move |seen| {
        if seen.authorization.as_deref() != Some(BASIC) {
            Answer::status(401).with("www-authenticate", "Basic")
        } else if seen.path.contains("/blobs/") {
            Answer::redirect(to.clone())
        } else {
            registry_double(seen)
        }
    })
    .await;
    let (_directory, fetcher) = fetcher(Duration::ZERO);
    let repository = with_credentials(at(&server));
    assert_eq!(
        fetcher
            .fetch(&repository, "web", "1.0.0")
            .await
            .unwrap()
            .version,
        "1.0.0"
    );
    assert!(
        storage
            .seen()
            .iter()
            .all(|seen| seen.authorization.is_none())
    );
    let error = fetcher
        .fetch(&repository, "web", "1.1.0")
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChartError::DigestMismatch { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_moved_tag_is_noticed() {
    let current = Arc::new(Mutex::new("1.0.0"));
    let pointed_at = current.clone();
    let server = Server::start(move |seen| {
        let version = *pointed_at.lock().unwrap();
        let path = seen
            .path
            .replace("manifests/1.0.0", &format!("manifests/{version}"));
        registry_double(&Seen {
            path,
            ..seen.clone()
        })
    })
    .await;
    let (_directory, fetcher) = fetcher(Duration::ZERO);
    let repository = at(&server);
    assert_eq!(
        fetcher
            .fetch(&repository, "web", "1.0.0")
            .await
            .unwrap()
            .version,
        "1.0.0"
    );
    *current.lock().unwrap() = "1.1.0";
    assert_eq!(
        fetcher
            .fetch(&repository, "web", "1.0.0")
            .await
            .unwrap()
            .version,
        "1.1.0"
    );
}

#[tokio::test]
async fn something_else_than_a_registry() {
    let server = Server::start(|_| Answer::ok("<html></html>")).await;
    let (_directory, fetcher) = fetcher(Duration::ZERO);
    for version in ["1.0.0", "1.x"] {
        let error = match fetcher.resolve(&at(&server), "web", version).await {
            Ok(version) => fetcher
                .fetch(&at(&server), "web", &version)
                .await
                .unwrap_err(),
            Err(error) => error,
        };
        assert!(
            error.to_string().contains("is that of an OCI registry"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_token_server_of_another_domain_gets_no_credentials() {
    let token_server = Server::start(|seen| {
        assert_eq!(seen.authorization, None);
        Answer::ok(r#"{"token":"anonymous"}"#)
    })
    .await;
    // Another host, as far as its name says.
    let realm = format!("http://localhost:{}/token", token_server.address.port());
    let server = Server::start(move |seen| with_tokens(seen, &realm)).await;
    let (_directory, fetcher) = fetcher(Duration::ZERO);
    let repository = with_credentials(at(&server));
    let error = fetcher.fetch(&repository, "web", "1.1.0").await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ChartError::CredentialsWithheld { .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("localhost") && text.contains("passCredentials"),
        "{text}"
    );
    assert_eq!(token_server.seen().len(), 1);
    let basic = server
        .seen()
        .iter()
        .any(|s| s.authorization.as_deref() == Some(BASIC));
    assert!(!basic);
}
