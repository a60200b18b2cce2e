//! Arithmetic on paths that users wrote: relative to a directory, or to the root with a leading slash, with `.` and
//! `..`. It works on text only; where links lead is decided when a path is read.

/// A path left the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Escapes;

/// Resolves `path` from `base` (a clean path from the root); a leading slash starts at the root.
pub(crate) fn join(base: &str, path: &str) -> Result<String, Escapes> {
    let start = if path.starts_with('/') { "" } else { base };
    let mut names: Vec<&str> = start.split('/').filter(|name| !name.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop().ok_or(Escapes)?;
            }
            name => names.push(name),
        }
    }
    Ok(names.join("/"))
}

/// The path for messages.
pub(crate) fn shown(path: &str) -> &str {
    if path.is_empty() {
        "the repository's root"
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::{Escapes, join};

    #[test]
    fn paths_are_resolved_inside_the_tree() {
        for (base, path, expected) in [
            ("", "", Ok("")),
            ("", ".", Ok("")),
            ("", "./apps/web/", Ok("apps/web")),
            ("apps/web", "values.yaml", Ok("apps/web/values.yaml")),
            ("apps/web", "../base//x", Ok("apps/base/x")),
            ("apps/web", "../..", Ok("")),
            ("apps/web", "/shared/v.yaml", Ok("shared/v.yaml")),
            ("apps/web", "../../..", Err(Escapes)),
            ("apps", "/../x", Err(Escapes)),
            ("", "a/../../a", Err(Escapes)),
        ] {
            assert_eq!(
                join(base, path),
                expected.map(str::to_owned),
                "{base} + {path}"
            );
        }
    }
}
