//! Programs that tests, demo and bench need: built once, kept outside the source tree.
//!
//! A program's folder is named by a digest of everything it is built from, so a changed source is
//! built anew and an unchanged one is found at once. Nothing is downloaded but Go modules.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::session::say;

/// Folder of the source tree.
pub(crate) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Folder of everything built or downloaded: `$GITOPS_CACHE`, else the user's cache folder.
pub(crate) fn cache() -> Result<PathBuf> {
    let folder = match std::env::var_os("GITOPS_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => dirs::cache_dir()
            .context("there is no cache folder for this user; set GITOPS_CACHE")?
            .join("kubectl-gitops"),
    };
    fs::create_dir_all(folder.join("tools"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Builds everything.
pub(crate) fn build_all() -> Result<ExitCode> {
    for program in [cluster()?, renderer()?, helm()?, kustomize()?, krew()?] {
        say(&format!("ready: {}", program.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The binary that makes clusters, serves repositories, and is kubectl.
pub(crate) fn cluster() -> Result<PathBuf> {
    let module = repository().join("tests/cluster");
    let version = linked_version(&module, "k8s.io/kubernetes")?;
    let minor = version.split('.').nth(1).unwrap_or_default();
    // Without these the API server calls itself v0.0.0, which charts do not accept.
    let package = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor=1 -X \
         {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
    );
    let program = go_program("gitops-cluster", &module, &flags)?;
    node_image(&module, &program)?;
    Ok(program)
}

/// The image that every real node starts with, where the cluster binary looks for it: beside
/// itself, in `images`. It holds one small program, for sandboxes and for tests.
fn node_image(module: &Path, cluster: &Path) -> Result<()> {
    let images = cluster.with_file_name("images");
    let archive = images.join("workload.tar");
    if archive.is_file() {
        return Ok(());
    }
    fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
    let program = images.join(format!("workload-{}", std::process::id()));
    go_build(module, "./cmd/workload", "-s -w", &program, &[])?;
    // Written under another name and renamed: whoever comes second replaces it with the same.
    let written = Command::new(cluster)
        .args(["image", "--name=gitops.test/workload:1"])
        .arg(format!("--out={}", text(&archive)?))
        .arg(format!("--file={}:/workload", text(&program)?))
        .arg("--entrypoint=/workload")
        .status()
        .context("cannot run the cluster binary")?;
    fs::remove_file(&program)?;
    ensure!(written.success(), "cannot write {}", archive.display());
    Ok(())
}

/// The render worker.
pub(crate) fn renderer() -> Result<PathBuf> {
    let module = repository().join("agent/renderer");
    go_program("gitops-renderer", &module, "-s -w")
}

/// The render worker for another system: Go builds for each on each.
pub(crate) fn renderer_for(os: &str, arch: &str) -> Result<PathBuf> {
    let host = Command::new("go")
        .args(["env", "GOHOSTOS", "GOHOSTARCH"])
        .output();
    let host = host
        .context("cannot run go; install Go 1.26 or newer")?
        .stdout;
    if String::from_utf8_lossy(&host)
        .split_whitespace()
        .eq([os, arch])
    {
        return renderer();
    }
    let module = repository().join("agent/renderer");
    let flags = "-s -w";
    let digest = digest(&module, flags)?;
    let folder = format!("gitops-renderer-{os}-{arch}-{digest:016x}");
    built("gitops-renderer", &folder, |program| {
        let system = [("GOOS", os), ("GOARCH", arch)];
        go_build(&module, ".", flags, program, &system)
    })
}

/// krew, kubectl's plugin manager, at the version of tests/krew: the folder of its programs
/// `krew` and `validate-krew-manifest`.
pub(crate) fn krew() -> Result<PathBuf> {
    let module = repository().join("tests/krew");
    let flags = "-s -w";
    let digest = digest(&module, flags)?;
    let krew = built("krew", &format!("krew-{digest:016x}"), |program| {
        let validator = program.with_file_name("validate-krew-manifest");
        let packages = "sigs.k8s.io/krew/cmd";
        go_build(&module, &format!("{packages}/krew"), flags, program, &[])?;
        let package = format!("{packages}/validate-krew-manifest");
        go_build(&module, &package, flags, &validator, &[])
    })?;
    let folder = krew.parent().context("a program is in a folder")?;
    Ok(folder.to_path_buf())
}

/// The helm command of the version the worker links.
pub(crate) fn helm() -> Result<PathBuf> {
    let version = linked_version(&repository().join("agent/renderer"), "helm.sh/helm/v4")?;
    let flags = format!("-X helm.sh/helm/v4/internal/version.version={version}");
    published(
        "helm",
        &format!("helm-{version}-release"),
        "helm.sh/helm/v4/cmd/helm",
        &version,
        &flags,
    )
}

/// The kustomize command of the version the worker links: both count their patch releases together.
pub(crate) fn kustomize() -> Result<PathBuf> {
    let linked = linked_version(
        &repository().join("agent/renderer"),
        "sigs.k8s.io/kustomize/api",
    )?;
    let version = linked.replace("v0.21.", "v5.8.");
    ensure!(
        version != linked,
        "which kustomize release has kustomize/api {linked}? say it here"
    );
    let package = "sigs.k8s.io/kustomize/kustomize/v5";
    published(
        "kustomize",
        &format!("kustomize-{version}"),
        package,
        &version,
        "",
    )
}

/// The version of a dependency, from a module's go.mod.
fn linked_version(module: &Path, dependency: &str) -> Result<String> {
    let file = module.join("go.mod");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    text.lines()
        .find_map(|line| {
            line.trim()
                .trim_start_matches("require ")
                .strip_prefix(dependency)?
                .strip_prefix(' ')
        })
        .and_then(|rest| rest.split_whitespace().next())
        .map(str::to_owned)
        .with_context(|| format!("{} does not require {dependency}", file.display()))
}

/// A program of this repository.
fn go_program(name: &str, module: &Path, linker_flags: &str) -> Result<PathBuf> {
    let digest = digest(module, linker_flags)?;
    built(name, &format!("{name}-{digest:016x}"), |program| {
        go_build(module, ".", linker_flags, program, &[])
    })
}

/// `-buildvcs=false`: the same sources give the same program, in whoever's checkout.
fn go_build(
    module: &Path,
    package: &str,
    linker_flags: &str,
    program: &Path,
    system: &[(&str, &str)],
) -> Result<()> {
    let flags = format!("-ldflags={linker_flags}");
    let output = text(program)?;
    let arguments = [
        "build",
        "-trimpath",
        "-buildvcs=false",
        &flags,
        "-o",
        &output,
        package,
    ];
    run_go(module, &arguments, system)
}

/// A published program at one version.
fn published(
    name: &str,
    folder: &str,
    package: &str,
    version: &str,
    linker_flags: &str,
) -> Result<PathBuf> {
    built(name, folder, |program| {
        let bin = program.with_file_name("bin");
        let package = format!("{package}@{version}");
        let flags = format!("-ldflags={linker_flags}");
        run_go(
            &cache()?,
            &["install", "-trimpath", &flags, &package],
            &[("GOBIN", &text(&bin)?)],
        )?;
        fs::rename(bin.join(name), program).context("go install left no program")?;
        fs::remove_dir_all(bin).context("cannot tidy up after go install")
    })
}

/// The program in its folder of the cache; made by `make` when it is not there. Processes that
/// want the same one at the same time wait for each other.
fn built(name: &str, folder: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let tools = cache()?.join("tools");
    let program = tools.join(folder).join(name);
    if program.is_file() {
        return Ok(program);
    }
    let lock = File::create(tools.join(format!("{name}.lock")))?;
    lock.lock()?;
    if program.is_file() {
        return Ok(program);
    }
    say(&format!(
        "building {name} (once; it is kept in {})",
        tools.display()
    ));
    let started = Instant::now();
    let unfinished = tools.join(format!("{folder}.unfinished"));
    let _ = fs::remove_dir_all(&unfinished);
    // Without its program it is of no use.
    let _ = fs::remove_dir_all(tools.join(folder));
    fs::create_dir_all(&unfinished)?;
    make(&unfinished.join(name)).with_context(|| format!("cannot build {name}"))?;
    fs::rename(&unfinished, tools.join(folder))?;
    say(&format!(
        "built {name} in {} s",
        started.elapsed().as_secs()
    ));
    Ok(program)
}

fn run_go(directory: &Path, arguments: &[&str], more: &[(&str, &str)]) -> Result<()> {
    let mut command = Command::new("go");
    command
        .args(arguments)
        .current_dir(directory)
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null());
    // What is built must not depend on a workspace or on flags of whoever builds it.
    command.env("GOWORK", "off").env_remove("GOFLAGS");
    command.envs(more.iter().copied());
    let status = command
        .status()
        .context("cannot run go; install Go 1.26 or newer")?;
    if !status.success() {
        bail!("go {} failed with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Digest of a Go module's files, its flags, and the compiler.
fn digest(module: &Path, flags: &str) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    flags.hash(&mut hasher);
    let version = Command::new("go")
        .args(["env", "GOVERSION", "GOOS", "GOARCH"])
        .output();
    version
        .context("cannot run go; install Go 1.26 or newer")?
        .stdout
        .hash(&mut hasher);
    let mut folders = vec![module.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
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
        fs::read(&file)?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .with_context(|| format!("{} is no text", path.display()))
}
