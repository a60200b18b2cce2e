//! What a sync will do, from what the last comparison found; and how it is shown.

use gitops_api::{Application, HealthStatusCode, ResourceStatus, SyncStatusCode};
use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::status::drift;
use jiff::Timestamp;

use crate::commands::sync::operation::SyncRequest;
use crate::commands::sync::state;

/// What a sync does with one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is not in the cluster.
    Create,
    /// It differs.
    Change,
    /// It is no longer in Git and is deleted.
    Prune,
    /// It is no longer in Git and stays, because pruning was not asked for.
    Keep,
}

/// What a sync of one Application will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name of the Application.
    pub name: String,
    /// What is synced: the target and the revision it was compared to.
    pub to: String,
    /// Objects that are not as Git says.
    pub objects: Vec<Planned>,
    /// The plan is for a revision other than the one compared: what it changes is not known.
    pub unknown: bool,
    /// Age of the comparison.
    pub compared: Option<Timestamp>,
}

/// One object of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What happens to it.
    pub step: Step,
    /// `Deployment/web`.
    pub name: String,
    /// Why, in a few words.
    pub why: String,
    /// It was delivered once, and changed or deleted in the cluster since.
    pub drifted: bool,
}

impl Plan {
    /// Plans a sync.
    pub fn of(
        application: &Application,
        request: &SyncRequest,
        now: Timestamp,
        unicode: bool,
    ) -> Self {
        let status = application.status.as_ref();
        let compared = state::compared(application);
        let unknown = request.revision.as_deref().is_some_and(|wanted| {
            compared
                .first()
                .is_none_or(|found| !found.starts_with(wanted))
        });
        let to = match (&request.revision, compared.as_slice()) {
            (Some(revision), _) => text::one_line(text::short_revision(revision)),
            (None, []) => "what Git says".to_owned(),
            (None, found) => {
                let source = application.spec.effective_sources().first();
                let target = source
                    .map(|source| source.target_revision.as_str())
                    .filter(|target| !target.is_empty() && !found[0].starts_with(target));
                let target = target.unwrap_or("HEAD");
                text::one_line(&format!("{target} at {}", state::spell(found)))
            }
        };
        let objects = status
            .iter()
            .flat_map(|status| &status.resources)
            .filter(|resource| !resource.hook && request.includes(resource))
            .filter_map(|resource| planned(resource, request.prune, now, unicode))
            .collect();
        Self {
            name: text::one_line(state::name(application).1),
            to,
            objects,
            unknown,
            compared: status
                .and_then(|status| status.reconciled_at.as_ref())
                .map(|time| time.0),
        }
    }

    /// Names of the objects that will be deleted.
    pub fn pruned(&self) -> Vec<&str> {
        self.objects
            .iter()
            .filter(|planned| planned.step == Step::Prune)
            .map(|planned| planned.name.as_str())
            .collect()
    }

    /// The question before objects are deleted; `None` when none are.
    pub fn question(&self) -> Option<String> {
        let pruned = self.pruned();
        match pruned.as_slice() {
            [] => None,
            [one] => Some(format!("{}: delete {one}?", self.name)),
            many => Some(format!("{}: delete {} objects?", self.name, many.len())),
        }
    }
}

fn planned(
    resource: &ResourceStatus,
    prune: bool,
    now: Timestamp,
    unicode: bool,
) -> Option<Planned> {
    if resource.status != Some(SyncStatusCode::OutOfSync) {
        return None;
    }
    let missing = resource
        .health
        .as_ref()
        .is_some_and(|health| health.status == HealthStatusCode::Missing);
    let (step, why) = if resource.requires_pruning && !resource.hook {
        let step = if prune { Step::Prune } else { Step::Keep };
        let why = match (prune, resource.requires_deletion_confirmation) {
            (true, false) => "no longer in Git",
            (true, true) => "no longer in Git; waits for its deletion to be confirmed",
            (false, _) => "no longer in Git; stays without --prune",
        };
        (step, why.to_owned())
    } else if missing {
        (Step::Create, "not in the cluster".to_owned())
    } else {
        let why = match resource.drift.as_slice() {
            [] => "differs from Git".to_owned(),
            [field] => drift::in_short(field, now, unicode),
            [field, rest @ ..] => format!(
                "{} (+{} more)",
                drift::in_short(field, now, unicode),
                rest.len()
            ),
        };
        (Step::Change, why)
    };
    Some(Planned {
        step,
        name: drift::object_name(resource),
        why,
        drifted: !resource.drift.is_empty(),
    })
}

/// The plan as it is shown.
pub fn screen(plan: &Plan, now: Timestamp, view: &View) -> String {
    let mut output = String::new();
    let mut line = |pieces: &[(&str, Style)]| {
        let mut left = view.width.unwrap_or(usize::MAX);
        for (piece, style) in pieces {
            let piece = text::cut(piece, left, view.unicode);
            left = left.saturating_sub(text::width(&piece));
            output.push_str(&style.apply(&piece, view.color));
        }
        output.push('\n');
    };
    line(&[
        (&plan.name, Style::Bold),
        (&format!(": sync to {}", plan.to), Style::Plain),
    ]);
    if plan.unknown {
        let see = format!(
            "  what it changes was not compared yet; see it with: kubectl gitops diff {} --revision {}",
            plan.name, plan.to
        );
        line(&[(&see, Style::Dim)]);
        return output;
    }
    let widest = plan
        .objects
        .iter()
        .map(|planned| text::width(&planned.name))
        .max()
        .unwrap_or(0);
    for planned in &plan.objects {
        let (sign, style) = match planned.step {
            Step::Create => ("+", Style::Good),
            Step::Change => ("~", Style::Warn),
            Step::Prune => ("-", Style::Bad),
            Step::Keep => (" ", Style::Dim),
        };
        let fill = " ".repeat(widest - text::width(&planned.name));
        line(&[
            (&format!("  {sign} "), style),
            (&planned.name, Style::Plain),
            (&format!("{fill}  {}", planned.why), Style::Dim),
        ]);
    }
    let count = |step: Step| {
        plan.objects
            .iter()
            .filter(|planned| planned.step == step)
            .count()
    };
    let mut parts = Vec::new();
    for (step, words) in [
        (Step::Create, "to create"),
        (Step::Change, "to change"),
        (Step::Prune, "to delete"),
        (Step::Keep, "to leave that Git no longer has"),
    ] {
        if count(step) > 0 {
            parts.push(format!("{} {words}", count(step)));
        }
    }
    let age = plan.compared.map_or(String::new(), |compared| {
        format!(", compared {} ago", text::age(compared, now))
    });
    let sum = if parts.is_empty() {
        format!("  nothing differs{age}")
    } else {
        format!("  {}{age}", parts.join(", "))
    };
    line(&[(&sum, Style::Plain)]);
    output
}
