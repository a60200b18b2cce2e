//! Whether the ApplicationSets generate what they should.

use gitops_core::listing;
use gitops_kit::text;
use gitops_views::appsets::Set;

use crate::cluster::application_sets;
use crate::cluster::connection::Connection;
use crate::commands::doctor::report::{Check, State};

/// Sets that are named.
const MAX_SETS: usize = 3;

/// `None` where the user may not list them, or there are none.
pub(super) async fn check(namespace: &str, connection: &Connection) -> Option<Check> {
    let found = application_sets::list(Some(namespace), connection);
    let sets: Vec<Set> = found
        .await
        .ok()?
        .iter()
        .map(application_sets::told)
        .collect();
    of(&sets)
}

fn of(sets: &[Set]) -> Option<Check> {
    let first = sets.first()?;
    let says: Vec<(&str, String)> = sets
        .iter()
        .map(|set| (&*set.name, set.says()))
        .filter(|(_, says)| !says.is_empty())
        .collect();
    if says.is_empty() {
        let applications: usize = sets.iter().map(|set| set.count).sum();
        let text = format!(
            "{} as they should be, with {applications} Applications",
            sets.len()
        );
        return Some(Check::new("ApplicationSets", State::Ok, &text));
    }
    let name = says
        .first()
        .map_or(&*first.name, |(name, _)| *name)
        .to_owned();
    let texts: Vec<String> = says
        .iter()
        .map(|(name, says)| format!("{name}: {says}"))
        .collect();
    let text = listing::shortened(texts, MAX_SETS, "; ");
    let check = Check::new("ApplicationSets", State::Warn, &text::one_line(&text));
    Some(check.fix(&format!("kubectl gitops appset get {name} shows all of it")))
}

#[cfg(test)]
mod tests {
    use gitops_api::application_set::ApplicationSet;
    use serde_json::{Value, json};

    use super::*;

    fn set(name: &str, status: &Value) -> Set {
        let set: ApplicationSet = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": {"name": name},
            "spec": {"generators": [], "template": {"metadata": {}, "spec": {}}}, "status": status,
        }))
        .unwrap();
        application_sets::told(&set)
    }

    #[test]
    fn what_a_set_says_is_a_warning() {
        let good = set(
            "good",
            &json!({"health": {"status": "Healthy"}, "resourcesCount": 2}),
        );
        let broken = set(
            "broken",
            &json!({"health": {"status": "Degraded"}, "conditions": [{"type": "ErrorOccurred", "status": "True",
                "reason": "R", "message": "it does not answer"}]}),
        );
        assert!(of(&[]).is_none());
        let fine = of(std::slice::from_ref(&good)).unwrap();
        assert_eq!(fine.text, "1 as they should be, with 2 Applications");
        let check = of(&[good, broken]).unwrap();
        assert_eq!(check.text, "broken: it does not answer");
        assert_eq!(check.state, State::Warn);
    }
}
