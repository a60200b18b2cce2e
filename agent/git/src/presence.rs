//! Whether objects are in the mirror, as far as can be told without reading all of them, and what a
//! name leads to. Never contacts a server.

use crate::error::GitError;
use crate::generation::Generation;
use crate::mirror::Mirror;

const HASH: gix::hash::Kind = gix::hash::Kind::Sha1;
/// Tags of tags exist; endless chains do not.
const MAX_TAG_DEPTH: usize = 8;

/// Commits read to find out whether the disk is to blame for a failed exchange.
const MAX_CHECKED: usize = 2000;

/// What an id leads to.
enum Found {
    Commit {
        id: gix::ObjectId,
        tree: gix::ObjectId,
    },
    Other,
}

impl Mirror {
    /// Those of `ids` that are not here. A commit without its directory listing is damage.
    pub(crate) fn missing(
        &self,
        generation: &Generation,
        ids: &[gix::ObjectId],
    ) -> Result<Vec<gix::ObjectId>, GitError> {
        let mut missing = Vec::new();
        for id in ids {
            match self.find(generation, *id)? {
                None => missing.push(*id),
                Some(Found::Other) => {}
                Some(Found::Commit { id, tree }) => {
                    let listing = generation.read(|repository| repository.try_find_header(tree));
                    let listing =
                        listing.map_err(|error| self.unreadable(generation, id, &error))?;
                    if listing.is_none() {
                        let reason =
                            format!("commit {id}: its directory listing {tree} is missing");
                        return Err(generation.report_damage(self.url(), &reason));
                    }
                }
            }
        }
        Ok(missing)
    }

    /// The commit `id` is or (as a tag) points to; none when it is not here or something else.
    pub(crate) fn peel(
        &self,
        generation: &Generation,
        id: gix::ObjectId,
    ) -> Result<Option<gix::ObjectId>, GitError> {
        Ok(match self.find(generation, id)? {
            Some(Found::Commit { id, .. }) => Some(id),
            Some(Found::Other) | None => None,
        })
    }

    /// An exchange may fail because of what it read from disk: then the disk is to blame.
    pub(crate) fn unless_damaged(&self, generation: &Generation, error: GitError) -> GitError {
        if !matches!(
            error,
            GitError::Protocol { .. } | GitError::Unreachable { .. }
        ) {
            return error;
        }
        let tips = generation.tips();
        // What a negotiation reads. A pack that ends too early looks like a connection that does.
        let history = generation.read(|repository| {
            for commit in repository
                .rev_walk(tips.iter().copied())
                .all()?
                .take(MAX_CHECKED)
            {
                commit?;
            }
            Ok(Some(()))
        });
        if let Err(error) = history {
            return generation.read_error(self.url(), "its history", &error);
        }
        for tip in tips {
            match self.missing(generation, &[tip]) {
                Ok(missing) if missing.is_empty() => {}
                Ok(_) => {
                    let reason = format!("commit {tip}, fetched before, is missing");
                    return generation.report_damage(self.url(), &reason);
                }
                Err(damage) => return damage,
            }
        }
        error
    }

    fn find(&self, generation: &Generation, id: gix::ObjectId) -> Result<Option<Found>, GitError> {
        let found = generation.read(|repository| {
            let mut id = id;
            for _ in 0..MAX_TAG_DEPTH {
                let Some(object) = repository.try_find_object(id)? else {
                    return Ok(None);
                };
                match object.kind {
                    gix::object::Kind::Commit => {
                        let tree =
                            gix::objs::CommitRefIter::from_bytes(&object.data, HASH).tree_id()?;
                        return Ok(Some(Found::Commit { id, tree }));
                    }
                    gix::object::Kind::Tag => {
                        id = gix::objs::TagRefIter::from_bytes(&object.data, HASH).target_id()?;
                    }
                    gix::object::Kind::Tree | gix::object::Kind::Blob => break,
                }
            }
            Ok(Some(Found::Other))
        });
        found.map_err(|error| self.unreadable(generation, id, &error))
    }

    fn unreadable(
        &self,
        generation: &Generation,
        id: gix::ObjectId,
        error: &gix::Error,
    ) -> GitError {
        generation.read_error(self.url(), &format!("object {id}"), error)
    }
}
