//! Azure DevOps. Source: <https://learn.microsoft.com/en-us/rest/api/azure/devops/git/>.

use gitops_core::applicationset::{
    ListedPullRequest, ListedRepository, Listing, Param, Question, RepositoryKey,
};
use serde_json::Value;
use url::Url;

use super::api::{Api, Failure, Page};
use super::{branches, names, number, pull_requests, required, text};

/// Version of the API that is meant.
const VERSION: (&str, &str) = ("api-version", "7.1");
/// Pull requests of one page.
const TOP: usize = 100;
/// What the name of a branch begins with here.
const HEADS: &str = "refs/heads/";

/// The address of the API.
pub(super) fn base(api: &str) -> String {
    match api.trim_end_matches('/') {
        "" => "https://dev.azure.com".into(),
        api => api.to_owned(),
    }
}

fn values(page: &Page) -> Option<&Vec<Value>> {
    page.items_of("value")
}

fn short(reference: &str) -> String {
    reference
        .strip_prefix(HEADS)
        .unwrap_or(reference)
        .to_owned()
}

pub(super) fn ask(api: &Api, question: &Question) -> Result<Listing, Failure> {
    let once = |_: &Page, _: usize| None;
    Ok(match question {
        Question::Repositories(owner) => {
            let path = [&*owner.name, &owner.project, "_apis", "git", "repositories"];
            let all = api.whole(api.address(path, &[VERSION]), values, once)?;
            // Without a default branch it holds nothing.
            let listed = all.iter().filter(|one| one["defaultBranch"].is_string());
            let listed =
                listed.map(|one| repository(owner.name.clone(), owner.project.clone(), one));
            Listing::Repositories(listed.collect::<Result<_, _>>()?)
        }
        Question::Branches { repository, only } => {
            let RepositoryKey {
                owner,
                project,
                name,
                ..
            } = repository;
            let path = [&**owner, project, "_apis", "git", "repositories", name];
            let path = path.into_iter().chain(["stats", "branches"]);
            let all = match only {
                Some(branch) => api.one(&api.address(path, &[("name", branch), VERSION]))?,
                None => api.whole(api.address(path, &[VERSION]), values, once)?,
            };
            branches(&all, "name", "/commit/commitId")?
        }
        Question::HasPath {
            repository,
            branch,
            path,
            ..
        } => {
            let RepositoryKey {
                owner, project, id, ..
            } = repository;
            let segments = [
                &**owner,
                project,
                "_apis",
                "git",
                "repositories",
                id,
                "items",
            ];
            let query = [
                ("path", &**path),
                ("versionDescriptor.version", branch),
                ("versionDescriptor.versionType", "branch"),
                VERSION,
            ];
            Listing::HasPath(api.find(&api.address(segments, &query))?.is_some())
        }
        Question::PullRequests { repository, .. } => {
            let RepositoryKey {
                owner,
                project,
                name,
                ..
            } = repository;
            let path = [&**owner, project, "_apis", "git", "pullrequests"];
            let top = TOP.to_string();
            let query = [
                ("searchCriteria.status", "active"),
                ("$top", &top),
                ("$skip", "0"),
                VERSION,
            ];
            let next = |page: &Page, read: usize| -> Option<Url> {
                let is_full = values(page).is_some_and(|values| values.len() >= TOP);
                is_full.then(|| page.with("$skip", &read.to_string()))
            };
            let listed = api.list(api.address(path, &query), values, next)?;
            let is_own = |one: &&Value| one["repository"]["name"] == **name;
            let own = listed.as_ref().map(|all| all.iter().filter(is_own));
            pull_requests(own, pull_request)?
        }
    })
}

fn repository(
    organization: String,
    project: String,
    value: &Value,
) -> Result<ListedRepository, Failure> {
    let name = required(value, "name")?;
    let url = required(value, "remoteUrl")?;
    Ok(ListedRepository {
        key: RepositoryKey {
            owner: organization.clone(),
            project,
            name: name.clone(),
            id: required(value, "id")?,
        },
        organization,
        name,
        id: Param::of(&value["id"]),
        ssh: url.clone(),
        https: url,
        default_branch: short(&text(&value["defaultBranch"])),
        labels: Vec::new(),
        is_archived: value["isDisabled"] == true,
        is_empty: None,
    })
}

fn pull_request(value: &Value) -> Result<ListedPullRequest, Failure> {
    let author = text(&value["createdBy"]["uniqueName"]);
    Ok(ListedPullRequest {
        number: number(value, "pullRequestId")?,
        title: text(&value["title"]),
        branch: short(&required(value, "sourceRefName")?),
        target_branch: short(&required(value, "targetRefName")?),
        commit: required(&value["lastMergeSourceCommit"], "commitId")?,
        labels: names(&value["labels"]),
        author: author.split('@').next().unwrap_or_default().to_owned(),
    })
}
