//! Commits, short ids, ancestry.

use gitops_git::{GitError, Mirror, Want};

use crate::origin::Origin;

/// ```text
/// first - second - third (main)
///      \- side - merge (topic) of second
/// ```
fn forked() -> (Origin, Mirror, [String; 5]) {
    let (origin, first) = Origin::with_one_commit();
    origin.write("app/a.yaml", "a: 2\n");
    let second = origin.commit("second\n\nwith a body");
    origin.git(&["checkout", "--quiet", "-b", "topic", &first]);
    origin.write("side", "s");
    let side = origin.commit("side");
    origin.git(&["merge", "--quiet", "--no-ff", "-m", "merge", &second]);
    let merge = origin.sha("HEAD");
    origin.git(&["checkout", "--quiet", "main"]);
    origin.write("app/a.yaml", "a: 3\n");
    let third = origin.commit("third");
    let mirror = origin.open(origin.file_access());
    mirror.fetch(&[Want::AllHeadsAndTags]).unwrap();
    (origin, mirror, [first, second, third, side, merge])
}

#[test]
fn commits_tell_who_when_and_what() {
    let (origin, mirror, [first, second, ..]) = forked();
    let commit = mirror.commit(&second).unwrap();
    assert_eq!(
        (commit.sha.as_str(), commit.subject.as_str()),
        (second.as_str(), "second")
    );
    assert_eq!(
        (commit.author_name.as_str(), commit.author_email.as_str()),
        ("Ada Lovelace", "ada@example.com")
    );
    assert_eq!(commit.parents, [first]);
    assert_eq!(commit.message, "second\n\nwith a body\n");
    let seconds = origin.git(&["show", "-s", "--format=%ct", &second]);
    assert_eq!(commit.time.to_string(), seconds.trim());
    assert!(matches!(
        mirror.commit(&"1".repeat(40)),
        Err(GitError::RevisionNotFound { .. })
    ));
}

#[test]
fn ancestry_and_distance_agree_with_git() {
    let (origin, mirror, commits) = forked();
    for a in &commits {
        for b in &commits {
            let merge_base = origin.git(&["rev-list", b]);
            assert_eq!(
                mirror.is_ancestor(a, b).unwrap(),
                merge_base.lines().any(|line| line == a),
                "{a} {b}"
            );
            let count = origin.git(&["rev-list", "--count", &format!("{a}..{b}")]);
            assert_eq!(
                mirror.count_between(a, b).unwrap().to_string(),
                count.trim(),
                "{a}..{b}"
            );
        }
    }
}

#[test]
fn short_ids_find_commits_only() {
    let (origin, mirror, [first, ..]) = forked();
    assert_eq!(
        mirror.find_short_sha(&first[..7]).unwrap(),
        Some(first.clone())
    );
    assert_eq!(
        mirror.find_short_sha(&first[..8].to_uppercase()).unwrap(),
        Some(first.clone())
    );
    assert_eq!(mirror.find_short_sha(&first).unwrap(), Some(first.clone()));
    let blob = origin.sha("main:README");
    assert_eq!(mirror.find_short_sha(&blob[..12]).unwrap(), None);
    for nothing in ["", "abc", "nothex!", "0000000000", &"0".repeat(41)] {
        assert_eq!(mirror.find_short_sha(nothing).unwrap(), None, "{nothing}");
    }
}

#[test]
fn ambiguous_short_ids_are_an_error_that_names_the_candidates() {
    let (origin, _) = Origin::with_one_commit();
    // Four digits of a few hundred commits collide all but certainly.
    let mut shas = Vec::new();
    let tree = origin.sha("HEAD^{tree}");
    let pair = loop {
        let parent = origin.sha("HEAD");
        let message = shas.len().to_string();
        let sha = origin
            .git(&["commit-tree", &tree, "-p", &parent, "-m", &message])
            .trim()
            .to_owned();
        origin.git(&["update-ref", "HEAD", &sha]);
        if let Some(other) = shas.iter().find(|other: &&String| other[..4] == sha[..4]) {
            break [other.clone(), sha];
        }
        shas.push(sha);
    };
    let mirror = origin.open(origin.file_access());
    mirror.fetch(&[Want::AllHeadsAndTags]).unwrap();
    let error = mirror.find_short_sha(&pair[0][..4]).unwrap_err();
    assert!(
        matches!(error, GitError::AmbiguousRevision { .. }),
        "{error}"
    );
    assert!(
        pair.iter().all(|sha| error.to_string().contains(sha)),
        "{error}"
    );
}
