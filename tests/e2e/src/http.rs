//! The few HTTP requests a test makes itself, to servers on this machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::must;

/// Asks `http://HOST:PORT/PATH`; returns the body.
///
/// # Panics
/// When the server cannot be reached or does not answer with 2xx.
pub fn request(method: &str, url: &str) -> String {
    let (status, body) = send(method, url, "", "");
    assert!(status / 100 == 2, "{method} {url}: {status} {body}");
    body
}

/// Sends a body with a token; returns status and body of the answer.
///
/// # Panics
/// When the server cannot be reached or its answer is not HTTP.
pub fn send(method: &str, url: &str, token: &str, body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let what = format!("{method} {url}");
    let mut stream = must(TcpStream::connect(host), &what);
    must(
        stream.set_read_timeout(Some(Duration::from_secs(10))),
        &what,
    );
    let length = body.len();
    let text = format!(
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: token {token}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    must(stream.write_all(text.as_bytes()), &what);
    let mut answer = String::new();
    must(stream.read_to_string(&mut answer), &what);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    (must(status.parse(), &what), body.to_owned())
}
