//! A commit with some files changed: what a repository would look like, without writing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gitops_core::manifest::digest;
use gitops_render::{SourceTree, TreeEntry, TreeError, TreeItem};

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// It is not there.
    Absent,
    /// It holds these bytes.
    File {
        /// Content.
        bytes: Arc<[u8]>,
        /// Whether it may be executed.
        executable: bool,
    },
    /// It is a symbolic link.
    Link {
        /// Where to.
        target: String,
    },
}

/// A tree with edits by path.
pub(super) struct EditedTree {
    /// What is underneath.
    pub(super) base: Arc<dyn SourceTree>,
    /// The edits.
    pub(super) edits: BTreeMap<String, Edit>,
}

impl EditedTree {
    /// Whether an edit puts something below this folder.
    fn fills(&self, folder: &str) -> bool {
        self.below(folder).any(|(_, edit)| *edit != Edit::Absent)
    }

    fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Edit)> {
        let prefix = prefix(folder);
        self.edits
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, edit)| (path.as_str(), edit))
    }

    /// Whether a folder of the tree underneath still holds something.
    fn survives(&self, folder: &str) -> Result<bool, TreeError> {
        if self.fills(folder) || self.below(folder).next().is_none() {
            return Ok(true);
        }
        for item in self.base.list(folder)? {
            let path = join(folder, &item.name);
            let stays = match item.entry {
                TreeEntry::Tree { .. } => self.survives(&path)?,
                _ => self.edits.get(&path) != Some(&Edit::Absent),
            };
            if stays {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Content of a folder that edits reach into has no id of its own: the edits name it.
    fn folder_id(&self, folder: &str, base: Option<String>) -> String {
        let edits = self.below(folder).map(|(path, edit)| match edit {
            Edit::Absent => format!("{path}:-"),
            Edit::File { bytes, executable } => {
                format!("{path}:{executable}:{}", digest::of_parts([bytes.as_ref()]))
            }
            Edit::Link { target } => format!("{path}>{target}"),
        });
        let parts: Vec<String> = base.into_iter().chain(edits).collect();
        digest::of_parts(parts.iter().map(String::as_bytes))
    }
}

impl SourceTree for EditedTree {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        match self.edits.get(path) {
            Some(Edit::File { bytes, executable }) => {
                return Ok(TreeEntry::Blob {
                    id: digest::of_parts([bytes.as_ref()]),
                    symlink: None,
                    executable: *executable,
                });
            }
            Some(Edit::Link { target }) => {
                return Ok(TreeEntry::Blob {
                    id: digest::of_parts([target.as_bytes()]),
                    symlink: Some(target.clone()),
                    executable: false,
                });
            }
            Some(Edit::Absent) if !self.fills(path) => return Ok(TreeEntry::Absent),
            _ => {}
        }
        if self.below(path).next().is_none() {
            return self.base.entry(path);
        }
        Ok(match self.base.entry(path)? {
            TreeEntry::Tree { id } if self.survives(path)? => TreeEntry::Tree {
                id: self.folder_id(path, Some(id)),
            },
            TreeEntry::Tree { .. } => TreeEntry::Absent,
            _ if self.fills(path) => TreeEntry::Tree {
                id: self.folder_id(path, None),
            },
            entry => entry,
        })
    }

    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        match self.edits.get(path) {
            Some(Edit::File { bytes, .. }) => Ok(Some(bytes.len() as u64)),
            Some(Edit::Link { target }) => Ok(Some(target.len() as u64)),
            Some(Edit::Absent) => Ok(None),
            None => self.base.size(path),
        }
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        match self.edits.get(path) {
            Some(Edit::File { bytes, .. }) => Ok(bytes.clone()),
            Some(Edit::Link { target }) => Ok(target.as_bytes().into()),
            Some(Edit::Absent) => Err(TreeError::NotAFile { path: path.into() }),
            None => self.base.read(path),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        if self.below(path).next().is_none() {
            return self.base.list(path);
        }
        let mut names: BTreeSet<String> = match self.base.entry(path)? {
            TreeEntry::Tree { .. } => {
                let items = self.base.list(path)?;
                items.into_iter().map(|item| item.name).collect()
            }
            _ if self.fills(path) => BTreeSet::new(),
            _ => return self.base.list(path),
        };
        let start = prefix(path).len();
        names.extend(
            self.below(path)
                .filter_map(|(below, _)| below[start..].split('/').next().map(str::to_owned)),
        );
        let mut items = Vec::new();
        for name in names {
            match self.entry(&join(path, &name))? {
                TreeEntry::Absent => {}
                entry => items.push(TreeItem { name, entry }),
            }
        }
        Ok(items)
    }
}

fn prefix(folder: &str) -> String {
    if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    }
}

fn join(folder: &str, name: &str) -> String {
    format!("{}{name}", prefix(folder))
}

#[cfg(test)]
mod tests {
    use gitops_render::MemoryTree;

    use super::*;

    fn base() -> Arc<dyn SourceTree> {
        let mut tree = MemoryTree::default();
        for (path, text) in [
            ("apps/web/a.yaml", "a"),
            ("apps/web/b.yaml", "b"),
            ("apps/api/c.yaml", "c"),
            ("README.md", "r"),
        ] {
            tree.insert(path, text.as_bytes());
        }
        Arc::new(tree)
    }

    fn file(text: &str) -> Edit {
        Edit::File {
            bytes: text.as_bytes().into(),
            executable: false,
        }
    }

    fn edited(edits: &[(&str, Edit)]) -> EditedTree {
        EditedTree {
            base: base(),
            edits: edits
                .iter()
                .map(|(path, edit)| ((*path).to_owned(), edit.clone()))
                .collect(),
        }
    }

    fn names(tree: &EditedTree, folder: &str) -> Vec<String> {
        tree.list(folder)
            .unwrap()
            .into_iter()
            .map(|item| item.name)
            .collect()
    }

    #[test]
    fn edits_appear_in_entries_bytes_and_listings() {
        let tree = edited(&[
            ("apps/web/a.yaml", file("A")),
            ("apps/web/b.yaml", Edit::Absent),
            ("apps/web/deep/er/d.yaml", file("D")),
            (
                "link",
                Edit::Link {
                    target: "README.md".into(),
                },
            ),
        ]);
        assert_eq!(&*tree.read("apps/web/a.yaml").unwrap(), b"A");
        assert_eq!(&*tree.read("apps/api/c.yaml").unwrap(), b"c");
        assert!(tree.read("apps/web/b.yaml").is_err());
        assert_eq!(tree.entry("apps/web/b.yaml").unwrap(), TreeEntry::Absent);
        assert_eq!(names(&tree, ""), ["README.md", "apps", "link"]);
        assert_eq!(names(&tree, "apps/web"), ["a.yaml", "deep"]);
        assert_eq!(names(&tree, "apps/web/deep"), ["er"]);
        assert_eq!(names(&tree, "apps/web/deep/er"), ["d.yaml"]);
        assert_ne!(
            tree.entry("apps/web").unwrap(),
            base().entry("apps/web").unwrap()
        );
        assert_eq!(
            tree.entry("apps/api").unwrap(),
            base().entry("apps/api").unwrap()
        );
    }

    #[test]
    fn folders_that_lose_their_last_file_are_gone_and_files_may_become_folders() {
        let tree = edited(&[
            ("apps/api/c.yaml", Edit::Absent),
            ("README.md", Edit::Absent),
            ("README.md/inside", file("i")),
        ]);
        assert_eq!(names(&tree, "apps"), ["web"]);
        assert_eq!(tree.entry("apps/api").unwrap(), TreeEntry::Absent);
        assert!(matches!(
            tree.entry("README.md").unwrap(),
            TreeEntry::Tree { .. }
        ));
        assert_eq!(names(&tree, "README.md"), ["inside"]);
    }
}
