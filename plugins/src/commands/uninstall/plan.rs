//! Removing an agent: what goes, what stays, and in which order, so that nothing hangs and nothing
//! is made again behind its back.
//!
//! `find` reads and `remove` does; the plan and its screen are pure.

use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use serde_json::Value;

use crate::commands::bootstrap::cluster::shown;
use crate::commands::bootstrap::controllers::Controller;

/// What else is removed, or started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UninstallOptions {
    /// The Applications.
    pub applications: bool,
    /// What the Applications delivered.
    pub workloads: bool,
    /// The definitions of kinds.
    pub definitions: bool,
    /// Start Argo CD's controllers that `--adopt` stopped.
    pub restore: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The agent's namespace.
    pub namespace: String,
    /// Objects of the installation.
    pub objects: Vec<Value>,
    /// The two Applications with which the agent delivers itself.
    pub own: Vec<Value>,
    /// All other Applications.
    pub applications: Vec<Value>,
    /// ApplicationSets that would wait for an agent when they are deleted.
    pub held_sets: Vec<Value>,
    /// Definitions of this project.
    pub definitions: Vec<Value>,
    /// Secrets that bootstrap made.
    pub secrets: Vec<Value>,
    /// Controllers that `--adopt` stopped.
    pub stopped: Vec<Controller>,
    /// Argo CD's application controller runs and serves the Applications.
    pub argo_cd_runs: bool,
    /// Where the agent was delivered from: repository and directory.
    pub source: Option<(String, String)>,
}

impl Found {
    /// Whether the Applications keep their finalizers: a controller of Argo CD is there, or started
    /// again, that counts on them.
    pub fn keeps_finalizers(&self, options: &UninstallOptions) -> bool {
        let stay = !options.applications && !options.definitions;
        stay && (self.argo_cd_runs || (options.restore && !self.stopped.is_empty()))
    }

    /// Whether there is nothing to remove.
    pub fn is_empty(&self, options: &UninstallOptions) -> bool {
        let nothing = |asked: bool, there: bool| !asked || !there;
        self.objects.is_empty()
            && self.own.is_empty()
            && self.secrets.is_empty()
            && nothing(options.restore, !self.stopped.is_empty())
            && nothing(options.definitions, !self.definitions.is_empty())
            && nothing(options.applications, !self.applications.is_empty())
    }

    /// Applications that would wait for an agent when they are deleted.
    pub fn held(&self) -> impl Iterator<Item = &Value> {
        self.applications
            .iter()
            .filter(|application| has_finalizers(application))
    }
}

/// Whether deleting an object would wait for a controller.
pub fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|finalizers| !finalizers.is_empty())
}

/// The plan for users.
pub fn screen(found: &Found, options: &UninstallOptions, view: &View) -> String {
    let mut lines = vec![Style::Bold.apply("Plan (nothing changed yet)", view.color)];
    let mut line = |sign: &str, style: Style, text: String| {
        lines.push(format!(
            "  {}",
            style.apply(&format!("{sign} {text}"), view.color)
        ));
    };
    let count = found.applications.len();
    if options.workloads {
        line(
            "-",
            Style::Bad,
            format!("{count} Applications with everything they delivered"),
        );
    } else if options.applications || options.definitions {
        line(
            "-",
            Style::Bad,
            format!("{count} Applications; what they delivered stays"),
        );
    }
    for object in found.own.iter().chain(&found.objects).chain(&found.secrets) {
        line("-", Style::Warn, shown(object));
    }
    if options.definitions {
        for definition in &found.definitions {
            let text = format!("{} and all objects of the kind", shown(definition));
            line("-", Style::Bad, text);
        }
    }
    if options.restore {
        if !options.workloads {
            let text = "what Applications delivered is Argo CD's again: who holds which field, and what was \
                        last applied; no content changes";
            line("~", Style::Good, text.to_owned());
        }
        for controller in &found.stopped {
            let replicas = controller.replicas_before.unwrap_or(1);
            let text = format!(
                "{} in {}: 0 -> {replicas} replicas",
                controller.shown(),
                controller.namespace
            );
            line("~", Style::Good, text);
        }
    }
    for text in left(found, options) {
        line("=", Style::Plain, text);
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What stays.
pub fn left(found: &Found, options: &UninstallOptions) -> Vec<String> {
    let mut left = Vec::new();
    let namespace = &found.namespace;
    if !options.workloads {
        left.push("stays: everything that Applications delivered".to_owned());
    }
    if !options.applications
        && !options.workloads
        && !options.definitions
        && !found.applications.is_empty()
    {
        let held = found.held().count();
        let finalizers = if held == 0 {
            String::new()
        } else if found.keeps_finalizers(options) {
            " with their finalizers".to_owned()
        } else {
            format!(
                "; the finalizers of {held} are taken off, so that they can be deleted without the agent"
            )
        };
        left.push(format!(
            "stays: {} Applications in {namespace}{finalizers}",
            found.applications.len()
        ));
    }
    if !options.definitions {
        left.push("stays: the CRDs (--delete-crds)".to_owned());
    }
    left.push(format!(
        "stays: namespace {namespace}, its projects, settings and other Secrets"
    ));
    if let Some((url, directory)) = &found.source {
        left.push(format!("stays: directory {directory} in {url}"));
    }
    if !options.restore && !found.stopped.is_empty() {
        left.push("stays: Argo CD, stopped (--restore-argocd starts it)".to_owned());
    }
    left
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, name: &str) -> Value {
        json!({"kind": kind, "metadata": {"name": name, "namespace": "argocd"}})
    }

    #[test]
    fn screens() {
        let mut held = object("Application", "web");
        held["metadata"]["finalizers"] = json!(["resources-finalizer.argocd.argoproj.io"]);
        let controller = json!({
            "metadata": {"name": "argocd-application-controller", "namespace": "argocd",
                "labels": {"app.kubernetes.io/part-of": "argocd"},
                "annotations": {"gitops-agent.io/replicas-before-adoption": "2"}},
            "spec": {"replicas": 0, "template": {"spec": {"containers": []}}},
        });
        let found = Found {
            namespace: "argocd".into(),
            objects: vec![object("Deployment", "gitops-agent")],
            own: vec![object("Application", "root")],
            applications: vec![held, object("Application", "api")],
            held_sets: Vec::new(),
            definitions: vec![
                json!({"kind": "CustomResourceDefinition", "metadata": {"name": "applications.argoproj.io"}}),
            ],
            secrets: vec![object("Secret", "repo-fleet-1a2b")],
            stopped: Controller::of("StatefulSet", &controller)
                .into_iter()
                .collect(),
            argo_cd_runs: false,
            source: Some((
                "https://git.example/acme/fleet".into(),
                "clusters/prod".into(),
            )),
        };
        let view = View {
            width: None,
            color: false,
            unicode: false,
            interactive: true,
        };
        let wishes = [
            UninstallOptions::default(),
            UninstallOptions {
                applications: true,
                workloads: true,
                definitions: true,
                restore: true,
            },
        ];
        let shown: Vec<String> = wishes
            .iter()
            .map(|options| screen(&found, options, &view))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
        let back = UninstallOptions {
            restore: true,
            ..UninstallOptions::default()
        };
        assert!(
            screen(&found, &back, &view).contains("2 Applications in argocd with their finalizers")
        );
        assert!(!found.keeps_finalizers(&wishes[0]) && !found.keeps_finalizers(&wishes[1]));
        let beside = Found {
            argo_cd_runs: true,
            ..found.clone()
        };
        assert!(beside.keeps_finalizers(&wishes[0]));
        assert!(!found.is_empty(&UninstallOptions::default()));
        assert!(Found::default().is_empty(&wishes[1]));
    }
}
