//! pullRequest: the pull requests of a repository.

use std::sync::Arc;

use super::super::error::Problem;
use super::super::generators::Context;
use super::super::need::{Outcome, Stop};
use super::super::param::{Param, ParamMap};
use super::filters;
use super::listing::{ListedPullRequest, Listing, Question};
use super::repositories::first;
use super::slug::slug;
use super::written::PullRequests;

impl Context<'_> {
    /// One set for each pull request that the filters let pass.
    pub(in super::super) fn pull_requests(
        &self,
        path: &str,
        generator: &PullRequests,
    ) -> Outcome<Vec<ParamMap>> {
        let fields = &generator.fields;
        let filters = filters::of_pull_requests(&generator.filters, path)?;
        let repository = generator.repository()?;
        let labels = fields.texts("labels");
        let account = Arc::new(fields.account()?);
        self.may_ask(&fields.path, &account)?;
        let question = Question::PullRequests {
            repository,
            labels: labels.clone(),
            state: fields.text("pullRequestState"),
        };
        let listed = match self.ask_forge(&fields.path, &account, question)? {
            Listing::PullRequests(listed) => listed,
            Listing::NoRepository if generator.no_repository_is_none => return Ok(Vec::new()),
            Listing::NoRepository => {
                let why = format!(
                    "{} knows no such repository, or the token may not read it; with \
                     continueOnRepoNotFoundError: true that counts as no pull requests",
                    account.provider.name()
                );
                return Err(Stop::from(Problem::parameters(&fields.path, why)));
            }
            _ => return Err(Stop::Waits),
        };
        let counts = |one: &&ListedPullRequest| {
            labels.iter().all(|label| one.labels.contains(label))
                && (filters.is_empty() || filters.iter().any(|filter| filter.matches(one)))
        };
        let counting = listed.iter().filter(counts);
        Ok(counting.map(|one| self.parameters_of(one)).collect())
    }

    fn parameters_of(&self, request: &ListedPullRequest) -> ParamMap {
        let texts = [
            ("number", request.number.to_string()),
            ("title", request.title.clone()),
            ("branch", request.branch.clone()),
            ("branch_slug", slug(&request.branch)),
            ("target_branch", request.target_branch.clone()),
            ("target_branch_slug", slug(&request.target_branch)),
            ("head_sha", request.commit.clone()),
            ("head_short_sha", first(&request.commit, 8).to_owned()),
            ("head_short_sha_7", first(&request.commit, 7).to_owned()),
            ("author", request.author.clone()),
        ];
        let mut set = ParamMap::from(texts.map(|(key, text)| (key.to_owned(), Param::Text(text))));
        // A list is no text.
        if self.language.go {
            let labels = request.labels.iter().cloned().map(Param::Text);
            set.insert("labels".to_owned(), Param::List(labels.collect()));
        }
        set
    }
}
