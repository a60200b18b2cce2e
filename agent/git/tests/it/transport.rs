//! Credentials, certificates, redirects, and what servers answer.

use base64::Engine as _;
use gitops_git::{
    ClientCertificate, Credentials, GitError, Limits, Mirror, ProxySettings, RepositoryAccess, Want,
};
use std::time::Duration;

use crate::http_server::{Answer, HttpServer, Options, Request, certificates};
use crate::origin::Origin;

fn access(url: String) -> RepositoryAccess {
    RepositoryAccess {
        url,
        ..crate::local::local()
    }
}

/// Lists refs through a mirror of its own.
fn list(origin: &Origin, access: RepositoryAccess) -> Result<usize, GitError> {
    let directory = tempfile::tempdir_in(origin.root()).unwrap();
    Mirror::open(directory.path(), access)?
        .list_refs()
        .map(|refs| refs.by_name.len())
}

fn wants(header: String) -> impl Fn(&Request) -> Answer + Send + Sync {
    move |request| {
        if request.header("authorization") == Some(&header) {
            return Answer::Git;
        }
        let challenge = vec![
            ("WWW-Authenticate", "Basic realm=\"git\"".to_owned()),
            ("Content-Type", "text/plain".to_owned()),
        ];
        Answer::Fixed(401, challenge, "HTTP Basic: Access denied".to_owned())
    }
}

fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"))
    )
}

#[test]
fn basic_and_bearer_credentials() {
    let (origin, first) = Origin::with_one_commit();
    let server = HttpServer::deciding(origin.root(), wants(basic("ada", "pa:ss/word")));
    let with = |password: &str| RepositoryAccess {
        credentials: Credentials::Basic {
            username: "ada".into(),
            password: password.into(),
        },
        ..access(server.url("repo.git"))
    };
    let mirror = origin.open(with("pa:ss/word"));
    mirror.fetch(&[Want::Ref("HEAD".into())]).unwrap();
    assert!(mirror.contains(&first).unwrap());
    // In the URL, as some users write it.
    let inline = server
        .url("repo.git")
        .replace("http://", "http://ada:pa%3Ass%2Fword@");
    assert_eq!(list(&origin, access(inline)).unwrap(), 1);

    // What a server says is repeated to whom it knows, or should know.
    for (wrong, said) in [
        (with("s3cret-wrong"), true),
        (access(server.url("repo.git")), false),
    ] {
        let error = list(&origin, wrong).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, GitError::Authentication { .. }), "{text}");
        assert!(text.contains("401") && !text.contains("s3cret"), "{text}");
        assert_eq!(text.contains("Access denied"), said, "{text}");
    }

    let server = HttpServer::deciding(origin.root(), wants("Bearer t0ken-abc".into()));
    let with = |token: &str| RepositoryAccess {
        credentials: Credentials::Bearer(token.into()),
        ..access(server.url("repo.git"))
    };
    assert_eq!(list(&origin, with("t0ken-abc")).unwrap(), 1);
    assert!(matches!(
        list(&origin, with("t0ken-xyz")),
        Err(GitError::Authentication { .. })
    ));
}

#[test]
fn statuses_become_errors_with_a_meaning() {
    let (origin, _) = Origin::with_one_commit();
    let error_of = |status: u16, kind: &str, body: &str| {
        let (kind, body) = (kind.to_owned(), body.to_owned());
        let server = HttpServer::deciding(origin.root(), move |_| {
            Answer::Fixed(status, vec![("Content-Type", kind.clone())], body.clone())
        });
        let access = RepositoryAccess {
            credentials: Credentials::Basic {
                username: "ada".into(),
                password: "s3cret".into(),
            },
            ..access(server.url("repo.git"))
        };
        let error = list(&origin, access).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        error
    };
    assert!(matches!(
        error_of(403, "text/plain", "no, not with s3cret"),
        GitError::Authentication { .. }
    ));
    assert!(matches!(
        error_of(404, "text/plain", "no such project"),
        GitError::RepositoryNotFound { .. }
    ));
    assert!(matches!(
        error_of(429, "text/html", "<html>"),
        GitError::Unreachable { .. }
    ));
    assert!(
        matches!(error_of(503, "text/plain", "back soon"), GitError::Unreachable { reason, .. } if reason.contains("back soon"))
    );
    assert!(matches!(
        error_of(200, "text/html", "<html>Log in"),
        GitError::Protocol { .. }
    ));
    assert!(matches!(
        error_of(
            200,
            "application/x-git-upload-pack-advertisement",
            "garbage"
        ),
        GitError::Protocol { .. }
    ));
    let missing = HttpServer::plain(origin.root());
    let error = list(&origin, access(missing.url("missing.git"))).unwrap_err();
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("missing.git") && error.to_string().contains("404"),
        "{error}"
    );
}

#[test]
fn servers_that_cannot_be_reached() {
    let (origin, _) = Origin::with_one_commit();
    let server = HttpServer::plain(origin.root());
    let url = server.url("repo.git");
    drop(server);
    assert!(matches!(
        list(&origin, access(url)),
        Err(GitError::Unreachable { .. })
    ));
    let error = list(&origin, access("https://host.invalid/repo.git".into())).unwrap_err();
    assert!(
        matches!(&error, GitError::Unreachable { reason, .. } if reason.contains("lookup") || reason.contains("resolved")),
        "{error}"
    );

    let silent = HttpServer::deciding(origin.root(), |_| Answer::Silence);
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let error = list(
        &origin,
        RepositoryAccess {
            limits,
            ..access(silent.url("repo.git"))
        },
    )
    .unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }), "{error}");
    let limits = Limits {
        total: Duration::from_millis(200),
        ..Limits::default()
    };
    let error = list(
        &origin,
        RepositoryAccess {
            limits,
            ..access(silent.url("repo.git"))
        },
    )
    .unwrap_err();
    assert!(matches!(error, GitError::Timeout { .. }), "{error}");
}

#[test]
fn only_the_right_authority_is_trusted() {
    let (origin, first) = Origin::with_one_commit();
    let right = certificates();
    let server = HttpServer::start(
        origin.root(),
        Options {
            tls: Some(right.server.clone()),
            ..Options::default()
        },
    );
    let with = |ca: Option<&str>, insecure_skip_tls| RepositoryAccess {
        ca_pem: ca.map(str::to_owned),
        insecure_skip_tls,
        ..access(server.url("repo.git"))
    };
    let mirror = origin.open(with(Some(&right.ca_pem), false));
    mirror
        .fetch(&[Want::Ref("refs/heads/main".into())])
        .unwrap();
    assert!(mirror.contains(&first).unwrap());
    for untrusted in [None, Some(certificates().ca_pem.as_str())] {
        let error = list(&origin, with(untrusted, false)).unwrap_err();
        assert!(matches!(error, GitError::Certificate { .. }), "{error}");
        assert!(error.to_string().contains("argocd-tls-certs-cm"), "{error}");
    }
    assert_eq!(list(&origin, with(None, true)).unwrap(), 1);
}

#[test]
fn client_certificates_are_presented() {
    let (origin, _) = Origin::with_one_commit();
    let issued = certificates();
    let tls = Some(issued.server_wanting_client.clone());
    let server = HttpServer::start(
        origin.root(),
        Options {
            tls,
            ..Options::default()
        },
    );
    let with = |client_certificate| RepositoryAccess {
        ca_pem: Some(issued.ca_pem.clone()),
        client_certificate,
        ..access(server.url("repo.git"))
    };
    let pair = ClientCertificate {
        certificate_pem: issued.client_certificate.clone(),
        key_pem: issued.client_key.clone(),
    };
    assert_eq!(list(&origin, with(Some(pair))).unwrap(), 1);
    let error = list(&origin, with(None)).unwrap_err();
    assert!(matches!(error, GitError::Authentication { .. }), "{error}");
    let other = certificates();
    let mismatched = ClientCertificate {
        certificate_pem: issued.client_certificate.clone(),
        key_pem: other.client_key,
    };
    let error = list(&origin, with(Some(mismatched))).unwrap_err();
    assert!(error.to_string().contains("do not fit"), "{error}");
}

#[test]
fn credentials_do_not_follow_redirects_to_other_hosts() {
    let (origin, first) = Origin::with_one_commit();
    let target = HttpServer::plain(origin.root());
    let base = target.url("repo.git");
    let server = HttpServer::deciding(origin.root(), move |request| {
        let tail = request.target.strip_prefix("/old.git").unwrap();
        Answer::Fixed(
            301,
            vec![("Location", format!("{base}{tail}"))],
            String::new(),
        )
    });
    let mirror = origin.open(RepositoryAccess {
        credentials: Credentials::Basic {
            username: "ada".into(),
            password: "s3cret".into(),
        },
        ..access(server.url("old.git"))
    });
    mirror
        .fetch(&[Want::Ref("refs/heads/main".into())])
        .unwrap();
    assert!(mirror.contains(&first).unwrap());
    let asked = server.take_requests();
    assert!(
        asked
            .iter()
            .all(|request| request.header("authorization").is_some()),
        "{asked:?}"
    );
    let followed = target.take_requests();
    assert!(
        followed.len() >= 3
            && followed
                .iter()
                .all(|request| request.header("authorization").is_none()),
        "{followed:?}"
    );
}

#[test]
fn credentials_stay_on_redirects_within_the_host() {
    let (origin, _) = Origin::with_one_commit();
    let authorized = wants(basic("ada", "pw-ada"));
    let server = HttpServer::deciding(origin.root(), move |request| {
        match request.target.strip_prefix("/old") {
            Some(tail) => Answer::Fixed(
                302,
                vec![("Location", format!("/repo.git{tail}"))],
                String::new(),
            ),
            None => authorized(request),
        }
    });
    let credentials = Credentials::Basic {
        username: "ada".into(),
        password: "pw-ada".into(),
    };
    assert_eq!(
        list(
            &origin,
            RepositoryAccess {
                credentials,
                ..access(server.url("old"))
            }
        )
        .unwrap(),
        1
    );
}

#[test]
fn redirects_to_web_pages_are_explained() {
    let (origin, _) = Origin::with_one_commit();
    let login = |_: &Request| {
        Answer::Fixed(
            302,
            vec![("Location", "/users/sign_in".to_owned())],
            String::new(),
        )
    };
    let server = HttpServer::deciding(origin.root(), login);
    let error = list(&origin, access(server.url("repo.git"))).unwrap_err();
    assert!(
        matches!(&error, GitError::Protocol { reason, .. } if reason.contains("sign_in")),
        "{error}"
    );
    let round = |request: &Request| {
        Answer::Fixed(
            302,
            vec![("Location", request.target.clone())],
            String::new(),
        )
    };
    let server = HttpServer::deciding(origin.root(), round);
    let error = list(&origin, access(server.url("repo.git"))).unwrap_err();
    assert!(error.to_string().contains("redirects"), "{error}");
}

#[test]
fn requests_go_through_the_configured_proxy() {
    let (origin, _) = Origin::with_one_commit();
    // Plain http is proxied by a request with the whole URL; that is enough to see where it goes.
    let proxy = HttpServer::deciding(origin.root(), |_| {
        Answer::Fixed(407, Vec::new(), String::new())
    });
    let with = |no_proxy: Option<&str>| RepositoryAccess {
        proxy: Some(ProxySettings {
            url: proxy.url("").replace("http://", "http://u:s3cret@"),
            no_proxy: no_proxy.unwrap_or_default().to_owned(),
        }),
        ..access("http://git.invalid/repo.git".into())
    };
    let error = list(&origin, with(None)).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!proxy.take_requests().is_empty(), "{text}");
    assert!(
        matches!(error, GitError::Unreachable { .. }) && !text.contains("s3cret"),
        "{text}"
    );
    let error = list(&origin, with(Some("git.invalid"))).unwrap_err();
    assert!(proxy.take_requests().is_empty(), "{error}");
}

#[test]
fn files_only_where_allowed() {
    let (origin, _) = Origin::with_one_commit();
    let refused = RepositoryAccess {
        allow_file: false,
        ..origin.file_access()
    };
    assert!(matches!(
        list(&origin, refused),
        Err(GitError::InvalidUrl { .. })
    ));
    let mut missing = origin.file_access();
    missing.url += "x";
    assert!(matches!(
        list(&origin, missing),
        Err(GitError::RepositoryNotFound { .. })
    ));
    let not_a_repository = RepositoryAccess {
        url: format!("file://{}", origin.work().display()),
        ..origin.file_access()
    };
    let error = list(&origin, not_a_repository).unwrap_err();
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error}"
    );
}
