//! What a forge is asked, what it answers, and what an installation allows.

use std::sync::Arc;

use super::super::param::Param;

/// What a forge is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// The repositories of an owner.
    Repositories(Owner),
    /// Branches of a repository.
    Branches {
        /// The repository.
        repository: RepositoryKey,
        /// Only this one; `None`: all of them.
        only: Option<String>,
    },
    /// Whether a branch holds a file or a directory.
    HasPath {
        /// The repository.
        repository: RepositoryKey,
        /// The branch.
        branch: String,
        /// Its commit.
        commit: String,
        /// The path, without a slash at its end.
        path: String,
    },
    /// The pull requests of a repository.
    PullRequests {
        /// The repository.
        repository: RepositoryKey,
        /// Only those that carry all of these labels, where the forge selects by them.
        labels: Vec<String>,
        /// `opened`, `closed`, `merged`, `locked`; empty: the forge's own choice. GitLab only.
        state: String,
    },
}

/// Whose repositories are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Organization, group, workspace, or key of a project.
    pub name: String,
    /// Project within an organization; Azure DevOps only.
    pub project: String,
    /// Those of groups within the group, too; GitLab only.
    pub subgroups: bool,
    /// Those that are shared with the group, too; GitLab only.
    pub shared: bool,
    /// Only those of this topic; GitLab only, empty: all.
    pub topic: String,
    /// Archived ones, too, where the forge lists them only when it is asked to.
    pub archived: bool,
}

/// By what a repository is addressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RepositoryKey {
    /// Organization, group, workspace, or key of a project.
    pub owner: String,
    /// Project within an organization; Azure DevOps only.
    pub project: String,
    /// Its name in addresses.
    pub name: String,
    /// Its id, as text; empty when only its name is known.
    pub id: String,
}

/// A repository a forge lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRepository {
    /// By what it is addressed.
    pub key: RepositoryKey,
    /// Its owner, as parameters say it.
    pub organization: String,
    /// Its name, as parameters say it.
    pub name: String,
    /// Its id, as the forge writes it.
    pub id: Param,
    /// Address for SSH.
    pub ssh: String,
    /// Address for HTTPS.
    pub https: String,
    /// Default branch; empty when it has none.
    pub default_branch: String,
    /// Labels or topics.
    pub labels: Vec<String>,
    /// Nobody may change it any more.
    pub is_archived: bool,
    /// Whether it holds no commit; `None` where the forge does not say.
    pub is_empty: Option<bool>,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Name.
    pub name: String,
    /// Commit.
    pub commit: String,
}

/// A pull request a forge lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPullRequest {
    /// Number within its repository.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Branch with the change.
    pub branch: String,
    /// Branch it is for.
    pub target_branch: String,
    /// Commit of the branch with the change.
    pub commit: String,
    /// Labels.
    pub labels: Vec<String>,
    /// Who opened it.
    pub author: String,
}

/// What a forge answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// To [`Question::Repositories`].
    Repositories(Arc<[ListedRepository]>),
    /// To [`Question::Branches`]; the one that is asked for may not be there.
    Branches(Arc<[Branch]>),
    /// To [`Question::HasPath`].
    HasPath(bool),
    /// To [`Question::PullRequests`].
    PullRequests(Arc<[ListedPullRequest]>),
    /// To [`Question::PullRequests`]: there is no such repository, or it may not be seen.
    NoRepository,
}

/// What an installation allows.
/// Source: docs/operator-manual/argocd-cmd-params-cm.yaml, `applicationsetcontroller.enable.scm.providers`
/// and `.allowed.scm.providers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forges {
    /// No forge is asked.
    pub disabled: bool,
    /// Addresses of APIs a set may name; empty: all.
    pub allowed: Vec<String>,
}
