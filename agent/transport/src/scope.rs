//! The rule which URLs credentials may go to: `Authorization` headers and client certificates.
//! Pure; whether there are credentials at all is decided elsewhere.

use url::{Origin, Url};

/// Where the credentials of one server may go.
///
/// They go to its own origin (scheme, host and port), to the same host one step from `http` on port
/// 80 to `https` on port 443, and, only where that is configured, to other hosts; never from
/// `https` to `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialScope {
    own: Url,
    also: Option<Origin>,
    other_hosts: bool,
}

impl CredentialScope {
    /// The scope of credentials that are configured for `own`.
    pub const fn of(own: Url) -> Self {
        Self {
            own,
            also: None,
            other_hosts: false,
        }
    }

    /// Also to this origin, such as the token server a registry names.
    #[must_use]
    pub fn and(mut self, origin: Origin) -> Self {
        self.also = Some(origin);
        self
    }

    /// Also to other hosts (`passCredentials`, Helm's `--pass-credentials`).
    #[must_use]
    pub const fn with_other_hosts(mut self, other_hosts: bool) -> Self {
        self.other_hosts = other_hosts;
        self
    }

    /// Whether credentials may go to `url`.
    pub fn allows(&self, url: &Url) -> bool {
        let origin = url.origin();
        if !origin.is_tuple() {
            return false;
        }
        if origin == self.own.origin() || self.also.as_ref() == Some(&origin) {
            return true;
        }
        if url.scheme() != "https" && self.own.scheme() == "https" {
            return false;
        }
        let upgraded = self.own.scheme() == "http"
            && url.scheme() == "https"
            && self.own.port_or_known_default() == Some(80)
            && url.port_or_known_default() == Some(443)
            && self.own.host() == url.host();
        upgraded || self.other_hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_their_host() {
        // own, target, allowed by itself, allowed when other hosts are.
        let cases = [
            ("https://a.example/r", "https://a.example/x", true, true),
            ("https://a.example/r", "https://a.example:443/x", true, true),
            (
                "https://a.example/r",
                "https://a.example:8443/x",
                false,
                true,
            ),
            ("https://a.example/r", "https://b.example/r", false, true),
            (
                "https://a.example/r",
                "https://a.example.evil/r",
                false,
                true,
            ),
            ("https://a.example/r", "http://a.example/r", false, false),
            ("https://a.example/r", "http://b.example/r", false, false),
            ("http://a.example/r", "https://a.example/r", true, true),
            ("http://a.example/r", "http://a.example/r", true, true),
            ("http://a.example/r", "http://b.example/r", false, true),
            (
                "http://a.example:8080/r",
                "https://a.example/r",
                false,
                true,
            ),
            ("https://a.example/r", "file:///etc/passwd", false, false),
        ];
        for (own, url, alone, with_others) in cases {
            let parse = |text| Url::parse(text).unwrap();
            let scope = CredentialScope::of(parse(own));
            assert_eq!(scope.allows(&parse(url)), alone, "{own} {url}");
            let scope = scope.with_other_hosts(true);
            assert_eq!(scope.allows(&parse(url)), with_others, "{own} {url}");
        }
        let token_server = Url::parse("https://auth.example/token").unwrap();
        let scope = CredentialScope::of(Url::parse("https://a.example").unwrap());
        assert!(!scope.allows(&token_server));
        assert!(scope.and(token_server.origin()).allows(&token_server));
    }
}
