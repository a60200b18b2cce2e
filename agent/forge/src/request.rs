//! The requests each forge understands, and what their answers mean. Pure: nothing is sent here.

use gitops_transport::redact::one_line;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::remote::Remote;

/// What stands for itself in one segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Objects asked for at a time.
const PAGE: usize = 50;

/// One request to a forge's API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    /// Address.
    pub(crate) url: String,
    /// Document sent with POST; without one it is a GET.
    pub(crate) body: Option<Value>,
}

/// A change to propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Branch with the change.
    pub head: String,
    /// Branch it is for.
    pub base: String,
    /// First line.
    pub title: String,
    /// Description, Markdown.
    pub body: String,
}

/// A pull request that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Number within the repository.
    pub number: u64,
    /// Its page.
    pub url: String,
}

/// A key that may read one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployKey {
    /// What users see in the list of keys.
    pub title: String,
    /// `ssh-ed25519 AAAA… comment`.
    pub public_key: String,
}

fn api(kind: Kind, remote: &Remote) -> String {
    let web = &remote.web;
    match kind {
        Kind::GitHub if remote.web == "https://github.com" => {
            format!("https://api.github.com/repos/{}", remote.path)
        }
        Kind::GitHub => format!("{web}/api/v3/repos/{}", remote.path),
        Kind::GitLab => format!(
            "{web}/api/v4/projects/{}",
            utf8_percent_encode(&remote.path, SEGMENT)
        ),
        Kind::Gitea => format!("{web}/api/v1/repos/{}", remote.path),
    }
}

fn get(url: &str, query: &[(&str, &str)]) -> Request {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    Request {
        url: format!("{url}?{query}"),
        body: None,
    }
}

/// Asks for the open pull requests from one branch to another.
pub(crate) fn list_pull_requests(
    kind: Kind,
    remote: &Remote,
    proposal: &Proposal,
    page: usize,
) -> Request {
    let (head, base) = (proposal.head.as_str(), proposal.base.as_str());
    let page = page.to_string();
    let size = PAGE.to_string();
    match kind {
        Kind::GitHub => {
            let owner = remote.path.split('/').next().unwrap_or_default();
            let head = format!("{owner}:{head}");
            let query = [
                ("state", "open"),
                ("head", &head),
                ("base", base),
                ("per_page", &size),
                ("page", &page),
            ];
            get(&format!("{}/pulls", api(kind, remote)), &query)
        }
        Kind::GitLab => {
            let query = [
                ("state", "opened"),
                ("source_branch", head),
                ("target_branch", base),
                ("per_page", &size),
                ("page", &page),
            ];
            get(&format!("{}/merge_requests", api(kind, remote)), &query)
        }
        Kind::Gitea => {
            let query = [("state", "open"), ("limit", &size), ("page", &page)];
            get(&format!("{}/pulls", api(kind, remote)), &query)
        }
    }
}

/// Asks to open a pull request.
pub(crate) fn create_pull_request(kind: Kind, remote: &Remote, proposal: &Proposal) -> Request {
    let Proposal {
        head,
        base,
        title,
        body,
    } = proposal;
    let (url, body) = match kind {
        Kind::GitLab => (
            format!("{}/merge_requests", api(kind, remote)),
            json!({
                "source_branch": head, "target_branch": base, "title": title, "description": body,
                "remove_source_branch": true,
            }),
        ),
        Kind::GitHub | Kind::Gitea => (
            format!("{}/pulls", api(kind, remote)),
            json!({"head": head, "base": base, "title": title, "body": body}),
        ),
    };
    Request {
        url,
        body: Some(body),
    }
}

/// Finds the pull request from the proposal's branch in a list.
pub(crate) fn find_pull_request(
    kind: Kind,
    list: &Value,
    proposal: &Proposal,
) -> Option<PullRequest> {
    let wanted = |item: &&Value| match kind {
        // The query has selected them.
        Kind::GitHub | Kind::GitLab => true,
        Kind::Gitea => {
            item["head"]["ref"] == *proposal.head.as_str()
                && item["base"]["ref"] == *proposal.base.as_str()
        }
    };
    let item = list.as_array()?.iter().find(wanted)?;
    read_pull_request(kind, item)
}

/// Reads one pull request.
pub(crate) fn read_pull_request(kind: Kind, item: &Value) -> Option<PullRequest> {
    let (number, url) = match kind {
        Kind::GitLab => ("iid", "web_url"),
        Kind::GitHub | Kind::Gitea => ("number", "html_url"),
    };
    let url = item[url].as_str()?;
    // The address is shown to a user, who may open it.
    (url.starts_with("https://") || url.starts_with("http://")).then_some(())?;
    Some(PullRequest {
        number: item[number].as_u64()?,
        url: one_line(url, usize::MAX),
    })
}

fn keys(kind: Kind) -> &'static str {
    match kind {
        Kind::GitLab => "deploy_keys",
        Kind::GitHub | Kind::Gitea => "keys",
    }
}

/// Asks for the deploy keys.
pub(crate) fn list_deploy_keys(kind: Kind, remote: &Remote, page: usize) -> Request {
    let page = page.to_string();
    let size = PAGE.to_string();
    let limit = if kind == Kind::Gitea {
        "limit"
    } else {
        "per_page"
    };
    get(
        &format!("{}/{}", api(kind, remote), keys(kind)),
        &[(limit, &size), ("page", &page)],
    )
}

/// Asks to let a key read the repository.
pub(crate) fn create_deploy_key(kind: Kind, remote: &Remote, key: &DeployKey) -> Request {
    let mut body = json!({"title": key.title, "key": key.public_key});
    match kind {
        Kind::GitLab => body["can_push"] = json!(false),
        Kind::GitHub | Kind::Gitea => body["read_only"] = json!(true),
    }
    Request {
        url: format!("{}/{}", api(kind, remote), keys(kind)),
        body: Some(body),
    }
}

/// Whether a list of deploy keys holds this one; comments do not count.
pub(crate) fn has_deploy_key(list: &Value, key: &DeployKey) -> bool {
    let wanted = material(&key.public_key);
    list.as_array().is_some_and(|items| {
        items
            .iter()
            .any(|item| item["key"].as_str().map(material) == Some(wanted.clone()))
    })
}

/// Type and material of a public key, without its comment.
fn material(key: &str) -> String {
    let words: Vec<&str> = key.split_whitespace().take(2).collect();
    words.join(" ")
}

/// Page on which a user opens the pull request by hand.
pub(crate) fn compare_page(kind: Kind, remote: &Remote, base: &str, head: &str) -> String {
    let page = format!("{}/{}", remote.web, remote.path);
    match kind {
        Kind::GitHub => format!(
            "{page}/compare/{}...{}?expand=1",
            escape(base),
            escape(head)
        ),
        Kind::Gitea => format!("{page}/compare/{}...{}", escape(base), escape(head)),
        Kind::GitLab => {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("merge_request[source_branch]", head)
                .append_pair("merge_request[target_branch]", base)
                .finish();
            format!("{page}/-/merge_requests/new?{query}")
        }
    }
}

/// Page on which a user adds a deploy key by hand.
pub(crate) fn deploy_key_page(kind: Kind, remote: &Remote) -> String {
    let page = format!("{}/{}", remote.web, remote.path);
    match kind {
        Kind::GitHub => format!("{page}/settings/keys/new"),
        Kind::GitLab => format!("{page}/-/settings/repository"),
        Kind::Gitea => format!("{page}/settings/keys"),
    }
}

/// A branch within a path; slashes stay.
fn escape(branch: &str) -> String {
    branch
        .split('/')
        .map(|part| utf8_percent_encode(part, SEGMENT).to_string())
        .collect::<Vec<_>>()
        .join("/")
}

/// What a forge says went wrong, on one line.
pub(crate) fn complaint(answer: &Value) -> String {
    let mut parts = Vec::new();
    match &answer["message"] {
        Value::String(text) => parts.push(text.clone()),
        // GitLab: a list, or lists under field names.
        Value::Array(list) => parts.extend(list.iter().map(plain)),
        Value::Object(fields) => {
            parts.extend(
                fields
                    .iter()
                    .map(|(name, why)| format!("{name}: {}", plain(why))),
            );
        }
        _ => {}
    }
    if let Some(error) = answer["error"].as_str() {
        parts.push(error.to_owned());
    }
    if let Some(errors) = answer["errors"].as_array() {
        parts.extend(
            errors
                .iter()
                .filter_map(|error| error["message"].as_str().or_else(|| error.as_str()))
                .map(str::to_owned),
        );
    }
    one_line(&parts.join("; "), crate::MAX_TEXT)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal() -> Proposal {
        Proposal {
            head: "gitops/roll back".into(),
            base: "main".into(),
            title: "Roll back web".into(),
            body: "Why".into(),
        }
    }

    fn remote(address: &str) -> Remote {
        Remote::parse(address).unwrap()
    }

    #[test]
    fn requests_of_each_forge() {
        let remotes = [
            (Kind::GitHub, remote("git@github.com:acme/fleet.git")),
            (
                Kind::GitHub,
                remote("https://github.acme.example/acme/fleet"),
            ),
            (
                Kind::GitLab,
                remote("https://gitlab.com/acme/team/fleet.git"),
            ),
            (Kind::Gitea, remote("http://127.0.0.1:3000/acme/fleet")),
        ];
        let key = DeployKey {
            title: "gitops-agent prod".into(),
            public_key: "ssh-ed25519 AAAA gitops".into(),
        };
        let mut lines = Vec::new();
        for (kind, remote) in &remotes {
            let requests = [
                list_pull_requests(*kind, remote, &proposal(), 1),
                create_pull_request(*kind, remote, &proposal()),
                list_deploy_keys(*kind, remote, 2),
                create_deploy_key(*kind, remote, &key),
            ];
            for request in requests {
                lines.push(match &request.body {
                    None => format!("GET {}", request.url),
                    Some(body) => format!("POST {} {body}", request.url),
                });
            }
            lines.push(compare_page(*kind, remote, "main", "gitops/roll back"));
            lines.push(deploy_key_page(*kind, remote));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn an_open_pull_request_is_found() {
        let list = json!([
            {"number": 1, "html_url": "https://x/1", "head": {"ref": "other"}, "base": {"ref": "main"}},
            {"number": 2, "html_url": "https://x/2", "head": {"ref": "gitops/roll back"}, "base": {"ref": "main"}},
        ]);
        let found = find_pull_request(Kind::Gitea, &list, &proposal());
        assert_eq!(found.map(|found| found.number), Some(2));
        assert_eq!(
            find_pull_request(Kind::Gitea, &json!([]), &proposal()),
            None
        );
        assert_eq!(
            find_pull_request(Kind::Gitea, &json!({}), &proposal()),
            None
        );
        let list = json!([{"iid": 7, "web_url": "https://x/7"}]);
        let found = find_pull_request(Kind::GitLab, &list, &proposal());
        assert_eq!(found.map(|found| found.number), Some(7));
        let forged = json!([{"iid": 7, "web_url": "javascript:alert(1)"}]);
        assert_eq!(find_pull_request(Kind::GitLab, &forged, &proposal()), None);
    }

    #[test]
    fn keys_are_compared_without_their_comment() {
        let key = DeployKey {
            title: String::new(),
            public_key: "ssh-ed25519 AAAA one".into(),
        };
        assert!(has_deploy_key(
            &json!([{"key": "ssh-ed25519 AAAA two\n"}]),
            &key
        ));
        assert!(!has_deploy_key(
            &json!([{"key": "ssh-ed25519 BBBB one"}]),
            &key
        ));
        assert!(!has_deploy_key(&json!([{"id": 1}]), &key));
    }

    #[test]
    fn complaints_of_each_forge() {
        let table = [
            (
                json!({"message": "Validation Failed", "errors": [{"message": "key is already in use"}]}),
                "Validation Failed; key is already in use",
            ),
            (
                json!({"message": {"fingerprint": ["has already been taken"]}}),
                "fingerprint: has already been taken",
            ),
            (
                json!({"message": ["Another open merge request"]}),
                "Another open merge request",
            ),
            (
                json!({"error": "insufficient\n\u{1b}[2Jscope"}),
                "insufficient [2Jscope",
            ),
            (json!("<html>"), ""),
        ];
        for (answer, expected) in table {
            assert_eq!(complaint(&answer), expected);
        }
    }
}
