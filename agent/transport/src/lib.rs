//! The one HTTP(S) policy of everything that talks to servers outside a cluster: Git repositories,
//! chart repositories and registries, forges.
//!
//! | module | subject |
//! |---|---|
//! | [`settings`] | what is configured for one server: trust, client certificate, proxy, limits |
//! | [`client`] | sends a request, follows redirects by hand |
//! | [`scope`] | which URLs credentials may go to |
//! | [`redirect`] | which redirects are followed |
//! | [`address`] | which addresses are connected to, judged after resolving |
//! | [`pace`] | whether an answer comes fast enough |
//! | [`slots`] | how many conversations go on with one host |
//! | [`answer`] | status, headers, and a body that is cut off at a limit |
//! | [`error`] | why a request failed, and whether asking again may help |
//! | [`redact`] | what of a URL or of a server's text may be shown |
//! | `proxy`, `tls` | how the settings become a connection |
//!
//! All calls but those of [`slots`] block: an async caller wraps them in `spawn_blocking`. Nothing here retries, caches,
//! interprets an answer's body, or reads configuration other than the system's CA certificates and
//! the proxy variables of the environment.

pub mod address;
pub mod answer;
pub mod authorization;
pub mod client;
pub mod error;
mod error_chain;
pub mod pace;
mod proxy;
pub mod redact;
pub mod redirect;
pub mod scope;
pub mod settings;
pub mod slots;
mod tls;

pub use address::LocalAddresses;
pub use answer::{Answer, BodyReader};
pub use client::{Client, ClientPool, Request};
pub use error::{FailureKind, SettingsError, TransportError, is_temporary_status};
pub use error_chain::{chain, join_causes};
pub use pace::{Pace, PaceMeter};
pub use redirect::RedirectRules;
pub use scope::CredentialScope;
pub use settings::{ClientCertificate, ClientSettings, Limits, ProxySettings, Trust};
pub use slots::HostSlots;
/// The types of status, header names and header values.
pub use ureq::http;
