//! What the commit says, for users and for the next rollback.

use gitops_kit::text::{one_line, short_revision};
use gitops_views::rollback::gates::Gate;
use gitops_views::rollback::plan::Kind;

/// Trailer that names the Application: `NAMESPACE/NAME`.
pub const APP: &str = "Gitops-Rollback-App";
/// Trailer: the commit the files were restored upon.
pub const FROM: &str = "Gitops-Rollback-From";
/// Trailer: the commit they were restored from.
pub const TO: &str = "Gitops-Rollback-To";
/// Trailer: digest of what it renders to.
pub const DIGEST: &str = "Gitops-Rollback-Digest";
/// Trailer: why.
pub const REASON: &str = "Gitops-Rollback-Reason";
/// Trailer: a commit whose changes are taken back, one a line.
pub const UNDOES: &str = "Gitops-Rollback-Undoes";
/// Trailer: what was allowed by name.
pub const ALLOWED: &str = "Gitops-Rollback-Allowed";
/// Trailer: the rollback that this commit takes back.
pub const UNDO_OF: &str = "Gitops-Rollback-Undo-Of";

/// Most commits named as undone.
const MAX_UNDONE: usize = 50;
/// Most characters of the subject's path.
const MAX_PATH_CHARACTERS: usize = 60;

/// A commit's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What kind.
    pub kind: &'a Kind,
    /// Namespace of the Application.
    pub namespace: &'a str,
    /// Name of the Application.
    pub application: &'a str,
    /// The Application's directory.
    pub path: &'a str,
    /// Commit it follows.
    pub from: &'a str,
    /// Commit the files come from.
    pub to: &'a str,
    /// First line of that commit's message.
    pub to_subject: &'a str,
    /// Number of files.
    pub files: usize,
    /// Digest of the result.
    pub digest: &'a str,
    /// Why, as the user said.
    pub reason: Option<&'a str>,
    /// Commits whose changes are taken back, newest first.
    pub undoes: &'a [String],
    /// Gates that were opened.
    pub allowed: &'a [Gate],
}

impl Message<'_> {
    /// First line.
    pub fn subject(&self) -> String {
        let app = one_line(self.application);
        let path = one_line(self.path);
        let path = match path.trim_matches('/') {
            "" | "." => "all files",
            path if path.chars().count() > MAX_PATH_CHARACTERS => "its files",
            path => path,
        };
        match self.kind {
            Kind::Restore => {
                format!(
                    "rollback({app}): restore {path} to {}",
                    short_revision(self.to)
                )
            }
            Kind::Revert(commits) => {
                let named: Vec<&str> = commits
                    .iter()
                    .take(3)
                    .map(|id| short_revision(id))
                    .collect();
                let more = if commits.len() > 3 { " and more" } else { "" };
                format!("rollback({app}): undo {}{more} in {path}", named.join(", "))
            }
            Kind::Undo(commit) => format!(
                "rollback({app}): undo the rollback {}, restore {path}",
                short_revision(commit)
            ),
        }
    }

    /// The whole message. What comes from users or the cluster is on one line each, so that it
    /// cannot pretend to be a trailer.
    pub fn text(&self) -> String {
        let files = if self.files == 1 {
            "1 file".to_owned()
        } else {
            format!("{} files", self.files)
        };
        let mut text = self.subject();
        text.push_str("\n\n");
        let body = match self.kind {
            Kind::Revert(_) => format!("Takes back what the commits below did to {files}.\n"),
            Kind::Restore | Kind::Undo(_) => format!(
                "Restores {files} to what they were at {} \"{}\";\nall others stay as they are.\n",
                short_revision(self.to),
                one_line(self.to_subject)
            ),
        };
        text.push_str(&body);
        text.push('\n');
        let mut trailer = |name: &str, value: &str| {
            let value = one_line(value);
            if !value.is_empty() {
                text.extend([name, ": ", &value, "\n"]);
            }
        };
        trailer(APP, &format!("{}/{}", self.namespace, self.application));
        trailer(FROM, self.from);
        if !matches!(self.kind, Kind::Revert(_)) {
            trailer(TO, self.to);
        }
        trailer(DIGEST, self.digest);
        trailer(REASON, self.reason.unwrap_or_default());
        if let Kind::Undo(commit) = self.kind {
            trailer(UNDO_OF, commit);
        }
        for commit in self.undoes.iter().take(MAX_UNDONE) {
            trailer(UNDOES, commit);
        }
        for gate in self.allowed {
            trailer(ALLOWED, gate.name());
        }
        text
    }
}

/// The line of a message that a rollback of this Application has.
pub fn app_line(namespace: &str, application: &str) -> String {
    format!("{APP}: {}", one_line(&format!("{namespace}/{application}")))
}

/// Name of the branch a pull request comes from: the same for the same rollback, so that asking
/// twice finds the first.
pub fn branch_name(application: &str, to: &str, kind: &Kind) -> String {
    let clean = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                    c
                } else {
                    '-'
                }
            })
            .collect::<String>()
            .trim_matches('-')
            .to_owned()
    };
    let app = clean(application);
    let to = clean(short_revision(to));
    match kind {
        Kind::Restore => format!("gitops/rollback/{app}/{to}"),
        Kind::Revert(commits) => {
            let named: Vec<&str> = commits.iter().map(|id| short_revision(id)).collect();
            format!("gitops/rollback/{app}/without-{}", clean(&named.join("-")))
        }
        Kind::Undo(commit) => {
            format!(
                "gitops/rollback/{app}/undo-{}",
                clean(short_revision(commit))
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM_ID: &str = "91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687";
    const TO_ID: &str = "4c1d88e0c2f5e1d4b3a29687f0e1d2c3b4a59687";

    fn message<'a>(kind: &'a Kind, undoes: &'a [String]) -> Message<'a> {
        Message {
            kind,
            namespace: "team-a",
            application: "web",
            path: "apps/web",
            from: FROM_ID,
            to: TO_ID,
            to_subject: "Raise web memory",
            files: 1,
            digest: "sha256:1",
            reason: Some("INC-4411\nGitops-Rollback-App: x/y"),
            undoes,
            allowed: &[Gate::DataLoss],
        }
    }

    #[test]
    fn a_restoring_commit() {
        let undoes = [FROM_ID.to_owned()];
        insta::assert_snapshot!(message(&Kind::Restore, &undoes).text(), @r#"
        rollback(web): restore apps/web to 4c1d88e

        Restores 1 file to what they were at 4c1d88e "Raise web memory";
        all others stay as they are.

        Gitops-Rollback-App: team-a/web
        Gitops-Rollback-From: 91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687
        Gitops-Rollback-To: 4c1d88e0c2f5e1d4b3a29687f0e1d2c3b4a59687
        Gitops-Rollback-Digest: sha256:1
        Gitops-Rollback-Reason: INC-4411 Gitops-Rollback-App: x/y
        Gitops-Rollback-Undoes: 91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687
        Gitops-Rollback-Allowed: data-loss
        "#);
    }

    #[test]
    fn subjects_and_branches() {
        let revert = Kind::Revert(vec![FROM_ID.to_owned(), TO_ID.to_owned()]);
        let undo = Kind::Undo(FROM_ID.to_owned());
        assert_eq!(
            message(&revert, &[]).subject(),
            "rollback(web): undo 91be07a, 4c1d88e in apps/web"
        );
        assert_eq!(
            message(&undo, &[]).subject(),
            "rollback(web): undo the rollback 91be07a, restore apps/web"
        );
        assert!(
            message(&undo, &[])
                .text()
                .contains("Gitops-Rollback-Undo-Of: 91be07a0")
        );
        let branch = |kind| branch_name("we b..x", TO_ID, kind);
        for (kind, expected) in [
            (&Kind::Restore, "gitops/rollback/we-b--x/4c1d88e"),
            (&revert, "gitops/rollback/we-b--x/without-91be07a-4c1d88e"),
            (&undo, "gitops/rollback/we-b--x/undo-91be07a"),
        ] {
            assert_eq!(branch(kind), expected);
            assert!(crate::git::valid_branch(&branch(kind)));
        }
    }
}
