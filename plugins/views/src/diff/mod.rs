//! Git against live: the sides, the changed lines, the values.

use gitops_api::preview::{PreviewAction, PreviewCounts, PreviewStatus};

pub mod change;
pub mod sides;
pub mod value;

/// How many objects there are of each sort; counted here when the answer does not say.
pub fn counts(answer: &PreviewStatus) -> PreviewCounts {
    answer.counts.clone().unwrap_or_else(|| {
        let count = |action: PreviewAction| {
            let objects = answer.objects.iter().filter(|o| o.action == action);
            i64::try_from(objects.count()).unwrap_or(i64::MAX)
        };
        PreviewCounts {
            create: count(PreviewAction::Create),
            change: count(PreviewAction::Change),
            prune: count(PreviewAction::Prune),
            refuse: count(PreviewAction::Refuse),
            ..PreviewCounts::default()
        }
    })
}

/// Whether a sync would do anything, or could not.
pub fn is_different(answer: &PreviewStatus) -> bool {
    let counts = counts(answer);
    !answer.objects.is_empty()
        || answer.truncated > 0
        || counts.create + counts.change + counts.prune + counts.refuse > 0
}
