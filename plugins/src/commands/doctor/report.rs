//! Checks, as text and as a document.

use gitops_kit::paint::Style;
use gitops_kit::progress::Mark;
use gitops_kit::terminal::View;
use gitops_kit::text;
use serde_json::{Value, json};

/// Version of the document.
pub const VERSION: &str = "gitops-agent.io/doctor.v1";

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Works, but somebody should know.
    Warn,
    /// Does not work.
    Fail,
    /// Could not be found out.
    Unknown,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "Ok",
            Self::Warn => "Warn",
            Self::Fail => "Fail",
            Self::Unknown => "Unknown",
        }
    }

    const fn mark(self) -> Mark {
        match self {
            Self::Ok => Mark::Done,
            Self::Warn => Mark::Warning,
            Self::Fail => Mark::Failed,
            Self::Unknown => Mark::Info,
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: one word or two.
    pub name: &'static str,
    /// What was found.
    pub state: State,
    /// The same in words, one line.
    pub text: String,
    /// What to do, when something is to be done.
    pub fix: Option<String>,
}

impl Check {
    /// A check without a fix.
    pub fn new(name: &'static str, state: State, text: &str) -> Self {
        Self {
            name,
            state,
            text: text::one_line(text),
            fix: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn fix(mut self, fix: &str) -> Self {
        self.fix = Some(text::one_line(fix));
        self
    }
}

/// Whether nothing failed.
pub fn is_fine(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != State::Fail)
}

/// The checks as lines.
pub fn screen(checks: &[Check], view: &View) -> String {
    let widest = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut output = String::new();
    for check in checks {
        let (sign, style) = check.state.mark().sign(view.unicode);
        let head = format!("{:<widest$}", check.name);
        let indent = widest + 4;
        let columns = view
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
        let mut beneath = |text: &str, style: Style, first: Option<String>| {
            let lines = if columns == usize::MAX {
                vec![text.to_owned()]
            } else {
                text::wrap(text, columns)
            };
            let mut first = first;
            for line in lines {
                let start = first.take().unwrap_or_else(|| " ".repeat(indent));
                output.push_str(&start);
                output.push_str(&style.apply(&line, view.color));
                output.push('\n');
            }
        };
        let start = format!("{} {head}  ", style.apply(sign, view.color));
        beneath(&check.text, Style::Plain, Some(start));
        if let Some(fix) = &check.fix {
            beneath(&format!("fix: {fix}"), Style::Bold, None);
        }
    }
    let count = |state: State| checks.iter().filter(|check| check.state == state).count();
    let sum = match (count(State::Fail), count(State::Warn)) {
        (0, 0) => "all checks passed".to_owned(),
        (0, warned) => format!("all checks passed; {}", warnings(warned)),
        (failed, 0) => format!("{failed} failed"),
        (failed, warned) => format!("{failed} failed, {}", warnings(warned)),
    };
    output.push('\n');
    output.push_str(&sum);
    output.push('\n');
    output
}

/// The checks as a document.
pub fn document(checks: &[Check]) -> Value {
    let items: Vec<Value> = checks
        .iter()
        .map(|check| {
            let mut item = json!({
                "name": check.name,
                "state": check.state.as_str(),
                "text": check.text,
            });
            if let Some(fix) = &check.fix {
                item["fix"] = json!(fix);
            }
            item
        })
        .collect();
    json!({ "version": VERSION, "ok": is_fine(checks), "checks": items })
}

fn warnings(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} warning{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::new(
                "cluster",
                State::Ok,
                "Kubernetes v1.33.1 at https://10.0.0.1",
            ),
            Check::new(
                "agent",
                State::Fail,
                "no agent in namespace argocd\u{1b}[2J",
            )
            .fix("kubectl gitops bootstrap"),
            Check::new(
                "programs",
                State::Warn,
                "kubectl-gitops-diff is 0.0.9, this is 0.1.0",
            ),
            Check::new("argo cd", State::Unknown, "you may not read StatefulSets"),
        ]
    }

    #[test]
    fn each_check_is_a_line_with_its_fix() {
        let view = View {
            width: None,
            color: false,
            unicode: false,
            interactive: false,
        };
        assert_eq!(
            screen(&checks(), &view),
            "v cluster   Kubernetes v1.33.1 at https://10.0.0.1\n\
             x agent     no agent in namespace argocd [2J\n            \
             fix: kubectl gitops bootstrap\n\
             ! programs  kubectl-gitops-diff is 0.0.9, this is 0.1.0\n\
             - argo cd   you may not read StatefulSets\n\n\
             1 failed, 1 warning\n"
        );
        let narrow = View {
            width: Some(40),
            ..view
        };
        for line in screen(&checks(), &narrow).lines() {
            assert!(text::width(line) <= 40, "{line}");
        }
    }

    #[test]
    fn the_document_says_whether_all_is_well() {
        let document = document(&checks());
        assert_eq!(document["ok"], false);
        assert_eq!(document["checks"][1]["fix"], "kubectl gitops bootstrap");
        assert!(is_fine(&checks()[..1]));
    }
}
