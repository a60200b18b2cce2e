//! The trees of one render, each read through a recording [`Reader`], and a budget for the bytes that are read. This is
//! the one place a worker's questions and this side's own look-ups go through, so the record is complete.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::RenderError;
use crate::inputs::InputSet;
use crate::lookups::Lookups;
use crate::message::{Answer, Item};
use crate::path::join;
use crate::reader::{Listed, ListedKind, Place, Reader};
use crate::request::SourceRequest;
use crate::tree::TreeError;

/// Name of the application's own tree.
pub(crate) const OWN: &str = "";

pub(crate) struct Trees {
    readers: BTreeMap<String, Reader>,
    budget: u64,
    limit: u64,
}

impl Trees {
    /// The source's trees; `limit` is how many bytes may be read in all, `lookups` how much may be looked up.
    pub(crate) fn new(source: &SourceRequest, limit: u64, lookups: Lookups) -> Self {
        let lookups = Rc::new(lookups);
        let reader = |tree: &Arc<_>| Reader::new(Arc::clone(tree), Rc::clone(&lookups));
        let mut readers = BTreeMap::from([(OWN.to_owned(), reader(&source.tree))]);
        for (name, tree) in &source.refs {
            let name = format!("${}", name.trim_start_matches('$'));
            readers.insert(name, reader(tree));
        }
        for (remote, tree) in &source.remotes {
            readers.insert(remote.tree(), reader(tree));
        }
        Self {
            readers,
            budget: limit,
            limit,
        }
    }

    pub(crate) fn has(&self, tree: &str) -> bool {
        self.readers.contains_key(tree)
    }

    fn reader(&mut self, tree: &str) -> Result<&mut Reader, RenderError> {
        self.readers
            .get_mut(tree)
            .ok_or_else(|| RenderError::Crashed {
                detail: format!("the worker asked for a tree {tree:?} there is not"),
            })
    }

    pub(crate) fn stat(&mut self, tree: &str, path: &str) -> Result<Place, RenderError> {
        self.reader(tree)?.stat(path)
    }

    pub(crate) fn list(
        &mut self,
        tree: &str,
        path: &str,
    ) -> Result<Result<Vec<Listed>, Place>, RenderError> {
        self.reader(tree)?.list(path)
    }

    /// Reads a file, or says where the path leads instead. A file that is larger than what is left is not read.
    pub(crate) fn read(
        &mut self,
        tree: &str,
        path: &str,
    ) -> Result<Result<Arc<[u8]>, Place>, RenderError> {
        let (budget, limit) = (self.budget, self.limit);
        let left = |size: u64| {
            budget
                .checked_sub(size)
                .ok_or_else(|| RenderError::InputTooLarge {
                    limit,
                    path: path.to_owned(),
                })
        };
        let found = self
            .reader(tree)?
            .read(path, |size| left(size.unwrap_or(0)).map(drop))?;
        if let Ok(content) = &found {
            self.budget = left(content.len() as u64)?;
        }
        Ok(found)
    }

    /// Answers a worker. Its paths are cleaned here again: a worker is not trusted.
    pub(crate) fn answer(
        &mut self,
        question: Question,
        tree: &str,
        path: &str,
    ) -> Result<(Answer, Arc<[u8]>), RenderError> {
        let path = join("", path).map_err(|_| RenderError::PathEscapes {
            field: "a file of the repository".to_owned(),
            path: path.to_owned(),
        })?;
        let nothing: Arc<[u8]> = Arc::new([]);
        match question {
            Question::Stat => Ok((place_answer(self.stat(tree, &path)?), nothing)),
            Question::Read => Ok(match self.read(tree, &path)? {
                Ok(content) => (Answer::Content, content),
                Err(place) => (place_answer(place), nothing),
            }),
            Question::List => Ok(match self.list(tree, &path)? {
                Ok(listed) => (
                    Answer::Listing {
                        items: listed.into_iter().map(item).collect(),
                    },
                    nothing,
                ),
                Err(place) => (place_answer(place), nothing),
            }),
        }
    }

    /// What was read, for the trees anything was asked of.
    pub(crate) fn into_inputs(self, revision_used: bool) -> InputSet {
        let trees = self
            .readers
            .into_iter()
            .filter(|(_, reader)| reader.inputs != crate::inputs::TreeInputs::default())
            .map(|(name, reader)| (name, reader.inputs))
            .collect();
        InputSet::new(trees, revision_used)
    }

    /// The text of a file this side reads itself.
    pub(crate) fn read_if_there(
        &mut self,
        tree: &str,
        path: &str,
    ) -> Result<Option<Arc<[u8]>>, RenderError> {
        match self.read(tree, path)? {
            Ok(content) => Ok(Some(content)),
            Err(Place::Absent) => Ok(None),
            Err(_) => Err(TreeError::NotAFile {
                path: path.to_owned(),
            }
            .into()),
        }
    }
}

/// What a worker can ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    Stat,
    Read,
    List,
}

fn place_answer(place: Place) -> Answer {
    match place {
        Place::Absent => Answer::Absent,
        Place::File { real, .. } => Answer::File { real },
        Place::Directory { real } => Answer::Directory { real },
    }
}

fn item(listed: Listed) -> Item {
    let kind = match listed.kind {
        ListedKind::File => "file",
        ListedKind::Directory => "directory",
        ListedKind::Submodule => "submodule",
        ListedKind::Absent => "absent",
    };
    Item {
        name: listed.name,
        kind,
        link: listed.link,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lookups::Cancellation;
    use crate::source::SourceSpec;
    use crate::tree::{SourceTree, TreeEntry, TreeItem};

    /// Files whose name is their size, which only may be read when they are small.
    struct Sized;

    impl SourceTree for Sized {
        fn entry(&self, path: &str) -> Result<TreeEntry, TreeError> {
            Ok(TreeEntry::Blob {
                id: path.to_owned(),
                symlink: None,
                executable: false,
            })
        }
        fn size(&self, path: &str) -> Result<Option<u64>, TreeError> {
            Ok(path.parse().ok())
        }
        fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError> {
            let size = self.size(path)?.unwrap_or(7);
            assert!(size <= 10, "{path} was read");
            Ok(vec![0; usize::try_from(size).unwrap()].into())
        }
        fn list(&self, _path: &str) -> Result<Vec<TreeItem>, TreeError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_file_larger_than_what_is_left_is_not_read() {
        let source = SourceRequest {
            spec: SourceSpec::default(),
            tree: Arc::new(Sized),
            revision: String::new(),
            refs: BTreeMap::new(),
            is_chart_archive: false,
            packaged: Vec::new(),
            remotes: BTreeMap::new(),
        };
        let lookups = Lookups::new(100, Duration::from_secs(1), Cancellation::default());
        let mut trees = Trees::new(&source, 20, lookups);
        let mut read = |path: &str| trees.read(OWN, path).map(drop);
        let too_large = |result| matches!(result, Err(RenderError::InputTooLarge { limit: 20, path }) if path != "10");
        assert!(too_large(read("100000000000")));
        assert!(read("10").is_ok());
        assert!(too_large(read("11")));
        // A size that is not known beforehand counts when it is.
        assert!(read("unknown").is_ok());
        assert!(too_large(read("unknown")));
        assert!(read("3").is_ok());
    }
}
