//! Which proxy a request goes through: the repository's own, or the environment's. Host lists are
//! read as curl reads `NO_PROXY`. Never connects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use ureq::http::Uri;
use url::Url;

use crate::error::SettingsError;
use crate::redact::without_user_information;
use crate::settings::ProxySettings;

/// The proxies of one client.
pub(crate) struct Proxies {
    matcher: Matcher,
}

impl Proxies {
    /// Those of the settings, else those of the environment (`HTTPS_PROXY` for https, `HTTP_PROXY`
    /// for http, `ALL_PROXY` for both, `NO_PROXY`).
    pub(crate) fn read(settings: Option<&ProxySettings>) -> Result<Self, SettingsError> {
        let Some(settings) = settings else {
            let matcher = Matcher::from_env();
            return Ok(Self { matcher });
        };
        let builder = || Matcher::builder().all(settings.url.as_str());
        let invalid = || SettingsError::Proxy(without_user_information(&settings.url));
        // The matcher ignores what it cannot read; a configured one must not be.
        let any = Uri::from_static("https://example.com");
        let proxy = builder().build().intercept(&any).ok_or_else(invalid)?;
        proxy_of(&proxy).ok_or_else(invalid)?;
        Ok(Self {
            matcher: builder().no(settings.no_proxy.as_str()).build(),
        })
    }

    /// The proxy on the way to `url`.
    pub(crate) fn on_the_way_to(&self, url: &Url) -> Option<ureq::Proxy> {
        let uri = url.as_str().parse::<Uri>().ok()?;
        self.matcher.intercept(&uri).and_then(|it| proxy_of(&it))
    }
}

fn proxy_of(proxy: &Intercept) -> Option<ureq::Proxy> {
    let uri = proxy.uri();
    let protocol = ureq::ProxyProtocol::try_from(uri.scheme_str()?).ok()?;
    let mut builder = ureq::Proxy::builder(protocol).host(uri.host()?);
    if let Some(port) = uri.port_u16() {
        builder = builder.port(port);
    }
    if let Some((username, password)) = user_information(proxy) {
        builder = builder.username(&username).password(&password);
    }
    builder.build().ok()
}

/// User name and password, which the matcher keeps as a header for HTTP proxies.
fn user_information(proxy: &Intercept) -> Option<(String, String)> {
    if let Some((username, password)) = proxy.raw_auth() {
        return Some((username.to_owned(), password.to_owned()));
    }
    let header = proxy.basic_auth()?.to_str().ok()?;
    let pair = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (username, password) = pair.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(url: &str, no_proxy: &str) -> Result<Proxies, SettingsError> {
        Proxies::read(Some(&ProxySettings {
            url: url.to_owned(),
            no_proxy: no_proxy.to_owned(),
        }))
    }

    #[test]
    fn proxies_of_every_kind_keep_their_credentials() {
        let url = Url::parse("https://git.example/r").unwrap();
        let cases = [
            ("http://proxy:3128", "proxy:3128", None),
            ("proxy:3128", "proxy:3128", None),
            (
                "http://ada:p%40ss%2Fword@proxy:3128",
                "proxy:3128",
                Some(("ada", "p@ss/word")),
            ),
            ("https://proxy", "proxy:443", None),
            ("socks5h://ada:x@proxy", "proxy:1080", Some(("ada", "x"))),
        ];
        for (text, address, user) in cases {
            let proxy = proxies(text, "").unwrap().on_the_way_to(&url).unwrap();
            assert_eq!(format!("{}:{}", proxy.host(), proxy.port()), address);
            assert_eq!(proxy.username().zip(proxy.password()), user, "{text}");
        }
    }

    #[test]
    fn hosts_that_need_no_proxy() {
        let cases = [
            ("git.example", "https://git.example/r", true),
            (".git.example", "https://a.git.example/r", true),
            ("git.example", "https://a.git.example/r", true),
            ("git.example", "https://notgit.example/r", false),
            ("10.0.0.0/8, x", "http://10.1.2.3:8080/r", true),
            ("10.0.0.0/8", "http://11.1.2.3/r", false),
            ("*", "https://git.example/r", true),
            ("", "https://git.example/r", false),
        ];
        for (list, url, direct) in cases {
            let proxies = proxies("http://proxy:3128", list).unwrap();
            let proxy = proxies.on_the_way_to(&Url::parse(url).unwrap());
            assert_eq!(proxy.is_none(), direct, "{list} {url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_said_without_its_password() {
        for url in ["::::", "", "ftp://ada:s3cret@proxy"] {
            let reason = proxies(url, "").err().unwrap().to_string();
            assert!(reason.contains("its proxy"), "{reason}");
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }
}
