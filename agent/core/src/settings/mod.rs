//! Settings of the installation: the keys of argocd-cm that the agent follows.
//!
//! A bad value never stops the agent: the default stands in and a warning says so.

mod build_options;
mod filter;
pub mod ignore;
mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitops_api::AppProject;
use gitops_api::sync_policy::ResourceIgnoreDifferences;

use crate::duration;
use crate::manifest::tracking::{Tracking, TrackingMethod};
use crate::mask::Mask;
use crate::project::{GlobalProject, Impersonation, Surroundings};
use crate::settings::ignore::installation;

pub use self::build_options::KustomizeBuild;
pub use self::filter::{ResourceFilter, ResourceRule};

/// How often something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interval {
    /// Nothing is said: as the agent was started.
    #[default]
    Unset,
    /// Zero: only events cause it.
    Never,
    /// At this interval.
    Every(Duration),
}

impl Interval {
    /// The interval, when the agent was started with `default`; `None` for never.
    pub fn or(self, default: Duration) -> Option<Duration> {
        match self {
            Self::Unset => Some(default),
            Self::Never => None,
            Self::Every(interval) => Some(interval),
        }
    }
}

/// What argocd-cm says, as far as the agent follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `timeout.reconciliation`: how often repositories are asked for new commits. Its jitter is
    /// not needed, because repositories are spread over the interval; nor is
    /// `timeout.hard.reconciliation`, because everything that goes into a render is followed.
    pub reconciliation: Interval,
    /// `application.resourceTrackingMethod`, `application.instanceLabelKey`, `installationID`.
    pub tracking: Tracking,
    /// `kustomize.buildOptions`.
    pub kustomize_build: KustomizeBuild,
    /// `kustomize.enable`, `helm.enable`: whether folders are recognized as such.
    pub kustomize_enabled: bool,
    /// See [`kustomize_enabled`](Self::kustomize_enabled).
    pub helm_enabled: bool,
    /// `helm.valuesFileSchemes`: schemes that values files may be fetched by.
    pub helm_values_file_schemes: Vec<String>,
    /// `cluster.inClusterEnabled`.
    pub in_cluster_enabled: bool,
    /// `resource.exclusions` and `resource.inclusions`.
    pub resources: ResourceFilter,
    /// `resource.sensitive.mask.annotations`: annotations whose values are hidden, besides all that
    /// is hidden anyway.
    pub mask: Mask,
    /// `globalProjects`: projects whose rules others have, too; otherwise what is wrong with the key,
    /// because the rules it stands for may deny something.
    pub global_projects: Result<Vec<GlobalProject>, String>,
    /// `application.sync.impersonation.enabled` and `.enforced`.
    pub impersonation: Impersonation,
    /// What `resource.customizations` and `resource.compareoptions` say about differences that do
    /// not count.
    pub ignore_differences: Vec<ResourceIgnoreDifferences>,
    /// `resource.customizations` and every `resource.customizations.*`, as written.
    pub customizations: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reconciliation: Interval::Unset,
            tracking: Tracking::default(),
            kustomize_build: KustomizeBuild::default(),
            kustomize_enabled: true,
            helm_enabled: true,
            helm_values_file_schemes: vec!["https".into(), "http".into()],
            in_cluster_enabled: true,
            resources: ResourceFilter::default(),
            mask: Mask::default(),
            global_projects: Ok(Vec::new()),
            impersonation: Impersonation::default(),
            ignore_differences: Vec::new(),
            customizations: BTreeMap::new(),
        }
    }
}

/// A setting that could not be read; the default stands in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argocd-cm key {key}: {problem}; the default is used")]
pub struct SettingWarning {
    /// The key.
    pub key: String,
    /// What is wrong with its value.
    pub problem: String,
}

impl Settings {
    /// Reads the data of argocd-cm.
    pub fn read(data: &BTreeMap<String, String>) -> (Self, Vec<SettingWarning>) {
        let mut reader = Reader {
            data,
            warnings: Vec::new(),
        };
        let defaults = Self::default();
        let settings = Self {
            reconciliation: reader.interval("timeout.reconciliation"),
            tracking: reader.tracking(),
            kustomize_build: reader.kustomize_build(),
            kustomize_enabled: reader.flag("kustomize.enable", true),
            helm_enabled: reader.flag("helm.enable", true),
            // Present and empty means no scheme at all.
            helm_values_file_schemes: if data.contains_key("helm.valuesFileSchemes") {
                reader.words("helm.valuesFileSchemes", ',')
            } else {
                defaults.helm_values_file_schemes
            },
            in_cluster_enabled: reader.flag("cluster.inClusterEnabled", true),
            resources: ResourceFilter {
                exclusions: reader.rules("resource.exclusions"),
                inclusions: reader.rules("resource.inclusions"),
            },
            mask: Mask::new(reader.words("resource.sensitive.mask.annotations", ',')),
            global_projects: reader.global_projects(),
            impersonation: Impersonation {
                enabled: reader.flag("application.sync.impersonation.enabled", false),
                enforced: reader.flag("application.sync.impersonation.enforced", true),
            },
            ignore_differences: reader.ignore_differences(),
            customizations: data
                .iter()
                .filter(|(key, _)| {
                    *key == "resource.customizations" || key.starts_with("resource.customizations.")
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        };
        (settings, reader.warnings)
    }
}

impl Settings {
    /// What the settings decide about every project; `project` finds one by its name.
    pub fn surroundings<'a>(
        &'a self,
        project: &'a dyn Fn(&str) -> Option<Arc<AppProject>>,
    ) -> Surroundings<'a> {
        Surroundings {
            global_projects: self.global_projects.as_deref().map_err(String::as_str),
            project,
            impersonation: self.impersonation,
            ..Surroundings::default()
        }
    }
}

struct Reader<'a> {
    data: &'a BTreeMap<String, String>,
    warnings: Vec<SettingWarning>,
}

impl<'a> Reader<'a> {
    /// The value of a key, unless it is absent or blank.
    fn text(&self, key: &str) -> Option<&'a str> {
        self.data
            .get(key)
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
    }

    fn warn(&mut self, key: &str, problem: impl Into<String>) {
        self.warnings.push(SettingWarning {
            key: key.into(),
            problem: problem.into(),
        });
    }

    fn interval(&mut self, key: &str) -> Interval {
        match self.text(key).map(duration::parse) {
            None => Interval::Unset,
            Some(Ok(duration)) if duration.is_zero() => Interval::Never,
            Some(Ok(duration)) => Interval::Every(duration),
            Some(Err(error)) => {
                self.warn(key, error.to_string());
                Interval::Unset
            }
        }
    }

    fn kustomize_build(&mut self) -> KustomizeBuild {
        const KEY: &str = "kustomize.buildOptions";
        let (build, problems) = build_options::read(self.text(KEY).unwrap_or_default());
        for problem in problems {
            self.warn(KEY, problem);
        }
        build
    }

    fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.text(key) {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.warn(
                    key,
                    format!("\"{other}\" is neither \"true\" nor \"false\""),
                );
                default
            }
        }
    }

    fn words(&self, key: &str, separator: char) -> Vec<String> {
        let text = self.text(key).unwrap_or_default();
        text.split(|c: char| c == separator || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .map(Into::into)
            .collect()
    }

    fn tracking(&mut self) -> Tracking {
        let mut tracking = Tracking::default();
        let key = "application.resourceTrackingMethod";
        if let Some(text) = self.text(key) {
            match TrackingMethod::parse(text) {
                Some(method) => tracking.method = method,
                None => self.warn(
                    key,
                    format!("\"{text}\" is not annotation, label or annotation+label"),
                ),
            }
        }
        if let Some(label_key) = self.text("application.instanceLabelKey") {
            tracking.label_key = label_key.into();
        }
        tracking.installation_id = self.text("installationID").map(Into::into);
        tracking
    }

    fn global_projects(&mut self) -> Result<Vec<GlobalProject>, String> {
        let Some(text) = self.text("globalProjects") else {
            return Ok(Vec::new());
        };
        let value = yaml::parse(text)?;
        let list = serde_json::from_value::<Option<Vec<GlobalProject>>>(value);
        list.map(Option::unwrap_or_default).map_err(|error| {
            format!("{error}; it must be a list of {{projectName, labelSelector}}")
        })
    }

    fn ignore_differences(&mut self) -> Vec<ResourceIgnoreDifferences> {
        let (rules, problems) = installation::read(self.data);
        for (key, problem) in problems {
            self.warn(&key, problem);
        }
        rules
    }

    fn rules(&mut self, key: &str) -> Vec<ResourceRule> {
        let Some(text) = self.text(key) else {
            return Vec::new();
        };
        let parsed = yaml::parse(text).and_then(|value| {
            serde_json::from_value::<Option<Vec<ResourceRule>>>(value).map_err(|error| {
                format!("{error}; it must be a list of {{apiGroups, kinds, clusters}}")
            })
        });
        match parsed {
            Ok(rules) => {
                let rules = rules.unwrap_or_default();
                for (place, rule) in rules.iter().enumerate() {
                    for problem in rule.problems() {
                        self.warn(key, format!("[{place}].{problem}"));
                    }
                }
                rules
            }
            Err(problem) => {
                self.warn(key, problem);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let data = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let (settings, warnings) = Settings::read(&data);
        (settings, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_set_means_the_defaults() {
        assert_eq!(read(&[]), (Settings::default(), vec![]));
        assert_eq!(
            read(&[("timeout.reconciliation", " "), ("url", "https://x")]),
            read(&[])
        );
    }

    #[test]
    fn values() {
        let (settings, warnings) = read(&[
            ("timeout.reconciliation", "180s"),
            ("application.resourceTrackingMethod", "annotation+label"),
            ("application.instanceLabelKey", "example.org/instance"),
            ("installationID", "one"),
            (
                "kustomize.buildOptions",
                "--enable-helm  --load-restrictor LoadRestrictionsNone",
            ),
            ("kustomize.enable", "false"),
            ("helm.valuesFileSchemes", "https, s3"),
            ("resource.sensitive.mask.annotations", "a/b, c/d"),
            (
                "resource.customizations.health.example.org_Thing",
                "return {}",
            ),
            ("resource.customizationsNot", "x"),
        ]);
        assert_eq!(warnings, Vec::<String>::new());
        let expected = Interval::Every(Duration::from_mins(3));
        assert_eq!(settings.reconciliation, expected);
        assert_eq!(settings.tracking.method, TrackingMethod::AnnotationAndLabel);
        assert_eq!(settings.tracking.label_key, "example.org/instance");
        assert_eq!(settings.tracking.installation_id.as_deref(), Some("one"));
        let anywhere = KustomizeBuild {
            load_anywhere: true,
            ..KustomizeBuild::default()
        };
        assert_eq!(settings.kustomize_build, anywhere);
        assert!(!settings.kustomize_enabled && settings.helm_enabled);
        assert_eq!(settings.helm_values_file_schemes, ["https", "s3"]);
        assert_eq!(settings.mask, Mask::new(["a/b", "c/d"].map(Into::into)));
        assert_eq!(settings.customizations.len(), 1);
    }

    #[test]
    fn no_scheme_at_all_can_be_asked_for() {
        let none = Vec::<String>::new();
        assert_eq!(
            read(&[("helm.valuesFileSchemes", "")])
                .0
                .helm_values_file_schemes,
            none
        );
    }

    #[test]
    fn zero_turns_the_timer_off() {
        assert_eq!(
            read(&[("timeout.reconciliation", "0s")]).0.reconciliation,
            Interval::Never
        );
        assert_eq!(
            read(&[("timeout.reconciliation", "60")]).0.reconciliation,
            Interval::Every(Duration::from_mins(1))
        );
    }

    #[test]
    fn bad_values_warn_and_fall_back() {
        let cases = [
            (
                "timeout.reconciliation",
                "soon",
                "\"soon\" is not a duration",
            ),
            ("timeout.reconciliation", "-1s", "negative"),
            (
                "application.resourceTrackingMethod",
                "labels",
                "\"labels\" is not annotation",
            ),
            ("helm.enable", "yes", "neither"),
            ("resource.exclusions", "[{", "unclosed bracket"),
            ("resource.exclusions", "{\"kinds\": []}", "must be a list"),
        ];
        for (key, value, expected) in cases {
            let (settings, warnings) = read(&[(key, value)]);
            assert_eq!(settings, Settings::default(), "{key}");
            assert_eq!(warnings.len(), 1, "{key}");
            assert!(
                warnings[0].starts_with(&format!("argocd-cm key {key}: ")),
                "{warnings:?}"
            );
            assert!(warnings[0].contains(expected), "{warnings:?}");
        }
    }

    #[test]
    fn exclusions_that_cannot_be_read_exclude_and_inclusions_do_not_include() {
        let home = "https://kubernetes.default.svc";
        for unreadable in ["{a".to_owned(), "a".repeat(2000), "{}".repeat(100_000)] {
            for (key, excludes) in [
                ("resource.exclusions", [true, false]),
                ("resource.inclusions", [true, true]),
            ] {
                let rules = serde_json::json!([{"apiGroups": [unreadable], "kinds": ["Job"]}]);
                let (settings, warnings) = read(&[(key, &rules.to_string())]);
                assert_eq!(warnings.len(), 1, "{key}");
                let start = format!("argocd-cm key {key}: [0].apiGroups[0] cannot be read");
                assert!(warnings[0].starts_with(&start), "{}", warnings[0]);
                let found = ["Job", "Deployment"]
                    .map(|kind| settings.resources.excludes("x.example.com", kind, home));
                assert_eq!(found, excludes, "{key}");
            }
        }
    }

    #[test]
    fn exclusions_and_inclusions() {
        let home = "https://kubernetes.default.svc";
        let (settings, warnings) = read(&[
            (
                "resource.exclusions",
                r#"[{"apiGroups": ["cilium.io"], "kinds": ["CiliumIdentity"], "clusters": ["*"]},
                {"apiGroups": [""], "kinds": ["Endpoints"]}]"#,
            ),
            (
                "resource.inclusions",
                r#"[{"apiGroups": ["*"], "kinds": ["Deployment", "Cilium*"], "clusters": ["https://small"]}]"#,
            ),
        ]);
        assert_eq!(warnings, Vec::<String>::new());
        let cases = [
            ("cilium.io", "CiliumIdentity", home, true),
            ("cilium.io", "CiliumNode", home, false),
            ("", "Endpoints", home, true),
            ("apps", "Deployment", home, false),
            ("apps", "Deployment", "https://small", false),
            ("apps", "StatefulSet", "https://small", true),
            ("cilium.io", "CiliumIdentity", "https://small", true),
            ("", "Event", home, true),
            ("events.k8s.io", "Event", home, true),
            ("coordination.k8s.io", "Lease", home, true),
        ];
        for (group, kind, cluster, expected) in cases {
            assert_eq!(
                settings.resources.excludes(group, kind, cluster),
                expected,
                "{group} {kind} {cluster}"
            );
        }
    }
}
