//! The client against servers that answer from a table, over TCP on 127.0.0.1.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gitops_transport::authorization::bearer;
use gitops_transport::http::HeaderMap;
use gitops_transport::{
    Client, ClientSettings, CredentialScope, FailureKind, Limits, LocalAddresses, Pace,
    RedirectRules, Request, Trust,
};
use url::Url;

const RULES: RedirectRules<'static> = RedirectRules {
    max: 2,
    tail: None,
    allow_plain_http: false,
};

/// A server, and the first line and `Authorization` of every request it got.
struct Server {
    url: Url,
    requests: Receiver<(String, Option<String>)>,
}

impl Server {
    /// Answers each path with what `answer` says: the whole answer after `HTTP/1.1 `.
    fn start(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = read(&stream) else {
                    continue;
                };
                let path = request.0.split(' ').nth(1).unwrap_or_default().to_owned();
                if sender.send(request).is_err() {
                    return;
                }
                match answer(&path) {
                    Some(text) => {
                        let _ = (&stream).write_all(format!("HTTP/1.1 {text}").as_bytes());
                    }
                    // Silence: the client gives up first.
                    None => std::mem::forget(stream),
                }
            }
        });
        Self {
            url: Url::parse(&url).unwrap(),
            requests,
        }
    }

    fn request(&self, path: &str, body: Option<&'static [u8]>) -> Request<'static> {
        Request {
            url: self.url.join(path).unwrap(),
            headers: HeaderMap::new(),
            authorization: bearer("t0ken"),
            scope: CredentialScope::of(self.url.clone()),
            body,
            deadline: Instant::now() + Duration::from_secs(10),
        }
    }

    fn seen(&self) -> Vec<(String, Option<String>)> {
        self.requests.try_iter().collect()
    }
}

fn read(stream: &TcpStream) -> Option<(String, Option<String>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let (mut authorization, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    // Closing with something unread would reset the connection.
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some((first.trim().to_owned(), authorization))
}

fn client(limits: Limits) -> Client {
    Client::new(ClientSettings {
        user_agent: "test",
        trust: Trust::System,
        client_certificate: None,
        proxy: None,
        limits,
        local_addresses: LocalAddresses::Allowed,
    })
    .unwrap()
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn moved(status: u16, to: &str) -> String {
    format!("{status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[test]
fn credentials_do_not_follow_redirects_to_other_hosts() {
    let other = Server::start(|_| Some(ok("there")));
    let to = other.url.to_string();
    let server = Server::start(move |path| match path {
        "/near" => Some(moved(302, "/here")),
        "/far" => Some(moved(307, &to)),
        "/round" => Some(moved(302, "/round")),
        _ => Some(ok("here")),
    });
    let client = client(Limits::default());
    for (path, body, sent) in [("near", "here", true), ("far", "there", false)] {
        let answer = client.follow(&server.request(path, None), &RULES).unwrap();
        assert_eq!(answer.credentials_sent, sent, "{path}");
        assert_eq!(answer.read(10).unwrap(), body.as_bytes());
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter()
            .all(|(_, auth)| auth.as_deref() == Some("Bearer t0ken"))
    );
    assert_eq!(other.seen(), [("GET / HTTP/1.1".to_owned(), None)]);

    let error = client
        .follow(&server.request("round", None), &RULES)
        .err()
        .unwrap();
    assert_eq!(error.kind, FailureKind::Redirect);
    assert!(error.to_string().contains("more than 2 times"), "{error}");
}

#[test]
fn a_body_stays_with_its_host() {
    let other = Server::start(|_| Some(ok("there")));
    let to = other.url.to_string();
    let server = Server::start(move |path| match path {
        "/renamed" => Some(moved(307, "/here")),
        "/far" => Some(moved(307, &to)),
        "/found" => Some(moved(302, "/here")),
        _ => Some(ok("here")),
    });
    let client = client(Limits::default());
    for (path, status) in [("renamed", 200), ("far", 307), ("found", 302)] {
        let request = server.request(path, Some(b"{}"));
        let answer = client.follow(&request, &RULES).unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    assert_eq!(other.seen(), []);
}

#[test]
fn answers_are_limited_in_size_and_time() {
    let server = Server::start(|path| match path {
        "/silent" => None,
        "/endless" => Some(format!(
            "200 OK\r\nConnection: close\r\n\r\n{}",
            "x".repeat(100)
        )),
        _ => Some(ok("0123456789")),
    });
    let limits = Limits {
        idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let client = client(limits);
    let read = |path: &str, limit: u64| {
        let answer = client.send(&server.request(path, None));
        answer.and_then(|answer| answer.read(limit))
    };
    assert_eq!(read("ten", 10).unwrap().len(), 10);
    for (path, limit, kind) in [
        ("ten", 9, FailureKind::TooLarge),
        ("endless", 99, FailureKind::TooLarge),
        ("silent", 10, FailureKind::Timeout),
    ] {
        let error = read(path, limit).unwrap_err();
        assert_eq!(error.kind, kind, "{path}: {error}");
        assert!(error.host.starts_with("127.0.0.1:"), "{error:?}");
    }
    let mut late = server.request("ten", None);
    late.deadline = Instant::now();
    let error = client.send(&late).err().unwrap();
    assert_eq!(error.kind, FailureKind::Timeout);
}

#[test]
fn a_refused_connection_is_temporary() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let request = Request {
        scope: CredentialScope::of(url.clone()),
        url,
        headers: HeaderMap::new(),
        authorization: None,
        body: None,
        deadline: Instant::now() + Duration::from_secs(10),
    };
    let error = client(Limits::default()).send(&request).err().unwrap();
    assert_eq!(error.kind, FailureKind::Unreachable);
    assert!(
        error.is_temporary() && error.reason.contains("refused"),
        "{error}"
    );
}

#[test]
fn local_servers_are_refused_before_anything_is_sent() {
    let server = Server::start(|_| Some(ok("secret")));
    let port = server.url.port().unwrap();
    let careful = Client::new(ClientSettings {
        user_agent: "test",
        trust: Trust::System,
        client_certificate: None,
        proxy: None,
        limits: Limits::default(),
        local_addresses: LocalAddresses::Refused,
    })
    .unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let request = Request {
            url: Url::parse(&format!("http://{host}:{port}/x")).unwrap(),
            ..server.request("x", None)
        };
        let error = careful.send(&request).err().unwrap();
        assert_eq!(error.kind, FailureKind::Address, "{host}: {error}");
        assert!(!error.is_temporary());
    }
    assert_eq!(server.seen(), []);
}

#[test]
fn a_redirect_to_a_metadata_address_is_refused_even_with_local_addresses() {
    let server = Server::start(|_| Some(moved(302, "http://169.254.169.254/latest/meta-data")));
    let error = client(Limits::default())
        .follow(&server.request("x", None), &RULES)
        .err()
        .unwrap();
    assert_eq!(error.kind, FailureKind::Address, "{error}");
    assert!(error.host.starts_with("169.254."), "{error:?}");
}

#[test]
fn an_answer_that_trickles_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        let Some(mut stream) = listener.incoming().flatten().next() else {
            return;
        };
        let _ = read(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        // One byte per write, until the client has had enough.
        while stream.write_all(b"x").and_then(|()| stream.flush()).is_ok() {
            std::thread::yield_now();
        }
    });
    // More than any server sends in the window.
    let client = client(Limits {
        pace: Pace {
            bytes: u64::MAX,
            within: Duration::from_secs(1),
        },
        ..Limits::default()
    });
    let request = Request {
        scope: CredentialScope::of(url.clone()),
        url,
        headers: HeaderMap::new(),
        authorization: None,
        body: None,
        deadline: Instant::now() + Duration::from_mins(5),
    };
    let error = client
        .send(&request)
        .and_then(|answer| answer.read(u64::MAX))
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Timeout, "{error}");
    assert!(error.reason.contains("bytes came in"), "{error}");
}
