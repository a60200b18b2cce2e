//! Single files over HTTP, against a real server on 127.0.0.1.

#![allow(clippy::unwrap_used)]

mod repository;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use gitops_charts::{ChartFetcher, ChartRepository, FetcherConfig};
use repository::{fetcher, with_credentials};
use server::{Answer, Seen, Server};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn at(server: &Server, path: &str) -> ChartRepository {
    ChartRepository {
        url: format!("http://{}/{path}", server.address),
        ..ChartRepository::default()
    }
}

/// What a server says about a file whose version is `version`: as of now, or that it has not changed.
fn versioned(seen: &Seen, version: u16) -> Answer {
    let etag = format!("\"{version}\"");
    if seen.if_none_match.as_deref() == Some(&etag) {
        return Answer::status(304);
    }
    Answer::ok(format!("a: {version}")).with("etag", etag)
}

#[tokio::test]
async fn a_file_is_fetched_when_it_changed_and_not_again_when_it_did_not() {
    let version = Arc::new(AtomicU16::new(1));
    let now = Arc::clone(&version);
    let server = Server::start(move |seen| versioned(seen, now.load(Ordering::SeqCst))).await;
    let directory = tempfile::tempdir().unwrap();
    let address = at(&server, "a.yaml?x=1&y=%2F");
    let eager = fetcher(&directory, Duration::ZERO);
    let first = eager.file(&address).await.unwrap();
    assert_eq!(&*first.content, b"a: 1");
    let again = eager.file(&address).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "the same, without its content");
    version.store(2, Ordering::SeqCst);
    let changed = eager.file(&address).await.unwrap();
    assert_eq!(&*changed.content, b"a: 2");
    assert_ne!(first.sha256, changed.sha256);
    // After a restart, too; and for a while without any request.
    let patient = fetcher(&directory, Duration::from_mins(10));
    let restarted = patient.file(&address).await.unwrap();
    assert_eq!(restarted.sha256, changed.sha256);
    patient.file(&address).await.unwrap();
    let seen = server.seen();
    let conditions: Vec<_> = seen
        .iter()
        .map(|one| one.if_none_match.as_deref())
        .collect();
    let (one, two) = (Some("\"1\""), Some("\"2\""));
    assert_eq!(conditions, [None, one, one, two]);
    assert!(seen.iter().all(|one| one.path == "/a.yaml?x=1&y=%2F"));
    patient.forget(&address);
    patient.file(&address).await.unwrap();
    assert_eq!(server.seen().len(), 5, "a refresh asks");
}

#[tokio::test]
async fn what_was_written_in_the_second_of_the_answer_is_not_told_by_its_time() {
    const WRITTEN: &str = "Tue, 01 Dec 2026 16:40:00 GMT";
    for (date, expected) in [
        (WRITTEN, None),
        ("Tue, 01 Dec 2026 16:40:01 GMT", Some(WRITTEN)),
    ] {
        let server = Server::start(move |seen| {
            if seen.if_modified_since.is_some() {
                return Answer::status(304);
            }
            let answer = Answer::ok("a: 1").with("last-modified", WRITTEN);
            answer.with("date", date)
        })
        .await;
        let directory = tempfile::tempdir().unwrap();
        let eager = fetcher(&directory, Duration::ZERO);
        let file = eager.file(&at(&server, "a.yaml")).await.unwrap();
        eager.file(&at(&server, "a.yaml")).await.unwrap();
        let asked = server.seen()[1].if_modified_since.clone();
        assert_eq!(asked.as_deref(), expected);
        drop(file);
    }
}

#[tokio::test]
async fn what_names_a_commit_is_asked_for_once() {
    let server = Server::start(|seen| versioned(seen, 1)).await;
    let directory = tempfile::tempdir().unwrap();
    let address = at(&server, &format!("o/r/{COMMIT}/a.yaml"));
    for _ in 0..2 {
        let eager = fetcher(&directory, Duration::ZERO);
        let file = eager.file(&address).await.unwrap();
        eager.file(&address).await.unwrap();
        assert_eq!(&*file.content, b"a: 1");
    }
    assert_eq!(server.paths().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_is_answered_for_by_what_it_last_said() {
    let status = Arc::new(AtomicU16::new(200));
    let now = Arc::clone(&status);
    let server = Server::start(move |seen| match now.load(Ordering::SeqCst) {
        200 => versioned(seen, 1),
        status => Answer::status(status),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let address = at(&server, "a.yaml");
    let eager = fetcher(&directory, Duration::ZERO);
    let held = eager.file(&address).await.unwrap();
    status.store(503, Ordering::SeqCst);
    assert_eq!(eager.file(&address).await.unwrap().sha256, held.sha256);
    drop(held);
    let restarted = fetcher(&directory, Duration::ZERO);
    assert_eq!(&*restarted.file(&address).await.unwrap().content, b"a: 1");
    // One that takes it away is believed.
    for (code, says) in [(404, "404 Not Found; correct its address"), (403, "403")] {
        status.store(code, Ordering::SeqCst);
        let error = restarted.file(&address).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.is_temporary());
    }
}

#[tokio::test]
async fn what_is_no_file_is_named() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/page" => Answer::ok("\n<!DOCTYPE html><html>sign in</html>")
            .with("content-type", "text/html; charset=utf-8"),
        "/large" => Answer::ok(vec![b'a'; (8 << 20) + 1]),
        "/template" => Answer::ok("<!DOCTYPE html>").with("content-type", "text/plain"),
        "/loop" => Answer::redirect("/loop"),
        _ => Answer::redirect("http://169.254.169.254/latest/meta-data"),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::ZERO);
    for (path, says) in [
        ("page", "answered with a web page"),
        ("large", "larger than 8388608 bytes"),
        ("loop", "redirect"),
        ("elsewhere", "169.254.169.254"),
    ] {
        let error = fetcher.file(&at(&server, path)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(says), "{path}: {text}");
        assert!(text.contains("the file of http://127.0.0.1"), "{text}");
    }
    let file = fetcher.file(&at(&server, "template")).await.unwrap();
    assert_eq!(&*file.content, b"<!DOCTYPE html>", "a page may be meant");
    for url in ["oci://files.example.com/a", "file:///etc/passwd", "nothing"] {
        let address = ChartRepository {
            url: url.into(),
            ..ChartRepository::default()
        };
        assert!(fetcher.file(&address).await.is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_server_near_the_agent_is_not_asked() {
    let server = Server::start(|seen| versioned(seen, 1)).await;
    let directory = tempfile::tempdir().unwrap();
    let careful = ChartFetcher::new(FetcherConfig::new(directory.path()));
    let error = careful.file(&at(&server, "a.yaml")).await.unwrap_err();
    assert!(error.to_string().contains("is not asked"), "{error}");
    assert!(server.paths().is_empty());
}

#[tokio::test]
async fn credentials_go_to_their_own_server_and_what_they_opened_is_nobody_elses() {
    let other = Server::start(|seen| versioned(seen, 1)).await;
    let to = format!("http://{}/there", other.address);
    let server = Server::start(move |seen| match (&seen.authorization, &*seen.path) {
        (None, _) => Answer::status(401),
        (_, "/moved") => Answer::redirect(to.clone()),
        _ => versioned(seen, 1),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&directory, Duration::from_mins(10));
    let private = at(&server, "a.yaml");
    let error = fetcher.file(&private).await.unwrap_err();
    assert!(error.to_string().contains("wants credentials"), "{error}");
    fetcher
        .file(&with_credentials(private.clone()))
        .await
        .unwrap();
    assert!(fetcher.file(&private).await.is_err(), "not from the cache");
    let moved = with_credentials(at(&server, "moved"));
    fetcher.file(&moved).await.unwrap();
    assert_eq!(other.seen()[0].authorization, None);
}
