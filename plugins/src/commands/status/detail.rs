//! The screen of one application: what it is, its objects as a tree, what is wrong with each.

use gitops_api::constants::condition;
use gitops_api::{Application, ApplicationSource, OperationPhase};
use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::pods::tree::Workloads;
use gitops_views::status::agent::Agent;
use gitops_views::status::application::{Summary, destination};
use gitops_views::status::reason::Code;
use gitops_views::status::{deepest, drift, live, pause};
use gitops_views::style;
use jiff::Timestamp;

use crate::commands::status::page::Page;
use crate::commands::status::tree;

/// Seconds back in which what self-heal reverted is shown; `history` has the rest.
const RECENT_HEALS: i64 = 86_400;
/// Most of it.
const MOST_HEALS: usize = 3;

/// What is shown.
#[derive(Clone, Debug)]
pub struct Detail<'a> {
    /// The application.
    pub application: &'a Application,
    /// Whether the agent lives.
    pub agent: Agent,
    /// What runs beneath its workloads.
    pub workloads: &'a Workloads,
    /// Time the ages are counted from.
    pub now: Timestamp,
}

/// Draws one application.
pub fn screen(detail: &Detail<'_>, view: &View) -> String {
    let mut summary = Summary::of(detail.application, detail.now, view.unicode);
    deepest::deepen(
        &mut summary,
        detail.application,
        detail.workloads,
        detail.now,
    );
    let mut page = Page {
        output: String::new(),
        view: *view,
    };
    title(&mut page, &summary);
    sources(&mut page, detail, &summary);
    policy(&mut page, detail);
    tip(&mut page, detail, &summary);
    live_commit(&mut page, detail, &summary);
    hold(&mut page, detail);
    last_sync(&mut page, detail);
    heals(&mut page, detail);
    freshness(&mut page, detail);
    let paused = pause::summary(detail.application, detail.now);
    // What a running sync does stands beside it.
    if let Some(reason) = summary
        .reason
        .as_ref()
        .filter(|reason| reason.code != Code::Syncing)
        .filter(|reason| Some(&reason.text) != paused.as_ref())
    {
        page.field("why", &reason.text, reason.code.style());
    }
    tree::draw(&mut page, detail.application, detail.workloads, detail.now);
    conditions(&mut page, detail, &summary);
    page.output
}

fn title(page: &mut Page, summary: &Summary) {
    let name = format!("{}/{}", summary.namespace, summary.name);
    page.line(&[
        (name.trim_start_matches('/'), Style::Bold),
        ("  ", Style::Plain),
        (summary.sync.as_str(), style::of_sync(summary.sync)),
        (", ", Style::Plain),
        (summary.health.as_str(), style::of_health(summary.health)),
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

fn policy(page: &mut Page, detail: &Detail<'_>) {
    let policy = detail.application.spec.sync_policy.as_ref();
    let words = match policy.and_then(|policy| policy.automation()) {
        None => "manual".to_owned(),
        Some(automation) => format!(
            "automatic, prune {}, self-heal {}",
            on_off(automation.prune),
            on_off(automation.self_heal)
        ),
    };
    match pause::summary(detail.application, detail.now) {
        Some(paused) => page.field("sync", &format!("{paused} ({words})"), Style::Warn),
        None => page.field("sync", &words, Style::Plain),
    }
}

const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn live_commit(page: &mut Page, detail: &Detail<'_>, summary: &Summary) {
    if let Some(live) = live::of(detail.application) {
        let words = live::in_words(live, &summary.target, detail.now, page.view.unicode);
        let style = if live.behind > 0 {
            Style::Warn
        } else {
            Style::Plain
        };
        page.field("live", &words, style);
    }
}

/// The commit that is followed and was not compared: whose it is, is what people ask.
fn tip(page: &mut Page, detail: &Detail<'_>, summary: &Summary) {
    let Some(words) = live::tip(detail.application, detail.now, page.view.unicode) else {
        return;
    };
    let held = live::hold(detail.application).is_some();
    let (what, style) = if held {
        ("held back", Style::Warn)
    } else {
        ("cannot be compared", Style::Bad)
    };
    page.field(
        "tip",
        &format!("{} at {words}: {what}", summary.target),
        style,
    );
}

fn hold(page: &mut Page, detail: &Detail<'_>) {
    match live::hold(detail.application) {
        None => {}
        Some(Ok(hold)) => {
            page.field(
                "held at",
                &live::hold_in_words(&hold, detail.now),
                Style::Warn,
            );
        }
        Some(Err(error)) => {
            page.field("held at", &format!("not readable: {error}"), Style::Bad);
        }
    }
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
    let what = if state.operation.is_dry_run() {
        words.push("(changed nothing)".into());
        "dry run"
    } else {
        "last sync"
    };
    page.field(what, &words.join(" "), style::of_phase(state.phase));
    let says_more = !matches!(state.phase, OperationPhase::Succeeded) && !state.message.is_empty();
    if says_more {
        page.field("", &state.message, Style::Plain);
    }
}

/// What self-heal reverted lately, newest first.
fn heals(page: &mut Page, detail: &Detail<'_>) {
    let status = detail.application.status.as_ref();
    let recent = status.iter().flat_map(|status| status.heals.iter().rev());
    let recent = recent.filter(|heal| {
        let healed = heal.healed_at.as_ref();
        healed.is_some_and(|time| detail.now.as_second() - time.0.as_second() < RECENT_HEALS)
    });
    for (place, heal) in recent.take(MOST_HEALS).enumerate() {
        let words = drift::healed(heal, detail.now, page.view.unicode);
        page.field(
            if place == 0 { "reverted" } else { "" },
            &words,
            Style::Warn,
        );
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
    let held = live::hold(detail.application).is_some();
    for condition in status
        .conditions
        .iter()
        .filter(|condition| Some(text::one_line(&condition.message).as_str()) != said)
        .filter(|condition| !(held && condition.condition_type == condition::HELD_WARNING))
        // Beside the policy.
        .filter(|condition| condition.condition_type != condition::PAUSED_WARNING)
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
