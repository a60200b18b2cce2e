//! What argocd-cmd-params-cm says about ApplicationSets.

use std::collections::BTreeMap;

use super::existing::Names;
use super::forge::Forges;
use super::patterns::FileGlobbing;
use super::plan::Policy;
use super::spec::SetSpec;

/// The keys `applicationsetcontroller.*` that count here.
/// Source: docs/operator-manual/argocd-cmd-params-cm.yaml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    policy: String,
    sets_decide: Option<bool>,
    /// How patterns of files are read.
    pub file_globbing: FileGlobbing,
    /// Directories whose name begins with a dot count, too.
    pub hidden_directories: bool,
    /// Which forges may be asked.
    pub forges: Forges,
    /// Sets that say so change their Applications step by step.
    pub rolls: bool,
    /// Only Secrets that say that they are for forges are sent to one.
    pub only_labelled_tokens: bool,
    preserved: Names,
}

impl Parameters {
    /// Reads the data of the ConfigMap.
    pub fn read(data: &BTreeMap<String, String>) -> Self {
        let get = |key: &str| {
            let value = data.get(&format!("applicationsetcontroller.{key}"));
            value
                .map(|value| value.trim().to_owned())
                .unwrap_or_default()
        };
        let list = |key: &str| -> Vec<String> {
            let text = get(key);
            let names = text
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        let names = |key: &str| list(key).into_iter().collect();
        Self {
            policy: get("policy"),
            sets_decide: get("enable.policy.override").parse().ok(),
            file_globbing: match get("enable.new.git.file.globbing").as_str() {
                "true" => FileGlobbing::DoubleStar,
                _ => FileGlobbing::Pathspec,
            },
            hidden_directories: data
                .get("reposerver.include.hidden.directories")
                .is_some_and(|value| value.trim() == "true"),
            forges: Forges {
                disabled: get("enable.scm.providers") == "false",
                allowed: list("allowed.scm.providers"),
            },
            rolls: get("enable.progressive.syncs") == "true",
            only_labelled_tokens: get("enable.tokenref.strict.mode") == "true",
            preserved: Names {
                annotations: names("global.preserved.annotations"),
                labels: names("global.preserved.labels"),
            },
        }
    }

    /// What a set may do. Sets decide themselves while the installation does not.
    pub fn policy(&self, spec: &SetSpec) -> Policy {
        let sets_decide = self.sets_decide.unwrap_or(self.policy.is_empty());
        Policy::of(spec.applications_sync.as_deref(), &self.policy, sets_decide)
    }

    /// Labels and annotations that are left as they are.
    pub fn preserved(&self, spec: &SetSpec) -> Names {
        let mut names = self.preserved.clone();
        names
            .annotations
            .extend(spec.preserved_annotations.iter().cloned());
        names.labels.extend(spec.preserved_labels.iter().cloned());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installation_decides_when_it_says_something() {
        let read = |pairs: &[(&str, &str)]| {
            let data = pairs.iter().map(|(key, value)| {
                (
                    format!("applicationsetcontroller.{key}"),
                    (*value).to_owned(),
                )
            });
            Parameters::read(&data.collect())
        };
        let spec = |policy: Option<&str>| SetSpec {
            applications_sync: policy.map(str::to_owned),
            ..SetSpec::default()
        };
        let cases = [
            (read(&[]), None, (true, true)),
            (read(&[]), Some("create-update"), (true, false)),
            (
                read(&[("policy", "create-only")]),
                Some("sync"),
                (false, false),
            ),
            (
                read(&[
                    ("policy", "create-only"),
                    ("enable.policy.override", "true"),
                ]),
                Some("sync"),
                (true, true),
            ),
            (
                read(&[("enable.policy.override", "false")]),
                Some("create-only"),
                (true, true),
            ),
            (read(&[("policy", "sync")]), None, (true, true)),
        ];
        for (parameters, of_set, (update, delete)) in cases {
            let policy = parameters.policy(&spec(of_set));
            assert_eq!(
                (policy.update, policy.delete),
                (update, delete),
                "{parameters:?} {of_set:?}"
            );
        }
        let preserved = read(&[("global.preserved.labels", "a, b")]).preserved(&spec(None));
        assert_eq!(preserved.labels.len(), 2);
    }
}
