//! Restoring files over random histories: with merges, renames, files that become directories and
//! directories that become files, shared bases. The files of the set are the target's afterwards, all
//! others are the branch's, whoever pushes meanwhile.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use kubectl_gitops::git::{Edit, NewCommit, Pushed, Repository, Target};
use proptest::prelude::*;

use crate::scratch::{Scratch, git};

mod scratch;

/// Paths of histories. Some are in each other's way.
const PATHS: [&str; 10] = [
    "apps/web",
    "apps/web/a.yaml",
    "apps/web/b.yaml",
    "apps/web/nested/c.yaml",
    "apps/shop/a.yaml",
    "apps/shop/ü n.yaml",
    "base",
    "base/x.yaml",
    "base/y.yaml",
    "README.md",
];

type Files = BTreeMap<String, u8>;

/// A commit, by what it does to the files of the one it follows.
#[derive(Clone, Debug)]
struct Step {
    /// Which earlier commit it follows, and which it merges.
    parents: (usize, Option<usize>),
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, u8),
    Delete(usize),
    Rename(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let path = 0..PATHS.len();
    prop_oneof![
        4 => (path.clone(), 0..6_u8).prop_map(|(path, text)| Change::Write(path, text)),
        1 => path.clone().prop_map(Change::Delete),
        1 => (path.clone(), path).prop_map(|(from, to)| Change::Rename(from, to)),
    ]
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        any::<prop::sample::Index>(),
        prop::option::weighted(0.3, any::<prop::sample::Index>()),
        prop::collection::vec(change(), 1..5),
    );
    prop::collection::vec(step, 2..12).prop_map(|steps| {
        steps
            .into_iter()
            .enumerate()
            .map(|(number, (parent, merged, changes))| {
                // Mostly one after the other, now and then from further back.
                let back = parent.index(number.max(1)).min(2);
                Step {
                    parents: (
                        number.saturating_sub(1 + back / 2),
                        merged
                            .filter(|_| number > 0)
                            .map(|merged| merged.index(number)),
                    ),
                    changes,
                }
            })
            .collect()
    })
}

/// Writes a file as a working tree would: what is in its way goes.
fn write(files: &mut Files, path: &str, text: u8) {
    let beneath = format!("{path}/");
    files
        .retain(|other, _| !other.starts_with(&beneath) && !path.starts_with(&format!("{other}/")));
    files.insert(path.to_owned(), text);
}

/// The files of each commit.
fn play(steps: &[Step]) -> Vec<Files> {
    let mut all: Vec<Files> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let mut files = Files::new();
        if number > 0 {
            files = all[step.parents.0].clone();
            if let Some(merged) = step.parents.1 {
                for (path, text) in &all[merged] {
                    write(&mut files, path, *text);
                }
            }
        }
        for change in &step.changes {
            match change {
                Change::Write(path, text) => write(&mut files, PATHS[*path], *text),
                Change::Delete(path) => drop(files.remove(PATHS[*path])),
                Change::Rename(from, to) => {
                    if let Some(text) = files.remove(PATHS[*from]) {
                        write(&mut files, PATHS[*to], text);
                    }
                }
            }
        }
        all.push(files);
    }
    all
}

fn content(text: u8) -> String {
    format!("text: {text}\n")
}

/// Puts a history on the server; returns the commits' ids. The last one is `main`.
fn import(scratch: &Scratch, steps: &[Step], states: &[Files]) -> Vec<String> {
    let mut stream = String::new();
    for (number, (step, files)) in steps.iter().zip(states).enumerate() {
        let mark = number + 1;
        let _ = write!(
            stream,
            "commit refs/marks/{mark}\nmark :{mark}\ncommitter T <t@example.com> {} +0000\ndata 4\nStep\n",
            1_700_000_000 + number
        );
        if number > 0 {
            let _ = writeln!(stream, "from :{}", step.parents.0 + 1);
            if let Some(merged) = step.parents.1 {
                let _ = writeln!(stream, "merge :{}", merged + 1);
            }
        }
        stream.push_str("deleteall\n");
        for (path, text) in files {
            let content = content(*text);
            let _ = write!(
                stream,
                "M 100644 inline {path}\ndata {}\n{content}\n",
                content.len()
            );
        }
        stream.push('\n');
    }
    let _ = write!(stream, "reset refs/heads/main\nfrom :{}\n\n", steps.len());
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet", "--force"])
        .current_dir(scratch.server())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stream.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{stream}");
    (1..=steps.len())
        .map(|mark| {
            git(
                &scratch.server(),
                &["rev-parse", &format!("refs/marks/{mark}")],
            )
        })
        .collect()
}

async fn files_of(repository: &Repository, commit: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (path, entry) in repository.files(commit, &[]).await.unwrap() {
        found.insert(path, repository.content(&entry.id).await.unwrap());
    }
    found
}

/// Whether a path belongs to the application that is rolled back.
fn is_in_set(path: &str, with_base: bool) -> bool {
    let within = |directory: &str| path == directory || path.starts_with(&format!("{directory}/"));
    within("apps/web") || (with_base && within("base"))
}

fn expected(head: &Files, target: &Files, with_base: bool) -> BTreeMap<String, Vec<u8>> {
    let outside = head.iter().filter(|(path, _)| !is_in_set(path, with_base));
    let inside = target.iter().filter(|(path, _)| is_in_set(path, with_base));
    outside
        .chain(inside)
        .map(|(path, text)| (path.clone(), content(*text).into_bytes()))
        .collect()
}

/// Files of the set that differ.
fn differing(head: &Files, target: &Files, with_base: bool) -> BTreeSet<String> {
    head.keys()
        .chain(target.keys())
        .filter(|path| is_in_set(path, with_base) && head.get(*path) != target.get(*path))
        .cloned()
        .collect()
}

async fn restore(repository: &Repository, tip: &str, to: &str, paths: &BTreeSet<String>) -> String {
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let edits = repository.restoring(to, &paths).await.unwrap();
    repository.checked_tree(tip, &edits).await.unwrap();
    let new = NewCommit {
        parents: &[tip.to_owned()],
        base: None,
        edits: &edits,
        message: "rollback(web): restore\n",
    };
    repository.commit(&new).await.unwrap()
}

async fn check(steps: Vec<Step>, target: prop::sample::Index, with_base: bool) {
    let scratch = Scratch::new();
    let states = play(&steps);
    let ids = import(&scratch, &steps, &states);
    let repository = scratch.repository().await;
    let tip = repository.fetch_branch("main").await.unwrap();
    let (head, target) = (states.len() - 1, target.index(states.len()));
    repository.fetch_commit(&ids[target]).await.unwrap();
    assert_eq!(tip, ids[head]);

    let paths = differing(&states[head], &states[target], with_base);
    let made = restore(&repository, &tip, &ids[target], &paths).await;
    let wanted = expected(&states[head], &states[target], with_base);
    assert_eq!(files_of(&repository, &made).await, wanted);

    // Somebody pushes something else first: the same again upon it keeps both.
    let other = Edit {
        path: "others/new.yaml".into(),
        entry: Some(kubectl_gitops::git::Entry {
            mode: "100644".into(),
            id: repository.store(b"new: true\n").await.unwrap(),
        }),
    };
    let raced = repository
        .commit(&NewCommit {
            parents: std::slice::from_ref(&tip),
            base: None,
            edits: &[other],
            message: "Somebody else\n",
        })
        .await
        .unwrap();
    let onto = |expected| Target {
        branch: "main",
        expected: Some(expected),
    };
    assert_eq!(
        repository.push(&raced, onto(&tip)).await.unwrap(),
        Pushed::Done
    );
    let told = repository.push(&made, onto(&tip)).await.unwrap();
    assert_eq!(told, Pushed::Raced(Some(raced.clone())));
    let again = restore(&repository, &raced, &ids[target], &paths).await;
    assert_eq!(
        repository.push(&again, onto(&raced)).await.unwrap(),
        Pushed::Done
    );
    let mut wanted = wanted;
    wanted.insert("others/new.yaml".into(), b"new: true\n".to_vec());
    assert_eq!(files_of(&repository, &again).await, wanted);

    // Once more changes nothing.
    let third = restore(&repository, &again, &ids[target], &paths).await;
    assert_eq!(
        repository.tree(&third).await.unwrap(),
        repository.tree(&again).await.unwrap()
    );
    // And undone, the set is as it was.
    let undone = restore(&repository, &again, &tip, &paths).await;
    assert_eq!(
        repository.tree(&undone).await.unwrap(),
        repository.tree(&raced).await.unwrap()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_set_is_the_targets_and_the_rest_is_the_branchs(
        steps in history(),
        target in any::<prop::sample::Index>(),
        with_base in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps, target, with_base));
    }
}

#[tokio::test]
async fn what_is_in_the_way_is_not_taken_away() {
    let scratch = Scratch::new();
    let file = scratch.commit("clone", &[("place", Some("1"))]);
    scratch.commit(
        "clone",
        &[("place", None), ("place/others.yaml", Some("2"))],
    );
    let repository = scratch.repository().await;
    let tip = repository.fetch_branch("main").await.unwrap();
    let edits = repository.restoring(&file, &["place"]).await.unwrap();
    let error = repository.checked_tree(&tip, &edits).await.unwrap_err();
    assert!(error.to_string().contains("place"), "{error}");
}
