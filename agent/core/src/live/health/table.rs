//! The table of rules for custom resources: finds the rule of a kind.
//!
//! What each kind's rule is stands in `custom_resources.rules`; what no line describes is code in
//! this folder, named there.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::rule::{Judge, Rule};
use super::{application, argo, conditions, gateway, kruise, operators, promoter};
use crate::manifest::object::GroupVersionKind;

const SOURCE: &str = include_str!("custom_resources.rules");

/// Read once. A test holds that it can be read; nothing here can panic.
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(SOURCE).0);

/// Rules by group and kind.
struct Table {
    rules: Vec<Rule>,
    /// Positions in `rules`, by group and then kind; kind `*` is any.
    exact: HashMap<&'static str, HashMap<&'static str, usize>>,
    /// By the end of the group, for every kind in it.
    endings: Vec<(&'static str, usize)>,
}

/// The rule of a kind, without that for every other kind.
pub(super) fn rule(gvk: &GroupVersionKind) -> Option<&'static Rule> {
    TABLE.rules.get(TABLE.position(gvk)?)
}

/// The rule for every kind that has none of its own.
pub(super) fn generic() -> Option<&'static Rule> {
    let table = &*TABLE;
    let (_, position) = table.endings.iter().find(|(end, _)| end.is_empty())?;
    table.rules.get(*position)
}

/// Code that judges a kind.
fn code(name: &str) -> Option<Judge> {
    Some(match name {
        "application" => |object| Some(application::application(object)),
        "application_set" => |object| Some(application::application_set(object)),
        "rollout" => |object| Some(argo::rollout(object)),
        "cluster_external_secret" => |object| Some(conditions::cluster_external_secret(object)),
        "gateway" => |object| Some(gateway::gateway(object)),
        "route" => |object| Some(gateway::route(object)),
        "gateway_policy" => |object| Some(gateway::policy(object)),
        "openshift_route" => |object| Some(gateway::openshift_route(object)),
        "crunchy_postgres" => |object| Some(operators::crunchy_postgres(object)),
        "airlock" => |object| Some(gateway::airlock(object)),
        "promotion_strategy" => |object| Some(promoter::promotion_strategy(object)),
        "kruise_daemon_set" => |object| Some(kruise::daemon_set(object)),
        "game_server" => |object| Some(kruise::game_server(object)),
        "game_server_set" => |object| Some(kruise::game_server_set(object)),
        "cassandra_racks" => |object| Some(operators::cassandra_racks(object)),
        "stack_install" => |object| Some(operators::stack_install(object)),
        "karmada_binding" => |object| Some(operators::karmada_binding(object)),
        "open_telemetry_collector" => |object| Some(operators::open_telemetry_collector(object)),
        _ => return None,
    })
}

impl Table {
    fn position(&self, gvk: &GroupVersionKind) -> Option<usize> {
        let of_group = self.exact.get(gvk.group.as_str()).and_then(|kinds| {
            let kind = kinds.get(gvk.kind.as_str());
            kind.or_else(|| kinds.get("*"))
        });
        of_group.copied().or_else(|| {
            let mut endings = self.endings.iter();
            let found = endings.find(|(end, _)| !end.is_empty() && gvk.group.ends_with(end));
            found.map(|(_, position)| *position)
        })
    }

    /// The table, and what could not be read of it.
    fn parse(source: &'static str) -> (Self, Vec<String>) {
        let mut table = Self {
            rules: Vec::new(),
            exact: HashMap::new(),
            endings: Vec::new(),
        };
        let mut errors = Vec::new();
        let mut heads: Vec<&'static str> = Vec::new();
        let mut lines: Vec<(usize, &'static str)> = Vec::new();
        let written = source.lines().enumerate().map(|(at, line)| (at + 1, line));
        let written = written.filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
        for (number, line) in written {
            if line.starts_with(' ') {
                lines.push((number, line));
                continue;
            }
            if !lines.is_empty() {
                table.add(&heads, &lines, &mut errors);
                heads.clear();
                lines.clear();
            }
            heads.push(line);
        }
        table.add(&heads, &lines, &mut errors);
        (table, errors)
    }

    fn add(
        &mut self,
        heads: &[&'static str],
        lines: &[(usize, &'static str)],
        errors: &mut Vec<String>,
    ) {
        let position = self.rules.len();
        match Rule::parse(lines, code) {
            Ok(rule) => self.rules.push(rule),
            Err(error) => return errors.push(error),
        }
        for head in heads {
            let Some((group, kinds)) = head.split_once(": ") else {
                errors.push(format!("{head:?} is no head"));
                continue;
            };
            if let Some(end) = group.strip_prefix('*') {
                self.endings.push((end, position));
                continue;
            }
            let known = self.exact.entry(group).or_default();
            for kind in kinds.split_whitespace() {
                if known.insert(kind, position).is_some() {
                    errors.push(format!("{group} {kind} has two rules"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::rule::Case;
    use super::*;

    #[test]
    fn the_table_can_be_read() {
        let (table, errors) = Table::parse(SOURCE);
        assert_eq!(errors, Vec::<String>::new());
        let kinds: usize = table.exact.values().map(HashMap::len).sum();
        assert!(kinds > 250, "{kinds}");
    }

    #[test]
    fn mistakes_are_named() {
        for (source, wrong) in [
            ("a: B\n    Sound\n", "line 2: \"Sound\" is no status"),
            (
                "a: B\n    by nobody\n",
                "line 2: no code is called \"nobody\"",
            ),
            (
                "a: B\n    Healthy Ready=Yes\n",
                "line 2: \"Yes\" is no status of a condition",
            ),
            ("a B\n    Healthy\n", "\"a B\" is no head"),
            ("a: B B\n    Healthy\n", "a B has two rules"),
        ] {
            assert_eq!(Table::parse(source).1, [wrong], "{source}");
        }
    }

    #[test]
    fn the_nearest_rule_counts() {
        let found = |group: &str, kind: &str| {
            let gvk = GroupVersionKind {
                group: group.into(),
                version: "v1".into(),
                kind: kind.into(),
            };
            rule(&gvk).map(std::ptr::from_ref)
        };
        let grafana = found("grafana.integreatly.org", "Grafana");
        let dashboard = found("grafana.integreatly.org", "GrafanaDashboard");
        assert!(grafana.is_some() && dashboard.is_some());
        assert_ne!(grafana, dashboard);
        let bucket = found("s3.aws.upbound.io", "Bucket");
        assert_eq!(bucket, found("pkg.crossplane.io", "Configuration"));
        assert!(bucket.is_some());
        assert_eq!(found("example.org", "Grafana"), None);
        assert_eq!(found("", "ConfigMap"), None);
    }

    /// What a file of `tests/health` holds.
    #[derive(Debug, serde::Deserialize)]
    struct Fixture {
        health: String,
        #[serde(default)]
        message: String,
        object: Value,
    }

    fn fixtures() -> Vec<Fixture> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/health");
        let files = std::fs::read_dir(folder).unwrap();
        let read = |file: std::io::Result<std::fs::DirEntry>| -> Vec<Fixture> {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        files.flat_map(read).collect()
    }

    #[test]
    fn objects_as_controllers_leave_them() {
        let fixtures = fixtures();
        assert!(fixtures.len() > 300, "{}", fixtures.len());
        let wrong: Vec<String> = fixtures
            .iter()
            .filter_map(|fixture| {
                let health = super::super::assess(&fixture.object);
                let (status, message) = health.map_or(("none".into(), String::new()), |health| {
                    (health.status.to_string(), health.message)
                });
                let right = (&status, &message) == (&fixture.health, &fixture.message);
                (!right).then(|| format!("{status} {message:?} of {fixture:?}"))
            })
            .collect();
        assert_eq!(wrong, Vec::<String>::new());
    }

    /// No line stands behind one that always decides before it, and every rule has an object that
    /// is Healthy and one that is not.
    #[test]
    fn every_line_can_decide_and_every_rule_is_shown() {
        let (table, _) = Table::parse(SOURCE);
        let fixtures = fixtures();
        let (mut shadowed, mut bare) = (Vec::new(), Vec::new());
        for (position, known) in table.rules.iter().enumerate() {
            let own: Vec<&Fixture> = fixtures
                .iter()
                .filter(|fixture| {
                    let gvk = GroupVersionKind::of(&fixture.object).unwrap();
                    table.position(&gvk) == Some(position)
                })
                .collect();
            let (well, unwell): (Vec<&Fixture>, Vec<&Fixture>) =
                own.iter().partition(|fixture| fixture.health == "Healthy");
            let first = format!("{:?}", known.cases().first());
            // Application, ApplicationSet and Rollout have tests of their own.
            let tested = known.cases().iter().any(Case::is_code) && own.is_empty();
            let generic = table
                .endings
                .iter()
                .any(|(end, at)| end.is_empty() && *at == position);
            if !tested && !generic && (well.is_empty() || unwell.is_empty()) {
                bare.push(first);
            }
            for case in known.cases().iter().filter(|case| !case.is_code()) {
                let decides = |object: &Value| {
                    known
                        .judge(object)
                        .1
                        .is_some_and(|by| std::ptr::eq(by, case))
                };
                if !decides(&case.example()) && !own.iter().any(|f| decides(&f.object)) {
                    shadowed.push(format!("{case:?}"));
                }
            }
        }
        assert_eq!(
            shadowed,
            Vec::<String>::new(),
            "lines that no object reaches"
        );
        assert_eq!(bare, Vec::<String>::new(), "rules without a fixture");
    }
}
