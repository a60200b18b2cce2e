//! What a server cannot do to the agent: fill its memory or its disk, or have it ask itself. And what
//! another access to the same repository keeps.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gitops_git::{
    CacheLimit, Credentials, DiskLimits, GitError, LocalAddresses, Mirror, RepositoryAccess, Want,
    size_below,
};

use crate::http_server::{Answer, HttpServer};
use crate::local::local;
use crate::origin::Origin;

const MAIN: &str = "refs/heads/main";

fn main_branch() -> [Want; 1] {
    [Want::Ref(MAIN.into())]
}

/// Bytes no compression makes smaller, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn more_refs_than_anybody_needs_are_refused() {
    let (origin, first) = Origin::with_one_commit();
    let refused = |access: RepositoryAccess, what: &str| {
        let directory = tempfile::tempdir_in(origin.root()).unwrap();
        let error = Mirror::open(directory.path(), access).unwrap().list_refs();
        let error = error.unwrap_err();
        assert!(
            matches!(error, GitError::TooLarge { .. }),
            "{what}: {error}"
        );
        assert!(error.to_string().contains("list of refs"), "{error}");
    };
    let listing = |refs: usize, padding: usize| {
        let mut lines = String::new();
        for number in 0..refs {
            let name = format!("refs/heads/{number:0padding$}");
            writeln!(lines, "{:04x}{first} {name}", 4 + 40 + 2 + name.len()).unwrap();
        }
        lines + "0000"
    };
    for (what, body) in [
        ("too many", listing(100_001, 6)),
        ("too long", listing(9_000, 1_000)),
    ] {
        let server = HttpServer::deciding(origin.root(), move |request| {
            if request.method != "POST" {
                return Answer::Git;
            }
            let kind = "application/x-git-upload-pack-result".to_owned();
            Answer::Fixed(200, vec![("Content-Type", kind)], body.clone())
        });
        let url = server.url("repo.git");
        refused(RepositoryAccess { url, ..local() }, what);
    }
    // The same through a process, as ssh is one.
    let mut packed = String::new();
    for number in 0..100_001 {
        writeln!(packed, "{first} refs/heads/many/{number:06}").unwrap();
    }
    fs::write(origin.bare().join("packed-refs"), packed).unwrap();
    refused(origin.file_access(), "a process");
}

#[test]
fn a_pack_larger_than_its_repository_may_be_leaves_nothing() {
    let (origin, first) = Origin::with_one_commit();
    let server = HttpServer::plain(origin.root());
    let limited = |repository: u64| RepositoryAccess {
        url: server.url("repo.git"),
        disk: DiskLimits {
            repository,
            cache: None,
        },
        ..local()
    };
    let mirror = origin.open(limited(100_000));
    mirror.fetch(&main_branch()).unwrap();
    let before = size_below(&origin.mirror_directory());
    origin.write("big", noise(200_000));
    let second = origin.commit("big");
    let error = mirror.fetch(&main_branch()).unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
    assert!(
        error.to_string().contains("--max-repository-size"),
        "{error}"
    );
    assert_eq!(size_below(&origin.mirror_directory()), before);
    assert!(mirror.contains(&first).unwrap() && !mirror.contains(&second).unwrap());
    // Raised without another clone.
    mirror.set_access(limited(1 << 20)).unwrap();
    mirror.fetch(&main_branch()).unwrap();
    assert!(mirror.contains(&second).unwrap());
}

#[test]
fn a_mirror_that_outgrew_its_limit_starts_over_once() {
    let (origin, _) = Origin::with_one_commit();
    origin.write("big", noise(70_000));
    origin.commit("big");
    let mirror = origin.open(RepositoryAccess {
        disk: DiskLimits {
            repository: 100_000,
            cache: None,
        },
        ..origin.file_access()
    });
    mirror.fetch(&main_branch()).unwrap();
    // Another history takes the place of the first.
    origin.git(&["checkout", "--quiet", "--orphan", "fresh"]);
    origin.write("big", noise(140_000).split_off(70_000));
    origin.commit("other");
    origin.git(&["branch", "--force", "main"]);
    let report = mirror.fetch(&main_branch()).unwrap();
    assert_eq!(
        report.recreated.as_deref(),
        Some("it has outgrown its limit")
    );
}

#[test]
fn no_mirror_grows_when_the_cache_is_full() {
    let (origin, _) = Origin::with_one_commit();
    let cache = origin.root().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("others"), [0; 1000]).unwrap();
    let limited = |bytes: u64| RepositoryAccess {
        disk: DiskLimits {
            cache: Some(CacheLimit {
                directory: cache.clone(),
                bytes,
            }),
            ..DiskLimits::default()
        },
        ..origin.file_access()
    };
    let mirror = origin.open(limited(999));
    let error = mirror.fetch(&main_branch()).unwrap_err();
    assert!(error.to_string().contains("--max-cache-size"), "{error}");
    mirror.set_access(limited(1000)).unwrap();
    mirror.fetch(&main_branch()).unwrap();
}

#[test]
fn an_object_that_memory_has_no_room_for_is_refused() {
    let (origin, _) = Origin::with_one_commit();
    // Small on its way, large where it is unpacked.
    origin.write("bomb", vec![0; (64 << 20) + 1]);
    origin.commit("bomb");
    let mirror = origin.open(origin.file_access());
    let error = mirror.fetch(&main_branch()).unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("more than 64 MiB"), "{error}");
}

#[test]
fn another_access_to_the_same_repository_fetches_nothing_again() {
    let (origin, first) = Origin::with_one_commit();
    let password = Arc::new(AtomicUsize::new(1));
    let expected = password.clone();
    let server = HttpServer::deciding(origin.root(), move |request| {
        let wanted = format!("Bearer token-{}", expected.load(Ordering::SeqCst));
        if request.header("authorization") == Some(&wanted) {
            Answer::Git
        } else {
            Answer::Fixed(401, vec![], String::new())
        }
    });
    let with = |number: usize| RepositoryAccess {
        url: server.url("repo.git"),
        credentials: Credentials::Bearer(format!("token-{number}")),
        ..local()
    };
    let mirror = origin.open(with(1));
    mirror.fetch(&main_branch()).unwrap();
    for number in 2..5 {
        password.store(number, Ordering::SeqCst);
        assert!(matches!(
            mirror.list_refs(),
            Err(GitError::Authentication { .. })
        ));
        mirror.set_access(with(number)).unwrap();
        mirror.list_refs().unwrap();
        let report = mirror.fetch(&[Want::Sha(first.clone())]).unwrap();
        assert!(!report.contacted && report.recreated.is_none());
    }
    let elsewhere = RepositoryAccess {
        url: server.url("other.git"),
        ..with(5)
    };
    assert!(mirror.set_access(elsewhere).is_err());
}

#[test]
fn the_machine_itself_is_not_asked() {
    let (origin, _) = Origin::with_one_commit();
    let server = HttpServer::plain(origin.root());
    let ssh = TcpListener::bind("127.0.0.1:0").unwrap();
    ssh.set_nonblocking(true).unwrap();
    let port = ssh.local_addr().unwrap().port();
    for url in [
        server.url("repo.git"),
        server.url("repo.git").replace("127.0.0.1", "localhost"),
        format!("ssh://git@127.0.0.1:{port}/repo.git"),
        format!("ssh://git@localhost:{port}/repo.git"),
    ] {
        let access = RepositoryAccess {
            url: url.clone(),
            local_addresses: LocalAddresses::Refused,
            ..local()
        };
        let directory = tempfile::tempdir_in(origin.root()).unwrap();
        let error = Mirror::open(directory.path(), access).unwrap().list_refs();
        let error = error.unwrap_err();
        assert!(
            matches!(error, GitError::AddressRefused { .. }),
            "{url}: {error}"
        );
        assert!(error.to_string().contains("--allow-local-addresses"));
    }
    assert!(server.take_requests().is_empty());
    assert!(ssh.accept().is_err(), "nobody connected");
}
