//! The objects of one application as a tree: what differs, who changed it, and what runs beneath.

use gitops_api::{Application, FieldDrift, HealthStatusCode, ResourceStatus, SyncStatusCode};
use gitops_kit::paint::Style;
use gitops_kit::text;
use gitops_views::pods::tree::{Node, Tree, Workloads};
use gitops_views::status::drift;
use gitops_views::status::reason::is_itself;
use gitops_views::style;
use jiff::Timestamp;

use crate::commands::status::page::Page;

/// Longest value of a field in the tree.
const VALUE_COLUMNS: usize = 48;

/// An object with what stands beneath it.
struct Branch<'a> {
    resource: &'a ResourceStatus,
    name: String,
    nodes: Vec<Node>,
}

/// Draws the tree; nothing when there are no objects.
pub(super) fn draw(
    page: &mut Page,
    application: &Application,
    workloads: &Workloads,
    now: Timestamp,
) {
    let Some(status) = &application.status else {
        return;
    };
    if status.resources.is_empty() {
        return;
    }
    let home = application.spec.destination.namespace.as_str();
    let tree = Tree::of(workloads);
    let mut branches: Vec<Branch<'_>> = status
        .resources
        .iter()
        .filter(|resource| !is_itself(application, resource))
        .map(|resource| Branch {
            resource,
            name: name(resource, home),
            nodes: tree.beneath(resource, now),
        })
        .collect();
    branches.sort_by(|a, b| order(a.resource).cmp(&order(b.resource)));

    let limit = page
        .view
        .width
        .map_or(usize::MAX, |width| (width / 2).max(16));
    let widest = branches
        .iter()
        .map(|branch| text::width(&branch.name).max(widest(&branch.nodes, 1)))
        .max()
        .unwrap_or(0)
        .min(limit);

    page.output.push('\n');
    for (index, branch) in branches.iter().enumerate() {
        let last = index + 1 == branches.len();
        object(page, branch, last, widest, now);
    }
    for unread in &workloads.unread {
        page.line(&[(&format!("not shown: {unread}"), Style::Dim)]);
    }
}

/// Columns a name takes counted from where the names of objects begin.
fn widest(nodes: &[Node], depth: usize) -> usize {
    nodes
        .iter()
        .map(|node| {
            let own = depth * INDENT + text::width(&node.name);
            own.max(widest(&node.children, depth + 1))
        })
        .max()
        .unwrap_or(0)
}

/// Columns a level is further to the right.
const INDENT: usize = 3;

fn object(page: &mut Page, branch: &Branch<'_>, last: bool, widest: usize, now: Timestamp) {
    let resource = branch.resource;
    let unicode = page.view.unicode;
    let (corner, trunk) = lines(last, unicode);
    let stem = stem(trunk, &branch.nodes, unicode);
    let (sync, sync_style) = state_word(resource);
    let health = resource.health.as_ref();
    let health_word = health.map_or("", |health| health.status.as_str());
    let health_style = health.map_or(Style::Plain, |health| style::of_health(health.status));
    let row = Row {
        before: corner,
        name: &branch.name,
        widest,
        stem: &stem,
    };
    let words = [
        (format!("{sync:<11}"), sync_style),
        (format!("{health_word:<13}"), health_style),
    ];
    row.draw(page, &words, &note(resource));
    for field in &resource.drift {
        field_lines(page, &stem, field, now);
    }
    beneath(page, &branch.nodes, trunk, widest);
}

/// What lines about an object begin with: what stands beneath it hangs together with it.
fn stem(trunk: &str, nodes: &[Node], unicode: bool) -> String {
    let bar = match (nodes.is_empty(), unicode) {
        (true, _) => "  ",
        (false, true) => "│ ",
        (false, false) => "| ",
    };
    format!("{trunk}{bar}")
}

fn beneath(page: &mut Page, nodes: &[Node], before: &str, widest: usize) {
    for (index, node) in nodes.iter().enumerate() {
        let (corner, trunk) = lines(index + 1 == nodes.len(), page.view.unicode);
        let (corner, trunk) = (format!("{before}{corner}"), format!("{before}{trunk}"));
        let depth = text::width(before);
        let stem = stem(&trunk, &node.children, page.view.unicode);
        let row = Row {
            before: &corner,
            name: &node.name,
            widest: widest.saturating_sub(depth),
            stem: &stem,
        };
        let words = [(format!("{}  ", node.state), node.style)];
        row.draw(page, &words, &node.note);
        beneath(page, &node.children, &trunk, widest);
    }
}

/// One object's line: its name, words in columns, and a note where there is room for it.
struct Row<'a> {
    before: &'a str,
    name: &'a str,
    widest: usize,
    /// What a note on lines of its own begins with.
    stem: &'a str,
}

impl Row<'_> {
    fn draw(&self, page: &mut Page, words: &[(String, Style)], note: &str) {
        let name = text::cut_middle(self.name, self.widest.max(8), page.view.unicode);
        let padding = " ".repeat(self.widest.saturating_sub(text::width(&name)) + 2);
        let mut pieces = vec![
            (self.before, Style::Dim),
            (name.as_str(), Style::Plain),
            (padding.as_str(), Style::Plain),
        ];
        pieces.extend(words.iter().map(|(word, style)| (word.as_str(), *style)));
        let used: usize = pieces.iter().map(|(piece, _)| text::width(piece)).sum();
        let fits = page
            .view
            .width
            .is_none_or(|width| used + text::width(note) <= width);
        if fits {
            pieces.push((note, Style::Plain));
        }
        page.line(&pieces);
        if !fits {
            page.beneath(self.stem, note);
        }
    }
}

/// One changed field: on one line when there is room, else its values beneath its path.
fn field_lines(page: &mut Page, stem: &str, field: &FieldDrift, now: Timestamp) {
    let path = text::one_line(&field.path);
    let values = drift::values(field, VALUE_COLUMNS, page.view.unicode);
    let culprit = drift::culprit(field, "  by ", now);
    let widths = [stem, &path, "  ", &values, &culprit].map(text::width);
    let Some(width) = page
        .view
        .width
        .filter(|width| widths.iter().sum::<usize>() > *width)
    else {
        page.line(&[
            (stem, Style::Dim),
            (&path, Style::Plain),
            ("  ", Style::Plain),
            (&values, Style::Warn),
            (&culprit, Style::Dim),
        ]);
        return;
    };
    page.line(&[(stem, Style::Dim), (&path, Style::Plain)]);
    let around = text::width(stem) + 2 + 4 + text::width(&culprit);
    let columns = (width.saturating_sub(around) / 2).clamp(10, VALUE_COLUMNS);
    page.line(&[
        (stem, Style::Dim),
        ("  ", Style::Plain),
        (
            &drift::values(field, columns, page.view.unicode),
            Style::Warn,
        ),
        (&culprit, Style::Dim),
    ]);
}

/// Broken first, then what differs, then what is on its way, then what is fine.
fn order(resource: &ResourceStatus) -> (u8, &str, &str, &str) {
    let health = resource.health.as_ref().map(|health| health.status);
    let urgency = match (health, resource.status) {
        (Some(HealthStatusCode::Degraded | HealthStatusCode::Missing), _) => 0,
        _ if !resource.drift.is_empty() => 1,
        (_, Some(SyncStatusCode::OutOfSync)) => 2,
        (Some(HealthStatusCode::Progressing), _) => 3,
        (_, Some(SyncStatusCode::Unknown)) | (Some(HealthStatusCode::Unknown), _) => 4,
        _ => 5,
    };
    (urgency, &resource.kind, &resource.namespace, &resource.name)
}

fn name(resource: &ResourceStatus, home: &str) -> String {
    let name = drift::object_name(resource);
    if resource.namespace.is_empty() || resource.namespace == home {
        name
    } else {
        format!("{name} ({})", text::one_line(&resource.namespace))
    }
}

fn state_word(resource: &ResourceStatus) -> (&'static str, Style) {
    match resource.status {
        _ if resource.hook => ("hook", Style::Dim),
        Some(status) => (status.as_str(), style::of_sync(status)),
        None => ("", Style::Plain),
    }
}

fn note(resource: &ResourceStatus) -> String {
    let mut words = Vec::new();
    if resource.requires_pruning && !resource.hook {
        words.push("not in Git, a sync with prune deletes it".to_owned());
    }
    if resource.requires_deletion_confirmation {
        words.push("deletion waits for confirmation".to_owned());
    }
    if let Some(health) = &resource.health
        && !health.message.is_empty()
        && health.status != HealthStatusCode::Healthy
    {
        words.push(text::one_line(&health.message));
    }
    words.join("; ")
}

/// What stands before an object, and before what belongs to it.
const fn lines(last: bool, unicode: bool) -> (&'static str, &'static str) {
    match (last, unicode) {
        (false, true) => ("├─ ", "│  "),
        (true, true) => ("└─ ", "   "),
        (false, false) => ("|- ", "|  "),
        (true, false) => ("`- ", "   "),
    }
}
