//! The archives of a release, installed by the real krew and used through the real kubectl.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use gitops_e2e::manifests::config_map;
use gitops_e2e::person::Person;
use gitops_e2e::plugin::Outcome;
use gitops_e2e::{Environment, Repo, World};

/// What `cargo xtask release` wrote for this system, behind the address it names.
struct Release {
    folder: PathBuf,
}

impl Release {
    /// The one of this run.
    fn get() -> &'static Self {
        static RELEASE: OnceLock<Release> = OnceLock::new();
        RELEASE.get_or_init(Self::make)
    }

    /// Packs the programs under test.
    fn make() -> Self {
        let environment = Environment::get();
        let name = "release-for-krew";
        let folder = environment.servers.charts_root.join(name);
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let output = Command::new(environment.programs.join("xtask"))
            .arg("release")
            .arg("--built")
            .arg(&environment.programs)
            .args(["--target", &format!("{os}/{arch}")])
            .args(["--url", &format!("{}/{name}", environment.servers.charts)])
            .arg("--out")
            .arg(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        Self { folder }
    }

    fn manifest(&self) -> PathBuf {
        self.folder.join("index/plugins/gitops.yaml")
    }

    fn archive(&self) -> PathBuf {
        let sums = std::fs::read_to_string(self.folder.join("SHA256SUMS")).unwrap();
        let mut names = sums.lines().filter_map(|line| line.split_once("  "));
        let archive = names.find(|(_, name)| name.ends_with(".tar.gz"));
        self.folder.join(archive.unwrap().1)
    }
}

/// A person who has krew and nothing of ours.
fn person(world: &World) -> Person {
    let environment = Environment::get();
    let person = world.person();
    person.removes("kubectl-gitops");
    person.link("kubectl-krew", &environment.krew.join("krew"));
    let (root, bin) = (person.path(".krew"), person.path("bin"));
    person
        .with("KREW_ROOT", &root.to_string_lossy())
        .with("KREW_NO_UPGRADE_CHECK", "1")
        // The worker that was installed is the one to be found.
        .without("GITOPS_RENDERER")
        .with(
            "PATH",
            &format!(
                "{}/bin:{}:/usr/local/bin:/usr/bin:/bin",
                root.display(),
                bin.display()
            ),
        )
}

async fn krew(person: &Person, arguments: &[&str]) -> Outcome {
    let words: Vec<_> = ["kubectl", "krew"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    person.types(&words).run().await
}

/// Every file and link below a folder, but Git's.
fn files(root: &Path) -> BTreeSet<String> {
    let mut folders = vec![root.to_path_buf()];
    let mut files = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                if entry.file_name() != ".git" {
                    folders.push(entry.path());
                }
            } else {
                let path = entry.path();
                files.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    files
}

/// The installed plugin answers, through kubectl.
async fn works(person: &Person) {
    let version = person.types(&["kubectl", "gitops", "version", "--client"]);
    version
        .run()
        .await
        .exits(0)
        .prints(env!("CARGO_PKG_VERSION"));
    let help = person.types(&["kubectl", "gitops", "--help"]).run().await;
    help.exits(0).prints("kubectl gitops");
    let status = person.gitops(&["status"]).run().await;
    status.exits(0).prints("shop").prints("Synced");
}

/// krew keeps the files of an archive together: the render worker is found beside the dispatcher.
async fn renders(person: &Person, repo: &Repo) {
    let clone = person.path("work/config");
    let at = clone.to_string_lossy();
    let cloned = person.types(&["git", "clone", "-q", &repo.url(), &at]);
    cloned.run().await.exits(0);
    let diff = person.gitops(&["diff", "shop", "--local", "."]);
    diff.from(&clone).run().await.exits(0).prints("as Git says");
}

/// kubectl completes commands once its helper is there, which krew cannot install.
async fn completes(person: &Person) {
    let bin = person.path("bin");
    let install = ["completion", "kubectl", "--install", &bin.to_string_lossy()];
    let words: Vec<_> = ["kubectl", "gitops"]
        .iter()
        .chain(&install)
        .copied()
        .collect();
    person.types(&words).run().await.exits(0);
    let asked = person.types(&["kubectl", "__complete", "gitops", "sta"]);
    asked.run().await.exits(0).prints("status");
}

async fn world() -> (World, Repo) {
    let world = World::new("krew").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).path(".").automated();
    app.create().await.healthy().await;
    (world, repo)
}

#[tokio::test]
async fn krew_installs_an_archive_and_removes_all_of_it() {
    let (world, repo) = world().await;
    let release = Release::get();
    let person = person(&world);
    let (manifest, archive) = (release.manifest(), release.archive());
    let (manifest, archive) = (manifest.to_string_lossy(), archive.to_string_lossy());

    // Also downloads and unpacks, and wants a license.
    let validator = Environment::get().krew.join("validate-krew-manifest");
    let validated = person.types(&[&validator.to_string_lossy(), "-manifest", &manifest]);
    validated.run().await.exits(0);

    let index = world.repo("index");
    index.write("README.md", "empty\n");
    let index = format!("file://{}", index.bare_path().display());
    let person = person.with("KREW_DEFAULT_INDEX_URI", &index);
    krew(&person, &["update"]).await.exits(0);
    let before = files(&person.path(".krew"));

    let install = ["install", "--manifest", &manifest, "--archive", &archive];
    krew(&person, &install)
        .await
        .exits(0)
        .says("Installed plugin: gitops");
    works(&person).await;
    renders(&person, &repo).await;
    completes(&person).await;
    let store = person.path(".krew/store/gitops");
    let installed = files(&store);
    for name in ["kubectl-gitops", "gitops-renderer", "LICENSE", "README.md"] {
        let there = installed
            .iter()
            .any(|path| path.ends_with(&format!("/{name}")));
        assert!(there, "{name} in {installed:?}");
    }
    krew(&person, &["list"]).await.exits(0).prints("gitops");

    krew(&person, &["uninstall", "gitops"]).await.exits(0);
    assert_eq!(files(&person.path(".krew")), before);
    assert!(!store.exists());
}

#[tokio::test]
async fn krew_installs_and_upgrades_from_an_index() {
    let (world, _repo) = world().await;
    let release = Release::get();
    let person = person(&world);
    let empty = world.repo("empty");
    empty.write("README.md", "empty\n");
    let person = person.with(
        "KREW_DEFAULT_INDEX_URI",
        &format!("file://{}", empty.bare_path().display()),
    );
    let index = world.repo("index");
    let text = std::fs::read_to_string(release.manifest()).unwrap();
    // An archive that is not the one the index speaks of is refused.
    let (before, rest) = text.split_once("sha256: \"").unwrap();
    let wrong = format!("{before}sha256: \"{}{}", "0".repeat(64), &rest[64..]);
    index.write("plugins/gitops.yaml", &wrong);
    let url = format!("file://{}", index.bare_path().display());
    krew(&person, &["index", "add", "gitops", &url])
        .await
        .exits(0);
    let fresh = files(&person.path(".krew"));
    let refused = krew(&person, &["install", "gitops/gitops"]).await;
    refused.exits(1).says("checksum");
    assert_eq!(files(&person.path(".krew")), fresh);

    index.write("plugins/gitops.yaml", &text);
    krew(&person, &["update"]).await.exits(0);
    let fresh = files(&person.path(".krew"));
    krew(&person, &["search", "gitops"])
        .await
        .exits(0)
        .prints("See and steer what Git delivers");
    krew(&person, &["install", "gitops/gitops"]).await.exits(0);
    works(&person).await;

    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    let newer = text.replace(&format!("version: {version}"), "version: v99.0.0");
    index.write("plugins/gitops.yaml", &newer);
    krew(&person, &["upgrade"]).await.exits(0);
    works(&person).await;
    let store = person.path(".krew/store/gitops");
    assert!(store.join("v99.0.0/kubectl-gitops").exists());
    assert!(!store.join(&version).exists());

    krew(&person, &["uninstall", "gitops"]).await.exits(0);
    assert_eq!(files(&person.path(".krew")), fresh);
    krew(&person, &["index", "remove", "gitops"]).await.exits(0);
    assert_eq!(files(&person.path(".krew")), BTreeSet::new());
}

#[test]
fn a_release_is_what_its_checksums_and_its_chart_say() {
    let release = Release::get();
    let check = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(&release.folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{said}");
    let version = env!("CARGO_PKG_VERSION");
    let chart = format!("gitops-agent-{version}.tgz");
    for name in [chart.as_str(), "install.yaml", ".tar.gz"] {
        assert!(said.contains(&format!("{name}: OK")), "{name} in {said}");
    }
    let template = |chart: &Path| {
        let output = Command::new(&Environment::get().helm)
            .args(["template", "gitops-agent"])
            .arg(chart)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", chart.display());
        output.stdout
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/chart");
    assert!(template(&release.folder.join(chart)) == template(&source));
}
