//! Bitbucket Cloud. Source: <https://developer.atlassian.com/cloud/bitbucket/rest/>.

use gitops_core::applicationset::{
    ListedPullRequest, ListedRepository, Listing, Param, Question, RepositoryKey,
};
use serde_json::Value;
use url::Url;

use super::api::{Api, Failure, Page};
use super::{branches, clone_link, number, parts, pull_requests, required, text};

/// The address of the API.
pub(super) fn base(api: &str) -> String {
    match api.trim_end_matches('/') {
        "" => "https://api.bitbucket.org/2.0".into(),
        api => api.to_owned(),
    }
}

fn values(page: &Page) -> Option<&Vec<Value>> {
    page.items_of("values")
}

fn next(page: &Page, _: usize) -> Option<Url> {
    page.joined(page.document["next"].as_str()?)
}

pub(super) fn ask(api: &Api, question: &Question) -> Result<Listing, Failure> {
    Ok(match question {
        Question::Repositories(owner) => {
            let query = [("role", "member"), ("pagelen", "100")];
            let url = api.address(["repositories", &owner.name], &query);
            let all = api.whole(url, values, next)?;
            let listed = all.iter().map(|one| repository(&owner.name, one));
            Listing::Repositories(listed.collect::<Result<_, _>>()?)
        }
        Question::Branches { repository, only } => {
            let (owner, name) = (&*repository.owner, &*repository.name);
            let start = ["repositories", owner, name, "refs", "branches"];
            let all = match only {
                Some(branch) => {
                    let path = start.into_iter().chain(parts(branch));
                    api.one(&api.address(path, &[]))?
                }
                None => api.whole(api.address(start, &[("pagelen", "100")]), values, next)?,
            };
            branches(&all, "name", "/target/hash")?
        }
        Question::HasPath {
            repository,
            commit,
            path,
            ..
        } => {
            let (owner, name) = (&*repository.owner, &*repository.name);
            let start = ["repositories", owner, name, "src", commit];
            let segments = start.into_iter().chain(parts(path));
            let url = api.address(segments, &[("format", "meta")]);
            Listing::HasPath(api.find(&url)?.is_some())
        }
        Question::PullRequests { repository, .. } => {
            let path = [
                "repositories",
                &repository.owner,
                &repository.name,
                "pullrequests",
            ];
            let url = api.address(path, &[("state", "OPEN"), ("pagelen", "50")]);
            let listed = api.list(url, values, next)?;
            pull_requests(listed.as_ref(), pull_request)?
        }
    })
}

fn repository(owner: &str, value: &Value) -> Result<ListedRepository, Failure> {
    let name = required(value, "slug")?;
    Ok(ListedRepository {
        key: RepositoryKey {
            owner: owner.to_owned(),
            name: name.clone(),
            ..RepositoryKey::default()
        },
        organization: owner.to_owned(),
        name,
        id: Param::of(&value["uuid"]),
        ssh: clone_link(value, "ssh"),
        https: clone_link(value, "https"),
        default_branch: text(&value["mainbranch"]["name"]),
        labels: Vec::new(),
        is_archived: false,
        is_empty: None,
    })
}

fn pull_request(value: &Value) -> Result<ListedPullRequest, Failure> {
    Ok(ListedPullRequest {
        number: number(value, "id")?,
        title: text(&value["title"]),
        branch: required(&value["source"]["branch"], "name")?,
        target_branch: required(&value["destination"]["branch"], "name")?,
        commit: text(&value["source"]["commit"]["hash"]),
        labels: Vec::new(),
        author: text(&value["author"]["nickname"]),
    })
}
