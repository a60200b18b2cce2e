//! What a forge can do for a repository beyond Git: open a pull request, let a key read.
//!
//! | module | subject |
//! |---|---|
//! | `kind`, `remote` | which forge serves a repository, and at which address |
//! | `credential` | where the right to use its API comes from |
//! | `request` | builds the requests and reads the answers; pure |
//! | `client` | sends them over gitops-transport |
//! | [`error`] | every way this can fail |
//! | [`catalog`] | what a forge lists, for ApplicationSets |
//!
//! Knows GitHub, GitLab, Gitea and Forgejo. Tokens go to the forge's own host only, and never over
//! plain http beyond this machine. Nothing here changes a branch, a cluster or the user's settings,
//! or prints anything.

pub mod catalog;
mod client;
mod credential;
pub mod error;
mod kind;
mod remote;
mod request;

use std::fmt;

use gitops_transport::redact::one_line;
use serde_json::Value;

pub use error::ForgeError;
pub use kind::{Choice, Kind};
pub use remote::Remote;
pub use request::{DeployKey, Proposal, PullRequest};

use client::{Answer, ApiClient, is_confidential};
use credential::Credential;
use request::Request;

/// Pages of a list that are read.
const MAX_PAGES: usize = 20;
/// Longest text of a forge that is shown, in characters.
const MAX_TEXT: usize = 300;
/// Variable that says which forge it is, as `--forge` does.
pub const VARIABLE: &str = "GITOPS_FORGE";

/// The forge of one repository.
#[derive(Clone)]
pub struct Forge {
    /// Kind.
    pub kind: Kind,
    /// Repository.
    pub remote: Remote,
    client: ApiClient,
    credential: Option<Credential>,
}

/// How proposing a change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// It was opened now.
    Opened(PullRequest),
    /// It was open already.
    Existing(PullRequest),
    /// No token: the page on which a user opens it.
    ByHand(String),
}

/// How registering a key ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It was added now.
    Added,
    /// It was there already.
    Existing,
    /// No token: the page on which a user adds it.
    ByHand(String),
}

impl Forge {
    /// Finds the forge that serves a Git address: as `choice` (or the variable) says, by its host
    /// name, or by asking it. `None`: no forge, or one whose API is not known.
    pub async fn find(
        address: &str,
        choice: Option<&Choice>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ForgeError> {
        let from_variable = match variable(VARIABLE).filter(|set| !set.is_empty()) {
            Some(set) if choice.is_none() => {
                Some(
                    set.parse::<Choice>()
                        .map_err(|why| ForgeError::InvalidChoice {
                            variable: VARIABLE,
                            value: one_line(&set, MAX_TEXT),
                            reason: why,
                        })?,
                )
            }
            _ => None,
        };
        let Some(mut remote) = Remote::parse(address) else {
            return Ok(None);
        };
        let mut is_named = false;
        let chosen = match choice.or(from_variable.as_ref()) {
            Some(Choice::None) => return Ok(None),
            Some(Choice::Forge { kind, web }) => {
                if let Some(web) = web {
                    is_named = true;
                    remote = remote.with_web(web);
                }
                Some(*kind)
            }
            None => Kind::of_host(&remote.host),
        };
        let client = ApiClient::new()?;
        let kind = match chosen {
            Some(kind) => kind,
            None => match probe(&client, &remote).await {
                Some(kind) => kind,
                None => return Ok(None),
            },
        };
        let credential = if !is_confidential(&remote.web) {
            None
        } else if let Some(token) =
            Credential::of_environment(kind, &remote.web_authority(), is_named, variable)
        {
            Some(token)
        } else {
            Credential::of_git(&remote).await
        };
        Ok(Some(Self {
            kind,
            remote,
            client,
            credential,
        }))
    }

    /// Whether requests can be made in a user's name.
    pub const fn is_logged_in(&self) -> bool {
        self.credential.is_some()
    }

    /// What would log in: shown when no token is there.
    pub fn login_hint(&self) -> String {
        if !is_confidential(&self.remote.web) {
            let web = &self.remote.web;
            return format!(
                "no token is sent to {web}, which is not https; name its https address"
            );
        }
        let authority = self.remote.web_authority();
        let tokens = credential::Tokens::of(self.kind, &authority);
        let token = tokens.names[0];
        // A token goes to no server that an Application names and the user does not.
        let whose = match tokens.servers.first() {
            Some(server) if tokens.home != Some(&authority) => {
                format!(" and {server}={authority}, which says whose token it is")
            }
            _ => String::new(),
        };
        format!(
            "for the {} API set {token}{whose}, or log in with a Git credential helper",
            self.kind
        )
    }

    /// Page on which a user opens the pull request by hand.
    pub fn compare_page(&self, base: &str, head: &str) -> String {
        request::compare_page(self.kind, &self.remote, base, head)
    }

    /// Opens a pull request unless one from the same branch is open.
    pub async fn open_pull_request(&self, proposal: &Proposal) -> Result<Proposed, ForgeError> {
        let name = self.kind.request_name();
        if !self.is_logged_in() {
            let page = self.compare_page(&proposal.base, &proposal.head);
            return Ok(Proposed::ByHand(page));
        }
        if let Some(found) = self.find_pull_request(proposal).await? {
            return Ok(Proposed::Existing(found));
        }
        let what = format!("open a {name}");
        let request = request::create_pull_request(self.kind, &self.remote, proposal);
        let answer = self.send(&what, request).await?;
        if !(200..300).contains(&answer.status) {
            // Another client was faster, perhaps this very command a moment ago.
            if matches!(answer.status, 409 | 422)
                && let Some(found) = self.find_pull_request(proposal).await?
            {
                return Ok(Proposed::Existing(found));
            }
            let page = self.compare_page(&proposal.base, &proposal.head);
            let by_hand = format!("open it by hand: {page}");
            return Err(self.refused(&what, &answer, Some(by_hand)));
        }
        request::read_pull_request(self.kind, &answer.document)
            .map(Proposed::Opened)
            .ok_or_else(|| self.not_understood(&what))
    }

    async fn find_pull_request(
        &self,
        proposal: &Proposal,
    ) -> Result<Option<PullRequest>, ForgeError> {
        let what = format!("look for an open {}", self.kind.request_name());
        let mut before = Value::Null;
        for page in 1..=MAX_PAGES {
            let request = request::list_pull_requests(self.kind, &self.remote, proposal, page);
            let list = self.list(&what, request).await?;
            let found = request::find_pull_request(self.kind, &list, proposal);
            if found.is_some() || is_last(&list, &before) {
                return Ok(found);
            }
            before = list;
        }
        Ok(None)
    }

    /// Lets a key read the repository, unless it may already. The key may not write.
    pub async fn register_deploy_key(&self, key: &DeployKey) -> Result<Registered, ForgeError> {
        if !self.is_logged_in() {
            return Ok(Registered::ByHand(self.deploy_key_page()));
        }
        let what = "list the deploy keys";
        let mut before = Value::Null;
        for page in 1..=MAX_PAGES {
            let request = request::list_deploy_keys(self.kind, &self.remote, page);
            let list = self.list(what, request).await?;
            if request::has_deploy_key(&list, key) {
                return Ok(Registered::Existing);
            }
            if is_last(&list, &before) {
                break;
            }
            before = list;
        }
        let what = "add a deploy key";
        let request = request::create_deploy_key(self.kind, &self.remote, key);
        let answer = self.send(what, request).await?;
        if (200..300).contains(&answer.status) {
            Ok(Registered::Added)
        } else {
            let by_hand = format!("add it by hand: {}", self.deploy_key_page());
            Err(self.refused(what, &answer, Some(by_hand)))
        }
    }

    /// Whether the user may manage the repository's keys, as far as the forge says.
    pub async fn may_list_deploy_keys(&self) -> Result<(), ForgeError> {
        let request = request::list_deploy_keys(self.kind, &self.remote, 1);
        self.list("list the deploy keys", request).await.map(drop)
    }

    /// Page on which a user adds a deploy key by hand.
    pub fn deploy_key_page(&self) -> String {
        request::deploy_key_page(self.kind, &self.remote)
    }

    async fn list(&self, what: &str, request: Request) -> Result<Value, ForgeError> {
        let answer = self.send(what, request).await?;
        if answer.status != 200 {
            return Err(self.refused(what, &answer, None));
        }
        if answer.document.is_array() {
            Ok(answer.document)
        } else {
            Err(self.not_understood(what))
        }
    }

    async fn send(&self, what: &str, request: Request) -> Result<Answer, ForgeError> {
        let header = self
            .credential
            .as_ref()
            .and_then(|credential| credential.header(self.kind));
        let answer = self.client.send(request, header).await;
        answer.map_err(|failure| ForgeError::Unreachable {
            what: what.to_owned(),
            web: self.remote.web.clone(),
            reason: one_line(&failure.reason, MAX_TEXT),
            temporary: failure.temporary,
        })
    }

    fn refused(&self, what: &str, answer: &Answer, by_hand: Option<String>) -> ForgeError {
        let status = answer.status;
        let reason = match request::complaint(&answer.document) {
            why if why.is_empty() => format!("it answered {status}"),
            why => format!("{why} ({status})"),
        };
        ForgeError::Refused {
            what: what.to_owned(),
            path: self.remote.path.clone(),
            web: self.remote.web.clone(),
            status,
            reason,
            login: self.login_hint(),
            by_hand,
        }
    }

    fn not_understood(&self, what: &str) -> ForgeError {
        ForgeError::NotUnderstood {
            what: what.to_owned(),
            web: self.remote.web.clone(),
            kind: self.kind,
        }
    }
}

impl fmt::Debug for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forge")
            .field("kind", &self.kind)
            .field("remote", &self.remote)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

/// A server may send shorter pages than it is asked for: only an empty one is behind the last, or
/// the same again from one that knows no pages.
fn is_last(list: &Value, before: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty) || list == before
}

async fn probe(client: &ApiClient, remote: &Remote) -> Option<Kind> {
    let version = |path: &str| client.has_version(format!("{}{path}", remote.web));
    let (gitea, gitlab) = tokio::join!(version("/api/v1/version"), version("/api/v4/version"));
    match (gitea, gitlab) {
        (true, _) => Some(Kind::Gitea),
        (false, true) => Some(Kind::GitLab),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests;
