//! The files in Git: what each is called, what it says, and what may happen to one that is there
//! already. Pure; never replaces a file that users wrote.

use std::collections::BTreeMap;

use gitops_api::constants::{IN_CLUSTER_SERVER, annotation};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use serde_json::{Value, json};

use crate::commands::bootstrap::manifests;
use crate::git;

/// Name of the Application that delivers the directory.
pub const ROOT: &str = "root";
/// Sync options on both Applications: nothing deletes them but `uninstall`.
pub const OWN_SYNC_OPTIONS: &str = "Prune=false,Delete=false";
/// Name of the Application that delivers the agent, and of its directory.
pub const AGENT: &str = "gitops-agent";

/// Where an installation is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Directory in the repository; empty: its top.
    directory: String,
    /// Address of the repository, as the agent reads it.
    pub url: String,
    /// Branch.
    pub branch: String,
    /// Namespace of the agent and its Applications.
    pub namespace: String,
}

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is written for the first time.
    Create,
    /// An earlier version of this program wrote it.
    Replace,
    /// It is as it should be.
    Same,
    /// Users changed it in a way that works.
    Keep,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Path from the top of the repository.
    pub path: String,
    /// What happens to it.
    pub change: Change,
    /// Its text afterwards.
    pub text: String,
}

impl PlannedFile {
    /// Whether the commit has it.
    pub fn is_written(&self) -> bool {
        matches!(self.change, Change::Create | Change::Replace)
    }
}

/// A file beside the root that the root delivers too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Path from the top of the repository.
    pub path: String,
    /// Its objects: `Application web`.
    pub objects: Vec<String>,
}

impl Layout {
    /// A directory given by a user.
    pub fn new(path: &str, url: &str, branch: &str, namespace: &str) -> Result<Self, CommandError> {
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(bad_path(path)),
                part if part.contains(['\\', ':', '"']) || part.starts_with(".git") => {
                    return Err(bad_path(path));
                }
                part if part.chars().any(char::is_control) => return Err(bad_path(path)),
                part => parts.push(part),
            }
        }
        if path.starts_with('/') || path.trim().is_empty() {
            return Err(bad_path(path));
        }
        Ok(Self {
            directory: parts.join("/"),
            url: url.to_owned(),
            branch: branch.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    /// Directory in the repository, `.` for its top.
    pub fn directory(&self) -> &str {
        if self.directory.is_empty() {
            "."
        } else {
            &self.directory
        }
    }

    /// Path of a file below the directory.
    pub fn file(&self, name: &str) -> String {
        if self.directory.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.directory)
        }
    }

    /// Path of the root Application.
    pub fn root_file(&self) -> String {
        self.file("root.yaml")
    }

    /// Path of the agent's Application.
    pub fn agent_file(&self) -> String {
        self.file("gitops-agent.yaml")
    }

    /// Directory of the agent's manifests.
    pub fn agent_directory(&self) -> String {
        self.file(AGENT)
    }

    /// Path of the installation.
    pub fn install_file(&self) -> String {
        self.file("gitops-agent/install.yaml")
    }

    /// Path of the kustomization, which is the users'.
    pub fn kustomization_file(&self) -> String {
        self.file("gitops-agent/kustomization.yaml")
    }

    /// Whether a path is beneath the directory.
    pub fn holds(&self, path: &str) -> bool {
        self.directory.is_empty()
            || path
                .strip_prefix(&self.directory)
                .is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether the root Application reads a file: those of the directory itself, that could hold
    /// manifests.
    pub fn is_delivered(&self, path: &str) -> bool {
        let below = if self.directory.is_empty() {
            Some(path)
        } else {
            path.strip_prefix(&self.directory)
                .and_then(|rest| rest.strip_prefix('/'))
        };
        below.is_some_and(|name| {
            !name.contains('/')
                && [".yaml", ".yml", ".json", ".jsonnet"]
                    .iter()
                    .any(|end| name.ends_with(end))
        })
    }

    /// The Application that delivers the directory, itself included.
    pub fn root(&self) -> Value {
        let mut root = self.application(ROOT, self.directory(), true);
        // It would wait for its own health otherwise.
        root["metadata"]["annotations"]["argocd.argoproj.io/ignore-healthcheck"] = json!("true");
        root
    }

    /// The Application that delivers the agent.
    pub fn agent(&self) -> Value {
        // An object that is missing in Git is told, not deleted: the agent would delete itself.
        self.application(AGENT, &self.agent_directory(), false)
    }

    fn application(&self, name: &str, path: &str, prune: bool) -> Value {
        json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "annotations": {annotation::SYNC_OPTIONS: OWN_SYNC_OPTIONS},
            },
            "spec": {
                "project": "default",
                "source": {"repoURL": self.url, "path": path, "targetRevision": self.branch},
                "destination": {"server": IN_CLUSTER_SERVER, "namespace": self.namespace},
                "syncPolicy": {"automated": {"prune": prune, "selfHeal": true}},
            },
        })
    }

    /// What happens to the files, given those that are there and the installation to write.
    pub fn plan(
        &self,
        existing: &BTreeMap<String, String>,
        install: &str,
    ) -> Result<Vec<PlannedFile>, CommandError> {
        let root = "\
# Delivers every manifest of this directory, not of directories below it: put your Applications here.
";
        let agent = "\
# Delivers the agent itself: what is changed in its directory is rolled out by the agent.
";
        let kustomization = "\
# How the agent is installed here. Your changes go here, as patches: install.yaml is written anew
# at an upgrade, this file is not.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - install.yaml
";
        let file = |path: String, text: String, judge: &dyn Fn(&str) -> Result<Change, String>| {
            let change = match existing.get(&path) {
                None => Change::Create,
                Some(found) if *found == text => Change::Same,
                Some(found) => judge(found).map_err(|why| {
                    CommandError::new(CommandErrorKind::Refused, format!("{path} exists: {why}"))
                        .hint("move it out of the way, or choose another directory with --path")
                })?,
            };
            let text = match (change, existing.get(&path)) {
                (Change::Keep, Some(found)) => found.clone(),
                _ => text,
            };
            Ok::<PlannedFile, CommandError>(PlannedFile { path, change, text })
        };
        let application = |wanted: &Value, heading: &str| {
            Ok::<String, CommandError>(format!("{heading}{}", manifests::yaml(wanted)?))
        };
        let (root_app, agent_app) = (self.root(), self.agent());
        Ok(vec![
            file(self.root_file(), application(&root_app, root)?, &|found| {
                same_application(found, &root_app)
            })?,
            file(
                self.agent_file(),
                application(&agent_app, agent)?,
                &|found| same_application(found, &agent_app),
            )?,
            file(
                self.kustomization_file(),
                kustomization.to_owned(),
                &includes_install,
            )?,
            file(self.install_file(), install.to_owned(), &|found| {
                if found.starts_with("# gitops-agent, written by") {
                    Ok(Change::Replace)
                } else {
                    Err("it was not written by this command".to_owned())
                }
            })?,
        ])
    }

    /// The files beside the root that it would deliver from now on; refuses those it cannot.
    pub fn beside(&self, existing: &BTreeMap<String, String>) -> Result<Vec<Beside>, CommandError> {
        let own = [self.root_file(), self.agent_file()];
        let mut found = Vec::new();
        for (path, content) in existing {
            if !self.is_delivered(path) || own.contains(path) {
                continue;
            }
            let name = path.rsplit('/').next().unwrap_or_default();
            if matches!(
                name,
                "kustomization.yaml" | "kustomization.yml" | "Chart.yaml"
            ) {
                return Err(self.cannot_be_root(
                    path,
                    "it makes the directory something else than a list of manifests",
                ));
            }
            if name.ends_with(".jsonnet") {
                return Err(self.cannot_be_root(
                    path,
                    "what Jsonnet makes is not known before it is rendered",
                ));
            }
            let objects = manifests::parse(content)
                .map_err(|error| self.cannot_be_root(path, &error.message))?;
            if let Some(object) = objects
                .iter()
                .find(|object| !object["apiVersion"].is_string() || !object["kind"].is_string())
            {
                let what = if object.is_object() {
                    "apiVersion or kind is missing"
                } else {
                    "it holds no object"
                };
                return Err(self.cannot_be_root(path, what));
            }
            let named = |object: &Value| {
                let kind = object["kind"].as_str().unwrap_or_default();
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                text::one_line(&format!("{kind} {name}"))
            };
            found.push(Beside {
                path: path.clone(),
                objects: objects.iter().map(named).collect(),
            });
        }
        Ok(found)
    }

    fn cannot_be_root(&self, path: &str, why: &str) -> CommandError {
        CommandError::new(
            CommandErrorKind::Refused,
            format!(
                "the directory {} cannot be delivered as it is: {path}: {why}",
                self.directory()
            ),
        )
        .hint("choose a directory for Applications only with --path, such as clusters/prod")
    }
}

fn bad_path(path: &str) -> CommandError {
    CommandError::new(
        CommandErrorKind::Usage,
        format!("--path {path:?} is not a directory within a repository"),
    )
    .hint("for example: --path clusters/prod")
}

/// Whether a file that users changed is still the Application it has to be.
fn same_application(found: &str, wanted: &Value) -> Result<Change, String> {
    let objects = manifests::parse(found).map_err(|error| error.message)?;
    let [object] = objects.as_slice() else {
        return Err("it does not hold one Application".to_owned());
    };
    is_same_application(object, wanted).map(|()| Change::Keep)
}

/// Whether an Application follows what it should; the error says what it follows instead.
pub fn is_same_application(object: &Value, wanted: &Value) -> Result<(), String> {
    let name = &wanted["metadata"]["name"];
    if object["kind"] != "Application" || object["metadata"]["name"] != *name {
        return Err(format!("it is not the Application {name}"));
    }
    if object["metadata"]["namespace"] != wanted["metadata"]["namespace"] {
        return Err(format!(
            "its namespace is {}, not {}",
            object["metadata"]["namespace"], wanted["metadata"]["namespace"]
        ));
    }
    let (is, should) = (&object["spec"]["source"], &wanted["spec"]["source"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !git::same_repository(&text(&is["repoURL"]), &text(&should["repoURL"])) {
        return Err(format!(
            "it follows the repository {}",
            text::one_line(&git::redact(&text(&is["repoURL"])))
        ));
    }
    for field in ["path", "targetRevision"] {
        if text(&is[field]).trim_matches('/') != text(&should[field]) {
            return Err(format!(
                "it follows {field} {}, not {}",
                is[field], should[field]
            ));
        }
    }
    Ok(())
}

fn includes_install(found: &str) -> Result<Change, String> {
    let objects = manifests::parse(found).map_err(|error| error.message)?;
    let listed = objects.iter().any(|object| {
        object["resources"].as_array().is_some_and(|resources| {
            resources
                .iter()
                .filter_map(Value::as_str)
                .any(|resource| resource.trim_start_matches("./") == "install.yaml")
        })
    });
    if listed {
        Ok(Change::Keep)
    } else {
        Err("it does not list install.yaml among its resources".to_owned())
    }
}

#[cfg(test)]
mod tests;
