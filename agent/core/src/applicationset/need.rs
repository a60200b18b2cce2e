//! What generating needs from outside. Generating is a pure function of the set and of what is known:
//! it says what else it needs, whoever calls it gets that, and calls it again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::error::Problem;
use super::forge::{Account, Listing, Question};
use super::param::{Param, ParamMap};

/// Something to be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The paths of a commit.
    Tree(Repository),
    /// The values of files of a commit, in the order of the paths.
    Files {
        /// The repository.
        repository: Repository,
        /// The commit.
        commit: String,
        /// Paths of files.
        paths: Vec<String>,
    },
    /// The decisions of objects that say which clusters are meant.
    Decisions(DecisionSource),
    /// The sets of parameters a plugin answers with.
    Plugin {
        /// The ConfigMap that says where it is.
        config_map: String,
        /// `input.parameters`, if there are any.
        input: Option<Param>,
    },
    /// What a forge lists.
    Forge {
        /// The forge.
        account: Arc<Account>,
        /// What it is asked.
        question: Question,
    },
    /// The value of a YAML text.
    Yaml(String),
    /// Templates in Go's language, filled with parameters.
    Templates {
        /// Options of the language.
        options: Vec<String>,
        /// The parameters.
        parameters: Arc<ParamMap>,
        /// The templates.
        texts: Arc<[String]>,
    },
}

impl Need {
    /// Whether others than repositories and templates decide about the answer: it is asked for at the set's
    /// own interval.
    pub fn is_outside(&self) -> bool {
        matches!(
            self,
            Self::Decisions(_) | Self::Plugin { .. } | Self::Forge { .. }
        )
    }
}

/// Which objects decide, as a clusterDecisionResource generator names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DecisionSource {
    /// The ConfigMap that says of which kind they are, and where in their status the decisions.
    pub config_map: String,
    /// Name of the object; empty when they are selected.
    pub name: String,
    /// Selector of their labels as the API writes it; empty when one is named.
    pub selector: String,
}

/// A revision of a repository, as a generator names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    /// The URL.
    pub url: String,
    /// Branch, tag or commit; empty means HEAD.
    pub revision: String,
    /// The project whose credentials count; `None`: only credentials that belong to no project, because
    /// the project is not known before Applications are generated.
    pub project: Option<String>,
}

/// What is at a path of a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link: the file it leads to inside of the repository, else `None`.
    Link(Option<String>),
}

/// The paths of a commit, in their order; the root is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The commit.
    pub commit: String,
    /// Paths without a slash at either end.
    pub paths: Vec<(String, PathKind)>,
}

/// What became of one template.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filled {
    /// The text.
    pub text: String,
    /// Why there is none.
    pub error: String,
    /// The expression that asked for a parameter that is not there.
    pub expression: String,
    /// The parameter it asked for.
    pub key: String,
}

/// Why a need was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// What and why.
    pub message: String,
    /// Whether it may pass by itself.
    pub is_temporary: bool,
    /// The server was asked and has not answered yet.
    pub is_pending: bool,
}

impl Unmet {
    /// For ever, until an input changes.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_temporary: false,
            is_pending: false,
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Need::Tree`].
    Tree(Arc<Tree>),
    /// To [`Need::Decisions`]: the field that names the cluster, and the decisions in their order.
    Decisions {
        /// `matchKey`.
        match_key: String,
        /// The decisions.
        decisions: Arc<[Param]>,
    },
    /// To [`Need::Files`], [`Need::Yaml`] and [`Need::Plugin`]; an error is the parser's.
    Values(Arc<[Result<Param, String>]>),
    /// To [`Need::Forge`].
    Forge(Listing),
    /// To [`Need::Templates`].
    Filled(Arc<[Filled]>),
}

/// The answers there are.
pub type Answers = HashMap<Need, Result<Answer, Unmet>>;

/// Why something cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It needs what is not known yet.
    Waits,
    /// It failed.
    Failed(Vec<Problem>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Failed(vec![problem])
    }
}

/// Result of what may have to wait.
pub(super) type Outcome<T> = Result<T, Stop>;

/// Answers, and notes of what is missing among them.
pub(super) struct Asker<'a> {
    answers: &'a Answers,
    missing: RefCell<HashMap<Need, usize>>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(answers: &'a Answers) -> Self {
        Self {
            answers,
            missing: RefCell::default(),
        }
    }

    /// The answer to a need. `problem` words why it was not met.
    pub(super) fn ask(
        &self,
        need: Need,
        problem: impl Fn(String) -> Problem,
    ) -> Outcome<&'a Answer> {
        match self.answers.get(&need) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(unmet)) => Err(Stop::from(Problem {
                is_temporary: unmet.is_temporary,
                is_pending: unmet.is_pending,
                ..problem(unmet.message.clone())
            })),
            None => {
                let mut missing = self.missing.borrow_mut();
                let place = missing.len();
                missing.entry(need).or_insert(place);
                Err(Stop::Waits)
            }
        }
    }

    /// What was missing.
    pub(super) fn into_missing(self) -> Vec<Need> {
        let mut missing: Vec<(Need, usize)> = self.missing.into_inner().into_iter().collect();
        missing.sort_by_key(|(_, place)| *place);
        missing.into_iter().map(|(need, _)| need).collect()
    }
}

/// Puts outcomes together: waits when one waits, else has every problem there is, not only the first.
pub(super) fn all<T>(outcomes: impl IntoIterator<Item = Outcome<T>>) -> Outcome<Vec<T>> {
    let mut values = Vec::new();
    let mut problems = Vec::new();
    let mut waits = false;
    for outcome in outcomes {
        match outcome {
            Ok(value) => values.push(value),
            Err(Stop::Waits) => waits = true,
            Err(Stop::Failed(more)) => problems.extend(more),
        }
    }
    if waits {
        Err(Stop::Waits)
    } else if problems.is_empty() {
        Ok(values)
    } else {
        Err(Stop::Failed(problems))
    }
}
