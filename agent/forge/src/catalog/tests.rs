//! Every forge against a double that answers as its documentation says, page by page.

use gitops_core::applicationset::{
    Account, Branch, Credential, ListedPullRequest, ListedRepository, Owner, RepositoryKey,
};
use gitops_http_double::{Answer, Asked, HttpDouble};
use serde_json::json;

use super::*;

const SHA: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334";

/// One answer: a target with its query, a status, a header, a document. `{}` in the header or in the
/// document is the double's address.
type Row = (&'static str, u16, (&'static str, &'static str), Value);

fn ok(target: &'static str, document: Value) -> Row {
    (target, 200, ("", ""), document)
}

fn linked(target: &'static str, next: &'static str, document: Value) -> Row {
    (target, 200, ("Link", next), document)
}

fn double(rows: Vec<Row>) -> HttpDouble {
    HttpDouble::start(move |asked: &Asked, own: &str| {
        let found = rows.iter().find(|(target, ..)| *target == asked.target);
        let Some((_, status, (name, value), document)) = found else {
            return Answer::json(404, &json!({"message": "Not Found"}));
        };
        let text = document.to_string().replace("{}", own);
        let answer = Answer {
            status: *status,
            headers: Vec::new(),
            text,
        };
        match *name {
            "" => answer,
            name => answer.with(name, &value.replace("{}", own)),
        }
    })
}

fn catalog(provider: Provider, api: &str, login: &Login) -> Result<Catalog, Failure> {
    let account = Account {
        provider,
        api: api.into(),
        credential: Credential::None,
        insecure: false,
        authorities: None,
    };
    let connection = Connection {
        clients: &ClientPool::default(),
        user_agent: "test",
        authorities: None,
        local_addresses: LocalAddresses::Allowed,
    };
    Catalog::new(&account, login, connection)
}

fn token() -> Login {
    Login::Token("t0ken".into())
}

fn owner(name: &str) -> Question {
    Question::Repositories(Owner {
        name: name.into(),
        project: "apps".into(),
        ..Owner::default()
    })
}

fn repositories(listing: &Listing) -> Vec<ListedRepository> {
    match listing {
        Listing::Repositories(all) => all.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn branches(catalog: &Catalog, repository: &RepositoryKey, only: Option<&str>) -> Vec<Branch> {
    let question = Question::Branches {
        repository: repository.clone(),
        only: only.map(str::to_owned),
    };
    match catalog.ask(&question).unwrap() {
        Listing::Branches(all) => all.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn has(catalog: &Catalog, repository: &RepositoryKey, path: &str) -> bool {
    let question = Question::HasPath {
        repository: repository.clone(),
        branch: "release/1".into(),
        commit: SHA.into(),
        path: path.into(),
    };
    match catalog.ask(&question).unwrap() {
        Listing::HasPath(there) => there,
        other => panic!("{other:?}"),
    }
}

fn requests(repository: RepositoryKey) -> Question {
    Question::PullRequests {
        repository,
        labels: vec!["preview".into()],
        state: "opened".into(),
    }
}

fn pull_requests(catalog: &Catalog, repository: &RepositoryKey) -> Vec<ListedPullRequest> {
    match catalog.ask(&requests(repository.clone())).unwrap() {
        Listing::PullRequests(all) => all.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn expected(number: u64, labels: &[&str]) -> ListedPullRequest {
    ListedPullRequest {
        number,
        title: "Add cart".into(),
        branch: "feature/cart".into(),
        target_branch: "main".into(),
        commit: SHA.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        author: "ana".into(),
    }
}

fn names(branches: &[Branch]) -> Vec<&str> {
    branches.iter().map(|one| &*one.name).collect()
}

#[test]
fn github() {
    let repository = |name: &str, size: u64| {
        json!({"id": 21, "name": name, "owner": {"login": "acme"}, "clone_url": "https://h/acme/web.git",
            "ssh_url": "git@h:acme/web.git", "default_branch": "main", "topics": ["ui"], "size": size})
    };
    let pull = json!([{"number": 7, "title": "Add cart", "user": {"login": "ana"}, "labels": [{"name": "preview"}],
        "head": {"ref": "feature/cart", "sha": SHA}, "base": {"ref": "main"}}]);
    let double = double(vec![
        linked(
            "/api/v3/orgs/acme/repos?per_page=100",
            "<{}/api/v3/orgs/acme/repos?page=2>; rel=\"next\", <{}/x>; rel=\"last\"",
            json!([repository("web", 12)]),
        ),
        ok(
            "/api/v3/orgs/acme/repos?page=2",
            json!([repository("new", 0)]),
        ),
        ok(
            "/api/v3/repos/acme/web/branches/release%2F1",
            json!({"name": "release/1", "commit": {"sha": SHA}}),
        ),
        ok(
            "/api/v3/repos/acme/web/branches?per_page=100",
            json!([{"name": "main", "commit": {"sha": SHA}}, {"name": "dev", "commit": {"sha": SHA}}]),
        ),
        ok(
            "/api/v3/repos/acme/web/contents/deploy/a?ref=release%2F1",
            json!([]),
        ),
        ok("/api/v3/repos/acme/web/pulls?per_page=100", pull),
    ]);
    let catalog = catalog(Provider::GitHub, &double.address, &token()).unwrap();
    let found = repositories(&catalog.ask(&owner("acme")).unwrap());
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].is_empty, Some(false));
    assert_eq!(found[1].is_empty, None);
    assert_eq!(found[0].labels, ["ui"]);
    let key = &found[0].key;
    assert_eq!(
        names(&branches(&catalog, key, Some("release/1"))),
        ["release/1"]
    );
    assert_eq!(names(&branches(&catalog, key, Some("gone"))), [""; 0]);
    assert_eq!(names(&branches(&catalog, key, None)), ["main", "dev"]);
    assert!(has(&catalog, key, "deploy/a"));
    assert!(!has(&catalog, key, "deploy/b"));
    assert_eq!(pull_requests(&catalog, key), [expected(7, &["preview"])]);
    let gone = RepositoryKey::default();
    let none = catalog.ask(&requests(gone)).unwrap();
    assert_eq!(none, Listing::NoRepository);
    let asked = double.asked();
    assert!(asked.iter().all(|one| one.authorization == "Bearer t0ken"));
}

#[test]
fn gitlab() {
    let project = |id: u64, archived: bool| {
        json!({"id": id, "path": "web", "namespace": {"full_path": "acme/team"}, "default_branch": "main",
            "ssh_url_to_repo": "git@h:acme/team/web.git", "http_url_to_repo": "https://h/acme/team/web.git",
            "tag_list": ["ui"], "empty_repo": false, "archived": archived})
    };
    let query = "include_subgroups=true&per_page=100&with_shared=true&topic=ui";
    let first: &'static str =
        Box::leak(format!("/api/v4/groups/acme%2Fteam/projects?{query}").into());
    let second: &'static str = Box::leak(format!("{first}&page=2").into());
    let archived: &'static str = Box::leak(format!("{first}&archived=true").into());
    let merge = json!([{"iid": 7, "title": "Add cart", "source_branch": "feature/cart", "target_branch": "main",
        "sha": SHA, "labels": ["preview"], "author": {"username": "ana"}}]);
    let double = double(vec![
        (first, 200, ("X-Next-Page", "2"), json!([project(1, false)])),
        (second, 200, ("X-Next-Page", ""), json!([project(2, false)])),
        ok(archived, json!([project(2, false), project(3, true)])),
        ok(
            "/api/v4/projects/1/repository/branches/release%2F1",
            json!({"name": "release/1", "commit": {"id": SHA}}),
        ),
        ok(
            "/api/v4/projects/1/repository/branches?per_page=100",
            json!([{"name": "main", "commit": {"id": SHA}}]),
        ),
        ok(
            "/api/v4/projects/1/repository/files/deploy%2Fa.yaml?ref=release%2F1",
            json!({"file_name": "a.yaml"}),
        ),
        ok(
            "/api/v4/projects/1/repository/tree?path=deploy&ref=release%2F1",
            json!([{"name": "a.yaml"}]),
        ),
        ok(
            "/api/v4/projects/1/repository/tree?path=empty&ref=release%2F1",
            json!([]),
        ),
        ok(
            "/api/v4/projects/acme%2Fteam%2Fweb/merge_requests?per_page=100&labels=preview&state=opened",
            merge,
        ),
    ]);
    let catalog = catalog(Provider::GitLab, &double.address, &token()).unwrap();
    let all = Question::Repositories(Owner {
        name: "acme/team".into(),
        subgroups: true,
        shared: true,
        topic: "ui".into(),
        archived: true,
        ..Owner::default()
    });
    let found = repositories(&catalog.ask(&all).unwrap());
    let archived: Vec<bool> = found.iter().map(|one| one.is_archived).collect();
    assert_eq!(archived, [false, false, true]);
    assert_eq!(
        (&*found[0].organization, &found[0].labels),
        ("acme/team", &vec!["ui".to_owned()])
    );
    let key = &found[0].key;
    assert_eq!(
        names(&branches(&catalog, key, Some("release/1"))),
        ["release/1"]
    );
    assert_eq!(names(&branches(&catalog, key, None)), ["main"]);
    for (path, there) in [
        ("deploy/a.yaml", true),
        ("deploy", true),
        ("empty", false),
        ("none", false),
    ] {
        assert_eq!(has(&catalog, key, path), there, "{path}");
    }
    let project = RepositoryKey {
        name: "acme/team/web".into(),
        ..RepositoryKey::default()
    };
    assert_eq!(
        pull_requests(&catalog, &project),
        [expected(7, &["preview"])]
    );
}

#[test]
fn gitea() {
    let repository = |name: &str, empty: bool| {
        json!({"id": 11, "name": name, "html_url": "https://h/acme/web", "ssh_url": "git@h:acme/web.git",
            "default_branch": "main", "empty": empty})
    };
    let double = double(vec![
        (
            "/api/v1/orgs/acme/repos?limit=50&page=1",
            200,
            ("X-Total-Count", "2"),
            json!([repository("web", false)]),
        ),
        (
            "/api/v1/orgs/acme/repos?limit=50&page=2",
            200,
            ("X-Total-Count", "2"),
            json!([repository("new", true)]),
        ),
        ok(
            "/api/v1/repos/acme/web/labels?limit=50&page=1",
            json!([{"name": "ui"}]),
        ),
        ok("/api/v1/repos/acme/new/labels?limit=50&page=1", json!([])),
        ok(
            "/api/v1/repos/acme/web/branches/release/1",
            json!({"name": "release/1", "commit": {"id": SHA}}),
        ),
        ok(
            "/api/v1/repos/acme/web/contents/deploy?ref=release%2F1",
            json!([]),
        ),
    ]);
    let catalog = catalog(Provider::Gitea, &format!("{}/", double.address), &token()).unwrap();
    let found = repositories(&catalog.ask(&owner("acme")).unwrap());
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].is_empty, found[1].is_empty),
        (Some(false), Some(true))
    );
    assert_eq!(found[0].labels, ["ui"]);
    let key = &found[0].key;
    assert_eq!(
        names(&branches(&catalog, key, Some("release/1"))),
        ["release/1"]
    );
    assert!(has(&catalog, key, "deploy"));
    assert_eq!(double.asked()[0].authorization, "token t0ken");
}

#[test]
fn bitbucket_in_the_cloud() {
    let repository = json!({"slug": "web", "uuid": "{1}", "mainbranch": {"name": "main"}, "links": {"clone": [
        {"name": "https", "href": "https://h/acme/web.git"}, {"name": "ssh", "href": "git@h:acme/web.git"}]}});
    let pull = json!({"values": [{"id": 7, "title": "Add cart", "author": {"nickname": "ana"},
        "source": {"branch": {"name": "feature/cart"}, "commit": {"hash": SHA}},
        "destination": {"branch": {"name": "main"}}}]});
    let double = double(vec![
        ok(
            "/repositories/acme?role=member&pagelen=100",
            json!({"values": [repository], "next": "{}/repositories/acme?page=2"}),
        ),
        ok("/repositories/acme?page=2", json!({"values": []})),
        ok(
            "/repositories/acme/web/refs/branches/release/1",
            json!({"name": "release/1", "target": {"hash": SHA}}),
        ),
        ok(
            &*Box::leak(
                format!("/repositories/acme/web/src/{SHA}/deploy?format=meta").into_boxed_str(),
            ),
            json!({"type": "commit_directory"}),
        ),
        ok(
            "/repositories/acme/web/pullrequests?state=OPEN&pagelen=50",
            pull,
        ),
    ]);
    let login = Login::Basic {
        user: "ada".into(),
        password: "p".into(),
    };
    let catalog = catalog(Provider::Bitbucket, &double.address, &login).unwrap();
    let found = repositories(&catalog.ask(&owner("acme")).unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&*found[0].ssh, &*found[0].https),
        ("git@h:acme/web.git", "https://h/acme/web.git")
    );
    let key = &found[0].key;
    assert_eq!(
        names(&branches(&catalog, key, Some("release/1"))),
        ["release/1"]
    );
    assert!(has(&catalog, key, "deploy") && !has(&catalog, key, "none"));
    assert_eq!(pull_requests(&catalog, key), [expected(7, &[])]);
    assert_eq!(double.asked()[0].authorization, "Basic YWRhOnA=");
}

#[test]
fn bitbucket_server() {
    let repository = json!({"id": 31, "name": "Web Shop", "slug": "web-shop", "project": {"key": "ACME"},
        "links": {"clone": [{"name": "http", "href": "https://h/web.git"}, {"name": "ssh", "href": "ssh://h/web.git"}]}});
    let branch = json!({"displayId": "release/1", "latestCommit": SHA});
    let pull = json!({"isLastPage": true, "values": [{"id": 7, "title": "Add cart", "author": {"user": {"name": "ana"}},
        "fromRef": {"displayId": "feature/cart", "latestCommit": SHA}, "toRef": {"displayId": "main"}}]});
    let double = double(vec![
        ok(
            "/rest/api/1.0/projects/ACME/repos?limit=100",
            json!({"values": [repository], "isLastPage": false, "nextPageStart": 1}),
        ),
        ok(
            "/rest/api/1.0/projects/ACME/repos?limit=100&start=1",
            json!({"values": [], "isLastPage": true}),
        ),
        ok(
            "/rest/api/1.0/projects/ACME/repos/web-shop/branches/default",
            branch.clone(),
        ),
        ok(
            "/rest/api/1.0/projects/ACME/repos/web-shop/branches?limit=100",
            json!({"values": [branch, {"displayId": "dev", "latestCommit": SHA}], "isLastPage": true}),
        ),
        ok(
            "/rest/api/1.0/projects/ACME/repos/web-shop/browse/deploy?at=release%2F1&type=true&limit=100",
            json!({"type": "DIRECTORY"}),
        ),
        ok(
            "/rest/api/1.0/projects/ACME/repos/web-shop/pull-requests?state=OPEN&limit=100",
            pull,
        ),
    ]);
    let api = format!("{}/rest", double.address);
    let catalog = catalog(Provider::BitbucketServer, &api, &token()).unwrap();
    let found = repositories(&catalog.ask(&owner("ACME")).unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&*found[0].name, &*found[0].default_branch),
        ("Web Shop", "release/1")
    );
    let key = &found[0].key;
    assert_eq!(
        names(&branches(&catalog, key, Some("release/1"))),
        ["release/1"]
    );
    assert_eq!(names(&branches(&catalog, key, None)), ["release/1", "dev"]);
    assert!(has(&catalog, key, "deploy") && !has(&catalog, key, "none"));
    assert_eq!(pull_requests(&catalog, key), [expected(7, &[])]);
}

#[test]
fn azure_devops() {
    let pull = json!({"value": [{"pullRequestId": 7, "title": "Add cart", "createdBy": {"uniqueName": "ana@h"},
        "repository": {"name": "web"}, "sourceRefName": "refs/heads/feature/cart", "labels": [{"name": "preview"}],
        "targetRefName": "refs/heads/main", "lastMergeSourceCommit": {"commitId": SHA}},
        {"pullRequestId": 8, "repository": {"name": "other"}}]});
    let double = double(vec![
        ok(
            "/acme/apps/_apis/git/repositories?api-version=7.1",
            json!({"value": [{"id": "u1", "name": "web", "remoteUrl": "https://h/web", "defaultBranch": "refs/heads/main"},
                {"id": "u2", "name": "new", "remoteUrl": "https://h/new"}]}),
        ),
        ok(
            "/acme/apps/_apis/git/repositories/web/stats/branches?name=main&api-version=7.1",
            json!({"name": "main", "commit": {"commitId": SHA}}),
        ),
        ok(
            "/acme/apps/_apis/git/repositories/u1/items?path=deploy&versionDescriptor.version=release%2F1&versionDescriptor.versionType=branch&api-version=7.1",
            json!({"path": "/deploy"}),
        ),
        ok(
            "/acme/apps/_apis/git/pullrequests?searchCriteria.status=active&%24top=100&%24skip=0&api-version=7.1",
            pull,
        ),
    ]);
    let catalog = catalog(Provider::AzureDevOps, &double.address, &token()).unwrap();
    let found = repositories(&catalog.ask(&owner("acme")).unwrap());
    assert_eq!(found.len(), 1);
    let key = &found[0].key;
    assert_eq!(found[0].default_branch, "main");
    assert_eq!(names(&branches(&catalog, key, Some("main"))), ["main"]);
    assert!(has(&catalog, key, "deploy") && !has(&catalog, key, "none"));
    assert_eq!(pull_requests(&catalog, key), [expected(7, &["preview"])]);
    assert_eq!(double.asked()[0].authorization, "Basic OnQwa2Vu");
}

#[test]
fn what_is_no_whole_list_is_an_error() {
    let repository = json!({"id": 1, "name": "web", "owner": {"login": "acme"}});
    let page = "/api/v3/orgs/acme/repos?per_page=100";
    let table: Vec<(Vec<Row>, &str, bool)> = vec![
        (vec![], "it answered 404 to /api/v3/orgs/acme/repos", false),
        (
            vec![(page, 401, ("", ""), json!({"message": "Bad credentials"}))],
            "Bad credentials; the token is not valid",
            false,
        ),
        (
            vec![(page, 403, ("", ""), json!({"message": "SSO"}))],
            "SSO; the token may not read it",
            false,
        ),
        (
            vec![(
                page,
                403,
                ("Retry-After", "60"),
                json!({"message": "slow down"}),
            )],
            "it allows no more requests for 60 s",
            true,
        ),
        (
            vec![(page, 429, ("X-RateLimit-Reset", "1700000000"), json!({}))],
            "until 2023-11-14T22:13:20Z",
            true,
        ),
        (
            vec![(page, 502, ("", ""), json!("bad gateway"))],
            "it answered 502",
            true,
        ),
        (vec![ok(page, json!({"message": "?"}))], "is no list", false),
        (vec![ok(page, json!([{"id": 1}]))], "has no name", false),
        (
            vec![linked(
                page,
                "<{}/api/v3/orgs/acme/repos?page=2>; rel=\"next\"",
                json!([repository]),
            )],
            "it answered 404",
            false,
        ),
        (
            vec![linked(
                page,
                "<{}/api/v3/orgs/acme/repos?per_page=100>; rel=\"next\"",
                json!([repository]),
            )],
            "is the same again",
            false,
        ),
        (
            vec![linked(
                page,
                "<https://other.example.com/repos>; rel=\"next\"",
                json!([repository]),
            )],
            "sends to another server",
            false,
        ),
    ];
    for (rows, says, is_temporary) in table {
        let double = double(rows);
        let catalog = catalog(Provider::GitHub, &double.address, &token()).unwrap();
        let failure = catalog.ask(&owner("acme")).unwrap_err();
        assert!(
            failure.message.contains(says),
            "{failure} does not say {says:?}"
        );
        assert_eq!(failure.is_temporary, is_temporary, "{failure}");
    }
    for api in ["ftp://h", "h", "https://ada:p@h"] {
        assert!(
            catalog(Provider::GitHub, api, &Login::None).is_err(),
            "{api}"
        );
    }
    let unusable = Login::Token("two\nlines".into());
    assert!(catalog(Provider::GitHub, "https://h", &unusable).is_err());
}

#[test]
fn addresses_of_apis() {
    let table = [
        (
            github::base as fn(&str) -> String,
            "",
            "https://api.github.com",
        ),
        (
            github::base,
            "https://api.github.com/",
            "https://api.github.com",
        ),
        (github::base, "https://git.h/", "https://git.h/api/v3"),
        (
            github::base,
            "https://git.h/api/v3/",
            "https://git.h/api/v3",
        ),
        (github::base, "https://x.api.h", "https://x.api.h"),
        (gitlab::base, "", "https://gitlab.com/api/v4"),
        (gitlab::base, "https://h/gitlab/", "https://h/gitlab/api/v4"),
        (gitlab::base, "https://h/api/v4", "https://h/api/v4"),
        (gitea::base, "https://h/", "https://h/api/v1"),
        (bitbucket::base, "", "https://api.bitbucket.org/2.0"),
        (
            bitbucket_server::base,
            "https://h/rest",
            "https://h/rest/api/1.0",
        ),
        (azure::base, "", "https://dev.azure.com"),
    ];
    for (base, api, expected) in table {
        assert_eq!(base(api), expected, "{api}");
    }
}
