//! What cannot be read is no wish to delete: a file that held objects when it was last delivered, and
//! holds nothing that can be read now, fails the render, so that nothing of it is pruned.

use gitops_api::Application;
use gitops_core::source::revision::short;
use gitops_render::RenderError;

use crate::applications::source_error::SourceError;
use crate::applications::sources::resolved::ResolvedSource;
use crate::applications::sources::revisions;

/// Fails for the first file of `without` (files that hold no objects now) that held some in the
/// commit that was delivered last. A commit that is not at hand cannot be asked and says nothing.
pub(super) fn check(
    app: &Application,
    place: usize,
    source: &ResolvedSource,
    without: &[String],
) -> Result<(), SourceError> {
    let Some(checkout) = source.checkout.as_ref().filter(|_| !without.is_empty()) else {
        return Ok(());
    };
    let deployed = revisions::deployed(app, place);
    let Some((_, last)) = deployed
        .last()
        .filter(|(before, _)| before.repo_url == source.spec.repo_url)
    else {
        return Ok(());
    };
    let Ok(before) = checkout.mirror.snapshot(last) else {
        return Ok(());
    };
    let held_objects = |path: &&String| {
        let content = before.read(path).unwrap_or_default();
        looks_like_objects(&content)
    };
    match without.iter().find(held_objects) {
        None => Ok(()),
        Some(path) => Err(RenderError::Invalid {
            path: path.clone(),
            line: None,
            message: format!(
                "{path}: it held objects in {}, which was delivered last, and holds nothing now that can be read as one (empty, cut off, or encrypted?); nothing of it is deleted. Restore the file, or delete it if its objects are to go",
                short(last)
            ),
        }
        .into()),
    }
}

/// Whether a file's bytes have the fields of an object, in YAML or JSON; comments have none.
fn looks_like_objects(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let has = |field: &str| {
        text.lines().any(|line| {
            let line = line.trim_start();
            !line.starts_with('#') && line.contains(field)
        })
    };
    ["apiVersion", "kind", "metadata"]
        .iter()
        .all(|field| has(field))
}

#[cfg(test)]
mod tests {
    use super::looks_like_objects;

    #[test]
    fn objects_are_told_from_other_files() {
        for (content, expected) in [
            (
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
                true,
            ),
            (
                "---\n# a comment\napiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n",
                true,
            ),
            (
                r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#,
                true,
            ),
            (
                "# apiVersion: v1\n# kind: ConfigMap\n# metadata: {name: a}\n",
                false,
            ),
            ("replicas: 3\nimage: web\n", false),
            ("", false),
            (
                "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n",
                false,
            ),
        ] {
            assert_eq!(
                looks_like_objects(content.as_bytes()),
                expected,
                "{content}"
            );
        }
        assert!(!looks_like_objects(b"\0GITCRYPT\0\xff\xfe"));
    }
}
