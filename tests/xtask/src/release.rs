//! `cargo xtask release`: archives of the plugin, the krew manifest, the Helm chart, install.yaml and
//! checksums in one folder.
//!
//! Builds what this machine can, and says what it leaves out and why. Archives that are in the
//! folder already, built on other machines, are listed with those built here.

mod archive;
pub(crate) mod build;
mod chart;
mod manifest;
pub(crate) mod platform;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use self::archive::Entry;
use self::manifest::Archive;
use self::platform::{Machine, PLATFORMS, Platform, Way};
use crate::progress::say;
use crate::tools;

/// Where archives are downloaded from, but for the version at its end.
const DOWNLOADS: &str = "https://github.com/kubectl-gitops/kubectl-gitops/releases/download";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these: Rust targets, or names like linux/arm64; each must be possible here
    #[arg(long, value_name = "TARGET", num_args = 1.., value_parser = target)]
    target: Vec<String>,

    /// Folder to write to [default: `target/dist` in the source tree]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Profile of Cargo.toml to build in; dev is for trying out
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: String,

    /// Pack the dispatcher that is in this folder already, for the one --target, instead of building it
    #[arg(long, value_name = "DIR", requires = "target")]
    built: Option<PathBuf>,

    /// Address of the folder that archives will be downloaded from [default: the release's own]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

fn target(name: &str) -> Result<String, String> {
    if Platform::find(name).is_some() {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = PLATFORMS.iter().map(ToString::to_string).collect();
    Err(format!(
        "not a target of a release; they are {}",
        names.join(", ")
    ))
}

/// The version that is built, as tags and krew write it.
pub(crate) fn version() -> String {
    format!("v{}", env!("CARGO_PKG_VERSION"))
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let out = match &args.out {
        Some(folder) => std::path::absolute(folder).context("--out")?,
        None => tools::repository().join("target/dist"),
    };
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    if let Some(folder) = &args.built {
        ensure!(args.target.len() == 1, "--built wants one --target");
        let platform = Platform::find(&args.target[0]).context("targets were checked")?;
        let dispatcher = folder.join(platform.program("kubectl-gitops"));
        pack(platform, &dispatcher, "as it was", &out)?;
    } else {
        let machine = build::machine()?;
        for (platform, way) in chosen(&args.target, &machine)? {
            let packed = build(platform, &way, args, &machine)
                .and_then(|dispatcher| pack(platform, &dispatcher, way.triple(), &out));
            packed.with_context(|| format!("cannot build for {platform}"))?;
        }
    }
    describe(args, &out)?;
    Ok(ExitCode::SUCCESS)
}

/// What is built, and how. A target asked for by name must be possible; of the others, what is not
/// is said and left out.
fn chosen(targets: &[String], machine: &Machine) -> Result<Vec<(Platform, Way)>> {
    let mut chosen = Vec::new();
    for name in targets {
        let platform = Platform::find(name).context("targets were checked")?;
        let wanted = platform
            .triples()
            .contains(&name.as_str())
            .then_some(name.as_str());
        match platform::way(platform, wanted, machine) {
            Ok(way) => chosen.push((platform, way)),
            Err(reason) => bail!("cannot build for {name} here: {reason}"),
        }
    }
    if !targets.is_empty() {
        return Ok(chosen);
    }
    for platform in PLATFORMS {
        match platform::way(platform, None, machine) {
            Ok(way) => chosen.push((platform, way)),
            Err(reason) => say(&format!("left out: {platform}: {reason}")),
        }
    }
    Ok(chosen)
}

/// Builds the dispatcher; one that runs on this machine is asked for its version.
fn build(platform: Platform, way: &Way, args: &Args, machine: &Machine) -> Result<PathBuf> {
    let dispatcher = build::cargo("kubectl-gitops", platform, way, &args.profile)?;
    if way.triple() == machine.host {
        build::check_version(&dispatcher, &version())?;
    }
    Ok(dispatcher)
}

/// Packs the programs of a platform and what has to go with them.
fn pack(platform: Platform, dispatcher: &Path, origin: &str, out: &Path) -> Result<()> {
    let renderer = tools::renderer_for(platform.os, platform.arch)?;
    let program = |name: &str, path: &Path| -> Result<Entry> {
        Ok(Entry {
            name: platform.program(name),
            content: read(path)?,
            program: true,
        })
    };
    let document = |name: &str| -> Result<Entry> {
        Ok(Entry {
            name: name.to_owned(),
            content: read(&tools::repository().join(name))?,
            program: false,
        })
    };
    let entries = vec![
        program("kubectl-gitops", dispatcher)?,
        program("gitops-renderer", &renderer)?,
        document("LICENSE")?,
        document("README.md")?,
    ];
    let name = platform.archive(&version());
    let needs = build::glibc(&entries[0].content).map_or_else(String::new, |(major, minor)| {
        format!(", needs glibc {major}.{minor}")
    });
    let sizes = entries[..2]
        .iter()
        .map(|entry| format!("{} {}", entry.name, megabytes(entry.content.len())))
        .collect::<Vec<_>>()
        .join(", ");
    let packed = archive::write(&name, entries)?;
    say(&format!(
        "{name}: {} ({sizes}; {origin}{needs})",
        megabytes(packed.len()),
    ));
    write(&out.join(&name), &packed)
}

/// Writes the chart, install.yaml, the checksums, and the index with the krew manifest of all
/// archives in the folder.
fn describe(args: &Args, out: &Path) -> Result<()> {
    let version = version();
    let mut archives = Vec::new();
    for platform in PLATFORMS {
        let name = platform.archive(&version);
        let path = out.join(&name);
        if path.is_file() {
            archives.push(Archive {
                platform,
                name,
                sha256: archive::sha256(&read(&path)?),
            });
        }
    }
    let krew = tools::repository().join("krew");
    let template = fs::read_to_string(krew.join("gitops.yaml"))
        .context("cannot read the template of the krew manifest")?;
    let base = args
        .url
        .clone()
        .unwrap_or_else(|| format!("{DOWNLOADS}/{version}"));
    let manifest = manifest::krew(&template, &version, &base, &archives)?;
    let index = out.join("index");
    fs::create_dir_all(index.join("plugins"))?;
    write(&index.join("plugins/gitops.yaml"), manifest.as_bytes())?;
    write(
        &index.join("README.md"),
        &read(&krew.join("index/README.md"))?,
    )?;
    let count = archives.len();
    let mut sums: Vec<_> = archives
        .into_iter()
        .map(|archive| (archive.name, archive.sha256))
        .collect();
    let manifests = tools::repository().join("manifests");
    let chart = chart::archive(&version);
    let packed = archive::write(&chart, chart::entries(&manifests.join("chart"))?)?;
    let install = read(&manifests.join("install.yaml"))?;
    for (name, content) in [(chart, packed), ("install.yaml".to_owned(), install)] {
        write(&out.join(&name), &content)?;
        sums.push((name, archive::sha256(&content)));
    }
    write(
        &out.join("SHA256SUMS"),
        manifest::checksums(&sums).as_bytes(),
    )?;
    say(&format!(
        "{}: {count} of {} archives, chart, install.yaml, SHA256SUMS, index/plugins/gitops.yaml",
        out.display(),
        PLATFORMS.len()
    ));
    Ok(())
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
