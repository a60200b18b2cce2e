//! Builds the programs of a release with cargo, zig and Go, and finds out what this machine can
//! build. Which way is taken is decided in `platform`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::platform;
use super::platform::{Machine, PLATFORMS, Platform, Way};
use crate::tools;

/// Asks the toolchain what it can build.
pub(crate) fn machine() -> Result<Machine> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?
        .to_owned();
    let installed = PLATFORMS
        .iter()
        .flat_map(Platform::triples)
        .filter(|triple| **triple == host || has_standard_library(triple))
        .map(|triple| (*triple).to_owned())
        .collect();
    Ok(Machine {
        zig: answers(Command::new("cargo-zigbuild").arg("--version")) && has_zig(),
        apple_sdk: cfg!(target_os = "macos") || std::env::var_os("SDKROOT").is_some(),
        host,
        installed,
    })
}

fn has_standard_library(triple: &str) -> bool {
    let asked =
        output(Command::new("rustc").args(["--print", "target-libdir", "--target", triple]));
    asked.is_ok_and(|folder| {
        std::fs::read_dir(folder.trim()).is_ok_and(|files| {
            files
                .flatten()
                .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

/// zig is a program of its own or the Python package `ziglang`; cargo-zigbuild takes either.
fn has_zig() -> bool {
    std::env::var_os("CARGO_ZIGBUILD_ZIG_PATH").is_some()
        || answers(Command::new("zig").arg("version"))
        || answers(Command::new("python3").args(["-m", "ziglang", "version"]))
}

fn answers(command: &mut Command) -> bool {
    command
        .current_dir(tools::repository())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .current_dir(tools::repository())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(output.status.success(), "{name} failed: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Builds a package's program in a profile of Cargo.toml; returns where it is.
pub(crate) fn cargo(
    package: &str,
    platform: Platform,
    way: &Way,
    profile: &str,
) -> Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(tools::repository()).stdin(Stdio::null());
    let target = match way {
        Way::Native(_) => None,
        Way::Cargo(triple) | Way::Zig(triple, None) => Some(triple.clone()),
        Way::Zig(triple, Some(glibc)) => Some(format!("{triple}.{glibc}")),
    };
    build
        .arg(match way {
            Way::Zig(..) => "zigbuild",
            Way::Native(_) | Way::Cargo(_) => "build",
        })
        .args(["--locked", "--profile", profile])
        .args(["--package", package, "--bin", package]);
    if let Some(target) = &target {
        build.args(["--target", target]);
    }
    if profile != "dev" {
        build.env("RUSTFLAGS", flags()?);
    }
    let status = build.status().context("cannot run cargo")?;
    ensure!(status.success(), "the build for {} failed", way.triple());
    let mut path = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tools::repository().join("target"), PathBuf::from);
    if target.is_some() {
        path.push(way.triple());
    }
    path.push(if profile == "dev" { "debug" } else { profile });
    path.push(platform.program(package));
    Ok(path)
}

/// The same in the way that is best here.
pub(crate) fn program(package: &str, platform: Platform, profile: &str) -> Result<PathBuf> {
    match platform::way(platform, None, &machine()?) {
        Ok(way) => cargo(package, platform, &way, profile),
        Err(reason) => bail!("cannot build for {platform} here: {reason}"),
    }
}

/// Messages of panics name source files: without this, those of whoever built the release.
fn flags() -> Result<OsString> {
    let mut flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
    let cargo_home = match std::env::var_os("CARGO_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => dirs::home_dir()
            .context("there is no home folder; set CARGO_HOME")?
            .join(".cargo"),
    };
    for (folder, name) in [
        (cargo_home.as_path(), "/cargo"),
        (tools::repository().as_path(), "/kubectl-gitops"),
    ] {
        // cargo splits the variable at spaces.
        let text = folder.display().to_string();
        if !text.contains(' ') {
            flags.push(format!(" --remap-path-prefix={text}={name}"));
        }
    }
    Ok(flags)
}

/// The newest glibc version that a program asks for; none for static programs and other systems.
pub(crate) fn glibc(program: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_2.";
    program
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .filter_map(|(at, _)| {
            let rest = &program[at + MARK.len()..];
            let digits: String = rest
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .map(|byte| char::from(*byte))
                .collect();
            digits.parse().ok()
        })
        .max()
        .map(|minor| (2, minor))
}

/// Runs a program that was built for this machine: it says its version.
pub(crate) fn check_version(program: &Path, version: &str) -> Result<()> {
    let said = output(Command::new(program).arg("--version"))?;
    let number = version.trim_start_matches('v');
    ensure!(
        said.split_whitespace().any(|word| word == number),
        "{} says {said:?}, not {number}",
        program.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_glibc_that_is_needed() {
        assert_eq!(
            glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0"),
            Some((2, 34))
        );
        assert_eq!(glibc(b"\0GLIBC_PRIVATE\0static"), None);
    }
}
