//! Gateway API and what resembles it: conditions kept for each listener, parent or ancestor.

use serde_json::Value;

use super::{Health, HealthStatusCode, number, text};

/// What one set of conditions says against being served, if anything.
fn objection(conditions: &Value) -> Option<Health> {
    let find = |name: &str, wrong: fn(&Value) -> bool| {
        let mut all = conditions.as_array()?.iter();
        all.find(|condition| condition["type"] == name && wrong(&condition["status"]))
    };
    let says = |condition: &Value| match text(&condition["message"]) {
        "" => format!(
            "{} is {}",
            text(&condition["type"]),
            text(&condition["status"])
        ),
        message => message.to_owned(),
    };
    let is_false: fn(&Value) -> bool = |status| status == "False";
    let refused = find("ResolvedRefs", is_false).or_else(|| find("Accepted", is_false));
    if let Some(condition) = refused {
        return Some(Health::degraded(says(condition)));
    }
    find("Programmed", |status| status != "True")
        .map(|condition| Health::progressing(says(condition)))
}

/// Gateway: its own conditions, then those of each listener.
pub(super) fn gateway(object: &Value) -> Health {
    let status = &object["status"];
    if let Some(health) = objection(&status["conditions"]) {
        return health;
    }
    let listeners = list(&status["listeners"]);
    for listener in listeners {
        if let Some(mut health) = objection(&listener["conditions"]) {
            health.message = format!("Listener {}: {}", text(&listener["name"]), health.message);
            return health;
        }
    }
    if list(&status["conditions"]).is_empty() && listeners.is_empty() {
        return Health::progressing(format!("Waiting for {}", text(&object["kind"])));
    }
    Health::healthy("")
}

/// A route: the verdict of each parent that has seen its latest change.
pub(super) fn route(object: &Value) -> Health {
    by_entries(object, &object["status"]["parents"], "Parent", "parentRef")
}

/// A policy of Gateway API: the verdict of its ancestors, once all have seen its latest change.
pub(super) fn policy(object: &Value) -> Health {
    let ancestors = &object["status"]["ancestors"];
    let generation = object["metadata"]["generation"].as_i64();
    let behind = list(ancestors).iter().find(|ancestor| {
        list(&ancestor["conditions"]).iter().any(|condition| {
            let observed = condition["observedGeneration"].as_i64();
            observed.is_some_and(|observed| generation.is_some_and(|now| observed != now))
        })
    });
    if let Some(ancestor) = behind {
        let name = text(&ancestor["ancestorRef"]["name"]);
        return Health::progressing(format!("Ancestor {name} has not seen the latest change"));
    }
    by_entries(object, ancestors, "Ancestor", "ancestorRef")
}

/// Airlock Microgateway: its policies are accepted by every ancestor; its other kinds say nothing.
pub(super) fn airlock(object: &Value) -> Health {
    if !text(&object["kind"]).ends_with("Policy") {
        return Health::healthy("");
    }
    let health = policy(object);
    let unaccepted = list(&object["status"]["ancestors"])
        .iter()
        .find(|ancestor| {
            !list(&ancestor["conditions"])
                .iter()
                .any(|condition| condition["type"] == "Accepted")
        });
    match unaccepted {
        Some(ancestor) if health.status == HealthStatusCode::Healthy => {
            let name = text(&ancestor["ancestorRef"]["name"]);
            Health::degraded(format!("Ancestor {name} does not say that it accepts it"))
        }
        _ => health,
    }
}

fn by_entries(object: &Value, entries: &Value, what: &str, reference: &str) -> Health {
    let generation = object["metadata"]["generation"].as_i64();
    let is_observed = |entry: &&Value| {
        let conditions = list(&entry["conditions"]);
        !conditions.is_empty()
            && generation.is_none_or(|generation| {
                conditions
                    .iter()
                    .any(|condition| number(&condition["observedGeneration"]) == generation)
            })
    };
    let mut observed = list(entries).iter().filter(is_observed).peekable();
    if observed.peek().is_none() {
        return Health::progressing(format!("Waiting for {}", text(&object["kind"])));
    }
    for entry in observed {
        if let Some(mut health) = objection(&entry["conditions"]) {
            let name = text(&entry[reference]["name"]);
            health.message = format!("{what} {name}: {}", health.message);
            return health;
        }
    }
    Health::healthy("")
}

/// OpenShift's Route: admitted by every router that looked at it.
pub(super) fn openshift_route(object: &Value) -> Health {
    let routers = list(&object["status"]["ingress"]);
    let mut health = Health::healthy("");
    if routers.is_empty() {
        health = Health::progressing("Waiting to be admitted");
    }
    for router in routers {
        let admitted = list(&router["conditions"])
            .iter()
            .find(|condition| condition["type"] == "Admitted");
        let name = text(&router["routerName"]);
        match admitted.map(|condition| (text(&condition["status"]), condition)) {
            Some(("True", _)) => {}
            Some(("False", condition)) => {
                let message = text(&condition["message"]);
                return Health::degraded(format!("Router {name}: {message}"));
            }
            _ => health = Health::progressing(format!("Router {name}: waiting to be admitted")),
        }
    }
    health
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
