//! Which files `helm.valueFiles` and `helm.fileParameters` mean: relative to the application's directory, from the root
//! with a leading slash, `$ref/…` in another source's repository, or an address of another server's; with globs in value files. Rules and order are
//! Argo CD's: a glob's files come in lexical order, each file once, and a file that is also named outright keeps the
//! place it is named at.

use std::collections::BTreeSet;

use gitops_core::glob::{Glob, GlobError, admit};

use crate::environment::Environment;
use crate::error::RenderError;
use crate::message::FileReference;
use crate::path::join;
use crate::reader::{ListedKind, Place};
use crate::remote::{Remote, RemoteKind};
use crate::trees::{OWN, Trees};

/// Longest entry that is shown whole, in characters.
const MAX_SHOWN: usize = 200;

/// Where a value file is looked for.
pub(crate) struct Resolver<'a> {
    pub(crate) trees: &'a mut Trees,
    pub(crate) environment: &'a Environment,
    /// The application's directory.
    pub(crate) directory: &'a str,
    /// Schemes by which a file may be had from another server.
    pub(crate) schemes: &'a [String],
}

impl Resolver<'_> {
    /// The tree and clean path one entry means; the path may still be a pattern.
    pub(crate) fn locate(&self, field: &str, written: &str) -> Result<FileReference, RenderError> {
        if written.contains("://") {
            let remote = self.remote(field, written)?;
            let tree = remote.tree();
            if self.trees.has(&tree) {
                let path = file_name(&remote.url).to_owned();
                return Ok(FileReference { tree, path });
            }
            return Err(RenderError::MissingRemotes {
                message: format!("{field} has {written}, which is not in this repository"),
                remotes: vec![remote],
            });
        }
        let escapes = |_| RenderError::PathEscapes {
            field: field.to_owned(),
            path: written.to_owned(),
        };
        let (first, rest) = written.split_once('/').unwrap_or((written, ""));
        if first.starts_with('$') && self.trees.has(first) {
            let path = join("", &self.environment.substitute(field, rest)?).map_err(escapes)?;
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
        let written = self.environment.substitute(field, written)?;
        let path = join(self.directory, &written).map_err(escapes)?;
        Ok(FileReference {
            tree: OWN.to_owned(),
            path,
        })
    }

    /// What an entry that is an address means.
    fn remote(&self, field: &str, written: &str) -> Result<Remote, RenderError> {
        let url = self.environment.substitute(field, written)?;
        let refused = |why: String| RenderError::Unsupported {
            message: format!(
                "{field}: {written} {why}; commit the file, or give its repository a source with a ref and use $ref/path"
            ),
        };
        let (scheme, _) = url.split_once("://").unwrap_or_default();
        if !matches!(scheme, "https" | "http") {
            return Err(refused("is neither https:// nor http://, and values files are fetched by no other protocol".to_owned()));
        }
        if !self.schemes.iter().any(|allowed| allowed == scheme) {
            return Err(refused(format!(
                "is not fetched, because helm.valuesFileSchemes of argocd-cm does not have {scheme}"
            )));
        }
        Ok(Remote {
            kind: RemoteKind::File,
            url,
            name: String::new(),
            revision: String::new(),
        })
    }

    /// Every value file, in order. Those of other servers that are not there are asked for all at once.
    pub(crate) fn value_files(
        &mut self,
        entries: &[String],
        ignore_missing: bool,
    ) -> Result<Vec<FileReference>, RenderError> {
        const FIELD: &str = "spec.source.helm.valueFiles";
        let mut located = Vec::new();
        let mut needed: Vec<Remote> = Vec::new();
        for entry in entries {
            match self.locate(FIELD, entry) {
                Ok(file) => located.push((entry, file)),
                Err(RenderError::MissingRemotes { remotes, .. }) => needed.extend(remotes),
                Err(error) => return Err(error),
            }
        }
        if let Some(first) = needed.first() {
            return Err(RenderError::MissingRemotes {
                message: format!("{FIELD} has {}, which is not in this repository", first.url),
                remotes: needed,
            });
        }
        let named: BTreeSet<FileReference> = located
            .iter()
            .filter(|(_, file)| !is_search(file))
            .map(|(_, file)| file.clone())
            .collect();
        let mut files: Vec<FileReference> = Vec::new();
        let mut found_by_pattern: BTreeSet<FileReference> = BTreeSet::new();
        for (entry, file) in located {
            if is_search(&file) {
                let found = self.expand(FIELD, entry, &file)?;
                if found.is_empty() && !ignore_missing {
                    return Err(missing(FIELD, entry, &file.path, "matches no file"));
                }
                for file in found {
                    if !named.contains(&file) && found_by_pattern.insert(file.clone()) {
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

    /// The files a pattern stands for, in lexical order.
    fn expand(
        &mut self,
        field: &str,
        entry: &str,
        file: &FileReference,
    ) -> Result<Vec<FileReference>, RenderError> {
        let shown = shortened(entry);
        let pattern = compile(&file.path).map_err(|error| RenderError::BadRequest {
            message: format!("{field}: {shown} is not a glob pattern that can be used: {error}"),
        })?;
        let paths = self
            .search(&file.tree, &pattern)
            .map_err(|error| match error {
                RenderError::TooManyLookups { limit, .. } => RenderError::TooManyLookups {
                    limit,
                    what: format!("at last for the pattern {shown} of {field}"),
                },
                other => other,
            })?;
        Ok(paths
            .into_iter()
            .map(|path| FileReference {
                tree: file.tree.clone(),
                path,
            })
            .collect())
    }

    /// Matches one element of a pattern after the other, so that only directories the pattern can reach are listed. No
    /// element is matched in a directory twice, however many ways lead there.
    fn search(
        &mut self,
        tree: &str,
        pattern: &[Element<'_>],
    ) -> Result<BTreeSet<String>, RenderError> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut pending = vec![(String::new(), 0)];
        while let Some((directory, at)) = pending.pop() {
            let Some(element) = pattern.get(at) else {
                continue;
            };
            if !seen.insert((directory.clone(), at)) {
                continue;
            }
            let last = at + 1 == pattern.len();
            if let Element::Name(name) = element {
                let path = below(&directory, name);
                match self.trees.stat(tree, &path)? {
                    Place::File { .. } if last => {
                        found.insert(path);
                    }
                    Place::Directory { .. } => pending.push((path, at + 1)),
                    _ => {}
                }
                continue;
            }
            if matches!(element, Element::AnyDepth) {
                // Zero directories: the rest of the pattern applies here.
                pending.push((directory.clone(), at + 1));
            }
            let Ok(listed) = self.trees.list(tree, &directory)? else {
                continue;
            };
            for item in listed {
                let path = below(&directory, &item.name);
                match (element, item.kind) {
                    (Element::AnyDepth, ListedKind::Directory | ListedKind::Submodule)
                        if !item.link =>
                    {
                        pending.push((path, at));
                    }
                    (Element::Pattern(glob), ListedKind::Directory | ListedKind::Submodule)
                        if !last && matches(glob, &item.name) =>
                    {
                        pending.push((path, at + 1));
                    }
                    (Element::Pattern(glob), ListedKind::File)
                        if last && matches(glob, &item.name) =>
                    {
                        found.insert(path);
                    }
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

/// One part of a pattern between slashes.
#[derive(Debug, PartialEq, Eq)]
enum Element<'a> {
    /// A name as it is.
    Name(&'a str),
    /// `**`: any number of directories.
    AnyDepth,
    /// Anything else.
    Pattern(Glob),
}

/// The elements of a pattern. Several `**` in a row are one, and one at the end means every file below.
fn compile(pattern: &str) -> Result<Vec<Element<'_>>, GlobError> {
    admit(pattern)?;
    let mut elements = Vec::new();
    for text in pattern.split('/') {
        let element = if text == "**" {
            Element::AnyDepth
        } else if is_pattern(text) {
            Element::Pattern(Glob::path(text)?)
        } else {
            Element::Name(text)
        };
        if element != Element::AnyDepth || elements.last() != Some(&Element::AnyDepth) {
            elements.push(element);
        }
    }
    if elements.last() == Some(&Element::AnyDepth) {
        elements.push(Element::Pattern(Glob::path("*")?));
    }
    Ok(elements)
}

/// A name longer than any that can be compared is none that a pattern means.
fn matches(glob: &Glob, name: &str) -> bool {
    glob.matches(name).unwrap_or(false)
}

fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

/// What was written, for messages.
fn shortened(entry: &str) -> String {
    match entry.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &entry[..end]),
        None => entry.to_owned(),
    }
}

/// Whether a reference is a pattern for files of a repository. The address of a file is none.
fn is_search(file: &FileReference) -> bool {
    let is_address = file.tree.starts_with("file ");
    !is_address && is_pattern(&file.path)
}

/// What the file behind an address is called.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let name = path.rsplit('/').next().unwrap_or_default();
    if matches!(name, "" | "." | "..") {
        "values.yaml"
    } else {
        name
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::lookups::{Cancellation, Lookups};
    use crate::memory_tree::MemoryTree;
    use crate::request::{AppContext, SourceRequest};
    use crate::source::SourceSpec;
    use crate::tree::{SourceTree, TreeEntry, TreeError, TreeItem};

    fn found(
        tree: Arc<dyn SourceTree>,
        lookups: u64,
        pattern: &str,
    ) -> Result<Vec<String>, RenderError> {
        let source = SourceRequest {
            spec: SourceSpec::default(),
            tree,
            revision: String::new(),
            refs: BTreeMap::new(),
            is_chart_archive: false,
            packaged: Vec::new(),
            remotes: BTreeMap::new(),
        };
        let lookups = Lookups::new(lookups, Duration::from_secs(1), Cancellation::default());
        let mut trees = Trees::new(&source, 1 << 20, lookups);
        let environment = Environment::new(&AppContext::default(), &source);
        let mut resolver = Resolver {
            trees: &mut trees,
            environment: &environment,
            directory: "app",
            schemes: &[],
        };
        let files = resolver.value_files(&[pattern.to_owned()], false)?;
        Ok(files.into_iter().map(|file| file.path).collect())
    }

    /// Directories within directories, with a file in each.
    fn nested(depth: usize) -> Arc<MemoryTree> {
        let mut tree = MemoryTree::new();
        for depth in 0..depth {
            tree.insert(format!("app/{}v.yaml", "d/".repeat(depth)), "a: 1");
        }
        Arc::new(tree)
    }

    #[test]
    fn many_double_stars_take_no_more_than_directories_times_elements() {
        for (pattern, most) in [
            ("**/".repeat(16) + "v.yaml", 200),
            ("**/*/".repeat(16) + "v.yaml", 16 * 2 * 17 * 4),
            ("**/d/".repeat(16) + "**", 16 * 2 * 17 * 4),
            ("**/d/**/d/**/d/**/v.yaml".to_owned(), 8 * 17 * 4),
        ] {
            let files = found(nested(17), most, &pattern).unwrap();
            assert!(!files.is_empty(), "{pattern}");
            assert!(files.is_sorted(), "{files:?}");
        }
        let all = found(nested(60), 2_000, "**/**/**/v.yaml").unwrap();
        assert_eq!(all.len(), 60, "no depth of the tree is left out");
    }

    /// Two directories in each directory, for ever.
    struct Endless;

    impl SourceTree for Endless {
        fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
            Ok(TreeEntry::Tree {
                id: path.to_owned(),
            })
        }
        fn size(&self, _path: &str) -> Result<Option<u64>, TreeError> {
            Ok(None)
        }
        fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
            Err(TreeError::NotAFile {
                path: path.to_owned(),
            })
        }
        fn list(&self, _path: &str) -> Result<Vec<TreeItem>, TreeError> {
            let item = |name: &str| TreeItem {
                name: name.to_owned(),
                entry: TreeEntry::Tree {
                    id: name.to_owned(),
                },
            };
            Ok(vec![item("a"), item("b")])
        }
    }

    #[test]
    fn a_search_without_end_is_an_error_that_names_the_pattern() {
        for pattern in ["**/a/**/b/**/v.yaml", "*/*/*/*/*/*/*/*/*/*/*/*/*/v.yaml"] {
            let error = found(Arc::new(Endless), 1_000, pattern).unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(error, RenderError::TooManyLookups { .. }),
                "{text}"
            );
            assert!(text.contains(pattern) && text.contains("1000"), "{text}");
            assert!(text.contains("valueFiles"), "{text}");
        }
    }

    #[test]
    fn a_pattern_that_is_not_admitted_names_its_field_and_the_limit() {
        for (pattern, expected) in [
            (
                format!("*{}a{}", "{".repeat(100_000), "}".repeat(100_000)),
                "1024 bytes",
            ),
            ("*".to_owned() + &"{a,b}".repeat(17), "16 braces"),
            ("*{{{{{a}}}}}".to_owned(), "4 deep"),
            ("*".to_owned() + &"{a,b}".repeat(16), "256 patterns"),
            ("*{a".to_owned(), "not complete"),
            ("[a".to_owned(), "not complete"),
        ] {
            let error = found(nested(2), 1_000, &pattern).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, RenderError::BadRequest { .. }), "{text}");
            assert!(text.starts_with("spec.source.helm.valueFiles: "), "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(text.len() < 600, "{text}");
        }
    }
}
