//! A changed field in words: what it is, what Git says, who changed it and when.

use gitops_api::status::HealRecord;
use gitops_api::{FieldDrift, ResourceStatus};
use gitops_kit::text;
use jiff::Timestamp;

/// Longest value in a one-line reason.
const VALUE_COLUMNS: usize = 32;

/// An object as users name it: `Deployment/web`.
pub fn object_name(resource: &ResourceStatus) -> String {
    text::one_line(&format!("{}/{}", resource.kind, resource.name))
}

/// The change in a few words: `.spec.replicas 5≠3 by kubectl-scale 2m ago`.
pub fn in_short(drift: &FieldDrift, now: Timestamp, unicode: bool) -> String {
    let value = |json: &str| text::cut_middle(&text::plain_json(json), VALUE_COLUMNS, unicode);
    let unequal = if unicode { "≠" } else { " != " };
    let what = match (&drift.live, &drift.desired) {
        (Some(live), Some(desired)) => format!("{}{unequal}{}", value(live), value(desired)),
        (None, Some(desired)) => format!("removed, {} in Git", value(desired)),
        (Some(live), None) => format!("{}, not in Git", value(live)),
        (None, None) => "changed".to_owned(),
    };
    format!(
        "{} {what}{}",
        text::one_line(&drift.path),
        culprit(drift, " by ", now)
    )
}

/// What self-heal reverted: `Deployment/shop .spec.replicas 5≠2 by kubectl (2 times), 3s ago`.
pub fn healed(heal: &HealRecord, now: Timestamp, unicode: bool) -> String {
    let age = heal.healed_at.as_ref().map_or_else(String::new, |time| {
        format!(", {} ago", text::age(time.0, now))
    });
    let object = text::one_line(&format!("{}/{}", heal.kind, heal.name));
    format!("{object} {}{age}", what_healed(heal, now, unicode))
}

/// The change that self-heal reverted, and how often.
pub fn what_healed(heal: &HealRecord, now: Timestamp, unicode: bool) -> String {
    let times = match heal.repeated {
        0 => String::new(),
        more => format!(" ({} times)", more + 1),
    };
    let change = match heal.fields.as_slice() {
        [] => "it was deleted".into(),
        [field] => in_short(field, now, unicode),
        [field, rest @ ..] => {
            format!("{} and {} more", in_short(field, now, unicode), rest.len())
        }
    };
    format!("{change}{times}")
}

/// The change with room for its values: `3 → 5`.
pub fn values(drift: &FieldDrift, columns: usize, unicode: bool) -> String {
    let value = |json: &Option<String>, absent: &str| match json {
        Some(json) => text::cut_middle(&text::plain_json(json), columns, unicode),
        None => absent.to_owned(),
    };
    let arrow = if unicode { "→" } else { "->" };
    format!(
        "{} {arrow} {}",
        value(&drift.desired, "(not in Git)"),
        value(&drift.live, "(removed)")
    )
}

/// Who changed it and when, as far as it is known; empty when nothing is.
pub fn culprit(drift: &FieldDrift, before: &str, now: Timestamp) -> String {
    let since = drift
        .since
        .as_ref()
        .map(|since| format!("{} ago", text::age(since.0, now)));
    match (drift.manager.is_empty(), since) {
        (false, Some(since)) => format!("{before}{} {since}", text::one_line(&drift.manager)),
        (false, None) => format!("{before}{}", text::one_line(&drift.manager)),
        (true, Some(since)) => format!(" {since}"),
        (true, None) => String::new(),
    }
}
