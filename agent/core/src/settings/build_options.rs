//! `kustomize.buildOptions` of argocd-cm: flags of `kustomize build`, read as they are there. What runs programs of a
//! repository is refused by name.

/// Flags of `kustomize build` that are followed. Charts are inflated in any case: no program is run for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KustomizeBuild {
    /// `--load-restrictor LoadRestrictionsNone`: files outside of their kustomization's folder, inside of the repository.
    pub load_anywhere: bool,
    /// `--reorder legacy`: objects by kind.
    pub legacy_order: bool,
    /// `--enable-managedby-label`.
    pub managed_by_label: bool,
}

/// Flags that change nothing here: charts are inflated by Helm's library, and errors are short.
const WITHOUT_EFFECT: [&str; 4] = [
    "--enable-helm",
    "--helm-command",
    "--helm-debug",
    "--stack-trace",
];
/// Flags that let a repository run programs or containers.
const PROGRAMS: [&str; 9] = [
    "--enable-alpha-plugins",
    "--enable-exec",
    "--enable-star",
    "--network",
    "--network-name",
    "--mount",
    "--env",
    "-e",
    "--as-current-user",
];
/// Flags without a value, or with one after `=` only.
const SWITCHES: [&str; 8] = [
    "--enable-helm",
    "--helm-debug",
    "--stack-trace",
    "--enable-alpha-plugins",
    "--enable-exec",
    "--enable-star",
    "--network",
    "--as-current-user",
];

/// Reads the flags; what is not followed is said, with what to do instead.
pub(super) fn read(text: &str) -> (KustomizeBuild, Vec<String>) {
    let mut build = KustomizeBuild::default();
    let mut problems = Vec::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let (flag, given) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word, None),
        };
        if flag == "--enable-managedby-label" {
            build.managed_by_label = given != Some("false");
            continue;
        }
        let value = match given {
            None if flag.starts_with('-') && !SWITCHES.contains(&flag) => {
                words.next().unwrap_or_default()
            }
            given => given.unwrap_or_default(),
        };
        match (flag, value) {
            ("--load-restrictor", "LoadRestrictionsNone" | "none") => build.load_anywhere = true,
            ("--load-restrictor", "LoadRestrictionsRootOnly" | "rootOnly") => {
                build.load_anywhere = false;
            }
            ("--reorder", "legacy") => build.legacy_order = true,
            ("--reorder", "none") => build.legacy_order = false,
            (flag, _) if WITHOUT_EFFECT.contains(&flag) => {}
            (flag, _) if PROGRAMS.contains(&flag) => problems.push(format!(
                "{flag} is not followed, because generators and transformers that are programs or containers are not run"
            )),
            ("--helm-kube-version" | "--helm-api-versions", _) => problems.push(format!(
                "{flag} is not followed; charts see what their cluster has, or what spec.source.kustomize.kubeVersion and apiVersions say"
            )),
            (flag, "") => problems.push(format!("{flag} is not followed")),
            (flag, value) => problems.push(format!("{flag} {value} is not followed")),
        }
    }
    (build, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_followed_or_named() {
        let none = KustomizeBuild::default();
        let anywhere = KustomizeBuild {
            load_anywhere: true,
            ..none
        };
        for (text, expected, problems) in [
            ("", none, &[][..]),
            ("--enable-helm --helm-command helm3", none, &[]),
            ("--load-restrictor LoadRestrictionsNone", anywhere, &[]),
            (
                "--load-restrictor=LoadRestrictionsNone --enable-helm",
                anywhere,
                &[],
            ),
            (
                "--reorder legacy --enable-managedby-label",
                KustomizeBuild {
                    legacy_order: true,
                    managed_by_label: true,
                    ..none
                },
                &[],
            ),
            (
                "--enable-alpha-plugins --enable-exec --load-restrictor LoadRestrictionsNone -e A=b",
                anywhere,
                &["--enable-alpha-plugins is", "--enable-exec is", "-e is"],
            ),
            (
                "--helm-kube-version 1.30",
                none,
                &["--helm-kube-version is"],
            ),
            (
                "--load-restrictor anything",
                none,
                &["--load-restrictor anything is not followed"],
            ),
            (
                "--output x.yaml",
                none,
                &["--output x.yaml is not followed"],
            ),
            ("word", none, &["word is not followed"]),
        ] {
            let (build, said) = read(text);
            assert_eq!(build, expected, "{text}");
            assert_eq!(said.len(), problems.len(), "{said:?}");
            for (said, expected) in said.iter().zip(problems) {
                assert!(said.starts_with(expected), "{said}");
            }
        }
    }
}
