//! What comes from a repository or from a cluster is text to every command: it neither drives the
//! terminal nor forges lines, and values of Secrets are not in it.

use gitops_e2e::World;
use gitops_e2e::plugin::Outcome;
use serde_json::json;

use crate::commands;
use crate::commands::{App, Command};

/// Sets a title, rings, reddens, goes up and deletes a line.
const CODES: &str = "\u{1b}]0;owned\u{7}\u{1b}[35mred\u{1b}[1A\u{1b}[2J\u{202e}";
/// The value of a Secret in Git, and one somebody wrote over it.
const IN_GIT: &str = "hunter2-in-git";
const LIVE: &str = "hunter2-live";

/// Every command about an Application, in every form it has.
fn lines<'a>(command: &Command) -> Vec<Vec<&'a str>> {
    let words = command.about("web");
    let words: Vec<&'a str> = match command.name {
        "wait" => [&words[..], &["--timeout", "2s"]].concat(),
        "rollback" => [&words[..], &["--dry-run"]].concat(),
        _ => words,
    };
    let forms: &[&[&str]] = match command.document {
        Some(_) => &[
            &[],
            &["-o", "wide"],
            &["-o", "name"],
            &["-o", "json"],
            &["-o", "yaml"],
        ],
        None => &[&[]],
    };
    let mut lines: Vec<Vec<&str>> = forms.iter().map(|form| [&words, *form].concat()).collect();
    if command.name == "diff" {
        lines.push([&words[..], &["--full"]].concat());
    }
    lines
}

fn shows_no_secret(outcome: &Outcome) {
    for value in [IN_GIT, LIVE] {
        outcome.never_shows(value);
        outcome.never_shows(&base64(value));
    }
}

fn base64(text: &str) -> String {
    serde_json::to_value(k8s_openapi::ByteString(text.into()))
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn nothing_drives_the_terminal_and_no_secret_is_shown() {
    let world = World::new("hostile").await;
    let repo = world.repo("config");
    let settings = |name: &str, value: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"value": value},
        })
        .to_string()
    };
    let secret = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"},
            "stringData": {"key": value},
        })
        .to_string()
    };
    std::fs::write(repo.path().join("a.json"), settings("settings", "plain")).unwrap();
    std::fs::write(repo.path().join("s.json"), secret(IN_GIT)).unwrap();
    repo.git(&["add", "-A"]);
    let author = format!("--author={CODES} Eve <eve@example.com>");
    let subject = format!("Release {CODES}\n\nerror: forged");
    repo.git(&["commit", "-q", &author, "-m", &subject]);
    repo.push(&["HEAD"]);
    let app = world.app("web").repo(&repo).automated().create().await;
    app.healthy().await;

    // From now on Git and the cluster differ, and nobody heals.
    app.patch(json!({"spec": {"syncPolicy": null}})).await;
    let changed = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": world.target}, "data": {"value": CODES},
    });
    world.plane.apply_value_as("eve", changed).await;
    let changed = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "token", "namespace": world.target}, "stringData": {"key": LIVE},
    });
    world.plane.apply_value_as("eve", changed).await;
    std::fs::write(repo.path().join("b.json"), settings("more", CODES)).unwrap();
    let commit = repo.commit_all(&format!("Second {CODES}"));
    app.compared_to(&commit).await;

    let person = world.person();
    let about = |command: &&Command| command.app != App::No;
    for command in commands::readers().filter(about) {
        for words in lines(command) {
            let piped = person.plugin(&words).run().await;
            piped.is_plain();
            // A document holds its texts whole.
            if !words.iter().any(|word| ["json", "yaml"].contains(word)) {
                piped.never_shows("\u{202e}");
            }
            shows_no_secret(&piped);
            piped.check(
                !piped.stderr.contains("\nerror: forged"),
                "forges no error of ours",
            );
        }
        let mut words = lines(command).swap_remove(0);
        words.push("--color=always");
        let seen = person.plugin(&words).on_terminal(100, 60).ends().await;
        seen.is_tidy();
        for piece in ["\u{7}", "\u{1b}]0;", "\u{1b}[1A\u{1b}[2J", "\u{202e}"] {
            seen.check(!seen.bytes.contains(piece), "passes no escape code on");
        }
    }
}

#[tokio::test]
async fn errors_of_a_repository_are_one_line_each() {
    let world = World::new("hostile-errors").await;
    let repo = world.repo("config");
    let name = format!("settings{CODES}\nerror: forged");
    let broken = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    repo.write("a.json", &broken.to_string());
    let app = world.app("web").repo(&repo).automated().create().await;
    app.condition("ComparisonError", &["a.json", "cannot be a name"])
        .await;
    let person = world.person();
    let about = |command: &&Command| command.app != App::No;
    for command in commands::readers().filter(about) {
        for words in lines(command) {
            let outcome = person.plugin(&words).run().await;
            outcome.is_plain();
            let lines = outcome.stdout.lines().chain(outcome.stderr.lines());
            let forged = lines.filter(|line| line.trim() == "error: forged");
            outcome.check(forged.count() == 0, "forges no line");
        }
    }
}
