//! The config repository: one folder per application. Uses the `git` command, as people do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::workload;

/// A clone that can push.
pub(crate) struct Repository {
    url: String,
    folder: PathBuf,
}

impl Repository {
    /// Clones an empty repository that is read at `url` and written at `push`.
    pub(crate) fn clone(url: &str, push: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut clone = Command::new("git");
        clone.args(["clone", "--quiet", push]).arg(folder);
        run(&mut clone)?;
        let repository = Self {
            url: url.to_owned(),
            folder: folder.to_owned(),
        };
        repository.git(&["symbolic-ref", "HEAD", "refs/heads/main"])?;
        repository.git(&["config", "user.name", "Bench"])?;
        repository.git(&["config", "user.email", "bench@example.com"])?;
        Ok(repository)
    }

    /// Where the agent reads it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Writes, commits and pushes the folders of all applications.
    pub(crate) fn fill(&self, apps: usize) -> anyhow::Result<()> {
        for index in 0..apps {
            for manifest in workload::manifests(index, 0) {
                let kind = manifest["kind"].as_str().unwrap_or_default().to_lowercase();
                self.write(index, &kind, &manifest)?;
            }
        }
        self.commit("All applications")?;
        self.push()
    }

    /// Changes one value of one application and commits it.
    pub(crate) fn change(&self, index: usize, version: usize) -> anyhow::Result<()> {
        self.write(index, "configmap", &workload::config_map(index, version))?;
        self.commit(&format!("{} {version}", workload::name(index)))
    }

    /// Pushes what is committed.
    pub(crate) fn push(&self) -> anyhow::Result<()> {
        self.git(&["push", "--quiet", "origin", "main"])
    }

    fn commit(&self, message: &str) -> anyhow::Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])
    }

    fn write(&self, index: usize, kind: &str, manifest: &serde_json::Value) -> anyhow::Result<()> {
        let folder = self.folder.join("apps").join(workload::name(index));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join(format!("{kind}.json"));
        let text = serde_json::to_string_pretty(manifest)?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    fn git(&self, args: &[&str]) -> anyhow::Result<()> {
        run(Command::new("git").arg("-C").arg(&self.folder).args(args))
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .context("cannot run git; is it installed?")?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
