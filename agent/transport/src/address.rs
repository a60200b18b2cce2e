//! Which addresses are connected to, judged after a host name was resolved and before anything is
//! sent, so that neither a name nor a redirect leads to a place the URL's author cannot reach.
//!
//! Loopback and link-local addresses lead into the agent's own Pod and node. Addresses where clouds
//! hand out credentials to whoever asks are refused whatever is configured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use url::{Host, Url};

/// Whether servers on the machine itself may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LocalAddresses {
    /// Loopback and link-local addresses are refused.
    #[default]
    Refused,
    /// They are connected to like others.
    Allowed,
}

/// An address that is not connected to. The address itself is not said: it may be a name's of a zone
/// that whoever reads this cannot ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} has {}", .kind.explained())]
pub struct AddressRefused {
    /// The host as it was written.
    pub host: String,
    /// What kind of address it has.
    pub kind: RefusedAddress,
}

/// Kinds of addresses that are not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedAddress {
    /// Of the machine or Pod itself.
    Loopback,
    /// Of the link the machine is on.
    LinkLocal,
    /// Where a cloud hands out the machine's credentials.
    Metadata,
    /// Of many machines, or of none.
    NotOneHost,
}

impl RefusedAddress {
    const fn explained(self) -> &'static str {
        match self {
            Self::Loopback => {
                "a loopback address, where no repository is asked; use another address, or start the agent with --allow-local-addresses"
            }
            Self::LinkLocal => {
                "a link-local address, where no repository is asked; use another address, or start the agent with --allow-local-addresses"
            }
            Self::Metadata => {
                "an address of the cloud's metadata service, which is never asked; use another address"
            }
            Self::NotOneHost => "a multicast or reserved address; use another address",
        }
    }
}

/// Metadata services outside 169.254.0.0/16: Alibaba Cloud, Azure's wire server, AWS over IPv6.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Why `address` is not connected to; `None` when it is.
pub fn refused(address: IpAddr, local: LocalAddresses) -> Option<RefusedAddress> {
    let kind = match address {
        IpAddr::V4(address) => refused_v4(address),
        IpAddr::V6(address) => refused_v6(address),
    }?;
    let is_local = matches!(kind, RefusedAddress::Loopback | RefusedAddress::LinkLocal);
    (!is_local || local == LocalAddresses::Refused).then_some(kind)
}

fn refused_v4(address: Ipv4Addr) -> Option<RefusedAddress> {
    if address.is_link_local() || METADATA_V4.contains(&address) {
        return Some(RefusedAddress::Metadata);
    }
    // Linux connects 0.0.0.0 to the machine itself.
    if address.is_loopback() || address.octets()[0] == 0 {
        return Some(RefusedAddress::Loopback);
    }
    // 224.0.0.0/4 is multicast, 240.0.0.0/4 reserved, the last of them broadcast.
    (address.octets()[0] >= 224).then_some(RefusedAddress::NotOneHost)
}

fn refused_v6(address: Ipv6Addr) -> Option<RefusedAddress> {
    if address == METADATA_V6 {
        return Some(RefusedAddress::Metadata);
    }
    if address.is_loopback() || address.is_unspecified() {
        return Some(RefusedAddress::Loopback);
    }
    if address.is_unicast_link_local() {
        return Some(RefusedAddress::LinkLocal);
    }
    if address.is_multicast() {
        return Some(RefusedAddress::NotOneHost);
    }
    embedded_v4(address).and_then(refused_v4)
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64 and 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

/// The refusal of a URL whose host needs no resolving: a literal address, or `localhost`. Behind a
/// proxy nothing else is known of where a request ends.
pub(crate) fn check_literal(url: &Url, local: LocalAddresses) -> Result<(), AddressRefused> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            // RFC 6761: names below localhost are loopback everywhere.
            if name != "localhost" && !name.ends_with(".localhost") {
                return Ok(());
            }
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
        None => return Ok(()),
    };
    refused(address, local).map_or(Ok(()), |kind| {
        let host = url.host_str().unwrap_or_default().to_owned();
        Err(AddressRefused { host, kind })
    })
}

/// Why a host cannot be connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// DNS knows no such host, or does not answer.
    #[error("the host name cannot be resolved")]
    NotFound,
    /// All its addresses are refused.
    #[error(transparent)]
    Refused(#[from] AddressRefused),
}

/// The address to connect to for `host`, for programs that are not given a name because they would
/// resolve it once more themselves. Blocks.
pub fn resolve(host: &str, port: u16, local: LocalAddresses) -> Result<IpAddr, ResolveError> {
    let found = (host, port).to_socket_addrs();
    let found: Vec<SocketAddr> = found.map_err(|_| ResolveError::NotFound)?.collect();
    match allowed(host, &found, local)?.first() {
        Some(address) => Ok(address.ip()),
        None => Err(ResolveError::NotFound),
    }
}

/// Those of `found` that may be connected to; an error when there are addresses and none of them may.
fn allowed(
    host: &str,
    found: &[SocketAddr],
    local: LocalAddresses,
) -> Result<Vec<SocketAddr>, AddressRefused> {
    let mut kind = None;
    let mut allowed = Vec::new();
    for address in found {
        match refused(address.ip(), local) {
            None => allowed.push(*address),
            refusal => kind = kind.or(refusal),
        }
    }
    match kind {
        Some(kind) if allowed.is_empty() => Err(AddressRefused {
            host: host.to_owned(),
            kind,
        }),
        _ => Ok(allowed),
    }
}

/// Resolves for the HTTP client, which connects to what this returns and to nothing else.
#[derive(Debug)]
pub(crate) struct CheckedResolver {
    pub(crate) local: LocalAddresses,
    /// Host and port of the proxy, which an administrator chose: it may be on the machine itself.
    pub(crate) proxy: Option<(String, u16)>,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let host = uri.host().unwrap_or_default();
        let is_proxy = self
            .proxy
            .as_ref()
            .is_some_and(|(proxy, port)| proxy == host && uri.port_u16().unwrap_or(*port) == *port);
        if is_proxy {
            return Ok(found);
        }
        let kept = allowed(host, &found, self.local);
        let kept = kept.map_err(|refused| ureq::Error::Other(Box::new(refused)))?;
        let mut addresses = self.empty();
        for address in kept {
            addresses.push(address);
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_inside_are_refused() {
        use RefusedAddress::{LinkLocal, Loopback, Metadata, NotOneHost};
        // Address, its kind, whether --allow-local-addresses opens it.
        let cases = [
            ("127.0.0.1", Some(Loopback), true),
            ("127.9.9.9", Some(Loopback), true),
            ("0.0.0.0", Some(Loopback), true),
            ("0.1.2.3", Some(Loopback), true),
            ("::1", Some(Loopback), true),
            ("::", Some(Loopback), true),
            ("::ffff:127.0.0.1", Some(Loopback), true),
            ("::127.0.0.1", Some(Loopback), true),
            ("64:ff9b::7f00:1", Some(Loopback), true),
            ("2002:7f00:1::", Some(Loopback), true),
            ("fe80::1", Some(LinkLocal), true),
            ("169.254.169.254", Some(Metadata), false),
            ("169.254.1.1", Some(Metadata), false),
            ("::ffff:169.254.169.254", Some(Metadata), false),
            ("64:ff9b::a9fe:a9fe", Some(Metadata), false),
            ("fd00:ec2::254", Some(Metadata), false),
            ("100.100.100.200", Some(Metadata), false),
            ("168.63.129.16", Some(Metadata), false),
            ("224.0.0.1", Some(NotOneHost), false),
            ("255.255.255.255", Some(NotOneHost), false),
            ("ff02::1", Some(NotOneHost), false),
            ("10.0.0.1", None, true),
            ("172.16.0.1", None, true),
            ("192.168.1.1", None, true),
            ("140.82.121.3", None, true),
            ("fd12::1", None, true),
            ("2606:50c0::1", None, true),
        ];
        for (text, expected, opened) in cases {
            let address: IpAddr = text.parse().unwrap();
            let refused = |local| refused(address, local);
            assert_eq!(refused(LocalAddresses::Refused), expected, "{text}");
            let with_flag = expected.filter(|_| !opened);
            assert_eq!(refused(LocalAddresses::Allowed), with_flag, "{text}");
        }
    }

    #[test]
    fn a_host_is_reached_at_those_of_its_addresses_that_are_allowed() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        let (inside, outside) = (address("127.0.0.1"), address("10.0.0.1"));
        let allowed = |found: &[SocketAddr]| allowed("h", found, LocalAddresses::Refused);
        assert_eq!(allowed(&[inside, outside]), Ok(vec![outside]));
        assert_eq!(allowed(&[]), Ok(vec![]));
        let error = allowed(&[inside]).unwrap_err().to_string();
        assert!(error.contains("--allow-local-addresses"), "{error}");
        assert!(!error.contains("127."), "{error}");
    }

    #[test]
    fn hosts_that_need_no_resolving_are_refused_before_a_proxy_is_asked() {
        for (url, refused) in [
            ("https://127.0.0.1/x", true),
            // The WHATWG URL parser reads these as 127.0.0.1, too.
            ("https://127.1/x", true),
            ("https://2130706433/x", true),
            ("https://0x7f.0.0.1/x", true),
            ("https://[::1]/x", true),
            ("https://localhost:8443/x", true),
            ("https://LOCALHOST./x", true),
            ("https://a.localhost/x", true),
            ("https://169.254.169.254/latest", true),
            ("https://localhost.example.com/x", false),
            ("https://10.0.0.1/x", false),
        ] {
            let url = Url::parse(url).unwrap();
            let checked = check_literal(&url, LocalAddresses::Refused);
            assert_eq!(checked.is_err(), refused, "{url}");
        }
    }
}
