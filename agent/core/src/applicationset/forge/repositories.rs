//! scmProvider: the repositories of an organization, or their branches.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::environment::normalize;
use super::super::error::{Problem, Warning};
use super::super::generators::Context;
use super::super::need::{Outcome, Stop, all};
use super::super::param::{Param, ParamMap};
use super::account::{Account, Provider};
use super::filters::{self, RepositoryFilter};
use super::listing::{Branch, ListedRepository, Listing, Question};
use super::written::{Protocol, Repositories};

impl Context<'_> {
    /// One set for each repository, or for each of its branches, that the filters let pass.
    pub(in super::super) fn repositories(
        &self,
        path: &str,
        generator: &Repositories,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        let protocol = generator.protocol(path)?;
        let owner = generator.owner()?;
        let filters = filters::of_repositories(&generator.filters, path)?;
        let (of_branches, of_repositories): (Vec<_>, Vec<_>) =
            filters.into_iter().partition(|filter| filter.of_branches);
        let account = Arc::new(generator.fields.account()?);
        self.may_ask(&generator.fields.path, &account)?;
        let place = &generator.fields.path;
        let listing = self.ask_forge(place, &account, Question::Repositories(owner))?;
        let Listing::Repositories(listed) = listing else {
            return Err(Stop::Waits);
        };
        let takes_archived = generator.takes_archived();
        let passes = |one: &ListedRepository| {
            (takes_archived || !one.is_archived)
                && (of_repositories.is_empty()
                    || of_repositories
                        .iter()
                        .any(|filter| filter.matches(&one.name, &one.labels, "")))
        };
        // A list that changes while its pages are read shows some of them twice.
        let mut seen = HashSet::new();
        let listed = listed.iter().filter(|one| seen.insert(&one.key));
        let all_branches = generator.fields.flag("allBranches");
        let mut outcomes = Vec::new();
        for repository in listed.filter(|one| passes(one)) {
            let branches = self.branches(place, &account, repository, all_branches, warnings);
            outcomes.push(branches.map(|branches| (repository, branches)));
        }
        // All of them are asked for before the first filter needs a path.
        let found = all(outcomes)?;
        let branches = found
            .into_iter()
            .flat_map(|(repository, branches)| branches.iter().map(move |one| (repository, one)));
        let judged = branches.map(|(repository, branch)| {
            let counts = of_branches.is_empty()
                || self.counts(place, &account, &of_branches, repository, branch)?;
            Ok(counts.then(|| parameters(repository, branch, protocol)))
        });
        Ok(all(judged)?.into_iter().flatten().collect())
    }

    /// The branches of a repository that are asked for. One that has no commit yet has none; one that has
    /// and whose default branch is not found is not believed: its Applications would go.
    fn branches(
        &self,
        path: &str,
        account: &Arc<Account>,
        repository: &ListedRepository,
        all_branches: bool,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<&[Branch]> {
        let default = &repository.default_branch;
        let provider = account.provider;
        let name = format!("{}/{}", repository.organization, repository.name);
        let mut without = |why: String| {
            warnings.push(Warning {
                place: path.to_owned(),
                message: format!("{name} is left out: {why}"),
            });
            Ok(&[][..])
        };
        if repository.is_empty == Some(true) || default.is_empty() && !all_branches {
            return without("it has no branch yet".into());
        }
        let question = Question::Branches {
            repository: repository.key.clone(),
            only: (!all_branches).then(|| default.clone()),
        };
        let Listing::Branches(found) = self.ask_forge(path, account, question)? else {
            return Err(Stop::Waits);
        };
        if !found.is_empty() || all_branches {
            return Ok(found);
        }
        if repository.is_empty == Some(false) || provider == Provider::Gitea {
            let why = format!(
                "{} lists {name}, but not its default branch {default:?}; \
                 look whether the token may read the repository",
                provider.name()
            );
            return Err(Stop::from(Problem::parameters(path, why)));
        }
        without(format!("it has no branch {default:?}"))
    }

    /// Whether a branch passes one of the filters; what is asked for paths is asked in their order.
    fn counts(
        &self,
        place: &str,
        account: &Arc<Account>,
        filters: &[RepositoryFilter],
        repository: &ListedRepository,
        branch: &Branch,
    ) -> Outcome<bool> {
        let has = |path: &String| -> Outcome<bool> {
            let question = Question::HasPath {
                repository: repository.key.clone(),
                branch: branch.name.clone(),
                commit: branch.commit.clone(),
                path: path.clone(),
            };
            match self.ask_forge(place, account, question)? {
                Listing::HasPath(there) => Ok(*there),
                _ => Err(Stop::Waits),
            }
        };
        let passes = |filter: &RepositoryFilter| -> Outcome<bool> {
            if !filter.matches(&repository.name, &repository.labels, &branch.name) {
                return Ok(false);
            }
            for path in &filter.paths {
                if !has(path)? {
                    return Ok(false);
                }
            }
            for path in &filter.no_paths {
                if has(path)? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        for filter in filters {
            if passes(filter)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn parameters(repository: &ListedRepository, branch: &Branch, protocol: Protocol) -> ParamMap {
    let url = match protocol {
        Protocol::Ssh => &repository.ssh,
        Protocol::Https => &repository.https,
    };
    let labels = repository.labels.join(",");
    let texts = [
        ("organization", &*repository.organization),
        ("repository", &repository.name),
        ("url", url),
        ("branch", &branch.name),
        ("branchNormalized", &normalize(&branch.name)),
        ("sha", &branch.commit),
        ("short_sha", first(&branch.commit, 8)),
        ("short_sha_7", first(&branch.commit, 7)),
        ("labels", &labels),
    ];
    let texts = texts.map(|(key, text)| (key.to_owned(), Param::Text(text.to_owned())));
    let mut set = ParamMap::from(texts);
    set.insert("repository_id".to_owned(), repository.id.clone());
    set
}

/// The first characters of a commit.
pub(super) fn first(commit: &str, length: usize) -> &str {
    commit.get(..length).unwrap_or(commit)
}
