//! The krew manifest and the list of checksums, from the archives of a release. Pure.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::platform::Platform;

/// An archive that users download.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    /// What it is for.
    pub(crate) platform: Platform,
    /// Its file name.
    pub(crate) name: String,
    /// Its SHA-256, hexadecimal.
    pub(crate) sha256: String,
}

/// The manifest: the template with the version, and a platform for each archive, whose address is
/// `base` and its name.
pub(crate) fn krew(
    template: &str,
    version: &str,
    base: &str,
    archives: &[Archive],
) -> Result<String> {
    const VERSION: &str = "@VERSION@";
    ensure!(
        template.matches(VERSION).count() == 1,
        "the template of the krew manifest does not have {VERSION} exactly once"
    );
    ensure!(!archives.is_empty(), "there is no archive");
    let body: String = template
        .lines()
        .skip_while(|line| line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut manifest = format!(
        "# Written by `cargo xtask release`.\n{}  platforms:\n",
        body.replace(VERSION, version)
    );
    let base = base.trim_end_matches('/');
    // The sum is quoted: one that has only digits would be read as a number.
    for archive in archives {
        let Platform { os, arch, .. } = archive.platform;
        let program = archive.platform.program("kubectl-gitops");
        let (name, sha256) = (&archive.name, &archive.sha256);
        writeln!(
            manifest,
            "    - selector:\n        matchLabels:\n          os: {os}\n          arch: {arch}\n      \
             uri: {base}/{name}\n      sha256: \"{sha256}\"\n      bin: {program}"
        )?;
    }
    Ok(manifest)
}

/// Lines as `sha256sum --check` reads them.
pub(crate) fn checksums(files: &[(String, String)]) -> String {
    let mut lines: Vec<_> = files
        .iter()
        .map(|(name, sha256)| format!("{sha256}  {name}\n"))
        .collect();
    lines.sort_by(|a, b| a[64..].cmp(&b[64..]));
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archives() -> Vec<Archive> {
        ["linux/amd64", "windows/arm64"]
            .iter()
            .map(|name| {
                let platform = Platform::find(name).unwrap();
                Archive {
                    platform,
                    name: platform.archive("v1.2.3"),
                    sha256: "ab".repeat(32),
                }
            })
            .collect()
    }

    #[test]
    fn a_manifest_names_every_archive() {
        let template = "# How to.\nspec:\n  version: @VERSION@\n";
        let manifest = krew(template, "v1.2.3", "https://x/v1.2.3/", &archives()).unwrap();
        let sum = "ab".repeat(32);
        assert_eq!(
            manifest,
            format!(
                "# Written by `cargo xtask release`.
spec:
  version: v1.2.3
  platforms:
    - selector:
        matchLabels:
          os: linux
          arch: amd64
      uri: https://x/v1.2.3/kubectl-gitops_v1.2.3_linux_amd64.tar.gz
      sha256: \"{sum}\"
      bin: kubectl-gitops
    - selector:
        matchLabels:
          os: windows
          arch: arm64
      uri: https://x/v1.2.3/kubectl-gitops_v1.2.3_windows_arm64.zip
      sha256: \"{sum}\"
      bin: kubectl-gitops.exe
"
            )
        );
    }

    #[test]
    fn a_manifest_without_version_or_archives_is_refused() {
        assert!(krew("spec: {}\n", "v1", "https://x", &archives()).is_err());
        assert!(krew("version: @VERSION@\n", "v1", "https://x", &[]).is_err());
    }

    /// krew-index reviewers take a short description of fifty characters at most.
    #[test]
    fn the_template_is_what_krew_wants() {
        let template = include_str!("../../../../krew/gitops.yaml");
        let short = template
            .lines()
            .find_map(|line| line.trim().strip_prefix("shortDescription: "))
            .unwrap();
        assert!(short.len() <= 50, "{short}");
        krew(template, "v1.2.3", "https://x", &archives()).unwrap();
    }

    #[test]
    fn checksums_are_sorted_by_name() {
        let sum = "0".repeat(64);
        let files = [("b".to_owned(), sum.clone()), ("a".to_owned(), sum.clone())];
        assert_eq!(checksums(&files), format!("{sum}  a\n{sum}  b\n"));
    }
}
