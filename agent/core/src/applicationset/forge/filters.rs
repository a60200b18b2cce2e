//! Which repositories, branches and pull requests count: within one filter all conditions hold, of
//! several filters one is enough.

use regex_automata::{Input, meta};
use serde_json::Value;

use super::super::error::Problem;
use super::listing::ListedPullRequest;

/// Largest compiled pattern, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// A regular expression, matched anywhere in a text.
#[derive(Clone, Debug)]
pub(super) struct Pattern(meta::Regex);

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        self.0.is_match(Input::new(text))
    }
}

/// One filter of a scmProvider generator.
#[derive(Clone, Debug, Default)]
pub(super) struct RepositoryFilter {
    repository: Option<Pattern>,
    label: Option<Pattern>,
    branch: Option<Pattern>,
    /// Paths that have to be there.
    pub(super) paths: Vec<String>,
    /// Paths that must not be there.
    pub(super) no_paths: Vec<String>,
    /// What it is applied to: branches when it says anything about them.
    pub(super) of_branches: bool,
    /// It says nothing at all, and is not applied.
    is_empty: bool,
}

impl RepositoryFilter {
    /// What it says of a repository's name and labels, and of a branch where there is one.
    pub(super) fn matches(&self, repository: &str, labels: &[String], branch: &str) -> bool {
        let holds = |pattern: &Option<Pattern>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
        };
        let labelled = self.label.as_ref().is_none_or(|pattern| {
            let mut labels = labels.iter();
            labels.any(|label| pattern.matches(label))
        });
        holds(&self.repository, repository) && labelled && holds(&self.branch, branch)
    }
}

/// The filters of a scmProvider generator; those that say nothing are left out.
pub(super) fn of_repositories(
    list: &[Value],
    path: &str,
) -> Result<Vec<RepositoryFilter>, Problem> {
    let mut filters = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let place = format!("{path}.filters[{index}]");
        let paths = |key: &str| -> Option<Vec<String>> {
            let list = value[key].as_array()?.iter().filter_map(Value::as_str);
            Some(
                list.map(|path| path.trim_end_matches('/').to_owned())
                    .collect(),
            )
        };
        let (repository, label, branch) = (
            pattern(value, "repositoryMatch", &place)?,
            pattern(value, "labelMatch", &place)?,
            pattern(value, "branchMatch", &place)?,
        );
        let (exist, do_not_exist) = (paths("pathsExist"), paths("pathsDoNotExist"));
        let of_branches = branch.is_some() || exist.is_some() || do_not_exist.is_some();
        filters.push(RepositoryFilter {
            is_empty: !of_branches && repository.is_none() && label.is_none(),
            repository,
            label,
            branch,
            paths: exist.unwrap_or_default(),
            no_paths: do_not_exist.unwrap_or_default(),
            of_branches,
        });
    }
    filters.retain(|filter| !filter.is_empty);
    Ok(filters)
}

/// One filter of a pullRequest generator.
#[derive(Clone, Debug, Default)]
pub(super) struct PullRequestFilter {
    branch: Option<Pattern>,
    target: Option<Pattern>,
    title: Option<Pattern>,
}

impl PullRequestFilter {
    /// What it says of a pull request.
    pub(super) fn matches(&self, request: &ListedPullRequest) -> bool {
        let all = [
            (&self.branch, &request.branch),
            (&self.target, &request.target_branch),
            (&self.title, &request.title),
        ];
        all.into_iter()
            .all(|(pattern, text)| pattern.as_ref().is_none_or(|pattern| pattern.matches(text)))
    }
}

/// The filters of a pullRequest generator.
pub(super) fn of_pull_requests(
    list: &[Value],
    path: &str,
) -> Result<Vec<PullRequestFilter>, Problem> {
    let filters = list.iter().enumerate().map(|(index, value)| {
        let place = format!("{path}.filters[{index}]");
        Ok(PullRequestFilter {
            branch: pattern(value, "branchMatch", &place)?,
            target: pattern(value, "targetBranchMatch", &place)?,
            title: pattern(value, "titleMatch", &place)?,
        })
    });
    filters.collect()
}

fn pattern(filter: &Value, key: &str, place: &str) -> Result<Option<Pattern>, Problem> {
    let Some(text) = filter[key].as_str() else {
        return Ok(None);
    };
    let built = meta::Regex::builder()
        .configure(meta::Config::new().nfa_size_limit(Some(LARGEST_PATTERN)))
        .build(text);
    built.map(|regex| Some(Pattern(regex))).map_err(|error| {
        let why = error
            .syntax_error()
            .map_or_else(|| error.to_string(), ToString::to_string);
        // The parser draws the place below the text; the last line says what is wrong.
        let why = why.lines().last().unwrap_or_default().trim().to_owned();
        let why = why.trim_start_matches("error: ");
        Problem::parameters(
            &format!("{place}.{key}"),
            format!("{text:?} is no regular expression: {why}"),
        )
    })
}
