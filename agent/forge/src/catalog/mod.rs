//! What a forge lists: repositories, branches, paths and pull requests, every page of it. An answer that
//! is cut short, of another shape or not there is an error and never a shorter list.
//!
//! | module | subject |
//! |---|---|
//! | `api` | sends requests, reads pages |
//! | `github`, `gitlab`, `gitea`, `bitbucket`, `bitbucket_server`, `azure` | the addresses each forge has, and what its answers mean |

mod api;
mod azure;
mod bitbucket;
mod bitbucket_server;
mod gitea;
mod github;
mod gitlab;

use gitops_core::applicationset::{
    Account, Branch, ListedPullRequest, Listing, Provider, Question,
};
use gitops_transport::http::HeaderValue;
use gitops_transport::{ClientPool, ClientSettings, Limits, LocalAddresses, Trust, authorization};
use serde_json::Value;

use self::api::Api;
pub use self::api::Failure;

/// As whom a forge is asked, with the secret itself.
pub enum Login {
    /// As nobody.
    None,
    /// With a token.
    Token(String),
    /// With a name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
}

/// How the forge's server is reached.
pub struct Connection<'a> {
    /// Clients that are there already.
    pub clients: &'a ClientPool,
    /// The `User-Agent` header.
    pub user_agent: &'static str,
    /// Certificates that are accepted besides the system's, PEM.
    pub authorities: Option<String>,
    /// Whether servers on the machine itself may be asked.
    pub local_addresses: LocalAddresses,
}

/// One forge, asked as somebody. Its calls block.
#[derive(Clone)]
pub struct Catalog {
    provider: Provider,
    api: Api,
}

impl Catalog {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, or the certificates or the secret cannot be used.
    pub fn new(
        account: &Account,
        login: &Login,
        connection: Connection<'_>,
    ) -> Result<Self, Failure> {
        let provider = account.provider;
        let settings = ClientSettings {
            user_agent: connection.user_agent,
            trust: match connection.authorities {
                _ if account.insecure => Trust::Anything,
                Some(pem) => Trust::SystemAnd(pem),
                None => Trust::System,
            },
            client_certificate: None,
            proxy: None,
            limits: Limits::DEFAULT,
            local_addresses: connection.local_addresses,
        };
        let client = connection.clients.get(&settings);
        let client = client.map_err(|error| Failure::permanent(error.to_string()))?;
        let base = match provider {
            Provider::GitHub => github::base(&account.api),
            Provider::GitLab => gitlab::base(&account.api),
            Provider::Gitea => gitea::base(&account.api),
            Provider::Bitbucket => bitbucket::base(&account.api),
            Provider::BitbucketServer => bitbucket_server::base(&account.api),
            Provider::AzureDevOps => azure::base(&account.api),
        };
        let api = Api::new(client, &base, credentials(provider, login)?)?;
        Ok(Self { provider, api })
    }

    /// Asks the forge.
    ///
    /// # Errors
    /// When it cannot be reached, refuses, or answers what cannot be read.
    pub fn ask(&self, question: &Question) -> Result<Listing, Failure> {
        let api = &self.api;
        match self.provider {
            Provider::GitHub => github::ask(api, question),
            Provider::GitLab => gitlab::ask(api, question),
            Provider::Gitea => gitea::ask(api, question),
            Provider::Bitbucket => bitbucket::ask(api, question),
            Provider::BitbucketServer => bitbucket_server::ask(api, question),
            Provider::AzureDevOps => azure::ask(api, question),
        }
    }
}

/// The `Authorization` header.
fn credentials(provider: Provider, login: &Login) -> Result<Option<HeaderValue>, Failure> {
    let header = match (provider, login) {
        (_, Login::None) => return Ok(None),
        (Provider::Gitea, Login::Token(token)) => {
            authorization::sensitive(&format!("token {token}"))
        }
        // Personal access tokens are the password of nobody.
        (Provider::AzureDevOps, Login::Token(token)) => authorization::basic("", token),
        (_, Login::Token(token)) => authorization::bearer(token),
        (_, Login::Basic { user, password }) => authorization::basic(user, password),
    };
    let unusable = || Failure::permanent("the token holds what no header can carry");
    header.map(Some).ok_or_else(unusable)
}

/// A text of an answer; empty when it is not there.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A text of an answer that has to be there.
fn required(value: &Value, key: &str) -> Result<String, Failure> {
    match value[key].as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(Failure::permanent(format!(
            "an entry of its answer has no {key}"
        ))),
    }
}

/// A number of an answer that has to be there.
fn number(value: &Value, key: &str) -> Result<u64, Failure> {
    value[key]
        .as_u64()
        .ok_or_else(|| Failure::permanent(format!("an entry of its answer has no {key}")))
}

/// The branches of an answer. `name` is the field of their names, `commit` points to their commits.
fn branches(all: &[Value], name: &str, commit: &str) -> Result<Listing, Failure> {
    let branches = all.iter().map(|one| {
        let found = one.pointer(commit).and_then(Value::as_str);
        let missing = || Failure::permanent(format!("a branch of its answer has no {commit}"));
        Ok(Branch {
            name: required(one, name)?,
            commit: found.ok_or_else(missing)?.to_owned(),
        })
    });
    Ok(Listing::Branches(branches.collect::<Result<_, Failure>>()?))
}

/// The pull requests of a list; there is none where there is no such repository.
fn pull_requests<'a>(
    listed: Option<impl IntoIterator<Item = &'a Value>>,
    read: impl Fn(&Value) -> Result<ListedPullRequest, Failure>,
) -> Result<Listing, Failure> {
    let Some(listed) = listed else {
        return Ok(Listing::NoRepository);
    };
    let read: Result<_, _> = listed.into_iter().map(read).collect();
    Ok(Listing::PullRequests(read?))
}

/// The parts of a path in a repository or of a branch.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// The address by which Bitbucket says a repository is cloned; empty when it does not say one.
fn clone_link(repository: &Value, protocol: &str) -> String {
    let links = repository["links"]["clone"].as_array();
    let mut links = links.into_iter().flatten();
    let link = links.find(|link| link["name"] == protocol);
    link.map(|link| text(&link["href"])).unwrap_or_default()
}

/// Texts of an answer: a list of them, or of objects that have a `name`.
fn names(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(|one| one.as_str().or_else(|| one["name"].as_str()))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
