//! Reading a tree the way a checkout would be read, links included, while writing down every answer. Links are followed
//! inside the tree only: one that leads out of it is refused with its name.

use std::rc::Rc;
use std::sync::Arc;

use crate::error::RenderError;
use crate::inputs::{Fact, TreeInputs};
use crate::lookups::Lookups;
use crate::tree::{SourceTree, TreeEntry};

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Absent,
    /// A file, by its path without links, and its content id.
    File {
        real: String,
        id: String,
    },
    Directory {
        real: String,
    },
}

/// One name in a directory and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) kind: ListedKind,
    pub(crate) link: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListedKind {
    File,
    Directory,
    /// What is in it is refused when it is asked for.
    Submodule,
    Absent,
}

/// A tree with the record of what was asked of it.
pub(crate) struct Reader {
    tree: Arc<dyn SourceTree>,
    lookups: Rc<Lookups>,
    pub(crate) inputs: TreeInputs,
}

impl Reader {
    pub(crate) fn new(tree: Arc<dyn SourceTree>, lookups: Rc<Lookups>) -> Self {
        Self {
            tree,
            lookups,
            inputs: TreeInputs::default(),
        }
    }

    /// Where a clean path leads; only its kind is recorded.
    pub(crate) fn stat(&mut self, path: &str) -> Result<Place, RenderError> {
        if let Some(place) = self.direct(path)? {
            return Ok(place);
        }
        let mut pending: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        let mut via: Option<(String, String)> = None;
        while let Some(name) = pending.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    if at.pop().is_none() {
                        let (link, target) = via.unwrap_or_else(|| (path.to_owned(), name));
                        return Err(RenderError::SymlinkEscapes { path: link, target });
                    }
                    continue;
                }
                _ => at.push(name),
            }
            let here = at.join("/");
            match self.entry(&here)? {
                TreeEntry::Tree { .. } => {}
                TreeEntry::Blob {
                    symlink: Some(target),
                    ..
                } => {
                    self.inputs.record(&here, Fact::Link(target.clone()));
                    links += 1;
                    if target.starts_with('/') || links > MAX_LINKS {
                        return Err(RenderError::SymlinkEscapes { path: here, target });
                    }
                    at.pop();
                    pending.extend(target.rsplit('/').map(str::to_owned));
                    via = Some((here, target));
                }
                TreeEntry::Absent => {
                    self.inputs.record(&here, Fact::Absent);
                    return Ok(Place::Absent);
                }
                TreeEntry::Blob {
                    symlink: None, id, ..
                } => {
                    self.inputs.record(&here, Fact::File);
                    let last = pending.iter().all(|name| name.is_empty() || name == ".");
                    return Ok(if last {
                        Place::File { real: here, id }
                    } else {
                        Place::Absent
                    });
                }
                TreeEntry::Commit => {
                    self.inputs.record(&here, Fact::Submodule);
                    return Err(RenderError::Submodule { path: here });
                }
            }
        }
        let real = at.join("/");
        self.inputs.record(&real, Fact::Directory);
        Ok(Place::Directory { real })
    }

    /// The one look-up of the tree that all others are made of.
    fn entry(&self, path: &str) -> Result<TreeEntry, RenderError> {
        self.lookups.look_up(path)?;
        Ok(self.tree.entry(path)?)
    }

    /// The common case: no link on the way, so one look-up tells everything.
    fn direct(&mut self, path: &str) -> Result<Option<Place>, RenderError> {
        Ok(match self.entry(path)? {
            TreeEntry::Blob {
                symlink: None, id, ..
            } => {
                self.inputs.record(path, Fact::File);
                Some(Place::File {
                    real: path.to_owned(),
                    id,
                })
            }
            TreeEntry::Tree { .. } => {
                self.inputs.record(path, Fact::Directory);
                Some(Place::Directory {
                    real: path.to_owned(),
                })
            }
            _ => None,
        })
    }

    /// The bytes of the file a path leads to, or where it leads when that is no file. `admit` is asked before anything
    /// is read, with the size where it is known.
    pub(crate) fn read(
        &mut self,
        path: &str,
        admit: impl FnOnce(Option<u64>) -> Result<(), RenderError>,
    ) -> Result<Result<Arc<[u8]>, Place>, RenderError> {
        match self.stat(path)? {
            Place::File { real, id } => {
                admit(self.tree.size(&real)?)?;
                let content = self.tree.read(&real)?;
                self.inputs.record(&real, Fact::Blob(id));
                Ok(Ok(content))
            }
            other => Ok(Err(other)),
        }
    }

    /// The names in the directory a path leads to, or where it leads when that is no directory.
    pub(crate) fn list(&mut self, path: &str) -> Result<Result<Vec<Listed>, Place>, RenderError> {
        let real = match self.stat(path)? {
            Place::Directory { real } => real,
            other => return Ok(Err(other)),
        };
        self.lookups.look_up(&real)?;
        let items = self.tree.list(&real)?;
        self.lookups.listed(items.len(), &real)?;
        self.inputs.record_listing(&real, &items);
        let mut listed = Vec::with_capacity(items.len());
        for item in items {
            let (kind, link) = match item.entry {
                TreeEntry::Blob { symlink: None, .. } => (ListedKind::File, false),
                TreeEntry::Tree { .. } => (ListedKind::Directory, false),
                TreeEntry::Commit => (ListedKind::Submodule, false),
                TreeEntry::Blob {
                    symlink: Some(_), ..
                } => {
                    let target = if real.is_empty() {
                        item.name.clone()
                    } else {
                        format!("{real}/{}", item.name)
                    };
                    (self.link_kind(&target)?, true)
                }
                TreeEntry::Absent => continue,
            };
            listed.push(Listed {
                name: item.name,
                kind,
                link,
            });
        }
        Ok(Ok(listed))
    }

    /// A link that leads out of the tree is harmless until it is read: it is shown as a file, and reading it is
    /// refused.
    fn link_kind(&mut self, path: &str) -> Result<ListedKind, RenderError> {
        match self.stat(path) {
            Ok(Place::File { .. }) | Err(RenderError::SymlinkEscapes { .. }) => {
                Ok(ListedKind::File)
            }
            Ok(Place::Directory { .. }) | Err(RenderError::Submodule { .. }) => {
                Ok(ListedKind::Directory)
            }
            Ok(Place::Absent) => Ok(ListedKind::Absent),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ListedKind, Place, Reader};
    use crate::error::RenderError;
    use crate::lookups::{Cancellation, Lookups};
    use crate::memory_tree::MemoryTree;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    fn limited(tree: MemoryTree, lookups: u64) -> (Reader, Cancellation) {
        let cancellation = Cancellation::default();
        let lookups = Lookups::new(lookups, Duration::from_secs(1), cancellation.clone());
        (Reader::new(Arc::new(tree), Rc::new(lookups)), cancellation)
    }

    fn reader(tree: MemoryTree) -> Reader {
        limited(tree, 10_000).0
    }

    fn tree() -> MemoryTree {
        let mut tree = MemoryTree::new();
        tree.insert("apps/web/a.yaml", "a");
        tree.insert_symlink("apps/web/same.yaml", "a.yaml");
        tree.insert_symlink("apps/linked", "web");
        tree.insert_symlink("apps/web/up", "../../shared");
        tree.insert("shared/s.yaml", "s");
        tree.insert_symlink("apps/web/out", "../../../etc/passwd");
        tree.insert_symlink("apps/web/absolute", "/etc/passwd");
        tree.insert_symlink("apps/web/dangling", "nothing");
        tree.insert_symlink("apps/web/loop", "loop");
        tree.insert_submodule("vendor/lib");
        tree
    }

    #[test]
    fn links_are_followed_inside_and_refused_outside() {
        for (path, expected) in [
            ("apps/web/a.yaml", "file apps/web/a.yaml"),
            ("apps/web/same.yaml", "file apps/web/a.yaml"),
            ("apps/linked/a.yaml", "file apps/web/a.yaml"),
            ("apps/linked", "directory apps/web"),
            ("apps/linked/up/s.yaml", "file shared/s.yaml"),
            ("apps/web/dangling", "absent"),
            ("apps/web/a.yaml/x", "absent"),
            ("nope/at/all", "absent"),
            ("", "directory "),
            ("apps/web/out", "escapes apps/web/out"),
            ("apps/web/absolute", "escapes apps/web/absolute"),
            ("apps/web/loop", "escapes apps/web/loop"),
            ("vendor/lib/x", "submodule vendor/lib"),
        ] {
            let mut reader = reader(tree());
            let found = match reader.stat(path) {
                Ok(Place::Absent) => "absent".to_owned(),
                Ok(Place::File { real, .. }) => format!("file {real}"),
                Ok(Place::Directory { real }) => format!("directory {real}"),
                Err(RenderError::SymlinkEscapes { path, .. }) => format!("escapes {path}"),
                Err(RenderError::Submodule { path }) => format!("submodule {path}"),
                Err(other) => format!("{other}"),
            };
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn a_listing_says_where_links_lead() {
        let mut reader = reader(tree());
        let listed = reader.list("apps/web").unwrap().unwrap();
        let kinds: Vec<_> = listed
            .iter()
            .map(|l| (l.name.as_str(), l.kind, l.link))
            .collect();
        assert_eq!(
            kinds,
            [
                ("a.yaml", ListedKind::File, false),
                ("absolute", ListedKind::File, true),
                ("dangling", ListedKind::Absent, true),
                ("loop", ListedKind::File, true),
                ("out", ListedKind::File, true),
                ("same.yaml", ListedKind::File, true),
                ("up", ListedKind::Directory, true),
            ]
        );
    }

    /// A directory of links, each of which leads a long way round to the next.
    fn maze(links: usize) -> MemoryTree {
        let mut tree = MemoryTree::new();
        tree.insert("d/file", "x");
        for number in 0..links {
            let next = if number == 0 {
                "file".to_owned()
            } else {
                format!("l{}", number - 1)
            };
            tree.insert_symlink(
                format!("d/l{number}"),
                format!("{}{next}", "../d/".repeat(100)),
            );
        }
        tree
    }

    #[test]
    fn links_spend_the_look_ups_of_their_render() {
        let too_many = |result: Result<(), RenderError>| {
            matches!(
                result,
                Err(RenderError::TooManyLookups { limit: 2_000, .. })
            )
        };
        let (mut reader, _) = limited(maze(38), 2_000);
        assert!(reader.stat("d/l3").is_ok());
        assert!(too_many(reader.stat("d/l37").map(drop)));
        let (mut reader, _) = limited(maze(38), 2_000);
        assert!(too_many(reader.list("d").map(drop)));
        // What is spent stays spent, for listings and reading as well.
        assert!(too_many(reader.list("").map(drop)));
        assert!(too_many(reader.read("d/file", |_| Ok(())).map(drop)));
    }

    #[test]
    fn a_render_that_was_given_up_looks_nothing_up_any_more() {
        let (mut reader, cancellation) = limited(maze(1), 2_000);
        assert!(reader.stat("d/l0").is_ok());
        cancellation.cancel();
        for result in [
            reader.stat("d/file").map(drop),
            reader.list("d").map(drop),
            reader.read("d/file", |_| Ok(())).map(drop),
        ] {
            assert!(matches!(result, Err(RenderError::Timeout(_))), "{result:?}");
        }
    }

    #[test]
    fn a_path_longer_than_a_file_system_allows_is_refused() {
        let path = "d/".repeat(2049);
        let error = reader(maze(1)).stat(&path).unwrap_err().to_string();
        assert!(error.contains("4098 bytes"), "{error}");
        assert!(error.len() < 300, "{error}");
    }
}
