//! Which files a rollback touches: those an application reads that differ between two commits, but
//! for those that other applications read too.

use std::collections::BTreeSet;

use gitops_api::preview::RestoredFile;

/// What another application of the same repository and branch reads.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// Name of the application.
    pub application: String,
    /// Files it read, and files whose absence mattered.
    pub paths: BTreeSet<String>,
    /// Folders whose names it listed.
    pub folders: BTreeSet<String>,
}

impl Reader {
    /// Whether a change of this file may change what the application renders to. A file that is
    /// added to a folder or taken from it matters to whoever lists the folder.
    fn reads(&self, path: &str, appears: bool) -> bool {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.paths.contains(path) || (appears && self.folders.contains(folder))
    }
}

/// A file the application reads that is not the same in both commits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Path from the top of the repository.
    pub path: String,
    /// It is not there in the earlier commit.
    pub delete: bool,
    /// It is not there in the later commit.
    pub appears: bool,
}

/// What happens to each file that differs.
pub fn files(
    differences: &BTreeSet<Difference>,
    others: &[Reader],
    include_shared: bool,
) -> Vec<RestoredFile> {
    differences
        .iter()
        .map(|difference| {
            let shared_with: Vec<String> = others
                .iter()
                .filter(|other| other.reads(&difference.path, difference.appears))
                .map(|other| other.application.clone())
                .collect();
            RestoredFile {
                path: difference.path.clone(),
                delete: difference.delete,
                left: !shared_with.is_empty() && !include_shared,
                shared_with,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_files_are_left_unless_asked_for() {
        let difference = |path: &str, delete, appears| Difference {
            path: path.into(),
            delete,
            appears,
        };
        let differences = BTreeSet::from([
            difference("apps/web/deploy.yaml", false, false),
            difference("base/new.yaml", true, false),
            difference("base/old.yaml", false, true),
            difference("base/other.yaml", false, false),
        ]);
        let other = Reader {
            application: "shop".into(),
            paths: BTreeSet::from(["base/new.yaml".to_owned()]),
            folders: BTreeSet::from(["base".to_owned()]),
        };
        let left = |include: bool| -> Vec<(String, bool, usize)> {
            files(&differences, std::slice::from_ref(&other), include)
                .into_iter()
                .map(|file| (file.path, file.left, file.shared_with.len()))
                .collect()
        };
        let expected = |left: bool| {
            [
                ("apps/web/deploy.yaml", false, 0),
                ("base/new.yaml", left, 1),
                // Nobody reads it now, but whoever lists the folder would.
                ("base/old.yaml", left, 1),
                ("base/other.yaml", false, 0),
            ]
            .map(|(path, left, shared)| (path.to_owned(), left, shared))
        };
        assert_eq!(left(false), expected(true));
        assert_eq!(left(true), expected(false));
    }
}
