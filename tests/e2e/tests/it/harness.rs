//! What the other tests rely on: protected branches, races, deploy keys and screens are what they
//! are with the real programs.

use gitops_e2e::checkout::{Checkout, State};
use gitops_e2e::repository::Transport;
use gitops_e2e::world::unique;
use gitops_e2e::{Environment, Person, Repo, http};

/// A repository with two commits.
fn repository(name: &str) -> Repo {
    let repo = Repo::create(&unique(name));
    repo.write("a.yaml", "a: 1\n");
    repo.write("a.yaml", "a: 2\n");
    repo
}

#[tokio::test]
async fn a_protected_branch_refuses_people_and_others_may_be_pushed() {
    let (person, repo) = (Person::new(), repository("protected"));
    repo.protect("main");
    let clone = Checkout::of(&person, &repo, State::Ahead, "a.yaml");
    let before = repo.branch("main");
    let push = |to: &str| {
        person
            .types(&["git", "push", "origin", to])
            .from(clone.path())
    };
    let refused = push("HEAD:main").run().await;
    refused
        .exits(1)
        .says("pre-receive hook declined")
        .says("protected");
    assert_eq!(repo.branch("main"), before);
    push("HEAD:fix").run().await.exits(0);
    repo.write("b.yaml", "b: 1\n");
    assert_ne!(repo.branch("main"), before, "the owner pushes");
}

#[tokio::test]
async fn races_are_lost_as_often_as_asked() {
    let (person, repo) = (Person::new(), repository("races"));
    repo.race(1);
    let clone = Checkout::of(&person, &repo, State::Ahead, "a.yaml");
    let git = |words: &[&str]| person.types(words).from(clone.path());
    let lost = git(&["git", "push", "origin", "main"]).run().await;
    lost.exits(1).says("[remote rejected]");
    assert_eq!(repo.file("main", "races/0"), "race 0");
    let behind = git(&["git", "push", "origin", "main"]).run().await;
    behind.exits(1).says("fetch first");
    git(&["git", "pull", "-q", "--rebase"]).run().await.exits(0);
    git(&["git", "push", "origin", "main"]).run().await.exits(0);
    assert_eq!(repo.file("main", "ahead.yaml"), "ahead: true");
}

#[tokio::test]
async fn a_deploy_key_reads_its_repository() {
    let (person, repo) = (Person::new(), repository("deploy-key"));
    let servers = &Environment::get().servers;
    let key = person.path("key").to_string_lossy().into_owned();
    let made = person.types(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &key]);
    made.run().await.exits(0);
    let ssh = format!(
        "ssh -i {key} -o IdentitiesOnly=yes -o UserKnownHostsFile={}",
        servers.known_hosts.display()
    );
    let list = person.types(&["git", "ls-remote", &repo.forge_ssh_url()]);
    let list = list.with("GIT_SSH_COMMAND", &ssh);
    list.clone().run().await.exits(128);
    let public = std::fs::read_to_string(format!("{key}.pub")).unwrap();
    let body = serde_json::json!({"title": "agent", "key": public, "read_only": true});
    let keys = format!("{}/api/v1/repos/git/{}/keys", servers.forge(), repo.name());
    let post = |token: &str| http::send("POST", &keys, token, &body.to_string()).0;
    assert_eq!((post("wrong"), post(&servers.token)), (401, 201));
    list.run().await.exits(0).prints("refs/heads/main");
    let state = repo.forge();
    assert_eq!(state["keys"][0]["title"], "agent");
    assert_eq!(state["requests"][0]["status"], 401);
    assert_ne!(repo.url(), repo.url_over(Transport::Private));
}

#[tokio::test]
async fn a_terminal_has_a_size_and_keys() {
    // The trap stands before anything is shown, and no sleep is long enough to miss a signal that
    // comes right before it.
    let script = "trap 'stty size; exit 3' INT; stty size; printf 'go on? '; read answer; \
                  echo \"you said $answer\"; while :; do sleep 0.1; done";
    let person = Person::new();
    let mut terminal = person.types(&["sh", "-c", script]).on_terminal(72, 18);
    terminal.shows("18 72").await.shows("go on?").await;
    terminal.enter("yes").shows("you said yes").await;
    terminal.resize(40, 12).interrupt();
    terminal.ends().await.exits(3).shows("12 40").is_tidy();
}
