//! Several agents of one namespace: one writes, the others wait, and whoever loses the lease stops before
//! another begins.

use gitops_e2e::application::status;
use gitops_e2e::manifests::config_map;
use gitops_e2e::replica::{Replica, handovers, turns};
use gitops_e2e::{Agent, World};

/// How the first agent loses the lease.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Nothing of it reaches the API server, nor comes back.
    CutOff,
    /// Its requests go on and are never answered.
    Unanswered,
    /// It stands still.
    Stopped,
    /// It ends as it should.
    Ended,
}

fn signal(agent: &Agent, name: &str) {
    let pid = agent.pid().unwrap().to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args([name, &pid]).status().unwrap().success());
}

async fn one_writes_at_a_time(loss: Loss) {
    let world = World::behind_proxy("leadership").await;
    let repo = world.repo("config");
    let commit = repo.write("a.yaml", &config_map("a", "0"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced_to(&commit).await;
    let second = Replica::start(&world, "second").await;
    let third = Replica::start(&world, "third").await;
    let before = handovers(&world).await;
    world.proxy().forget();
    match loss {
        Loss::CutOff => world.proxy().away(true),
        Loss::Unanswered => world.proxy().silent(true),
        Loss::Stopped => signal(&world.agent(), "-STOP"),
        Loss::Ended => assert!(world.stop().await),
    }
    // There is something to write for whoever may.
    let mut commits = vec![commit];
    for value in 1..4 {
        let commit = repo.write("a.yaml", &config_map("a", &value.to_string()));
        app.synced_to(&commit).await;
        commits.push(commit);
        if value == 1 {
            match loss {
                Loss::CutOff => world.proxy().away(false),
                Loss::Unanswered => world.proxy().silent(false),
                Loss::Stopped => signal(&world.agent(), "-CONT"),
                Loss::Ended => world.agent().restart(),
            }
        }
    }
    let written = [
        world.proxy().requests(),
        second.proxy.requests(),
        third.proxy.requests(),
    ];
    let went = handovers(&world).await - before;
    assert!(went >= 1, "{loss:?}: nobody took the lease");
    let turns = turns(&written);
    assert!(
        turns <= went,
        "{loss:?}: {turns} turns of writers, and the lease went {went} times from one to another"
    );
    let history = status(&app.get().await).history;
    let history: Vec<_> = history.into_iter().map(|entry| entry.revision).collect();
    assert_eq!(history, commits, "{loss:?}: each deployment once");
}

#[tokio::test]
async fn who_is_cut_off_writes_nothing_once_another_has_the_lease() {
    one_writes_at_a_time(Loss::CutOff).await;
}

#[tokio::test]
async fn who_gets_no_answers_writes_nothing_once_another_has_the_lease() {
    one_writes_at_a_time(Loss::Unanswered).await;
}

#[tokio::test]
async fn who_stood_still_writes_nothing_once_another_has_the_lease() {
    one_writes_at_a_time(Loss::Stopped).await;
}

#[tokio::test]
async fn who_ends_gives_the_lease_to_the_next() {
    one_writes_at_a_time(Loss::Ended).await;
}
