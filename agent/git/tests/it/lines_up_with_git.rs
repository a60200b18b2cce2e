//! Whatever a repository holds, a snapshot says the same as `git ls-tree` and `git show`, commit
//! after commit.

use std::collections::BTreeMap;

use gitops_git::{Entry, ItemKind, Mirror, Snapshot, Want};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::origin::Origin;

/// Everything below `directory`: path to mode, id and content, as `git ls-tree -r` lists it.
fn walk(
    snapshot: &Snapshot,
    directory: &str,
    found: &mut BTreeMap<String, (String, String, Vec<u8>)>,
) {
    for item in snapshot.list(directory).unwrap() {
        let path = if directory.is_empty() {
            item.name.clone()
        } else {
            format!("{directory}/{}", item.name)
        };
        let mode = match item.kind {
            ItemKind::Blob => "100644",
            ItemKind::Executable => "100755",
            ItemKind::Symlink => "120000",
            ItemKind::Submodule => "160000",
            ItemKind::Tree => {
                assert_eq!(snapshot.entry(&path).unwrap(), Entry::Tree { id: item.id });
                walk(snapshot, &path, found);
                continue;
            }
        };
        assert_eq!(
            item.kind == ItemKind::Blob,
            matches!(
                snapshot.entry(&path).unwrap(),
                Entry::Blob {
                    executable: false,
                    ..
                }
            )
        );
        found.insert(
            path.clone(),
            (
                mode.to_owned(),
                item.id.to_string(),
                snapshot.read(&path).unwrap(),
            ),
        );
    }
}

fn compare(origin: &Origin, mirror: &Mirror, sha: &str) {
    let mut ours = BTreeMap::new();
    walk(&mirror.snapshot(sha).unwrap(), "", &mut ours);
    let listing = origin.git(&["ls-tree", "-r", "-z", sha]);
    let theirs: BTreeMap<_, _> = listing
        .split_terminator('\0')
        .map(|line| {
            let (head, path) = line.split_once('\t').unwrap();
            let mut words = head.split(' ');
            let (mode, _, id) = (words.next().unwrap(), words.next(), words.next().unwrap());
            let content = origin.git_bytes(&["show", id]);
            (path.to_owned(), (mode.to_owned(), id.to_owned(), content))
        })
        .collect();
    assert_eq!(ours, theirs);
}

/// Names that sort in surprising ways, since Git sorts directories as if they ended in `/`.
fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "a",
        "a-",
        "a.b",
        "a0",
        "ab",
        "A",
        "z",
        "é",
        "with space",
    ]);
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

#[test]
fn any_tree_reads_as_git_reads_it() {
    let file = (
        path(),
        prop::collection::vec(any::<u8>(), 0..300),
        any::<bool>(),
    );
    let commits = prop::collection::vec(prop::collection::vec(file, 0..12), 1..4);
    let mut runner = TestRunner::new(Config {
        cases: 16,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&commits, |commits| {
            let origin = Origin::new();
            let mirror = origin.open(origin.file_access());
            for (number, files) in commits.iter().enumerate() {
                origin.git(&["rm", "-r", "-f", "-q", "--ignore-unmatch", "."]);
                for (path, content, executable) in files {
                    // Where a file is in the way of a directory, or the other way round, the first
                    // one stays.
                    let target = origin.work().join(path);
                    let blocked =
                        target.is_dir() || target.ancestors().skip(1).any(std::path::Path::is_file);
                    if !blocked {
                        origin.write(path, content);
                        origin.git(&["add", "--", path]);
                        let flag = if *executable {
                            "--chmod=+x"
                        } else {
                            "--chmod=-x"
                        };
                        origin.git(&["update-index", flag, "--", path]);
                    }
                }
                origin.git(&[
                    "commit",
                    "--quiet",
                    "--allow-empty",
                    "-m",
                    &number.to_string(),
                ]);
                let sha = origin.sha("HEAD");
                mirror
                    .fetch(&[Want::Ref("refs/heads/main".into())])
                    .unwrap();
                compare(&origin, &mirror, &sha);
            }
            Ok(())
        })
        .unwrap();
}
