//! The programs of the comparison. Each is taken from its environment variable, else built once with the `go` command
//! into a directory outside of the source tree, named by its version: `GITOPS_KUSTOMIZE`, `GITOPS_HELM`,
//! `GITOPS_JSONNET`, `GITOPS_RENDERER`, and
//! `GITOPS_MANIFEST_READER` for tests/fixtures/render/reader.
//!
//! Versions are those the worker links, read from its go.mod, so that the two can never drift apart.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// The kustomize command whose release is made from the linked `kustomize/api`: both count their patch releases
/// together.
pub(crate) fn kustomize() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let version = linked_version("sigs.k8s.io/kustomize/api").replace("v0.21.", "v5.8.");
        assert!(
            version.starts_with("v5.8."),
            "which kustomize release has kustomize/api {version}? say it here"
        );
        given("GITOPS_KUSTOMIZE").unwrap_or_else(|| {
            installed(
                "kustomize",
                "sigs.k8s.io/kustomize/kustomize/v5",
                &version,
                "",
            )
        })
    })
}

/// The helm command of the linked version, built with the flag that tells releases their version.
pub(crate) fn helm() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let version = linked_version("helm.sh/helm/v4");
        let flags = format!("-X helm.sh/helm/v4/internal/version.version={version}");
        given("GITOPS_HELM")
            .unwrap_or_else(|| installed("helm", "helm.sh/helm/v4/cmd/helm", &version, &flags))
    })
}

/// The jsonnet command of the linked go-jsonnet.
pub(crate) fn jsonnet() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        const MODULE: &str = "github.com/google/go-jsonnet";
        let version = linked_version(MODULE);
        given("GITOPS_JSONNET")
            .unwrap_or_else(|| installed("jsonnet", &format!("{MODULE}/cmd/jsonnet"), &version, ""))
    })
}

/// What kubectl reads, as JSON.
pub(crate) fn reader() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        given("GITOPS_MANIFEST_READER").unwrap_or_else(|| {
            let source = repository().join("tests/fixtures/render/reader");
            let mut hasher = Sha256::new();
            for file in ["main.go", "go.mod", "go.sum"] {
                hasher.update(std::fs::read(source.join(file)).unwrap());
            }
            let mut version = String::new();
            for byte in hasher.finalize().iter().take(6) {
                write!(version, "{byte:02x}").unwrap();
            }
            let program = cache().join(format!("manifest-reader-{version}"));
            if !program.exists() {
                build(&source, &program);
            }
            program
        })
    })
}

/// The worker; rebuilt each time, which costs nothing when nothing changed.
pub(crate) fn renderer() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        given("GITOPS_RENDERER").unwrap_or_else(|| {
            let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gitops-renderer-compared");
            build(&repository().join("agent/renderer"), &program);
            program
        })
    })
}

fn given(variable: &str) -> Option<PathBuf> {
    let program = PathBuf::from(std::env::var_os(variable)?);
    assert!(
        program.is_file(),
        "{variable}: {} is not a file",
        program.display()
    );
    Some(program)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let directory = base
        .expect("neither XDG_CACHE_HOME nor HOME is set")
        .join("kubectl-gitops/tools");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn linked_version(module: &str) -> String {
    let text = std::fs::read_to_string(repository().join("agent/renderer/go.mod")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '));
    let version = line.and_then(|rest| rest.split_whitespace().next());
    version
        .unwrap_or_else(|| panic!("agent/renderer/go.mod does not name {module}"))
        .to_owned()
}

fn installed(name: &str, package: &str, version: &str, linker_flags: &str) -> PathBuf {
    // Built without flags it is another program.
    let flagged = if linker_flags.is_empty() {
        ""
    } else {
        "-release"
    };
    let directory = cache().join(format!("{name}-{version}{flagged}"));
    let program = directory.join(name);
    if !program.exists() {
        eprintln!("building {name} {version}, once");
        let unfinished = unfinished(&directory);
        go(
            &cache(),
            &[
                "install",
                &format!("-ldflags={linker_flags}"),
                &format!("{package}@{version}"),
            ],
            Some(&unfinished),
        );
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::rename(unfinished.join(name), &program).unwrap();
        std::fs::remove_dir_all(unfinished).unwrap();
    }
    program
}

fn build(module: &Path, program: &Path) {
    let unfinished = unfinished(program);
    go(
        module,
        &["build", "-o", unfinished.to_str().unwrap(), "."],
        None,
    );
    std::fs::rename(unfinished, program).unwrap();
}

/// Beside the final name, so that another test process that builds the same never sees half of it.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    PathBuf::from(name)
}

fn go(directory: &Path, arguments: &[&str], install_to: Option<&Path>) {
    let mut command = Command::new("go");
    command
        .current_dir(directory)
        .args(arguments)
        .env("CGO_ENABLED", "0");
    if let Some(install_to) = install_to {
        command.env("GOBIN", install_to);
    }
    let output = command
        .output()
        .expect("the go command is needed to build what is compared");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "go {}: {error}",
        arguments.join(" ")
    );
}
