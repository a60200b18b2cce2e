//! Which files `helm.valueFiles` and `helm.fileParameters` mean: relative to the application's directory, from the root
//! with a leading slash, or `$ref/…` in another source's repository; with globs in value files. Rules and order are
//! Argo CD's: a glob's files come in lexical order, each file once, and a file that is also named outright keeps the
//! place it is named at.

use globset::GlobBuilder;

use crate::environment::Environment;
use crate::error::RenderError;
use crate::message::FileReference;
use crate::path::join;
use crate::reader::{ListedKind, Place};
use crate::trees::{OWN, Trees};

/// Directories deeper than this are not searched by `**`.
const MAX_DEPTH: usize = 32;

/// Where a value file is looked for.
pub(crate) struct Resolver<'a> {
    pub(crate) trees: &'a mut Trees,
    pub(crate) environment: &'a Environment,
    /// The application's directory.
    pub(crate) directory: &'a str,
}

impl Resolver<'_> {
    /// The tree and clean path one entry means; the path may still be a pattern.
    pub(crate) fn locate(&self, field: &str, written: &str) -> Result<FileReference, RenderError> {
        if written.contains("://") {
            return Err(RenderError::Unsupported {
                message: format!(
                    "{field}: {written} is a URL, and remote value files are not fetched; commit the file, or give its repository a source with a ref and use $ref/path"
                ),
            });
        }
        let escapes = |_| RenderError::PathEscapes {
            field: field.to_owned(),
            path: written.to_owned(),
        };
        let (first, rest) = written.split_once('/').unwrap_or((written, ""));
        if first.starts_with('$') && self.trees.has(first) {
            let path = join("", &self.environment.substitute(rest)).map_err(escapes)?;
            return Ok(FileReference {
                tree: first.to_owned(),
                path,
            });
        }
        if let Some(name) = first.strip_prefix('$')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            && !self.environment.knows(name)
        {
            return Err(RenderError::BadRequest {
                message: format!(
                    "{field}: {written} starts with {first}, but no source has ref: {name}; add that source to spec.sources"
                ),
            });
        }
        let path = join(self.directory, &self.environment.substitute(written)).map_err(escapes)?;
        Ok(FileReference {
            tree: OWN.to_owned(),
            path,
        })
    }

    /// Every value file, in order.
    pub(crate) fn value_files(
        &mut self,
        entries: &[String],
        ignore_missing: bool,
    ) -> Result<Vec<FileReference>, RenderError> {
        const FIELD: &str = "spec.source.helm.valueFiles";
        let located = entries
            .iter()
            .map(|entry| Ok((entry, self.locate(FIELD, entry)?)))
            .collect::<Result<Vec<_>, RenderError>>()?;
        let named: Vec<FileReference> = located
            .iter()
            .filter(|(_, file)| !is_pattern(&file.path))
            .map(|(_, file)| file.clone())
            .collect();
        let mut files: Vec<FileReference> = Vec::new();
        for (entry, file) in located {
            if is_pattern(&file.path) {
                let found = self.expand(FIELD, entry, &file)?;
                if found.is_empty() && !ignore_missing {
                    return Err(missing(FIELD, entry, &file.path, "matches no file"));
                }
                for file in found {
                    if !named.contains(&file) && !files.contains(&file) {
                        files.push(file);
                    }
                }
                continue;
            }
            match self.trees.stat(&file.tree, &file.path)? {
                // Named twice is merged twice, as Helm does.
                Place::File { .. } => files.push(file),
                Place::Absent if ignore_missing => {}
                Place::Absent => return Err(missing(FIELD, entry, &file.path, "does not exist")),
                Place::Directory { .. } => {
                    return Err(RenderError::BadRequest {
                        message: format!(
                            "{FIELD}: {entry} is a directory; name a file in it, or {entry}/*.yaml"
                        ),
                    });
                }
            }
        }
        Ok(files)
    }

    fn expand(
        &mut self,
        field: &str,
        entry: &str,
        file: &FileReference,
    ) -> Result<Vec<FileReference>, RenderError> {
        let elements: Vec<&str> = file.path.split('/').collect();
        let mut paths = Vec::new();
        self.descend(&file.tree, "", &elements, 0, &mut paths)
            .map_err(|error| match error {
                RenderError::BadRequest { message } => RenderError::BadRequest {
                    message: format!("{field}: {entry} is not a glob pattern: {message}"),
                },
                other => other,
            })?;
        paths.sort();
        paths.dedup();
        Ok(paths
            .into_iter()
            .map(|path| FileReference {
                tree: file.tree.clone(),
                path,
            })
            .collect())
    }

    /// Matches one element of a pattern after the other, so that only directories the pattern can reach are listed.
    fn descend(
        &mut self,
        tree: &str,
        directory: &str,
        elements: &[&str],
        depth: usize,
        found: &mut Vec<String>,
    ) -> Result<(), RenderError> {
        let Some((element, rest)) = elements.split_first() else {
            return Ok(());
        };
        if depth > MAX_DEPTH {
            return Ok(());
        }
        let below = |name: &str| {
            if directory.is_empty() {
                name.to_owned()
            } else {
                format!("{directory}/{name}")
            }
        };
        if !is_pattern(element) {
            let path = below(element);
            return match self.trees.stat(tree, &path)? {
                Place::File { .. } if rest.is_empty() => {
                    found.push(path);
                    Ok(())
                }
                Place::Directory { .. } => self.descend(tree, &path, rest, depth + 1, found),
                _ => Ok(()),
            };
        }
        let any_depth = *element == "**";
        if any_depth {
            // Zero directories: the rest of the pattern applies here. At the end `**` means every file below.
            let rest = if rest.is_empty() { &["*"] } else { rest };
            self.descend(tree, directory, rest, depth + 1, found)?;
        }
        let matcher = GlobBuilder::new(element)
            .literal_separator(true)
            .build()
            .map_err(|error| RenderError::BadRequest {
                message: error.kind().to_string(),
            })?
            .compile_matcher();
        let Ok(listed) = self.trees.list(tree, directory)? else {
            return Ok(());
        };
        for item in listed {
            let path = below(&item.name);
            match item.kind {
                ListedKind::Directory if any_depth && !item.link => {
                    self.descend(tree, &path, elements, depth + 1, found)?;
                }
                ListedKind::Directory if !any_depth && matcher.is_match(&item.name) => {
                    self.descend(tree, &path, rest, depth + 1, found)?;
                }
                ListedKind::File
                    if !any_depth && rest.is_empty() && matcher.is_match(&item.name) =>
                {
                    found.push(path);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

fn missing(field: &str, entry: &str, path: &str, what: &str) -> RenderError {
    RenderError::FileMissing {
        path: path.to_owned(),
        message: format!(
            "{field}: {entry} {what} (looked for {path}); correct it, or set ignoreMissingValueFiles: true"
        ),
    }
}
