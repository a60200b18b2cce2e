//! How commits relate: short ids, ancestry, distances. Says so when a shallow mirror cannot know.
//! Never contacts a server.

use std::collections::{BTreeSet, HashSet};

use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;

use crate::error::GitError;
use crate::generation::Generation;
use crate::mirror::Mirror;

/// Fewest digits of a shortened id, as git.
const SHORTEST_PREFIX: usize = 4;

impl Mirror {
    /// The one commit whose id begins with `prefix` (4 to 40 hexadecimal digits); none when there
    /// is none here, an error when there are several.
    pub fn find_short_sha(&self, prefix: &str) -> Result<Option<String>, GitError> {
        let digits = prefix.len();
        if !(SHORTEST_PREFIX..=40).contains(&digits)
            || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Ok(None);
        }
        let generation = self.generation();
        let damaged = |error: &gix::Error| {
            generation.read_error(self.url(), &format!("objects {prefix}…"), error)
        };
        let prefix_id = gix::hash::Prefix::from_hex(prefix).map_err(|error| damaged(&error))?;
        let mut candidates = HashSet::default();
        let repository = generation.repository();
        repository
            .objects
            .lookup_prefix(prefix_id, Some(&mut candidates))
            .map_err(|error| damaged(&error))?;
        let mut commits = BTreeSet::new();
        for candidate in candidates {
            commits.extend(
                self.peel(&generation, candidate)?
                    .map(|commit| commit.to_string()),
            );
        }
        if commits.len() > 1 {
            let candidates = commits.into_iter().take(5).collect();
            return Err(GitError::AmbiguousRevision {
                url: self.url().to_owned(),
                revision: prefix.to_owned(),
                candidates,
            });
        }
        Ok(commits.pop_first())
    }

    /// Whether `ancestor` is `descendant` or in its history.
    pub fn is_ancestor(&self, ancestor: &str, descendant: &str) -> Result<bool, GitError> {
        let generation = self.generation();
        let ancestor = self.existing_commit(&generation, ancestor)?;
        let descendant = self.existing_commit(&generation, descendant)?;
        if ancestor == descendant {
            return Ok(true);
        }
        // Nothing older can lead to it; clocks of committers disagree by less than this.
        let oldest = self
            .commit_seconds(&generation, ancestor)?
            .saturating_sub(CLOCK_SKEW);
        let walked = self.walk(
            &generation,
            descendant,
            Bounds::NotBefore(oldest),
            Some(ancestor),
        )?;
        match walked {
            Walked { stopped: true, .. } => Ok(true),
            Walked {
                incomplete: true, ..
            } => Err(self.too_shallow(descendant)),
            Walked { .. } => Ok(false),
        }
    }

    /// How many commits are in the history of `to` and not in that of `from`: how far `from` is
    /// behind.
    pub fn count_between(&self, from: &str, to: &str) -> Result<usize, GitError> {
        let generation = self.generation();
        let from = self.existing_commit(&generation, from)?;
        let to = self.existing_commit(&generation, to)?;
        let walked = self.walk(&generation, to, Bounds::WithoutHistoryOf(from), None)?;
        if walked.incomplete {
            Err(self.too_shallow(to))
        } else {
            Ok(walked.commits)
        }
    }

    fn commit_seconds(&self, generation: &Generation, id: gix::ObjectId) -> Result<i64, GitError> {
        let seconds = generation.read(|repository| {
            let time = repository.find_commit(id)?.time()?;
            Ok(Some(time.seconds))
        });
        let seconds = seconds.map_err(|error| self.unreadable_history(generation, id, &error))?;
        Ok(seconds.unwrap_or_default())
    }

    fn unreadable_history(
        &self,
        generation: &Generation,
        tip: gix::ObjectId,
        error: &gix::Error,
    ) -> GitError {
        generation.read_error(self.url(), &format!("history of {tip}"), error)
    }

    /// Visits `tip` and its history, newest first, up to and with `last`.
    fn walk(
        &self,
        generation: &Generation,
        tip: gix::ObjectId,
        bounds: Bounds,
        last: Option<gix::ObjectId>,
    ) -> Result<Walked, GitError> {
        let walked = generation.read(|repository| {
            let order = CommitTimeOrder::NewestFirst;
            let commits = repository.rev_walk([tip]);
            let commits = match bounds {
                Bounds::NotBefore(seconds) => {
                    commits.sorting(Sorting::ByCommitTimeCutoff { order, seconds })
                }
                Bounds::WithoutHistoryOf(hidden) => commits
                    .sorting(Sorting::ByCommitTime(order))
                    .with_hidden([hidden]),
            };
            let boundary = repository.shallow_commits()?;
            let boundary: HashSet<gix::ObjectId> = boundary
                .iter()
                .flat_map(|commits| commits.iter().copied())
                .collect();
            let mut walked = Walked::default();
            for commit in commits.all()? {
                let id = commit?.id;
                walked.commits += 1;
                walked.incomplete |= boundary.contains(&id);
                if Some(id) == last {
                    walked.stopped = true;
                    break;
                }
            }
            Ok(Some(walked))
        });
        let walked = walked.map_err(|error| self.unreadable_history(generation, tip, &error))?;
        Ok(walked.unwrap_or_default())
    }

    fn too_shallow(&self, revision: gix::ObjectId) -> GitError {
        GitError::HistoryTooShallow {
            url: self.url().to_owned(),
            revision: revision.to_string(),
        }
    }
}

/// Where a walk ends besides at the first commits.
#[derive(Clone, Copy)]
enum Bounds {
    /// At commits older than this, in seconds since 1970.
    NotBefore(i64),
    /// At this commit and everything in its history.
    WithoutHistoryOf(gix::ObjectId),
}

#[derive(Default)]
struct Walked {
    commits: usize,
    /// The last commit was reached.
    stopped: bool,
    /// A commit was visited whose parents are cut off.
    incomplete: bool,
}

/// Seconds by which clocks of committers may disagree.
const CLOCK_SKEW: i64 = 24 * 3600;
