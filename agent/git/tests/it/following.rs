//! A mirror followed through many commits: few packs, every object, and readers that never notice.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gitops_git::{Mirror, Want};

use crate::origin::Origin;

const FILES: usize = 40;

fn content(commit: usize) -> Vec<u8> {
    format!("changed: {commit}\n").repeat(20).into_bytes()
}

fn file(commit: usize) -> String {
    format!("many/{}.yaml", commit % FILES)
}

fn generation(origin: &Origin) -> PathBuf {
    let current = std::fs::read_to_string(origin.mirror_directory().join("current")).unwrap();
    origin.mirror_directory().join(current)
}

fn count_packs(origin: &Origin) -> usize {
    let files = std::fs::read_dir(generation(origin).join("objects/pack")).unwrap();
    files
        .filter(|file| {
            file.as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|e| e == "pack")
        })
        .count()
}

/// Reads whatever has been fetched, over and over, until told to stop.
fn read_along(mirror: &Mirror, fetched: &Mutex<Vec<String>>, stop: &AtomicBool) -> usize {
    let mut reads = 0;
    while !stop.load(Ordering::SeqCst) {
        let shas = fetched.lock().unwrap().clone();
        for (commit, sha) in shas.iter().enumerate().rev().step_by(1 + reads % 7) {
            assert!(mirror.contains(sha).unwrap(), "commit {commit}");
            assert_eq!(
                mirror.snapshot(sha).unwrap().read(&file(commit)).unwrap(),
                content(commit)
            );
            reads += 1;
        }
        if let [first, .., last] = &shas[..] {
            assert_eq!(mirror.count_between(first, last).unwrap(), shas.len() - 1);
        }
    }
    reads
}

#[test]
fn a_mirror_followed_for_long_keeps_few_packs_and_every_object() {
    let (origin, first) = Origin::with_one_commit();
    for n in 0..FILES {
        origin.write(&format!("many/{n}.yaml"), format!("n: {n}\n").repeat(20));
    }
    origin.commit("many");
    let main_branch = [Want::Ref("refs/heads/main".into())];
    let mirror = Arc::new(origin.open(origin.file_access()));
    mirror.fetch(&main_branch).unwrap();
    let early = mirror.snapshot(&first).unwrap();
    let fetched = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (mirror, fetched, stop) = (mirror.clone(), fetched.clone(), stop.clone());
            std::thread::spawn(move || read_along(&mirror, &fetched, &stop))
        })
        .collect();
    let mut most = 0;
    for commit in 0..60 {
        origin.write(&file(commit), content(commit));
        let sha = origin.commit(&commit.to_string());
        let report = mirror.fetch(&main_branch).unwrap();
        assert_eq!(report.recreated, None, "at commit {commit}");
        fetched.lock().unwrap().push(sha);
        most = most.max(count_packs(&origin));
    }
    stop.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    assert!((20..=24).contains(&most), "{most}");
    assert_eq!(
        early.read("app/a.yaml").unwrap(),
        b"a: 1\n",
        "readers from before go on"
    );

    let reopened = origin.open(origin.file_access());
    for (commit, sha) in fetched.lock().unwrap().iter().enumerate() {
        assert_eq!(
            reopened.snapshot(sha).unwrap().read(&file(commit)).unwrap(),
            content(commit)
        );
    }
    let check = Command::new("git")
        .arg("--git-dir")
        .arg(generation(&origin))
        .args(["fsck", "--full", "--strict"])
        .output();
    let check = check.unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
}
