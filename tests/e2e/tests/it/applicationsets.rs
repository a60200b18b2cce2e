//! ApplicationSets: what is generated on a real control plane, and that a fleet is never lost.

use std::path::Path;

use gitops_api::application_set::ApplicationSet;
use gitops_api::constants::annotation;
use gitops_api::{Application, HealthStatusCode};
use gitops_e2e::application::is_synced;
use gitops_e2e::manifests::config_map;
use gitops_e2e::{World, wait};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

fn sets(world: &World) -> Api<ApplicationSet> {
    Api::namespaced(world.plane.client.clone(), &world.namespace)
}

async fn applications(world: &World) -> Vec<String> {
    let api: Api<Application> = Api::namespaced(world.plane.client.clone(), &world.namespace);
    let all = api.list(&ListParams::default()).await.unwrap();
    all.iter().map(ResourceExt::name_any).collect()
}

/// Applies a set with these generators and this template.
async fn set(world: &World, name: &str, spec: Value) {
    let value = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": name, "namespace": world.namespace}, "spec": spec,
    });
    world.plane.apply_value_as("gitops-e2e", value).await;
}

fn list(elements: &[&str]) -> Value {
    let elements: Vec<Value> = elements.iter().map(|env| json!({"env": env})).collect();
    json!([{"list": {"elements": elements}}])
}

/// A template of an Application of a repository that nobody serves.
fn template(world: &World, name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.invalid/none.git", "path": "{{.env}}", "targetRevision": "main"},
            "destination": {"name": "in-cluster", "namespace": world.target},
        },
    })
}

fn spec(world: &World, elements: &[&str], name: &str) -> Value {
    json!({"goTemplate": true, "goTemplateOptions": ["missingkey=error"],
        "generators": list(elements), "template": template(world, name)})
}

fn message(set: &ApplicationSet, kind: &str) -> Option<(String, String)> {
    let status = set.status.as_ref()?;
    let condition = status
        .conditions
        .iter()
        .find(|one| one.condition_type == kind)?;
    Some((
        condition.status.clone(),
        format!("{}: {}", condition.reason, condition.message),
    ))
}

/// Waits until a condition has a state and says these texts.
async fn says(
    world: &World,
    name: &str,
    kind: &str,
    status: &str,
    texts: &[&str],
) -> ApplicationSet {
    let until = wait::until(sets(world), name, |set: Option<&ApplicationSet>| {
        set.and_then(|set| message(set, kind))
            .is_some_and(|(state, text)| {
                state == status && texts.iter().all(|part| text.contains(part))
            })
    });
    match until.await {
        Ok(set) => set.unwrap(),
        Err(last) => panic!(
            "{kind} of {name} is not {status} with {texts:?}:\n{last}\n{}",
            world.agent_tail()
        ),
    }
}

/// Waits until a set lists so many Applications and has no error.
async fn has(world: &World, name: &str, count: usize) -> ApplicationSet {
    let until = wait::until(sets(world), name, |set: Option<&ApplicationSet>| {
        let Some(set) = set else { return false };
        let status = set.status.clone().unwrap_or_default();
        status.resources.len() == count
            && message(set, "ErrorOccurred").is_some_and(|(state, _)| state == "False")
    });
    match until.await {
        Ok(set) => set.unwrap(),
        Err(last) => panic!(
            "{name} does not have {count} Applications:\n{last}\n{}",
            world.agent_tail()
        ),
    }
}

async fn annotate(world: &World, name: &str, key: &str, value: &str) {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    let api = sets(world);
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_set_of_the_article_says_what_is_wrong_with_it_and_works_once_it_is_mended() {
    let world = World::new("article").await;
    let repo = world.repo("config");
    repo.commit(&[
        (
            "apps/payments/overlays/staging/a.yaml",
            Some(&config_map("staging", "1")),
        ),
        (
            "apps/payments/overlays/prod/a.yaml",
            Some(&config_map("prod", "1")),
        ),
    ]);
    let project = gitops_e2e::world::default_project(&world.namespace)
        .replace("name: default", "name: payments");
    world.plane.apply(&project).await;
    world
        .configure(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: lab\n  labels:\n    \
             argocd.argoproj.io/secret-type: cluster\nstringData:\n  name: lab\n  server: \
             https://kubernetes.default.svc\n  config: '{}'\n",
        )
        .await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/examples/000-payments-applicationset.yaml");
    let printed = std::fs::read_to_string(path).unwrap();
    let printed = printed
        .replace("https://github.com/acme/k8s-config.git", &repo.url())
        .replace(
            "namespace: payments",
            &format!("namespace: {}", world.target),
        );
    world.configure(&printed).await;
    let texts = [
        "spec.template.metadata.name",
        "{env: \"staging\"",
        "has no parameter .values.env; did you mean .env?",
        "element 1",
    ];
    let wrong = says(&world, "payments", "ErrorOccurred", "True", &texts).await;
    assert_eq!(
        wrong.status.unwrap().health.unwrap().status,
        HealthStatusCode::Degraded
    );
    assert_eq!(applications(&world).await, Vec::<String>::new());

    world
        .configure(&printed.replace(".values.env", ".env"))
        .await;
    let set = has(&world, "payments", 2).await;
    assert_eq!(
        set.status.unwrap().health.unwrap().status,
        HealthStatusCode::Healthy
    );
    let app = world.existing_app("payments-prod-lab").healthy().await;
    world.existing_app("payments-staging-lab").healthy().await;
    world.config_map_is("prod", "1").await;
    let owner = &app.owner_references()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.controller),
        ("ApplicationSet", Some(true))
    );
    assert_eq!(app.finalizers(), ["resources-finalizer.argocd.argoproj.io"]);
}

#[tokio::test]
async fn directories_and_files_of_a_repository_are_followed() {
    let world = World::new("gitsets").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("apps/web/a.yaml", Some(&config_map("web", "1"))),
        ("apps/api/a.yaml", Some(&config_map("api", "1"))),
        ("apps/.hidden/a.yaml", Some("x: 1\n")),
        (
            "envs/dev.yaml",
            Some("env: dev\nbig: 123456789012\nversion: 1.10\n"),
        ),
    ]);
    let url = repo.url();
    let source = json!({"repoURL": url, "path": "{{.path.path}}", "targetRevision": "main"});
    let mut template = template(&world, "{{.path.basename}}");
    template["spec"]["source"] = source;
    template["spec"]["syncPolicy"] = json!({"automated": {}});
    set(&world, "dirs", json!({"goTemplate": true, "goTemplateOptions": ["missingkey=error"], "template": template,
        "generators": [{"git": {"repoURL": url, "revision": "main", "directories": [{"path": "apps/*"}]}}]}))
    .await;
    let mut template = self::template(&world, "files-{{.env}}-{{.tier}}");
    template["metadata"]["annotations"] = json!({"seen": "{{.big}} {{.version}}"});
    set(
        &world,
        "files",
        json!({"goTemplate": true, "goTemplateOptions": ["missingkey=error"], "template": template,
        "generators": [{"matrix": {"generators": [
            {"git": {"repoURL": url, "revision": "main", "files": [{"path": "envs/*.yaml"}]}},
            {"merge": {"mergeKeys": ["tier"], "generators": [
                {"list": {"elements": [{"tier": "a"}, {"tier": "b"}]}},
                {"list": {"elements": [{"tier": "b", "more": "{{.env}}"}]}},
            ]}},
        ]}}]}),
    )
    .await;
    has(&world, "dirs", 2).await;
    let app = world.existing_app("web").wait("synced", is_synced).await;
    assert_eq!(app.spec.source.unwrap().path, "apps/web");
    has(&world, "files", 2).await;
    let app = world.existing_app("files-dev-b").get().await;
    assert_eq!(app.annotations()["seen"], "123456789012 1.10");

    let before = world.times_logged("changing");
    repo.commit(&[
        ("apps/jobs/a.yaml", Some(&config_map("jobs", "1"))),
        ("envs/prod.yaml", Some("env: prod\nbig: 1\nversion: 2\n")),
    ]);
    has(&world, "dirs", 3).await;
    has(&world, "files", 4).await;
    world.existing_app("jobs").healthy().await;
    assert_eq!(
        world.times_logged("changing"),
        before,
        "nothing of the others changed"
    );

    // A branch that vanishes, and a file that cannot be read, are errors and no empty answers.
    repo.commit(&[("envs/prod.yaml", Some("env: [\n"))]);
    says(
        &world,
        "files",
        "ErrorOccurred",
        "True",
        &[
            "envs/prod.yaml",
            "spec.generators[0].matrix.generators[0].git",
        ],
    )
    .await;
    assert_eq!(applications(&world).await.len(), 7);
    set(&world, "dirs", json!({"goTemplate": true, "template": self::template(&world, "{{.path.basename}}"),
        "generators": [{"git": {"repoURL": url, "revision": "gone", "directories": [{"path": "apps/*"}]}}]}))
    .await;
    says(
        &world,
        "dirs",
        "ErrorOccurred",
        "True",
        &["ApplicationGenerationFromParamsError", "gone"],
    )
    .await;
    assert_eq!(applications(&world).await.len(), 7);
}

#[tokio::test]
async fn many_deletions_wait_for_an_approval() {
    let world = World::new("fleet").await;
    set(
        &world,
        "fleet",
        spec(&world, &["a", "b", "c", "d", "e"], "fleet-{{.env}}"),
    )
    .await;
    has(&world, "fleet", 5).await;
    // One is what somebody means.
    set(
        &world,
        "fleet",
        spec(&world, &["a", "b", "c", "d"], "fleet-{{.env}}"),
    )
    .await;
    world.existing_app("fleet-e").gone().await;
    has(&world, "fleet", 4).await;
    // Three of four may be a mistake; new ones wait, too: they may be the same under another name.
    set(&world, "fleet", spec(&world, &["a", "x"], "fleet-{{.env}}")).await;
    let held = says(
        &world,
        "fleet",
        "DeletionsHeld",
        "True",
        &["3 of 4", "fleet-b, fleet-c, fleet-d", "deletion-approved"],
    )
    .await;
    assert_eq!(message(&held, "ErrorOccurred").unwrap().0, "True");
    let names = ["fleet-a", "fleet-b", "fleet-c", "fleet-d"];
    assert_eq!(applications(&world).await, names);
    world.agent().restart();
    world.logged("the agent runs").await;
    says(&world, "fleet", "DeletionsHeld", "True", &["3 of 4"]).await;
    assert_eq!(
        applications(&world).await,
        names,
        "another agent asks the same"
    );
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    annotate(&world, "fleet", annotation::DELETION_APPROVED, &now).await;
    for name in ["fleet-b", "fleet-c", "fleet-d"] {
        world.existing_app(name).gone().await;
    }
    has(&world, "fleet", 2).await;
    // The approval was for that question.
    set(&world, "fleet", spec(&world, &[], "fleet-{{.env}}")).await;
    says(
        &world,
        "fleet",
        "DeletionsHeld",
        "True",
        &["all 2 Applications"],
    )
    .await;
    assert_eq!(applications(&world).await, ["fleet-a", "fleet-x"]);
}

#[tokio::test]
async fn what_hands_change_comes_back_and_what_a_set_does_not_own_stays() {
    let world = World::new("hands").await;
    set(&world, "one", spec(&world, &["a", "b"], "hand-{{.env}}")).await;
    has(&world, "one", 2).await;
    let app = world.existing_app("hand-a");
    app.patch(json!({"metadata": {"labels": {"mine": "1"}}, "spec": {"source": {"targetRevision": "hand"}}})).await;
    app.wait("put back", |app| {
        app.labels().is_empty()
            && app
                .spec
                .source
                .as_ref()
                .is_some_and(|source| source.target_revision == "main")
    })
    .await;
    // Deleted by hand, it comes back at once.
    let uid = app.get().await.uid();
    app.delete().await;
    app.wait("made anew", |app| app.uid() != uid).await;
    // Another set of the same name: both say so, nothing changes hands.
    set(&world, "two", spec(&world, &["a", "z"], "hand-{{.env}}")).await;
    says(
        &world,
        "two",
        "ErrorOccurred",
        "True",
        &["hand-a", "also generated by the ApplicationSet one"],
    )
    .await;
    says(
        &world,
        "one",
        "ErrorOccurred",
        "True",
        &["hand-a", "also generated by the ApplicationSet two"],
    )
    .await;
    world.existing_app("hand-z").wait("there", |_| true).await;
    assert_eq!(app.get().await.owner_references()[0].name, "one");
    set(&world, "two", spec(&world, &["z"], "hand-{{.env}}")).await;
    has(&world, "one", 2).await;
    // What the API server would refuse does not hold back the others.
    set(
        &world,
        "one",
        spec(&world, &["a", "b", "Bad Name", "c"], "hand-{{.env}}"),
    )
    .await;
    says(
        &world,
        "one",
        "ErrorOccurred",
        "True",
        &[
            "UpdateApplicationError",
            "normalize would make it \"hand-bad-name\"",
        ],
    )
    .await;
    world.existing_app("hand-c").wait("there", |_| true).await;
    // A project that is missing holds back one; when it appears, at once not any more.
    let mut late = spec(&world, &["late"], "hand-{{.env}}");
    late["template"]["spec"]["project"] = json!("late");
    set(&world, "late", late).await;
    says(
        &world,
        "late",
        "ErrorOccurred",
        "True",
        &[
            "ApplicationValidationError",
            "the project late does not exist",
        ],
    )
    .await;
    let project =
        gitops_e2e::world::default_project(&world.namespace).replace("name: default", "name: late");
    world.plane.apply(&project).await;
    has(&world, "late", 1).await;
    // The wish for a refresh goes, whatever came of it.
    annotate(&world, "late", annotation::APPLICATION_SET_REFRESH, "true").await;
    let until = wait::until(sets(&world), "late", |set: Option<&ApplicationSet>| {
        set.is_some_and(|set| {
            !set.annotations()
                .contains_key(annotation::APPLICATION_SET_REFRESH)
        })
    });
    until.await.unwrap();
}

#[tokio::test]
async fn a_deleted_set_takes_its_applications_with_it_and_their_objects_unless_told_not_to() {
    let world = World::new("delsets").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a/a.yaml", Some(&config_map("a", "1"))),
        ("b/b.yaml", Some(&config_map("b", "1"))),
    ]);
    for (name, env, preserve) in [("goes", "a", false), ("stays", "b", true)] {
        let mut spec = spec(&world, &[env], "del-{{.env}}");
        spec["template"]["spec"]["source"]["repoURL"] = json!(repo.url());
        spec["template"]["spec"]["syncPolicy"] = json!({"automated": {"prune": true}});
        spec["syncPolicy"] = json!({"preserveResourcesOnDeletion": preserve});
        set(&world, name, spec).await;
    }
    world.existing_app("del-a").healthy().await;
    world.existing_app("del-b").healthy().await;
    world.agent().kill();
    for name in ["goes", "stays"] {
        sets(&world)
            .delete(name, &DeleteParams::background())
            .await
            .unwrap();
    }
    world.agent().restart();
    world.existing_app("del-a").gone().await;
    world.existing_app("del-b").gone().await;
    world
        .object_gone::<k8s_openapi::api::core::v1::ConfigMap>("a")
        .await;
    world.config_map_is("b", "1").await;
}

#[tokio::test]
async fn sets_are_left_to_argo_cds_own_controller_where_it_runs() {
    let world = World::new("othersets").await;
    let deployment = |replicas: u8| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: argocd-applicationset-controller\n  \
             labels:\n    app.kubernetes.io/name: argocd-applicationset-controller\nspec:\n  replicas: {replicas}\n  \
             selector:\n    matchLabels:\n      app: x\n  template:\n    metadata:\n      labels:\n        app: x\n    \
             spec:\n      containers:\n      - name: x\n        image: x:1\n"
        )
    };
    world.configure(&deployment(1)).await;
    world.agent().restart();
    world.logged("the agent runs").await;
    set(&world, "one", spec(&world, &["a"], "other-{{.env}}")).await;
    world
        .logged("left to the controller that serves ApplicationSets here")
        .await;
    assert_eq!(applications(&world).await, Vec::<String>::new());
    world.configure(&deployment(0)).await;
    has(&world, "one", 1).await;
    world.existing_app("other-a").wait("there", |_| true).await;
}
