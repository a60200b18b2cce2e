//! What holds for every command: help with examples, a program of its own, kubectl's flags before
//! and after it, plain text where nobody looks, and documents a program can read.

use std::net::TcpListener;

use gitops_e2e::manifests::config_map;
use gitops_e2e::person::CONTEXT;
use gitops_e2e::{Person, World};
use serde_json::json;

use crate::commands;

/// The subcommands that a help text lists.
fn listed(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

#[tokio::test]
async fn the_table_of_commands_is_complete() {
    let help = Person::new().gitops(&["--help"]).run().await;
    help.exits(0).is_quiet().is_plain();
    let mut known: Vec<&str> = commands::ALL.iter().map(|command| command.name).collect();
    let mut listed = listed(&help.stdout);
    known.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, known, "left: the help, right: tests/it/commands.rs");
    Person::new()
        .gitops(&[])
        .run()
        .await
        .exits(2)
        .prints_nothing();
}

#[tokio::test]
async fn help_has_examples_and_is_the_same_in_both_programs() {
    let person = Person::new();
    for command in commands::ALL {
        let help = person.gitops(&[command.name, "--help"]).run().await;
        help.exits(0).is_quiet().is_plain();
        help.prints(&format!("Usage: kubectl gitops {}", command.name));
        help.prints("Examples:");
        help.prints(&format!("  kubectl gitops {}", command.name));
        for flag in [
            "--namespace",
            "--context",
            "--kubeconfig",
            "--request-timeout",
        ] {
            help.prints(flag);
        }
        let wide = help.stdout.lines().find(|line| line.chars().count() > 100);
        help.check(wide.is_none(), &format!("has short lines, not {wide:?}"));
        // Examples are of commands there are.
        let examples = help.stdout.lines().map(str::trim);
        for example in examples.filter_map(|line| line.strip_prefix("kubectl gitops ")) {
            let first = example.split_whitespace().next().unwrap_or_default();
            let known = commands::ALL.iter().any(|other| other.name == first);
            help.check(known, &format!("has examples that work, not {example:?}"));
        }

        let program = format!("kubectl-gitops-{}", command.name);
        person.installs(&program);
        let own = person.gitops(&[command.name, "--help"]).run().await;
        own.exits(0).is_quiet();
        // A program has a version, a subcommand has its suite's.
        let version = "  -V, --version\n          Print version\n\n";
        own.prints(version);
        let same = own.stdout.replace(version, "");
        assert_eq!(same, help.stdout, "help of {program}");
        let direct = person.types(&[&program, "--version"]).run().await;
        direct.exits(0).prints(env!("CARGO_PKG_VERSION"));
        person.removes(&program);
    }
}

#[tokio::test]
async fn flags_of_kubectl_work_before_and_after_every_command() {
    let person = Person::new();
    person.writes_kubeconfig(json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"user": {}}],
    }));
    let kubeconfig = person.path(".kube/config").to_string_lossy().into_owned();
    std::fs::rename(&kubeconfig, person.path("other")).unwrap();
    let kubeconfig = person.path("other").to_string_lossy().into_owned();
    for command in commands::readers() {
        let flags = [
            "-n",
            "team",
            "--context",
            CONTEXT,
            "--kubeconfig",
            &kubeconfig,
        ];
        let words = command.about("web");
        for line in [[&words[..], &flags].concat(), [&flags[..], &words].concat()] {
            let outcome = person.plugin(&line).run().await;
            outcome.fails(3).says("http://127.0.0.1:1").says(CONTEXT);
        }
    }
}

#[tokio::test]
async fn output_fits_whoever_reads_it() {
    let world = World::new("readers").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("web").repo(&repo).automated().create().await;
    app.healthy().await;
    let person = world.person();
    for command in commands::readers() {
        let words = command.about("web");
        let piped = person.plugin(&words).run().await;
        piped.is_plain();
        let ascii = person.plugin(&words).with("LC_ALL", "C");
        let ascii = ascii.on_terminal(100, 40).ends().await;
        ascii.is_tidy().check(ascii.screen.is_ascii(), "is ASCII");
        let grey = person.plugin(&words).with("NO_COLOR", "1");
        let grey = grey.on_terminal(100, 40).ends().await;
        grey.is_tidy()
            .check(!grey.bytes.contains("\u{1b}[3"), "has no color");
        let narrow = person.plugin(&words).on_terminal(40, 60);
        narrow.ends().await.is_tidy();
        let Some(name) = command.document else {
            continue;
        };
        let json = person.plugin(&[&words[..], &["-o", "json"]].concat());
        let json = json.run().await;
        let version = json!(format!("gitops-agent.io/{name}.v1"));
        json.check(json.json()["version"] == version, "has a version");
    }
}

#[tokio::test]
async fn every_command_ends_at_once_when_interrupted() {
    let person = Person::new();
    for command in commands::readers() {
        // Takes the request, and never answers it.
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", server.local_addr().unwrap());
        person.writes_kubeconfig(json!({
            "apiVersion": "v1", "kind": "Config",
            "clusters": [{"cluster": {"server": address}}], "users": [{"user": {}}],
        }));
        let words = [command.about("web"), vec!["--request-timeout", "0"]].concat();
        let mut terminal = person.gitops(&words).on_terminal(80, 24);
        let asked = tokio::task::spawn_blocking(move || (server.accept(), server)).await;
        terminal.interrupt();
        terminal.ends().await.exits(130).is_tidy();
        // The server listens until then: a second connection must not be refused.
        let (asked, _server) = asked.unwrap();
        asked.unwrap();
    }
    assert_eq!(person.leftovers(), Vec::<String>::new());
}
