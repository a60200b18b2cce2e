//! What a fetch brings and what it leaves alone.

use std::sync::{Arc, Barrier};

use gitops_git::{GitError, Mirror, RepositoryAccess, Want};

use crate::http_server::HttpServer;
use crate::origin::Origin;

fn http_access(server: &HttpServer) -> RepositoryAccess {
    RepositoryAccess {
        url: server.url("repo.git"),
        ..crate::local::local()
    }
}

fn main_branch() -> [Want; 1] {
    [Want::Ref("refs/heads/main".into())]
}

#[test]
fn refs_name_branches_tags_and_head() {
    let (origin, first) = Origin::with_one_commit();
    origin.git(&["tag", "light"]);
    origin.git(&["tag", "-a", "v1", "-m", "release"]);
    origin.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    let server = HttpServer::plain(origin.root());
    let mirror = origin.open(http_access(&server));
    let refs = mirror.list_refs().unwrap();
    assert_eq!(refs.head.as_deref(), Some("refs/heads/main"));
    assert_eq!(refs.head_sha.as_deref(), Some(first.as_str()));
    let names: Vec<&str> = refs.by_name.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["refs/heads/main", "refs/tags/light", "refs/tags/v1"]
    );
    let annotated = &refs.by_name["refs/tags/v1"];
    assert_eq!(annotated.sha, first);
    assert_eq!(
        annotated.tag_object.as_deref(),
        Some(origin.sha("refs/tags/v1").as_str())
    );
    assert_eq!(refs.by_name["refs/tags/light"].tag_object, None);

    // The server was told to leave the rest out.
    let requests = server.take_requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(
        requests
            .iter()
            .all(|r| r.header("git-protocol") == Some("version=2")),
        "{requests:?}"
    );
    assert!(
        requests
            .iter()
            .all(|r| r.header("user-agent").unwrap().contains("gitops-agent/")),
        "{requests:?}"
    );
    assert!(
        requests.iter().all(|r| r.header("authorization").is_none()),
        "{requests:?}"
    );
}

#[test]
fn an_empty_repository_has_no_refs() {
    let origin = Origin::new();
    let server = HttpServer::plain(origin.root());
    let mirror = origin.open(http_access(&server));
    let refs = mirror.list_refs().unwrap();
    assert_eq!((refs.head_sha, refs.by_name.len()), (None, 0));
    assert!(
        !mirror.fetch(&[Want::AllHeadsAndTags]).unwrap().contacted
            || !mirror.contains(&"0".repeat(40)).unwrap()
    );
    let error = mirror.fetch(&main_branch()).unwrap_err();
    assert!(
        matches!(error, GitError::RevisionNotFound { .. }),
        "{error}"
    );
}

#[test]
fn later_fetches_bring_only_what_is_new() {
    let (origin, first) = Origin::with_one_commit();
    for n in 0..200 {
        origin.write(&format!("many/{n}.yaml"), format!("n: {n}\n"));
    }
    origin.commit("many files");
    let server = HttpServer::plain(origin.root());
    let mirror = origin.open(http_access(&server));
    let report = mirror.fetch(&main_branch()).unwrap();
    assert!(report.objects > 200, "{report:?}");
    assert_eq!(report.refs["refs/heads/main"], origin.sha("main"));
    assert!(mirror.contains(&first).unwrap(), "history comes along");

    origin.write("many/7.yaml", "n: seven\n");
    let changed = origin.commit("one file");
    assert!(!mirror.contains(&changed).unwrap());
    let report = mirror.fetch(&main_branch()).unwrap();
    // Commit, two directories, the file; directories may come with the bases of their deltas.
    assert!((3..=6).contains(&report.objects), "{report:?}");
    assert_eq!(
        mirror
            .snapshot(&changed)
            .unwrap()
            .read("many/7.yaml")
            .unwrap(),
        b"n: seven\n"
    );

    server.take_requests();
    let report = mirror
        .fetch(&[Want::Sha(changed.clone()), Want::Sha(first)])
        .unwrap();
    assert!(!report.contacted && report.objects == 0, "{report:?}");
    assert!(
        server.take_requests().is_empty(),
        "nothing was missing, so no server was asked"
    );
    let report = mirror.fetch(&main_branch()).unwrap();
    assert_eq!((report.contacted, report.bytes), (true, 0));
    assert_eq!(
        server.take_requests().len(),
        2,
        "the refs were listed, no pack was asked for"
    );
}

#[test]
fn annotated_tags_lead_to_their_commit() {
    let (origin, first) = Origin::with_one_commit();
    origin.git(&["tag", "-a", "v1", "-m", "release"]);
    origin.git(&["tag", "-a", "v1-again", "v1", "-m", "a tag of a tag"]);
    let mirror = origin.open(origin.file_access());
    for name in ["refs/tags/v1", "refs/tags/v1-again"] {
        let report = mirror.fetch(&[Want::Ref(name.into())]).unwrap();
        assert_eq!(report.refs[name], first);
    }
    let tag_object = origin.sha("refs/tags/v1-again");
    assert!(mirror.contains(&tag_object).unwrap());
    assert_eq!(mirror.snapshot(&tag_object).unwrap().commit(), first);
}

#[test]
fn a_commit_no_branch_names_can_be_fetched_by_its_id() {
    let (origin, first) = Origin::with_one_commit();
    origin.write("app/a.yaml", "a: 2\n");
    let second = origin.commit("second");
    origin.git(&["update-ref", "refs/heads/main", &first]);
    origin.git(&["update-ref", "refs/hidden/second", &second]);
    let server = HttpServer::plain(origin.root());
    let mirror = origin.open(http_access(&server));
    assert!(matches!(
        mirror.snapshot(&second).err(),
        Some(GitError::RevisionNotFound { .. })
    ));
    mirror.fetch(&[Want::Sha(second.clone())]).unwrap();
    assert_eq!(
        mirror
            .snapshot(&second)
            .unwrap()
            .read("app/a.yaml")
            .unwrap(),
        b"a: 2\n"
    );

    let unknown = "0123456789abcdef0123456789abcdef01234567";
    let error = mirror.fetch(&[Want::Sha(unknown.into())]).unwrap_err();
    assert!(
        matches!(&error, GitError::RevisionNotFound { revision, .. } if revision == unknown),
        "{error}"
    );
}

#[test]
fn everything_can_be_fetched_at_once() {
    let (origin, first) = Origin::with_one_commit();
    origin.git(&["tag", "-a", "v1", "-m", "release"]);
    origin.git(&["checkout", "--quiet", "-b", "other"]);
    origin.write("x", "y");
    let other = origin.commit("other");
    let mirror = origin.open(origin.file_access());
    let report = mirror.fetch(&[Want::AllHeadsAndTags]).unwrap();
    assert_eq!(report.refs.len(), 3);
    assert_eq!(report.refs["refs/tags/v1"], first);
    assert!(mirror.contains(&other).unwrap());
}

#[test]
fn force_push_and_deleted_branches_do_no_harm() {
    let (origin, first) = Origin::with_one_commit();
    origin.write("app/a.yaml", "a: 2\n");
    let abandoned = origin.commit("to be abandoned");
    origin.git(&["branch", "topic/one"]);
    let server = HttpServer::plain(origin.root());
    let mirror = origin.open(http_access(&server));
    mirror.fetch(&[Want::AllHeadsAndTags]).unwrap();

    origin.git(&["reset", "--quiet", "--hard", &first]);
    origin.write("app/a.yaml", "a: 3\n");
    let replaced = origin.commit("instead");
    // A branch goes, and one takes its name as a directory.
    origin.git(&["branch", "-D", "topic/one"]);
    origin.git(&["branch", "topic/one/deeper"]);
    origin.git(&["reflog", "expire", "--expire=now", "--all"]);
    origin.git(&["gc", "--quiet", "--prune=now"]);
    let report = mirror.fetch(&[Want::AllHeadsAndTags]).unwrap();
    assert_eq!(report.refs["refs/heads/main"], replaced);
    assert_eq!(report.recreated, None);
    assert!(report.refs.contains_key("refs/heads/topic/one/deeper"));
    // What was deployed stays readable: rollback and history need it.
    assert_eq!(
        mirror
            .snapshot(&abandoned)
            .unwrap()
            .read("app/a.yaml")
            .unwrap(),
        b"a: 2\n"
    );

    let error = mirror
        .fetch(&[Want::Ref("refs/heads/topic/one".into())])
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no revision `refs/heads/topic/one`"),
        "{text}"
    );
    // And the mirror goes on working.
    mirror.fetch(&main_branch()).unwrap();
}

#[test]
fn a_misspelt_branch_is_named() {
    let (origin, _) = Origin::with_one_commit();
    let mirror = origin.open(origin.file_access());
    let error = mirror
        .fetch(&[Want::Ref("refs/heads/mian".into())])
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no revision `refs/heads/mian`; check targetRevision"),
        "{text}"
    );
}

#[test]
fn shallow_mirrors_stay_shallow_until_all_history_is_wanted() {
    let (origin, first) = Origin::with_one_commit();
    for n in 2..6 {
        origin.write("app/a.yaml", format!("a: {n}\n"));
        origin.commit(&format!("number {n}"));
    }
    let server = HttpServer::plain(origin.root());
    let access = RepositoryAccess {
        depth: Some(1),
        ..http_access(&server)
    };
    let mirror = origin.open(access.clone());
    mirror.fetch(&main_branch()).unwrap();
    let fifth = origin.sha("main");
    assert!(mirror.contains(&fifth).unwrap() && !mirror.contains(&first).unwrap());

    origin.write("app/b.yaml", "b: 2\n");
    let sixth = origin.commit("sixth");
    let report = mirror.fetch(&main_branch()).unwrap();
    assert!(report.objects <= 6, "{report:?}");
    assert!(!mirror.contains(&first).unwrap());
    let error = mirror.is_ancestor(&first, &sixth).unwrap_err();
    assert!(
        matches!(error, GitError::RevisionNotFound { .. }),
        "{error}"
    );
    let error = mirror.count_between(&fifth, &sixth).unwrap_err();
    assert!(
        matches!(error, GitError::HistoryTooShallow { .. }),
        "{error}"
    );
    assert_eq!(
        mirror.snapshot(&sixth).unwrap().read("app/a.yaml").unwrap(),
        b"a: 5\n"
    );
    drop(mirror);

    let mirror = origin.open(access);
    assert!(mirror.contains(&sixth).unwrap(), "reopening keeps it");
    drop(mirror);
    let mirror = origin.open(http_access(&server));
    mirror.fetch(&main_branch()).unwrap();
    assert_eq!(mirror.count_between(&first, &sixth).unwrap(), 5);
}

#[test]
fn threads_and_mirrors_of_one_directory_take_turns() {
    let (origin, _) = Origin::with_one_commit();
    for n in 0..50 {
        origin.write(&format!("many/{n}.yaml"), format!("n: {n}\n"));
    }
    let tip = origin.commit("many");
    let server = HttpServer::plain(origin.root());
    let shared = Arc::new(origin.open(http_access(&server)));
    let threads = 6;
    let barrier = Arc::new(Barrier::new(threads));
    let workers: Vec<_> = (0..threads)
        .map(|n| {
            // Half of them as another process would: with a mirror of their own on the same
            // directory.
            let mirror = if n % 2 == 0 {
                shared.clone()
            } else {
                Arc::new(origin.open(http_access(&server)))
            };
            let (barrier, tip) = (barrier.clone(), tip.clone());
            std::thread::spawn(move || {
                barrier.wait();
                let report = mirror.fetch(&[Want::Sha(tip.clone())]).unwrap();
                assert_eq!(
                    mirror.snapshot(&tip).unwrap().list("many").unwrap().len(),
                    50
                );
                report
            })
        })
        .collect();
    let reports: Vec<_> = workers
        .into_iter()
        .map(|worker| worker.join().unwrap())
        .collect();
    assert_eq!(
        reports.iter().filter(|report| report.objects > 0).count(),
        1,
        "{reports:?}"
    );
    assert!(
        reports.iter().all(|report| report.recreated.is_none()),
        "{reports:?}"
    );
}

#[test]
fn a_directory_used_for_another_url_is_recreated() {
    let (origin, first) = Origin::with_one_commit();
    let mirror = origin.open(origin.file_access());
    mirror.fetch(&main_branch()).unwrap();
    drop(mirror);
    let (other, _) = Origin::with_one_commit();
    other.write("x", "y");
    other.commit("differs");
    let mirror = Mirror::open(&origin.mirror_directory(), other.file_access()).unwrap();
    assert!(!mirror.contains(&first).unwrap());
}

#[test]
fn servers_of_the_old_protocol_are_understood() {
    let (origin, first) = Origin::with_one_commit();
    origin.git(&["tag", "-a", "v1", "-m", "release"]);
    // What a server without protocol version 2 does with the header that asks for it.
    let server = HttpServer::start(
        origin.root(),
        crate::http_server::Options {
            ignore_protocol_version: true,
            ..Default::default()
        },
    );
    let mirror = origin.open(http_access(&server));
    let refs = mirror.list_refs().unwrap();
    assert_eq!(
        (refs.head.as_deref(), refs.by_name.len()),
        (Some("refs/heads/main"), 2)
    );
    let report = mirror.fetch(&[Want::Ref("refs/tags/v1".into())]).unwrap();
    assert_eq!(report.refs["refs/tags/v1"], first);
    origin.write("app/a.yaml", "a: 2\n");
    let second = origin.commit("second");
    origin.write("app/a.yaml", "a: 3\n");
    origin.commit("third");
    // Not advertised: found in the history of what is.
    mirror.fetch(&[Want::Sha(second.clone())]).unwrap();
    assert_eq!(
        mirror
            .snapshot(&second)
            .unwrap()
            .read("app/a.yaml")
            .unwrap(),
        b"a: 2\n"
    );
    let unknown = "0123456789abcdef0123456789abcdef01234567";
    let error = mirror.fetch(&[Want::Sha(unknown.into())]).unwrap_err();
    assert!(
        matches!(&error, GitError::RevisionNotFound { revision, .. } if revision == unknown),
        "{error}"
    );
}

/// Puts `count` commits with the tree of `base` on main, none of them known before.
fn rewrite_history(origin: &Origin, base: &str, count: usize, label: &str) -> String {
    let tree = format!("{base}^{{tree}}");
    let mut tip: Option<String> = None;
    for n in 0..count {
        let message = format!("{label} {n}");
        let mut arguments = vec!["commit-tree", &tree, "-m", &message];
        if let Some(parent) = &tip {
            arguments.extend(["-p", parent]);
        }
        let sha = origin.git(&arguments).trim().to_owned();
        tip = Some(sha);
    }
    let tip = tip.unwrap();
    origin.git(&["update-ref", "refs/heads/main", &tip]);
    tip
}

#[test]
fn a_history_the_server_knows_nothing_of_is_negotiated_to_the_end() {
    let (origin, first) = Origin::with_one_commit();
    let before = rewrite_history(&origin, &first, 80, "before");
    let server = HttpServer::plain(origin.root());
    let mirror = origin.open(http_access(&server));
    mirror.fetch(&main_branch()).unwrap();
    let after = rewrite_history(&origin, &first, 80, "after");
    origin.git(&["reflog", "expire", "--expire=now", "--all"]);
    origin.git(&["gc", "--quiet", "--prune=now"]);
    server.take_requests();
    mirror.fetch(&[Want::Sha(after.clone())]).unwrap();
    let requests = server.take_requests();
    assert!(requests.len() >= 3, "several rounds: {}", requests.len());
    assert_eq!(mirror.count_between(&before, &after).unwrap(), 80);
    assert_eq!(
        mirror.snapshot(&after).unwrap().read("README").unwrap(),
        b"hello\n"
    );
}
