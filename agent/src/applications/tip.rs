//! Where the tip of what an application follows is found, whether or not it renders.

use std::sync::Arc;

use gitops_git::Mirror;

use crate::applications::sources::resolved::ResolvedSource;

/// The first source in Git.
#[derive(Clone)]
pub(crate) struct Tip {
    /// Its place among the sources.
    pub(crate) place: usize,
    /// What holds its commits.
    pub(crate) mirror: Arc<Mirror>,
}

impl Tip {
    /// Of the sources as they were looked up.
    pub(crate) fn of(found: &[ResolvedSource]) -> Option<Self> {
        found.iter().enumerate().find_map(|(place, source)| {
            let mirror = source.checkout.as_ref()?.mirror.clone();
            Some(Self { place, mirror })
        })
    }
}
