//! Size, concurrency, what a worker has given up, and how long renders take.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use gitops_render::{MemoryTree, RenderError, Renderer, RendererConfig};

use crate::support::{DEPLOYMENT, SERVICE, at, config, renderer, request, tree};

/// Manifests of about this many bytes, in files of a megabyte.
fn large(bytes: usize) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let mut total = 0;
    for file in 0.. {
        let mut text = String::new();
        while text.len() < 1 << 20 {
            let document = text.len();
            write!(
                text,
                "---\n{}",
                DEPLOYMENT.replace(
                    "name: web\n  labels",
                    &format!("name: web-{file}-{document}\n  labels")
                )
            )
            .unwrap();
        }
        total += text.len();
        tree.insert(format!("app/{file}.yaml"), text);
        if total >= bytes {
            return tree;
        }
    }
    tree
}

/// An agent that was told to allow more than it does by default.
fn roomy() -> Renderer {
    Renderer::new(RendererConfig {
        output_bytes: 64 << 20,
        ..config()
    })
}

#[tokio::test]
async fn twenty_megabytes_of_manifests_render() {
    let started = Instant::now();
    let rendered = roomy()
        .render(request(&large(20 << 20), at("app")))
        .await
        .unwrap();
    assert!(
        rendered.objects.len() > 50_000,
        "{}",
        rendered.objects.len()
    );
    println!(
        "20 MiB, {} objects: {:?}",
        rendered.objects.len(),
        started.elapsed()
    );
}

/// The same in a few hundred objects of 50 kB, as CRDs and dashboards are. (kustomize itself takes minutes over tens of
/// thousands of small ones.)
#[tokio::test]
async fn twenty_megabytes_fit_a_kustomization_and_a_chart_too() {
    let line = "0123456789 abcdefghijklmnopqrstuvwxyz\n    ";
    let document = |number: usize| {
        let text = line.repeat(50_000 / line.len());
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{number}}}\ndata:\n  text: |\n    {text}\n"
        )
    };
    let all: String = (0..(20 << 20) / 50_000).map(document).collect();
    let kustomization = tree(&[
        (
            "kustomization.yaml",
            "resources: [all.yaml]\nnamespace: shop\n",
        ),
        ("all.yaml", &all),
    ]);
    let chart = tree(&[
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        ("templates/all.yaml", &all),
    ]);
    for (what, tree) in [("kustomize", kustomization), ("helm", chart)] {
        let started = Instant::now();
        let rendered = roomy().render(request(&tree, at("."))).await.unwrap();
        assert!(rendered.objects.len() > 400);
        println!(
            "20 MiB by {what}, {} objects: {:?}",
            rendered.objects.len(),
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn more_than_allowed_is_refused_with_the_limit() {
    let renderer = Renderer::new(RendererConfig {
        output_bytes: 1 << 20,
        ..config()
    });
    let error = renderer
        .render(request(&large(10 << 20), at("app")))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RenderError::InputTooLarge { .. } | RenderError::OutputTooLarge(_)
        ),
        "{error}"
    );
    let small = tree(&[
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        (
            "templates/t.yaml",
            "{{ range until 30000 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c{{ . }}}\n{{ end }}",
        ),
    ]);
    let error = renderer.render(request(&small, at("."))).await.unwrap_err();
    assert!(matches!(error, RenderError::OutputTooLarge(_)), "{error}");
    assert!(error.to_string().contains("1 MiB"), "{error}");
    assert!(
        renderer
            .render(request(&tree(&[("s.yaml", SERVICE)]), at(".")))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_object_no_api_server_takes_is_named() {
    let config_map = |name: &str, bytes: usize| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{text: \"{}\"}}\n",
            "x".repeat(bytes)
        )
    };
    let large = tree(&[
        ("a.yaml", &config_map("a", 2_900_000)),
        ("b.yaml", &config_map("b", 3_200_000)),
    ]);
    let error = renderer()
        .render(request(&large, at(".")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RenderError::ObjectTooLarge { .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("b.yaml:1") && text.contains("3072 KiB"),
        "{text}"
    );
}

#[tokio::test]
async fn small_text_that_is_much_memory_is_refused_with_its_file() {
    let renderer = Renderer::new(RendererConfig {
        output_bytes: 1 << 20,
        ..config()
    });
    let bomb = |zeros: usize| {
        let list = vec!["0"; zeros].join(",");
        let head = r#""apiVersion":"v1","kind":"X","metadata":{"name":"x"}"#;
        tree(&[
            ("a.yaml", SERVICE),
            ("bomb.json", &format!("{{{head},\"list\":[{list}]}}")),
        ])
    };
    let error = renderer
        .render(request(&bomb(140_000), at(".")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RenderError::TooManyValues { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("bomb.json"), "{error}");
    assert!(
        renderer
            .render(request(&bomb(90_000), at(".")))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_file_that_overrides_a_source_is_small() {
    let source = format!("helm: {{releaseName: \"{}\"}}\n", "x".repeat(1 << 20));
    let tree = tree(&[(".argocd-source.yaml", &source), ("s.yaml", SERVICE)]);
    let error = renderer()
        .render(request(&tree, at(".")))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(".argocd-source.yaml") && error.contains("1024"),
        "{error}"
    );
}

#[tokio::test]
async fn patterns_the_worker_would_recurse_into_are_refused_before() {
    let deep = format!("{}a{}", "{".repeat(100_000), "}".repeat(100_000));
    for (kind, field, value) in [
        ("directory", "include", serde_json::json!(deep)),
        ("directory", "exclude", serde_json::json!(deep)),
        ("kustomize", "components", serde_json::json!([deep])),
    ] {
        let mut source = at(".");
        source[kind] = serde_json::json!({field: value});
        let error = renderer()
            .render(request(&tree(&[("s.yaml", SERVICE)]), source))
            .await
            .unwrap_err();
        assert!(matches!(error, RenderError::BadRequest { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("spec.source.{kind}.{field}")),
            "{text}"
        );
        assert!(text.contains("1024 bytes") && text.len() < 400, "{text}");
    }
}

#[tokio::test]
async fn many_renders_at_once_share_the_workers() {
    let renderer = renderer();
    let renders = (0..40).map(|number| {
        let renderer = renderer.clone();
        let manifest = SERVICE.replace("name: web", &format!("name: web-{number}"));
        let broken = number % 10 == 3;
        let content = if broken {
            "apiVersion: v1\nkind: X\nmetadata: [\n".to_owned()
        } else {
            manifest
        };
        let request = request(&tree(&[("s.yaml", &content)]), at("."));
        tokio::spawn(async move { (number, broken, renderer.render(request).await) })
    });
    for render in renders.collect::<Vec<_>>() {
        let (number, broken, result) = render.await.unwrap();
        match result {
            Ok(rendered) => {
                assert!(!broken);
                assert_eq!(
                    rendered.objects[0].value["metadata"]["name"],
                    format!("web-{number}")
                );
            }
            Err(error) => assert!(broken, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_worker_has_given_up_files_network_and_programs() {
    // Read while the worker is at work: /proc shows its filter, its environment and its open files.
    const MEMORY: u64 = (512 << 20) + 77;
    let renderer = Renderer::new(RendererConfig {
        memory_bytes: MEMORY,
        max_workers: 1,
        ..config()
    });
    assert!(
        renderer
            .render(request(&tree(&[("s.yaml", SERVICE)]), at(".")))
            .await
            .is_ok()
    );
    let mark = MEMORY.to_string();
    let worker = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let command = std::fs::read(path.join("cmdline")).unwrap_or_default();
            command
                .split(|byte| *byte == 0)
                .any(|word| word == mark.as_bytes())
        })
        .expect("the worker is there");
    let status = std::fs::read_to_string(worker.join("status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert_eq!(
        std::fs::read(worker.join("environ")).unwrap(),
        b"",
        "an empty environment"
    );
    for task in std::fs::read_dir(worker.join("task")).unwrap().flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap();
        assert!(
            status.contains("Seccomp:\t2"),
            "every thread is filtered: {status}"
        );
    }
    let limits = std::fs::read_to_string(worker.join("limits")).unwrap();
    let data = limits
        .lines()
        .find(|line| line.starts_with("Max data size"))
        .unwrap();
    assert!(data.contains(&mark), "{data}");
    for file in std::fs::read_dir(worker.join("fd")).unwrap().flatten() {
        let target = std::fs::read_link(file.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        // The Go runtime keeps its CPU quota open, to follow changes of it.
        let own = target.starts_with("/sys/fs/cgroup/");
        assert!(own || !target.starts_with('/'), "no file is open: {target}");
    }
}

#[tokio::test]
async fn renders_take_milliseconds() {
    let renderer = Renderer::new(RendererConfig {
        max_workers: 1,
        ..config()
    });
    let kustomization = tree(&[
        ("base/kustomization.yaml", "resources: [d.yaml, s.yaml]\n"),
        ("base/d.yaml", DEPLOYMENT),
        ("base/s.yaml", SERVICE),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\nnamespace: shop\nimages: [{name: registry:5000/shop/web, newTag: '2'}]\n",
        ),
    ]);
    for (what, tree, path) in [
        (
            "directory",
            tree(&[("d.yaml", DEPLOYMENT), ("s.yaml", SERVICE)]),
            ".",
        ),
        ("kustomize", kustomization, "prod"),
        ("helm", crate::helm::chart(), "charts/web"),
    ] {
        let first = Instant::now();
        renderer.render(request(&tree, at(path))).await.unwrap();
        let first = first.elapsed();
        let many: u32 = 50;
        let started = Instant::now();
        for _ in 0..many {
            renderer.render(request(&tree, at(path))).await.unwrap();
        }
        let each = started.elapsed() / many;
        println!("{what}: first {first:?}, then {each:?} each");
        assert!(each < Duration::from_millis(200), "{what} takes {each:?}");
    }
}
