//! Programs that tests, demo and bench need: built once, kept outside the source tree.
//!
//! A program's folder is named by a digest of everything it is built from, so a changed source is
//! built again and an unchanged one is found at once. Nothing is downloaded but Go modules.

mod go;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::progress::{Parts, Progress, Usual, say};

/// A program that is built here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tool {
    /// Makes clusters, serves repositories, and is kubectl.
    Cluster,
    /// The same with what the demo needs only: built in three quarters of the time.
    DemoCluster,
    /// The render worker.
    Renderer,
    /// The helm command of the version the worker links.
    Helm,
    /// The kustomize command of the version the worker links.
    Kustomize,
    /// krew, kubectl's plugin manager, at the version of tests/krew; beside it
    /// `validate-krew-manifest`.
    Krew,
}

/// Where a program is kept: its folder in the cache, and its name in there.
struct Place {
    folder: String,
    name: &'static str,
}

impl Place {
    fn path(&self) -> Result<PathBuf> {
        Ok(cache()?.join("tools").join(&self.folder).join(self.name))
    }
}

impl Tool {
    const ALL: [Self; 5] = [
        Self::Cluster,
        Self::Renderer,
        Self::Helm,
        Self::Kustomize,
        Self::Krew,
    ];

    /// What the demo runs on: the smaller one, unless the whole one is there.
    pub(crate) fn for_demo() -> Result<Self> {
        let whole = missing(&[Self::Cluster])? == 0;
        Ok(if whole {
            Self::Cluster
        } else {
            Self::DemoCluster
        })
    }

    /// The program; built when it is not there.
    pub(crate) fn get(self) -> Result<PathBuf> {
        let mut programs = prepare(&[self])?;
        programs.pop().context("a tool is one program")
    }

    fn title(self) -> &'static str {
        match self {
            Self::Cluster => "control plane, kubelet and kubectl",
            Self::DemoCluster => "control plane and kubectl of the demo",
            Self::Renderer => "render worker",
            Self::Helm => "helm",
            Self::Kustomize => "kustomize",
            Self::Krew => "krew",
        }
    }

    /// Measured with `go build -debug-actiongraph` and nothing in go's cache.
    fn usual(self) -> Usual {
        match self {
            Self::Cluster => Usual::seconds(830, 30),
            Self::DemoCluster => Usual::seconds(620, 30),
            Self::Renderer | Self::Helm => Usual::seconds(180, 10),
            Self::Kustomize | Self::Krew => Usual::seconds(60, 5),
        }
    }

    fn place(self) -> Result<Place> {
        let (name, folder) = match self {
            Self::Cluster | Self::DemoCluster => {
                let kind = if self == Self::Cluster { "" } else { "demo-" };
                let digest = go::digest(&module("tests/cluster"), &cluster_linker_flags()?)?;
                (
                    "gitops-cluster",
                    format!("gitops-cluster-{kind}{digest:016x}"),
                )
            }
            Self::Renderer => {
                let digest = go::digest(&module("agent/renderer"), STRIPPED)?;
                ("gitops-renderer", format!("gitops-renderer-{digest:016x}"))
            }
            Self::Helm => ("helm", format!("helm-{}-release", helm_version()?)),
            Self::Kustomize => ("kustomize", format!("kustomize-{}", kustomize_version()?)),
            Self::Krew => {
                let digest = go::digest(&module("tests/krew"), STRIPPED)?;
                ("krew", format!("krew-{digest:016x}"))
            }
        };
        Ok(Place { folder, name })
    }

    fn build(self, program: &Path, progress: &Progress) -> Result<()> {
        match self {
            Self::Cluster | Self::DemoCluster => {
                let demo = self == Self::DemoCluster;
                let module = module("tests/cluster");
                let build = go::Build {
                    tags: if demo { DEMO } else { "" },
                    linker: &cluster_linker_flags()?,
                    ..go_build(&module)
                };
                build.run(program, progress)?;
                if !demo {
                    node_image(&module, program, progress)?;
                }
                Ok(())
            }
            Self::Renderer => go_build(&module("agent/renderer")).run(program, progress),
            Self::Helm => {
                let version = helm_version()?;
                let linker = format!("-X helm.sh/helm/v4/internal/version.version={version}");
                published(
                    "helm.sh/helm/v4/cmd/helm",
                    &version,
                    &linker,
                    program,
                    progress,
                )
            }
            Self::Kustomize => {
                let package = "sigs.k8s.io/kustomize/kustomize/v5";
                published(package, &kustomize_version()?, "", program, progress)
            }
            Self::Krew => {
                let module = module("tests/krew");
                for (name, program) in [
                    ("krew", program.to_path_buf()),
                    (
                        "validate-krew-manifest",
                        program.with_file_name("validate-krew-manifest"),
                    ),
                ] {
                    let package = format!("sigs.k8s.io/krew/cmd/{name}");
                    let build = go::Build {
                        package: &package,
                        ..go_build(&module)
                    };
                    build.run(&program, progress)?;
                }
                Ok(())
            }
        }
    }
}

/// Build tag of the demo's cluster binary.
const DEMO: &str = "demo";
/// Linker flags: without symbols, which nobody looks at.
const STRIPPED: &str = "-s -w";

/// The programs; those that are missing are built, one part of the preparation each.
pub(crate) fn prepare(tools: &[Tool]) -> Result<Vec<PathBuf>> {
    let mut parts = Parts::new(missing(tools)?);
    prepare_in(&mut parts, tools)
}

/// The same as parts of a longer preparation.
pub(crate) fn prepare_in(parts: &mut Parts, tools: &[Tool]) -> Result<Vec<PathBuf>> {
    tools.iter().map(|tool| ready(*tool, parts)).collect()
}

/// How many of the programs are not built.
pub(crate) fn missing(tools: &[Tool]) -> Result<usize> {
    let paths: Result<Vec<_>> = tools.iter().map(|tool| tool.place()?.path()).collect();
    Ok(paths?.iter().filter(|path| !path.is_file()).count())
}

/// Builds everything.
pub(crate) fn build_all() -> Result<ExitCode> {
    for program in prepare(&Tool::ALL)? {
        say(&format!("ready: {}", program.display()));
    }
    Ok(ExitCode::SUCCESS)
}

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

/// The render worker for another system: Go builds for each on each.
pub(crate) fn renderer_for(os: &str, arch: &str) -> Result<PathBuf> {
    let (host_os, host_arch) = go::host()?;
    if (host_os.as_str(), host_arch.as_str()) == (os, arch) {
        return Tool::Renderer.get();
    }
    let module = module("agent/renderer");
    let digest = go::digest(&module, STRIPPED)?;
    let place = Place {
        folder: format!("gitops-renderer-{os}-{arch}-{digest:016x}"),
        name: "gitops-renderer",
    };
    let build = go::Build {
        system: &[("GOOS", os), ("GOARCH", arch)],
        ..go_build(&module)
    };
    let mut parts = Parts::new(1);
    let title = format!("render worker for {os}/{arch}");
    built(&place, |program| {
        parts.next(&title, Tool::Renderer.usual(), |progress| {
            build.run(program, progress)
        })
    })
}

/// The program in its folder of the cache, built as the next part when it is not there.
fn ready(tool: Tool, parts: &mut Parts) -> Result<PathBuf> {
    built(&tool.place()?, |program| {
        parts.next(tool.title(), tool.usual(), |progress| {
            tool.build(program, progress)
        })
    })
}

/// The program in its folder of the cache; made by `make` when it is not there. Processes that
/// want the same one at the same time wait for each other.
fn built(place: &Place, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let program = place.path()?;
    if program.is_file() {
        return Ok(program);
    }
    let Place { folder, name } = place;
    let tools = cache()?.join("tools");
    let lock = File::create(tools.join(format!("{name}.lock")))?;
    lock.lock()?;
    if program.is_file() {
        return Ok(program);
    }
    let unfinished = tools.join(format!("{folder}.unfinished"));
    let _ = fs::remove_dir_all(&unfinished);
    // Without its program it is of no use.
    let _ = fs::remove_dir_all(tools.join(folder));
    fs::create_dir_all(&unfinished)?;
    make(&unfinished.join(name)).with_context(|| format!("cannot build {name}"))?;
    fs::rename(&unfinished, tools.join(folder))?;
    Ok(program)
}

/// Linker flags of the cluster binary.
fn cluster_linker_flags() -> Result<String> {
    let version = linked_version(&module("tests/cluster"), "k8s.io/kubernetes")?;
    let minor = version.split('.').nth(1).unwrap_or_default();
    // Without these the API server calls itself v0.0.0, which charts do not accept.
    let package = "k8s.io/component-base/version";
    Ok(format!(
        "{STRIPPED} -X {package}.gitVersion={version} -X {package}.gitMajor=1 -X \
         {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
    ))
}

/// The image that every real node starts with, where the cluster binary looks for it: beside
/// itself, in `images`. It holds one small program, for sandboxes and for tests.
fn node_image(module: &Path, cluster: &Path, progress: &Progress) -> Result<()> {
    let images = cluster.with_file_name("images");
    fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
    let program = images.join("workload");
    let build = go::Build {
        package: "./cmd/workload",
        ..go_build(module)
    };
    build.run(&program, progress)?;
    let archive = images.join("workload.tar");
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

fn helm_version() -> Result<String> {
    linked_version(&module("agent/renderer"), "helm.sh/helm/v4")
}

/// kustomize and its API count their patch releases together.
fn kustomize_version() -> Result<String> {
    let linked = linked_version(&module("agent/renderer"), "sigs.k8s.io/kustomize/api")?;
    let version = linked.replace("v0.21.", "v5.8.");
    ensure!(
        version != linked,
        "which kustomize release has kustomize/api {linked}? say it here"
    );
    Ok(version)
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

/// A Go module of this repository.
fn module(path: &str) -> PathBuf {
    repository().join(path)
}

/// How a module's own program is built, if nothing else is said.
fn go_build(module: &Path) -> go::Build<'_> {
    go::Build {
        module,
        package: ".",
        tags: "",
        linker: STRIPPED,
        system: &[],
    }
}

/// Installs a published program at one version.
fn published(
    package: &str,
    version: &str,
    linker: &str,
    program: &Path,
    progress: &Progress,
) -> Result<()> {
    let bin = program.with_file_name("bin");
    let name = program.file_name().unwrap_or_default();
    go::install(&format!("{package}@{version}"), linker, &bin, progress)?;
    fs::rename(bin.join(name), program).context("go install left no program")?;
    fs::remove_dir_all(bin).context("cannot tidy up after go install")
}

fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .with_context(|| format!("{} is no text", path.display()))
}
