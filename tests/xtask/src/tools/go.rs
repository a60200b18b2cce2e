//! Runs `go`, and tells how far it is.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::text;
use crate::progress::{Progress, say};

/// What is said where go is missing.
const MISSING: &str = "cannot run go; install Go 1.26 or newer";

/// What `go build` builds, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Build<'a> {
    /// Folder of the module.
    pub(super) module: &'a Path,
    /// Package of the program, such as `.`.
    pub(super) package: &'a str,
    /// Build tags, with commas between.
    pub(super) tags: &'a str,
    /// Flags of the linker.
    pub(super) linker: &'a str,
    /// `GOOS` and `GOARCH` when it is for another system.
    pub(super) system: &'a [(&'a str, &'a str)],
}

impl Build<'_> {
    /// Builds the program.
    ///
    /// `-buildvcs=false`: the same sources give the same program, in whoever's checkout.
    pub(super) fn run(self, program: &Path, progress: &Progress) -> Result<()> {
        let mut how = vec!["-trimpath".to_owned(), "-buildvcs=false".to_owned()];
        if !self.tags.is_empty() {
            how.push(format!("-tags={}", self.tags));
        }
        // Of each package that is not in go's cache, its name.
        let mut list = command(self.module, self.system);
        list.args(["list", "-deps", "-f={{if .Stale}}{{.ImportPath}}{{end}}"]);
        list.args(&how).arg(self.package);
        let stale = watched(list, |line| told(line, progress))?;
        let total = stale.lines().filter(|name| !name.is_empty()).count();
        progress.count(0, total);
        let mut done = 0;
        let mut build = command(self.module, self.system);
        build.args(["build", "-v"]).args(&how);
        build.arg(format!("-ldflags={}", self.linker));
        build.args(["-o", &text(program)?, self.package]);
        watched(build, |line| {
            if is_package(line) {
                done += 1;
                progress.count(done.min(total), total);
                progress.doing(line);
            }
            is_package(line) || told(line, progress)
        })?;
        Ok(())
    }
}

/// Installs a published program into a folder.
pub(super) fn install(
    package: &str,
    linker: &str,
    folder: &Path,
    progress: &Progress,
) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // In a folder without a module of its own.
    let mut install = command(folder, &[("GOBIN", &text(folder)?)]);
    install.args(["install", "-v", "-trimpath"]);
    install.arg(format!("-ldflags={linker}")).arg(package);
    let mut done = 0;
    watched(install, |line| {
        if is_package(line) {
            done += 1;
            progress.doing(&format!("package {done}, {line}"));
        }
        is_package(line) || told(line, progress)
    })?;
    Ok(())
}

fn command(directory: &Path, more: &[(&str, &str)]) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(directory)
        .env("CGO_ENABLED", "0")
        // What is built must not depend on a workspace or on flags of whoever builds it.
        .env("GOWORK", "off")
        .env_remove("GOFLAGS")
        .envs(more.iter().copied())
        .stdin(Stdio::null());
    command
}

/// With `-v` each package is named when it is begun.
fn is_package(line: &str) -> bool {
    !line.is_empty() && !line.contains([' ', '#', '\t'])
}

/// Tells of a download; whether the line is one.
fn told(line: &str, progress: &Progress) -> bool {
    let Some(module) = line.strip_prefix("go: downloading ") else {
        return false;
    };
    progress.doing(&format!("downloading {module}"));
    true
}

/// Runs go; returns its standard output. Lines of its standard error that `expected` does not know are
/// said when it fails.
fn watched(mut command: Command, mut expected: impl FnMut(&str) -> bool) -> Result<String> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(MISSING)?;
    let stdout = child.stdout.take().context("go has no output")?;
    let stderr = child.stderr.take().context("go has no output")?;
    let answer = std::thread::spawn(move || std::io::read_to_string(stdout));
    let mut said = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("cannot read what go says")?;
        if !expected(&line) {
            said.push(line);
        }
    }
    let status = child.wait().context("cannot wait for go")?;
    if !status.success() {
        for line in &said {
            say(line);
        }
        let words = command.get_args().map(|word| word.to_string_lossy());
        let words: Vec<_> = words.collect();
        bail!("go {} failed with {status}", words.join(" "));
    }
    let answer = answer.join().ok().context("cannot read go's answer")?;
    answer.context("cannot read go's answer")
}

/// The system go builds on.
pub(super) fn host() -> Result<(String, String)> {
    let answer = environment(&["GOHOSTOS", "GOHOSTARCH"])?;
    let mut words = answer.split_whitespace().map(str::to_owned);
    let system = words.next().zip(words.next());
    system.context("go env named no system")
}

/// Digest of a Go module's files, how they are built, and the compiler.
pub(super) fn digest(module: &Path, flags: &str) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    flags.hash(&mut hasher);
    environment(&["GOVERSION", "GOOS", "GOARCH"])?.hash(&mut hasher);
    let mut folders = vec![module.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    for file in files {
        file.strip_prefix(module)?.hash(&mut hasher);
        std::fs::read(&file)?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn environment(names: &[&str]) -> Result<String> {
    let output = Command::new("go").arg("env").args(names).output();
    let output = output.context(MISSING)?.stdout;
    Ok(String::from_utf8_lossy(&output).into_owned())
}
