//! Whether an application is paused, by whom, why and until when: as the agent says, else as its
//! annotations say.

use std::fmt::Write as _;

use gitops_api::constants::{annotation, condition};
use gitops_api::{Application, Pause, Time};
use gitops_core::reason as agent;
use gitops_core::sync::pause;
use gitops_core::sync::pause::Paused;
use gitops_kit::text;
use jiff::Timestamp;

use crate::status::live::moment;

/// Whether the Application carries Argo CD's annotation that leaves it alone.
pub fn is_skipped(application: &Application) -> bool {
    let annotations = application.metadata.annotations.as_ref();
    let skipped = annotations.and_then(|all| all.get(annotation::SKIP_RECONCILE));
    skipped.is_some_and(|value| value == "true")
}

/// The pause in force.
pub fn of(application: &Application, now: Timestamp) -> Option<Paused> {
    let annotations = application.metadata.annotations.as_ref();
    let own = annotations.and_then(|all| all.get(annotation::PAUSED));
    let own = pause::judge(own.map(String::as_str), None, now);
    own.or_else(|| told(application, now).filter(|paused| paused.everything))
}

/// The pause that the agent says is in force.
pub fn told(application: &Application, now: Timestamp) -> Option<Paused> {
    let status = application.status.as_ref()?;
    let mut conditions = status.conditions.iter();
    let told = conditions.find(|found| found.condition_type == condition::PAUSED_WARNING)?;
    let agent::Reason::Paused {
        by,
        why,
        since,
        until,
        everything,
    } = agent::of_condition(status, told)
    else {
        return None;
    };
    if until.is_some_and(|until| until <= now) {
        return None;
    }
    let pause = Pause {
        by,
        reason: why,
        since: since.map(Time),
        until: until.map(Time),
        ..Pause::default()
    };
    Some(Paused { pause, everything })
}

/// `paused by ana 5m ago until 18:00 UTC: INC-7`
pub fn in_words(paused: &Paused, now: Timestamp) -> String {
    let mut words = if paused.everything {
        "paused with all applications".to_owned()
    } else {
        "paused".to_owned()
    };
    let pause = &paused.pause;
    if !pause.by.is_empty() {
        _ = write!(words, " by {}", pause.by);
    }
    if let Some(since) = &pause.since {
        _ = write!(words, " {} ago", text::age(since.0, now));
    }
    if let Some(until) = &pause.until {
        _ = write!(words, " until {}", moment(until.0, now));
    }
    if !pause.reason.is_empty() {
        _ = write!(words, ": {}", pause.reason);
    }
    text::one_line(&words)
}

/// The same, or that Argo CD's annotation leaves it alone; `None` when neither is so.
pub fn summary(application: &Application, now: Timestamp) -> Option<String> {
    match of(application, now) {
        Some(paused) => Some(in_words(&paused, now)),
        None if is_skipped(application) => Some(format!(
            "paused ({}): not even compared",
            annotation::SKIP_RECONCILE
        )),
        None => None,
    }
}
