//! The refs a server advertises, and which of their names look like a misspelt one. Resolving a
//! `targetRevision` to one of them is gitops-core's decision.

use std::collections::BTreeMap;

use gix::protocol::handshake::Ref;

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

    /// Short names of branches and tags that look like `revision`, best first, at most three.
    pub fn nearest(&self, revision: &str) -> Vec<String> {
        let wanted = short_name(revision).to_lowercase();
        let mut scored: Vec<(usize, &str)> = self
            .by_name
            .keys()
            .map(|name| short_name(name))
            .filter_map(|name| {
                let candidate = name.to_lowercase();
                let distance = edit_distance(&wanted, &candidate);
                let related = !wanted.is_empty()
                    && (candidate.contains(&wanted) || wanted.contains(&candidate));
                let near = distance <= 1 + wanted.chars().count() / 4;
                (near || related).then_some((if near { distance } else { distance + 100 }, name))
            })
            .collect();
        scored.sort_unstable();
        scored.dedup_by_key(|(_, name)| *name);
        scored
            .into_iter()
            .take(3)
            .map(|(_, name)| name.to_owned())
            .collect()
    }
}

fn short_name(name: &str) -> &str {
    name.strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/tags/"))
        .unwrap_or(name)
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_find_their_neighbours() {
        let names = [
            "heads/main",
            "heads/release-1.2",
            "heads/feature/login",
            "tags/v1.2.0",
            "tags/v1.3.0",
        ];
        let target = RefTarget {
            sha: "0".repeat(40),
            tag_object: None,
        };
        let by_name = names
            .iter()
            .map(|name| (format!("refs/{name}"), target.clone()))
            .collect();
        let refs = Refs {
            by_name,
            ..Refs::default()
        };
        let cases: [(&str, &[&str]); 6] = [
            ("mian", &["main"]),
            ("Main", &["main"]),
            ("refs/heads/maim", &["main"]),
            ("login", &["feature/login"]),
            ("1.2.0", &["v1.2.0", "v1.3.0"]),
            ("zzzzzz", &[]),
        ];
        for (wanted, expected) in cases {
            assert_eq!(refs.nearest(wanted), expected, "{wanted}");
        }
    }
}
