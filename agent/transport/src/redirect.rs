//! The rule which redirects are followed. Pure; `client` sends the requests.

use url::Url;

use crate::error::{FailureKind, TransportError};
use crate::redact::without_query;

/// Which redirects of one request are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectRules<'a> {
    /// Most redirects for one request.
    pub max: usize,
    /// What every target ends with: a service that moved keeps the end of its URLs, a login page
    /// does not.
    pub tail: Option<&'a str>,
    /// Follow also from `https` to `http`; credentials are not sent there.
    pub allow_plain_http: bool,
}

/// The target of a redirect, or none when the status is not one. `location` is the header.
pub(crate) fn target(
    from: &Url,
    status: u16,
    location: Option<&str>,
    rules: &RedirectRules<'_>,
) -> Result<Option<Url>, TransportError> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let refused = |reason: String| TransportError::new(FailureKind::Redirect, reason);
    let Some(location) = location else {
        return Err(refused(format!("answers {status} without a Location")));
    };
    let target = from.join(location).ok().filter(Url::has_host);
    let Some(mut target) = target.filter(|to| matches!(to.scheme(), "http" | "https")) else {
        let reason = "redirects to something that is not an http(s) URL".to_owned();
        return Err(refused(reason));
    };
    // User information in a Location header would become credentials no user configured.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    let shown = without_query(&target);
    if from.scheme() == "https" && target.scheme() == "http" && !rules.allow_plain_http {
        return Err(refused(format!(
            "redirects from https to http ({shown}), where the answer could be forged"
        )));
    }
    if rules
        .tail
        .is_some_and(|tail| !target.as_str().ends_with(tail))
    {
        return Err(refused(format!(
            "redirects to {shown}, which looks like a web page (a login?)"
        )));
    }
    Ok(Some(target))
}

pub(crate) fn too_many(rules: &RedirectRules<'_>) -> TransportError {
    TransportError::new(
        FailureKind::Redirect,
        format!("redirects more than {} times", rules.max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "/info/refs?service=git-upload-pack";

    fn follow(from: &str, to: Option<&str>, rules: RedirectRules<'_>) -> Result<String, String> {
        let from = Url::parse(from).unwrap();
        target(&from, 302, to, &rules)
            .map(|url| url.unwrap().to_string())
            .map_err(|error| {
                assert_eq!(error.kind, FailureKind::Redirect);
                assert!(!error.is_temporary());
                error.to_string()
            })
    }

    #[test]
    fn redirects_that_lead_elsewhere_are_refused() {
        let rules = RedirectRules {
            max: 5,
            tail: Some(TAIL),
            allow_plain_http: false,
        };
        let moved = format!("https://b.example/new{TAIL}");
        let with_user = format!("https://u:p@b.example/new{TAIL}");
        for to in [&moved, &with_user] {
            assert_eq!(
                follow("https://a.example/r", Some(to), rules),
                Ok(moved.clone())
            );
        }
        let refused = [
            (
                Some("http://a.example/r/info/refs?service=git-upload-pack"),
                "from https to http",
            ),
            (Some("/login?token=s3cret"), "a.example/login, which looks"),
            (Some("file:///etc/passwd"), "not an http(s) URL"),
            (Some("https://"), "not an http(s) URL"),
            (None, "without a Location"),
        ];
        for (to, expected) in refused {
            let reason = follow("https://a.example/r", to, rules).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }

    #[test]
    fn plain_http_only_where_allowed() {
        let rules = RedirectRules {
            max: 5,
            tail: None,
            allow_plain_http: true,
        };
        let to = "http://b.example/x";
        assert_eq!(
            follow("https://a.example/r", Some(to), rules),
            Ok(to.to_owned())
        );
        let from = Url::parse("https://a.example").unwrap();
        for status in [200, 304, 404] {
            assert_eq!(target(&from, status, Some(to), &rules), Ok(None));
        }
    }
}
