//! A double of an HTTP server on this machine, for what cannot run in a test: forges' APIs and plugins.
//! It answers what a function says and keeps what it was asked.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

/// A request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// `GET`, `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The `Authorization` header; empty when there was none.
    pub authorization: String,
    /// The document that was sent; null when there was none.
    pub body: Value,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub text: String,
}

impl Answer {
    /// A JSON document.
    pub fn json(status: u16, document: &Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            text: document.to_string(),
        }
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A server that runs until the test's process ends.
pub struct HttpDouble {
    /// Its address, without a slash at the end.
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl HttpDouble {
    /// Starts one. `answers` is told the request and the server's own address.
    pub fn start(answers: impl Fn(&Asked, &str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, own) = (Arc::clone(&asked), address.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(request) = read(&stream) {
                    let answer = answers(&request, &own);
                    seen.lock().push(request);
                    write(stream, &answer);
                }
            }
        });
        Self { address, asked }
    }

    /// What it was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

/// One request; none when the client went away.
fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut request = Asked {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        ..Asked::default()
    };
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => value.trim().clone_into(&mut request.authorization),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = serde_json::from_slice(&body).unwrap_or_default();
    Some(request)
}

fn write(mut stream: TcpStream, answer: &Answer) {
    let mut headers = String::new();
    for (name, value) in &answer.headers {
        headers.push_str(name);
        headers.push_str(": ");
        headers.push_str(value);
        headers.push_str("\r\n");
    }
    let text = &answer.text;
    // A client that went away is its own concern.
    let _ = write!(
        stream,
        "HTTP/1.1 {} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        answer.status,
        text.len()
    );
}
