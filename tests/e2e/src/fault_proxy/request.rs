//! What a request to the API server is about, read from its method, path and query.

use std::time::SystemTime;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap};

/// The verb of a request, as RBAC calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads many.
    List,
    /// Follows changes; its answer does not end.
    Watch,
    /// `POST`.
    Create,
    /// `PUT`.
    Update,
    /// `PATCH` of any kind, server-side apply too.
    Patch,
    /// `DELETE` of one object.
    Delete,
    /// `DELETE` of many.
    DeleteCollection,
    /// Anything that is not about objects: discovery, versions, health.
    Other,
}

impl Verb {
    /// Whether it changes something (unless it is a dry run).
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch | Self::Other)
    }
}

/// One request that came to the proxy.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its verb.
    pub verb: Verb,
    /// API group; empty for the core group and for what is not about objects.
    pub group: String,
    /// Plural of the kind, such as `configmaps`; the path where it is not about objects.
    pub resource: String,
    /// Namespace, empty when there is none.
    pub namespace: String,
    /// Name of the object, empty for lists, watches and creations.
    pub name: String,
    /// Such as `status`, else empty.
    pub subresource: String,
    /// Whether nothing is stored.
    pub dry_run: bool,
    /// Whether it is a server-side apply.
    pub apply: bool,
    /// When it came.
    pub at: SystemTime,
    /// Status of the API server's answer, or of the one given in its place; `None` while there is
    /// none, which may be for ever.
    pub answered: Option<u16>,
}

impl Request {
    /// Reads one.
    pub(super) fn read(method: &Method, path: &str, query: &str, headers: &HeaderMap) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        let (namespace, rest) = match rest {
            // Of the namespace itself.
            ["namespaces", _, "status" | "finalize"] | ["namespaces"] | ["namespaces", _] => {
                ("", rest)
            }
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            _ => ("", rest),
        };
        let of_one = rest.len() > 1;
        let asks = |what: &str| query.split('&').any(|part| part == what);
        let verb = match *method {
            _ if rest.is_empty() => Verb::Other,
            Method::GET if asks("watch=true") || asks("watch=1") => Verb::Watch,
            Method::GET if of_one => Verb::Get,
            Method::GET => Verb::List,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE if of_one => Verb::Delete,
            Method::DELETE => Verb::DeleteCollection,
            _ => Verb::Other,
        };
        let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        let content = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        Self {
            verb,
            group: group.into(),
            resource: if rest.is_empty() {
                path.into()
            } else {
                part(0)
            },
            namespace: namespace.into(),
            name: part(1),
            subresource: part(2),
            dry_run: query.contains("dryRun="),
            apply: content.is_some_and(|kind| kind.contains("apply-patch")),
            at: SystemTime::now(),
            answered: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &Method, path: &str, query: &str) -> Request {
        Request::read(method, path, query, &HeaderMap::new())
    }

    #[test]
    fn a_path_says_what_a_request_is_about() {
        let of = |request: Request| {
            let Request {
                verb,
                group,
                resource,
                namespace,
                name,
                subresource,
                ..
            } = request;
            (
                verb,
                [group, resource, namespace, name, subresource].join("|"),
            )
        };
        let table = [
            (
                Method::GET,
                "/api/v1/namespaces/a/configmaps/x",
                "",
                Verb::Get,
                "|configmaps|a|x|",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a/configmaps",
                "watch=true&x=y",
                Verb::Watch,
                "|configmaps|a||",
            ),
            (
                Method::GET,
                "/apis/batch/v1/jobs",
                "limit=5",
                Verb::List,
                "batch|jobs|||",
            ),
            (
                Method::PATCH,
                "/apis/argoproj.io/v1alpha1/namespaces/a/applications/x/status",
                "",
                Verb::Patch,
                "argoproj.io|applications|a|x|status",
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/a",
                "",
                Verb::Delete,
                "|namespaces||a|",
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/a/finalize",
                "",
                Verb::Update,
                "|namespaces||a|finalize",
            ),
            (
                Method::GET,
                "/api/v1/namespaces",
                "",
                Verb::List,
                "|namespaces|||",
            ),
            (
                Method::POST,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases",
                "",
                Verb::Create,
                "coordination.k8s.io|leases|a||",
            ),
            (
                Method::DELETE,
                "/apis/batch/v1/namespaces/a/jobs",
                "",
                Verb::DeleteCollection,
                "batch|jobs|a||",
            ),
            (Method::GET, "/apis", "", Verb::Other, "|/apis|||"),
            (Method::GET, "/version", "", Verb::Other, "|/version|||"),
        ];
        for (method, path, query, verb, about) in table {
            assert_eq!(
                of(read(&method, path, query)),
                (verb, about.to_owned()),
                "{path}"
            );
        }
        assert!(read(&Method::PATCH, "/api/v1/nodes/x", "dryRun=All&force=true").dry_run);
    }
}
