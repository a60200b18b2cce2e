//! The platforms of a release, and how a machine can build for each. Decides from what it is told
//! about the machine; asks and runs nothing.

use std::fmt;

/// glibc that programs linked by zig need at least: that of CentOS 7, older than what any
/// maintained distribution has.
pub(crate) const GLIBC: &str = "2.17";

/// An operating system and a processor, named as krew, Go and kubectl do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Platform {
    /// `linux`, `darwin` or `windows`.
    pub(crate) os: &'static str,
    /// `amd64` or `arm64`.
    pub(crate) arch: &'static str,
    /// Rust's names for it, the best first: a static program, where there is one.
    triples: &'static [&'static str],
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.arch)
    }
}

/// Every platform of a release, in the order of the manifest.
pub(crate) const PLATFORMS: [Platform; 6] = [
    Platform {
        os: "linux",
        arch: "amd64",
        triples: &["x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"],
    },
    Platform {
        os: "linux",
        arch: "arm64",
        triples: &["aarch64-unknown-linux-musl", "aarch64-unknown-linux-gnu"],
    },
    Platform {
        os: "darwin",
        arch: "amd64",
        triples: &["x86_64-apple-darwin"],
    },
    Platform {
        os: "darwin",
        arch: "arm64",
        triples: &["aarch64-apple-darwin"],
    },
    Platform {
        os: "windows",
        arch: "amd64",
        triples: &["x86_64-pc-windows-gnu", "x86_64-pc-windows-msvc"],
    },
    Platform {
        os: "windows",
        arch: "arm64",
        triples: &["aarch64-pc-windows-gnullvm", "aarch64-pc-windows-msvc"],
    },
];

impl Platform {
    /// The platform of a Rust target, or of a name like `linux/arm64`.
    pub(crate) fn find(name: &str) -> Option<Self> {
        PLATFORMS
            .into_iter()
            .find(|platform| platform.to_string() == name || platform.triples.contains(&name))
    }

    /// Rust's names for it.
    pub(crate) fn triples(&self) -> &'static [&'static str] {
        self.triples
    }

    /// A program's file name there.
    pub(crate) fn program(&self, name: &str) -> String {
        let suffix = if self.os == "windows" { ".exe" } else { "" };
        format!("{name}{suffix}")
    }

    /// The archive's file name.
    pub(crate) fn archive(&self, version: &str) -> String {
        let form = if self.os == "windows" {
            "zip"
        } else {
            "tar.gz"
        };
        format!("kubectl-gitops_{version}_{}_{}.{form}", self.os, self.arch)
    }
}

/// What a machine can build with.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Rust target of the machine itself.
    pub(crate) host: String,
    /// Rust targets whose standard library is installed, the host among them.
    pub(crate) installed: Vec<String>,
    /// cargo-zigbuild and zig, which link for other systems, are there.
    pub(crate) zig: bool,
    /// The macOS SDK is there: this is a Mac, or `SDKROOT` says where it is.
    pub(crate) apple_sdk: bool,
}

/// How a platform's program is built.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// As `cargo build` does without being told a target.
    Native(String),
    /// For another target with the machine's own linker.
    Cargo(String),
    /// Linked by zig; the glibc version that is asked for, where there is one.
    Zig(String, Option<&'static str>),
}

impl Way {
    /// The Rust target.
    pub(crate) fn triple(&self) -> &str {
        match self {
            Self::Native(triple) | Self::Cargo(triple) | Self::Zig(triple, _) => triple,
        }
    }
}

/// How to build for a platform here; otherwise why that cannot be done, and what would help.
/// `wanted` is the Rust target that was asked for by name.
pub(crate) fn way(
    platform: Platform,
    wanted: Option<&str>,
    machine: &Machine,
) -> Result<Way, String> {
    let candidates: Vec<&str> = platform
        .triples
        .iter()
        .copied()
        .filter(|triple| wanted.is_none_or(|wanted| wanted == *triple))
        .collect();
    let found = candidates
        .iter()
        .find(|triple| machine.installed.iter().any(|there| there == *triple));
    let Some(triple) = found else {
        return Err(format!(
            "Rust's standard library for it is not installed: rustup target add {}",
            candidates.first().unwrap_or(&"TARGET")
        ));
    };
    let native = *triple == machine.host;
    if platform.os == "darwin" {
        if !machine.apple_sdk {
            return Err(
                "the macOS SDK is needed: build on a Mac, or set SDKROOT and install cargo-zigbuild"
                    .to_owned(),
            );
        }
        if machine.host.ends_with("-apple-darwin") {
            return Ok(if native {
                Way::Native(machine.host.clone())
            } else {
                Way::Cargo((*triple).to_owned())
            });
        }
    }
    // Microsoft's linker is there on Windows only, and serves both processors.
    if triple.ends_with("-msvc") && !native {
        return if machine.host.ends_with("-msvc") {
            Ok(Way::Cargo((*triple).to_owned()))
        } else {
            Err(format!(
                "{triple} is built on Windows; elsewhere: rustup target add {}",
                platform.triples[0]
            ))
        };
    }
    if machine.zig {
        let glibc = triple.ends_with("-linux-gnu").then_some(GLIBC);
        return Ok(Way::Zig((*triple).to_owned(), glibc));
    }
    if native {
        return Ok(Way::Native(machine.host.clone()));
    }
    Err("a linker for it is needed: pip install ziglang && cargo install cargo-zigbuild".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: &str = "x86_64-unknown-linux-gnu";

    fn machine(installed: &[&str], zig: bool) -> Machine {
        Machine {
            host: LINUX.to_owned(),
            installed: installed.iter().map(|one| (*one).to_owned()).collect(),
            zig,
            apple_sdk: false,
        }
    }

    fn here(name: &str, machine: &Machine) -> Result<Way, String> {
        let wanted = (!name.contains('/')).then_some(name);
        way(Platform::find(name).unwrap(), wanted, machine)
    }

    #[test]
    fn the_machine_itself_needs_nothing_else() {
        let plain = machine(&[LINUX], false);
        assert_eq!(
            here("linux/amd64", &plain),
            Ok(Way::Native(LINUX.to_owned()))
        );
        let missing = here("linux/arm64", &plain).unwrap_err();
        assert!(missing.ends_with("rustup target add aarch64-unknown-linux-musl"));
    }

    #[test]
    fn zig_links_for_others_and_for_an_old_glibc() {
        let musl = "x86_64-unknown-linux-musl";
        let windows = "x86_64-pc-windows-gnu";
        let with_zig = machine(&[LINUX, windows], true);
        assert_eq!(
            here("linux/amd64", &with_zig),
            Ok(Way::Zig(LINUX.to_owned(), Some(GLIBC)))
        );
        assert_eq!(
            here("windows/amd64", &with_zig),
            Ok(Way::Zig(windows.to_owned(), None))
        );
        // A static program is preferred, unless the other is asked for.
        let both = machine(&[LINUX, musl], true);
        assert_eq!(
            here("linux/amd64", &both),
            Ok(Way::Zig(musl.to_owned(), None))
        );
        assert_eq!(
            here(LINUX, &both),
            Ok(Way::Zig(LINUX.to_owned(), Some(GLIBC)))
        );
        let without = machine(&[LINUX, windows], false);
        assert!(
            here("windows/amd64", &without)
                .unwrap_err()
                .contains("cargo-zigbuild")
        );
    }

    #[test]
    fn what_needs_its_own_system_says_so() {
        let darwin = "aarch64-apple-darwin";
        let linux = machine(&[LINUX, darwin, "aarch64-pc-windows-msvc"], true);
        assert!(
            here("darwin/arm64", &linux)
                .unwrap_err()
                .contains("on a Mac")
        );
        assert!(
            here("windows/arm64", &linux)
                .unwrap_err()
                .contains("on Windows")
        );
        let mac = Machine {
            host: darwin.to_owned(),
            installed: vec![darwin.to_owned(), "x86_64-apple-darwin".to_owned()],
            zig: false,
            apple_sdk: true,
        };
        assert_eq!(
            here("darwin/arm64", &mac),
            Ok(Way::Native(darwin.to_owned()))
        );
        assert_eq!(
            here("darwin/amd64", &mac),
            Ok(Way::Cargo("x86_64-apple-darwin".to_owned()))
        );
    }

    #[test]
    fn names_of_files() {
        let windows = Platform::find("x86_64-pc-windows-gnu").unwrap();
        assert_eq!(
            windows.archive("v1.2.3"),
            "kubectl-gitops_v1.2.3_windows_amd64.zip"
        );
        assert_eq!(windows.program("kubectl-gitops"), "kubectl-gitops.exe");
        let mac = Platform::find("darwin/arm64").unwrap();
        assert_eq!(
            mac.archive("v1.2.3"),
            "kubectl-gitops_v1.2.3_darwin_arm64.tar.gz"
        );
        assert_eq!(Platform::find("sparc-sun-solaris"), None);
    }
}
