//! One directory listing of Git, kept as Git stores it with an index of its entries, so that a
//! directory of ten thousand files costs little more than its bytes and a look-up is a binary
//! search. Never reads an object by itself.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::object_id::ObjectId;

/// What an entry is, by the mode Git stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    File,
    Executable,
    Symlink,
    Tree,
    Submodule,
}

/// One entry of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry<'a> {
    pub(crate) mode: Mode,
    pub(crate) name: &'a [u8],
    pub(crate) id: ObjectId,
}

/// A listing: the raw object and where each entry begins.
#[derive(Debug)]
pub(crate) struct Tree {
    data: Box<[u8]>,
    entries: Box<[u32]>,
}

const ID_LENGTH: usize = 20;

impl Tree {
    /// Reads the raw object; none when it is malformed.
    pub(crate) fn parse(data: Vec<u8>) -> Option<Self> {
        let mut entries = Vec::new();
        let mut position = 0;
        while position < data.len() {
            entries.push(u32::try_from(position).ok()?);
            let (_, length) = parse_entry(&data[position..])?;
            position += length;
        }
        Some(Self {
            data: data.into_boxed_slice(),
            entries: entries.into_boxed_slice(),
        })
    }

    /// All entries, in Git's order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = TreeEntry<'_>> {
        self.entries
            .iter()
            .filter_map(|&position| self.at(position))
    }

    fn at(&self, position: u32) -> Option<TreeEntry<'_>> {
        parse_entry(&self.data[position as usize..]).map(|(entry, _)| entry)
    }

    /// The entry with this name. Git sorts directories as if their names ended in `/`, hence two
    /// searches.
    pub(crate) fn find(&self, name: &[u8]) -> Option<TreeEntry<'_>> {
        [false, true].into_iter().find_map(|as_tree| {
            let order = |position: &u32| {
                self.at(*position)
                    .map_or(Ordering::Less, |entry| compare(&entry, name, as_tree))
            };
            let index = self.entries.binary_search_by(order).ok()?;
            self.at(self.entries[index])
                .filter(|entry| entry.name == name)
        })
    }

    /// Bytes of memory this takes.
    fn cost(&self) -> usize {
        self.data.len() + 4 * self.entries.len() + 128
    }
}

/// The order Git keeps entries in.
fn compare(entry: &TreeEntry<'_>, name: &[u8], as_tree: bool) -> Ordering {
    let slash = |tree: bool| tree.then_some(&b'/');
    let left = entry.name.iter().chain(slash(entry.mode == Mode::Tree));
    left.cmp(name.iter().chain(slash(as_tree)))
}

/// Reads `MODE NAME\0ID`; also says how long it is.
fn parse_entry(data: &[u8]) -> Option<(TreeEntry<'_>, usize)> {
    let space = data.iter().take(8).position(|byte| *byte == b' ')?;
    let end = space + 1 + data[space + 1..].iter().position(|byte| *byte == 0)?;
    let name = &data[space + 1..end];
    let id = data.get(end + 1..end + 1 + ID_LENGTH)?.try_into().ok()?;
    let mode = data[..space].iter().try_fold(0u32, |mode, digit| {
        char::from(*digit)
            .to_digit(8)
            .map(|digit| mode << 3 | digit)
    })?;
    let mode = match mode >> 12 {
        0o04 => Mode::Tree,
        0o10 if mode & 0o100 != 0 => Mode::Executable,
        0o10 => Mode::File,
        0o12 => Mode::Symlink,
        0o16 => Mode::Submodule,
        _ => return None,
    };
    if name.is_empty() {
        return None;
    }
    Some((
        TreeEntry {
            mode,
            name,
            id: ObjectId::from_bytes(id),
        },
        end + 1 + ID_LENGTH,
    ))
}

/// Listings read before, up to a number of bytes; the longest unused go first.
#[derive(Debug, Default)]
pub(crate) struct TreeCache {
    inner: Mutex<CacheInner>,
}

#[derive(Debug, Default)]
struct CacheInner {
    trees: HashMap<ObjectId, (Arc<Tree>, u64)>,
    bytes: usize,
    clock: u64,
}

/// Bytes of listings kept for one snapshot; snapshots live as long as one evaluation.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

impl TreeCache {
    pub(crate) fn get(&self, id: &ObjectId) -> Option<Arc<Tree>> {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        let (tree, used) = inner.trees.get_mut(id)?;
        *used = now;
        Some(tree.clone())
    }

    pub(crate) fn put(&self, id: ObjectId, tree: &Arc<Tree>) {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        if inner.trees.insert(id, (tree.clone(), now)).is_none() {
            inner.bytes += tree.cost();
        }
        while inner.bytes > CACHE_BYTES && inner.trees.len() > 1 {
            let oldest = inner
                .trees
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(id, _)| *id);
            let Some((tree, _)) = oldest.and_then(|id| inner.trees.remove(&id)) else {
                break;
            };
            inner.bytes = inner.bytes.saturating_sub(tree.cost());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut data = Vec::new();
        for (mode, name) in entries {
            data.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            data.extend_from_slice(&[name.len() as u8; ID_LENGTH]);
        }
        data
    }

    #[test]
    fn finds_every_entry_in_gits_order() {
        // `a.b` sorts before the directory `a` (as `a/`), which sorts before `a0`.
        let entries = [
            ("100644", "a-b"),
            ("100644", "a.b"),
            ("40000", "a"),
            ("100755", "a0"),
            ("120000", "l"),
            ("160000", "m"),
            ("100664", "old"),
        ];
        let modes = [
            Mode::File,
            Mode::File,
            Mode::Tree,
            Mode::Executable,
            Mode::Symlink,
            Mode::Submodule,
            Mode::File,
        ];
        let tree = Tree::parse(raw(&entries)).unwrap();
        for ((_, name), mode) in entries.iter().zip(modes) {
            assert_eq!(
                tree.find(name.as_bytes()).map(|entry| entry.mode),
                Some(mode),
                "{name}"
            );
        }
        for name in ["", "a/", "b", "zzz"] {
            assert_eq!(tree.find(name.as_bytes()), None, "{name}");
        }
        assert_eq!(tree.entries().count(), entries.len());
    }

    #[test]
    fn malformed_listings_are_refused() {
        let whole = raw(&[("100644", "a")]);
        for data in [
            &whole[..whole.len() - 1],
            b"100644a\0",
            b"9 a\0aaaaaaaaaaaaaaaaaaaa",
            b"100644 \0aaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(Tree::parse(data.to_vec()).is_none(), "{data:?}");
        }
        assert_eq!(Tree::parse(Vec::new()).unwrap().entries().count(), 0);
    }

    #[test]
    fn the_cache_stays_within_its_limit() {
        let cache = TreeCache::default();
        let big = Arc::new(Tree::parse(raw(&[("100644", &"x".repeat(1024 * 1024))])).unwrap());
        let id = |n: u8| ObjectId::from_bytes([n; ID_LENGTH]);
        for n in 0..10 {
            cache.put(id(n), &big);
            assert!(cache.get(&id(0)).is_some() || n > 3);
        }
        let kept = (0..10).filter(|n| cache.get(&id(*n)).is_some()).count();
        assert_eq!(kept, 3);
    }
}
