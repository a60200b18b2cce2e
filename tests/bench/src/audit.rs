//! Which requests the API server got from the agent, by its own audit log.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// The agent's user.
const USER: &str = "system:serviceaccount:argocd:gitops-agent";

/// Number of lines of the log, to read on from later.
pub(crate) fn position(log: &Path) -> anyhow::Result<usize> {
    Ok(read(log)?.lines().count())
}

/// Requests of the agent after a position: verb and resource to how many.
pub(crate) fn requests(log: &Path, position: usize) -> anyhow::Result<BTreeMap<String, u64>> {
    Ok(count(read(log)?.lines().skip(position)))
}

fn read(log: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))
}

fn count<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        // A watch is told of twice: when it starts and when it ends; its end is no request.
        let verb = event["verb"].as_str().unwrap_or_default();
        let stage = event["stage"].as_str().unwrap_or_default();
        let counted = if verb == "watch" {
            stage == "ResponseStarted"
        } else {
            stage == "ResponseComplete"
        };
        if counted && event["user"]["username"] == USER {
            let resource = event["objectRef"]["resource"].as_str();
            let resource = resource
                .or(event["requestURI"].as_str())
                .unwrap_or_default();
            *counts.entry(format!("{verb} {resource}")).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_agents_requests() {
        let event = |user: &str, verb: &str, stage: &str, resource: &str| {
            serde_json::json!({
                "user": {"username": user}, "verb": verb, "stage": stage,
                "objectRef": {"resource": resource}, "requestURI": "/x",
            })
            .to_string()
        };
        let lines = [
            event(USER, "patch", "ResponseComplete", "configmaps"),
            event(USER, "patch", "ResponseComplete", "configmaps"),
            event(USER, "watch", "ResponseStarted", "secrets"),
            event(USER, "watch", "ResponseComplete", "secrets"),
            event("somebody", "get", "ResponseComplete", "secrets"),
            "not JSON".to_owned(),
        ];
        let counts = count(lines.iter().map(String::as_str));
        let counts: Vec<_> = counts.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(counts, [("patch configmaps", 2), ("watch secrets", 1)]);
    }
}
