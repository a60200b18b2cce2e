//! A person with a terminal: a home folder, a kubeconfig, a PATH and a Git identity of their own,
//! and nothing of whoever runs the tests. Decides nothing about what is typed.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::environment::Environment;
use crate::must;
use crate::plugin::Invocation;

/// Name of the kubeconfig's context, and so of the cluster in what is shown.
pub const CONTEXT: &str = "prod-eu1";

/// A person. The plugin is installed as krew does it: one program, `kubectl-gitops`, on PATH.
pub struct Person {
    home: TempDir,
    variables: BTreeMap<String, String>,
    namespace: Option<String>,
}

impl Person {
    /// A person without a kubeconfig.
    pub fn new() -> Self {
        let environment = Environment::get();
        let home = must(TempDir::with_prefix("gitops-e2e-home-"), "make a folder");
        // Below /tmp there are links on some systems; programs print the real path.
        let path = must(home.path().canonicalize(), "find the folder");
        let at = |folder: &str| path.join(folder).to_string_lossy().into_owned();
        for folder in ["bin", "tmp", "work", ".kube"] {
            must(std::fs::create_dir(path.join(folder)), "make a folder");
        }
        let git = "[user]\n\tname = Ana Diaz\n\temail = ana@example.com\n[init]\n\tdefaultBranch = main\n";
        must(
            std::fs::write(path.join(".gitconfig"), git),
            "write .gitconfig",
        );
        let variables = [
            ("HOME", at("")),
            (
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin", at("bin")),
            ),
            ("TMPDIR", at("tmp")),
            ("XDG_CONFIG_HOME", at(".config")),
            ("XDG_CACHE_HOME", at(".cache")),
            ("XDG_DATA_HOME", at(".local/share")),
            ("XDG_STATE_HOME", at(".local/state")),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "xterm-256color".into()),
            ("TZ", "UTC".into()),
            (
                "GITOPS_RENDERER",
                environment.renderer.to_string_lossy().into_owned(),
            ),
        ];
        let person = Self {
            home,
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
            namespace: None,
        };
        person.link("kubectl", &environment.cluster);
        person.installs("kubectl-gitops");
        person
    }

    /// A person with the cluster and user of a kubeconfig, as context [`CONTEXT`].
    pub fn with_kubeconfig(kubeconfig: &Path) -> Self {
        let text = must(std::fs::read_to_string(kubeconfig), "read a kubeconfig");
        let person = Self::new();
        person.writes_kubeconfig(must(serde_saphyr::from_str(&text), "read a kubeconfig"));
        person
    }

    /// Whose commands go to a namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// With a variable in the environment of all commands.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Makes a kubeconfig the person's own, its one context named [`CONTEXT`].
    pub fn writes_kubeconfig(&self, mut config: Value) {
        for kind in ["clusters", "users"] {
            config[kind][0]["name"] = json!(CONTEXT);
        }
        config["contexts"] = json!([
            {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}},
        ]);
        config["current-context"] = json!(CONTEXT);
        self.writes(".kube/config", &config.to_string());
    }

    /// The person's kubeconfig.
    pub fn kubeconfig(&self) -> Value {
        let text = must(std::fs::read(self.path(".kube/config")), "read it");
        must(serde_json::from_slice(&text), "read the kubeconfig")
    }

    /// Another kubeconfig made from the person's; returns its path.
    pub fn other_kubeconfig(&self, name: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut config = self.kubeconfig();
        change(&mut config);
        self.writes(name, &config.to_string());
        self.path(name).to_string_lossy().into_owned()
    }

    /// A path in the home folder.
    pub fn path(&self, path: &str) -> PathBuf {
        must(self.home.path().canonicalize(), "find the home folder").join(path)
    }

    /// Writes a file in the home folder; returns its path.
    pub fn writes(&self, path: &str, text: &str) -> PathBuf {
        let file = self.path(path);
        if let Some(folder) = file.parent() {
            must(std::fs::create_dir_all(folder), "make a folder");
        }
        must(std::fs::write(&file, text), "write a file");
        file
    }

    /// Puts the suite on PATH, also under the name of one command, such as `kubectl-gitops-status`.
    pub fn installs(&self, program: &str) {
        self.link(program, &Environment::get().programs.join("kubectl-gitops"));
    }

    /// Takes a program off PATH.
    pub fn removes(&self, program: &str) {
        must(
            std::fs::remove_file(self.path("bin").join(program)),
            "remove a program",
        );
    }

    /// Puts a shell script on PATH, before what the system has.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.writes(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"));
        let executable = std::fs::Permissions::from_mode(0o755);
        must(
            std::fs::set_permissions(&path, executable),
            "make a script executable",
        );
        path
    }

    /// `kubectl gitops …` in the person's namespace, to be run or put on a terminal.
    pub fn gitops(&self, arguments: &[&str]) -> Invocation {
        let words = ["kubectl", "gitops"].into_iter();
        let words: Vec<&str> = words.chain(self.in_mine(arguments)).collect();
        self.types(&words)
    }

    /// The same without kubectl in between, for tables of many command lines.
    pub fn plugin(&self, arguments: &[&str]) -> Invocation {
        let words = std::iter::once("kubectl-gitops");
        let words: Vec<&str> = words.chain(self.in_mine(arguments)).collect();
        self.types(&words)
    }

    /// Arguments with the person's namespace, unless they choose one.
    fn in_mine<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let chosen = arguments.iter().any(|word| {
            ["-A", "-n", "--all-namespaces"].contains(word) || word.starts_with("--namespace")
        });
        // What stands after `--` is not ours.
        let end = arguments.iter().position(|word| *word == "--");
        let (before, after) = arguments.split_at(end.unwrap_or(arguments.len()));
        let namespace = self.namespace.iter().filter(|_| !chosen);
        let namespace = namespace.flat_map(|namespace| ["--namespace", namespace]);
        let words = before.iter().copied().chain(namespace);
        words.chain(after.iter().copied()).collect()
    }

    /// A command line exactly as given.
    pub fn types(&self, words: &[&str]) -> Invocation {
        Invocation::new(words, self.variables.clone(), self.path("work"))
    }

    /// What is left in the folder for temporary files.
    pub fn leftovers(&self) -> Vec<String> {
        let entries = must(std::fs::read_dir(self.path("tmp")), "list a folder");
        entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// Puts any program on PATH, under a name.
    pub fn link(&self, name: &str, program: &Path) {
        must(
            symlink(program, self.path("bin").join(name)),
            &format!("install {name}"),
        );
    }
}

impl Default for Person {
    fn default() -> Self {
        Self::new()
    }
}
