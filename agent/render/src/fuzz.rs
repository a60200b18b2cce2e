//! Ways into what reads a worker's bytes and users' paths, for tests/fuzz.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::environment::Environment;
use crate::frame::{self, Received};
use crate::lookups::{Cancellation, Lookups};
use crate::memory_tree::MemoryTree;
use crate::message::FromWorker;
use crate::request::{AppContext, SourceRequest};
use crate::source::SourceSpec;
use crate::trees::{OWN, Question, Trees};
use crate::value_files::Resolver;
use crate::values;

/// Largest body that is read.
const BUDGET: u64 = 1 << 20;

/// Reads frames until the bytes end, and answers the questions in them.
pub fn frames(mut bytes: &[u8]) {
    let source = source(tree(""));
    let mut trees = trees(&source);
    while let Ok(received) = frame::receive::<FromWorker>(&mut bytes, BUDGET) {
        let (message, body) = match received {
            Received::Frame(message, body) => (message, body),
            Received::TooLarge(..) => return,
        };
        let (question, tree, path) = match message {
            FromWorker::Stat { tree, path } => (Question::Stat, tree, path),
            FromWorker::Read { tree, path } => (Question::Read, tree, path),
            FromWorker::List { tree, path } => (Question::List, tree, path),
            FromWorker::Object { .. } => {
                if values::upper_bound(&body) < 1000 {
                    let _ = serde_json::from_slice::<serde_json::Value>(&body);
                }
                continue;
            }
            _ => continue,
        };
        let _ = trees.answer(question, &tree, &path);
    }
}

/// Looks for value files by a pattern, in a repository with a file for each line of `paths`, and reads them.
pub fn value_files(pattern: &str, paths: &str) {
    let source = source(tree(paths));
    let mut trees = trees(&source);
    let environment = Environment::new(&AppContext::default(), &source);
    let mut resolver = Resolver {
        trees: &mut trees,
        environment: &environment,
        directory: "a",
        schemes: &[],
    };
    for file in resolver
        .value_files(&[pattern.to_owned()], true)
        .unwrap_or_default()
    {
        // A link that leads out of the repository is refused here.
        let _ = trees.read(OWN, &file.path);
    }
}

/// Looks at one path of a small repository.
pub fn read_path(path: &str) {
    let source = source(tree(""));
    let _ = trees(&source).answer(Question::Read, OWN, path);
}

/// A few files and links, and more files.
fn tree(paths: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.insert("a/b/values.yaml", "a: 1");
    tree.insert("a/c/values.yaml", "a: 1");
    tree.insert_symlink("a/b/up", "../..");
    tree.insert_symlink("a/loop", "loop");
    tree.insert_symlink("out", "../x");
    for path in paths.lines().take(20) {
        let names: Vec<_> = path.split('/').collect();
        let clean = names.iter().all(|name| !matches!(*name, "" | "." | ".."));
        if clean && names.len() < 20 && path.len() < 200 {
            tree.insert(path, "a: 1");
        }
    }
    tree
}

fn source(tree: MemoryTree) -> SourceRequest {
    SourceRequest {
        spec: SourceSpec::default(),
        tree: Arc::new(tree),
        revision: String::new(),
        refs: BTreeMap::new(),
        is_chart_archive: false,
        packaged: Vec::new(),
        remotes: BTreeMap::new(),
    }
}

fn trees(source: &SourceRequest) -> Trees {
    let lookups = Lookups::new(2_000, Duration::from_secs(1), Cancellation::default());
    Trees::new(source, BUDGET, lookups)
}
