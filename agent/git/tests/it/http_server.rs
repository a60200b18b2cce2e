//! A small HTTP server in front of `git http-backend`, with what tests need: TLS, authentication,
//! redirects, faults, and a record of every request.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::origin::isolate;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What to answer instead of asking Git.
pub(crate) enum Answer {
    /// Let Git answer.
    Git,
    /// This status, headers and body.
    Fixed(u16, Vec<(&'static str, String)>, String),
    /// Git's answer, cut off in the middle.
    CutOff,
    /// Nothing, until the client goes away.
    Silence,
}

type Decide = dyn Fn(&Request) -> Answer + Send + Sync;

/// How the server behaves.
pub(crate) struct Options {
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Speak version 0 whatever the client asks for.
    pub(crate) ignore_protocol_version: bool,
    pub(crate) decide: Box<Decide>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: None,
            ignore_protocol_version: false,
            decide: Box::new(|_| Answer::Git),
        }
    }
}

/// A running server; stops when dropped.
pub(crate) struct HttpServer {
    address: SocketAddr,
    scheme: &'static str,
    requests: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl HttpServer {
    pub(crate) fn start(root: &Path, options: Options) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            scheme: if options.tls.is_some() {
                "https"
            } else {
                "http"
            },
            requests: Arc::default(),
            stopped: Arc::default(),
            open: Arc::default(),
        };
        let handler = Arc::new(Handler {
            root: root.to_owned(),
            options,
            requests: server.requests.clone(),
        });
        let (stopped, open) = (server.stopped.clone(), server.open.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let handler = handler.clone();
                std::thread::spawn(move || handler.serve(stream));
            }
        });
        server
    }

    /// A server that lets Git answer everything, without TLS.
    pub(crate) fn plain(root: &Path) -> Self {
        Self::start(root, Options::default())
    }

    /// A server without TLS that answers as `decide` says.
    pub(crate) fn deciding(
        root: &Path,
        decide: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start(
            root,
            Options {
                decide: Box::new(decide),
                ..Options::default()
            },
        )
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}/{path}", self.scheme, self.address.port())
    }

    /// The requests since the last call.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// Stops listening and breaks open connections.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Handler {
    root: PathBuf,
    options: Options,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Handler {
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let connection = stream.try_clone().unwrap();
        match &self.options.tls {
            None => self.converse(&mut BufReader::new(stream)),
            Some(config) => {
                let session = rustls::ServerConnection::new(config.clone()).unwrap();
                self.converse(&mut BufReader::new(rustls::StreamOwned::new(
                    session, stream,
                )));
            }
        }
        // `stop` holds another handle, so dropping this one would not close the connection.
        let _ = connection.shutdown(Shutdown::Both);
    }

    /// Answers requests until the client has none left.
    fn converse<S: Read + Write>(&self, stream: &mut BufReader<S>) {
        while let Ok(Some(request)) = read_request(stream) {
            self.requests.lock().unwrap().push(request.clone());
            let answer = match (self.options.decide)(&request) {
                Answer::Git => Ok(self.ask_git(&request)),
                Answer::Fixed(status, headers, body) => {
                    let mut text = format!(
                        "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n",
                        body.len()
                    );
                    for (name, value) in headers {
                        text.extend([name, ": ", &value, "\r\n"]);
                    }
                    Ok(format!("{text}\r\n{body}").into_bytes())
                }
                Answer::CutOff => {
                    let mut answer = self.ask_git(&request);
                    answer.truncate(answer.len() * 2 / 3);
                    Err(answer)
                }
                Answer::Silence => {
                    let _ = stream.read(&mut [0]);
                    return;
                }
            };
            let (Ok(bytes) | Err(bytes)) = &answer;
            let written = stream
                .get_mut()
                .write_all(bytes)
                .and_then(|()| stream.get_mut().flush());
            if written.is_err() || answer.is_err() {
                return;
            }
        }
    }

    fn ask_git(&self, request: &Request) -> Vec<u8> {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let mut command = Command::new("git");
        isolate(&mut command);
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1");
        command
            .env("REQUEST_METHOD", &request.method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query);
        command.env(
            "CONTENT_TYPE",
            request.header("content-type").unwrap_or_default(),
        );
        command.env("CONTENT_LENGTH", request.body.len().to_string());
        if !self.options.ignore_protocol_version {
            let version = request.header("git-protocol").unwrap_or_default();
            command.env("GIT_PROTOCOL", version);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let body = request.body.clone();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&body)));
        let output = child.wait_with_output().unwrap().stdout;
        writer.join().unwrap();
        let end = output
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let headers = String::from_utf8(output[..end].to_vec()).unwrap();
        let body = &output[end + 4..];
        let status = headers
            .lines()
            .find_map(|line| line.strip_prefix("Status: "))
            .unwrap_or("200 OK");
        let others: Vec<&str> = headers
            .lines()
            .filter(|line| !line.starts_with("Status: "))
            .collect();
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{}\r\n\r\n",
            body.len(),
            others.join("\r\n")
        )
        .into_bytes();
        answer.extend_from_slice(body);
        answer
    }
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines[0].split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap(), first.next().unwrap());
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    let mut request = Request {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// A private certificate authority and a server certificate it issued for 127.0.0.1.
pub(crate) struct Certificates {
    pub(crate) ca_pem: String,
    pub(crate) server: Arc<rustls::ServerConfig>,
    /// The same, but only for clients with a certificate from the same authority.
    pub(crate) server_wanting_client: Arc<rustls::ServerConfig>,
    pub(crate) client_certificate: String,
    pub(crate) client_key: String,
}

pub(crate) fn certificates() -> Certificates {
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (parameters.signed_by(&key, &issuer).unwrap(), key)
    };
    let (certificate, key) = issue("127.0.0.1");
    let (client, client_key) = issue("agent");
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = || {
        rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
    };
    let server = builder()
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key.clone_key())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca_certificate.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        provider.clone(),
    );
    let wanting = builder()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    Certificates {
        ca_pem: ca_certificate.pem(),
        server: Arc::new(server),
        server_wanting_client: Arc::new(wanting),
        client_certificate: client.pem(),
        client_key: client_key.serialize_pem(),
    }
}
