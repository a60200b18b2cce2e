//! Why a project cannot be followed at all.

/// Why nothing may be done in the name of a project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectProblem {
    /// A rule the agent would have to ignore.
    #[error(
        "project {project} demands {demand} ({field}), which this agent does not check yet; so \
         nothing is synced in the name of this project. Remove {field} to sync without it"
    )]
    NotEnforced {
        /// The project.
        project: String,
        /// What it demands.
        demand: &'static str,
        /// Where.
        field: &'static str,
    },
    /// A rule that denies and cannot be read, so that nobody knows what.
    #[error(
        "project {project}: spec.{field} denies by \"{pattern}\", which is not a pattern; correct it, \
         because it denies nothing as it is"
    )]
    Malformed {
        /// The project, or the global project.
        project: String,
        /// The list.
        field: &'static str,
        /// The pattern.
        pattern: String,
    },
    /// `globalProjects` cannot be read.
    #[error(
        "argocd-cm key globalProjects: {problem}; correct it, because it may deny what project \
         {project} allows"
    )]
    GlobalProjects {
        /// The project.
        project: String,
        /// What is wrong.
        problem: String,
    },
}
