//! Previews: what a revision, changed files or a restored revision would change, and holds.

use gitops_api::constants::annotation;
use gitops_api::preview::{PreviewAction, PreviewPhase, PreviewSpec, PreviewStatus};
use gitops_api::{Application, Preview};
use gitops_e2e::application::{is_synced, revision, status};
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::{World, wait};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// Who the tests are for the API server.
async fn requester(world: &World) -> Value {
    let api: Api<SelfSubjectReview> = Api::all(world.plane.client.clone());
    let review = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .unwrap();
    let user = review.status.unwrap().user_info.unwrap();
    json!({"username": user.username, "groups": user.groups})
}

async fn ask(world: &World, mut spec: Value) -> PreviewStatus {
    spec["requester"] = requester(world).await;
    ask_as_it_is(world, spec).await
}

async fn ask_as_it_is(world: &World, spec: Value) -> PreviewStatus {
    let api: Api<Preview> = Api::namespaced(world.plane.client.clone(), &world.namespace);
    let preview = Preview {
        metadata: ObjectMeta {
            generate_name: Some("test-".into()),
            ..ObjectMeta::default()
        },
        spec: serde_json::from_value::<PreviewSpec>(spec).unwrap(),
        status: None,
    };
    let name = api
        .create(&PostParams::default(), &preview)
        .await
        .unwrap()
        .name_any();
    let answered = wait::until(api.clone(), &name, |found: Option<&Preview>| {
        found.is_some_and(|preview| {
            preview
                .status
                .as_ref()
                .is_some_and(|status| status.completed_at.is_some())
        })
    })
    .await
    .unwrap_or_else(|last| panic!("no answer: {last}\n{}", world.agent_tail()))
    .and_then(|preview| preview.status)
    .unwrap();
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    answered
}

fn changes(answer: &PreviewStatus) -> Vec<(PreviewAction, String)> {
    answer
        .objects
        .iter()
        .map(|object| {
            let name = format!("{}/{}", object.kind, object.name);
            (object.action, name)
        })
        .collect()
}

#[tokio::test]
async fn a_branch_is_previewed_field_by_field_and_secrets_stay_secret() {
    let world = World::new("preview").await;
    let repo = world.repo("config");
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\nstringData:\n  key: {value}\n"
        )
    };
    repo.commit(&[
        ("web.yaml", Some(&deployment("web", 2, "web:1"))),
        ("token.yaml", Some(&secret("hunter2-old"))),
        ("gone.yaml", Some(&config_map("gone", "1"))),
        ("same.yaml", Some(&config_map("same", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    repo.git(&["checkout", "-q", "-b", "next"]);
    std::fs::remove_file(repo.path().join("gone.yaml")).unwrap();
    std::fs::write(repo.path().join("web.yaml"), deployment("web", 3, "web:2")).unwrap();
    std::fs::write(repo.path().join("token.yaml"), secret("hunter2-new")).unwrap();
    std::fs::write(repo.path().join("new.yaml"), config_map("new", "1")).unwrap();
    let commit = repo.commit_all("next");
    repo.push(&["next"]);

    let answer = ask(
        &world,
        json!({"application": "shop", "revision": "next", "objects": true}),
    )
    .await;
    assert_eq!(answer.phase, PreviewPhase::Succeeded, "{}", answer.message);
    assert_eq!(answer.revisions, [commit]);
    assert_eq!(answer.contained, Some(false));
    assert_eq!(
        changes(&answer),
        [
            (PreviewAction::Prune, "ConfigMap/gone".to_owned()),
            (PreviewAction::Create, "ConfigMap/new".to_owned()),
            (PreviewAction::Change, "Secret/token".to_owned()),
            (PreviewAction::Change, "Deployment/web".to_owned()),
        ]
    );
    let counts = answer.counts.clone().unwrap();
    assert_eq!(
        (counts.create, counts.change, counts.prune, counts.equal),
        (1, 2, 1, 1)
    );
    let web = answer.objects.last().unwrap();
    let fields: Vec<_> = web
        .fields
        .iter()
        .map(|field| {
            (
                field.path.as_str(),
                field.live.as_deref(),
                field.desired.as_deref(),
            )
        })
        .collect();
    assert!(
        fields.contains(&(".spec.replicas", Some("2"), Some("3"))),
        "{fields:?}"
    );
    assert!(web.origin.starts_with("web.yaml"), "{}", web.origin);
    assert_eq!(web.live.as_ref().unwrap()["spec"]["replicas"], 2);
    assert_eq!(web.merged.as_ref().unwrap()["spec"]["replicas"], 3);
    let text = serde_json::to_string(&answer).unwrap();
    for leak in ["hunter2", "aHVudGVyMi", "managedFields"] {
        assert!(!text.contains(leak), "{leak}");
    }
    // Nothing was changed by asking.
    assert!(
        !world
            .exists::<k8s_openapi::api::core::v1::ConfigMap>("new")
            .await
    );
    assert!(is_synced(&app.get().await));
}

#[tokio::test]
async fn restoring_names_shared_files_and_says_whether_it_is_exact() {
    let world = World::new("restore").await;
    let repo = world.repo("config");
    let kustomization = |patch: &str| format!("resources: [../../base]\nnamePrefix: {patch}-\n");
    let good = repo.commit(&[
        ("base/map.yaml", Some(&config_map("base", "1"))),
        ("base/kustomization.yaml", Some("resources: [map.yaml]\n")),
        (
            "apps/one/kustomization.yaml",
            Some(&(kustomization("one") + "commonAnnotations: {v: \"1\"}\n")),
        ),
        ("apps/two/kustomization.yaml", Some(&kustomization("two"))),
    ]);
    let one = world
        .app("one")
        .repo(&repo)
        .path("apps/one")
        .automated()
        .create()
        .await;
    let two = world
        .app("two")
        .repo(&repo)
        .path("apps/two")
        .automated()
        .create()
        .await;
    one.synced_to(&good).await;
    two.synced_to(&good).await;
    let bad = repo.commit(&[
        ("base/map.yaml", Some(&config_map("base", "2"))),
        ("apps/one/kustomization.yaml", Some(&(kustomization("one") + "commonAnnotations: {v: \"2\"}\nconfigMapGenerator: [{name: extra, files: [extra.txt]}]\n"))),
        ("apps/one/extra.txt", Some("extra")),
        ("apps/two/unrelated.txt", Some("x")),
    ]);
    one.synced_to(&bad).await;
    two.synced_to(&bad).await;
    let restore = |shared: bool| json!({"application": "one", "restore": {"revision": good, "includeShared": shared}});
    let answer = ask(&world, restore(false)).await;
    assert_eq!(answer.phase, PreviewPhase::Succeeded, "{}", answer.message);
    let found = &answer.restores[0];
    assert_eq!((&found.from, &found.to), (&bad, &good));
    assert_eq!(found.branch, "main");
    let files: Vec<_> = found
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.delete, file.left))
        .collect();
    assert_eq!(
        files,
        [
            ("apps/one/extra.txt", true, false),
            ("apps/one/kustomization.yaml", false, false),
            ("base/map.yaml", false, true),
        ]
    );
    assert_eq!(found.files[2].shared_with, ["two"]);
    assert!(!found.exact);
    assert!(
        found.inexact_because.contains("1 files"),
        "{}",
        found.inexact_because
    );

    let answer = ask(&world, restore(true)).await;
    assert!(
        answer.restores[0].exact,
        "{}",
        answer.restores[0].inexact_because
    );
    let counts = answer.counts.unwrap();
    assert_eq!((counts.change, counts.prune), (1, 1));

    // A commit that does not even render can be taken back.
    let broken = repo.write("apps/one/kustomization.yaml", "resources: [nothing.yaml]\n");
    let answer = ask(&world, restore(true)).await;
    assert_eq!(answer.phase, PreviewPhase::Succeeded, "{}", answer.message);
    assert_eq!(answer.restores[0].from, broken);
    assert!(
        answer.restores[0].exact,
        "{}",
        answer.restores[0].inexact_because
    );
    assert!(
        answer.warnings[0].contains("does not render"),
        "{:?}",
        answer.warnings
    );
}

#[tokio::test]
async fn nobody_asks_in_the_name_of_another_and_who_is_unknown_sees_names_only() {
    let world = World::new("requester").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("a", "1"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("a comparison", |app: &Application| {
        status(app).sync.is_some()
    })
    .await;
    let api: Api<Preview> = Api::namespaced(world.plane.client.clone(), &world.namespace);
    let forged: Preview = serde_json::from_value(json!({
        "metadata": {"name": "forged"},
        "spec": {"application": "shop", "requester": {"username": "somebody"}}}))
    .unwrap();
    let refused = api
        .create(&PostParams::default(), &forged)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("names who creates it"),
        "{refused}"
    );
    let answer = ask(&world, json!({"application": "shop", "objects": true})).await;
    assert_eq!(answer.objects[0].action, PreviewAction::Create);
    let unknown = json!({"application": "shop", "objects": true});
    let answer = ask_as_it_is(&world, unknown).await;
    assert_eq!(answer.phase, PreviewPhase::Succeeded, "{}", answer.message);
    assert_eq!(answer.objects[0].action, PreviewAction::Withheld);
    assert_eq!(answer.objects[0].merged, None);
    let said = answer.warnings.join(" ");
    assert!(said.contains("who asks is not proven"), "{said}");
    let files = json!({"application": "shop", "files": [{"path": "b.yaml", "content": ""}]});
    let answer = ask_as_it_is(&world, files).await;
    assert!(
        answer.message.contains("previews/files"),
        "{}",
        answer.message
    );
}

#[tokio::test]
async fn questions_that_cannot_be_answered_say_why() {
    let world = World::new("unanswered").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("a", "1"));
    world
        .plane
        .apply(&format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata:\n  name: narrow\n  namespace: {}\nspec:\n  sourceRepos: ['*']\n  destinations: [{{server: '*', namespace: '*'}}]\n  clusterResourceWhitelist: []\n",
            world.namespace
        ))
        .await;
    let narrow = world.app("shop").repo(&repo).automated();
    let app = narrow.set("/spec/project", json!("narrow")).create().await;
    app.synced().await;
    let cases = [
        (
            json!({"application": "nobody"}),
            "no Application \"nobody\"",
        ),
        (
            json!({"application": "shop", "revision": "nowhere"}),
            "nowhere",
        ),
        (
            json!({"application": "shop", "files": [{"path": "../x", "content": ""}]}),
            "not a path",
        ),
        (
            json!({"application": "shop", "files": [{"path": "b.yaml", "content": "YXBpVmVyc2lvbjogdjEKa2luZDogQ29uZmlnTWFwCm1ldGFkYXRhOiB7bmFtZTogWwo="}]}),
            "b.yaml",
        ),
    ];
    for (spec, expected) in cases {
        let answer = ask(&world, spec).await;
        assert_eq!(answer.phase, PreviewPhase::Failed, "{expected}");
        assert!(answer.message.contains(expected), "{}", answer.message);
    }
    // A manifest of a kind the project does not allow is not even compared.
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n";
    let content = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(namespace)
    };
    let answer = ask(
        &world,
        json!({"application": "shop", "files": [{"path": "namespace.yaml", "content": content}]}),
    )
    .await;
    assert_eq!(answer.phase, PreviewPhase::Failed);
    assert!(answer.message.contains("Namespace"), "{}", answer.message);
}

#[tokio::test]
async fn the_live_commit_and_how_it_fared_are_told() {
    let world = World::new("live").await;
    let repo = world.repo("config");
    let first = repo.write("apps/web/a.yaml", &config_map("a", "1"));
    let app = world
        .app("web")
        .repo(&repo)
        .path("apps/web")
        .automated()
        .create()
        .await;
    app.synced_to(&first).await;
    let told = app
        .wait("the live commit", |app: &Application| {
            status(app)
                .live
                .is_some_and(|live| live.commit.revision == first)
        })
        .await;
    let entry = &status(&told).history[0];
    assert_eq!(entry.commit.as_ref().unwrap().revision, first);
    assert!(entry.healthy_at.is_some());
    assert!(!entry.desired_digest.is_empty());
    assert!(entry.degraded_at.is_none());

    let other = repo.write("elsewhere.yaml", &config_map("b", "1"));
    let told = app
        .wait("a commit of somebody else", |app: &Application| {
            status(app)
                .live
                .is_some_and(|live| live.commit.revision == other)
        })
        .await;
    let live = status(&told).live.unwrap();
    assert_eq!(live.changed.unwrap().revision, first);
    assert_eq!(live.behind, 0);
    assert!(!live.commit.author.is_empty() && !live.commit.subject.is_empty());

    app.patch(json!({"spec": {"syncPolicy": null}})).await;
    let third = repo.write("apps/web/a.yaml", &config_map("a", "2"));
    let told = app.compared_to(&third).await;
    let live = status(&told).live.unwrap();
    assert_eq!(
        (live.commit.revision.as_str(), live.behind),
        (other.as_str(), 1)
    );
    let contained = async |revision: &str| {
        ask(&world, json!({"application": "web", "revision": revision}))
            .await
            .contained
    };
    assert_eq!(contained(&first).await, Some(true));
    assert_eq!(contained(&third).await, Some(false));
}

#[tokio::test]
async fn a_hold_delivers_the_good_revision_until_git_changes() {
    let world = World::new("hold").await;
    let repo = world.repo("config");
    let good = repo.write("a.yaml", &config_map("a", "good"));
    let app = world.app("web").repo(&repo).automated().create().await;
    app.synced_to(&good).await;
    let bad = repo.write("a.yaml", &config_map("a", "bad"));
    app.synced_to(&bad).await;
    world.config_map_is("a", "bad").await;
    let hold = json!({"revision": good, "insteadOf": bad, "by": "ana", "reason": "INC-1"});
    app.patch(json!({"metadata": {"annotations": {annotation::HOLD: hold.to_string()}}}))
        .await;
    world.config_map_is("a", "good").await;
    let told = app.condition("HeldWarning", &["INC-1", "ana"]).await;
    assert_eq!(revision(&told), good);
    // It is kept, and survives another agent.
    world.agent().restart();
    let maps = world.api::<k8s_openapi::api::core::v1::ConfigMap>();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    world.config_map_is("a", "good").await;
    // Git moves on: the hold ends by itself.
    let fixed = repo.write("a.yaml", &config_map("a", "fixed"));
    world.config_map_is("a", "fixed").await;
    let after = app.synced_to(&fixed).await;
    assert_eq!(after.annotations().get(annotation::HOLD), None);
}
