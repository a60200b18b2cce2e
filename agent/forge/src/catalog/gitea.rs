//! Gitea and Forgejo. Source: their `/api/swagger`.

use gitops_core::applicationset::{ListedRepository, Listing, Param, Question, RepositoryKey};
use serde_json::Value;
use url::Url;

use super::api::{Api, Failure, Page};
use super::github::pull_request;
use super::{branches, names, parts, pull_requests, required, text};

/// Entries of one page; servers allow no more unless they are told to.
const PER_PAGE: [(&str, &str); 2] = [("limit", "50"), ("page", "1")];

/// The address of the API.
pub(super) fn base(api: &str) -> String {
    format!("{}/api/v1", api.trim_end_matches('/'))
}

/// The next page by its link, or as long as the list is said to be longer than what was read.
fn next(page: &Page, read: usize) -> Option<Url> {
    page.linked().or_else(|| {
        let is_more = page.total().is_some_and(|total| total > read);
        let is_more = is_more && page.items().is_some_and(|items| !items.is_empty());
        let number = page.parameter("page").filter(|_| is_more)?;
        Some(page.with("page", &(number + 1).to_string()))
    })
}

pub(super) fn ask(api: &Api, question: &Question) -> Result<Listing, Failure> {
    Ok(match question {
        Question::Repositories(owner) => {
            let url = api.address(["orgs", &owner.name, "repos"], &PER_PAGE);
            let all = api.whole(url, Page::items, next)?;
            let listed = all.iter().map(|one| repository(api, &owner.name, one));
            Listing::Repositories(listed.collect::<Result<_, _>>()?)
        }
        Question::Branches { repository, only } => {
            let (owner, name) = (&*repository.owner, &*repository.name);
            let start = ["repos", owner, name, "branches"];
            let all = match only {
                Some(branch) => {
                    let path = start.into_iter().chain(parts(branch));
                    api.one(&api.address(path, &[]))?
                }
                None => api.whole(api.address(start, &PER_PAGE), Page::items, next)?,
            };
            branches(&all, "name", "/commit/id")?
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
            let query = PER_PAGE.into_iter().chain([("state", "open")]);
            let query: Vec<_> = query.collect();
            let listed = api.list(api.address(path, &query), Page::items, next)?;
            pull_requests(listed.as_ref(), pull_request)?
        }
    })
}

fn repository(api: &Api, owner: &str, value: &Value) -> Result<ListedRepository, Failure> {
    let name = required(value, "name")?;
    let url = api.address(["repos", owner, &name, "labels"], &PER_PAGE);
    let labels = Value::Array(api.whole(url, Page::items, next)?);
    Ok(ListedRepository {
        key: RepositoryKey {
            owner: owner.to_owned(),
            name: name.clone(),
            ..RepositoryKey::default()
        },
        organization: owner.to_owned(),
        name,
        id: Param::of(&value["id"]),
        ssh: text(&value["ssh_url"]),
        // Argo CD takes the page's address, which has no .git; both are cloned.
        https: text(&value["html_url"]),
        default_branch: text(&value["default_branch"]),
        labels: names(&labels),
        is_archived: value["archived"] == true,
        is_empty: value["empty"].as_bool(),
    })
}
