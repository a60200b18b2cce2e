//! Which commit a `targetRevision` means, given the refs of a repository.
//!
//! Never talks to a repository; what only the object database can answer is handed back as a
//! question. Source of the rules: Argo CD, "Tracking and Deployment Strategies" and its Git
//! client's `LsRemote`.

use std::collections::BTreeMap;

use crate::nearest::alike;
use crate::source::version::Constraint;

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
/// Most names that are suggested for one that does not exist.
const SUGGESTIONS: usize = 3;

/// What a revision means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// A full commit id, taken as it is (lower-cased). Whether it exists is not known yet.
    Sha(String),
    /// The beginning of a commit id: the object database has to be asked.
    NeedsShortShaLookup(String),
    /// A ref of the repository.
    Ref {
        /// Full name: `refs/heads/main`, `refs/tags/v1.2.0`, or `HEAD`.
        name: String,
        /// The commit it points at.
        sha: String,
    },
    /// Nothing of that name.
    NotFound {
        /// Branches and tags with similar names, most similar first.
        nearest: Vec<String>,
    },
}

/// Finds the commit `target` means. Borrows the refs, however many there are: it is asked often.
///
/// `refs` maps full names to what they point to, and `commit` gives the commit id of that (of the
/// commit a tag names, not of a tag object). `head` is what HEAD stands for: the full
/// name of a branch, or a commit id. The first rule that applies decides:
///
/// 1. 40 hexadecimal digits are a commit;
/// 2. nothing, or `HEAD`, is the default branch;
/// 3. a version range (also a plain version such as `1.2`) is the newest tag inside it, when
///    there is one; with `tag_prefix` only tags that begin with it count, and the rest of their
///    name is the version;
/// 4. a full name (`refs/heads/main`) is that ref; a short one is a branch, then a tag, then any
///    other ref, in the order a server lists them;
/// 5. seven or more hexadecimal digits are the beginning of a commit id.
pub fn resolve<T>(
    refs: &BTreeMap<String, T>,
    commit: impl Fn(&T) -> &str,
    head: Option<&str>,
    target: &str,
    tag_prefix: &str,
) -> Resolution {
    let target = target.trim();
    if is_commit_id(target) {
        return Resolution::Sha(target.to_ascii_lowercase());
    }
    if target.is_empty() || target == "HEAD" {
        return resolve_head(refs, commit, head);
    }
    let found = |name: &str| {
        refs.get(name).map(|named| Resolution::Ref {
            name: name.into(),
            sha: commit(named).into(),
        })
    };
    newest_tag(refs, target, tag_prefix)
        .and_then(|name| found(&name))
        .or_else(|| found(target).filter(|_| target.starts_with("refs/")))
        .or_else(|| found(&format!("{HEADS}{target}")))
        .or_else(|| found(&format!("{TAGS}{target}")))
        .or_else(|| {
            refs.keys()
                .find(|name| short_name(name) == target)
                .and_then(|name| found(name))
        })
        // `heads/main` and `tags/v1`, as Git itself reads them.
        .or_else(|| found(&format!("refs/{target}")))
        .unwrap_or_else(|| {
            if is_abbreviated_commit_id(target) {
                Resolution::NeedsShortShaLookup(target.to_ascii_lowercase())
            } else {
                Resolution::NotFound {
                    nearest: alike(short_name(target), branches_and_tags(refs), SUGGESTIONS)
                        .into_iter()
                        .map(Into::into)
                        .collect(),
                }
            }
        })
}

/// Whether a revision can mean another commit tomorrow: everything but a commit id.
pub fn moves(target: &str) -> bool {
    !is_commit_id(target.trim())
}

fn resolve_head<T>(
    refs: &BTreeMap<String, T>,
    commit: impl Fn(&T) -> &str,
    head: Option<&str>,
) -> Resolution {
    let named = |name: &str| refs.get(name).map(&commit);
    let branch = head.and_then(|name| Some((name, named(name)?)));
    let detached = head.filter(|text| is_commit_id(text));
    match (branch, detached.or_else(|| named("HEAD"))) {
        (Some((name, sha)), _) => Resolution::Ref {
            name: name.into(),
            sha: sha.into(),
        },
        (None, Some(sha)) => Resolution::Ref {
            name: "HEAD".into(),
            sha: sha.into(),
        },
        (None, None) => Resolution::NotFound {
            nearest: branches_and_tags(refs)
                .take(SUGGESTIONS)
                .map(Into::into)
                .collect(),
        },
    }
}

fn newest_tag<T>(refs: &BTreeMap<String, T>, target: &str, tag_prefix: &str) -> Option<String> {
    let range = Constraint::parse(target).ok()?;
    let versions = || {
        refs.range(TAGS.to_owned()..)
            .map_while(|(name, _)| name.strip_prefix(TAGS))
            .filter_map(|tag| tag.strip_prefix(tag_prefix))
    };
    // `v1.2.3` and `1.2.3` are one version: the spelling that was asked for comes first.
    let asked = versions().filter(|version| *version == target);
    let newest = range.newest(asked.chain(versions()))?;
    Some(format!("{TAGS}{tag_prefix}{newest}"))
}

/// The first seven characters of a commit id; versions of charts are left whole.
pub fn short(revision: &str) -> &str {
    if revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        &revision[..7]
    } else {
        revision
    }
}

/// The name people use for a ref.
fn short_name(name: &str) -> &str {
    [HEADS, TAGS, "refs/remotes/", "refs/"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

fn is_commit_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_abbreviated_commit_id(text: &str) -> bool {
    (7..40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn branches_and_tags<T>(refs: &BTreeMap<String, T>) -> impl Iterator<Item = &str> {
    refs.keys()
        .filter_map(|name| name.strip_prefix(HEADS).or_else(|| name.strip_prefix(TAGS)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn resolve(
        refs: &BTreeMap<String, String>,
        head: Option<&str>,
        target: &str,
        tag_prefix: &str,
    ) -> Resolution {
        super::resolve(refs, |sha| sha, head, target, tag_prefix)
    }

    fn refs(names: &[&str]) -> BTreeMap<String, String> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), format!("sha of {name}")))
            .collect()
    }

    fn sample() -> BTreeMap<String, String> {
        refs(&[
            "refs/heads/main",
            "refs/heads/release-1",
            "refs/heads/both",
            "refs/heads/1.x",
            "refs/heads/2.x",
            "refs/heads/abcdef0",
            "refs/heads/team/feature",
            "refs/tags/both",
            "refs/tags/v1.0.0",
            "refs/tags/v1.10.0",
            "refs/tags/v1.9.0",
            "refs/tags/v3.0.0-rc.1",
            "refs/tags/1.9.0",
            "refs/tags/chart-2.0.0",
            "refs/tags/chart-2.1.0",
            "refs/tags/nightly",
            "refs/pull/7/head",
        ])
    }

    #[test]
    fn order_of_the_rules() {
        let cases = [
            ("", "refs/heads/main"),
            ("HEAD", "refs/heads/main"),
            ("main", "refs/heads/main"),
            (" main ", "refs/heads/main"),
            ("refs/heads/main", "refs/heads/main"),
            ("heads/main", "refs/heads/main"),
            ("both", "refs/heads/both"),
            ("refs/tags/both", "refs/tags/both"),
            ("tags/both", "refs/tags/both"),
            ("team/feature", "refs/heads/team/feature"),
            ("pull/7/head", "refs/pull/7/head"),
            ("nightly", "refs/tags/nightly"),
            // A version range is tags first, even when a branch has that name.
            ("1.x", "refs/tags/v1.10.0"),
            ("2.x", "refs/heads/2.x"),
            ("1.*", "refs/tags/v1.10.0"),
            ("~1.9", "refs/tags/1.9.0"),
            ("v1.9.0", "refs/tags/v1.9.0"),
            ("1.9.0", "refs/tags/1.9.0"),
            ("v1.0", "refs/tags/v1.0.0"),
            (">=3.0.0-0", "refs/tags/v3.0.0-rc.1"),
            ("abcdef0", "refs/heads/abcdef0"),
        ];
        for (target, expected) in cases {
            let resolution = resolve(&sample(), Some("refs/heads/main"), target, "");
            let expected = Resolution::Ref {
                name: expected.into(),
                sha: format!("sha of {expected}"),
            };
            assert_eq!(resolution, expected, "{target}");
        }
    }

    #[test]
    fn prefixes_of_tags() {
        let name = |target: &str, prefix: &str| match resolve(&sample(), None, target, prefix) {
            Resolution::Ref { name, .. } => Some(name),
            _ => None,
        };
        assert_eq!(
            name("2.*", "chart-").as_deref(),
            Some("refs/tags/chart-2.1.0")
        );
        assert_eq!(name("2.*", "other-"), None);
        assert_eq!(name("main", "chart-").as_deref(), Some("refs/heads/main"));
        assert_eq!(
            name("v1.0.0", "chart-").as_deref(),
            Some("refs/tags/v1.0.0")
        );
    }

    #[test]
    fn commit_ids() {
        let resolve = |target: &str| resolve(&sample(), None, target, "");
        assert_eq!(resolve(SHA), Resolution::Sha(SHA.into()));
        assert_eq!(resolve(&SHA.to_uppercase()), Resolution::Sha(SHA.into()));
        assert_eq!(
            resolve("0123ABC"),
            Resolution::NeedsShortShaLookup("0123abc".into())
        );
        assert_eq!(
            resolve("1234567"),
            Resolution::NeedsShortShaLookup("1234567".into())
        );
        assert!(matches!(resolve("0123ab"), Resolution::NotFound { .. }));
        assert!(matches!(
            resolve(&SHA[..39]),
            Resolution::NeedsShortShaLookup(_)
        ));
        assert!(!moves(SHA) && moves("main") && moves("1.x") && moves(""));
    }

    #[test]
    fn head() {
        let refs = sample();
        let of = |head| resolve(&refs, head, "HEAD", "");
        assert_eq!(
            of(Some(SHA)),
            Resolution::Ref {
                name: "HEAD".into(),
                sha: SHA.into()
            }
        );
        assert!(matches!(
            of(Some("refs/heads/gone")),
            Resolution::NotFound { .. }
        ));
        assert_eq!(
            of(None),
            Resolution::NotFound {
                nearest: vec!["1.x".into(), "2.x".into(), "abcdef0".into()]
            }
        );
    }

    #[test]
    fn suggestions() {
        let cases: [(&str, &[&str]); 7] = [
            ("mian", &["main"]),
            ("Main", &["main"]),
            ("refs/heads/mainn", &["main"]),
            ("feature", &["team/feature"]),
            ("v1.10", &[]),
            ("v1.11.0", &["v1.10.0", "v1.0.0"]),
            ("completely-different", &[]),
        ];
        for (target, expected) in cases {
            match resolve(&sample(), None, target, "") {
                Resolution::NotFound { nearest } => {
                    let expected: Vec<String> = expected.iter().map(|s| (*s).into()).collect();
                    assert!(nearest.starts_with(&expected), "{target}: {nearest:?}");
                    assert_eq!(
                        nearest.is_empty(),
                        expected.is_empty(),
                        "{target}: {nearest:?}"
                    );
                }
                Resolution::Ref { name, .. } => {
                    assert_eq!((target, name.as_str()), ("v1.10", "refs/tags/v1.10.0"));
                }
                other => panic!("{target}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn every_ref_is_found_by_its_full_name(index in 0..17_usize) {
            let refs = sample();
            let name = refs.keys().nth(index).unwrap();
            let expected = Resolution::Ref { name: name.clone(), sha: refs[name].clone() };
            prop_assert_eq!(resolve(&refs, None, name, ""), expected);
        }

        #[test]
        fn resolving_never_panics(target in "\\PC{0,45}", prefix in "[a-z-]{0,3}") {
            let _ = resolve(&sample(), Some("refs/heads/main"), &target, &prefix);
        }
    }
}
