//! Generators that ask forges, as tables: what is asked, what counts, and what is an error.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::environment::Environment;
use super::super::generate::{Generation, generate};
use super::super::need::{Answer, Answers, Need, Unmet};
use super::super::param::Param;
use super::super::spec::SetSpec;
use super::*;

const SHA: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334";

/// Names of the Applications, and the warnings.
type Made = (Vec<String>, String);

/// A forge: its repositories, the paths each branch has, and its pull requests.
#[derive(Default)]
struct Forge {
    repositories: Vec<ListedRepository>,
    branches: HashMap<&'static str, Vec<&'static str>>,
    paths: Vec<(&'static str, &'static str, &'static str)>,
    requests: Option<Vec<ListedPullRequest>>,
}

impl Forge {
    fn answer(&self, question: &Question) -> Listing {
        match question {
            Question::Repositories(_) => Listing::Repositories(self.repositories.clone().into()),
            Question::Branches { repository, only } => {
                let all = self.branches.get(&*repository.name).cloned();
                let all = all.unwrap_or_default().into_iter();
                let asked = |name: &&str| only.as_ref().is_none_or(|only| only == name);
                let branches = all.filter(asked).map(|name| Branch {
                    name: name.into(),
                    commit: SHA.into(),
                });
                Listing::Branches(branches.collect())
            }
            Question::HasPath {
                repository,
                branch,
                path,
                ..
            } => {
                let place = (&*repository.name, &**branch, &**path);
                Listing::HasPath(self.paths.contains(&place))
            }
            Question::PullRequests { .. } => match &self.requests {
                Some(requests) => Listing::PullRequests(requests.clone().into()),
                None => Listing::NoRepository,
            },
        }
    }

    /// Names of the Applications and warnings, or what is wrong; and what was asked.
    fn run(
        &self,
        environment: &Environment,
        generator: &Value,
        go: bool,
        name: &str,
    ) -> (Result<Made, String>, Vec<Need>) {
        let spec = SetSpec::read(&json!({
            "goTemplate": go, "generators": [generator],
            "template": {"metadata": {"name": name}, "spec": {"project": "default",
                "destination": {"server": "s", "namespace": "n"}}},
        }));
        let mut answers = Answers::new();
        let mut asked = Vec::new();
        loop {
            match generate(&spec, environment, &answers) {
                Generation::Needs(needs) => {
                    for need in needs {
                        let Need::Forge { question, .. } = &need else {
                            panic!("{need:?}")
                        };
                        let answer = Answer::Forge(self.answer(question));
                        asked.push(need.clone());
                        answers.insert(need, Ok::<_, Unmet>(answer));
                    }
                }
                Generation::Failed(problems) => return (Err(problems[0].to_string()), asked),
                Generation::Done {
                    applications,
                    warnings,
                } => {
                    let names = applications.into_iter().map(|one| one.name).collect();
                    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
                    return (Ok((names, warnings.join("; "))), asked);
                }
            }
        }
    }

    fn names(&self, generator: &Value, name: &str) -> Result<Vec<String>, String> {
        let (found, _) = self.run(&Environment::default(), generator, false, name);
        found.map(|(names, _)| names)
    }
}

fn repository(name: &str) -> ListedRepository {
    ListedRepository {
        key: RepositoryKey {
            owner: "acme".into(),
            name: name.into(),
            ..RepositoryKey::default()
        },
        organization: "acme".into(),
        name: name.into(),
        id: Param::Number("7".into()),
        ssh: format!("ssh/{name}"),
        https: format!("https/{name}"),
        default_branch: "main".into(),
        labels: vec!["deploy".into(), name.into()],
        is_archived: false,
        is_empty: None,
    }
}

/// Repositories `web` and `api` with the branches main and dev, and `old`, which is archived.
fn forge() -> Forge {
    let old = ListedRepository {
        is_archived: true,
        ..repository("old")
    };
    let branches = ["web", "api", "old"].map(|name| (name, vec!["main", "dev"]));
    Forge {
        repositories: vec![repository("web"), repository("api"), old],
        branches: branches.into_iter().collect(),
        paths: vec![
            ("web", "main", "deploy"),
            ("web", "dev", "deploy"),
            ("api", "main", "x"),
        ],
        requests: None,
    }
}

fn scm(provider: &str, fields: &Value, more: &Value) -> Value {
    let mut generator = more.clone();
    generator[provider] = fields.clone();
    json!({ "scmProvider": generator })
}

fn github(fields: &Value, filters: &Value) -> Value {
    let mut all = json!({"organization": "acme"});
    fill(&mut all, fields);
    scm("github", &all, &json!({"filters": filters}))
}

fn fill(value: &mut Value, fields: &Value) {
    for (key, field) in fields.as_object().into_iter().flatten() {
        value[key] = field.clone();
    }
}

#[test]
fn repositories_and_branches_that_pass_a_filter() {
    let none = json!({});
    let all = json!({"allBranches": true});
    let table = [
        (none.clone(), json!([]), "web-main api-main old-main"),
        (
            json!({"excludeArchivedRepos": true}),
            json!([]),
            "web-main api-main",
        ),
        (
            all.clone(),
            json!([]),
            "web-main web-dev api-main api-dev old-main old-dev",
        ),
        (
            none.clone(),
            json!([{"repositoryMatch": "^(w|o)"}]),
            "web-main old-main",
        ),
        (
            none.clone(),
            json!([{"repositoryMatch": "e", "labelMatch": "^web$"}]),
            "web-main",
        ),
        (
            none.clone(),
            json!([{"repositoryMatch": "^w"}, {"labelMatch": "api"}]),
            "web-main api-main",
        ),
        (
            all.clone(),
            json!([{"branchMatch": "^d"}]),
            "web-dev api-dev old-dev",
        ),
        (
            all.clone(),
            json!([{"branchMatch": "^d"}, {"repositoryMatch": "api"}]),
            "api-dev",
        ),
        (
            all.clone(),
            json!([{"pathsExist": ["deploy/"]}]),
            "web-main web-dev",
        ),
        (
            all.clone(),
            json!([{"pathsExist": ["deploy"], "branchMatch": "dev"}]),
            "web-dev",
        ),
        (
            all.clone(),
            json!([{"pathsDoNotExist": ["deploy", "x"]}]),
            "api-dev old-main old-dev",
        ),
        (
            all,
            json!([{"pathsExist": ["deploy", "x"]}, {"pathsExist": ["x"]}]),
            "api-main",
        ),
        (none, json!([{}]), "web-main api-main old-main"),
    ];
    for (fields, filters, expected) in table {
        let names = forge().names(&github(&fields, &filters), "{{repository}}-{{branch}}");
        assert_eq!(names.unwrap().join(" "), expected, "{fields} {filters}");
    }
}

#[test]
fn parameters_of_repositories() {
    let name = "{{organization}}|{{repository}}|{{repository_id}}|{{url}}|{{branchNormalized}}|{{short_sha}}|{{short_sha_7}}|{{labels}}|{{values.v}}";
    let table = [
        (
            "ssh",
            "acme|web|{{repository_id}}|ssh/web|main|a1b2c3d4|a1b2c3d|deploy,web|web!",
        ),
        (
            "https",
            "acme|web|{{repository_id}}|https/web|main|a1b2c3d4|a1b2c3d|deploy,web|web!",
        ),
        (
            "",
            "acme|web|{{repository_id}}|ssh/web|main|a1b2c3d4|a1b2c3d|deploy,web|web!",
        ),
    ];
    for (protocol, expected) in table {
        let more = json!({"cloneProtocol": protocol, "values": {"v": "{{repository}}!"}});
        let generator = scm("github", &json!({"organization": "acme"}), &more);
        assert_eq!(forge().names(&generator, name).unwrap()[0], expected);
    }
    // Its listing has one address only.
    let azure = json!({"organization": "acme", "teamProject": "t", "accessTokenRef": {"secretName": "s", "key": "k"}});
    let names = forge().names(&scm("azureDevOps", &azure, &json!({})), "{{url}}");
    assert_eq!(names.unwrap()[0], "https/web");
}

#[test]
fn a_repository_without_its_branch_is_left_out_only_where_it_is_empty() {
    let with = |is_empty: Option<bool>, default: &str| {
        let mut forge = forge();
        forge.branches.remove("api");
        forge.repositories[1].is_empty = is_empty;
        default.clone_into(&mut forge.repositories[1].default_branch);
        forge
    };
    let names = |forge: &Forge, generator: &Value| {
        let (found, _) = forge.run(&Environment::default(), generator, false, "{{repository}}");
        found.map(|(names, warnings)| (names.join(" "), warnings))
    };
    let github = github(&json!({}), &json!([]));
    let gitea = scm(
        "gitea",
        &json!({"owner": "acme", "api": "https://h"}),
        &json!({}),
    );
    for (forge, generator) in [
        (with(None, "main"), &github),
        (with(Some(true), "main"), &github),
        (with(None, ""), &github),
        (with(Some(true), "main"), &gitea),
    ] {
        let (names, warnings) = names(&forge, generator).unwrap();
        assert_eq!(names, "web old");
        assert!(warnings.contains("acme/api is left out"), "{warnings}");
    }
    for (forge, generator) in [
        (with(Some(false), "main"), &github),
        (with(None, "main"), &gitea),
    ] {
        let wrong = names(&forge, generator).unwrap_err();
        assert!(
            wrong.contains("lists acme/api, but not its default branch"),
            "{wrong}"
        );
    }
    let mut twice = forge();
    twice.repositories.push(repository("web"));
    assert_eq!(
        names(&twice, &github).unwrap().0,
        "web api old",
        "a list that moved"
    );
}

#[test]
fn what_is_asked_says_who_and_as_whom() {
    let token = json!({"secretName": "s", "key": "k"});
    let reference = KeyReference {
        name: "s".into(),
        key: "k".into(),
    };
    let basic = Credential::Basic {
        user: "ada".into(),
        password: reference.clone(),
    };
    let table = [
        (
            scm(
                "gitlab",
                &json!({"group": "g", "tokenRef": token, "insecure": true,
                "caRef": {"configMapName": "s", "key": "k"}}),
                &json!({}),
            ),
            Provider::GitLab,
            Credential::Token(reference.clone()),
        ),
        (
            scm(
                "bitbucket",
                &json!({"owner": "o", "user": "ada", "appPasswordRef": token}),
                &json!({}),
            ),
            Provider::Bitbucket,
            basic.clone(),
        ),
        (
            scm(
                "bitbucketServer",
                &json!({"project": "P", "api": "https://h/rest",
                "basicAuth": {"username": "ada", "passwordRef": token}}),
                &json!({}),
            ),
            Provider::BitbucketServer,
            basic,
        ),
        (
            scm(
                "bitbucketServer",
                &json!({"project": "P", "api": "https://h/rest",
                "bearerToken": {"tokenRef": token}}),
                &json!({}),
            ),
            Provider::BitbucketServer,
            Credential::Token(reference.clone()),
        ),
        (
            github(&json!({}), &json!([])),
            Provider::GitHub,
            Credential::None,
        ),
    ];
    for (generator, provider, credential) in table {
        let (_, asked) = forge().run(&Environment::default(), &generator, false, "{{repository}}");
        let Need::Forge { account, question } = &asked[0] else {
            panic!("{asked:?}")
        };
        assert_eq!(
            (account.provider, &account.credential),
            (provider, &credential)
        );
        let Question::Repositories(owner) = question else {
            panic!("{question:?}")
        };
        assert_eq!(
            owner.shared,
            provider == Provider::GitLab,
            "shared projects count there"
        );
        assert_eq!(account.insecure, provider == Provider::GitLab);
        assert_eq!(account.authorities.is_some(), provider == Provider::GitLab);
    }
}

#[test]
fn pull_requests_that_pass() {
    let request = |number: u64, branch: &str, target: &str, labels: &[&str]| ListedPullRequest {
        number,
        title: format!("Change {number}"),
        branch: branch.into(),
        target_branch: target.into(),
        commit: SHA.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        author: "ana".into(),
    };
    let forge = Forge {
        requests: Some(vec![
            request(1, "feature/Cart_View", "main", &["preview", "ui"]),
            request(2, "fix/x", "release/1.2", &["preview"]),
            request(3, "feature/y", "main", &[]),
        ]),
        ..Forge::default()
    };
    let pull = |labels: &Value, filters: &Value| json!({"pullRequest": {"filters": filters, "github": {"owner": "acme", "repo": "web", "labels": labels}}});
    let table = [
        (json!([]), json!([]), "1 2 3"),
        (json!(["preview"]), json!([]), "1 2"),
        (json!(["preview", "ui"]), json!([]), "1"),
        (json!([]), json!([{"branchMatch": "^feature"}]), "1 3"),
        (
            json!([]),
            json!([{"branchMatch": "^feature", "titleMatch": "3"}]),
            "3",
        ),
        (
            json!([]),
            json!([{"targetBranchMatch": "release"}, {"titleMatch": "3"}]),
            "2 3",
        ),
    ];
    for (labels, filters, expected) in table {
        let names = forge.names(&pull(&labels, &filters), "{{number}}");
        assert_eq!(names.unwrap().join(" "), expected, "{labels} {filters}");
    }
    let name = "{{number}}|{{branch_slug}}|{{target_branch_slug}}|{{head_short_sha}}|{{head_short_sha_7}}|{{author}}|{{labels}}";
    let names = forge.names(&pull(&json!([]), &json!([])), name).unwrap();
    assert_eq!(
        names[0],
        "1|feature-cart-view|main|a1b2c3d4|a1b2c3d|ana|{{labels}}"
    );

    let missing = |goes_on: bool| {
        let generator = json!({"pullRequest": {"continueOnRepoNotFoundError": goes_on,
            "gitea": {"owner": "acme", "repo": "gone", "api": "https://h"}}});
        Forge::default().names(&generator, "{{number}}")
    };
    assert_eq!(missing(true), Ok(vec![]));
    assert!(
        missing(false)
            .unwrap_err()
            .contains("knows no such repository")
    );
}

#[test]
fn what_is_wrong_with_a_generator_is_said_before_anybody_is_asked() {
    let allowed = |disabled: bool, allowed: &[&str]| Environment {
        forges: Forges {
            disabled,
            allowed: allowed.iter().map(|api| (*api).to_owned()).collect(),
        },
        ..Environment::default()
    };
    let open = Environment::default();
    let gitea = |api: &str| scm("gitea", &json!({"owner": "acme", "api": api}), &json!({}));
    let table = [
        (
            &open,
            scm("none", &json!({}), &json!({})),
            "it names no forge",
        ),
        (
            &open,
            scm("awsCodeCommit", &json!({}), &json!({})),
            "awsCodeCommit is not supported",
        ),
        (
            &open,
            github(&json!({"organization": ""}), &json!([])),
            "github.organization: it is empty",
        ),
        (
            &open,
            github(&json!({"appSecretName": "app"}), &json!([])),
            "GitHub Apps are not supported yet",
        ),
        (
            &open,
            github(&json!({"tokenRef": {"key": "k"}}), &json!([])),
            "tokenRef.secretName: it is empty",
        ),
        (
            &open,
            github(&json!({}), &json!([{"repositoryMatch": "("}])),
            "filters[0].repositoryMatch: \"(\" is no regular expression",
        ),
        (&open, gitea(""), "gitea.api: it is empty"),
        (
            &open,
            scm(
                "github",
                &json!({"organization": "acme"}),
                &json!({"cloneProtocol": "ftp"}),
            ),
            "cloneProtocol: \"ftp\" is no protocol here",
        ),
        (
            &allowed(true, &[]),
            gitea("https://h"),
            "switches forges off",
        ),
        (
            &allowed(false, &["https://ours"]),
            gitea("https://h"),
            "is not allowed; argocd-cmd-params-cm allows https://ours",
        ),
        (
            &open,
            json!({"pullRequest": {"gitlab": {}}}),
            "pullRequest.gitlab.project: it is empty",
        ),
    ];
    for (environment, generator, says) in table {
        let (found, asked) = forge().run(environment, &generator, false, "{{repository}}");
        let wrong = found.unwrap_err();
        assert!(wrong.contains(says), "{wrong} does not say {says:?}");
        assert!(asked.is_empty(), "{generator}");
    }
    let (found, _) = forge().run(
        &allowed(false, &["https://h"]),
        &gitea("https://h"),
        false,
        "{{repository}}",
    );
    assert!(found.is_ok());
}
