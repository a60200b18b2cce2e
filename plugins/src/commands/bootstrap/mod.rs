//! `bootstrap`: checks, plans, asks, and then brings the agent into a cluster and under the control
//! of Git. Checks and decisions are in `crate::bootstrap`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gitops_api::constants::DEFAULT_NAMESPACE;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::output::{Form, parse_form, print};
use gitops_kit::progress::Progress;
use gitops_kit::prompt;
use gitops_kit::terminal::{ColorChoice, View};

use crate::cluster::connection::{ConnectionArgs, parse_duration};
use crate::commands::bootstrap::access::Offer;
use crate::commands::bootstrap::check::{Ready, check};
use crate::commands::bootstrap::execute::{Manner, Outcome, execute};
use crate::commands::bootstrap::export::export;
use crate::commands::bootstrap::image::Image;
use crate::commands::bootstrap::layout::{Change, Layout};
use crate::commands::bootstrap::manifests::{Choice, Installation};
use crate::commands::bootstrap::options::BootstrapOptions;

pub mod access;
pub mod check;
pub mod cluster;
pub mod controllers;
pub mod credentials;
pub mod execute;
pub mod export;
pub mod image;
pub mod known_hosts;
pub mod layout;
pub mod manifests;
pub mod options;
pub mod permissions;
pub mod plan;
pub mod secret;
pub mod source;
pub mod take_over;
pub mod verdict;
mod waiting;

/// Longest token read.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

/// Install the agent and put it under the control of Git, with one commit
///
/// Checks everything first (cluster, permissions, other GitOps controllers, read and write access to
/// the repository, files that are there), shows the plan and asks. Then pushes one commit to the
/// directory DIR, applies the agent, gives it credentials if the repository needs them, and waits until
/// the agent delivers itself from that commit. Put your Applications into DIR: the Application root
/// delivers every manifest there.
///
/// Run it again to upgrade, to repair, or after an interruption: it changes what differs only.
///
/// Examples:
///   kubectl gitops bootstrap --repo https://github.com/acme/fleet --path clusters/prod
///   kubectl gitops bootstrap --repo git@github.com:acme/fleet --path clusters/prod   with a deploy key
///   kubectl gitops bootstrap --repo … --path … --token-stdin --username ana --yes < token
///   kubectl gitops bootstrap --repo … --path … --pr            protected branch: a pull request
///   kubectl gitops bootstrap --repo … --path … --dry-run --show    only look
///   kubectl gitops bootstrap --repo … --path … --adopt         take over from a running Argo CD
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct BootstrapArgs {
    /// Address of the repository, as the agent will read it
    #[arg(long, value_name = "URL")]
    pub repo: String,

    /// Directory of this cluster in the repository, such as clusters/prod
    #[arg(long, value_name = "DIR")]
    pub path: String,

    /// Branch [default: the one the server shows first]
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,

    /// The agent's image [default: the one of this version, or the one in use if it is from elsewhere]
    #[arg(long, value_name = "IMAGE", value_parser = parse_image)]
    pub image: Option<Image>,

    /// Check and show the plan, change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Show the files of the commit
    #[arg(long)]
    pub show: bool,

    /// Form of the plan, with --dry-run: table, json, yaml, jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORMAT", requires = "dry_run", value_parser = parse_form)]
    pub output: Option<Form>,

    /// Write the files into this directory and do nothing else; asks no cluster and no server
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "pr", "adopt"])]
    pub export: Option<PathBuf>,

    /// Open a pull request instead of pushing to the branch
    #[arg(long)]
    pub pr: bool,

    /// Answer all questions with yes
    #[arg(short, long)]
    pub yes: bool,

    /// Let the agent read with a new ssh key that may read this repository only
    #[arg(long)]
    pub deploy_key: bool,

    /// Let the agent read with a token, which is read from standard input
    #[arg(long, requires = "username", conflicts_with_all = ["deploy_key", "ssh_key"])]
    pub token_stdin: bool,

    /// User the token belongs to
    #[arg(long, value_name = "USER", requires = "token_stdin")]
    pub username: Option<String>,

    /// Let the agent read with this ssh key, without a passphrase
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,

    /// Take over from an Argo CD that runs in the namespace: its controllers are stopped, its
    /// Applications, projects and Secrets stay, no workload is touched
    #[arg(long)]
    pub adopt: bool,

    /// The forge: github, gitlab, gitea, forgejo, none, or KIND=URL [default: $GITOPS_FORGE, or asked]
    #[arg(long, value_name = "KIND")]
    pub forge: Option<gitops_forge::Choice>,

    /// Longest wait for the agent, and for each Application
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,

    /// When to use color
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_default_value = true
    )]
    pub color: ColorChoice,
}

/// Runs the command.
pub async fn run(
    args: BootstrapArgs,
    connection: ConnectionArgs,
) -> Result<ExitStatus, CommandError> {
    let namespace = connection
        .namespace
        .clone()
        .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    if let Some(directory) = &args.export {
        return write_files(&args, directory, &namespace);
    }
    let options = BootstrapOptions {
        url: args.repo.clone(),
        path: args.path.clone(),
        branch: args.branch.clone(),
        namespace,
        image: args.image.clone(),
        propose: args.pr,
        adopt: args.adopt,
        offer: offer(&args)?,
        forge: args.forge.clone(),
    };
    // Said before anything is asked: a bad directory is a matter of this command line alone.
    Layout::new(&options.path, &options.url, "main", &options.namespace)?;
    let view = View::of_stdout(args.color);
    let connection = connection.connect_or_pick(!args.yes).await?;
    let mut progress = Progress::new(args.color);
    let ready = match check(&options, &connection, &mut progress).await {
        Ok(ready) => ready,
        Err(error) => {
            progress.clear();
            return Err(error);
        }
    };
    progress.clear();
    let form = args.output.clone().unwrap_or_default();
    match form.text_of(&plan::document(&ready.plan))? {
        Some(text) => print(&text)?,
        None => print(&plan::screen(&ready.plan, &view, args.show))?,
    }
    if args.dry_run {
        return Ok(ExitStatus::Success);
    }
    if !ready.plan.changes_nothing() {
        confirm(&args, &ready).await?;
    }
    let next = next(&ready);
    let manner = Manner {
        yes: args.yes,
        timeout: args.timeout,
    };
    match Box::pin(execute(ready, &connection, manner, &mut progress)).await? {
        Outcome::Done(status) => {
            if status == ExitStatus::Success {
                progress.info(&next);
            }
            Ok(status)
        }
        Outcome::Proposed(page) => {
            progress.info(&format!(
                "the agent runs and waits for {page}; when it is merged, run the same command again to see it through"
            ));
            Ok(ExitStatus::Success)
        }
    }
}

async fn confirm(args: &BootstrapArgs, ready: &Ready) -> Result<(), CommandError> {
    let question = if ready.plan.take_over.is_some() {
        "Stop Argo CD's controllers, and continue?"
    } else {
        "Continue?"
    };
    if !args.show && ready.plan.commits() && !args.yes && prompt::can_ask() {
        Progress::new(args.color)
            .info("see the files with --show, write them only with --export DIR");
    }
    prompt::confirm(question, args.yes, "--yes").await
}

fn next(ready: &Ready) -> String {
    let namespace = match ready.layout.namespace.as_str() {
        DEFAULT_NAMESPACE => String::new(),
        other => format!(" -n {other}"),
    };
    format!(
        "put Applications into {} and push; watch them with: kubectl gitops status -w{namespace}",
        ready.layout.directory()
    )
}

fn offer(args: &BootstrapArgs) -> Result<Offer, CommandError> {
    let usage = |message: String| CommandError::new(CommandErrorKind::Usage, message);
    let token = match &args.username {
        Some(username) if args.token_stdin => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                return Err(
                    usage("--token-stdin reads the token from a pipe or a file".into())
                        .hint("for example: pass show git/token | kubectl gitops bootstrap …"),
                );
            }
            let mut token = String::new();
            stdin
                .take(MAX_TOKEN_BYTES)
                .read_to_string(&mut token)
                .map_err(|error| usage(format!("cannot read the token: {error}")))?;
            let token = token.trim().to_owned();
            if token.is_empty() || token.contains(char::is_whitespace) {
                return Err(usage("standard input holds no token".into()));
            }
            Some((username.clone(), token))
        }
        _ => None,
    };
    let ssh_key = args
        .ssh_key
        .as_ref()
        .map(|file| {
            std::fs::read_to_string(file)
                .map_err(|error| usage(format!("cannot read {}: {error}", file.display())))
        })
        .transpose()?;
    Ok(Offer {
        deploy_key: args.deploy_key,
        token,
        ssh_key,
    })
}

/// `--export`.
fn write_files(
    args: &BootstrapArgs,
    directory: &std::path::Path,
    namespace: &str,
) -> Result<ExitStatus, CommandError> {
    let url = access::public_address(&args.repo)?;
    let branch = args.branch.as_deref().unwrap_or("main");
    let layout = Layout::new(&args.path, &url, branch, namespace)?;
    let installation = Installation::new(&Choice {
        namespace: namespace.to_owned(),
        image: args.image.clone(),
    })?;
    let mut lines = Vec::new();
    for file in export(directory, &layout, &installation.to_yaml()?)? {
        let what = match file.change {
            Change::Create => "written",
            Change::Replace => "replaced",
            Change::Same => "unchanged",
            Change::Keep => "kept as you changed it",
        };
        let path = directory.join(&file.path);
        lines.push(format!("{}: {what}\n", path.display()));
    }
    print(&lines.concat())?;
    Ok(ExitStatus::Success)
}

fn parse_image(text: &str) -> Result<Image, String> {
    let fine = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@'));
    if fine {
        Ok(Image::parse(text))
    } else {
        Err("an image is named as in registry.example/gitops-agent:v1.2.3".to_owned())
    }
}
