//! Generators that ask a forge: repositories of an organization, and open pull requests. What is asked
//! and what of the answers counts is decided here; who asks is told where and as whom.
//!
//! | module | subject |
//! |---|---|
//! | `account` | which forge a generator names, and how it is asked |
//! | `listing` | what is asked and what is answered |
//! | `written` | the generators as they are written |
//! | `filters` | which repositories, branches and pull requests count |
//! | `repositories` | scmProvider |
//! | `pull_requests` | pullRequest |
//! | `ask` | asks, where the installation lets a set ask |
//! | `slug` | a branch as a part of a name |
//!
//! Source: Argo CD, applicationset/services/scm_provider, pull_request, and generators/scm_provider.go.

mod account;
mod ask;
mod filters;
mod listing;
mod pull_requests;
mod repositories;
mod slug;
mod written;

pub(super) use self::account::provider;
pub use self::account::{Account, Credential, KeyReference, Provider};
pub use self::listing::{
    Branch, Forges, ListedPullRequest, ListedRepository, Listing, Owner, Question, RepositoryKey,
};
pub(super) use self::written::{PullRequests, Repositories};

#[cfg(test)]
mod tests;
