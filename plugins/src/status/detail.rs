//! The screen of one application: what it is, its objects as a tree, what is wrong with each.

use gitops_api::{
    Application, ApplicationSource, FieldDrift, HealthStatusCode, OperationPhase, ResourceStatus,
    SyncStatusCode,
};
use jiff::Timestamp;

use crate::paint::Style;
use crate::status::agent::Agent;
use crate::status::application::{Summary, destination};
use crate::status::drift;
use crate::status::page::Page;
use crate::status::reason::Code;
use crate::terminal::View;
use crate::text;

/// Longest value of a field in the tree.
const VALUE_COLUMNS: usize = 48;

/// What is shown.
#[derive(Clone, Debug)]
pub struct Detail<'a> {
    /// The application.
    pub application: &'a Application,
    /// Whether the agent lives.
    pub agent: Agent,
    /// Time the ages are counted from.
    pub now: Timestamp,
}

/// Draws one application.
pub fn screen(detail: &Detail<'_>, view: &View) -> String {
    let summary = Summary::of(detail.application, detail.now, view.unicode);
    let mut page = Page {
        output: String::new(),
        view: *view,
    };
    title(&mut page, &summary);
    sources(&mut page, detail, &summary);
    policy(&mut page, detail.application);
    last_sync(&mut page, detail);
    freshness(&mut page, detail);
    // What a running sync does stands beside it.
    if let Some(reason) = summary
        .reason
        .as_ref()
        .filter(|reason| reason.code != Code::Syncing)
    {
        page.field("why", &reason.text, reason.code.style());
    }
    resources(&mut page, detail);
    conditions(&mut page, detail, &summary);
    page.output
}

fn title(page: &mut Page, summary: &Summary) {
    let name = format!("{}/{}", summary.namespace, summary.name);
    page.line(&[
        (name.trim_start_matches('/'), Style::Bold),
        ("  ", Style::Plain),
        (summary.sync.as_str(), summary.sync.into()),
        (", ", Style::Plain),
        (summary.health.as_str(), summary.health.into()),
    ]);
}

fn sources(page: &mut Page, detail: &Detail<'_>, summary: &Summary) {
    let application = detail.application;
    let sync = application
        .status
        .as_ref()
        .and_then(|status| status.sync.as_ref());
    let sources = application.spec.effective_sources();
    for (index, source) in sources.iter().enumerate() {
        let compared = sync.map_or("", |sync| {
            sync.revisions.get(index).map_or_else(
                || {
                    if sources.len() == 1 {
                        sync.revision.as_str()
                    } else {
                        ""
                    }
                },
                String::as_str,
            )
        });
        page.field(
            "source",
            &source_text(source, compared, page.view.unicode),
            Style::Plain,
        );
    }
    page.field(
        "to",
        &destination(&application.spec.destination),
        Style::Plain,
    );
    if summary.project != "default" {
        page.field("project", &summary.project, Style::Plain);
    }
}

/// `https://…/config.git apps/web, main at 91be07a`
fn source_text(source: &ApplicationSource, compared: &str, unicode: bool) -> String {
    let mut words = vec![source.repo_url.clone()];
    if !source.path.is_empty() {
        words.push(source.path.clone());
    }
    if !source.chart.is_empty() {
        words.push(format!("chart {}", source.chart));
    }
    if !source.ref_name.is_empty() {
        words.push(format!("as ${}", source.ref_name));
    }
    let target = if source.target_revision.is_empty() {
        "HEAD"
    } else {
        source.target_revision.as_str()
    };
    let short = text::short_revision(compared);
    let revision = if compared.is_empty() || compared == target {
        text::short_revision(target).to_owned()
    } else {
        format!("{} at {short}", text::short_revision(target))
    };
    let separator = if unicode { " · " } else { " | " };
    format!("{}{separator}{revision}", words.join(separator))
}

fn policy(page: &mut Page, application: &Application) {
    let policy = application.spec.sync_policy.as_ref();
    let words = match policy.and_then(|policy| policy.automation()) {
        None => "manual".to_owned(),
        Some(automation) => format!(
            "automatic, prune {}, self-heal {}",
            on_off(automation.prune),
            on_off(automation.self_heal)
        ),
    };
    page.field("sync", &words, Style::Plain);
}

const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn last_sync(page: &mut Page, detail: &Detail<'_>) {
    let Some(state) = detail
        .application
        .status
        .as_ref()
        .and_then(|status| status.operation_state.as_ref())
    else {
        return;
    };
    let mut words = vec![state.phase.as_str().to_owned()];
    if let Some(result) = &state.sync_result {
        let revision = result.revisions.first().unwrap_or(&result.revision);
        if !revision.is_empty() {
            words.push(format!("at {}", text::short_revision(revision)));
        }
    }
    match (&state.started_at, &state.finished_at) {
        (Some(started), Some(finished)) => {
            words.push(format!("{} ago", text::age(finished.0, detail.now)));
            words.push(format!("in {}", text::age(started.0, finished.0)));
        }
        (Some(started), None) => {
            words.push(format!("for {}", text::age(started.0, detail.now)));
        }
        _ => {}
    }
    let initiator = state.operation.initiated_by.as_ref();
    match initiator {
        Some(initiator) if initiator.automated => words.push("by the agent".into()),
        Some(initiator) if !initiator.username.is_empty() => {
            words.push(format!("by {}", initiator.username));
        }
        _ => {}
    }
    if state.retry_count > 0 {
        words.push(format!("after {} retries", state.retry_count));
    }
    page.field("last sync", &words.join(" "), state.phase.into());
    let says_more = !matches!(state.phase, OperationPhase::Succeeded) && !state.message.is_empty();
    if says_more {
        page.field("", &state.message, Style::Plain);
    }
}

fn freshness(page: &mut Page, detail: &Detail<'_>) {
    let compared = detail
        .application
        .status
        .as_ref()
        .and_then(|status| status.reconciled_at.as_ref());
    let mut words = match compared {
        Some(time) => format!("{} ago", text::age(time.0, detail.now)),
        None => "never".to_owned(),
    };
    if let Agent::Stale { .. } | Agent::Absent = detail.agent
        && let Some(agent) = detail.agent.summary(detail.now)
    {
        words = format!("{words}, {agent}");
    }
    page.field("compared", &words, Style::Plain);
}

fn resources(page: &mut Page, detail: &Detail<'_>) {
    let Some(status) = &detail.application.status else {
        return;
    };
    if status.resources.is_empty() {
        return;
    }
    let home = detail.application.spec.destination.namespace.as_str();
    let mut order: Vec<&ResourceStatus> = status.resources.iter().collect();
    order.sort_by(|a, b| {
        (urgency(a), &a.kind, &a.namespace, &a.name).cmp(&(
            urgency(b),
            &b.kind,
            &b.namespace,
            &b.name,
        ))
    });
    let names: Vec<String> = order.iter().map(|resource| name(resource, home)).collect();
    let limit = page
        .view
        .width
        .map_or(usize::MAX, |width| (width / 2).max(16));
    let widest = names
        .iter()
        .map(|name| text::width(name))
        .max()
        .unwrap_or(0)
        .min(limit);

    page.output.push('\n');
    for (index, (resource, name)) in order.iter().zip(&names).enumerate() {
        let last = index + 1 == order.len();
        let (branch, stem) = branches(last, page.view.unicode);
        let name = text::cut_middle(name, widest, page.view.unicode);
        let padding = " ".repeat(widest.saturating_sub(text::width(&name)) + 2);
        let (sync, sync_style) = state_word(resource);
        let health = resource.health.as_ref();
        let health_word = health.map_or("", |health| health.status.as_str());
        let sync = format!("{sync:<11}");
        let health_word = format!("{health_word:<13}");
        let note = note(resource);
        let used: usize = [branch, &name, &padding, &sync, &health_word]
            .map(text::width)
            .iter()
            .sum();
        let fits = page
            .view
            .width
            .is_none_or(|width| used + text::width(&note) <= width);
        page.line(&[
            (branch, Style::Dim),
            (&name, Style::Plain),
            (&padding, Style::Plain),
            (&sync, sync_style),
            (
                &health_word,
                health.map_or(Style::Plain, |health| health.status.into()),
            ),
            (if fits { &note } else { "" }, Style::Plain),
        ]);
        if !fits {
            page.beneath(stem, &note);
        }
        for field in &resource.drift {
            field_lines(page, stem, field, detail.now);
        }
    }
}

/// One changed field: on one line when there is room, else its values beneath its path.
fn field_lines(page: &mut Page, stem: &str, field: &FieldDrift, now: Timestamp) {
    let path = text::one_line(&field.path);
    let values = drift::values(field, VALUE_COLUMNS, &page.view);
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
        (&drift::values(field, columns, &page.view), Style::Warn),
        (&culprit, Style::Dim),
    ]);
}

/// Broken first, then what differs, then what is on its way, then what is fine.
fn urgency(resource: &ResourceStatus) -> u8 {
    let health = resource.health.as_ref().map(|health| health.status);
    match (health, resource.status) {
        (Some(HealthStatusCode::Degraded | HealthStatusCode::Missing), _) => 0,
        _ if !resource.drift.is_empty() => 1,
        (_, Some(SyncStatusCode::OutOfSync)) => 2,
        (Some(HealthStatusCode::Progressing), _) => 3,
        (_, Some(SyncStatusCode::Unknown)) | (Some(HealthStatusCode::Unknown), _) => 4,
        _ => 5,
    }
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
        Some(status) => (status.as_str(), status.into()),
        None => ("", Style::Plain),
    }
}

fn note(resource: &ResourceStatus) -> String {
    let mut words = Vec::new();
    if resource.requires_pruning {
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

const fn branches(last: bool, unicode: bool) -> (&'static str, &'static str) {
    match (last, unicode) {
        (false, true) => ("├─ ", "│    "),
        (true, true) => ("└─ ", "     "),
        (false, false) => ("|-- ", "|     "),
        (true, false) => ("`-- ", "      "),
    }
}

fn conditions(page: &mut Page, detail: &Detail<'_>, summary: &Summary) {
    let Some(status) = &detail.application.status else {
        return;
    };
    // What "why" has said already is not said twice.
    let said = summary
        .reason
        .as_ref()
        .filter(|reason| matches!(reason.code, Code::Error | Code::SyncFailed | Code::Warning))
        .map(|reason| reason.text.as_str());
    for condition in status
        .conditions
        .iter()
        .filter(|condition| Some(text::one_line(&condition.message).as_str()) != said)
    {
        let style = if condition.is_error() {
            Style::Bad
        } else {
            Style::Warn
        };
        page.output.push('\n');
        let age = condition
            .last_transition_time
            .as_ref()
            .map_or(String::new(), |time| {
                format!("  {} ago", text::age(time.0, detail.now))
            });
        page.line(&[
            (&text::one_line(&condition.condition_type), style),
            (&age, Style::Dim),
        ]);
        let columns = page
            .view
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(2).max(20));
        for line in text::wrap(&text::one_line(&condition.message), columns) {
            page.line(&[("  ", Style::Plain), (&line, Style::Plain)]);
        }
    }
}
