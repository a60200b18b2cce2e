//! Measures a repository of ten thousand files. Ignored by default: `cargo test -p gitops-git
//! --release -- --ignored --nocapture measure`.

use std::time::{Duration, Instant};

use gitops_git::{RepositoryAccess, Want};

use crate::http_server::HttpServer;
use crate::origin::Origin;

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    let took = started.elapsed();
    println!("{what}: {:.2} ms", took.as_secs_f64() * 1e3);
    (result, took)
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("RssAnon"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    let origin = Origin::new();
    for app in 0..1000 {
        for file in 0..10 {
            origin.write(
                &format!("apps/app-{app:04}/{file}.yaml"),
                format!("app: {app}\nfile: {file}\n").repeat(20),
            );
        }
    }
    origin.commit("first");
    let server = HttpServer::plain(origin.root());
    let mirror = origin.open(RepositoryAccess {
        url: server.url("repo.git"),
        ..crate::local::local()
    });
    println!("before: {}", peak_memory());
    let main = [Want::Ref("refs/heads/main".into())];
    let (report, _) = timed("full fetch", || mirror.fetch(&main).unwrap());
    println!(
        "{} objects, {} bytes; {}",
        report.objects,
        report.bytes,
        peak_memory()
    );
    timed("list refs", || mirror.list_refs().unwrap());
    timed("list refs again", || mirror.list_refs().unwrap());
    for round in 0..3 {
        origin.write("apps/app-0500/5.yaml", format!("round: {round}\n"));
        let sha = origin.commit("change");
        let (report, _) = timed("incremental fetch", || {
            mirror.fetch(&[Want::Sha(sha)]).unwrap()
        });
        println!("{} objects, {} bytes", report.objects, report.bytes);
    }
    timed("fetch of what is there", || {
        mirror.fetch(&[Want::Sha(origin.sha("main"))]).unwrap()
    });
    let (snapshot, _) = timed("snapshot", || mirror.snapshot(&origin.sha("main")).unwrap());
    timed("one directory, listed and read", || {
        for item in snapshot.list("apps/app-0500").unwrap() {
            snapshot.read_blob(item.id).unwrap();
        }
    });
    timed("10,000 look-ups", || {
        for app in 0..1000 {
            for file in 0..10 {
                snapshot
                    .entry(&format!("apps/app-{app:04}/{file}.yaml"))
                    .unwrap();
            }
        }
    });
    timed("10,000 files read", || {
        for app in 0..1000 {
            for file in 0..10 {
                snapshot
                    .read(&format!("apps/app-{app:04}/{file}.yaml"))
                    .unwrap();
            }
        }
    });
    println!("after: {}", peak_memory());
}
