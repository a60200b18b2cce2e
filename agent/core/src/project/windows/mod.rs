//! Sync windows of an AppProject: whether an application may be synced now, and if not, when.
//!
//! The rules are Argo CD's ("Sync Windows"), but with true local times: it takes the offset of the
//! present moment for every other one. Time and the time zones' rules are given; nothing here
//! waits or syncs.

mod schedule;

use std::fmt::Write as _;

use gitops_api::ApplicationDestination;
use gitops_api::project::SyncWindow;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use self::schedule::Schedule;
use super::destinations::Cluster;
use crate::reason::{Reason, RequestedBy};
use crate::{duration, glob};

/// Most openings and closings that are looked at for the next time a sync may be.
const MOST_STEPS: usize = 500;

/// Who wants to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The agent itself.
    Automatically,
    /// A person.
    ByHand,
}

/// Whether a sync may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one verdict per reconciliation, taken apart at once"
)]
pub enum Verdict {
    /// It may.
    Open,
    /// It may not.
    Closed(Closed),
}

/// Why a sync may not be, and when it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The windows in the way and the next opening.
    pub reason: Reason,
    /// When it may, as far as can be seen.
    pub opens: Option<Timestamp>,
    /// When to ask again, if no opening can be seen but one may come.
    pub ask_again: Option<Timestamp>,
}

/// The windows of a project that are for one application.
#[derive(Clone, Debug)]
pub struct Windows {
    project: String,
    readable: Vec<Window>,
    invalid: Vec<String>,
    cautions: Vec<String>,
}

#[derive(Clone, Debug)]
struct Window {
    denies: bool,
    manual_sync: bool,
    overrun: bool,
    schedule: Schedule,
    duration: SignedDuration,
    zone: TimeZone,
    /// As the project has it.
    shown: String,
}

impl Windows {
    /// The windows that match an application: by any of its name, namespace and cluster, or, with
    /// `andOperator`, by all that the window names. `zone` finds a time zone by its name.
    pub fn of(
        project: &str,
        windows: &[SyncWindow],
        application: &str,
        destination: &ApplicationDestination,
        zone: impl Fn(&str) -> Option<TimeZone>,
    ) -> Self {
        let mut found = Self {
            project: project.into(),
            readable: Vec::new(),
            invalid: Vec::new(),
            cautions: Vec::new(),
        };
        for (place, window) in windows.iter().enumerate() {
            let shown = describe(window);
            match matches(window, application, destination) {
                Ok(true) => {}
                Ok(false) => continue,
                // It may be for this application, whether it keeps syncs away or lets them pass.
                Err(problem) => {
                    found.invalid.push(format!(
                        "spec.syncWindows[{place}] of project {project}, {shown}: {problem}"
                    ));
                    continue;
                }
            }
            let zone = match window.time_zone.as_str() {
                "" => TimeZone::UTC,
                name => zone(name).unwrap_or_else(|| {
                    // As Argo CD does; but it says nothing.
                    found.cautions.push(format!(
                        "spec.syncWindows[{place}] of project {project}, {shown}: there is no \
                         time zone \"{name}\"; UTC is used"
                    ));
                    TimeZone::UTC
                }),
            };
            match Window::read(window, zone, shown.clone()) {
                Ok(window) => found.readable.push(window),
                Err(problem) => found.invalid.push(format!(
                    "spec.syncWindows[{place}] of project {project}, {shown}: {problem}"
                )),
            }
        }
        found
    }

    /// What is wrong with the windows: those that cannot be read and so keep the application from
    /// being synced, and those read otherwise than meant.
    pub fn problems(&self) -> impl Iterator<Item = Reason> {
        let problems = self.invalid.iter().chain(&self.cautions).cloned();
        problems.map(|detail| Reason::SyncWindowProblem { detail })
    }

    /// Whether a sync may be at a moment. `began`: when it began, if it is under way.
    pub fn judge(&self, asked: Asked, began: Option<Timestamp>, now: Timestamp) -> Verdict {
        if let Some(problem) = self.invalid.first() {
            // Nobody can know what it was to keep away (Argo CD refuses too).
            return Verdict::Closed(Closed {
                reason: Reason::SyncWindowInvalid {
                    detail: problem.clone(),
                },
                opens: None,
                ask_again: None,
            });
        }
        let in_the_way = self.in_the_way(asked, began, now);
        if in_the_way.is_empty() {
            return Verdict::Open;
        }
        let (opens, ask_again) = self.opening(asked, began, now);
        let by = match (began, asked) {
            (Some(_), _) => RequestedBy::RunningSync,
            (None, Asked::Automatically) => RequestedBy::Automation,
            (None, Asked::ByHand) => RequestedBy::User,
        };
        let windows = in_the_way.iter().map(|window| window.shown.clone());
        Verdict::Closed(Closed {
            reason: Reason::SyncWindow {
                by,
                project: self.project.clone(),
                windows: windows.collect(),
                denied: in_the_way[0].denies,
                opens,
            },
            opens,
            ask_again,
        })
    }

    /// The windows that keep a sync away; none when it may be (Argo CD, `CanSync`).
    fn in_the_way(&self, asked: Asked, began: Option<Timestamp>, now: Timestamp) -> Vec<&Window> {
        let (open, shut): (Vec<_>, Vec<_>) =
            self.readable.iter().partition(|window| window.is_open(now));
        let denying: Vec<_> = open
            .iter()
            .copied()
            .filter(|window| window.denies)
            .collect();
        let in_the_way = if !denying.is_empty() {
            denying
        } else if open.is_empty() {
            shut.into_iter().filter(|window| !window.denies).collect()
        } else {
            Vec::new()
        };
        let all = |allows: fn(&Window) -> bool| in_the_way.iter().all(|window| allows(window));
        let by_hand = asked == Asked::ByHand && all(|window| window.manual_sync);
        // One that began while it was allowed may go on.
        let overruns = all(|window| window.overrun)
            && began
                .is_some_and(|began| began < now && self.in_the_way(asked, None, began).is_empty());
        if by_hand || overruns {
            return Vec::new();
        }
        in_the_way
    }

    /// The next moment a sync may be, or the last one looked at.
    fn opening(
        &self,
        asked: Asked,
        began: Option<Timestamp>,
        now: Timestamp,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let mut moment = now;
        for _ in 0..MOST_STEPS {
            let changes = self
                .readable
                .iter()
                .filter_map(|window| window.change(moment));
            let Some(next) = changes.min() else {
                return (None, None);
            };
            moment = next;
            if self.in_the_way(asked, began, moment).is_empty() {
                return (Some(moment), None);
            }
        }
        (None, Some(moment))
    }
}

impl Window {
    fn read(window: &SyncWindow, zone: TimeZone, shown: String) -> Result<Self, String> {
        let denies = match window.kind.as_str() {
            "deny" => true,
            "allow" => false,
            other => return Err(format!("kind \"{other}\" is neither allow nor deny")),
        };
        let schedule = Schedule::parse(&window.schedule)
            .map_err(|problem| format!("schedule \"{}\": {problem}", window.schedule))?;
        // Seconds without a unit are no duration here, as in Argo CD.
        if window.duration.parse::<f64>().is_ok() {
            return Err(format!(
                "duration \"{}\" has no unit, as in 8h",
                window.duration
            ));
        }
        let duration = duration::parse(&window.duration)
            .map_err(|error| error.to_string())
            .and_then(|duration| {
                SignedDuration::try_from(duration).map_err(|error| error.to_string())
            })
            .map_err(|problem| format!("duration: {problem}"))?;
        if duration.is_zero() {
            return Err("duration: it is zero".into());
        }
        Ok(Self {
            denies,
            manual_sync: window.manual_sync,
            overrun: window.sync_overrun,
            schedule,
            duration,
            zone,
            shown,
        })
    }

    fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        let opened = self.schedule.last(now, &self.zone)?;
        let closes = opened.checked_add(self.duration).unwrap_or(Timestamp::MAX);
        (now < closes).then_some(closes)
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.closes(now).is_some()
    }

    /// The next moment at which it may open or close.
    fn change(&self, now: Timestamp) -> Option<Timestamp> {
        [self.closes(now), self.schedule.next(now, &self.zone)]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Whether a window is for an application. An error when that hangs on a pattern that cannot be
/// read: the window's other patterns neither match nor rule it out.
fn matches(
    window: &SyncWindow,
    application: &str,
    destination: &ApplicationDestination,
) -> Result<bool, String> {
    let cluster = Cluster::of(destination);
    let fields: [(&str, &[String], [&str; 2]); 3] = [
        ("applications", &window.applications, [application, ""]),
        (
            "namespaces",
            &window.namespaces,
            [&destination.namespace, ""],
        ),
        ("clusters", &window.clusters, [cluster.server, cluster.name]),
    ];
    let named = fields
        .into_iter()
        .filter(|(_, patterns, _)| !patterns.is_empty())
        .map(|(field, patterns, texts)| any_matches(field, patterns, texts));
    let mut unreadable = None;
    let mut seen = false;
    for matched in named {
        seen = true;
        match matched {
            Ok(matched) if matched != window.and_operator => return Ok(matched),
            Ok(_) => {}
            Err(problem) => unreadable = unreadable.or(Some(problem)),
        }
    }
    match unreadable {
        Some(problem) => Err(problem),
        None => Ok(seen && window.and_operator),
    }
}

/// Whether some pattern matches some text; an error when none does and one cannot be read.
fn any_matches(field: &str, patterns: &[String], texts: [&str; 2]) -> Result<bool, String> {
    let mut unreadable = None;
    for (place, pattern) in patterns.iter().enumerate() {
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            match glob::matches(pattern, text) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => {
                    unreadable = Some(format!("{field}[{place}] cannot be read: {error}"));
                }
            }
        }
    }
    unreadable.map_or(Ok(false), Err)
}

/// A window as people know it.
fn describe(window: &SyncWindow) -> String {
    let zone = match window.time_zone.as_str() {
        "" => "UTC",
        name => name,
    };
    let mut text = format!(
        "{} window \"{}\" {zone} for {}",
        window.kind, window.schedule, window.duration
    );
    if !window.description.is_empty() {
        let _ = write!(text, " ({})", window.description);
    }
    text
}

#[cfg(test)]
mod tests;
