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
/// 3. a full name (`refs/heads/main`) is that ref; a short one is a tag, then a branch (as in
///    gitrevisions(7); [`overshadowed`] tells when both exist). With `tag_prefix` the tag of that
///    name behind the prefix comes first;
/// 4. a version range (also a plain version such as `1.2`) is the newest tag inside it, when
///    there is one; with `tag_prefix` only tags that begin with it count, and the rest of their
///    name is the version;
/// 5. any other ref of that short name, in the order a server lists them;
/// 6. seven or more hexadecimal digits are the beginning of a commit id.
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
    found(target)
        .filter(|_| target.starts_with("refs/"))
        .or_else(|| found(&format!("{TAGS}{tag_prefix}{target}")))
        .or_else(|| found(&format!("{TAGS}{target}")))
        .or_else(|| found(&format!("{HEADS}{target}")))
        .or_else(|| newest_tag(refs, target, tag_prefix).and_then(|name| found(&name)))
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

/// The branch that is passed over because a tag has the same name, when `target` names both and
/// was resolved to `taken`.
pub fn overshadowed<T>(refs: &BTreeMap<String, T>, target: &str, taken: &str) -> Option<String> {
    let target = target.trim();
    let branch = format!("{HEADS}{target}");
    (taken.strip_prefix(TAGS) == Some(target) && refs.contains_key(&branch)).then_some(branch)
}

/// The tag that a deployment followed by its exact name, and that has moved since: `taken` is what
/// `target` resolves to now, `sha` its commit; `deployed` are targets and commits of earlier
/// deployments of the same repository, newest last. Gives the commit it was at last.
pub fn moved_tag<'a>(
    taken: &str,
    target: &str,
    tag_prefix: &str,
    sha: &str,
    deployed: impl DoubleEndedIterator<Item = (&'a str, &'a str)>,
) -> Option<&'a str> {
    let target = target.trim();
    let tag = taken.strip_prefix(TAGS)?;
    let is_exact = tag == target
        || tag.strip_prefix(tag_prefix) == Some(target)
        || target.strip_prefix(TAGS) == Some(tag);
    let mut before = deployed
        .rev()
        .filter(|(followed, _)| followed.trim() == target);
    is_exact
        .then(|| before.find(|(_, commit)| *commit != sha))?
        .map(|(_, commit)| commit)
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
            // As Git itself: a tag before a branch.
            ("both", "refs/tags/both"),
            ("refs/heads/both", "refs/heads/both"),
            ("heads/both", "refs/heads/both"),
            ("refs/tags/both", "refs/tags/both"),
            ("tags/both", "refs/tags/both"),
            ("team/feature", "refs/heads/team/feature"),
            ("pull/7/head", "refs/pull/7/head"),
            ("nightly", "refs/tags/nightly"),
            // What exists by that very name is no range.
            ("1.x", "refs/heads/1.x"),
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

    /// What else is a name and reads as a range: a branch or tag called like a version, a part of
    /// one, with a `v`, an operator or a wildcard; with and without newer versions beside it.
    #[test]
    fn a_pin_is_a_pin() {
        let names = [
            "refs/heads/1.2",
            "refs/heads/main",
            "refs/heads/v2",
            "refs/heads/*",
            "refs/tags/1",
            "refs/tags/1.2.0",
            "refs/tags/1.2.9",
            "refs/tags/v1.3",
            "refs/tags/v1.3.4",
            "refs/tags/v2.5.0",
            "refs/tags/^3",
            "refs/tags/v3.1.0",
            "refs/tags/web-1.4",
            "refs/tags/web-1.4.7",
            "refs/tags/1.4",
        ];
        for (target, prefix, expected) in [
            ("1.2", "", "refs/heads/1.2"),
            ("1", "", "refs/tags/1"),
            ("v1.3", "", "refs/tags/v1.3"),
            ("v2", "", "refs/heads/v2"),
            ("*", "", "refs/heads/*"),
            ("^3", "", "refs/tags/^3"),
            ("1.4", "web-", "refs/tags/web-1.4"),
            ("1.2.*", "", "refs/tags/1.2.9"),
            ("~2.5", "", "refs/tags/v2.5.0"),
            ("1.4.*", "web-", "refs/tags/web-1.4.7"),
            ("3", "", "refs/tags/v3.1.0"),
        ] {
            let found = match resolve(&refs(&names), None, target, prefix) {
                Resolution::Ref { name, .. } => name,
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{target} {prefix}");
        }
    }

    #[test]
    fn a_branch_behind_a_tag_is_told() {
        let told = |target: &str, taken: &str| overshadowed(&sample(), target, taken);
        assert_eq!(
            told("both", "refs/tags/both").as_deref(),
            Some("refs/heads/both")
        );
        assert_eq!(
            told(" both ", "refs/tags/both").as_deref(),
            Some("refs/heads/both")
        );
        assert_eq!(
            told("refs/tags/both", "refs/tags/both"),
            None,
            "named in full"
        );
        assert_eq!(told("refs/heads/both", "refs/heads/both"), None);
        assert_eq!(told("nightly", "refs/tags/nightly"), None, "no such branch");
        assert_eq!(told("1.*", "refs/tags/v1.10.0"), None, "a range");
    }

    #[test]
    fn a_tag_that_moved_is_told() {
        let deployed = [("main", "a"), ("v1", "b"), ("v1", "c"), ("v2", "d")];
        let told = |taken: &str, target: &str, prefix: &str, sha: &str| {
            moved_tag(taken, target, prefix, sha, deployed.into_iter())
        };
        assert_eq!(told("refs/tags/v1", "v1", "", "e"), Some("c"));
        assert_eq!(
            told("refs/tags/v1", "v1", "", "c"),
            Some("b"),
            "it moved before, too"
        );
        assert_eq!(told("refs/tags/v2", "v2", "", "d"), None, "where it was");
        assert_eq!(told("refs/tags/v3", "v3", "", "e"), None, "never deployed");
        assert_eq!(told("refs/heads/main", "main", "", "e"), None, "a branch");
        assert_eq!(told("refs/tags/v1.5", "v1.*", "", "e"), None, "a range");
        assert_eq!(told("refs/tags/web-v1", "v1", "web-", "e"), Some("c"));
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
