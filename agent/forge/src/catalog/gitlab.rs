//! GitLab. Source: <https://docs.gitlab.com/api/rest/>.

use std::collections::HashSet;

use gitops_core::applicationset::{
    ListedPullRequest, ListedRepository, Listing, Param, Question, RepositoryKey,
};
use serde_json::Value;
use url::Url;

use super::api::{Api, Failure, Page};
use super::{branches, names, number, pull_requests, required, text};

/// Entries of one page.
const PER_PAGE: (&str, &str) = ("per_page", "100");

/// The address of the API.
pub(super) fn base(api: &str) -> String {
    match api.trim_end_matches('/') {
        "" => "https://gitlab.com/api/v4".into(),
        api if api.ends_with("/api/v4") => api.to_owned(),
        api => format!("{api}/api/v4"),
    }
}

fn next(page: &Page, _: usize) -> Option<Url> {
    page.linked().or_else(|| page.numbered())
}

pub(super) fn ask(api: &Api, question: &Question) -> Result<Listing, Failure> {
    Ok(match question {
        Question::Repositories(owner) => {
            let flag = |value: bool| if value { "true" } else { "false" };
            let mut query = vec![
                ("include_subgroups", flag(owner.subgroups)),
                PER_PAGE,
                ("with_shared", flag(owner.shared)),
            ];
            if !owner.topic.is_empty() {
                query.push(("topic", &owner.topic));
            }
            let path = ["groups", &owner.name, "projects"];
            let mut all = api.whole(api.address(path, &query), Page::items, next)?;
            if owner.archived {
                // With this they are the only ones.
                query.push(("archived", "true"));
                all.extend(api.whole(api.address(path, &query), Page::items, next)?);
            }
            let mut seen = HashSet::new();
            all.retain(|one| seen.insert(one["id"].to_string()));
            Listing::Repositories(all.iter().map(repository).collect::<Result<_, _>>()?)
        }
        Question::Branches { repository, only } => {
            let start = ["projects", &repository.id, "repository", "branches"];
            let all = match only {
                Some(branch) => {
                    let path = start.into_iter().chain([branch.as_str()]);
                    api.one(&api.address(path, &[]))?
                }
                None => api.whole(api.address(start, &[PER_PAGE]), Page::items, next)?,
            };
            branches(&all, "name", "/commit/id")?
        }
        Question::HasPath {
            repository,
            branch,
            path,
            ..
        } => {
            let start = ["projects", &repository.id, "repository"];
            let file = start.into_iter().chain(["files", path]);
            let file = api.find(&api.address(file, &[("ref", branch)]))?;
            // Not a file: perhaps a directory. A tree that holds nothing is answered with 404, or with
            // an empty list by older servers.
            let tree = || {
                let tree = start.into_iter().chain(["tree"]);
                let url = api.address(tree, &[("path", path), ("ref", branch)]);
                let page = api.find(&url)?;
                Ok(page.is_some_and(|page| page.items().is_some_and(|items| !items.is_empty())))
            };
            Listing::HasPath(file.is_some() || tree()?)
        }
        Question::PullRequests {
            repository,
            labels,
            state,
        } => {
            let labels = labels.join(",");
            let mut query = vec![PER_PAGE];
            if !labels.is_empty() {
                query.push(("labels", &labels));
            }
            if !state.is_empty() {
                query.push(("state", state));
            }
            let path = ["projects", &repository.name, "merge_requests"];
            let listed = api.list(api.address(path, &query), Page::items, next)?;
            pull_requests(listed.as_ref(), merge_request)?
        }
    })
}

fn repository(value: &Value) -> Result<ListedRepository, Failure> {
    let organization = required(&value["namespace"], "full_path")?;
    let name = required(value, "path")?;
    let mut labels = names(&value["topics"]);
    if labels.is_empty() {
        // Before GitLab 14.5.
        labels = names(&value["tag_list"]);
    }
    Ok(ListedRepository {
        key: RepositoryKey {
            owner: organization.clone(),
            name: name.clone(),
            id: number(value, "id")?.to_string(),
            ..RepositoryKey::default()
        },
        organization,
        name,
        id: Param::of(&value["id"]),
        ssh: text(&value["ssh_url_to_repo"]),
        https: text(&value["http_url_to_repo"]),
        default_branch: text(&value["default_branch"]),
        labels,
        is_archived: value["archived"] == true,
        is_empty: value["empty_repo"].as_bool(),
    })
}

fn merge_request(value: &Value) -> Result<ListedPullRequest, Failure> {
    Ok(ListedPullRequest {
        number: number(value, "iid")?,
        title: text(&value["title"]),
        branch: required(value, "source_branch")?,
        target_branch: required(value, "target_branch")?,
        commit: text(&value["sha"]),
        labels: names(&value["labels"]),
        author: text(&value["author"]["username"]),
    })
}
