//! Private repositories: Secrets, prefixes, private authorities, ssh; and wrong credentials.

use gitops_e2e::application::{conditions, status};
use gitops_e2e::manifests::config_map;
use gitops_e2e::repository::Transport;
use gitops_e2e::{Environment, Repo, World};
use serde_json::{Value, json};

async fn secret(world: &World, name: &str, kind: &str, data: Value) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": name, "namespace": world.namespace,
            "labels": {"argocd.argoproj.io/secret-type": kind},
        },
        "stringData": data,
    });
    world.plane.apply_value_as("gitops-e2e", secret).await;
}

async fn settings(world: &World, name: &str, data: Value) {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": name, "namespace": world.namespace,
            "labels": {"app.kubernetes.io/part-of": "argocd"},
        },
        "data": data,
    });
    world.plane.apply_value_as("gitops-e2e", map).await;
}

async fn trust_authority(world: &World) {
    let authority = std::fs::read_to_string(&Environment::get().servers.ca).unwrap();
    settings(
        world,
        "argocd-tls-certs-cm",
        json!({"127.0.0.1": authority}),
    )
    .await;
}

fn filled(world: &World) -> Repo {
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    repo
}

#[tokio::test]
async fn a_password_and_then_a_token_open_a_repository() {
    let world = World::new("password").await;
    let repo = filled(&world);
    let servers = &Environment::get().servers;
    let url = repo.url_over(Transport::Private);
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source/repoURL", json!(url))
        .create()
        .await;
    app.condition("ComparisonError", &[repo.name()]).await;

    let wrong = json!({"url": url, "username": servers.username, "password": "wr0ng-passw0rd"});
    secret(&world, "repo", "repository", wrong).await;
    let denied = app.condition("ComparisonError", &["credentials"]).await;
    let shown = serde_json::to_string(&status(&denied)).unwrap() + &world.agent().log();
    assert!(!shown.contains("wr0ng-passw0rd"), "{shown}");

    let right = json!({"url": url, "username": servers.username, "password": servers.password});
    secret(&world, "repo", "repository", right).await;
    app.synced().await;

    let token = json!({"url": url, "bearerToken": servers.token});
    secret(&world, "repo", "repository", token).await;
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    app.synced_to(&commit).await;
    assert!(!world.agent().log().contains(&servers.password));
}

#[tokio::test]
async fn one_secret_serves_every_repository_below_its_address() {
    let world = World::new("prefix").await;
    let repo = filled(&world);
    let servers = &Environment::get().servers;
    let login =
        |url: &str| json!({"url": url, "username": servers.username, "password": servers.password});
    // A prefix ends at the boundary of a path segment: this one is of another repository.
    let url = repo.url_over(Transport::Private);
    let almost = url.trim_end_matches("fig.git");
    secret(&world, "almost", "repo-creds", login(almost)).await;
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source/repoURL", json!(url))
        .create()
        .await;
    app.condition("ComparisonError", &[repo.name()]).await;
    secret(&world, "all", "repo-creds", login(&servers.git_private)).await;
    app.synced().await;
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_configured() {
    let world = World::new("tls").await;
    let repo = filled(&world);
    let url = repo.url_over(Transport::Tls);
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source/repoURL", json!(url))
        .create()
        .await;
    app.condition("ComparisonError", &["certificate"]).await;
    trust_authority(&world).await;
    app.synced().await;
}

#[tokio::test]
async fn a_private_authority_and_a_password_together() {
    let world = World::new("tlslogin").await;
    let repo = filled(&world);
    let servers = &Environment::get().servers;
    trust_authority(&world).await;
    let url = repo.url_over(Transport::TlsPrivate);
    let login = json!({"url": url, "username": servers.username, "password": servers.password});
    secret(&world, "repo", "repository", login).await;
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source/repoURL", json!(url))
        .create()
        .await;
    app.synced().await;
}

#[tokio::test]
async fn ssh_needs_a_key_and_a_known_host() {
    let world = World::new("ssh").await;
    let repo = filled(&world);
    let servers = &Environment::get().servers;
    let url = repo.url_over(Transport::Ssh);
    let key = std::fs::read_to_string(&servers.client_key).unwrap();
    secret(
        &world,
        "repo",
        "repository",
        json!({"url": url, "sshPrivateKey": key}),
    )
    .await;
    let app = world
        .app("shop")
        .automated()
        .set("/spec/source/repoURL", json!(url))
        .create()
        .await;
    let refused = app.condition("ComparisonError", &["host"]).await;
    assert!(!conditions(&refused)[0].1.contains("PRIVATE KEY"));
    let known = std::fs::read_to_string(&servers.known_hosts).unwrap();
    settings(
        &world,
        "argocd-ssh-known-hosts-cm",
        json!({"ssh_known_hosts": known}),
    )
    .await;
    app.synced().await;
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    app.synced_to(&commit).await;
}
