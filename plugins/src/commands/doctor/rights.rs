//! What each command asks of the API server, and what it means when a user may not.

use crate::commands::doctor::report::{Check, State};

/// One right: verb and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// API group.
    pub group: &'static str,
    /// Resource, in the plural.
    pub resource: &'static str,
    /// Verb.
    pub verb: &'static str,
}

const fn right(group: &'static str, resource: &'static str, verb: &'static str) -> Right {
    Right {
        group,
        resource,
        verb,
    }
}

const GET: Right = right("argoproj.io", "applications", "get");
const LIST: Right = right("argoproj.io", "applications", "list");
const WATCH: Right = right("argoproj.io", "applications", "watch");
const PATCH: Right = right("argoproj.io", "applications", "patch");
const ASK: Right = right("gitops-agent.io", "previews", "create");
const READ_ANSWER: Right = right("gitops-agent.io", "previews", "watch");

const VIEWER: &str = "gitops-viewer";
const OPERATOR: &str = "gitops-operator";

/// Commands that need the same rights.
pub struct Need {
    /// The commands.
    pub commands: &'static str,
    /// What they need.
    pub rights: &'static [Right],
    /// Nothing works without.
    pub essential: bool,
    /// The least of the roles in manifests/base/user-roles.yaml that allows it.
    pub role: &'static str,
}

/// What the commands need, in the namespace of the Applications.
pub const NEEDS: &[Need] = &[
    Need {
        commands: "status, history, explain",
        rights: &[GET, LIST],
        essential: true,
        role: VIEWER,
    },
    Need {
        commands: "wait, status --watch",
        rights: &[GET, WATCH, LIST],
        essential: false,
        role: VIEWER,
    },
    Need {
        commands: "sync, refresh, terminate, approve, pause, resume",
        rights: &[GET, WATCH, LIST, PATCH],
        essential: false,
        role: OPERATOR,
    },
    Need {
        commands: "diff, rollback",
        rights: &[GET, ASK, READ_ANSWER],
        essential: false,
        role: OPERATOR,
    },
];

/// Judges what a user may. `who`: the user as kubectl's flag for a role
/// binding. `allowed`: the rights that were asked about, and the answers.
pub fn check(namespace: &str, who: &str, allowed: &[(Right, bool)]) -> Vec<Check> {
    let may = |right: &Right| {
        allowed
            .iter()
            .any(|(asked, answer)| asked == right && *answer)
    };
    let mut fine = Vec::new();
    let mut checks = Vec::new();
    for need in NEEDS {
        let missing: Vec<String> = need
            .rights
            .iter()
            .filter(|right| !may(right))
            .map(|right| format!("{} {}", right.verb, right.resource))
            .collect();
        if missing.is_empty() {
            fine.push(need.commands);
            continue;
        }
        let state = if need.essential {
            State::Fail
        } else {
            State::Warn
        };
        let text = format!(
            "not for {}: you may not {} in namespace {namespace}",
            need.commands,
            missing.join(", ")
        );
        let fix = format!(
            "ask for: kubectl create rolebinding {role} -n {namespace} --clusterrole={role} {who}",
            role = need.role
        );
        checks.push(Check::new("rights", state, &text).fix(&fix));
    }
    if !fine.is_empty() {
        let text = format!("enough in namespace {namespace} for {}", fine.join(", "));
        checks.insert(0, Check::new("rights", State::Ok, &text));
    }
    checks
}

/// Every right once.
pub fn all() -> Vec<Right> {
    let mut rights = Vec::new();
    for right in NEEDS.iter().flat_map(|need| need.rights) {
        if !rights.contains(right) {
            rights.push(*right);
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::ClusterRole;

    use super::*;

    /// The roles as they are installed say the same as the table.
    #[test]
    fn each_command_works_with_the_role_that_is_named() {
        let roles = include_str!("../../../../manifests/base/user-roles.yaml");
        let roles: Vec<ClusterRole> = roles
            .split("\n---\n")
            .map(|role| serde_saphyr::from_str(role).unwrap())
            .collect();
        let allows = |role: &str, right: &Right| {
            let named = |found: &&ClusterRole| found.metadata.name.as_deref() == Some(role);
            let granted = roles.iter().find(named).unwrap().rules.iter().flatten();
            let has = |list: &Option<Vec<String>>, value: &str| {
                list.iter().flatten().any(|found| found == value)
            };
            granted.into_iter().any(|rule| {
                has(&rule.api_groups, right.group)
                    && has(&rule.resources, right.resource)
                    && rule.verbs.iter().any(|verb| verb == right.verb)
            })
        };
        for need in NEEDS {
            for right in need.rights {
                assert!(allows(need.role, right), "{}: {right:?}", need.commands);
            }
            // The least role: what the viewer may is not sent to the operator.
            let viewer = need.rights.iter().all(|right| allows(VIEWER, right));
            assert_eq!(viewer, need.role == VIEWER, "{}", need.commands);
        }
    }

    #[test]
    fn a_viewer_is_told_what_is_not_for_viewers() {
        let viewer: Vec<(Right, bool)> = all()
            .into_iter()
            .map(|right| (right, ["get", "list"].contains(&right.verb)))
            .collect();
        let checks = check("argocd", "--user=ana", &viewer);
        let states: Vec<State> = checks.iter().map(|check| check.state).collect();
        assert_eq!(states, [State::Ok, State::Warn, State::Warn, State::Warn]);
        assert!(checks[0].text.ends_with("for status, history, explain"));
        assert!(checks[2].text.contains("patch applications"));
        let nobody: Vec<(Right, bool)> = all().into_iter().map(|right| (right, false)).collect();
        assert_eq!(check("argocd", "--user=ana", &nobody)[0].state, State::Fail);
    }
}
