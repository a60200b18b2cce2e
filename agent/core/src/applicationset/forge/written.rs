//! The generators as they are written.

use serde_json::{Map, Value};

use super::super::error::Problem;
use super::account::{Fields, Provider};
use super::listing::{Owner, RepositoryKey};

/// A scmProvider generator.
#[derive(Clone, Debug)]
pub(in super::super) struct Repositories {
    pub(in super::super) fields: Fields,
    pub(in super::super) filters: Vec<Value>,
    pub(in super::super) clone_protocol: String,
}

/// Which address of a repository Applications get.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Ssh,
    Https,
}

impl Repositories {
    pub(in super::super) fn read(fields: Fields, generator: &Map<String, Value>) -> Self {
        let filters = generator.get("filters").and_then(Value::as_array);
        let protocol = generator.get("cloneProtocol").and_then(Value::as_str);
        Self {
            fields,
            filters: filters.cloned().unwrap_or_default(),
            clone_protocol: protocol.unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn protocol(&self, path: &str) -> Result<Protocol, Problem> {
        match self.clone_protocol.as_str() {
            // Its listing has one address only.
            _ if self.fields.provider == Provider::AzureDevOps => Ok(Protocol::Https),
            "" | "ssh" => Ok(Protocol::Ssh),
            "https" => Ok(Protocol::Https),
            other => Err(Problem::parameters(
                &format!("{path}.cloneProtocol"),
                format!("{other:?} is no protocol here; write ssh or https"),
            )),
        }
    }

    pub(super) fn owner(&self) -> Result<Owner, Problem> {
        let fields = &self.fields;
        let name = match fields.provider {
            Provider::GitHub | Provider::AzureDevOps => "organization",
            Provider::GitLab => "group",
            Provider::Gitea | Provider::Bitbucket => "owner",
            Provider::BitbucketServer => "project",
        };
        let is_gitlab = fields.provider == Provider::GitLab;
        Ok(Owner {
            name: fields.required(name)?,
            project: match fields.provider {
                Provider::AzureDevOps => fields.required("teamProject")?,
                _ => String::new(),
            },
            subgroups: fields.flag("includeSubgroups"),
            shared: is_gitlab && fields.flag_or("includeSharedProjects", true),
            topic: fields.text("topic"),
            archived: fields.flag("includeArchivedRepos"),
        })
    }

    /// Whether an archived repository counts: GitLab's do only when they are asked for, those of the
    /// others unless they are excluded.
    pub(super) fn takes_archived(&self) -> bool {
        match self.fields.provider {
            Provider::GitLab => self.fields.flag("includeArchivedRepos"),
            _ => !self.fields.flag("excludeArchivedRepos"),
        }
    }
}

/// A pullRequest generator.
#[derive(Clone, Debug)]
pub(in super::super) struct PullRequests {
    pub(in super::super) fields: Fields,
    pub(in super::super) filters: Vec<Value>,
    pub(in super::super) no_repository_is_none: bool,
}

impl PullRequests {
    pub(in super::super) fn read(fields: Fields, generator: &Map<String, Value>) -> Self {
        let filters = generator.get("filters").and_then(Value::as_array);
        let goes_on = generator.get("continueOnRepoNotFoundError");
        Self {
            fields,
            filters: filters.cloned().unwrap_or_default(),
            no_repository_is_none: goes_on == Some(&Value::Bool(true)),
        }
    }

    pub(super) fn repository(&self) -> Result<RepositoryKey, Problem> {
        let fields = &self.fields;
        let (owner, project, name) = match fields.provider {
            Provider::GitHub | Provider::Gitea | Provider::Bitbucket => (
                fields.required("owner")?,
                String::new(),
                fields.required("repo")?,
            ),
            // A path or a number.
            Provider::GitLab => (String::new(), String::new(), fields.required("project")?),
            Provider::BitbucketServer => (
                fields.required("project")?,
                String::new(),
                fields.required("repo")?,
            ),
            Provider::AzureDevOps => (
                fields.required("organization")?,
                fields.required("project")?,
                fields.required("repo")?,
            ),
        };
        Ok(RepositoryKey {
            owner,
            project,
            name,
            id: String::new(),
        })
    }
}
