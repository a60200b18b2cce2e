//! The Applications of the examples, as they are printed; only the repository's address differs.

use std::path::Path;

use gitops_api::{AppProject, HealthStatusCode};
use gitops_e2e::application::{health, is_healthy, is_synced};
use gitops_e2e::cluster::Cluster;
use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::manifests::{chart, deployment};
use gitops_e2e::repository::Transport;
use gitops_e2e::{App, Environment, Repo, World, wait, world};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

fn example(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/examples");
    std::fs::read_to_string(folder.join(path)).unwrap()
}

/// Applies an example with another repository; returns the Application.
async fn apply<'a>(world: &'a World, file: &str, printed: &str, url: &str) -> App<'a> {
    let text = example(file);
    assert!(text.contains(printed), "{file} has no {printed}");
    let applied = world.plane.apply(&text.replace(printed, url)).await;
    world.existing_app(applied["metadata"]["name"].as_str().unwrap())
}

async fn replicas(world: &World, namespace: &str, name: &str, count: i32) {
    let api: Api<Deployment> = Api::namespaced(world.plane.client.clone(), namespace);
    let found = wait::until(api, name, |live| {
        live.and_then(|live| live.spec.as_ref()?.replicas) == Some(count)
    })
    .await;
    assert!(
        found.is_ok(),
        "{name} has not {count} replicas: {found:?}\n{}",
        world.agent_tail()
    );
}

#[tokio::test]
async fn the_examples_work_as_printed() {
    // The examples name namespaces, so they have a cluster of their own.
    let cluster = Cluster::up("fake", &[]);
    let plane = ControlPlane::connect(&cluster.kubeconfig()).await;
    plane.namespace("argocd").await;
    plane.apply(&world::default_project("argocd")).await;
    let world = World::without_project(plane, "argocd".into()).await;
    let prefix = world::unique("examples");
    payments(&world, &prefix).await;
    myapp(&world, &prefix).await;
    nginx(&world, &prefix).await;
    helm(&world, &prefix).await;
    my_api(&world, &prefix).await;
}

async fn payments(world: &World, prefix: &str) {
    let repo = Repo::create(&format!("{prefix}-payments"));
    let base = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [deployment.yaml]\n";
    repo.commit(&[
        ("apps/payments/base/kustomization.yaml", Some(base)),
        (
            "apps/payments/base/deployment.yaml",
            Some(&deployment("payments", 1, "acme/payments:1.0.0")),
        ),
        (
            "apps/payments/overlays/prod/kustomization.yaml",
            Some(&example("000-payments-prod-overlay.yaml")),
        ),
    ]);
    let file = "000-payments-application.yaml";
    let app = apply(
        world,
        file,
        "https://github.com/acme/k8s-config.git",
        &repo.url(),
    )
    .await;
    app.condition("InvalidSpecError", &["payments", "AppProject"])
        .await;
    let project: AppProject = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "payments", "namespace": "argocd"},
        "spec": {
            "sourceRepos": [repo.url()],
            "destinations": [{"server": "https://kubernetes.default.svc", "namespace": "payments"}],
            "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}],
        },
    }))
    .unwrap();
    let project = serde_json::to_value(project).unwrap();
    world.plane.apply_value_as("gitops-e2e", project).await;
    let app = app.healthy().await;
    assert_eq!(
        app.status.unwrap().summary.unwrap().images,
        ["acme/payments:1.8.3"]
    );
    replicas(world, "payments", "payments", 6).await;
}

async fn myapp(world: &World, prefix: &str) {
    let repo = Repo::create(&format!("{prefix}-myapp"));
    repo.write("k8s/deployment.yaml", &deployment("myapp", 3, "myapp:1"));
    let authority = std::fs::read_to_string(&Environment::get().servers.ca).unwrap();
    let certificates = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "argocd-tls-certs-cm", "namespace": "argocd",
            "labels": {"app.kubernetes.io/part-of": "argocd"},
        },
        "data": {"127.0.0.1": authority},
    });
    world.plane.apply_value_as("gitops-e2e", certificates).await;
    world.plane.namespace("myapp").await;
    let printed = "https://gitea.example.com/intern/myapp-deploy.git";
    let url = repo.url_over(Transport::Tls);
    let app = apply(world, "001-myapp-application.yaml", printed, &url).await;
    app.healthy().await;
    let live: Api<Deployment> = Api::namespaced(world.plane.client.clone(), "myapp");
    let before = live.get("myapp").await.unwrap().resource_version();
    let scaled = json!({"spec": {"replicas": 5}});
    live.patch("myapp", &PatchParams::default(), &Patch::Merge(&scaled))
        .await
        .unwrap();
    replicas(world, "myapp", "myapp", 3).await;
    assert_ne!(live.get("myapp").await.unwrap().resource_version(), before);
}

async fn nginx(world: &World, prefix: &str) {
    let repo = Repo::create(&format!("{prefix}-nginx"));
    let names = ["deployment.yaml", "kustomization.yaml", "service.yaml"];
    let files: Vec<_> = names
        .iter()
        .map(|name| {
            (
                format!("apps/nginx/{name}"),
                example(&format!("002-nginx/apps/nginx/{name}")),
            )
        })
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    repo.commit(&files);
    let printed = "https://github.com/your-org/my-nginx-gitops.git";
    let app = apply(
        world,
        "002-nginx/argocd/nginx-app.yaml",
        printed,
        &repo.url(),
    )
    .await;
    app.healthy().await;
    replicas(world, "default", "nginx-deployment", 2).await;
    let four =
        example("002-nginx/apps/nginx/deployment.yaml").replace("replicas: 2", "replicas: 4");
    let commit = repo.write("apps/nginx/deployment.yaml", &four);
    app.synced_to(&commit).await;
    replicas(world, "default", "nginx-deployment", 4).await;
    repo.git(&["revert", "--no-edit", "HEAD"]);
    repo.push(&["HEAD"]);
    app.synced_to(&repo.head()).await;
    replicas(world, "default", "nginx-deployment", 2).await;
    app.healthy().await;
}

async fn helm(world: &World, prefix: &str) {
    let servers = &Environment::get().servers;
    let folder = servers.charts_root.join(prefix);
    let source = folder.join("source/nginx");
    for (path, text) in chart("nginx", "1.2.3") {
        let file = source.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    std::fs::write(
        source.join("values-prod.yaml"),
        "value: prod\nreplicaCount: 1\n",
    )
    .unwrap();
    let text = deployment("nginx", 7, "nginx:1")
        .replace("replicas: 7", "replicas: {{ .Values.replicaCount }}");
    std::fs::write(source.join("templates/deployment.yaml"), text).unwrap();
    std::fs::write(
        source.join("templates/service.yaml"),
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: nginx\nspec:\n  type: {{ .Values.service.type }}\n  \
         selector: {app: nginx}\n  ports: [{port: 80}]\n",
    )
    .unwrap();
    let (folder_text, source_text) = (folder.to_string_lossy(), source.to_string_lossy());
    for arguments in [
        vec!["package", &source_text, "-d", &folder_text],
        vec!["repo", "index", &folder_text],
    ] {
        let output = std::process::Command::new(&Environment::get().helm)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let url = format!("{}/{prefix}", servers.charts);
    let app = apply(
        world,
        "002-helm-application.yaml",
        "https://charts.helm.sh/stable",
        &url,
    )
    .await;
    // Nobody gives out addresses here, so the load balancer never gets one.
    app.wait("Synced, waiting for the load balancer", |app| {
        is_synced(app) && health(app) == Some(HealthStatusCode::Progressing)
    })
    .await;
    replicas(world, "my-helm-app-prod", "nginx", 3).await;
}

async fn my_api(world: &World, prefix: &str) {
    let repo = Repo::create(&format!("{prefix}-platform"));
    repo.write(
        "apps/my-api/deployment.yaml",
        &deployment("my-api", 1, "my-api:1"),
    );
    let printed = "https://github.com/clusternotes/platform";
    let app = apply(world, "003-my-api-application.yaml", printed, &repo.url()).await;
    app.condition(
        "SyncError",
        &["my-api", "does not exist", "CreateNamespace=true"],
    )
    .await;
    world.plane.namespace("my-api").await;
    app.wait("Synced and Healthy once the namespace is there", |app| {
        is_synced(app) && is_healthy(app)
    })
    .await;
}
