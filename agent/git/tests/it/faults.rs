//! Damaged mirrors, servers that go away, directories that cannot be written.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gitops_git::{GitError, Mirror, RepositoryAccess, Want};

use crate::http_server::{Answer, HttpServer};
use crate::origin::Origin;

fn main_branch() -> [Want; 1] {
    [Want::Ref("refs/heads/main".into())]
}

/// The bare repository in use.
fn generation(origin: &Origin) -> PathBuf {
    let current = fs::read_to_string(origin.mirror_directory().join("current")).unwrap();
    origin.mirror_directory().join(current)
}

fn packs(origin: &Origin, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(generation(origin).join("objects/pack")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

fn overwrite(path: &PathBuf, content: &[u8]) {
    // Packs are read-only, and mapped ones must not change under their readers: replace them.
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

type Damage = (&'static str, fn(&Origin));

#[test]
fn a_mirror_that_cannot_be_opened_is_recreated() {
    let damages: [Damage; 4] = [
        ("HEAD", |origin| {
            fs::write(generation(origin).join("HEAD"), "nonsense").unwrap();
        }),
        ("config", |origin| {
            fs::write(generation(origin).join("config"), "[[[").unwrap();
        }),
        ("objects", |origin| {
            fs::remove_dir_all(generation(origin).join("objects")).unwrap();
        }),
        ("current", |origin| {
            fs::write(origin.mirror_directory().join("current"), "../../etc").unwrap();
        }),
    ];
    for (what, damage) in damages {
        let (origin, first) = Origin::with_one_commit();
        origin
            .open(origin.file_access())
            .fetch(&main_branch())
            .unwrap();
        damage(&origin);
        let mirror = origin.open(origin.file_access());
        mirror.fetch(&main_branch()).unwrap();
        assert_eq!(
            mirror.snapshot(&first).unwrap().read("README").unwrap(),
            b"hello\n",
            "{what}"
        );
        let generations = fs::read_dir(origin.mirror_directory())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().is_dir());
        assert_eq!(
            generations.count(),
            1,
            "{what}: what cannot be used is removed"
        );
    }
}

#[test]
fn damaged_packs_are_noticed_and_replaced() {
    let (origin, first) = Origin::with_one_commit();
    origin
        .open(origin.file_access())
        .fetch(&main_branch())
        .unwrap();
    let [pack] = &packs(&origin, "pack")[..] else {
        panic!("one pack expected")
    };
    let mut content = fs::read(pack).unwrap();
    let middle = 12..content.len() - 20;
    content[middle].fill(0xa5);
    overwrite(pack, &content);

    let mirror = origin.open(origin.file_access());
    assert!(
        !mirror.contains(&first).unwrap(),
        "what cannot be read is not there"
    );
    let report = mirror.fetch(&[Want::Sha(first.clone())]).unwrap();
    assert!(
        report.recreated.is_some() && report.objects > 0,
        "{report:?}"
    );
    assert_eq!(
        mirror.snapshot(&first).unwrap().read("README").unwrap(),
        b"hello\n"
    );
    let report = mirror.fetch(&[Want::Sha(first)]).unwrap();
    assert_eq!(
        (report.recreated, report.contacted),
        (None, false),
        "once is enough"
    );
}

#[test]
fn flipped_bytes_anywhere_in_a_pack_cost_one_clone_and_never_a_commit() {
    const PLACES: usize = 24;
    let mut recreated = 0;
    for place in 0..PLACES {
        let (origin, _) = Origin::with_one_commit();
        for number in 0..6 {
            origin.write(
                "app/a.yaml",
                format!("a: {number}\nb: {}\n", "x".repeat(99)),
            );
            origin.commit("more");
        }
        let access = || origin.file_access();
        origin.open(access()).fetch(&main_branch()).unwrap();
        for pack in packs(&origin, "pack") {
            let mut content = fs::read(&pack).unwrap();
            let at = 12 + place * (content.len() - 12 - 20 - 8) / (PLACES - 1);
            for byte in &mut content[at..at + 8] {
                *byte ^= 0xff;
            }
            overwrite(&pack, &content);
        }
        origin.write("app/a.yaml", "a: new\n");
        let new = origin.commit("new");

        // A new process, and a push.
        let mirror = origin.open(access());
        let report = mirror.fetch(&main_branch());
        let report = report.unwrap_or_else(|error| panic!("at {place}: {error}"));
        recreated += usize::from(report.recreated.is_some());
        for (path, content) in [("app/a.yaml", "a: new\n"), ("app/b.yaml", "b: 1\n")] {
            let read = || mirror.snapshot(&new).and_then(|files| files.read(path));
            let read = read().or_else(|error| {
                assert!(
                    matches!(error, GitError::Corrupt { .. }),
                    "at {place}: {error}"
                );
                assert!(
                    !mirror.contains(&new).unwrap(),
                    "so that the caller fetches"
                );
                let report = mirror.fetch(&[Want::Sha(new.clone())]).unwrap();
                assert!(report.recreated.is_some(), "at {place}");
                recreated += 1;
                read()
            });
            assert_eq!(read.unwrap(), content.as_bytes(), "at {place}");
        }
    }
    // The rest is of files that nobody read.
    assert!(recreated > 3, "{recreated}");
}

#[test]
fn a_server_that_answers_nonsense_costs_the_mirror_nothing() {
    let (origin, first) = Origin::with_one_commit();
    let nonsense = Arc::new(AtomicBool::new(false));
    let answer = nonsense.clone();
    let server = HttpServer::deciding(origin.root(), move |_| {
        if answer.load(Ordering::SeqCst) {
            Answer::Fixed(200, Vec::new(), "<html>hello</html>".to_owned())
        } else {
            Answer::Git
        }
    });
    let access = || RepositoryAccess {
        url: server.url("repo.git"),
        ..crate::local::local()
    };
    let mirror = origin.open(access());
    mirror.fetch(&main_branch()).unwrap();
    origin.write("app/a.yaml", "a: 2\n");
    let second = origin.commit("second");
    nonsense.store(true, Ordering::SeqCst);
    mirror.fetch(&main_branch()).unwrap_err();
    assert!(mirror.damage().is_none() && mirror.contains(&first).unwrap());
    nonsense.store(false, Ordering::SeqCst);
    let report = mirror.fetch(&main_branch()).unwrap();
    assert_eq!(report.recreated, None);
    assert!(mirror.contains(&second).unwrap());
}

#[test]
fn a_lost_pack_is_noticed_when_something_in_it_is_needed() {
    let (origin, _) = Origin::with_one_commit();
    let mirror = origin.open(origin.file_access());
    mirror.fetch(&main_branch()).unwrap();
    let first_packs = packs(&origin, "idx");
    origin.write("app/a.yaml", "a: 2\n");
    let second = origin.commit("second");
    mirror.fetch(&main_branch()).unwrap();
    drop(mirror);
    for index in first_packs {
        fs::remove_file(index.with_extension("pack")).unwrap();
        fs::remove_file(index).unwrap();
    }

    let mirror = origin.open(origin.file_access());
    let snapshot = mirror.snapshot(&second).unwrap();
    assert_eq!(snapshot.read("app/a.yaml").unwrap(), b"a: 2\n");
    let error = snapshot.read("app/b.yaml").unwrap_err();
    assert!(
        matches!(&error, GitError::Corrupt { reason, .. } if reason.contains("missing")),
        "{error}"
    );
    assert!(error.is_temporary());
    assert!(
        !mirror.contains(&second).unwrap(),
        "so that the caller fetches"
    );
    let report = mirror.fetch(&[Want::Sha(second.clone())]).unwrap();
    assert!(report.recreated.is_some(), "{report:?}");
    assert_eq!(
        mirror
            .snapshot(&second)
            .unwrap()
            .read("app/b.yaml")
            .unwrap(),
        b"b: 1\n"
    );
}

#[test]
fn damage_is_remembered_across_restarts_and_survives_an_unreachable_server() {
    let (origin, first) = Origin::with_one_commit();
    let down = Arc::new(AtomicBool::new(false));
    let answer = down.clone();
    let server = HttpServer::deciding(origin.root(), move |_| {
        if answer.load(Ordering::SeqCst) {
            Answer::Fixed(503, Vec::new(), String::new())
        } else {
            Answer::Git
        }
    });
    let access = || RepositoryAccess {
        url: server.url("repo.git"),
        ..crate::local::local()
    };
    origin.open(access()).fetch(&main_branch()).unwrap();
    fs::write(generation(&origin).join("gitops-damaged"), "a test says so").unwrap();

    let mirror = origin.open(access());
    down.store(true, Ordering::SeqCst);
    assert!(matches!(
        mirror.fetch(&main_branch()),
        Err(GitError::Unreachable { .. })
    ));
    // What can still be read is served meanwhile.
    assert_eq!(
        mirror.snapshot(&first).unwrap().read("README").unwrap(),
        b"hello\n"
    );
    down.store(false, Ordering::SeqCst);
    let report = mirror.fetch(&main_branch()).unwrap();
    assert_eq!(report.recreated.as_deref(), Some("a test says so"));
    assert!(mirror.contains(&first).unwrap());
}

#[test]
fn readers_keep_their_generation_while_it_is_replaced() {
    let (origin, first) = Origin::with_one_commit();
    let mirror = origin.open(origin.file_access());
    mirror.fetch(&main_branch()).unwrap();
    let old = generation(&origin);
    drop(mirror);
    fs::write(old.join("gitops-damaged"), "a test says so").unwrap();
    let mirror = origin.open(origin.file_access());
    let snapshot = mirror.snapshot(&first).unwrap();
    mirror.fetch(&main_branch()).unwrap();
    assert_ne!(generation(&origin), old);
    assert_eq!(snapshot.read("app/a.yaml").unwrap(), b"a: 1\n");
    assert!(old.exists());
    drop(snapshot);
    assert!(!old.exists(), "the last reader takes it along");
}

#[test]
fn a_directory_removed_underneath_is_made_again() {
    let (origin, first) = Origin::with_one_commit();
    let mirror = origin.open(origin.file_access());
    mirror.fetch(&main_branch()).unwrap();
    fs::remove_dir_all(generation(&origin)).unwrap();
    let report = mirror.fetch(&[Want::Sha(first.clone())]).unwrap();
    assert!(report.recreated.is_some(), "{report:?}");
    assert!(mirror.contains(&first).unwrap());
    fs::remove_dir_all(origin.mirror_directory()).unwrap();
    let report = mirror.fetch(&[Want::Sha(first.clone())]).unwrap();
    assert!(report.recreated.is_some(), "{report:?}");
    assert!(mirror.contains(&first).unwrap());
}

#[test]
fn what_an_interrupted_fetch_leaves_is_swept_up() {
    let (origin, first) = Origin::with_one_commit();
    origin
        .open(origin.file_access())
        .fetch(&main_branch())
        .unwrap();
    let directory = generation(&origin);
    let leftovers = [
        "shallow.lock",
        "objects/pack/.tmpAbC",
        "objects/pack/pack-1.pack",
        "objects/pack/pack-1.keep",
    ];
    for name in leftovers {
        fs::write(directory.join(name), "x").unwrap();
    }
    fs::create_dir(origin.mirror_directory().join("g99")).unwrap();
    let access = RepositoryAccess {
        depth: Some(1),
        ..origin.file_access()
    };
    origin.write("x", "y");
    origin.commit("second");
    let mirror = origin.open(access);
    mirror.fetch(&main_branch()).unwrap();
    assert!(mirror.contains(&first).unwrap());
    assert!(leftovers.iter().all(|name| !directory.join(name).exists()));
    assert!(!origin.mirror_directory().join("g99").exists());
}

#[test]
fn a_connection_cut_in_the_middle_of_a_pack_leaves_the_mirror_usable() {
    let (origin, first) = Origin::with_one_commit();
    let cut = Arc::new(AtomicBool::new(false));
    let decide = cut.clone();
    let server = HttpServer::deciding(origin.root(), move |request| {
        if decide.load(Ordering::SeqCst) && request.method == "POST" {
            Answer::CutOff
        } else {
            Answer::Git
        }
    });
    let mirror = origin.open(RepositoryAccess {
        url: server.url("repo.git"),
        ..crate::local::local()
    });
    mirror.fetch(&main_branch()).unwrap();
    for n in 0..100 {
        origin.write(&format!("n/{n}"), format!("{n}").repeat(n + 1));
    }
    let second = origin.commit("second");
    cut.store(true, Ordering::SeqCst);
    let error = mirror.fetch(&[Want::Sha(second.clone())]).unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{error}");
    assert!(mirror.contains(&first).unwrap() && !mirror.contains(&second).unwrap());
    cut.store(false, Ordering::SeqCst);
    let report = mirror.fetch(&[Want::Sha(second.clone())]).unwrap();
    assert_eq!(report.recreated, None);
    assert!(mirror.contains(&second).unwrap());

    // Gone and back, as when it restarts: a connection kept open from before is no obstacle.
    let url = server.url("repo.git");
    server.stop();
    assert!(matches!(
        mirror.list_refs(),
        Err(GitError::Unreachable { .. })
    ));
    assert_eq!(
        mirror.snapshot(&second).unwrap().read("n/3").unwrap(),
        b"3333"
    );
    let restarted = HttpServer::plain(origin.root());
    let mirror = Mirror::open(
        &origin.root().join("again"),
        RepositoryAccess {
            url: restarted.url("repo.git"),
            ..crate::local::local()
        },
    )
    .unwrap();
    assert_ne!(mirror.url(), url);
    mirror.list_refs().unwrap();
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let (origin, _) = Origin::with_one_commit();
    let file = origin.root().join("a-file");
    fs::write(&file, "x").unwrap();
    let error = Mirror::open(&file, origin.file_access()).err().unwrap();
    assert!(
        matches!(error, GitError::Storage { .. }) && error.to_string().contains("a-file"),
        "{error}"
    );
}
