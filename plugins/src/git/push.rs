//! Pushes one commit to one branch: forward, or not at all.

use gitops_kit::text;

use crate::git::error::GitError;
use crate::git::program::{ASK, TRANSFER, said};
use crate::git::redact::redact;
use crate::git::repository::{Repository, reference};

/// Where to push, and what is expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Branch.
    pub branch: &'a str,
    /// Commit it has to be at; `None`: it must not exist.
    pub expected: Option<&'a str>,
}

/// How a push ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The branch is at the commit.
    Done,
    /// Somebody else was faster; the branch is at this commit (`None`: it is gone).
    Raced(Option<String>),
    /// The server accepts no push to this branch; what it said.
    Protected(String),
}

impl Repository {
    /// Finds out whether a push would be accepted, as far as a server tells without one: the
    /// credentials and the state of the branch. Its own rules are only known by pushing.
    pub async fn try_push(&self, commit: &str, target: Target<'_>) -> Result<Pushed, GitError> {
        self.push_with(commit, target, &["--dry-run", "--no-verify"])
            .await
    }

    /// Pushes a commit to a branch.
    pub async fn push(&self, commit: &str, target: Target<'_>) -> Result<Pushed, GitError> {
        self.push_with(commit, target, &[]).await
    }

    async fn push_with(
        &self,
        commit: &str,
        target: Target<'_>,
        options: &[&str],
    ) -> Result<Pushed, GitError> {
        let reference = reference(target.branch)?;
        if let Some(expected) = target.expected
            && !self.is_ancestor(expected, commit).await?
        {
            return Err(GitError::Failed {
                what: format!("push to {}", target.branch),
                reason: format!("commit {commit} would replace {expected} instead of following it"),
            });
        }
        // The lease makes the server compare: the branch is where it was looked at, or nothing
        // happens. The commit follows it, so nothing is ever overwritten.
        let lease = format!(
            "--force-with-lease={reference}:{}",
            target.expected.unwrap_or_default()
        );
        let refspec = format!("{commit}:{reference}");
        let mut arguments = vec!["push", "--porcelain", "--no-recurse-submodules", &lease];
        arguments.extend(options);
        arguments.extend(["--", &self.remote, &refspec]);
        let limit = if options.is_empty() { TRANSFER } else { ASK };
        let output = self.git.run(&arguments, &[], limit).await?;
        if output.status.success() {
            return Ok(Pushed::Done);
        }
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        let verdict = verdict(&report, &String::from_utf8_lossy(&output.stderr));
        // The answer may have been lost on its way: what counts is where the branch is.
        let tip = match &verdict {
            Verdict::Protected(_) => None,
            _ => self.tip(target.branch).await.ok(),
        };
        if options.is_empty()
            && tip
                .as_ref()
                .is_some_and(|tip| tip.as_deref() == Some(commit))
        {
            return Ok(Pushed::Done);
        }
        match verdict {
            Verdict::Protected(reason) => Ok(Pushed::Protected(reason)),
            Verdict::Raced => Ok(Pushed::Raced(match tip {
                Some(tip) => tip,
                None => self.tip(target.branch).await?,
            })),
            Verdict::Unknown => Err(GitError::of_server(self.url(), said(&output))),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Raced,
    Protected(String),
    /// No word about the branch: the conversation itself failed.
    Unknown,
}

/// Reads `git push --porcelain`.
fn verdict(report: &str, stderr: &str) -> Verdict {
    let Some(line) = report.lines().find(|line| line.starts_with("!\t")) else {
        return Verdict::Unknown;
    };
    let summary = line.rsplit('\t').next().unwrap_or_default();
    let lower = summary.to_lowercase();
    let raced = [
        "stale info",
        "fetch first",
        "non-fast-forward",
        "remote ref updated since checkout",
        "cannot lock ref",
        "failed to update ref",
        "failed to lock",
        "incorrect old value",
        "reference already exists",
    ];
    if raced.iter().any(|sign| lower.contains(sign)) {
        return Verdict::Raced;
    }
    if lower.contains("[remote rejected]") {
        return Verdict::Protected(refusal(summary, stderr));
    }
    Verdict::Unknown
}

/// Why a server refused: what it wrote itself, then git's summary.
fn refusal(summary: &str, stderr: &str) -> String {
    let clean = redact(stderr);
    let mut told: Vec<&str> = clean
        .lines()
        .filter_map(|line| line.strip_prefix("remote:"))
        .map(|line| line.trim().trim_start_matches("error:").trim())
        .filter(|line| !line.is_empty())
        .take(6)
        .collect();
    let summary = redact(summary.trim_start_matches("[remote rejected]").trim());
    let summary = summary.trim_start_matches('(').trim_end_matches(')');
    told.push(summary);
    text::one_line(&told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_about_a_branch() {
        let line =
            |summary: &str| format!("To https://host/x\n!\tabc:refs/heads/main\t{summary}\nDone\n");
        for summary in [
            "[rejected] (stale info)",
            "[rejected] (fetch first)",
            "[rejected] (non-fast-forward)",
            "[remote rejected] (cannot lock ref 'refs/heads/main': is at 1 but expected 2)",
            "[remote rejected] (failed to update ref)",
        ] {
            assert_eq!(verdict(&line(summary), ""), Verdict::Raced, "{summary}");
        }
        assert_eq!(
            verdict(
                &line("[remote rejected] (protected branch hook declined)"),
                "remote: error: GH006: Protected branch update failed.\nremote: \u{1b}[2Jx\nerror: failed"
            ),
            Verdict::Protected(
                "GH006: Protected branch update failed.; [2Jx; protected branch hook declined"
                    .into()
            )
        );
        assert_eq!(verdict("", "fatal: unable to access"), Verdict::Unknown);
    }
}
