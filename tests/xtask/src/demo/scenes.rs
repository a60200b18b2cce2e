//! The scenes: bootstrap, first sync, a new image, drift, a prune, a revert.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::show::{Show, note, spelled};
use crate::stage;
use crate::stage::Stage;

/// Longest time any change may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Image of the Deployment.
const IMAGE: &str = "jsonpath={.spec.template.spec.containers[0].image}{\"\\n\"}";
/// Folder of this cluster in the config repository.
const FOLDER: &str = "clusters/demo";
/// Application whose state is watched: verdict, health and revision.
const VERDICT: &str =
    "jsonpath={.status.sync.status} {.status.health.status} {.status.sync.revision}{\"\\n\"}";

/// The scenes with what they play on.
pub(crate) struct Scenes<'a> {
    stage: &'a Stage,
    show: &'a Show,
    app: PathBuf,
    config: PathBuf,
    application: PathBuf,
    url: String,
}

impl<'a> Scenes<'a> {
    /// Fills the two sample repositories.
    pub(crate) fn new(stage: &'a Stage, source: &Path, show: &'a Show) -> anyhow::Result<Self> {
        let samples = source.join("tests/fixtures/demo");
        let work = stage.folder("work")?;
        let mut scenes = Self {
            stage,
            show,
            app: work.join("shop"),
            config: work.join("config"),
            application: work.join("application.yaml"),
            url: String::new(),
        };
        let url = scenes.publish("config", &samples.join("config"), "Deploy shop v1.0.0")?;
        scenes.publish("shop", &samples.join("app"), "Sell things")?;
        let template = fs::read_to_string(samples.join("application.yaml"))
            .context("cannot read the sample Application")?;
        fs::write(&scenes.application, template.replace("REPOSITORY", &url))
            .context("cannot write the Application")?;
        scenes.url = url;
        Ok(scenes)
    }

    /// Plays all scenes.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        self.bootstrap().context("bootstrap")?;
        self.first_sync().context("first sync")?;
        self.new_image().context("a new image")?;
        self.drift().context("drift")?;
        self.prune().context("prune")?;
        self.revert().context("revert")
    }

    /// What can be done after the last scene.
    pub(crate) fn invitation(&mut self) {
        let kubeconfig = self.stage.kubeconfig();
        let path = self.stage.path().unwrap_or_default();
        self.show.heading("Go on playing");
        let path = std::env::split_paths(&path)
            .take(2)
            .map(|p| p.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(":");
        note(&format!("export KUBECONFIG={}", kubeconfig.display()));
        note(&format!("export PATH={path}:$PATH"));
        note(&format!(
            "cd {}    # commit and push",
            self.config.display()
        ));
        note("Ctrl-C takes everything down.");
    }

    /// The agent itself is a process of this demo, in place of its Pod, which is a fake.
    fn bootstrap(&mut self) -> anyhow::Result<()> {
        self.show
            .heading("1. Bootstrap: one command, one commit, and the agent delivers itself");
        let url = self.url.clone();
        let start = Instant::now();
        let arguments = [
            "gitops",
            "bootstrap",
            "--repo",
            &url,
            "--path",
            FOLDER,
            "--yes",
        ];
        self.shown("kubectl", &arguments, None)?;
        self.done("the agent is in Git's hands", start);
        let config = self.config.clone();
        self.quiet_git(&config, &["pull", "--quiet"])?;
        self.shown("git", &["log", "--oneline"], Some(&config))?;
        self.shown("kubectl", &["gitops", "status"], None)
    }

    fn first_sync(&mut self) -> anyhow::Result<()> {
        self.show
            .heading("2. First sync: an Application is a file in Git that names a folder in Git");
        let config = self.config.clone();
        let file = format!("{FOLDER}/shop.yaml");
        self.show.command(&format!("cp application.yaml {file}"));
        fs::copy(&self.application, config.join(&file)).context("cannot copy the Application")?;
        self.shown("git", &["add", &file], Some(&config))?;
        self.commit(&config, "Deliver the shop")?;
        let start = Instant::now();
        let named = "--field-selector=metadata.name=shop";
        self.watch(&["application", "-n", "argocd", named], VERDICT, |line| {
            line.starts_with("Synced Healthy")
        })?;
        self.done("synced and healthy", start);
        self.shown("kubectl", &["gitops", "status", "shop"], None)
    }

    fn new_image(&mut self) -> anyhow::Result<()> {
        self.show
            .heading("3. A new image: the app's CI commits a tag to the config repository");
        let app = self.app.clone();
        self.shown("sh", &["ci/release.sh", "v1.1.0"], Some(&app))?;
        let start = Instant::now();
        self.watch(&["deployment", "shop", "-n", "shop"], IMAGE, |line| {
            line.ends_with(":v1.1.0")
        })?;
        self.done("v1.1.0 is in the cluster", start);
        let config = self.config.clone();
        self.quiet_git(&config, &["pull", "--quiet"])?;
        self.shown("git", &["log", "--oneline", "-2"], Some(&config))?;
        self.shown(
            "kubectl",
            &["-n", "shop", "rollout", "status", "deployment/shop"],
            None,
        )?;
        self.synced_to(&config)
    }

    fn drift(&mut self) -> anyhow::Result<()> {
        self.show.heading("4. Drift: somebody scales by hand");
        let replicas = "jsonpath={.spec.replicas}{\"\\n\"}";
        let mut watch = Watch::start(self.stage, &["deployment", "shop", "-n", "shop"], replicas)?;
        watch.until(|line| line == "2")?;
        // From before the command: a busy machine may show both changes at the same moment.
        let start = Instant::now();
        self.shown(
            "kubectl",
            &["-n", "shop", "scale", "deployment/shop", "--replicas=5"],
            None,
        )?;
        watch.until(|line| line == "5")?;
        let healed = watch.until(|line| line == "2")?;
        drop(watch);
        self.show.result(&format!(
            "2 replicas again {} after the command was typed",
            spelled(healed.duration_since(start))
        ));
        self.watch(
            &["events", "-n", "shop", "--field-selector=reason=SelfHealed"],
            "jsonpath={.reason}{\"\\n\"}",
            |line| line == "SelfHealed",
        )?;
        self.shown(
            "kubectl",
            &[
                "-n",
                "shop",
                "get",
                "events",
                "--field-selector=reason=SelfHealed",
                "-o=jsonpath={..message}",
            ],
            None,
        )
    }

    fn prune(&mut self) -> anyhow::Result<()> {
        self.show
            .heading("5. A prune: what leaves Git leaves the cluster");
        let config = self.config.clone();
        let file = config.join("shop/kustomization.yaml");
        let text = fs::read_to_string(&file).context("cannot read kustomization.yaml")?;
        self.shown("git", &["rm", "--quiet", "shop/worker.yaml"], Some(&config))?;
        self.show
            .command("sed -i '/worker.yaml/d' shop/kustomization.yaml");
        fs::write(&file, text.replace("  - worker.yaml\n", ""))
            .context("cannot write kustomization.yaml")?;
        self.commit(&config, "Retire the worker")?;
        let start = Instant::now();
        self.stage.kubectl(&[
            "wait",
            "--for=delete",
            "--timeout=60s",
            "-n=shop",
            "deployment/worker",
        ])?;
        self.done("the worker is gone", start);
        self.synced_to(&config)?;
        self.shown("kubectl", &["-n", "shop", "get", "deployments"], None)
    }

    fn revert(&mut self) -> anyhow::Result<()> {
        self.show.heading("6. A revert: v1.1.0 was no good");
        let config = self.config.clone();
        self.shown("git", &["revert", "--no-edit", "HEAD~1"], Some(&config))?;
        self.shown("git", &["push", "--quiet"], Some(&config))?;
        let start = Instant::now();
        self.watch(&["deployment", "shop", "-n", "shop"], IMAGE, |line| {
            line.ends_with(":v1.0.0")
        })?;
        self.done("v1.0.0 is back", start);
        self.synced_to(&config)?;
        self.shown("git", &["log", "--oneline"], Some(&config))?;
        self.shown("kubectl", &["gitops", "status"], None)
    }

    fn done(&mut self, what: &str, start: Instant) {
        self.show
            .result(&format!("{what} after {}", spelled(start.elapsed())));
    }

    /// Waits until the Application says that it is at the last commit, and healthy.
    fn synced_to(&mut self, clone: &Path) -> anyhow::Result<()> {
        let head = self.quiet_git(clone, &["rev-parse", "HEAD"])?;
        let wanted = format!("Synced Healthy {}", head.trim());
        self.watch(&["application", "shop", "-n", "argocd"], VERDICT, |line| {
            line == wanted
        })
    }

    fn commit(&mut self, clone: &Path, message: &str) -> anyhow::Result<()> {
        self.shown(
            "git",
            &["commit", "--quiet", "--all", "--message", message],
            Some(clone),
        )?;
        self.shown("git", &["push", "--quiet"], Some(clone))
    }

    /// Makes a repository of a sample folder on the server, and a clone to work in.
    fn publish(&self, name: &str, sample: &Path, message: &str) -> anyhow::Result<String> {
        let (url, push_url) = self.stage.repository(name)?;
        let clone = if name == "shop" {
            &self.app
        } else {
            &self.config
        };
        let parent = clone.parent().context("the clone has no parent")?;
        let folder = clone.to_string_lossy().into_owned();
        self.quiet_git(parent, &["clone", "--quiet", &push_url, &folder])?;
        self.quiet_git(clone, &["symbolic-ref", "HEAD", "refs/heads/main"])?;
        self.quiet_git(clone, &["config", "user.name", "Demo"])?;
        self.quiet_git(clone, &["config", "user.email", "demo@example.com"])?;
        copy(sample, clone)?;
        self.quiet_git(clone, &["add", "--all"])?;
        self.quiet_git(clone, &["commit", "--quiet", "--message", message])?;
        self.quiet_git(
            clone,
            &["push", "--quiet", "--set-upstream", "origin", "main"],
        )?;
        Ok(url)
    }

    fn quiet_git(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        stage::run(
            self.stage
                .command("git")?
                .current_dir(folder)
                .args(arguments),
        )
    }

    /// Runs a command and shows it with its output.
    fn shown(
        &mut self,
        program: &str,
        arguments: &[&str],
        folder: Option<&Path>,
    ) -> anyhow::Result<()> {
        let mut command = self.stage.command(program)?;
        command.args(arguments);
        let default = self.application.parent().map(Path::to_owned);
        if let Some(folder) = folder.map(Path::to_owned).or(default) {
            command.current_dir(folder);
        }
        command
            .env("COLUMNS", "100")
            .env("GITOPS_CACHE_DIR", self.stage.folder("person")?);
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "Demo")
                .env(format!("GIT_{role}_EMAIL"), "demo@example.com");
        }
        self.show.command(&stage::spelled(&command));
        let output = command
            .output()
            .with_context(|| format!("cannot run {program}"))?;
        self.show.output(&String::from_utf8_lossy(&output.stdout));
        ensure!(
            output.status.success(),
            "{} failed: {}",
            stage::spelled(&command),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    fn watch(
        &self,
        what: &[&str],
        output: &str,
        wanted: impl FnMut(&str) -> bool,
    ) -> anyhow::Result<()> {
        Watch::start(self.stage, what, output)?.until(wanted)?;
        Ok(())
    }
}

/// `kubectl get --watch`, line by line with the time each came.
struct Watch {
    child: Child,
    lines: Receiver<(Instant, String)>,
    what: String,
    last: String,
}

impl Watch {
    fn start(stage: &Stage, what: &[&str], output: &str) -> anyhow::Result<Self> {
        let mut command: Command = stage.command("kubectl")?;
        command
            .arg("get")
            .args(what)
            .args(["--watch", "--output", output])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().context("cannot run kubectl")?;
        let stdout = child.stdout.take().context("kubectl has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            what: what.join(" "),
            last: String::new(),
        })
    }

    /// Reads on until a line is as wanted; returns when it came.
    fn until(&mut self, mut wanted: impl FnMut(&str) -> bool) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((at, line)) => {
                    if wanted(line.trim()) {
                        return Ok(at);
                    }
                    self.last = line;
                }
                Err(RecvTimeoutError::Timeout) => bail!(
                    "{} did not change as expected within {} s; it was last: {}",
                    self.what,
                    PATIENCE.as_secs(),
                    self.last
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!(
                        "the watch of {} ended; it was last: {}",
                        self.what,
                        self.last
                    )
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry.context("cannot read a folder")?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
