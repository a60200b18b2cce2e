//! Health of an application from that of its objects.

use gitops_api::{HealthStatusCode, constants};

use super::Health;
use crate::listing;
use crate::manifest::object::ObjectKey;

/// Most objects that a message names.
const NAMED: usize = 3;
/// Most characters of what each of them says.
const LONGEST: usize = 200;
/// How a message begins, as in Argo CD.
const BEGINNING: &str = "Caused by ";

/// One object of an application, as far as the application's health depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Identity.
    pub key: &'a ObjectKey,
    /// Whether the object exists in the cluster.
    pub exists: bool,
    /// Its health; `None` for kinds without a rule.
    pub health: Option<&'a Health>,
    /// `argocd.argoproj.io/ignore-healthcheck: "true"`.
    pub ignored: bool,
}

/// An application is as healthy as the worst of its objects, and the message names those with what
/// they say of themselves; of a child application that is the object that makes the child so.
///
/// Hooks, objects that are skipped, and objects whose tracking mark is a copy must be left out by
/// the caller. Source: Argo CD, `setApplicationHealth` (since 3.4 a missing object does not make
/// the application worse unless every object is missing).
pub fn aggregate<'a>(members: impl IntoIterator<Item = Member<'a>>) -> Health {
    let mut worst = HealthStatusCode::Healthy;
    let mut culprits: Vec<(&ObjectKey, &str)> = Vec::new();
    let (mut any, mut any_exists) = (false, false);
    for member in members {
        any = true;
        any_exists |= member.exists;
        let Some(status) = counted(&member) else {
            continue;
        };
        if status.severity() > worst.severity() {
            worst = status;
            culprits.clear();
        }
        if status == worst && status != HealthStatusCode::Healthy {
            let said = member.health.map_or("", |health| &health.message);
            culprits.push((member.key, said));
        }
    }
    if any && !any_exists {
        return Health::new(
            HealthStatusCode::Missing,
            "No object of the application exists yet",
        );
    }
    Health::new(worst, caused_by(&culprits))
}

fn counted(member: &Member<'_>) -> Option<HealthStatusCode> {
    if member.ignored || !member.exists {
        return None;
    }
    let status = member.health?.status;
    let is_application = member.key.group == constants::GROUP && member.key.kind == "Application";
    match status {
        HealthStatusCode::Missing => None,
        // The verdict on a child that has none yet must not hide those of the others.
        HealthStatusCode::Unknown if is_application => None,
        _ => Some(status),
    }
}

fn caused_by(culprits: &[(&ObjectKey, &str)]) -> String {
    if culprits.is_empty() {
        return String::new();
    }
    let named = culprits
        .iter()
        .map(|(key, said)| format!("{}{}", name(key), reason(said)));
    format!("{BEGINNING}{}", listing::shortened(named, NAMED, ", "))
}

/// What an object says, in brackets, in one line, and not too long.
fn reason(said: &str) -> String {
    let words: Vec<&str> = said.split_whitespace().collect();
    let said = words.join(" ");
    let said = said.strip_prefix(BEGINNING).unwrap_or(&said);
    if said.is_empty() {
        return String::new();
    }
    let shown: String = said.chars().take(LONGEST).collect();
    let rest = if shown.len() < said.len() { "…" } else { "" };
    format!(" ({}{rest})", shown.trim_end())
}

/// `apps/Deployment:shop/web`, as Argo CD's messages name objects.
fn name(key: &ObjectKey) -> String {
    let scope = if key.namespace.is_empty() { "" } else { "/" };
    format!("{}:{}{scope}{}", key.group_kind(), key.namespace, key.name)
}

#[cfg(test)]
mod tests {
    use HealthStatusCode::{Degraded, Healthy, Missing, Progressing, Suspended, Unknown};

    use super::*;

    fn key(kind: &str, name: &str) -> ObjectKey {
        let (group, kind) = kind.rsplit_once('/').unwrap_or(("", kind));
        ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    /// What every object of these tests says.
    const SAYS: &str = "why";

    type Row = (&'static str, &'static str, &'static str);

    /// Members from `kind name status flags`; status `-` is no health, flag `!` ignored, `?` absent.
    fn verdict(rows: &[Row]) -> (HealthStatusCode, String) {
        let members: Vec<(ObjectKey, Option<Health>, &str)> = rows
            .iter()
            .map(|(object, status, flags)| {
                let (kind, name) = object.split_once(' ').unwrap();
                let health = (*status != "-").then(|| Health::new((*status).into(), SAYS));
                (key(kind, name), health, *flags)
            })
            .collect();
        let health = aggregate(members.iter().map(|(key, health, flags)| Member {
            key,
            exists: !flags.contains('?'),
            health: health.as_ref(),
            ignored: flags.contains('!'),
        }));
        (health.status, health.message)
    }

    #[test]
    fn applications() {
        let cases: [(&[Row], HealthStatusCode, &str); 11] = [
            (&[], Healthy, ""),
            (&[("ConfigMap a", "-", "")], Healthy, ""),
            (
                &[("ConfigMap a", "-", "?")],
                Missing,
                "No object of the application exists yet",
            ),
            (
                &[("ConfigMap a", "-", ""), ("apps/Deployment b", "-", "?")],
                Healthy,
                "",
            ),
            (
                &[
                    ("apps/Deployment a", "Progressing", ""),
                    ("Service b", "Degraded", ""),
                    ("Pod c", "Healthy", ""),
                ],
                Degraded,
                "Caused by Service:shop/b (why)",
            ),
            (
                &[
                    ("Pod a", "Degraded", ""),
                    ("Pod b", "Degraded", ""),
                    ("Pod c", "Degraded", ""),
                    ("Pod d", "Degraded", ""),
                    ("Pod e", "Degraded", ""),
                ],
                Degraded,
                "Caused by Pod:shop/a (why), Pod:shop/b (why), Pod:shop/c (why) and 2 more",
            ),
            (
                &[("Pod a", "Degraded", "!"), ("Pod b", "Suspended", "")],
                Suspended,
                "Caused by Pod:shop/b (why)",
            ),
            (
                &[("Pod a", "Unknown", "")],
                Unknown,
                "Caused by Pod:shop/a (why)",
            ),
            (
                &[
                    ("argoproj.io/Application a", "Unknown", ""),
                    ("Pod b", "Healthy", ""),
                ],
                Healthy,
                "",
            ),
            (&[("argoproj.io/Application a", "Missing", "")], Healthy, ""),
            (
                &[("argoproj.io/Application a", "Progressing", "")],
                Progressing,
                "Caused by argoproj.io/Application:shop/a (why)",
            ),
        ];
        for (rows, status, message) in cases {
            assert_eq!(verdict(rows), (status, message.to_owned()), "{rows:?}");
        }
    }

    #[test]
    fn a_message_tells_what_the_child_says_in_one_line() {
        let child = key("argoproj.io/Application", "child");
        let message = |said: &str| {
            let health = Health::degraded(said);
            let member = Member {
                key: &child,
                exists: true,
                health: Some(&health),
                ignored: false,
            };
            aggregate([member]).message
        };
        let named = "Caused by argoproj.io/Application:shop/child";
        assert_eq!(message(""), named);
        assert_eq!(
            message("Caused by apps/Deployment:shop/web (exceeded\n its  deadline)"),
            format!("{named} (apps/Deployment:shop/web (exceeded its deadline))")
        );
        let long = message(&"é".repeat(LONGEST + 1));
        assert_eq!(long, format!("{named} ({}…)", "é".repeat(LONGEST)));
    }
}
