//! A webhook of the API server, for admission or conversion: HTTPS inside the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::post;
use axum::{Json, Router, serve};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::CertifiedKey;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};

use crate::must;

/// Answers reviews until dropped.
pub struct Webhook {
    address: SocketAddr,
    authority: String,
    asked: Arc<AtomicUsize>,
    _ends: oneshot::Sender<()>,
}

impl Webhook {
    /// Answers the `request` of each review with a `response`, on a thread of its own: a test may
    /// block its thread.
    pub fn start(answer: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static) -> Self {
        let host = "127.0.0.1";
        let CertifiedKey { cert, signing_key } = must(
            rcgen::generate_simple_self_signed([host.to_owned()]),
            "make a certificate",
        );
        let key = must(
            rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()),
            "use the key",
        );
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider);
        let config = must(config.with_safe_default_protocol_versions(), "set up TLS");
        let config = config.with_no_client_auth();
        let config = must(
            config.with_single_cert(vec![cert.der().clone()], key),
            "use the certificate",
        );
        let listener = must(std::net::TcpListener::bind((host, 0)), "listen");
        must(listener.set_nonblocking(true), "listen");
        let address = must(listener.local_addr(), "listen");
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        let review = move |Json(review): Json<Value>| async move {
            count.fetch_add(1, Ordering::Relaxed);
            let request = &review["request"];
            let mut response = answer(request);
            response["uid"] = request["uid"].clone();
            Json(json!({
                "apiVersion": review["apiVersion"], "kind": review["kind"], "response": response,
            }))
        };
        let router = Router::new().route("/", post(review));
        let (ends, ended) = oneshot::channel::<()>();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            must(runtime, "make a runtime").block_on(async move {
                let listener = must(TcpListener::from_std(listener), "listen");
                let listener = Tls { listener, acceptor };
                tokio::select! {
                    _ = serve(listener, router) => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            address,
            authority: STANDARD.encode(cert.pem()),
            asked,
            _ends: ends,
        }
    }

    /// Where the API server finds it: the `clientConfig` of a definition or a configuration.
    pub fn client_config(&self) -> Value {
        json!({"url": format!("https://{}/", self.address), "caBundle": self.authority})
    }

    /// How often it was asked so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Lets an object pass.
pub fn allowed() -> Value {
    json!({"allowed": true})
}

/// Lets an object pass with changes, a JSON patch.
pub fn changed(patch: &Value) -> Value {
    let patch = STANDARD.encode(patch.to_string());
    json!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
}

/// Refuses an object.
pub fn denied(message: &str) -> Value {
    json!({"allowed": false, "status": {"message": message}})
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = must(self.listener.accept().await, "accept a connection");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
