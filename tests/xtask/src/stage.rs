//! A place to run the agent in: a cluster with fake Pods, a Git server, the installation, a
//! ServiceAccount's kubeconfig, and a folder that holds it all. Gone when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::cargo;
use crate::progress::{Parts, Usual};
use crate::session::Session;
use crate::tools::{self, Tool};

/// Programs a stage needs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The test cluster, which is kubectl and the Git server too.
    pub(crate) cluster: PathBuf,
    /// The render worker.
    pub(crate) renderer: PathBuf,
    /// Folder of the project's own programs.
    pub(crate) own: PathBuf,
}

impl Programs {
    /// Builds whatever is not there yet: the tools, and programs of this workspace in a profile
    /// (`debug` or `release`).
    pub(crate) fn build(cluster: Tool, profile: &str, own: &[&str]) -> anyhow::Result<Self> {
        let tools = [cluster, Tool::Renderer];
        let mut parts = Parts::new(tools::missing(&tools)? + 1);
        let [cluster, renderer] = tools::prepare_in(&mut parts, &tools)?
            .try_into()
            .map_err(|_| anyhow::anyhow!("each tool is one program"))?;
        // All packages are named, so that what they ask of dependencies is the same in every build,
        // and a dependency is compiled once.
        let mut arguments = vec!["--workspace"];
        arguments.extend(own.iter().flat_map(|name| ["--bin", name]));
        if profile == "release" {
            arguments.push("--release");
        }
        parts.next("agent and plugins", OWN, |progress| {
            cargo::build(&arguments, progress)
        })?;
        Ok(Self {
            cluster,
            renderer,
            own: cargo::programs(profile),
        })
    }
}

/// What the agent and the command line take, measured with nothing built before.
const OWN: Usual = Usual::seconds(480, 20);

/// What runs.
pub(crate) struct Stage {
    programs: Programs,
    folder: PathBuf,
    session: Option<Session>,
    git_url: String,
    git_root: PathBuf,
}

impl Stage {
    /// Makes the folder; nothing runs yet.
    pub(crate) fn new(programs: Programs, name: &str) -> anyhow::Result<Self> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970")?;
        let folder = std::env::temp_dir().join(format!(
            "gitops-{name}-{}-{}",
            std::process::id(),
            now.subsec_nanos()
        ));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let stage = Self {
            programs,
            folder,
            session: None,
            git_url: String::new(),
            git_root: PathBuf::new(),
        };
        // A folder with the names people type: kubectl finds its plugins on the PATH.
        let bin = stage.folder("bin")?;
        std::os::unix::fs::symlink(&stage.programs.cluster, bin.join("kubectl"))
            .context("cannot link kubectl")?;
        Ok(stage)
    }

    /// A folder in the stage's own, made when missing.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Kubeconfig of an administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Kubeconfig of the agent's ServiceAccount.
    pub(crate) fn agent_kubeconfig(&self) -> PathBuf {
        self.folder.join("agent.kubeconfig")
    }

    /// The API server's audit log, if it was asked for.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.folder.join("cluster/logs/audit.log")
    }

    /// The `PATH` on which kubectl finds the plugins.
    pub(crate) fn path(&self) -> anyhow::Result<std::ffi::OsString> {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let own = [self.folder.join("bin"), self.programs.own.clone()];
        std::env::join_paths(own.into_iter().chain(std::env::split_paths(&inherited)))
            .context("a folder's name has a colon")
    }

    /// A command in the environment of the stage.
    pub(crate) fn command(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(program);
        command
            .env("PATH", self.path()?)
            .env("KUBECONFIG", self.kubeconfig())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs kubectl; returns what it printed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command("kubectl")?;
        command.args(arguments);
        run(&mut command)
    }

    /// Starts the cluster and the Git server; they end with this process at the latest.
    pub(crate) fn start(&mut self, options: &[&str]) -> anyhow::Result<()> {
        let session = Session::start(
            &self.programs.cluster,
            &self.folder.join("cluster"),
            options,
        )?;
        let said: Value = serde_json::from_str(&session.description)
            .with_context(|| format!("the servers said {:?}", session.description))?;
        let text = |name: &str| {
            let text = said[name].as_str().map(str::to_owned);
            text.with_context(|| format!("the servers did not say their {name}"))
        };
        self.git_url = text("git")?;
        self.git_root = text("gitRoot")?.into();
        fs::copy(&session.kubeconfig, self.kubeconfig()).context("cannot copy the kubeconfig")?;
        self.session = Some(session);
        Ok(())
    }

    /// Makes an empty repository on the Git server; returns its address for reading, and the one
    /// to push to.
    pub(crate) fn repository(&self, name: &str) -> anyhow::Result<(String, String)> {
        let bare = self.git_root.join(format!("{name}.git"));
        run(self
            .command("git")?
            .args(["init", "--quiet", "--bare", "--initial-branch", "main"])
            .arg(&bare))?;
        Ok((
            format!("{}/{name}.git", self.git_url.trim_end_matches('/')),
            bare.to_string_lossy().into_owned(),
        ))
    }

    /// Installs what a cluster needs for the agent, as the manifests to install say, but the
    /// Deployment: the agent runs here. Makes a kubeconfig with a token of its ServiceAccount.
    pub(crate) fn install(&self, source: &Path) -> anyhow::Result<()> {
        let manifests = source.join("manifests");
        let apply = |paths: &[&str], flag: &str| {
            let paths: Vec<_> = paths
                .iter()
                .map(|path| manifests.join(path).to_string_lossy().into_owned())
                .collect();
            let mut arguments = vec!["apply", "--server-side"];
            for path in &paths {
                arguments.extend([flag, path.as_str()]);
            }
            self.kubectl(&arguments)
        };
        apply(&["crds"], "-k")?;
        apply(
            &[
                "base/namespace.yaml",
                "base/service-account.yaml",
                "base/role.yaml",
                "base/cluster-role.yaml",
                "base/preview-policy.yaml",
                "base/settings.yaml",
            ],
            "-f",
        )?;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd/applications.argoproj.io",
            "crd/appprojects.argoproj.io",
        ])?;
        apply(&["default-project.yaml"], "-f")?;
        self.write_agent_kubeconfig()
    }

    fn write_agent_kubeconfig(&self) -> anyhow::Result<()> {
        let token = self.kubectl(&[
            "create",
            "token",
            "gitops-agent",
            "--namespace=argocd",
            "--duration=24h",
        ])?;
        let read = self.kubectl(&["config", "view", "--raw", "--flatten", "--output=json"])?;
        let mut config: Value =
            serde_json::from_str(&read).context("cannot read the kubeconfig")?;
        config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
        let path = self.agent_kubeconfig();
        fs::write(&path, config.to_string())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.session.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs a command; returns what it printed on standard output.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        spelled(command),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command as a person would type it.
pub(crate) fn spelled(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    command
        .get_args()
        .map(|argument| {
            let text = argument.to_string_lossy();
            if text.is_empty() || text.contains([' ', '\'', '*', '{', '$']) {
                format!("'{text}'")
            } else {
                text.into_owned()
            }
        })
        .fold(program, |line, argument| line + " " + &argument)
}

/// A child process that is told to end, and killed when it does not.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose standard error goes to a file.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> anyhow::Result<Self> {
        let file =
            fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    /// Waits until the log has a text.
    pub(crate) fn logged(&mut self, text: &str, limit: Duration) -> anyhow::Result<()> {
        let start = std::time::Instant::now();
        while start.elapsed() < limit {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            if log.contains(text) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().context("cannot watch a process")? {
                bail!("the agent ended ({status})");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!(
            "the agent did not say {text:?} within {} s",
            limit.as_secs()
        )
    }

    /// The last lines of the log.
    pub(crate) fn last_lines(&self, count: usize) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Process {
    /// Asks the process to end and waits until it has.
    pub(crate) fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
