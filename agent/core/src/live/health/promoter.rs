//! GitOps Promoter: where a promotion through environments stands.

use serde_json::Value;

use super::{Health, condition, text};

/// PromotionStrategy: promoted to the end when what every environment runs is what is proposed for
/// it, and the same is proposed for all.
pub(super) fn promotion_strategy(object: &Value) -> Health {
    let status = &object["status"];
    let Some(ready) = condition(object, "Ready") else {
        return Health::progressing("Waiting for PromotionStrategy");
    };
    let current = &object["metadata"]["generation"];
    let observed = &ready["observedGeneration"];
    if observed.is_number() && current.is_number() && observed != current {
        return Health::progressing("Waiting for the controller to see the latest change");
    }
    if matches!(&ready["status"], Value::Bool(false)) || ready["status"] == "False" {
        return Health::degraded(text(&ready["message"]));
    }
    let environments = status["environments"].as_array();
    let environments = environments.map_or(&[][..], Vec::as_slice);
    let Some(first) = environments.first() else {
        return Health::degraded("It has no environments");
    };
    for environment in environments {
        let branch = text(&environment["branch"]);
        if text(&environment["active"]["dry"]["sha"]).is_empty() {
            return Health::progressing(format!("{branch}: the active commit is not known yet"));
        }
        if proposed(environment).is_empty() {
            return Health::progressing(format!("{branch}: the proposed commit is not known yet"));
        }
    }
    if environments
        .iter()
        .any(|environment| proposed(environment) != proposed(first))
    {
        return Health::progressing("Not every environment has the same proposed commit yet");
    }
    let moving = environments.iter().find(|environment| {
        environment["proposed"]["dry"]["sha"] != environment["active"]["dry"]["sha"]
    });
    match moving {
        Some(environment) => Health::progressing(format!(
            "{}: {} is being promoted",
            text(&environment["branch"]),
            text(&environment["proposed"]["dry"]["sha"])
        )),
        None => Health::healthy(text(&first["active"]["dry"]["sha"])),
    }
}

/// The commit that is proposed for an environment: the note of its hydrator, else the commit itself.
fn proposed(environment: &Value) -> &str {
    let proposed = &environment["proposed"];
    match text(&proposed["note"]["drySha"]) {
        "" => text(&proposed["dry"]["sha"]),
        noted => noted,
    }
}
