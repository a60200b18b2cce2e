//! Which revision to go back to, from what is known of earlier deliveries.

use std::convert::Infallible;
use std::str::FromStr;

use gitops_api::constants::condition;
use gitops_api::status::{ApplicationCondition, RevisionHistory};
use gitops_api::{Application, ApplicationSource};
use gitops_core::report::good;
use gitops_core::report::good::Verdict;
use gitops_kit::text;
use gitops_kit::text::short_revision;
use jiff::Timestamp;

/// What the user asked to go back to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The newest delivery that worked and is not what is tracked now.
    #[default]
    LastHealthy,
    /// So many different deliveries back, whether they worked or not.
    Back(usize),
    /// A delivery's number, or a revision that looks like one.
    Number(i64),
    /// A commit, tag or branch.
    Revision(String),
}

impl FromStr for Wanted {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "" | "@{last-healthy}" | "last-healthy" => Self::LastHealthy,
            _ => match text.parse::<i64>() {
                Ok(number) if number < 0 => {
                    Self::Back(usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX))
                }
                Ok(number) => Self::Number(number),
                Err(_) => Self::Revision(text.to_owned()),
            },
        })
    }
}

/// What is tracked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracked<'a> {
    /// It renders to this digest.
    Renders(&'a str),
    /// It does not render.
    Broken,
}

/// Where to go back to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// One revision a source; an empty one stays as it is tracked.
    pub revisions: Vec<String>,
    /// The revision of the first Git source.
    pub revision: String,
    /// The delivery it was, when it is in the history.
    pub entry: Option<RevisionHistory>,
    /// Why this one, for users: `last Synced and Healthy`.
    pub because: String,
}

impl Target {
    /// When it was found synced and healthy.
    pub fn healthy_at(&self) -> Option<Timestamp> {
        let entry = self.entry.as_ref()?;
        entry.healthy_at.as_ref().map(|time| time.0)
    }
}

/// The digest of what is tracked now, as far as the status tells: known when what was delivered
/// last is the tracked revision.
pub fn tracked_digest(application: &Application) -> Option<&str> {
    let status = application.status.as_ref()?;
    let newest = status.history.last()?;
    let sync = status.sync.as_ref()?;
    // What was compared last is not what is followed when that does not render.
    let blocked = |found: &ApplicationCondition| {
        found.is_error() && found.condition_type != condition::SYNC_ERROR
    };
    if status.tracked.is_some() || status.conditions.iter().any(blocked) {
        return None;
    }
    let compared = sync.compared_revisions();
    let held = application
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key(gitops_api::constants::annotation::HOLD));
    let same = revisions_of(newest) == compared;
    (same && !held && !newest.desired_digest.is_empty()).then_some(newest.desired_digest.as_str())
}

/// One revision a source.
pub fn revisions_of(entry: &RevisionHistory) -> &[String] {
    if entry.revisions.is_empty() {
        std::slice::from_ref(&entry.revision)
    } else {
        &entry.revisions
    }
}

/// Chooses. The error says, for users, why there is nothing to go back to.
pub fn choose(
    application: &Application,
    wanted: &Wanted,
    tracked: Tracked<'_>,
    now: Timestamp,
) -> Result<Target, String> {
    let history = application
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.history);
    let sources = application.spec.effective_sources();
    let of = |entry: &RevisionHistory, because: String| of_entry(sources, entry, because);
    match wanted {
        Wanted::LastHealthy => {
            let differs = |entry: &&RevisionHistory| match tracked {
                Tracked::Renders(digest) => entry.desired_digest != digest,
                Tracked::Broken => true,
            };
            let healthy: Vec<&RevisionHistory> = history
                .iter()
                .rev()
                .filter(|entry| entry.healthy_at.is_some() && !entry.desired_digest.is_empty())
                .filter(differs)
                .collect();
            // One that broke later may break again.
            let lasting = healthy.iter().find(|entry| !broke(entry, history, now));
            match (lasting, healthy.first()) {
                (Some(entry), _) => Ok(of(entry, because(entry, history, now))),
                (None, Some(entry)) => Ok(of(
                    entry,
                    "last Synced and Healthy, but it broke later".to_owned(),
                )),
                (None, None) => Err(no_healthy(history)),
            }
        }
        Wanted::Back(steps) => {
            let different = different_deliveries(history, tracked);
            match steps.checked_sub(1).and_then(|index| different.get(index)) {
                Some(entry) => Ok(of(entry, format!("{steps} back"))),
                None => Err(format!(
                    "the history goes back {} different deliveries, not {steps}",
                    different.len()
                )),
            }
        }
        Wanted::Number(number) => match history.iter().find(|entry| entry.id == *number) {
            Some(entry) => Ok(of(entry, "as you asked".to_owned())),
            // No commit is named by so few digits.
            None if number.to_string().len() < 4 => Err(no_number(history, *number)),
            None => Ok(of_revision(sources, history, &number.to_string())),
        },
        Wanted::Revision(revision) => Ok(of_revision(sources, history, revision)),
    }
}

/// Whether what an entry delivered did not stay healthy: in this deployment, or in another of the same.
fn broke(entry: &RevisionHistory, history: &[RevisionHistory], now: Timestamp) -> bool {
    let same =
        |(_, other): &(usize, &RevisionHistory)| other.desired_digest == entry.desired_digest;
    let mut deployments = history.iter().enumerate().filter(same);
    deployments.any(|(place, other)| match good::judge(history, place, now) {
        Verdict::Good { .. } | Verdict::Proving { .. } => false,
        Verdict::Lost { .. } => true,
        Verdict::Never => other.id == entry.id || other.degraded_at.is_some(),
    })
}

/// Why one that stayed healthy is chosen.
fn because(entry: &RevisionHistory, history: &[RevisionHistory], now: Timestamp) -> String {
    let place = history.iter().position(|other| other.id == entry.id);
    match place.map(|place| good::judge(history, place, now)) {
        Some(Verdict::Proving { since, .. }) => {
            format!("Synced and Healthy for {} so far", text::age(since, now))
        }
        _ => "last Synced and Healthy".to_owned(),
    }
}

/// Says which numbers there are.
fn no_number(history: &[RevisionHistory], number: i64) -> String {
    match (history.first(), history.last()) {
        (Some(first), Some(last)) => format!(
            "there is no deployment {number}: the history has {} to {}",
            first.id, last.id
        ),
        _ => format!("there is no deployment {number}: the history is empty"),
    }
}

/// Newest first, without repetitions and without what is tracked now.
fn different_deliveries<'a>(
    history: &'a [RevisionHistory],
    tracked: Tracked<'_>,
) -> Vec<&'a RevisionHistory> {
    let mut last = match tracked {
        Tracked::Renders(digest) => digest,
        Tracked::Broken => "",
    };
    let mut found = Vec::new();
    for entry in history.iter().rev() {
        if entry.desired_digest.is_empty() || entry.desired_digest != last {
            found.push(entry);
        }
        last = &entry.desired_digest;
    }
    found
}

fn of_entry(sources: &[ApplicationSource], entry: &RevisionHistory, because: String) -> Target {
    let mut revisions = revisions_of(entry).to_vec();
    revisions.resize(sources.len().max(1), String::new());
    let first = sources
        .iter()
        .position(|source| source.chart.is_empty())
        .unwrap_or(0);
    // The version of a chart is not in Git's files: what the Application says now stays.
    for (revision, source) in revisions.iter_mut().zip(sources) {
        if !source.chart.is_empty() {
            revision.clear();
        }
    }
    Target {
        revision: revisions.get(first).cloned().unwrap_or_default(),
        revisions,
        entry: Some(entry.clone()),
        because,
    }
}

fn of_revision(
    sources: &[ApplicationSource],
    history: &[RevisionHistory],
    revision: &str,
) -> Target {
    let first = sources
        .iter()
        .position(|source| source.chart.is_empty())
        .unwrap_or(0);
    let prefix = revision.to_ascii_lowercase();
    let looks_short =
        (4..=64).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    let entry = history.iter().rev().find(|entry| {
        let there = revisions_of(entry).get(first).map_or("", String::as_str);
        there == revision || (looks_short && there.starts_with(&prefix))
    });
    let full = entry
        .and_then(|entry| revisions_of(entry).get(first))
        .map_or(revision, String::as_str);
    Target {
        revisions: at_one_revision(sources, full),
        revision: full.to_owned(),
        entry: entry.cloned(),
        because: "as you asked".to_owned(),
    }
}

/// All sources of the first Git source's repository at one revision, the others as they are.
pub fn at_one_revision(sources: &[ApplicationSource], revision: &str) -> Vec<String> {
    let repository = sources
        .iter()
        .find(|source| source.chart.is_empty())
        .map(|source| gitops_core::source::normalize(&source.repo_url));
    let of = |source: &ApplicationSource| {
        let same = source.chart.is_empty()
            && Some(gitops_core::source::normalize(&source.repo_url)) == repository;
        if same {
            revision.to_owned()
        } else {
            String::new()
        }
    };
    sources.iter().map(of).collect()
}

fn no_healthy(history: &[RevisionHistory]) -> String {
    if history.is_empty() {
        return "nothing was ever delivered: there is nothing to go back to".to_owned();
    }
    let healthy = history
        .iter()
        .rev()
        .find(|entry| entry.healthy_at.is_some());
    match healthy {
        Some(entry) => format!(
            "the only delivery that was found Synced and Healthy is {}, which is what is tracked \
             now",
            short_revision(revisions_of(entry).first().map_or("", String::as_str))
        ),
        None => format!(
            "none of the {} deliveries in the history was ever found Synced and Healthy",
            history.len()
        ),
    }
}

#[cfg(test)]
mod tests;
