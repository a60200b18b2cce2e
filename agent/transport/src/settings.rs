//! What is configured for one server. Holds secrets, so `Debug` shows none of them. Reads no file
//! and no variable: the caller fills it in.

use std::fmt;
use std::time::Duration;

use crate::address::LocalAddresses;
use crate::pace::Pace;

/// How to talk to a server. Two servers with equal settings share a client and its connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientSettings {
    /// The `User-Agent` header.
    pub user_agent: &'static str,
    /// Which server certificates are accepted.
    pub trust: Trust,
    /// Presented only to URLs within a request's credential scope.
    pub client_certificate: Option<ClientCertificate>,
    /// Proxy for this server; without it the environment's (`HTTPS_PROXY`, `NO_PROXY`, …) apply.
    pub proxy: Option<ProxySettings>,
    /// Time limits.
    pub limits: Limits,
    /// Whether servers on the machine itself may be asked.
    pub local_addresses: LocalAddresses,
}

/// Which server certificates are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Those of the system's certificate authorities.
    #[default]
    System,
    /// Those of the system's authorities and of these, PEM.
    SystemAnd(String),
    /// Those of these authorities only, PEM.
    Only(String),
    /// Any certificate: the server is not authenticated.
    Anything,
}

/// A client certificate for mutual TLS.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// Certificate chain, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(***)")
    }
}

/// A proxy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxySettings {
    /// `http://`, `https://`, `socks4://`, `socks5://` or `socks5h://`, with user and password
    /// where the proxy wants them.
    pub url: String,
    /// Hosts reached without it, as in `NO_PROXY`: comma separated names (with their subdomains),
    /// addresses and networks; `*` is all.
    pub no_proxy: String,
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxySettings")
            .field("url", &crate::redact::without_user_information(&self.url))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// Time limits of one exchange with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Longest wait for a connection, TLS included; as long again for resolving the host name.
    pub connect: Duration,
    /// Longest silence of the server; one that packs objects keeps sending keep-alives every few
    /// seconds.
    pub idle: Duration,
    /// Longest duration of one exchange altogether.
    pub total: Duration,
    /// Least progress of an answer.
    pub pace: Pace,
}

impl Limits {
    /// Five minutes for an exchange that makes progress.
    pub const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(30),
        total: Duration::from_mins(5),
        pace: Pace::DEFAULT,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let settings = ClientSettings {
            user_agent: "x",
            trust: Trust::System,
            client_certificate: Some(ClientCertificate {
                certificate_pem: "s3cret-a".into(),
                key_pem: "s3cret-b".into(),
            }),
            proxy: Some(ProxySettings {
                url: "http://p:s3cret-c@proxy:3128".into(),
                no_proxy: String::new(),
            }),
            limits: Limits::default(),
            local_addresses: LocalAddresses::Refused,
        };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("http://***@proxy:3128"), "{shown}");
    }
}
