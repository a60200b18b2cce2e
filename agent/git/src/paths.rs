//! Paths inside a repository as users write them. Decides which of them can name something:
//! relative, `/`-separated, never above the root. Never looks at a tree, and so says nothing about
//! symbolic links.

use crate::error::GitError;

/// Splits `path` into names. `.`, empty parts and a trailing slash mean nothing; `..` takes the
/// name before it back; going above the root is an error.
pub(crate) fn split(path: &str) -> Result<Vec<&str>, GitError> {
    if path.starts_with('/') {
        return Err(invalid(
            path,
            "it must be relative to the root of the repository",
        ));
    }
    let mut names = Vec::new();
    append(&mut names, path).map_err(|reason| invalid(path, reason))?;
    Ok(names)
}

/// Follows `path` from the directory `names`, as [`split`] does from the root.
pub(crate) fn append<'a>(names: &mut Vec<&'a str>, path: &'a str) -> Result<(), &'static str> {
    if path.contains('\0') {
        return Err("it contains a NUL character");
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                names.pop().ok_or("it leads outside the repository")?;
            }
            name => names.push(name),
        }
    }
    Ok(())
}

pub(crate) fn invalid(path: &str, reason: &str) -> GitError {
    GitError::InvalidPath {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_users_write() {
        let cases: [(&str, Option<&[&str]>); 14] = [
            ("", Some(&[])),
            (".", Some(&[])),
            ("./", Some(&[])),
            ("a", Some(&["a"])),
            ("a/b/", Some(&["a", "b"])),
            ("./a//b/./c", Some(&["a", "b", "c"])),
            ("a/../b", Some(&["b"])),
            ("a/..", Some(&[])),
            ("..a/b..", Some(&["..a", "b.."])),
            ("..", None),
            ("a/../../b", None),
            ("/a", None),
            ("/", None),
            ("a\0b", None),
        ];
        for (path, expected) in cases {
            assert_eq!(split(path).ok().as_deref(), expected, "{path:?}");
        }
    }
}
