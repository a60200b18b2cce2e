//! Bitbucket Server and Data Center. Source: <https://developer.atlassian.com/server/bitbucket/rest/>.

use gitops_core::applicationset::{
    ListedPullRequest, ListedRepository, Listing, Param, Question, RepositoryKey,
};
use serde_json::Value;
use url::Url;

use super::api::{Api, Failure, Page};
use super::{branches, clone_link, number, parts, pull_requests, required, text};

/// Entries of one page.
const LIMIT: (&str, &str) = ("limit", "100");

/// The address of the API: generators name it up to `/rest`.
pub(super) fn base(api: &str) -> String {
    format!("{}/api/1.0", api.trim_end_matches('/'))
}

fn values(page: &Page) -> Option<&Vec<Value>> {
    page.items_of("values")
}

fn next(page: &Page, _: usize) -> Option<Url> {
    let start = page.document["nextPageStart"].as_u64();
    let start = start.filter(|_| page.document["isLastPage"] == false)?;
    Some(page.with("start", &start.to_string()))
}

pub(super) fn ask(api: &Api, question: &Question) -> Result<Listing, Failure> {
    Ok(match question {
        Question::Repositories(owner) => {
            let url = api.address(["projects", &owner.name, "repos"], &[LIMIT]);
            let all = api.whole(url, values, next)?;
            let listed = all.iter().map(|one| repository(api, one));
            Listing::Repositories(listed.collect::<Result<_, _>>()?)
        }
        Question::Branches { repository, only } => {
            let all = if only.is_some() {
                default_branch(api, repository)?.into_iter().collect()
            } else {
                let url = api.address(start(repository).chain(["branches"]), &[LIMIT]);
                api.whole(url, values, next)?
            };
            branches(&all, "displayId", "/latestCommit")?
        }
        Question::HasPath {
            repository,
            branch,
            path,
            ..
        } => {
            let segments = start(repository).chain(["browse"]).chain(parts(path));
            let url = api.address(segments, &[("at", branch), ("type", "true"), LIMIT]);
            Listing::HasPath(api.find(&url)?.is_some())
        }
        Question::PullRequests { repository, .. } => {
            let path = start(repository).chain(["pull-requests"]);
            let url = api.address(path, &[("state", "OPEN"), LIMIT]);
            let listed = api.list(url, values, next)?;
            pull_requests(listed.as_ref(), pull_request)?
        }
    })
}

/// What the address of a repository begins with.
fn start(key: &RepositoryKey) -> impl Iterator<Item = &str> {
    ["projects", &key.owner, "repos", &key.name].into_iter()
}

/// The default branch of a repository, which its listing does not tell; none when there is none.
fn default_branch(api: &Api, key: &RepositoryKey) -> Result<Option<Value>, Failure> {
    let path = start(key).chain(["branches", "default"]);
    let page = api.get(&api.address(path, &[]))?;
    match page.status {
        200 => Ok(Some(page.document)),
        // One that holds nothing has none: not found, or no content.
        204 | 404 => Ok(None),
        _ => Err(page.refusal()),
    }
}

fn repository(api: &Api, value: &Value) -> Result<ListedRepository, Failure> {
    let owner = required(&value["project"], "key")?;
    let name = required(value, "name")?;
    let slug = text(&value["slug"]);
    let key = RepositoryKey {
        owner: owner.clone(),
        name: if slug.is_empty() { name.clone() } else { slug },
        ..RepositoryKey::default()
    };
    let branch = default_branch(api, &key)?;
    Ok(ListedRepository {
        key,
        organization: owner,
        name,
        id: Param::of(&value["id"]),
        ssh: clone_link(value, "ssh"),
        https: clone_link(value, "http"),
        default_branch: branch
            .map(|one| text(&one["displayId"]))
            .unwrap_or_default(),
        labels: Vec::new(),
        is_archived: value["archived"] == true,
        is_empty: None,
    })
}

fn pull_request(value: &Value) -> Result<ListedPullRequest, Failure> {
    Ok(ListedPullRequest {
        number: number(value, "id")?,
        title: text(&value["title"]),
        branch: required(&value["fromRef"], "displayId")?,
        target_branch: required(&value["toRef"], "displayId")?,
        commit: text(&value["fromRef"]["latestCommit"]),
        labels: Vec::new(),
        author: text(&value["author"]["user"]["name"]),
    })
}
