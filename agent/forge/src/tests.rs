//! The client against a small server that answers from a table.

use std::sync::Mutex;

use gitops_http_double::{Answer as Told, HttpDouble};

use super::*;

type Answers = fn(&str, &str) -> (u16, String);

/// Answers each request by method and path.
struct Double(HttpDouble);

impl Double {
    fn start(answers: Answers) -> Self {
        Self(HttpDouble::start(move |asked, _| {
            let (status, text) = answers(&asked.method, &asked.target);
            Told {
                status,
                headers: Vec::new(),
                text,
            }
        }))
    }

    async fn forge(&self, token: bool) -> Forge {
        let address = format!("{}/acme/fleet.git", self.0.address);
        let variable = |name: &str| match name {
            "GITEA_TOKEN" if token => Some("s3cret".to_owned()),
            "GITEA_HOST" => Some(self.0.address.clone()),
            _ => None,
        };
        let choice = Choice::Forge {
            kind: Kind::Gitea,
            web: None,
        };
        let found = Forge::find(&address, Some(&choice), variable)
            .await
            .unwrap();
        found.unwrap()
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.0.asked().into_iter();
        asked
            .map(|one| format!("{} {} {}", one.method, one.target, one.authorization))
            .collect()
    }
}

fn proposal() -> Proposal {
    Proposal {
        head: "gitops/web".into(),
        base: "main".into(),
        title: "Roll back web".into(),
        body: String::new(),
    }
}

#[tokio::test]
async fn a_pull_request_is_opened_once() {
    let double = Double::start(|method, _| match method {
        "GET" => (200, "[]".into()),
        _ => (
            201,
            r#"{"number": 3, "html_url": "http://git/acme/fleet/pulls/3"}"#.into(),
        ),
    });
    let opened = double
        .forge(true)
        .await
        .open_pull_request(&proposal())
        .await;
    let expected = PullRequest {
        number: 3,
        url: "http://git/acme/fleet/pulls/3".into(),
    };
    assert_eq!(opened, Ok(Proposed::Opened(expected)));
    let asked = double.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(
        asked[1].starts_with("POST /api/v1/repos/acme/fleet/pulls token s3cret"),
        "{asked:?}"
    );

    let double = Double::start(|method, _| {
        match method {
        "GET" => (
            200,
            r#"[{"number": 3, "html_url": "http://x/3", "head": {"ref": "gitops/web"}, "base": {"ref": "main"}}]"#.into(),
        ),
        _ => (500, String::new()),
    }
    });
    let again = double
        .forge(true)
        .await
        .open_pull_request(&proposal())
        .await;
    assert!(matches!(again, Ok(Proposed::Existing(found)) if found.number == 3));
}

#[tokio::test]
async fn nothing_is_sent_without_a_token() {
    let double = Double::start(|_, _| (500, String::new()));
    let mut forge = double.forge(false).await;
    // Whatever helper the machine has.
    forge.credential = None;
    let page = format!("{}/acme/fleet/compare/main...gitops/web", double.0.address);
    assert_eq!(
        forge.open_pull_request(&proposal()).await,
        Ok(Proposed::ByHand(page))
    );
    assert!(double.asked().is_empty());
}

#[tokio::test]
async fn refusals_say_why_and_hide_the_token() {
    let double = Double::start(|_, _| (403, r#"{"message": "token has no scope"}"#.into()));
    let key = DeployKey {
        title: "agent".into(),
        public_key: "ssh-ed25519 AAAA".into(),
    };
    let error = double
        .forge(true)
        .await
        .register_deploy_key(&key)
        .await
        .unwrap_err();
    assert!(matches!(error, ForgeError::Refused { status: 403, .. }));
    let said = format!("{error} {error:?} {:?}", error.advice());
    assert!(
        said.contains("token has no scope (403)") && said.contains("GITEA_TOKEN"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn a_deploy_key_is_added_once() {
    let key = DeployKey {
        title: "agent".into(),
        public_key: "ssh-ed25519 AAAA me".into(),
    };
    let double = Double::start(|method, _| match method {
        "GET" => (200, r#"[{"key": "ssh-ed25519 BBBB"}]"#.into()),
        _ => (201, "{}".into()),
    });
    let added = double.forge(true).await.register_deploy_key(&key).await;
    assert_eq!(added, Ok(Registered::Added));
    let double = Double::start(|_, _| (200, r#"[{"key": "ssh-ed25519 AAAA"}]"#.into()));
    let existing = double.forge(true).await.register_deploy_key(&key).await;
    assert_eq!(existing, Ok(Registered::Existing));
}

#[tokio::test]
async fn an_unknown_host_is_asked_what_it_is() {
    let gitea: Answers = |_, path| match path {
        "/api/v1/version" => (200, r#"{"version": "1.25.0"}"#.into()),
        _ => (404, String::new()),
    };
    let gitlab: Answers = |_, path| match path {
        "/api/v4/version" => (401, r#"{"message": "401 Unauthorized"}"#.into()),
        _ => (404, r#"{"error": "404 Not Found"}"#.into()),
    };
    let nothing: Answers = |_, _| (404, "<html>".into());
    let table = [
        (gitea, Some(Kind::Gitea)),
        (gitlab, Some(Kind::GitLab)),
        (nothing, None),
    ];
    for (answers, expected) in table {
        let double = Double::start(answers);
        let address = format!("{}/acme/fleet", double.0.address);
        let found = Forge::find(&address, None, |_| None).await.unwrap();
        assert_eq!(found.map(|forge| forge.kind), expected);
    }
    let wrong = Forge::find("https://git.example/a/b", None, |_| {
        Some("bitbucket".into())
    })
    .await;
    assert!(matches!(
        wrong.unwrap_err(),
        ForgeError::InvalidChoice { .. }
    ));
}

#[tokio::test]
async fn no_token_goes_over_plain_http_to_another_machine() {
    let choice = Choice::Forge {
        kind: Kind::Gitea,
        web: None,
    };
    let token = |name: &str| (name == "GITEA_TOKEN").then(|| "s3cret".to_owned());
    let address = "http://git.example.org/acme/fleet";
    let found = Forge::find(address, Some(&choice), token).await.unwrap();
    let forge = found.unwrap();
    assert!(!forge.is_logged_in());
    assert!(forge.login_hint().contains("not https"));
}

#[tokio::test]
async fn a_token_of_one_server_is_not_shown_to_another() {
    let choice = Choice::Forge {
        kind: Kind::GitHub,
        web: Some("https://github.acme.example".into()),
    };
    let asked = Mutex::new(Vec::new());
    let token = |name: &str| {
        asked.lock().unwrap().push(name.to_owned());
        Some("s3cret".to_owned())
    };
    let address = "git@github.com:acme/fleet.git";
    Forge::find(address, Some(&choice), token).await.unwrap();
    let asked = asked.into_inner().unwrap();
    assert!(
        asked.contains(&"GH_ENTERPRISE_TOKEN".to_owned()),
        "{asked:?}"
    );
    assert!(!asked.contains(&"GH_TOKEN".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn an_application_cannot_choose_who_gets_a_token() {
    let answers: Answers = |_, path| match path {
        "/api/v4/version" => (401, r#"{"message": "401 Unauthorized"}"#.into()),
        _ => (404, "{}".into()),
    };
    let double = Double::start(answers);
    let address = format!("{}/acme/fleet", double.0.address);
    let token = |name: &str| (name == "GITLAB_TOKEN").then(|| "s3cret".to_owned());
    let forge = Forge::find(&address, None, token).await.unwrap().unwrap();
    assert_eq!(forge.kind, Kind::GitLab);
    let hint = forge.login_hint();
    assert!(hint.contains("GITLAB_HOST=127.0.0.1:"), "{hint}");
    let _ = forge.open_pull_request(&proposal()).await;
    let asked = double.asked();
    assert!(
        !asked.iter().any(|line| line.contains("s3cret")),
        "{asked:?}"
    );
}
