//! The input set: what a render asked of its trees and what each answer was, so that later commits can be compared
//! without rendering. A question is recorded as coarsely as it was asked: a look at whether something is a file does
//! not depend on the file's content, and a listing depends on names and kinds only. It never holds content.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::tree::{SourceTree, TreeEntry, TreeError, TreeItem};

/// What was found at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fact {
    /// Nothing; a file that appears there matters.
    Absent,
    /// A file, whatever its content.
    File,
    /// A file with this content id.
    Blob(String),
    /// A directory, whatever is in it.
    Directory,
    /// A symbolic link with this text.
    Link(String),
    /// A submodule.
    Submodule,
}

/// Answers of one tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeInputs {
    entries: BTreeMap<String, Fact>,
    /// Directory → digest of the names and kinds in it.
    listings: BTreeMap<String, String>,
}

impl TreeInputs {
    pub(crate) fn record(&mut self, path: &str, fact: Fact) {
        let coarser = fact == Fact::File && matches!(self.entries.get(path), Some(Fact::Blob(_)));
        if !coarser {
            self.entries.insert(path.to_owned(), fact);
        }
    }

    pub(crate) fn record_listing(&mut self, path: &str, items: &[TreeItem]) {
        self.listings.insert(path.to_owned(), listing_digest(items));
    }

    fn unchanged(&self, tree: &dyn SourceTree) -> Result<bool, TreeError> {
        for (path, fact) in &self.entries {
            if !fact.holds(&tree.entry(path)?) {
                return Ok(false);
            }
        }
        for (path, digest) in &self.listings {
            if !matches!(tree.entry(path)?, TreeEntry::Tree { .. }) {
                return Ok(false);
            }
            if listing_digest(&tree.list(path)?) != *digest {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Fact {
    fn holds(&self, entry: &TreeEntry) -> bool {
        match (self, entry) {
            (Self::Absent, TreeEntry::Absent)
            | (Self::File, TreeEntry::Blob { symlink: None, .. })
            | (Self::Directory, TreeEntry::Tree { .. })
            | (Self::Submodule, TreeEntry::Commit) => true,
            (
                Self::Blob(known),
                TreeEntry::Blob {
                    id, symlink: None, ..
                },
            ) => known == id,
            (
                Self::Link(known),
                TreeEntry::Blob {
                    symlink: Some(target),
                    ..
                },
            ) => known == target,
            _ => false,
        }
    }
}

fn listing_digest(items: &[TreeItem]) -> String {
    let mut hash = Sha256::new();
    for item in items {
        hash.update(&item.name);
        let kind: u8 = match &item.entry {
            TreeEntry::Absent => b'-',
            TreeEntry::Blob { symlink: None, .. } => b'f',
            TreeEntry::Blob {
                symlink: Some(_), ..
            } => b'l',
            TreeEntry::Tree { .. } => b'd',
            TreeEntry::Commit => b'c',
        };
        hash.update([0, kind]);
    }
    hex::encode(hash.finalize())
}

/// Everything a render read, by tree: the application's own tree is the empty name, others are `$name` of their ref.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSet {
    trees: BTreeMap<String, TreeInputs>,
    /// The revision's own name went into the result (`$ARGOCD_APP_REVISION`).
    #[serde(default)]
    revision: bool,
}

impl InputSet {
    pub(crate) fn new(trees: BTreeMap<String, TreeInputs>, revision: bool) -> Self {
        Self { trees, revision }
    }

    /// Whether a render of these trees, with the same Application, would read exactly the same. Always false when the
    /// revision itself is part of the result, and when a tree that was read is not given.
    pub fn unchanged(
        &self,
        tree: &dyn SourceTree,
        refs: &BTreeMap<String, Arc<dyn SourceTree>>,
    ) -> Result<bool, TreeError> {
        if self.revision {
            return Ok(false);
        }
        for (name, inputs) in &self.trees {
            let same = if name.is_empty() {
                inputs.unchanged(tree)?
            } else {
                match refs
                    .get(name)
                    .or_else(|| refs.get(name.trim_start_matches('$')))
                {
                    Some(tree) => inputs.unchanged(tree.as_ref())?,
                    None => false,
                }
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether anything was asked of a tree.
    pub fn has_read(&self, tree: &str) -> bool {
        self.trees.contains_key(tree)
    }

    /// Whether the revision's name is part of the result, so that every commit changes it.
    pub fn uses_revision(&self) -> bool {
        self.revision
    }

    /// The files read, and those looked for and not found: tree name and path. Directories are not among them.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &str)> {
        self.trees.iter().flat_map(|(tree, inputs)| {
            inputs
                .entries
                .iter()
                .filter(|(_, fact)| !matches!(fact, Fact::Directory | Fact::Submodule))
                .map(move |(path, _)| (tree.as_str(), path.as_str()))
        })
    }

    /// The directories whose names were listed: tree name and path.
    pub fn listings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.trees.iter().flat_map(|(tree, inputs)| {
            inputs
                .listings
                .keys()
                .map(move |path| (tree.as_str(), path.as_str()))
        })
    }
}
