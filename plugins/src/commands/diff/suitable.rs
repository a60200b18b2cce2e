//! Which sources of an Application a working tree can stand in for, and what to call it. Pure:
//! what the tree is a clone of is a parameter.

use gitops_api::ApplicationSource;
use gitops_kit::text;

use crate::git::WorkingTree;

/// Why a working tree cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsuitable {
    /// It is a clone of none of the Application's repositories.
    OtherRepository {
        /// The repositories the Application names.
        wanted: Vec<String>,
        /// The remotes of the clone.
        remotes: Vec<String>,
    },
    /// A source comes from elsewhere and cannot be fetched from here.
    Elsewhere {
        /// Number of the source, from 1.
        number: usize,
        /// What it is.
        what: String,
    },
}

/// Whether every source can be rendered from the working tree. `is_of`: whether it is a clone of
/// a repository.
pub fn check(
    sources: &[ApplicationSource],
    tree: &WorkingTree,
    is_of: impl Fn(&str) -> bool,
) -> Result<(), Unsuitable> {
    let is_here = |source: &ApplicationSource| source.chart.is_empty() && is_of(&source.repo_url);
    if !sources.iter().any(is_here) {
        let mut wanted: Vec<String> = sources
            .iter()
            .filter(|source| source.chart.is_empty())
            .map(|source| shown(&source.repo_url))
            .collect();
        wanted.dedup();
        return Err(Unsuitable::OtherRepository {
            wanted,
            remotes: tree.remotes.iter().map(|remote| shown(remote)).collect(),
        });
    }
    for (index, source) in sources.iter().enumerate() {
        if is_here(source) {
            continue;
        }
        let what = if source.chart.is_empty() {
            format!("the repository {}", shown(&source.repo_url))
        } else {
            text::one_line(&format!(
                "the chart {} of {}",
                source.chart,
                shown(&source.repo_url)
            ))
        };
        return Err(Unsuitable::Elsewhere {
            number: index + 1,
            what,
        });
    }
    Ok(())
}

/// The Git side: `working tree ./shop (topic@91be07a, 2 files changed)`.
pub fn side(directory: &str, tree: &WorkingTree) -> String {
    let branch = tree.branch.as_deref().map(text::one_line);
    let commit = tree.commit.as_deref().map(text::short_revision);
    let at = match (branch, commit) {
        (Some(branch), Some(commit)) => format!("{branch}@{commit}, "),
        (Some(branch), None) => format!("{branch}, no commit yet, "),
        (None, Some(commit)) => format!("{commit}, "),
        (None, None) => String::new(),
    };
    let changed = match tree.changed {
        0 => "as committed".to_owned(),
        1 => "1 file changed".to_owned(),
        count => format!("{count} files changed"),
    };
    format!("working tree {} ({at}{changed})", text::one_line(directory))
}

fn shown(url: &str) -> String {
    text::one_line(&crate::git::redact(url))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;

    fn tree() -> WorkingTree {
        WorkingTree {
            top: PathBuf::from("/home/ana/shop"),
            remotes: vec!["https://ana:token@host/acme/shop".into()],
            branch: Some("topic".into()),
            commit: Some("91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687".into()),
            changed: 2,
        }
    }

    fn checked(sources: &Value) -> Result<(), Unsuitable> {
        let sources: Vec<ApplicationSource> = serde_json::from_value(sources.clone()).unwrap();
        check(&sources, &tree(), |url| url.ends_with("/acme/shop"))
    }

    #[test]
    fn all_sources_have_to_be_here() {
        let here = json!({"repoURL": "git@host:/acme/shop", "path": "a"});
        let values = json!({"repoURL": "https://host/acme/shop", "ref": "values"});
        assert_eq!(checked(&json!([here])), Ok(()));
        assert_eq!(checked(&json!([here, values])), Ok(()));
        let other = json!({"repoURL": "https://u:p@host/other", "path": "a"});
        assert_eq!(
            checked(&json!([other])),
            Err(Unsuitable::OtherRepository {
                wanted: vec!["https://host/other".into()],
                remotes: vec!["https://host/acme/shop".into()],
            })
        );
        let chart = json!({"repoURL": "https://charts", "chart": "web"});
        assert_eq!(
            checked(&json!([values, chart])),
            Err(Unsuitable::Elsewhere {
                number: 2,
                what: "the chart web of https://charts".into()
            })
        );
    }

    #[test]
    fn the_working_tree_is_named() {
        let mut tree = tree();
        assert_eq!(
            side("./shop", &tree),
            "working tree ./shop (topic@91be07a, 2 files changed)"
        );
        tree.branch = None;
        tree.changed = 0;
        assert_eq!(side(".", &tree), "working tree . (91be07a, as committed)");
    }
}
