//! The refs a server advertises. Resolving a `targetRevision` to one of them, and which of their
//! names look like a misspelt one, is gitops-core's decision.

use std::collections::BTreeMap;

use gix::protocol::handshake::Ref;

/// Most refs taken from one repository. All are kept in memory, for each repository that is followed.
pub(crate) const MAX_REFS: usize = 100_000;
/// Longest list of refs taken, in bytes: as many refs with names of usual length.
pub(crate) const MAX_LISTING_BYTES: u64 = 8 << 20;

/// Why a list of refs was cut off, and what to do.
pub(crate) fn listing_too_long() -> String {
    format!(
        "its list of refs has more than {MAX_LISTING_BYTES} bytes or {MAX_REFS} refs; delete branches and tags nobody needs"
    )
}

/// What one ref points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefTarget {
    /// The commit, also when the ref names an annotated tag.
    pub sha: String,
    /// The tag object, when the ref names an annotated tag.
    pub tag_object: Option<String>,
}

impl RefTarget {
    /// The object to ask a server for: servers of protocol version 0 give out only what they
    /// advertise.
    pub(crate) fn advertised(&self) -> &str {
        self.tag_object.as_deref().unwrap_or(&self.sha)
    }
}

/// The branches, tags and HEAD of a repository at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    /// The full name of the branch HEAD points to (`refs/heads/main`); none when HEAD is detached
    /// or not advertised.
    pub head: Option<String>,
    /// The commit HEAD points to; none in an empty repository.
    pub head_sha: Option<String>,
    /// Branches and tags by full name (`refs/heads/main`, `refs/tags/v1`), in the server's (sorted)
    /// order.
    pub by_name: BTreeMap<String, RefTarget>,
}

impl Refs {
    pub(crate) fn from_advertised(advertised: Vec<Ref>) -> Self {
        let mut refs = Self::default();
        for reference in advertised {
            let (name, symbolic_target, target) = match reference {
                Ref::Peeled {
                    full_ref_name,
                    tag,
                    object,
                } => {
                    let target = RefTarget {
                        sha: object.to_string(),
                        tag_object: Some(tag.to_string()),
                    };
                    (full_ref_name, None, Some(target))
                }
                Ref::Direct {
                    full_ref_name,
                    object,
                } => (
                    full_ref_name,
                    None,
                    Some(RefTarget {
                        sha: object.to_string(),
                        tag_object: None,
                    }),
                ),
                Ref::Symbolic {
                    full_ref_name,
                    target,
                    tag,
                    object,
                } => {
                    let tag_object = tag.map(|id| id.to_string());
                    (
                        full_ref_name,
                        Some(target),
                        Some(RefTarget {
                            sha: object.to_string(),
                            tag_object,
                        }),
                    )
                }
                Ref::Unborn {
                    full_ref_name,
                    target,
                } => (full_ref_name, Some(target), None),
            };
            let Ok(name) = String::from_utf8(name.into()) else {
                // A name no targetRevision (a Kubernetes string) could spell.
                continue;
            };
            if name == "HEAD" {
                refs.head =
                    symbolic_target.and_then(|target| String::from_utf8(target.into()).ok());
                refs.head_sha = target.map(|target| target.sha);
            } else if let Some(target) = target
                && (name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
            {
                refs.by_name.insert(name, target);
            }
        }
        refs
    }
}
