//! What stops a rollback, and the flag that lets it pass all the same.

use gitops_api::preview::{CautionCode, PreviewCaution, PreviewStatus};
use gitops_kit::text;

/// A reason to stop that a user can overrule by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// Data may be lost.
    DataLoss,
    /// A kind, or a version of one, goes away.
    DefinitionLoss,
    /// Somebody said that there is no way back.
    ForwardOnly,
    /// The API server refuses an object.
    Refused,
    /// Other applications may read a file, and nobody knows.
    UnknownSharing,
}

impl Gate {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::DataLoss,
        Self::DefinitionLoss,
        Self::ForwardOnly,
        Self::Refused,
        Self::UnknownSharing,
    ];

    /// The flag that opens it.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::DataLoss => "--allow-data-loss",
            Self::DefinitionLoss => "--allow-definition-loss",
            Self::ForwardOnly => "--allow-forward-only",
            Self::Refused => "--allow-refused",
            Self::UnknownSharing => "--allow-unknown-sharing",
        }
    }

    /// Its name in the commit.
    pub fn name(self) -> &'static str {
        self.flag().trim_start_matches("--allow-")
    }
}

/// Something to know before a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caution {
    /// What kind of thing, as the agent calls it.
    pub code: String,
    /// For users, one line.
    pub message: String,
    /// Kind/name it is about; empty: none.
    pub object: String,
    /// What it stops; `None`: it only warns.
    pub gate: Option<Gate>,
}

/// The gate of a code; `None` only warns.
pub fn gate_of(code: CautionCode) -> Option<Gate> {
    match code {
        CautionCode::Data | CautionCode::Namespace => Some(Gate::DataLoss),
        CautionCode::DefinitionVersion => Some(Gate::DefinitionLoss),
        CautionCode::ForwardOnly => Some(Gate::ForwardOnly),
        CautionCode::Immutable => Some(Gate::Refused),
        CautionCode::Hook
        | CautionCode::MutableReference
        | CautionCode::ChartRange
        | CautionCode::Automation
        | CautionCode::Unknown => None,
    }
}

/// Everything to know before a rollback. `directories` are the Application's own; a restored file
/// outside of them may well be somebody else's too.
pub fn cautions(answer: &PreviewStatus, directories: &[&str]) -> Vec<Caution> {
    let mut found: Vec<Caution> = answer.cautions.iter().map(of_agent).collect();
    if let Some(counts) = &answer.counts
        && counts.refuse > 0
        && !found
            .iter()
            .any(|caution| caution.gate == Some(Gate::Refused))
    {
        found.push(Caution {
            code: "Refused".to_owned(),
            message: format!(
                "the API server refuses {} of the objects as they were",
                counts.refuse
            ),
            object: String::new(),
            gate: Some(Gate::Refused),
        });
    }
    for restore in &answer.restores {
        let outside = restore
            .files
            .iter()
            .filter(|file| {
                !file.left
                    && !directories
                        .iter()
                        .any(|directory| beneath(&file.path, directory))
            })
            .count();
        if outside > 0 && !restore.unknown_applications.is_empty() {
            found.push(Caution {
                code: "UnknownSharing".to_owned(),
                message: text::one_line(&format!(
                    "{outside} of the files are outside the application's directory, and the agent \
                     does not know whether these applications read them: {}",
                    restore.unknown_applications.join(", ")
                )),
                object: String::new(),
                gate: Some(Gate::UnknownSharing),
            });
        }
    }
    found
}

fn of_agent(caution: &PreviewCaution) -> Caution {
    Caution {
        code: caution.code.as_str().to_owned(),
        message: text::one_line(&caution.message),
        object: text::one_line(&caution.object),
        gate: gate_of(caution.code),
    }
}

/// Whether a path is in a directory; the empty directory and `.` are the whole repository.
fn beneath(path: &str, directory: &str) -> bool {
    let directory = directory.trim_start_matches("./").trim_matches('/');
    directory.is_empty()
        || directory == "."
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// Gates that are in the way and not opened, in order.
pub fn closed(cautions: &[Caution], opened: &[Gate]) -> Vec<Gate> {
    let mut found: Vec<Gate> = cautions.iter().filter_map(|caution| caution.gate).collect();
    found.sort_unstable();
    found.dedup();
    found.retain(|gate| !opened.contains(gate));
    found
}

/// Gates that were in the way and were opened, in order; the commit records them.
pub fn passed(cautions: &[Caution], opened: &[Gate]) -> Vec<Gate> {
    let closed = closed(cautions, opened);
    let mut found = self::closed(cautions, &[]);
    found.retain(|gate| !closed.contains(gate));
    found
}

#[cfg(test)]
mod tests {
    use gitops_api::preview::{PreviewCounts, PreviewRestore, RestoredFile};

    use super::*;

    fn answer(codes: &[CautionCode]) -> PreviewStatus {
        PreviewStatus {
            cautions: codes
                .iter()
                .map(|code| PreviewCaution {
                    code: *code,
                    message: "why\u{1b}[2J".into(),
                    object: "PersistentVolumeClaim/data".into(),
                })
                .collect(),
            ..PreviewStatus::default()
        }
    }

    #[test]
    fn what_stops_is_opened_by_name_and_recorded() {
        let all = [
            CautionCode::Hook,
            CautionCode::Namespace,
            CautionCode::Data,
            CautionCode::ForwardOnly,
        ];
        let found = cautions(&answer(&all), &["apps/web"]);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].message, "why [2J");
        assert_eq!(closed(&found, &[]), [Gate::DataLoss, Gate::ForwardOnly]);
        assert_eq!(closed(&found, &[Gate::DataLoss]), [Gate::ForwardOnly]);
        // A flag that was not needed is not recorded.
        assert_eq!(
            passed(&found, &[Gate::DataLoss, Gate::Refused]),
            [Gate::DataLoss]
        );
        assert!(closed(&cautions(&answer(&[CautionCode::Automation]), &[]), &[]).is_empty());
    }

    #[test]
    fn refused_objects_stop_once() {
        let mut answer = answer(&[]);
        answer.counts = Some(PreviewCounts {
            refuse: 2,
            ..PreviewCounts::default()
        });
        assert_eq!(closed(&cautions(&answer, &[]), &[]), [Gate::Refused]);
        answer.cautions = self::answer(&[CautionCode::Immutable]).cautions;
        assert_eq!(cautions(&answer, &[]).len(), 1);
    }

    #[test]
    fn unknown_readers_matter_outside_the_directory_only() {
        let with = |path: &str, left: bool| PreviewStatus {
            restores: vec![PreviewRestore {
                files: vec![RestoredFile {
                    path: path.into(),
                    left,
                    ..RestoredFile::default()
                }],
                unknown_applications: vec!["shop".into()],
                ..PreviewRestore::default()
            }],
            ..PreviewStatus::default()
        };
        let gates = |path: &str, left: bool, directories: &[&str]| {
            closed(&cautions(&with(path, left), directories), &[]).len()
        };
        assert_eq!(gates("apps/web/a.yaml", false, &["apps/web"]), 0);
        assert_eq!(gates("apps/web/a.yaml", false, &["./apps/web/"]), 0);
        assert_eq!(gates("apps/website/a.yaml", false, &["apps/web"]), 1);
        assert_eq!(gates("base/a.yaml", false, &["apps/web"]), 1);
        assert_eq!(gates("base/a.yaml", true, &["apps/web"]), 0);
        assert_eq!(gates("base/a.yaml", false, &["."]), 0);
    }

    #[test]
    fn flags_have_names() {
        for gate in Gate::ALL {
            assert!(gate.flag().starts_with("--allow-") && !gate.name().contains("allow"));
        }
    }
}
