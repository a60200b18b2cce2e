//! Paths, links, directories and files of a snapshot.

use gitops_git::{Entry, GitError, ItemKind, Snapshot, Want};

use crate::origin::Origin;

/// A repository with a bit of everything.
fn varied() -> (Origin, Snapshot) {
    let origin = Origin::new();
    origin.write("app/base/deploy.yaml", "kind: Deployment\n");
    origin.write("app/overlay/kustomization.yaml", "resources: [../base]\n");
    origin.write("run.sh", "#!/bin/sh\n");
    origin.write("empty", "");
    origin.write("sp ace/ünï", "text");
    for (link, target) in [
        ("current", "app/overlay"),
        ("app/up", ".."),
        ("app/file", "base/deploy.yaml"),
        ("dangling", "nowhere/at/all"),
        ("out", "../outside"),
        ("app/far-out", "../../outside"),
        ("absolute", "/etc/passwd"),
        ("loop-a", "loop-b"),
        ("loop-b", "loop-a"),
        ("chain", "current/../file"),
    ] {
        std::os::unix::fs::symlink(target, origin.work().join(link)).unwrap();
    }
    origin.git(&["add", "--all"]);
    origin.git(&["update-index", "--chmod=+x", "run.sh"]);
    let submodule = format!("160000,{},vendored", "5".repeat(40));
    origin.git(&["update-index", "--add", "--cacheinfo", &submodule]);
    origin.git(&["commit", "--quiet", "-m", "varied"]);
    let sha = origin.sha("HEAD");
    let mirror = origin.open(origin.file_access());
    mirror.fetch(&[Want::Sha(sha.clone())]).unwrap();
    let snapshot = mirror.snapshot(&sha).unwrap();
    (origin, snapshot)
}

fn name(entry: &Entry) -> &'static str {
    match entry {
        Entry::Absent => "absent",
        Entry::Blob {
            executable: true, ..
        } => "program",
        Entry::Blob { .. } => "file",
        Entry::Symlink { .. } => "link",
        Entry::Tree { .. } => "directory",
        Entry::Submodule { .. } => "submodule",
    }
}

#[test]
fn paths_lead_to_entries_without_following_links() {
    let (_origin, snapshot) = varied();
    let cases = [
        ("", "directory"),
        (".", "directory"),
        ("app", "directory"),
        ("app/", "directory"),
        ("./app//base/./deploy.yaml", "file"),
        ("app/overlay/../base/deploy.yaml", "file"),
        ("app/base/deploy.yaml/", "absent"),
        ("app/base/deploy.yaml/x", "absent"),
        ("run.sh", "program"),
        ("empty", "file"),
        ("sp ace/ünï", "file"),
        ("App", "absent"),
        ("current", "link"),
        ("current/kustomization.yaml", "absent"),
        ("vendored", "submodule"),
        ("vendored/x", "absent"),
        ("nothing", "absent"),
    ];
    for (path, expected) in cases {
        assert_eq!(name(&snapshot.entry(path).unwrap()), expected, "{path:?}");
    }
    for path in ["..", "app/../../x", "/app", "a\0b"] {
        assert!(
            matches!(snapshot.entry(path), Err(GitError::InvalidPath { .. })),
            "{path:?}"
        );
        assert!(
            matches!(snapshot.read(path), Err(GitError::InvalidPath { .. })),
            "{path:?}"
        );
        assert!(
            matches!(snapshot.resolve(path), Err(GitError::InvalidPath { .. })),
            "{path:?}"
        );
    }
    let Entry::Symlink { target, .. } = snapshot.entry("current").unwrap() else {
        panic!("a link")
    };
    assert_eq!(target, "app/overlay");
    let Entry::Submodule { id } = snapshot.entry("vendored").unwrap() else {
        panic!("a submodule")
    };
    assert_eq!(id.to_string(), "5".repeat(40));
}

#[test]
fn links_are_followed_as_a_file_system_does() {
    let (_origin, snapshot) = varied();
    let cases: [(&str, &str, &str, &[&str]); 9] = [
        ("app/base/deploy.yaml", "app/base/deploy.yaml", "file", &[]),
        ("current", "app/overlay", "directory", &["current"]),
        (
            "current/kustomization.yaml",
            "app/overlay/kustomization.yaml",
            "file",
            &["current"],
        ),
        ("current/../base", "app/base", "directory", &["current"]),
        ("app/up/run.sh", "run.sh", "program", &["app/up"]),
        (
            "app/up/app/up/current/",
            "app/overlay",
            "directory",
            &["app/up", "app/up", "current"],
        ),
        ("app/file", "app/base/deploy.yaml", "file", &["app/file"]),
        (
            "chain",
            "app/base/deploy.yaml",
            "file",
            &["chain", "current", "app/file"],
        ),
        ("dangling", "nowhere/at/all", "absent", &["dangling"]),
    ];
    for (path, real, kind, links) in cases {
        let resolved = snapshot.resolve(path).unwrap();
        assert_eq!(
            (resolved.path.as_str(), name(&resolved.entry)),
            (real, kind),
            "{path}"
        );
        let followed: Vec<&str> = resolved
            .links
            .iter()
            .map(|(link, _)| link.as_str())
            .collect();
        assert_eq!(followed, links, "{path}");
    }
    for (path, reason) in [
        ("out", "outside"),
        ("out/x", "outside"),
        ("app/far-out", "outside"),
        ("absolute", "`/etc/passwd`"),
        ("loop-a", "too many symbolic links"),
        ("current/../../..", "outside"),
    ] {
        let error = snapshot.resolve(path).unwrap_err();
        assert!(
            matches!(error, GitError::InvalidPath { .. }) && error.to_string().contains(reason),
            "{path}: {error}"
        );
    }
}

#[test]
fn files_and_directories_are_read() {
    let (origin, snapshot) = varied();
    assert_eq!(
        snapshot.read("app/base/deploy.yaml").unwrap(),
        b"kind: Deployment\n"
    );
    assert_eq!(snapshot.read("empty").unwrap(), b"");
    let items: Vec<_> = snapshot
        .list("app")
        .unwrap()
        .into_iter()
        .map(|item| (item.name, item.kind))
        .collect();
    let expected = [
        ("base", ItemKind::Tree),
        ("far-out", ItemKind::Symlink),
        ("file", ItemKind::Symlink),
        ("overlay", ItemKind::Tree),
        ("up", ItemKind::Symlink),
    ];
    assert_eq!(items, expected.map(|(name, kind)| (name.to_owned(), kind)));
    assert_eq!(
        snapshot.tree_id("app").unwrap().unwrap().to_string(),
        origin.sha("HEAD:app")
    );
    assert_eq!(
        snapshot.tree_id("").unwrap().unwrap().to_string(),
        origin.sha("HEAD^{tree}")
    );
    assert_eq!(snapshot.tree_id("run.sh").unwrap(), None);

    let cases = [
        ("nothing", "does not exist"),
        ("app", "is a directory"),
        ("current", "is a symbolic link"),
        ("vendored", "is a submodule"),
    ];
    for (path, reason) in cases {
        let error = snapshot.read(path).unwrap_err().to_string();
        assert!(
            error.contains(reason) && error.contains(path) && error.contains(snapshot.commit()),
            "{error}"
        );
    }
    assert!(
        snapshot
            .list("run.sh")
            .unwrap_err()
            .to_string()
            .contains("is a file")
    );
}

#[test]
fn snapshots_are_shared_between_threads() {
    let (_origin, snapshot) = varied();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let snapshot = snapshot.clone();
            std::thread::spawn(move || snapshot.read("app/base/deploy.yaml").unwrap())
        })
        .collect();
    assert!(
        readers
            .into_iter()
            .all(|reader| reader.join().unwrap() == b"kind: Deployment\n")
    );
}
