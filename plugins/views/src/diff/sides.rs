//! What is compared, in words: the cluster on one side, a revision or a working tree on the other.

use gitops_api::preview::PreviewObject;
use gitops_api::status::CommitSummary;
use gitops_api::{Application, ApplicationSource};
use gitops_kit::text;
use jiff::Timestamp;

/// The Git side: `Git main@91be07a "Bump web" by ana 2d ago`. `asked`: revisions to use instead of
/// the Application's own, one a source; `rendered`: what was really used, one a source.
pub fn of_git(
    application: &Application,
    asked: &[String],
    rendered: &[String],
    now: Timestamp,
) -> String {
    let sources = application.spec.effective_sources();
    // The first source that renders something says most; the others are only counted.
    let main = sources
        .iter()
        .position(|source| source.ref_name.is_empty() || !source.path.is_empty())
        .unwrap_or(0);
    let Some(source) = sources.get(main) else {
        return "Git".to_owned();
    };
    let revision = rendered.get(main).map_or("", String::as_str);
    let name = asked
        .get(main)
        .or(asked.first())
        .filter(|asked| !asked.is_empty())
        .unwrap_or(&source.target_revision);
    let side = if source.chart.is_empty() {
        let commit = commit(application, revision).map_or(String::new(), |c| described(c, now));
        format!("Git {}{commit}", named(name, revision))
    } else {
        chart(source, revision)
    };
    let others = match sources.len() {
        0 | 1 => String::new(),
        2 => " and 1 other source".to_owned(),
        count => format!(" and {} other sources", count - 1),
    };
    side + &others
}

/// `main@91be07a`; a commit by itself where nothing else names it.
fn named(name: &str, revision: &str) -> String {
    let short = text::one_line(text::short_revision(revision));
    let name = if name.is_empty() { "HEAD" } else { name };
    if revision.is_empty() {
        return text::one_line(text::short_revision(name));
    }
    let is_commit = name.len() >= 7
        && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        && revision.starts_with(&name.to_ascii_lowercase());
    if is_commit || name == revision {
        short
    } else {
        format!("{}@{short}", text::one_line(name))
    }
}

fn chart(source: &ApplicationSource, version: &str) -> String {
    let version = if version.is_empty() {
        &source.target_revision
    } else {
        version
    };
    text::one_line(&format!("chart {} {version}", source.chart))
}

/// What the Application's status knows of a commit.
fn commit<'a>(application: &'a Application, revision: &str) -> Option<&'a CommitSummary> {
    let status = application.status.as_ref()?;
    let live = status.live.iter();
    let known = live
        .flat_map(|live| [Some(&live.commit), live.changed.as_ref()])
        .chain(status.history.iter().map(|entry| entry.commit.as_ref()));
    known
        .flatten()
        .find(|commit| !revision.is_empty() && commit.revision == revision)
}

fn described(commit: &CommitSummary, now: Timestamp) -> String {
    const MAX_SUBJECT_CHARACTERS: usize = 50;
    let subject = text::cut(
        &text::one_line(&commit.subject),
        MAX_SUBJECT_CHARACTERS,
        false,
    );
    let author = text::one_line(&commit.author);
    let words = [
        (!subject.is_empty()).then(|| format!(" \"{subject}\"")),
        (!author.is_empty()).then(|| format!(" by {author}")),
        commit
            .time
            .as_ref()
            .map(|time| format!(" {} ago", text::age(time.0, now))),
    ];
    words.into_iter().flatten().collect()
}

/// An object as users name it: `Deployment team-a/web`, `Namespace web`.
pub fn object(object: &PreviewObject) -> String {
    let name = if object.namespace.is_empty() {
        format!("{} {}", object.kind, object.name)
    } else {
        format!("{} {}/{}", object.kind, object.namespace, object.name)
    };
    text::one_line(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const COMMIT: &str = "91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687";

    fn application(sources: &Value) -> Application {
        serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "web", "namespace": "argocd"},
            "spec": {"project": "default", "sources": sources, "destination": {}},
            "status": {"live": {"commit": {"revision": COMMIT, "author": "ana",
                "subject": "Bump web\u{1b}[2J to 1.9.2", "time": "2026-11-19T11:00:00Z"}}},
        }))
        .unwrap()
    }

    #[test]
    fn the_git_side_is_named() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let other = "09fe33b0c2f5e1d4b3a29687f0e1d2c3b4a59687";
        let web = json!({"repoURL": "u", "path": "web", "targetRevision": "main"});
        let values = json!({"repoURL": "v", "ref": "values"});
        let chart = json!({"repoURL": "c", "chart": "web", "targetRevision": "1.*"});
        let table = [
            (
                json!([web]),
                "",
                COMMIT,
                "Git main@91be07a \"Bump web [2J to 1.9.2\" by ana 2d ago",
            ),
            (json!([web]), "topic", other, "Git topic@09fe33b"),
            (json!([web]), other, other, "Git 09fe33b"),
            (json!([web]), "09fe33b", other, "Git 09fe33b"),
            (json!([web]), "v1.2", "", "Git v1.2"),
            (json!([chart]), "", "1.4.0", "chart web 1.4.0"),
            (
                json!([chart, values]),
                "",
                "1.4.0",
                "chart web 1.4.0 and 1 other source",
            ),
            (json!([]), "", "", "Git"),
        ];
        for (sources, asked, rendered, expected) in table {
            let side = of_git(
                &application(&sources),
                &[asked.into()],
                &[rendered.into()],
                now,
            );
            assert_eq!(side, expected, "{sources}");
        }
    }
}
