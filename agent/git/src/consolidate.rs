//! Merges the small packs that incremental fetches leave behind, one per fetch, so that a mirror
//! followed for months stays quick to read. Big packs are left alone: each object is copied a few
//! times in a mirror's life at most. Never drops an object, never contacts a server.

use std::collections::HashSet;
use std::fs;
use std::io::{BufReader, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use gix::error::{ErrorExt as _, ResultExt as _, message};
use gix::progress::Discard;
use gix_pack::data::output::count::PackLocation;
use gix_pack::data::output::entry::iter_from_counts;
use gix_pack::data::output::{Count, bytes};

use crate::generation::Generation;

/// Packs a mirror may have before they are merged.
const MAX_PACKS: usize = 24;
const HASH: gix::hash::Kind = gix::hash::Kind::Sha1;

/// Merges packs when there are too many; the lock of the mirror must be held. On an error
/// everything is as it was.
pub(crate) fn consolidate(generation: &Generation) -> gix::Result<()> {
    let directory = generation.path.join("objects/pack");
    let packs = packs(&directory)?;
    if packs.len() <= MAX_PACKS {
        return Ok(());
    }
    let (kept, merged) = packs.split_at(first_small(&packs));
    let counts = objects_only_in(kept, merged)?;
    let merged_pack = if counts.is_empty() {
        None
    } else {
        Some(write(generation, &directory, counts)?)
    };
    // Readers that look for an object from here on find it in the new pack.
    reopen(generation)?;
    for pack in merged
        .iter()
        .filter(|pack| Some(&pack.index) != merged_pack.as_ref())
    {
        // The index first: a pack without one is swept up later, an index without its pack would be
        // damage.
        fs::remove_file(&pack.index)
            .and_then(|()| fs::remove_file(pack.index.with_extension("pack")))
            .or_raise(|| message("cannot remove a merged pack"))?;
    }
    reopen(generation)
}

struct Pack {
    index: PathBuf,
    size: u64,
}

/// The packs in `directory`, biggest first.
fn packs(directory: &Path) -> gix::Result<Vec<Pack>> {
    let entries = fs::read_dir(directory).or_raise(|| message("cannot list packs"))?;
    let indices = entries.flatten().map(|entry| entry.path());
    let indices =
        indices.filter(|path| path.extension().is_some_and(|extension| extension == "idx"));
    let mut packs: Vec<Pack> = indices
        .filter_map(|index| {
            let size = fs::metadata(index.with_extension("pack")).ok()?.len();
            Some(Pack { index, size })
        })
        .collect();
    packs.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.index.cmp(&b.index)));
    Ok(packs)
}

/// Where the packs begin that are worth merging: those before are more than twice as big as all
/// after them together. At least two are merged.
fn first_small(packs: &[Pack]) -> usize {
    let mut rest: u64 = packs.iter().map(|pack| pack.size).sum();
    for (position, pack) in packs.iter().enumerate().take(packs.len().saturating_sub(2)) {
        rest -= pack.size;
        if pack.size <= rest.saturating_mul(2) {
            return position;
        }
    }
    packs.len().saturating_sub(2)
}

/// The objects of `merged` packs that no `kept` one has, each once.
fn objects_only_in(kept: &[Pack], merged: &[Pack]) -> gix::Result<Vec<Count>> {
    let open = |pack: &Pack| gix_pack::index::File::at(&pack.index, HASH);
    let kept = kept.iter().map(open).collect::<gix::Result<Vec<_>>>()?;
    let mut seen = HashSet::new();
    let mut counts = Vec::new();
    for pack in merged {
        let index = open(pack)?;
        for position in 0..index.num_objects() {
            let id = index.oid_at_index(position).to_owned();
            if kept.iter().all(|index| index.lookup(id).is_none()) && seen.insert(id) {
                counts.push(Count {
                    id,
                    entry_pack_location: PackLocation::NotLookedUp,
                });
            }
        }
    }
    Ok(counts)
}

/// Writes one pack of these objects, keeping their deltas, and returns the path of its index.
fn write(generation: &Generation, directory: &Path, counts: Vec<Count>) -> gix::Result<PathBuf> {
    let number = counts.len();
    let objects_in_pack =
        u32::try_from(number).or_raise(|| message("too many objects for one pack"))?;
    let mut database = generation.repository().objects.into_inner();
    database.prevent_pack_unload();
    let options = iter_from_counts::Options {
        thread_limit: Some(1),
        ..Default::default()
    };
    let entries = iter_from_counts(counts, database, Box::new(Discard), options)?;
    let mut file = tempfile::tempfile_in(directory).or_raise(|| message("cannot create a pack"))?;
    let output = BufWriter::new(&mut file);
    let entries = gix::parallel::InOrderIter::from(entries);
    let mut writer = bytes::FromEntriesIter::new(
        entries,
        output,
        objects_in_pack,
        gix_pack::data::Version::V2,
        HASH,
    );
    for written in writer.by_ref() {
        written?;
    }
    let cannot_write = || message("cannot write a pack");
    writer.into_write().flush().or_raise(cannot_write)?;
    file.rewind().or_raise(cannot_write)?;
    let outcome = gix_pack::Bundle::write_to_directory(
        &mut BufReader::new(file),
        Some(directory),
        &mut Discard,
        &AtomicBool::new(false),
        None::<gix::OdbHandle>,
        HASH,
        gix_pack::bundle::write::Options {
            thread_limit: Some(1),
            ..Default::default()
        },
    )?;
    if let Some(keep) = &outcome.keep_path {
        let _ = fs::remove_file(keep);
    }
    match outcome.index_path {
        Some(index) if outcome.index.num_objects as usize == number => Ok(index),
        _ => Err(message("the merged pack is not complete").raise()),
    }
}

fn reopen(generation: &Generation) -> gix::Result<()> {
    generation
        .reopen()
        .map_err(|error| std::io::Error::other(error).and_raise(message("cannot reopen")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packs_of_similar_size_are_merged() {
        let first = |sizes: &[u64]| {
            let pack = |size: &u64| Pack {
                index: PathBuf::new(),
                size: *size,
            };
            first_small(&sizes.iter().map(pack).collect::<Vec<_>>())
        };
        assert_eq!(first(&[1000, 10, 10, 10]), 1);
        assert_eq!(first(&[1000, 300, 10, 10, 10]), 2);
        assert_eq!(first(&[60, 10, 10, 10]), 0);
        assert_eq!(first(&[1000, 100, 10, 1]), 2);
        assert_eq!(first(&[5, 5]), 0);
    }
}
