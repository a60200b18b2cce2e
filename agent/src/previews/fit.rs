//! How much of an answer is kept: whole objects go first, then objects, and what is said besides is
//! bounded.

use gitops_api::preview::{LARGEST_ANSWER, PreviewObject, PreviewStatus};

/// Most warnings, and characters of each.
const MAX_WARNINGS: usize = 50;
const MAX_WARNING: usize = 1000;
/// Most bytes of the paths that were read, of all sources.
const MAX_PATHS: usize = 200 << 10;

/// Keeps an answer within what can be stored.
pub(super) fn fit(status: &mut PreviewStatus) {
    bound(status);
    let size = |object: &PreviewObject| serde_json::to_vec(object).map_or(usize::MAX, |v| v.len());
    let rest = PreviewStatus {
        objects: Vec::new(),
        ..status.clone()
    };
    let mut left =
        LARGEST_ANSWER.saturating_sub(serde_json::to_vec(&rest).map_or(usize::MAX, |v| v.len()));
    let mut kept = Vec::new();
    for mut object in std::mem::take(&mut status.objects) {
        if size(&object) > left {
            object.live = None;
            object.merged = None;
        }
        let size = size(&object);
        if size > left {
            status.truncated += 1;
            continue;
        }
        left -= size;
        kept.push(object);
    }
    status.objects = kept;
}

/// Bounds all that is no object.
fn bound(status: &mut PreviewStatus) {
    if let Some((end, _)) = status.message.char_indices().nth(4 * MAX_WARNING) {
        status.message.truncate(end);
    }
    let more = status.warnings.len().saturating_sub(MAX_WARNINGS);
    status.warnings.truncate(MAX_WARNINGS);
    for warning in &mut status.warnings {
        if let Some((end, _)) = warning.char_indices().nth(MAX_WARNING) {
            warning.truncate(end);
        }
    }
    if more > 0 {
        status.warnings.push(format!("and {more} more warnings"));
    }
    let mut left = MAX_PATHS;
    for input in &mut status.inputs {
        input.paths.retain(|path| {
            let fits = path.len() <= left;
            left = left.saturating_sub(path.len());
            fits
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn an_answer_stays_within_what_can_be_stored() {
        let object = |size: usize| {
            let mut object = PreviewObject {
                kind: "ConfigMap".into(),
                ..PreviewObject::default()
            };
            let text = Value::from("x".repeat(size));
            object.live = Some(Map::from_iter([("text".to_owned(), text)]));
            object
        };
        let mut status = PreviewStatus {
            objects: vec![object(LARGEST_ANSWER), object(10)],
            ..PreviewStatus::default()
        };
        fit(&mut status);
        assert_eq!(status.truncated, 0);
        assert_eq!(
            status
                .objects
                .iter()
                .map(|object| object.live.is_some())
                .collect::<Vec<_>>(),
            [false, true]
        );
        for object in &mut status.objects {
            object.name = "x".repeat(LARGEST_ANSWER);
        }
        status.message = "x".repeat(LARGEST_ANSWER);
        fit(&mut status);
        assert_eq!((status.objects.len(), status.truncated), (0, 2));
        assert!(serde_json::to_vec(&status).unwrap().len() < LARGEST_ANSWER);
    }
}
