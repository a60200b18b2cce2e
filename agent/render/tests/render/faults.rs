//! Workers that crash, hang or grow: one error, and the next render works.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use gitops_render::{
    MemoryTree, RenderError, Renderer, RendererConfig, SourceTree, TreeEntry, TreeError, TreeItem,
};
use serde_json::json;
use std::sync::Arc;

use crate::support::{SERVICE, at, config, renderer, request, tree};

fn good() -> MemoryTree {
    tree(&[("s.yaml", SERVICE)])
}

fn chart(template: &str) -> MemoryTree {
    tree(&[
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        ("templates/t.yaml", template),
    ])
}

/// Workers of this test, by a mark in their command line: the memory limit.
pub(crate) fn workers(memory_bytes: u64) -> Vec<u32> {
    let mark = memory_bytes.to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command
            .split(|byte| *byte == 0)
            .any(|word| word == mark.as_bytes())
        {
            found.push(pid);
        }
    }
    found
}

fn kill(pid: u32) {
    let status = std::process::Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// A tree that does something when a file is read.
struct Meddling<F: Fn() + Send + Sync>(MemoryTree, F);

impl<F: Fn() + Send + Sync> SourceTree for Meddling<F> {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        self.0.entry(path)
    }
    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        self.0.size(path)
    }
    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        (self.1)();
        self.0.read(path)
    }
    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        self.0.list(path)
    }
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_costs_one_render() {
    const MEMORY: u64 = (512 << 20) + 1;
    let renderer = Renderer::new(RendererConfig {
        memory_bytes: MEMORY,
        max_workers: 1,
        ..config()
    });
    let mut doomed = request(&good(), at("."));
    doomed.source.tree = Arc::new(Meddling(good(), || {
        workers(MEMORY).into_iter().for_each(kill);
    }));
    let error = renderer.render(doomed).await.unwrap_err();
    assert!(matches!(error, RenderError::Crashed { .. }), "{error}");
    assert!(error.to_string().contains("signal: 9"), "{error}");
    assert_eq!(
        renderer
            .render(request(&good(), at(".")))
            .await
            .unwrap()
            .objects
            .len(),
        1
    );
}

#[tokio::test]
async fn a_worker_killed_while_idle_costs_nothing() {
    const MEMORY: u64 = (512 << 20) + 2;
    let renderer = Renderer::new(RendererConfig {
        memory_bytes: MEMORY,
        max_workers: 1,
        ..config()
    });
    assert!(renderer.render(request(&good(), at("."))).await.is_ok());
    let before = workers(MEMORY);
    assert_eq!(before.len(), 1);
    kill(before[0]);
    assert!(renderer.render(request(&good(), at("."))).await.is_ok());
    assert_ne!(workers(MEMORY), before);
}

#[tokio::test]
async fn workers_are_reused_and_ended_when_idle() {
    const MEMORY: u64 = (512 << 20) + 3;
    let idle = Duration::from_millis(300);
    let renderer = Renderer::new(RendererConfig {
        memory_bytes: MEMORY,
        idle,
        ..config()
    });
    for _ in 0..5 {
        assert!(renderer.render(request(&good(), at("."))).await.is_ok());
    }
    assert_eq!(
        workers(MEMORY).len(),
        1,
        "one after the other needs one worker"
    );
    let patience = Instant::now() + Duration::from_secs(20);
    while !workers(MEMORY).is_empty() {
        assert!(Instant::now() < patience, "the idle worker is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(renderer.render(request(&good(), at("."))).await.is_ok());
    drop(renderer);
    assert!(
        workers(MEMORY).is_empty(),
        "workers end with their renderer"
    );
}

#[tokio::test]
async fn a_render_that_never_ends_is_ended() {
    const MEMORY: u64 = (512 << 20) + 4;
    let timeout = Duration::from_secs(3);
    let renderer = Renderer::new(RendererConfig {
        memory_bytes: MEMORY,
        timeout,
        max_workers: 1,
        ..config()
    });
    let endless = chart(
        "{{ range $i := until 100000 }}{{ range $j := until 100000 }}{{ $x := sha256sum (toString $j) }}{{ end }}{{ end }}",
    );
    let started = Instant::now();
    let error = renderer
        .render(request(&endless, at(".")))
        .await
        .unwrap_err();
    assert!(matches!(error, RenderError::Timeout(_)), "{error}");
    assert!(error.to_string().contains("longer than 3 s"), "{error}");
    assert!(started.elapsed() < timeout + Duration::from_secs(5));
    assert!(renderer.render(request(&good(), at("."))).await.is_ok());
}

#[tokio::test]
async fn a_request_that_is_given_up_ends_its_worker() {
    const MEMORY: u64 = (512 << 20) + 5;
    let renderer = Renderer::new(RendererConfig {
        memory_bytes: MEMORY,
        max_workers: 1,
        ..config()
    });
    let endless = chart(
        "{{ range $i := until 100000 }}{{ range $j := until 100000 }}{{ $x := sha256sum (toString $j) }}{{ end }}{{ end }}",
    );
    let render = tokio::time::timeout(
        Duration::from_millis(500),
        renderer.render(request(&endless, at("."))),
    );
    assert!(render.await.is_err());
    assert!(renderer.render(request(&good(), at("."))).await.is_ok());
    assert_eq!(workers(MEMORY).len(), 1);
}

/// Directories in directories: two in each, forty deep.
struct Branching;

impl SourceTree for Branching {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        let names = path.split('/').filter(|name| !name.is_empty());
        Ok(
            if names.clone().all(|name| matches!(name, "a" | "b")) && names.count() <= 40 {
                TreeEntry::Tree {
                    id: path.to_owned(),
                }
            } else {
                TreeEntry::Absent
            },
        )
    }
    fn size(&self, _path: &str) -> Result<Option<u64>, TreeError> {
        Ok(None)
    }
    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        Err(TreeError::NotAFile {
            path: path.to_owned(),
        })
    }
    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        if path.len() >= 79 {
            return Ok(Vec::new());
        }
        let item = |name: &str| TreeItem {
            name: name.to_owned(),
            entry: TreeEntry::Tree {
                id: name.to_owned(),
            },
        };
        Ok(vec![item("a"), item("b")])
    }
}

#[tokio::test]
async fn a_search_for_value_files_ends_with_its_render() {
    let renderer = Renderer::new(RendererConfig {
        timeout: Duration::from_secs(1),
        lookups: u64::MAX,
        max_workers: 1,
        ..config()
    });
    let tree: Arc<dyn SourceTree> = Arc::new(Branching);
    let source = json!({"repoURL": "x", "path": ".", "helm": {"valueFiles": ["**/a/**/v.yaml"]}});
    let mut endless = request(&good(), source);
    endless.source.tree = Arc::clone(&tree);
    let error = renderer.render(endless).await.unwrap_err();
    assert!(matches!(error, RenderError::Timeout(_)), "{error}");
    // Nothing of it is left: its thread has let go of the tree.
    let patience = Instant::now() + Duration::from_mins(1);
    while Arc::strong_count(&tree) > 1 {
        assert!(Instant::now() < patience, "the search still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A tree whose storage does not answer until it is told to, and says when it is asked.
struct Stuck {
    asked: std::sync::mpsc::SyncSender<()>,
    answer: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl SourceTree for Stuck {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        self.asked.send(()).unwrap();
        let _ = self.answer.lock().unwrap().recv();
        Err(TreeError::NotAFile {
            path: path.to_owned(),
        })
    }
    fn size(&self, _path: &str) -> Result<Option<u64>, TreeError> {
        Ok(None)
    }
    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        Err(TreeError::NotAFile {
            path: path.to_owned(),
        })
    }
    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        Err(TreeError::NotAFile {
            path: path.to_owned(),
        })
    }
}

#[tokio::test]
async fn a_render_whose_storage_does_not_answer_gives_its_slot_back_when_its_time_is_over() {
    let renderer = Renderer::new(RendererConfig {
        timeout: Duration::from_secs(2),
        max_workers: 1,
        ..config()
    });
    let (asked, _was_asked) = std::sync::mpsc::sync_channel(10);
    let (release, answer) = std::sync::mpsc::channel();
    let mut stuck = request(&good(), at("."));
    stuck.source.tree = Arc::new(Stuck {
        asked,
        answer: answer.into(),
    });
    let error = renderer.render(stuck).await.unwrap_err();
    assert!(matches!(error, RenderError::Timeout(_)), "{error}");
    // Its storage still does not answer, and others render all the same.
    let renderer = Renderer::clone(&renderer);
    let mut good = renderer.render(request(&good(), at("."))).await;
    if let Err(RenderError::Timeout(_)) = good {
        // A busy machine may take longer than two seconds to start a worker.
        good = renderer.render(request(&self::good(), at("."))).await;
    }
    assert!(good.is_ok());
    drop(release);
}

#[tokio::test]
async fn a_render_waits_for_a_worker_but_not_for_ever() {
    let renderer = Renderer::new(RendererConfig {
        queue_timeout: Duration::from_millis(200),
        max_workers: 1,
        ..config()
    });
    let (asked, was_asked) = std::sync::mpsc::sync_channel(10);
    let (release, answer) = std::sync::mpsc::channel();
    let mut stuck = request(&good(), at("."));
    stuck.source.tree = Arc::new(Stuck {
        asked,
        answer: answer.into(),
    });
    let first = tokio::spawn({
        let renderer = renderer.clone();
        async move { renderer.render(stuck).await }
    });
    tokio::task::spawn_blocking(move || was_asked.recv())
        .await
        .unwrap()
        .unwrap();
    let error = renderer
        .render(request(&good(), at(".")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RenderError::Busy { workers: 1, .. }),
        "{error}"
    );
    assert!(error.is_temporary());
    drop(release);
    assert!(matches!(first.await.unwrap(), Err(RenderError::Tree(_))));
    assert!(renderer.render(request(&good(), at("."))).await.is_ok());
}

#[tokio::test]
async fn too_much_memory_is_an_error_that_says_so() {
    let renderer = Renderer::new(RendererConfig {
        memory_bytes: 256 << 20,
        max_workers: 1,
        ..config()
    });
    let bombs = [
        chart(
            "{{ $x := \"aaaaaaaaaaaaaaaa\" }}{{ range $i := until 40 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}{{ $x }}",
        ),
        tree(&[("bomb.yaml", &alias_bomb())]),
    ];
    for bomb in bombs {
        let error = renderer.render(request(&bomb, at("."))).await.unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, RenderError::OutOfMemory(_)) && text.contains("256 MiB")
                || text.contains("excessive aliasing"),
            "{text}"
        );
    }
    assert!(renderer.render(request(&good(), at("."))).await.is_ok());
}

/// A YAML file of a few lines that is billions of values.
fn alias_bomb() -> String {
    let mut text =
        "apiVersion: v1\nkind: X\nmetadata: {}\na0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let previous = level - 1;
        let references = vec![format!("*a{previous}"); 9].join(",");
        writeln!(text, "a{level}: &a{level} [{references}]").unwrap();
    }
    text
}

#[tokio::test]
async fn a_template_that_calls_itself_is_an_error() {
    let renderer = renderer();
    let recursive = chart("{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}");
    let error = renderer
        .render(request(&recursive, at(".")))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.len() < 1000, "{error}");
    let recursive =
        chart("{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}");
    assert!(renderer.render(request(&recursive, at("."))).await.is_err());
    assert!(renderer.render(request(&good(), at("."))).await.is_ok());
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_named() {
    for (program, expected) in [
        ("/nonexistent/renderer", "/nonexistent/renderer"),
        ("/bin/true", "/bin/true"),
    ] {
        let renderer = Renderer::new(RendererConfig {
            executable: program.into(),
            ..config()
        });
        let error = renderer
            .render(request(&good(), at(".")))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains(expected) || matches!(error, RenderError::Crashed { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_tree_that_fails_fails_the_render_with_its_reason() {
    struct Broken(MemoryTree);
    impl SourceTree for Broken {
        fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
            self.0.entry(path)
        }
        fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
            self.0.size(path)
        }
        fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
            Err(TreeError::Storage {
                path: path.to_owned(),
                reason: "object is corrupt".to_owned(),
            })
        }
        fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
            self.0.list(path)
        }
    }
    let renderer = renderer();
    for tree in [
        good(),
        tree(&[
            ("kustomization.yaml", "resources: [s.yaml]\n"),
            ("s.yaml", SERVICE),
        ]),
    ] {
        let mut request = request(&tree, at("."));
        request.source.tree = Arc::new(Broken(tree));
        let error = renderer.render(request).await.unwrap_err();
        assert!(matches!(error, RenderError::Tree(_)), "{error}");
    }
    let source = json!({"repoURL": "x", "path": "."});
    assert!(renderer.render(request(&good(), source)).await.is_ok());
}
