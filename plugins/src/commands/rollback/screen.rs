//! The plan as users read it before they agree.

use gitops_api::preview::{PreviewAction, PreviewObject};
use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_kit::text::{one_line, plain_json, short_revision};
use gitops_views::rollback::plan::{Delivery, FileChange, Kind, Plan, Point};
use jiff::Timestamp;

/// Columns of the names of the plan's parts.
const LABEL: usize = 9;
/// Files and objects shown of each sort; all are in the document.
const MAX_OBJECTS: usize = 25;
/// Fields shown of an object.
const MAX_FIELDS: usize = 6;
/// Columns of one value of a field.
const VALUE: usize = 48;

/// The whole plan.
pub fn screen(plan: &Plan, view: &View, now: Timestamp) -> String {
    let mut page = Page {
        text: String::new(),
        view,
    };
    page.points(plan, now);
    page.blank();
    page.styled(Style::Bold, "Plan");
    page.git(plan);
    page.cluster(plan);
    if let Some(exact) = plan.exact {
        if exact {
            let same = format!(
                "renders exactly as {} did",
                short_revision(&plan.target.commit)
            );
            page.part("result", &same, Style::Good);
        } else {
            let close = format!(
                "does not render exactly as {} did: {}",
                short_revision(&plan.target.commit),
                one_line(&plan.inexact_because)
            );
            page.part("result", &close, Style::Warn);
        }
    }
    page.deliver(plan);
    page.cautions(plan);
    page.text
}

struct Page<'a> {
    text: String,
    view: &'a View,
}

impl Page<'_> {
    fn points(&mut self, plan: &Plan, now: Timestamp) {
        let rows = [
            ("now", &plan.now, Style::Bad),
            ("target", &plan.target, Style::Good),
        ];
        let subjects: Vec<String> = rows
            .iter()
            .map(|(_, point, _)| text::cut(&one_line(&point.subject), 40, self.view.unicode))
            .collect();
        let authors: Vec<String> = rows
            .iter()
            .map(|(_, point, _)| text::cut(&one_line(&point.author), 20, self.view.unicode))
            .collect();
        let widest = |texts: &[String]| {
            texts
                .iter()
                .map(|text| text::width(text))
                .max()
                .unwrap_or(0)
        };
        let (subject_width, author_width) = (widest(&subjects), widest(&authors));
        for ((label, point, style), (subject, author)) in
            rows.into_iter().zip(subjects.iter().zip(&authors))
        {
            let head = format!(
                "{label:<7} {:<7}  {}  {}  {:<4} ",
                short_revision(&point.commit),
                pad(subject, subject_width),
                pad(author, author_width),
                age_of(point, now),
            );
            let note = one_line(&point.note);
            let style = if label == "now" && is_fine(&note) {
                Style::Plain
            } else {
                style
            };
            let room = self.room(text::width(&head) + 1);
            let note = text::cut(&note, room, self.view.unicode);
            let line = format!("{head} {}", style.apply(&note, self.view.color));
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    fn git(&mut self, plan: &Plan) {
        let git = &plan.git;
        let changed: Vec<&FileChange> = git.changed().collect();
        let what = match &plan.kind {
            Kind::Restore | Kind::Undo(_) => format!("restore {}", count(changed.len(), "file")),
            Kind::Revert(_) => format!("take back changes of {}", count(changed.len(), "file")),
        };
        let mut line = format!("{what} in one commit on {}", one_line(&git.branch));
        if !git.undoes.is_empty() {
            let named: Vec<&str> = git
                .undoes
                .iter()
                .take(5)
                .map(|(id, _)| short_revision(id))
                .collect();
            let more = if git.undoes.len() > 5 { ", ..." } else { "" };
            let commits = count(git.undoes.len(), "commit");
            line.extend(["; undoes ", &commits, ": ", &named.join(", "), more]);
        }
        match git.others {
            0 => {}
            1 => line.push_str("; 1 other commit since stays"),
            others => line.extend(["; ", &others.to_string(), " other commits since stay"]),
        }
        self.part("git", &line, Style::Plain);
        for file in changed.iter().take(MAX_OBJECTS) {
            let (sign, style) = if file.delete {
                ("-", Style::Bad)
            } else {
                ("~", Style::Warn)
            };
            let shared = if file.shared_with.is_empty() {
                String::new()
            } else {
                format!("  also read by {}", names(&file.shared_with))
            };
            self.item(sign, style, &format!("{}{shared}", one_line(&file.path)));
        }
        self.more(changed.len(), "files");
        let left: Vec<&FileChange> = git.left().collect();
        for file in left.iter().take(MAX_OBJECTS) {
            let line = format!(
                "{}  left as it is: {} too (--include-shared)",
                one_line(&file.path),
                readers(&file.shared_with)
            );
            self.item("=", Style::Dim, &line);
        }
        self.more(left.len(), "files that are left");
        let concerned = git.concerned();
        if !concerned.is_empty() {
            let line = format!("! these change too: {}", one_line(&concerned.join(", ")));
            self.part("", &line, Style::Warn);
        }
    }

    fn cluster(&mut self, plan: &Plan) {
        let counts = &plan.counts;
        let mut line = format!(
            "{} to change, {} to create, {} to prune",
            counts.change, counts.create, counts.prune
        );
        if counts.refuse > 0 {
            line.extend([
                ", ",
                &counts.refuse.to_string(),
                " refused by the API server",
            ]);
        }
        self.part("cluster", &line, Style::Plain);
        for object in plan.objects.iter().take(MAX_OBJECTS) {
            self.object(object);
        }
        let hidden = usize::try_from(plan.truncated).unwrap_or(0) + plan.objects.len();
        self.more(hidden, "objects");
    }

    fn object(&mut self, object: &PreviewObject) {
        let (sign, style) = match object.action {
            PreviewAction::Create => ("+", Style::Good),
            PreviewAction::Prune => ("-", Style::Bad),
            PreviewAction::Refuse => ("!", Style::Bad),
            PreviewAction::Withheld => ("?", Style::Warn),
            PreviewAction::Change | PreviewAction::Unknown => ("~", Style::Warn),
        };
        let name = one_line(&format!("{}/{}", object.kind, object.name));
        let note = match (object.action, object.message.as_str()) {
            (_, "") => String::new(),
            (_, message) => format!("  {}", one_line(message)),
        };
        let room = self.room(LABEL + 4);
        let columns = |indent: usize| room.saturating_sub(indent);
        match object.fields.as_slice() {
            [field]
                if note.is_empty()
                    && text::width(&name) + text::width(&self.field(field, usize::MAX)) < room =>
            {
                self.item(sign, style, &format!("{name} {}", self.field(field, room)));
            }
            fields => {
                self.item(sign, style, &format!("{name}{note}"));
                for field in fields.iter().take(MAX_FIELDS) {
                    let field = self.field(field, columns(2));
                    self.item(" ", Style::Plain, &format!("  {field}"));
                }
                if fields.len() > MAX_FIELDS {
                    let more = format!("  and {} more", count(fields.len() - MAX_FIELDS, "field"));
                    self.item(" ", Style::Dim, &more);
                }
            }
        }
    }

    /// `path old -> new` in so many columns: the path gives way first, in its middle.
    fn field(&self, field: &gitops_api::FieldDrift, columns: usize) -> String {
        let value = |json: Option<&String>| {
            json.map_or_else(
                || "(none)".to_owned(),
                |json| text::cut_middle(&plain_json(json), VALUE, self.view.unicode),
            )
        };
        let arrow = if self.view.unicode { "→" } else { "->" };
        let values = format!(
            "{} {arrow} {}",
            value(field.live.as_ref()),
            value(field.desired.as_ref())
        );
        let path = one_line(field.path.trim_start_matches('.'));
        let room = columns.saturating_sub(text::width(&values) + 1).max(12);
        let path = text::cut_middle(&path, room, self.view.unicode);
        format!("{path} {values}")
    }

    fn deliver(&mut self, plan: &Plan) {
        let repository = one_line(&crate::git::redact(&plan.git.repo_url));
        let line = match &plan.delivery {
            Delivery::Push => format!("push to {} of {repository}", one_line(&plan.git.branch)),
            Delivery::PullRequest(branch) => format!(
                "push to {branch} of {repository}, pull request to {}",
                one_line(&plan.git.branch)
            ),
        };
        self.part("deliver", &line, Style::Plain);
        if plan.hold {
            let line = format!(
                "the agent delivers {} at once, until Git does",
                short_revision(&plan.target.commit)
            );
            self.part("hold", &line, Style::Plain);
        }
        if !plan.auto_sync {
            self.part(
                "",
                "auto-sync is off: nothing changes in the cluster before a sync",
                Style::Warn,
            );
        }
    }

    fn cautions(&mut self, plan: &Plan) {
        for note in &plan.notes {
            self.part("", &format!("! {}", one_line(note)), Style::Warn);
        }
        for caution in &plan.cautions {
            let (style, flag) = match caution.gate {
                Some(gate) => (Style::Bad, format!(" ({})", gate.flag())),
                None => (Style::Warn, String::new()),
            };
            self.part("", &format!("! {}{flag}", caution.message), style);
        }
    }

    fn more(&mut self, all: usize, what: &str) {
        if all > MAX_OBJECTS {
            let line = format!("and {} more {what} (-o json shows all)", all - MAX_OBJECTS);
            self.item(" ", Style::Dim, &line);
        }
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn styled(&mut self, style: Style, line: &str) {
        self.text.push_str(&style.apply(line, self.view.color));
        self.text.push('\n');
    }

    /// Columns left of a line.
    fn room(&self, used: usize) -> usize {
        self.view
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(used).max(10))
    }

    /// `  git      text`, wrapped beneath itself.
    fn part(&mut self, label: &str, line: &str, style: Style) {
        let room = self.room(LABEL + 2);
        let lines = if room == usize::MAX {
            vec![line.to_owned()]
        } else {
            text::wrap(line, room)
        };
        for (number, line) in lines.iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let label = format!("  {label:<LABEL$}");
            self.text.push_str(&label);
            self.styled(style, line);
        }
    }

    /// A line beneath a part.
    fn item(&mut self, sign: &str, style: Style, line: &str) {
        let room = self.room(LABEL + 4);
        let line = text::cut(line, room, self.view.unicode);
        let sign = style.apply(sign, self.view.color);
        let line = format!("{}{sign} {line}", " ".repeat(LABEL + 2));
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

fn pad(text: &str, width: usize) -> String {
    format!(
        "{text}{}",
        " ".repeat(width.saturating_sub(text::width(text)))
    )
}

fn age_of(point: &Point, now: Timestamp) -> String {
    point
        .time
        .map(|time| text::age(time, now))
        .unwrap_or_default()
}

fn is_fine(note: &str) -> bool {
    note.contains("Healthy")
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

fn names(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| one_line(name)).collect();
    match names.len().saturating_sub(5) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn readers(applications: &[String]) -> String {
    let verb = if applications.len() == 1 {
        "reads it"
    } else {
        "read it"
    };
    format!("{} {verb}", names(applications))
}

#[cfg(test)]
mod tests {
    use gitops_api::FieldDrift;
    use gitops_api::preview::PreviewCounts;
    use gitops_views::rollback::gates::{Caution, Gate};
    use gitops_views::rollback::plan::GitChange;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T14:10:00Z".parse().unwrap()
    }

    fn point(commit: &str, subject: &str, author: &str, time: &str, note: &str) -> Point {
        Point {
            commit: format!("{commit}c2f5e1d4b3a29687f0e1d2c3b4a5968"),
            subject: subject.into(),
            author: author.into(),
            time: time.parse().ok(),
            note: note.into(),
        }
    }

    fn file(path: &str, delete: bool, left: bool, shared_with: &[&str]) -> FileChange {
        FileChange {
            path: path.into(),
            delete,
            left,
            shared_with: shared_with.iter().map(|&name| name.into()).collect(),
        }
    }

    fn plan() -> Plan {
        let bad = point(
            "91be07a0a",
            "Bump web to 1.9.2",
            "ana",
            "2026-11-19T09:12:00Z",
            "Synced, Degraded for 8m",
        );
        let good = point(
            "4c1d88e0a",
            "Raise web memory",
            "bob",
            "2026-11-15T17:40:00Z",
            "last Synced and Healthy (history 13)",
        );
        Plan {
            namespace: "team-a".into(),
            application: "web".into(),
            cluster: "prod-eu1".into(),
            kind: Kind::Restore,
            git: GitChange {
                repo_url: "https://ana:secret@git.example/acme/fleet".into(),
                branch: "main".into(),
                from: bad.commit.clone(),
                to: good.commit.clone(),
                files: vec![
                    file("apps/web/deploy.yaml", false, false, &[]),
                    file("apps/web/new\u{1b}[2J.yaml", true, false, &[]),
                    file("base/app.yaml", false, true, &["shop"]),
                ],
                undoes: vec![(bad.commit.clone(), bad.subject.clone())],
                others: 7,
            },
            now: bad,
            target: good,
            objects: vec![
                PreviewObject {
                    kind: "Deployment".into(),
                    name: "web".into(),
                    action: PreviewAction::Change,
                    fields: vec![FieldDrift {
                        path: ".spec.template.spec.containers[name=\"web\"].image".into(),
                        desired: Some("\"acme/web:1.9.1\"".into()),
                        live: Some("\"acme/web:1.9.2\"".into()),
                        ..FieldDrift::default()
                    }],
                    ..PreviewObject::default()
                },
                PreviewObject {
                    kind: "PersistentVolumeClaim".into(),
                    name: "cache".into(),
                    action: PreviewAction::Prune,
                    ..PreviewObject::default()
                },
            ],
            truncated: 0,
            counts: PreviewCounts {
                change: 1,
                prune: 1,
                ..PreviewCounts::default()
            },
            digest: "sha256:1".into(),
            exact: Some(false),
            inexact_because: "1 files that other applications read too are left as they are".into(),
            cautions: vec![Caution {
                code: "Data".into(),
                message: "PersistentVolumeClaim/cache is deleted, and its data may go with it"
                    .into(),
                object: "PersistentVolumeClaim/cache".into(),
                gate: Some(Gate::DataLoss),
            }],
            notes: vec![],
            delivery: Delivery::Push,
            hold: true,
            auto_sync: false,
        }
    }

    fn view(width: Option<usize>, unicode: bool) -> View {
        View {
            width,
            color: false,
            unicode,
            interactive: width.is_some(),
        }
    }

    #[test]
    fn a_plan() {
        let text = screen(&plan(), &view(None, false), now());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_plan_on_a_narrow_terminal() {
        let text = screen(&plan(), &view(Some(72), true), now());
        assert!(text.lines().all(|line| text::width(line) <= 72), "{text}");
        insta::assert_snapshot!(text);
    }
}
