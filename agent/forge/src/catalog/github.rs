//! GitHub. Source: <https://docs.github.com/en/rest>.

use gitops_core::applicationset::{
    ListedPullRequest, ListedRepository, Listing, Param, Question, RepositoryKey,
};
use serde_json::Value;
use url::Url;

use super::api::{Api, Failure, Page};
use super::{branches, names, number, parts, pull_requests, required, text};

/// Entries of one page.
const PER_PAGE: (&str, &str) = ("per_page", "100");

/// The address of the API: the public one, that of the server, or as it is.
/// Source: `WithEnterpriseURLs` of github.com/google/go-github.
pub(super) fn base(api: &str) -> String {
    let api = api.trim_end_matches('/');
    if api.is_empty() {
        return "https://api.github.com".into();
    }
    let host = Url::parse(api).ok();
    let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
    let is_api = host.starts_with("api.") || host.contains(".api.");
    if is_api || api.ends_with("/api/v3") {
        api.to_owned()
    } else {
        format!("{api}/api/v3")
    }
}

pub(super) fn ask(api: &Api, question: &Question) -> Result<Listing, Failure> {
    let linked = |page: &Page, _| page.linked();
    Ok(match question {
        Question::Repositories(owner) => {
            let url = api.address(["orgs", &owner.name, "repos"], &[PER_PAGE]);
            let all = api.whole(url, Page::items, linked)?;
            Listing::Repositories(all.iter().map(repository).collect::<Result<_, _>>()?)
        }
        Question::Branches { repository, only } => {
            let (owner, name) = (&*repository.owner, &*repository.name);
            let all = if let Some(branch) = only {
                let path = ["repos", owner, name, "branches", branch];
                api.one(&api.address(path, &[]))?
            } else {
                let url = api.address(["repos", owner, name, "branches"], &[PER_PAGE]);
                api.whole(url, Page::items, linked)?
            };
            branches(&all, "name", "/commit/sha")?
        }
        Question::HasPath {
            repository,
            branch,
            path,
            ..
        } => {
            let start = ["repos", &repository.owner, &repository.name, "contents"];
            let segments = start.into_iter().chain(parts(path));
            let url = api.address(segments, &[("ref", branch)]);
            Listing::HasPath(api.find(&url)?.is_some())
        }
        Question::PullRequests { repository, .. } => {
            let path = ["repos", &repository.owner, &repository.name, "pulls"];
            // Open ones: it lists no others unless it is asked to.
            let url = api.address(path, &[PER_PAGE]);
            let listed = api.list(url, Page::items, linked)?;
            pull_requests(listed.as_ref(), pull_request)?
        }
    })
}

fn repository(value: &Value) -> Result<ListedRepository, Failure> {
    let name = required(value, "name")?;
    let organization = required(&value["owner"], "login")?;
    // In KiB, and 0 for one that holds nothing.
    let is_empty = value["size"].as_u64().map(|size| size == 0);
    Ok(ListedRepository {
        key: RepositoryKey {
            owner: organization.clone(),
            name: name.clone(),
            ..RepositoryKey::default()
        },
        organization,
        name,
        id: Param::of(&value["id"]),
        ssh: text(&value["ssh_url"]),
        https: text(&value["clone_url"]),
        default_branch: text(&value["default_branch"]),
        labels: names(&value["topics"]),
        is_archived: value["archived"] == true,
        // One that was made a moment ago has no size yet, and may have a branch.
        is_empty: is_empty.filter(|is_empty| !is_empty),
    })
}

/// A pull request as GitHub and Gitea write it.
pub(super) fn pull_request(value: &Value) -> Result<ListedPullRequest, Failure> {
    Ok(ListedPullRequest {
        number: number(value, "number")?,
        title: text(&value["title"]),
        branch: required(&value["head"], "ref")?,
        target_branch: required(&value["base"], "ref")?,
        commit: required(&value["head"], "sha")?,
        labels: names(&value["labels"]),
        author: text(&value["user"]["login"]),
    })
}
