//! Commits, chart archives and single files as the trees the renderer reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gitops_charts::{ArchiveEntry, ChartArchive, RemoteFile};
use gitops_git::{Entry, ItemKind, Snapshot};
use gitops_render::{SourceTree, TreeEntry, TreeError, TreeItem};

/// The files of one commit.
pub(crate) struct CommitTree(pub Snapshot);

impl SourceTree for CommitTree {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        self.0
            .entry(path)
            .map(tree_entry)
            .map_err(|error| storage(path, &error))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        self.0.size(path).map_err(|error| storage(path, &error))
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        self.0
            .read(path)
            .map(Into::into)
            .map_err(|error| storage(path, &error))
    }

    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        let items = self.0.list(path).map_err(|error| storage(path, &error))?;
        items
            .into_iter()
            .map(|item| {
                let id = item.id.to_string();
                let entry = match item.kind {
                    ItemKind::Blob => TreeEntry::Blob {
                        id,
                        symlink: None,
                        executable: false,
                    },
                    ItemKind::Executable => TreeEntry::Blob {
                        id,
                        symlink: None,
                        executable: true,
                    },
                    ItemKind::Symlink => self.entry(&join(path, &item.name))?,
                    ItemKind::Tree => TreeEntry::Tree { id },
                    ItemKind::Submodule => TreeEntry::Commit,
                };
                Ok(TreeItem {
                    entry,
                    name: item.name,
                })
            })
            .collect()
    }
}

fn tree_entry(entry: Entry) -> TreeEntry {
    match entry {
        Entry::Absent => TreeEntry::Absent,
        Entry::Blob { id, executable } => TreeEntry::Blob {
            id: id.to_string(),
            symlink: None,
            executable,
        },
        Entry::Symlink { id, target } => TreeEntry::Blob {
            id: id.to_string(),
            symlink: Some(target),
            executable: false,
        },
        Entry::Tree { id } => TreeEntry::Tree { id: id.to_string() },
        Entry::Submodule { .. } => TreeEntry::Commit,
    }
}

fn storage(path: &str, error: &dyn std::error::Error) -> TreeError {
    TreeError::Storage {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// The files of one chart version.
pub(crate) struct ChartTree(pub Arc<ChartArchive>);

impl ChartTree {
    fn item(&self, path: &str, entry: ArchiveEntry) -> TreeEntry {
        // The archive's digest and the path name the content.
        let id = format!("{}:{path}", self.0.digest);
        match entry {
            ArchiveEntry::File { .. } => TreeEntry::Blob {
                id,
                symlink: None,
                executable: false,
            },
            ArchiveEntry::Directory => TreeEntry::Tree { id },
        }
    }
}

impl SourceTree for ChartTree {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        Ok(self
            .0
            .entry(path)
            .map_or(TreeEntry::Absent, |entry| self.item(path, entry)))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        Ok(match self.0.entry(path) {
            Some(ArchiveEntry::File { size }) => Some(size),
            _ => None,
        })
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        let bytes = self
            .0
            .read(path)
            .ok_or_else(|| TreeError::NotAFile { path: path.into() })?;
        Ok(bytes.to_vec().into())
    }

    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        let items = self
            .0
            .list(path)
            .ok_or_else(|| TreeError::NotADirectory { path: path.into() })?;
        Ok(items
            .into_iter()
            .map(|(name, entry)| TreeItem {
                name: name.into(),
                entry: self.item(&join(path, name), entry),
            })
            .collect())
    }
}

/// One file, by whatever name it is asked for: a folder that holds nothing else.
pub(crate) struct FileTree(pub Arc<RemoteFile>);

impl SourceTree for FileTree {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        let id = self.0.sha256.clone();
        Ok(match path {
            "" => TreeEntry::Tree { id },
            name if name.contains('/') => TreeEntry::Absent,
            _ => TreeEntry::Blob {
                id,
                symlink: None,
                executable: false,
            },
        })
    }

    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        let is_file = matches!(self.entry(path)?, TreeEntry::Blob { .. });
        Ok(is_file.then_some(self.0.content.len() as u64))
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        match self.entry(path)? {
            TreeEntry::Blob { .. } => Ok(Arc::clone(&self.0.content)),
            _ => Err(TreeError::NotAFile { path: path.into() }),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        match self.entry(path)? {
            TreeEntry::Tree { .. } => Ok(Vec::new()),
            _ => Err(TreeError::NotADirectory { path: path.into() }),
        }
    }
}

/// One folder of another tree, as a tree of its own.
pub(crate) struct Subtree {
    /// The whole tree.
    pub(crate) base: Arc<dyn SourceTree>,
    /// The folder.
    pub(crate) folder: String,
}

impl SourceTree for Subtree {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        self.base.entry(&self.inside(path))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        self.base.size(&self.inside(path))
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        self.base.read(&self.inside(path))
    }

    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        self.base.list(&self.inside(path))
    }
}

impl Subtree {
    fn inside(&self, path: &str) -> String {
        if path.is_empty() {
            self.folder.clone()
        } else {
            join(&self.folder, path)
        }
    }
}

/// A tree with other trees laid over some of its folders: a chart with its dependencies in
/// `charts/`.
pub(crate) struct Overlay {
    /// What is underneath.
    pub(crate) base: Arc<dyn SourceTree>,
    /// Trees by the path of the folder they appear as.
    pub(crate) mounts: BTreeMap<String, Arc<dyn SourceTree>>,
    /// Files of what is underneath that are not there any more, by path.
    pub(crate) hidden: BTreeSet<String>,
}

impl Overlay {
    fn mounted<'a>(&'a self, path: &'a str) -> Option<(&'a Arc<dyn SourceTree>, &'a str)> {
        self.mounts.iter().find_map(|(mount, tree)| {
            let rest = path.strip_prefix(mount.as_str())?;
            let inside = if rest.is_empty() {
                ""
            } else {
                rest.strip_prefix('/')?
            };
            Some((tree, inside))
        })
    }

    /// Names of folders directly in `path` that only exist because something is mounted there.
    fn invented<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        self.mounts.keys().filter_map(move |mount| {
            let rest = if path.is_empty() {
                mount.as_str()
            } else {
                mount.strip_prefix(path)?.strip_prefix('/')?
            };
            rest.split('/').next().filter(|name| !name.is_empty())
        })
    }
}

impl SourceTree for Overlay {
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
        if let Some((tree, inside)) = self.mounted(path) {
            return tree.entry(inside);
        }
        if self.hidden.contains(path) {
            return Ok(TreeEntry::Absent);
        }
        match self.base.entry(path)? {
            TreeEntry::Absent if self.invented(path).next().is_some() => Ok(TreeEntry::Tree {
                id: format!("mounts:{path}"),
            }),
            entry => Ok(entry),
        }
    }

    fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
        match self.mounted(path) {
            Some((tree, inside)) => tree.size(inside),
            None => self.base.size(path),
        }
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
        match self.mounted(path) {
            Some((tree, inside)) => tree.read(inside),
            None => self.base.read(path),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
        if let Some((tree, inside)) = self.mounted(path) {
            return tree.list(inside);
        }
        let mut items = match self.base.entry(path)? {
            TreeEntry::Tree { .. } => self.base.list(path)?,
            _ if self.invented(path).next().is_some() => vec![],
            _ => return self.base.list(path),
        };
        items.retain(|item| !self.hidden.contains(&join(path, &item.name)));
        for name in self.invented(path) {
            items.retain(|item| item.name != name);
            items.push(TreeItem {
                entry: self.entry(&join(path, name))?,
                name: name.into(),
            });
        }
        items.sort_by(|a, b| a.name.cmp(&b.name));
        items.dedup_by(|a, b| a.name == b.name);
        Ok(items)
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.into()
    } else {
        format!("{folder}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl SourceTree for Files {
        fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
            let prefix = join(path, "");
            Ok(match self.0.get(path) {
                Some(text) => TreeEntry::Blob {
                    id: (*text).into(),
                    symlink: None,
                    executable: false,
                },
                None if path.is_empty() || self.0.keys().any(|k| k.starts_with(&prefix)) => {
                    TreeEntry::Tree { id: path.into() }
                }
                None => TreeEntry::Absent,
            })
        }

        fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
            Ok(self.0.get(path).map(|text| text.len() as u64))
        }

        fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
            let text = self
                .0
                .get(path)
                .ok_or(TreeError::NotAFile { path: path.into() })?;
            Ok(text.as_bytes().into())
        }

        fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError> {
            let prefix = if path.is_empty() {
                String::new()
            } else {
                format!("{path}/")
            };
            let mut names: Vec<&str> = self
                .0
                .keys()
                .filter_map(|key| key.strip_prefix(prefix.as_str())?.split('/').next())
                .collect();
            names.dedup();
            names
                .into_iter()
                .map(|name| {
                    Ok(TreeItem {
                        name: name.into(),
                        entry: self.entry(&join(path, name))?,
                    })
                })
                .collect()
        }
    }

    #[test]
    fn mounted_trees_appear_as_folders_whether_or_not_their_parent_exists() {
        let dependency: Arc<dyn SourceTree> =
            Arc::new(Files(BTreeMap::from([("Chart.yaml", "d")])));
        for base in [
            BTreeMap::from([("chart/Chart.yaml", "c")]),
            BTreeMap::from([
                ("chart/Chart.yaml", "c"),
                ("chart/charts/old/Chart.yaml", "o"),
            ]),
        ] {
            let vendored = base.len() == 2;
            let overlay = Overlay {
                base: Arc::new(Files(base)),
                mounts: BTreeMap::from([("chart/charts/dep".into(), dependency.clone())]),
                hidden: BTreeSet::new(),
            };
            let names = |path: &str| -> Vec<String> {
                overlay
                    .list(path)
                    .unwrap()
                    .into_iter()
                    .map(|item| item.name)
                    .collect()
            };
            assert_eq!(names(""), ["chart"]);
            assert_eq!(names("chart"), ["Chart.yaml", "charts"]);
            let expected: &[&str] = if vendored { &["dep", "old"] } else { &["dep"] };
            assert_eq!(names("chart/charts"), expected);
            assert_eq!(names("chart/charts/dep"), ["Chart.yaml"]);
            assert_eq!(&*overlay.read("chart/charts/dep/Chart.yaml").unwrap(), b"d");
            assert_eq!(&*overlay.read("chart/Chart.yaml").unwrap(), b"c");
            assert_eq!(
                overlay.size("chart/charts/dep/Chart.yaml").unwrap(),
                Some(1)
            );
            assert_eq!(overlay.size("chart/charts").unwrap(), None);
            assert_eq!(
                overlay.entry("chart/charts/depx").unwrap(),
                TreeEntry::Absent
            );
        }
    }
}
