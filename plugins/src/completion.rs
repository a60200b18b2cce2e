//! What the shell offers on Tab: subcommands, flags, and the names in the cluster, as far as they
//! are known within a second.
//!
//! Speaks the protocols of shells through clap's engine, and cobra's, which kubectl asks its
//! plugins in. Never says anything on standard error: it would end up between what is typed.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Command, FromArgMatches};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate, complete};
use gitops_api::AppProject;
use gitops_kit::text;
use kube::Api;
use kube::api::ListParams;

use crate::cluster::application;
use crate::cluster::connection::{Connection, ConnectionArgs};

/// Set by the shells' scripts when they ask.
pub const VARIABLE: &str = "KUBECTL_GITOPS_COMPLETE";
/// First argument when kubectl's shim asks.
pub const WORD: &str = "__complete";
/// Longest wait for names in the cluster.
const NAMES_TIMEOUT: Duration = Duration::from_secs(1);
/// Tells kubectl not to offer files.
const NO_FILES: &str = ":4";

/// Answers when a shell or kubectl asks; `None` when nobody does. `definition`: the program.
pub fn answer(definition: &Command, arguments: &[OsString]) -> Option<String> {
    if arguments.get(1).is_some_and(|word| word == WORD) {
        return Some(for_kubectl(definition, arguments));
    }
    // The scripts put what is typed after a `--`.
    let typed = arguments.iter().position(|word| word == "--")? + 1;
    std::env::var_os(VARIABLE)?;
    let words = arguments.get(typed..).unwrap_or_default().to_vec();
    let asked = CompleteEnv::with_factory(|| with_names(definition, &words))
        .var(VARIABLE)
        .try_complete(arguments.to_vec(), std::env::current_dir().ok().as_deref());
    // What cannot be completed is typed.
    asked.ok().map(|_| String::new())
}

/// Candidates a line, with what they are after a tab, then what to do with them.
fn for_kubectl(definition: &Command, arguments: &[OsString]) -> String {
    let mut words = vec![OsString::from(definition.get_name())];
    words.extend(arguments.get(2..).unwrap_or_default().iter().cloned());
    if words.len() == 1 {
        words.push(OsString::new());
    }
    // Of a command and its alias only one is offered; let it be the command.
    let mut definition = with_names(definition, &words)
        .mut_subcommands(|command| command.visible_alias(clap::builder::Resettable::Reset));
    let last = words.len() - 1;
    let is_flag = words[last].to_string_lossy().starts_with('-');
    let candidates = complete(
        &mut definition,
        words,
        last,
        std::env::current_dir().ok().as_deref(),
    );
    lines(candidates.unwrap_or_default(), is_flag)
}

fn lines(candidates: Vec<CompletionCandidate>, is_flag: bool) -> String {
    let mut output = String::new();
    for candidate in candidates {
        let value = candidate.get_value().to_string_lossy();
        if candidate.is_hide_set() || (value.starts_with('-') && !is_flag) {
            continue;
        }
        output.push_str(&text::one_line(&value));
        let help = candidate.get_help().map(ToString::to_string);
        if let Some(help) = help.as_deref().and_then(|help| help.lines().next()) {
            output.push('\t');
            output.push_str(&text::one_line(help));
        }
        output.push('\n');
    }
    output.push_str(NO_FILES);
    output.push('\n');
    output
}

/// The definition with names of the cluster as values of APP, `-n` and `--context`.
fn with_names(definition: &Command, words: &[OsString]) -> Command {
    let flags = Arc::new(flags(definition, words));
    add_names(definition.clone(), &flags)
}

fn add_names(mut command: Command, flags: &Arc<ConnectionArgs>) -> Command {
    let ids: Vec<(String, Kind)> = command
        .get_arguments()
        .filter_map(|argument| {
            let value = argument.get_value_names()?.first()?.as_str();
            let kind = match (value, argument.get_long()) {
                ("APP" | "APP|KIND/NAME", _) => Kind::Application,
                (_, Some("output")) => Kind::Format,
                (_, Some("project")) => Kind::Project,
                (_, Some("namespace")) => Kind::Namespace,
                (_, Some("context")) => Kind::Context,
                _ => return None,
            };
            Some((argument.get_id().to_string(), kind))
        })
        .collect();
    for (id, kind) in ids {
        let flags = Arc::clone(flags);
        command = command.mut_arg(id, |argument| {
            argument.add(ArgValueCandidates::new(move || candidates(kind, &flags)))
        });
    }
    let names: Vec<String> = command
        .get_subcommands()
        .map(|subcommand| subcommand.get_name().to_owned())
        .collect();
    for name in names {
        command = command.mut_subcommand(name, |subcommand| add_names(subcommand, flags));
    }
    command
}

/// The connection flags among words that are not complete yet.
fn flags(definition: &Command, words: &[OsString]) -> ConnectionArgs {
    let typed = words.split_last().map_or(&[][..], |(_, typed)| typed);
    let parsed = definition
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(typed);
    let Ok(matches) = parsed else {
        return ConnectionArgs::default();
    };
    let mut innermost: &ArgMatches = &matches;
    while let Some((_, inner)) = innermost.subcommand() {
        // The arguments of an extension are no flags of ours.
        if inner.try_contains_id("namespace").is_err() {
            break;
        }
        innermost = inner;
    }
    ConnectionArgs::from_arg_matches(innermost).unwrap_or_default()
}

#[derive(Clone, Copy)]
enum Kind {
    Application,
    Namespace,
    Context,
    Project,
    /// Of the output.
    Format,
}

fn candidates(kind: Kind, flags: &ConnectionArgs) -> Vec<CompletionCandidate> {
    let names = match kind {
        Kind::Context => flags.contexts(),
        Kind::Format => ["table", "wide", "json", "yaml", "name", "jsonpath="]
            .map(str::to_owned)
            .to_vec(),
        Kind::Application | Kind::Namespace | Kind::Project => from_cluster(kind, flags),
    };
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn from_cluster(kind: Kind, flags: &ConnectionArgs) -> Vec<String> {
    // Fails only when a provider is there already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let asked = runtime.block_on(async {
        tokio::time::timeout(NAMES_TIMEOUT, async {
            let connection = flags.connect().await.ok()?;
            Some(names(kind, flags, &connection).await)
        })
        .await
    });
    runtime.shutdown_background();
    asked.ok().flatten().unwrap_or_default()
}

async fn names(kind: Kind, flags: &ConnectionArgs, connection: &Connection) -> Vec<String> {
    let mut names: Vec<String> = if matches!(kind, Kind::Namespace) {
        let all = application::everywhere(connection).await;
        let all = all.unwrap_or_default().into_iter();
        all.map(|(namespace, _)| namespace).collect()
    } else if matches!(kind, Kind::Project) {
        let namespace = application::namespace(flags, connection).await;
        let projects: Api<AppProject> = Api::namespaced(connection.client.clone(), &namespace);
        let found = projects.list_metadata(&ListParams::default()).await;
        let found = found.map(|list| list.items).unwrap_or_default();
        let names = found
            .into_iter()
            .filter_map(|project| project.metadata.name);
        names.collect()
    } else {
        let namespace = application::namespace(flags, connection).await;
        let found = application::names(&namespace, connection).await;
        found.unwrap_or_default()
    };
    names.sort();
    names.dedup();
    names
}

/// The script by which kubectl asks: `program` answers.
pub fn shim(program: &str) -> String {
    if cfg!(windows) {
        format!("@{program}.exe {WORD} %*\r\n")
    } else {
        format!(
            "#!/bin/sh\n# Asked by kubectl for completions of its plugin.\nexec {program} {WORD} \"$@\"\n"
        )
    }
}

/// Name of the file that kubectl looks for on PATH, for a program of the suite.
pub fn shim_name(program: &str) -> String {
    let name = program.replacen("kubectl-", "kubectl_complete-", 1);
    if cfg!(windows) { name + ".cmd" } else { name }
}

/// Whether a file is a shim of this program's making.
pub fn is_shim(content: &[u8]) -> bool {
    let content = String::from_utf8_lossy(content);
    content.contains(WORD) && content.contains("kubectl-gitops")
}

/// Whether a directory is on PATH.
pub fn is_on_path(directory: &std::path::Path, path: &OsStr) -> bool {
    std::env::split_paths(path).any(|entry| entry == directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> String {
        let mut arguments = vec!["kubectl-gitops".into(), OsString::from(WORD)];
        arguments.extend(words.iter().map(OsString::from));
        for_kubectl(&crate::commands::Program::Suite.definition(), &arguments)
    }

    #[test]
    fn subcommands_are_offered_with_what_they_do() {
        let all = asked(&[""]);
        assert!(all.contains("status\tShow what is deployed"), "{all}");
        assert!(all.ends_with("\n:4\n"), "{all}");
        assert!(!all.lines().any(|line| line.starts_with('-')), "{all}");
        let some = asked(&["st"]);
        assert!(some.starts_with("status\t"), "{some}");
        assert!(!some.contains("sync"), "{some}");
    }

    #[test]
    fn flags_are_offered_when_one_is_begun() {
        let flags = asked(&["status", "--no-h"]);
        assert!(flags.starts_with("--no-headers\t"), "{flags}");
        let values = asked(&["status", "--color", "n"]);
        assert!(values.starts_with("never"), "{values}");
    }

    #[test]
    fn flags_are_found_before_and_after_the_subcommand() {
        let found = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            flags(&crate::commands::Program::Suite.definition(), &words)
        };
        let before = found(&["kubectl-gitops", "-n", "a", "status", ""]);
        assert_eq!(before.namespace.as_deref(), Some("a"));
        let after = found(&["kubectl-gitops", "status", "--context", "b", ""]);
        assert_eq!(after.context.as_deref(), Some("b"));
        assert_eq!(found(&["kubectl-gitops", "nonsense", ""]).namespace, None);
    }

    #[test]
    fn shims_are_named_as_kubectl_looks_for_them() {
        if cfg!(unix) {
            assert_eq!(shim_name("kubectl-gitops"), "kubectl_complete-gitops");
            assert_eq!(
                shim_name("kubectl-gitops-status"),
                "kubectl_complete-gitops-status"
            );
        }
        assert!(is_shim(shim("kubectl-gitops").as_bytes()));
        assert!(!is_shim(b"#!/bin/sh\nexec other \"$@\"\n"));
    }
}
