//! How each fault is done, and undone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gitops_api::Application;
use gitops_e2e::environment::Environment;
use gitops_e2e::fault_proxy::Fault;
use gitops_e2e::manifests::config_map;
use gitops_e2e::replica::{Replica, handovers, turns};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::sleep;

use crate::dice::Dice;
use crate::kinds::{Cache, Git, Injury, Kind, Loss, Others};
use crate::workload::Workload;

/// How long a fault that waits for a request waits.
const PATIENCE: Duration = Duration::from_secs(8);

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

/// Sends a signal; a process that is gone is none of anybody's business.
fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
}

/// Longer than a lease lasts that nobody renews.
const LEASE: u64 = 18;

/// Starts the agent again if it has ended, as a node does.
pub(crate) fn revive(workload: &Workload) {
    let mut agent = workload.world.agent();
    if !agent.is_running() {
        agent.restart();
    }
}

/// Undoes what of a fault would stay.
pub(crate) fn calm(workload: &Workload) {
    workload.world.proxy().heal();
    revive(workload);
    // Whatever became of the branch: this is what everybody wants.
    if workload.repo.branch("main").as_deref() != workload.commits.last().map(String::as_str) {
        workload.repo.push(&["--force", "HEAD:main"]);
    }
}

/// Does it, and comes back when it is over.
pub(crate) async fn inject(workload: &mut Workload, kind: &Kind, dice: &mut Dice) {
    match kind.injury.clone() {
        Injury::Kill { at, answered } => {
            let pid = workload.world.agent().pid();
            let kill = move |_: &gitops_e2e::fault_proxy::Request| {
                if let Some(pid) = pid {
                    signal("KILL", pid);
                }
            };
            let fault = if answered {
                Fault::call_after(kill)
            } else {
                Fault::call(kill)
            };
            let n = usize::try_from(1 + dice.below(12)).unwrap_or(1);
            workload.world.proxy().on(at.nth(n), fault);
            let began = Instant::now();
            while began.elapsed() < PATIENCE && workload.world.agent().is_running() {
                sleep(Duration::from_millis(50)).await;
            }
            workload.world.proxy().heal();
            revive(workload);
        }
        Injury::KillAnyTime => {
            sleep(Duration::from_millis(dice.below(3000))).await;
            workload.world.agent().restart();
        }
        Injury::KillLoop => {
            for _ in 0..10 {
                workload.world.agent().restart();
                sleep(Duration::from_millis(500)).await;
            }
        }
        Injury::Terminate => {
            sleep(Duration::from_millis(dice.below(2000))).await;
            let ended = workload.world.agent().terminate();
            gitops_e2e::agent::Agent::ended(ended).await;
            revive(workload);
        }
        Injury::Freeze(count) => {
            sleep(Duration::from_millis(dice.below(1500))).await;
            let pid = workload.world.agent().pid();
            if let Some(pid) = pid {
                signal("STOP", pid);
                seconds(count).await;
                signal("CONT", pid);
            }
        }
        Injury::Requests {
            which,
            fault,
            seconds: count,
        } => {
            let rule = workload.world.proxy().on(which, fault);
            seconds(count).await;
            rule.lift();
        }
        Injury::Once { which, fault } => {
            let n = usize::try_from(1 + dice.below(6)).unwrap_or(1);
            let rule = workload.world.proxy().on(which.nth(n), fault);
            let began = Instant::now();
            while began.elapsed() < PATIENCE && rule.hits() == 0 {
                sleep(Duration::from_millis(50)).await;
            }
        }
        Injury::Late(resource) => {
            workload
                .world
                .proxy()
                .delay_watches(resource, Duration::from_secs(2));
            seconds(6).await;
            workload
                .world
                .proxy()
                .delay_watches(resource, Duration::ZERO);
        }
        Injury::CutWatches => {
            for _ in 0..25 {
                workload.world.proxy().cut_watches();
                sleep(Duration::from_millis(200)).await;
            }
        }
        Injury::CutConnections => {
            sleep(Duration::from_millis(dice.below(1500))).await;
            workload.world.proxy().cut_connections();
        }
        Injury::Silent(count) => {
            sleep(Duration::from_millis(dice.below(1000))).await;
            workload.world.proxy().silent(true);
            seconds(count).await;
            workload.world.proxy().silent(false);
        }
        Injury::Away(count) => {
            sleep(Duration::from_millis(dice.below(1000))).await;
            workload.world.proxy().away(true);
            seconds(count).await;
            workload.world.proxy().away(false);
        }
        Injury::Git(how) => git(workload, how).await,
        Injury::Cache(how) => cache(workload, how).await,
        Injury::Workers(name) => workers(workload, name).await,
        Injury::Others(what) => others(workload, what, dice).await,
        Injury::Replicas { waiting, loss } => replicas(workload, waiting, loss, dice).await,
    }
}

async fn git(workload: &mut Workload, how: Git) {
    let servers = &Environment::get().servers;
    let repository = format!("{}.git", workload.repo.name());
    match how {
        Git::Unavailable => {
            servers.away(&repository);
            seconds(3).await;
            servers.back(&repository);
        }
        Git::Hangs => {
            servers.hang(&repository);
            seconds(3).await;
            servers.back(&repository);
        }
        Git::BranchAway => {
            workload.repo.bare(&["update-ref", "-d", "refs/heads/main"]);
            seconds(2).await;
            workload.repo.push(&["--force", "HEAD:main"]);
        }
        Git::NothingIn => {
            workload.repo.git(&["rm", "-rq", "."]);
            workload.repo.commit_all("nothing");
            seconds(3).await;
            workload.write();
        }
        Git::Broken => {
            workload.repo.commit(&[
                ("plain/broken.yaml", Some("a: [")),
                ("helm/templates/broken.yaml", Some("{{ fail \"broken\" }}")),
                (
                    "kustomize/kustomization.yaml",
                    Some("resources: [nowhere.yaml]\n"),
                ),
            ]);
            seconds(3).await;
            workload.repo.commit(&[
                ("plain/broken.yaml", None),
                ("helm/templates/broken.yaml", None),
            ]);
            workload.write();
        }
        Git::Rewritten => {
            workload
                .repo
                .git(&["commit", "--amend", "-qm", "rewritten"]);
            workload.repo.push(&["--force", "HEAD:main"]);
            workload.commits.push(workload.repo.head());
        }
        Git::Collected => {
            workload.repo.bare(&["gc", "--quiet", "--prune=now"]);
        }
        Git::OneAfterTheOther => {
            for n in 0..4 {
                let map = config_map("plain-extra", &n.to_string());
                let commit = workload.repo.commit(&[("plain/extra.yaml", Some(&map))]);
                workload.commits.push(commit);
                sleep(Duration::from_millis(400)).await;
            }
            let commit = workload.repo.commit(&[("plain/extra.yaml", None)]);
            workload.commits.push(commit);
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

async fn cache(workload: &Workload, how: Cache) {
    let cache = workload.world.folder().join("cache");
    let mut found = Vec::new();
    files(&cache, &mut found);
    match how {
        Cache::Gone => {
            let _ = std::fs::remove_dir_all(&cache);
        }
        Cache::Flipped => {
            for path in found {
                if let Ok(mut bytes) = std::fs::read(&path) {
                    let middle = bytes.len() / 2;
                    for byte in bytes.iter_mut().skip(middle).take(8) {
                        *byte ^= 0x55;
                    }
                    replace(&path, &bytes);
                }
            }
            workload.world.agent().restart();
        }
        Cache::Truncated => {
            for path in found {
                if let Ok(bytes) = std::fs::read(&path) {
                    replace(&path, &bytes[..bytes.len() / 2]);
                }
            }
            workload.world.agent().restart();
        }
        Cache::Locked => {
            let aside = cache.with_extension("aside");
            let _ = std::fs::rename(&cache, &aside);
            let _ = std::fs::write(&cache, "no directory");
            workload.world.agent().restart();
            seconds(3).await;
            let _ = std::fs::remove_file(&cache);
            let _ = std::fs::rename(&aside, &cache);
        }
    }
}

/// Another file of the name: one that is mapped by a process must not change under it.
fn replace(path: &Path, bytes: &[u8]) {
    let other = path.with_extension("hurt");
    if std::fs::write(&other, bytes).is_ok() {
        let _ = std::fs::rename(&other, path);
    }
}

/// Processes that the agent started.
fn children(pid: u32) -> Vec<u32> {
    let list = Command::new("pgrep")
        .args(["-P", &pid.to_string()])
        .output();
    let list = list.map(|output| output.stdout).unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    list.lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}

async fn workers(workload: &Workload, name: &str) {
    let Some(pid) = workload.world.agent().pid() else {
        return;
    };
    let began = Instant::now();
    while children(pid).is_empty() && began.elapsed() < Duration::from_secs(2) {
        sleep(Duration::from_millis(20)).await;
    }
    let of_now = children(pid);
    for child in &of_now {
        signal(name, *child);
    }
    if name == "STOP" {
        seconds(3).await;
        for child in &of_now {
            signal("CONT", *child);
        }
    }
}

async fn others(workload: &Workload, what: Others, dice: &mut Dice) {
    let maps: Api<ConfigMap> = workload.world.api();
    let patch = PatchParams::apply("somebody");
    let names = workload.config_maps();
    for _ in 0..10 {
        let name = dice.choose(&names);
        match what {
            Others::Edit => {
                let edit = json!({"data": {"value": "edited"}});
                let _ = maps.patch(name, &patch, &Patch::Merge(&edit)).await;
            }
            Others::Delete => {
                let _ = maps.delete(name, &DeleteParams::default()).await;
            }
            Others::Label => {
                let plane = &workload.world.plane;
                let apps: Api<Application> =
                    Api::namespaced(plane.client.clone(), &workload.world.namespace);
                for app in workload.applications() {
                    let label =
                        json!({"metadata": {"labels": {"storm": dice.below(1000).to_string()}}});
                    let _ = apps.patch(app, &patch, &Patch::Merge(&label)).await;
                }
            }
            Others::DeleteHooks => {
                let jobs: Api<Job> = workload.world.api();
                let list = jobs.list(&ListParams::default()).await;
                for job in list.into_iter().flatten() {
                    let status = job.status.as_ref();
                    if status.is_some_and(|status| status.completion_time.is_some()) {
                        let background = DeleteParams::background();
                        let _ = jobs.delete(&job.name_any(), &background).await;
                    }
                }
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn replicas(workload: &mut Workload, waiting: usize, loss: Loss, dice: &mut Dice) {
    let world = &workload.world;
    let mut others = Vec::new();
    for number in 1..=waiting {
        others.push(Replica::start(world, &format!("other-{number}")).await);
    }
    let before = handovers(world).await;
    world.proxy().forget();
    sleep(Duration::from_millis(dice.below(1500))).await;
    let pid = world.agent().pid();
    match loss {
        Loss::Killed => {
            world.agent().kill();
            seconds(LEASE).await;
        }
        Loss::Ended => {
            let ended = world.agent().terminate();
            gitops_e2e::agent::Agent::ended(ended).await;
            seconds(3).await;
        }
        Loss::CutOff => {
            world.proxy().away(true);
            seconds(LEASE).await;
            world.proxy().away(false);
        }
        Loss::Unanswered => {
            world.proxy().silent(true);
            seconds(LEASE).await;
            world.proxy().silent(false);
        }
        Loss::Stopped => {
            if let Some(pid) = pid {
                signal("STOP", pid);
                seconds(LEASE).await;
                signal("CONT", pid);
            }
        }
        Loss::InTurns => {
            world.agent().kill();
            seconds(LEASE).await;
            if let Some(next) = others.first_mut() {
                next.agent.kill();
            }
            seconds(1).await;
        }
    }
    revive(workload);
    seconds(3).await;
    let world = &workload.world;
    let mut written = vec![world.proxy().requests()];
    written.extend(others.iter().map(|other| other.proxy.requests()));
    let (turns, went) = (turns(&written), handovers(world).await - before);
    if turns > went {
        workload.wrong.push(format!(
            "{turns} turns of writers, and the lease went {went} times from one to another"
        ));
    }
}
