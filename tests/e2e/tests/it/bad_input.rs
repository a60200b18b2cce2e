//! What every command says when something is wrong before it could begin: one error, what to do
//! next, the right exit code, nothing on standard output, and no secret.

use std::io::{Read, Write};
use std::net::TcpListener;

use futures::{StreamExt, stream};
use gitops_e2e::Person;
use gitops_e2e::cluster::Cluster;
use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::plugin::{Invocation, Outcome};
use gitops_e2e::world::unique;
use serde_json::{Value, json};

use crate::commands;
use crate::commands::{App, Command};

/// What no output may contain.
const SECRET: &str = "s3cr3t-t0k3n";

/// Runs command lines, a few at a time, and checks each outcome.
async fn all(lines: Vec<Invocation>, check: impl Fn(&Outcome)) {
    assert!(!lines.is_empty());
    let mut outcomes = stream::iter(lines.into_iter().map(Invocation::run)).buffer_unordered(4);
    while let Some(outcome) = outcomes.next().await {
        outcome.never_shows(SECRET);
        check(&outcome);
    }
}

/// Every command that asks the cluster, with further arguments.
fn readers(person: &Person, more: &[&str]) -> Vec<Invocation> {
    commands::readers()
        .map(|command| person.plugin(&[&command.about("web"), more].concat()))
        .collect()
}

/// A person with an administrator's kubeconfig whose user holds a secret.
async fn person() -> Person {
    let plane = ControlPlane::shared().await;
    Person::with_kubeconfig(plane.kubeconfig()).in_namespace("nowhere")
}

/// Another kubeconfig for another cluster or user.
fn other(person: &Person, name: &str, change: impl FnOnce(&mut Value)) -> String {
    person.other_kubeconfig(name, |config| {
        config["users"][0]["user"] = json!({"token": SECRET});
        change(config);
    })
}

fn server(url: &str) -> impl FnOnce(&mut Value) {
    move |config| config["clusters"][0]["cluster"] = json!({"server": url})
}

#[tokio::test]
async fn kubeconfigs_that_cannot_be_used() {
    let nobody = Person::new();
    all(readers(&nobody, &[]), |outcome| {
        outcome
            .fails(2)
            .says("there is no kubeconfig")
            .says("hint: ");
    })
    .await;

    let person = person().await;
    let broken = person.writes("broken", &format!("users: [{{name: u, token: {SECRET}]\n"));
    let broken = broken.to_string_lossy().into_owned();
    let binary = person.writes("binary", "\u{0}\u{1b}[31m\u{7f}");
    let binary = binary.to_string_lossy().into_owned();
    let scalar = person
        .writes("scalar", SECRET)
        .to_string_lossy()
        .into_owned();
    let empty = person.writes("empty", "").to_string_lossy().into_owned();
    let folder = person.path("work").to_string_lossy().into_owned();
    let incomplete = other(&person, "incomplete", |config| {
        config["clusters"] = json!([]);
    });
    let nameless = other(&person, "nameless", |config| config["users"] = json!([]));
    let no_context = other(&person, "no-context", |config| {
        config["current-context"] = json!("");
    });
    let bad_url = other(&person, "bad-url", server("https://:not a url"));
    let ca_file = other(&person, "ca-file", |config| {
        config["clusters"][0]["cluster"] =
            json!({"server": "https://127.0.0.1:1", "certificate-authority": "/does/not/exist"});
    });
    let table: &[(&[&str], &str)] = &[
        (&["--kubeconfig", "/does/not/exist"], "/does/not/exist"),
        (&["--kubeconfig", &broken], "line 1"),
        (&["--kubeconfig", &binary], "binary"),
        (&["--kubeconfig", &scalar], "scalar"),
        (&["--kubeconfig", &empty], "context"),
        (&["--kubeconfig", &folder], "work"),
        (&["--kubeconfig", &incomplete], "cluster"),
        (&["--kubeconfig", &nameless], "user"),
        (&["--kubeconfig", &no_context], "--context"),
        (&["--kubeconfig", &bad_url], "kubeconfig"),
        (&["--kubeconfig", &ca_file], "/does/not/exist"),
        (&["--context", "prod-eu"], "did you mean prod-eu1?"),
        (&["--context", "elsewhere"], "kubectl config get-contexts"),
        (&["--cluster", "elsewhere"], "elsewhere"),
        (&["--user", "elsewhere"], "elsewhere"),
    ];
    for (more, expected) in table {
        all(readers(&person, more), |outcome| {
            outcome.fails(2).says(expected);
        })
        .await;
    }
}

#[tokio::test]
async fn clusters_that_cannot_be_reached() {
    let person = person().await;
    let refused = other(&person, "refused", server("https://127.0.0.1:1"));
    all(readers(&person, &["--kubeconfig", &refused]), |outcome| {
        outcome
            .fails(3)
            .says("cannot reach the cluster")
            .says("hint: ");
        outcome.says("https://127.0.0.1:1").says("refused");
    })
    .await;
    let unknown = other(
        &person,
        "unknown",
        server("https://no-such-host.invalid:6443"),
    );
    all(readers(&person, &["--kubeconfig", &unknown]), |outcome| {
        outcome.fails(3).says("no-such-host.invalid").says("hint: ");
    })
    .await;
    let stranger = other(&person, "stranger", |config| {
        let cluster = &mut config["clusters"][0]["cluster"];
        *cluster = json!({"server": cluster["server"]});
    });
    let bad_ca = other(&person, "bad-ca", |config| {
        config["clusters"][0]["cluster"]["certificate-authority-data"] = json!("bm90IGEgY2VydA==");
    });
    for path in [stranger, bad_ca] {
        all(readers(&person, &["--kubeconfig", &path]), |outcome| {
            outcome.fails(3).says("certificate").says("hint: ");
        })
        .await;
    }

    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let silence = other(&person, "silence", server(&address));
    let more = ["--kubeconfig", &silence, "--request-timeout", "300ms"];
    all(readers(&person, &more), |outcome| {
        outcome.fails(3).says("did not answer within 0.3s");
        outcome.says("--request-timeout");
    })
    .await;

    // Something that is no API server.
    let page = answering("200 OK", "text/html", "<html>\u{1b}[31mLog in</html>");
    let page = other(&person, "page", server(&page));
    all(readers(&person, &["--kubeconfig", &page]), |outcome| {
        outcome.fails(3);
    })
    .await;
    let proxy = answering(
        "502 Bad Gateway",
        "text/html",
        "<html>\u{1b}[31mdown</html>",
    );
    let proxy = other(&person, "proxy", server(&proxy));
    all(readers(&person, &["--kubeconfig", &proxy]), |outcome| {
        outcome.fails(3).says("502");
    })
    .await;
}

/// A server that answers everything the same.
fn answering(status: &str, content: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 8192];
            // Whoever hangs up early has its answer.
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[tokio::test]
async fn credentials_that_do_not_do() {
    let plane = ControlPlane::shared().await;
    let namespace = unique("credentials");
    plane.namespace(&namespace).await;
    let person = person().await;
    let expired = other(&person, "expired", |_| {});
    all(readers(&person, &["--kubeconfig", &expired]), |outcome| {
        outcome.fails(3).says("does not accept your credentials");
        outcome.says("hint: log in again");
    })
    .await;

    let token = plane.account(&namespace, "stranger").await;
    let stranger = Person::new().in_namespace(&namespace);
    stranger.writes_kubeconfig(plane.kubeconfig_of(&json!({"token": token})));
    all(readers(&stranger, &[]), |outcome| {
        outcome.fails(3).says("you may not").says("hint: ");
        outcome.never_shows(&token);
    })
    .await;
    all(
        readers(&person, &["--as", "eve", "--as-group", "guests"]),
        |outcome| {
            outcome.fails(3).says("you may not").says("hint: ");
        },
    )
    .await;

    let program = |text: &str| {
        json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh",
            "args": ["-c", text, SECRET], "interactiveMode": "Never",
        }})
    };
    let said = format!("echo {SECRET}; printf 'session \\033[31mexpired' >&2; exit 4");
    let nonsense = format!("echo {SECRET}");
    let missing = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login-program",
        "interactiveMode": "Never",
    }});
    for (name, user, expected) in [
        ("exec-fails", program(&said), "expired"),
        ("exec-nonsense", program(&nonsense), "credentials program"),
        ("exec-missing", missing, "credentials program"),
    ] {
        let path = other(&person, name, |config| config["users"][0]["user"] = user);
        all(readers(&person, &["--kubeconfig", &path]), |outcome| {
            outcome.fails(3).says(expected).says("hint: ");
        })
        .await;
    }

    let reader = plane.account(&namespace, "reader").await;
    let read = json!([
        {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list"]},
    ]);
    plane.allow(&namespace, (&namespace, "reader"), read).await;
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": reader},
    });
    stranger.script("login", &format!("cat <<'END'\n{credential}\nEND"));
    let works = stranger.other_kubeconfig("exec-works", |config| {
        config["users"][0]["user"] = json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "login",
            "interactiveMode": "Never",
        }});
    });
    let status = stranger.gitops(&["status", "--kubeconfig", &works]);
    status.run().await.exits(0).says("no Applications");
}

#[tokio::test]
async fn clusters_without_the_definitions() {
    let cluster = Cluster::up("fake", &[]);
    let person = Person::with_kubeconfig(&cluster.kubeconfig());
    let about_applications = |command: &&Command| command.app != App::No;
    let lines = commands::readers().filter(about_applications);
    let lines = lines.map(|command| person.plugin(&command.about("web")));
    all(lines.collect(), |outcome| {
        outcome
            .fails(3)
            .says("the Application CRD is not installed")
            .says("hint: ");
    })
    .await;
}

#[tokio::test]
async fn applications_that_are_not_there() {
    let plane = ControlPlane::shared().await;
    let namespace = unique("names");
    plane.namespace(&namespace).await;
    let application = |name: &str| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "x"},
                "source": {"repoURL": "https://example.invalid/x", "path": ".", "targetRevision": "main"},
            },
        })
    };
    for name in ["checkout", "web"] {
        plane.apply_value_as("gitops-e2e", application(name)).await;
    }
    let person = Person::with_kubeconfig(plane.kubeconfig()).in_namespace(&namespace);
    let elsewhere = unique("elsewhere");
    plane.namespace(&elsewhere).await;
    let named = || commands::readers().filter(|command| command.app != App::No);
    let lines = |app: &str, more: &[&str]| -> Vec<Invocation> {
        let line = |command: &Command| person.plugin(&[&command.about(app), more].concat());
        named().map(line).collect()
    };
    let table: &[(&str, &[&str], &str)] = &[
        ("chekout", &[], "did you mean checkout?"),
        ("nothing-like-it", &[], "kubectl gitops status"),
        ("\u{1b}[31mweb", &[], "names no Application"),
        ("web?x=y", &[], "names no Application"),
        ("Web", &[], "did you mean web?"),
        ("", &[], "NAME or NAMESPACE/NAME"),
        ("a/b/c", &[], "a/b/c"),
        ("other/web", &["-n", "team"], "different namespaces"),
        ("web", &["-n", &elsewhere], &namespace),
    ];
    for (app, more, expected) in table {
        all(lines(app, more), |outcome| {
            outcome.fails(2).says(expected);
        })
        .await;
    }
}

#[tokio::test]
async fn flags_that_make_no_sense() {
    let person = person().await;
    for command in commands::ALL {
        let mut table: Vec<(Vec<&str>, &str)> = vec![
            (vec!["--no-such-flag"], "--no-such-flag"),
            (vec!["--contxt", "x"], "--context"),
            (vec!["--request-timeout", "soon"], "10s, 2m, 0"),
            (vec!["--context"], "--context"),
            (vec!["-n", "a/b"], "namespace"),
            (vec!["-n", "a?b"], "namespace"),
        ];
        if command.app != App::Several {
            table.push((vec!["one", "two", "three"], "unexpected argument"));
        }
        if command.document.is_some() {
            table.push((vec!["-o", "xml"], "json"));
            table.push((vec!["-o", "json\u{1b}[31m"], "json"));
            table.push((vec!["-o"], "-o"));
        }
        for (more, expected) in table {
            let line = person.plugin(&[&command.about("web"), more.as_slice()].concat());
            all(vec![line], |outcome| {
                outcome.fails(2).says(expected);
            })
            .await;
        }
        if [App::Needed, App::Several].contains(&command.app) {
            let line = person.plugin(&[command.name]);
            all(vec![line], |outcome| {
                outcome.fails(2).says("APP");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn subcommands_that_are_not_there() {
    let person = Person::new();
    person
        .gitops(&["statsu"])
        .run()
        .await
        .fails(2)
        .says("status");
    person.gitops(&["\u{1b}[31m"]).run().await.fails(2);
    // One of somebody else's on PATH is run, with everything that follows.
    person.script("kubectl-gitops-weather", "echo \"fine: $*\"; exit 7");
    let other = ["weather", "-n", "x", "--city", "Oslo"];
    let found = person.gitops(&other).run().await;
    found.exits(7).prints("fine: -n x --city Oslo").is_quiet();
    let found = person.plugin(&other).run().await;
    found.exits(7).prints("fine: -n x --city Oslo").is_quiet();
}

#[tokio::test]
async fn readers_that_have_seen_enough() {
    let plane = ControlPlane::shared().await;
    let person = Person::with_kubeconfig(plane.kubeconfig());
    for words in [["status", "--help"], ["status", "-A"]] {
        let pipe = person
            .plugin(&words)
            .in_script("\"$@\" | true; exit ${PIPESTATUS[0]}");
        pipe.run().await.exits(0).is_plain();
        let closed = person.plugin(&words).in_script("exec \"$@\" >&-");
        closed.run().await.is_plain();
    }
    let full = person.plugin(&["status", "-A", "-o", "json"]);
    let full = full.in_script("exec \"$@\" >/dev/full").run().await;
    full.fails(2).says("cannot write to standard output");
}
