//! What will be done, as data and as a screen. Pure.

use std::fmt::Write as _;

use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use gitops_kit::text;
use serde_json::{Value, json};

use crate::commands::bootstrap::controllers::Controller;
use crate::commands::bootstrap::layout::{Beside, Change, PlannedFile};

/// Version of the document.
const VERSION: &str = "gitops-agent.io/bootstrap.v1";

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// It is made.
    Create,
    /// It is changed.
    Change,
    /// It is as it should be.
    Same,
    /// It belongs to somebody else and is used as it is.
    Leave,
}

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChange {
    /// What.
    pub verb: Verb,
    /// To which: `Deployment argocd/gitops-agent`.
    pub object: String,
}

/// Taking over from Argo CD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakeOver {
    /// Controllers that are stopped.
    pub stopped: Vec<Controller>,
    /// Number of Applications the agent will serve.
    pub applications: usize,
    /// What the agent does not do as Argo CD did, and what people should know, one line each.
    pub concerns: Vec<String>,
    /// The same about Applications, with all their names.
    pub inventory: Vec<(String, Vec<String>)>,
}

/// Everything that will be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Taking over from Argo CD.
    pub take_over: Option<TakeOver>,
    /// Files of the commit.
    pub files: Vec<PlannedFile>,
    /// Where the commit goes: `main`.
    pub branch: String,
    /// The repository.
    pub url: String,
    /// Branch for a pull request, and what the forge calls that.
    pub proposal: Option<(String, &'static str)>,
    /// Objects applied directly; empty when the agent does it from Git.
    pub objects: Vec<ObjectChange>,
    /// The running agent rolls out what is committed; nothing is applied directly.
    pub by_agent: bool,
    /// The Secret that is written, and with what.
    pub secret: Option<(String, String)>,
    /// Directory of the root Application.
    pub directory: String,
    /// The root Application is not as it should be.
    pub root_changes: bool,
    /// Files beside the root that it delivers from now on.
    pub beside: Vec<Beside>,
    /// Worth knowing.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether something is committed.
    pub fn commits(&self) -> bool {
        self.files.iter().any(PlannedFile::is_written)
    }

    /// Whether anything at all is changed.
    pub fn changes_nothing(&self) -> bool {
        !self.commits()
            && self.take_over.is_none()
            && self.secret.is_none()
            && !self.root_changes
            && self
                .objects
                .iter()
                .all(|change| matches!(change.verb, Verb::Same | Verb::Leave))
    }
}

/// The plan for programs, to be looked at in a pull request, say.
pub fn document(plan: &Plan) -> Value {
    let verb = |verb: Verb| match verb {
        Verb::Create => "Create",
        Verb::Change => "Change",
        Verb::Same => "Same",
        Verb::Leave => "Leave",
    };
    let change = |change: Change| match change {
        Change::Create => "Create",
        Change::Replace => "Replace",
        Change::Same => "Same",
        Change::Keep => "Keep",
    };
    let files = plan.files.iter();
    let files: Vec<Value> = files
        .map(|file| json!({"path": file.path, "change": change(file.change)}))
        .collect();
    let objects = plan.objects.iter();
    let objects: Vec<Value> = objects
        .map(|object| json!({"object": object.object, "change": verb(object.verb)}))
        .collect();
    let take_over = plan.take_over.as_ref().map(|take_over| {
        let stopped: Vec<Value> = take_over
            .stopped
            .iter()
            .map(|controller| {
                json!({"kind": controller.kind, "namespace": controller.namespace,
                    "name": controller.name, "replicas": controller.replicas})
            })
            .collect();
        let inventory: Vec<Value> = take_over
            .inventory
            .iter()
            .map(|(what, names)| json!({"what": what, "applications": names}))
            .collect();
        json!({"stopped": stopped, "applications": take_over.applications,
            "concerns": take_over.concerns, "inventory": inventory})
    });
    json!({
        "version": VERSION,
        "repository": plan.url,
        "branch": plan.branch,
        "directory": plan.directory,
        "changesNothing": plan.changes_nothing(),
        "files": files,
        "objects": objects,
        "secret": plan.secret.as_ref().map(|(name, _)| name),
        "takeOver": take_over,
        "notes": plan.notes,
    })
}

/// The plan for users. `show`: with the text of the files.
pub fn screen(plan: &Plan, view: &View, show: bool) -> String {
    let mut out = Screen {
        text: String::new(),
        view,
        heading: "",
    };
    let title = if plan.changes_nothing() {
        "Nothing to change"
    } else {
        "Plan (nothing changed yet)"
    };
    out.title(title);
    out.take_over(plan);
    out.git(plan);
    out.cluster(plan);
    if let Some((name, with)) = &plan.secret {
        out.line("secret", Style::Good, &format!("+ {name}: {with}"));
    }
    if plan.root_changes {
        let text = format!("+ Application root: delivers {}", plan.directory);
        out.line("then", Style::Good, &text);
    }
    for beside in &plan.beside {
        let objects = beside.objects.join(", ");
        let text = format!("  and with it {} ({objects})", beside.path);
        out.line("then", Style::Plain, &text);
    }
    for note in &plan.notes {
        out.line("note", Style::Warn, &format!("! {note}"));
    }
    if show {
        for file in plan.files.iter().filter(|file| file.is_written()) {
            let _ = write!(out.text, "\n--- {}\n{}", file.path, file.text);
        }
    }
    out.text
}

struct Screen<'a> {
    text: String,
    view: &'a View,
    heading: &'static str,
}

impl Screen<'_> {
    fn title(&mut self, title: &str) {
        let title = Style::Bold.apply(title, self.view.color);
        let _ = writeln!(self.text, "{title}");
    }

    /// A line below a heading, which is told once.
    fn line(&mut self, heading: &'static str, style: Style, text: &str) {
        let shown = if self.heading == heading { "" } else { heading };
        self.heading = heading;
        let indent = " ".repeat(text.len() - text.trim_start().len());
        let text = indent + &text::one_line(text);
        let text = style.apply(&text, self.view.color);
        let _ = writeln!(self.text, "  {shown:<8} {text}");
    }

    fn take_over(&mut self, plan: &Plan) {
        let Some(take_over) = &plan.take_over else {
            return;
        };
        for controller in &take_over.stopped {
            let replicas = match controller.replicas {
                1 => "1 replica".to_owned(),
                count => format!("{count} replicas"),
            };
            self.line(
                "argo cd",
                Style::Warn,
                &format!(
                    "~ {} in {}: {replicas} -> 0",
                    controller.shown(),
                    controller.namespace
                ),
            );
        }
        let count = take_over.applications;
        self.line(
            "argo cd",
            Style::Plain,
            &format!("  {count} Applications, their projects and Secrets stay and are served by the agent"),
        );
        self.line(
            "argo cd",
            Style::Plain,
            "  nothing is written to what is as Git says; going back: kubectl gitops uninstall --restore-argocd",
        );
        for concern in &take_over.concerns {
            self.line("argo cd", Style::Warn, &format!("! {concern}"));
        }
    }

    fn git(&mut self, plan: &Plan) {
        let written: Vec<&PlannedFile> =
            plan.files.iter().filter(|file| file.is_written()).collect();
        for file in &written {
            let (sign, style) = match file.change {
                Change::Create => ("+", Style::Good),
                _ => ("~", Style::Warn),
            };
            let lines = match file.text.lines().count() {
                1 => "1 line".to_owned(),
                count => format!("{count} lines"),
            };
            self.line("git", style, &format!("{sign} {} ({lines})", file.path));
        }
        for file in &plan.files {
            if file.change == Change::Keep {
                let text = format!("  {} is kept as you changed it", file.path);
                self.line("git", Style::Plain, &text);
            }
        }
        let where_to = match &plan.proposal {
            _ if written.is_empty() => format!("  {} has all files: no commit", plan.branch),
            None => format!("  1 commit on {} of {}", plan.branch, plan.url),
            Some((head, kind)) => format!(
                "  1 commit on the new branch {head}, and a {kind} for {}",
                plan.branch
            ),
        };
        self.line("git", Style::Plain, &where_to);
    }

    fn cluster(&mut self, plan: &Plan) {
        if plan.by_agent {
            let text = if plan.commits() {
                "  the running agent rolls out the commit"
            } else {
                "  the running agent keeps it as Git says"
            };
            self.line("cluster", Style::Plain, text);
            return;
        }
        for change in &plan.objects {
            let (sign, style) = match change.verb {
                Verb::Create => ("+", Style::Good),
                Verb::Change => ("~", Style::Warn),
                Verb::Leave => ("=", Style::Dim),
                Verb::Same => continue,
            };
            let note = if change.verb == Verb::Leave {
                ": somebody else's, used as it is"
            } else {
                ""
            };
            self.line("cluster", style, &format!("{sign} {}{note}", change.object));
        }
        let same = plan
            .objects
            .iter()
            .filter(|change| change.verb == Verb::Same)
            .count();
        if same > 0 {
            let objects = if same == 1 {
                "object is"
            } else {
                "objects are"
            };
            self.line(
                "cluster",
                Style::Plain,
                &format!("  {same} {objects} as they should be"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bootstrap::controllers::Role;

    const VIEW: View = View {
        width: None,
        color: false,
        unicode: false,
        interactive: true,
    };

    fn file(path: &str, change: Change) -> PlannedFile {
        PlannedFile {
            path: path.into(),
            change,
            text: "a: 1\n".into(),
        }
    }

    fn object(verb: Verb, object: &str) -> ObjectChange {
        ObjectChange {
            verb,
            object: object.into(),
        }
    }

    fn first() -> Plan {
        Plan {
            files: vec![
                file("clusters/prod/root.yaml", Change::Create),
                file("clusters/prod/gitops-agent/install.yaml", Change::Create),
            ],
            branch: "main".into(),
            url: "git@github.com:acme/fleet".into(),
            objects: vec![
                object(
                    Verb::Leave,
                    "CustomResourceDefinition applications.argoproj.io",
                ),
                object(Verb::Create, "Namespace argocd"),
                object(Verb::Create, "Deployment argocd/gitops-agent"),
            ],
            secret: Some((
                "Secret argocd/repo-fleet-1a2b".into(),
                "a new deploy key, read-only".into(),
            )),
            directory: "clusters/prod".into(),
            root_changes: true,
            beside: vec![Beside {
                path: "clusters/prod/web.yaml".into(),
                objects: vec!["Application web".into()],
            }],
            ..Plan::default()
        }
    }

    #[test]
    fn screens() {
        let upgrade = Plan {
            files: vec![
                file("clusters/prod/root.yaml", Change::Same),
                file(
                    "clusters/prod/gitops-agent/kustomization.yaml",
                    Change::Keep,
                ),
                file("clusters/prod/gitops-agent/install.yaml", Change::Replace),
            ],
            branch: "main".into(),
            url: "https://github.com/acme/fleet".into(),
            proposal: Some(("gitops/bootstrap-1a2b3c4d".into(), "pull request")),
            by_agent: true,
            directory: "clusters/prod".into(),
            ..Plan::default()
        };
        let nothing = Plan {
            files: vec![file("clusters/prod/root.yaml", Change::Same)],
            branch: "main".into(),
            by_agent: true,
            objects: vec![object(Verb::Same, "Namespace argocd")],
            ..Plan::default()
        };
        assert!(nothing.changes_nothing() && !upgrade.changes_nothing());
        let adopt = Plan {
            take_over: Some(TakeOver {
                stopped: vec![Controller {
                    role: Role::ArgoApplications,
                    kind: "StatefulSet".into(),
                    namespace: "argocd".into(),
                    name: "argocd-application-controller".into(),
                    replicas: 1,
                    replicas_before: None,
                    version: Some("v3.4.1".into()),
                    owner: None,
                }],
                applications: 12,
                concerns: vec!["2 Applications deliver to other clusters: prod-us, dev".into()],
                inventory: vec![(
                    "in another cluster".into(),
                    vec!["prod-us".into(), "dev".into()],
                )],
            }),
            notes: vec!["Flux runs in flux-system".into()],
            ..first()
        };
        let said = document(&adopt);
        assert_eq!(said["version"], VERSION);
        assert_eq!(said["takeOver"]["stopped"][0]["replicas"], 1);
        assert_eq!(
            said["takeOver"]["inventory"][0],
            json!({"what": "in another cluster", "applications": ["prod-us", "dev"]})
        );
        assert_eq!(said["objects"][0]["change"], "Leave");
        assert_eq!(document(&nothing)["takeOver"], Value::Null);
        insta::assert_snapshot!("first", screen(&first(), &VIEW, false));
        insta::assert_snapshot!("upgrade_shown", screen(&upgrade, &VIEW, true));
        insta::assert_snapshot!("nothing", screen(&nothing, &VIEW, false));
        insta::assert_snapshot!("adopt", screen(&adopt, &VIEW, false));
    }
}
