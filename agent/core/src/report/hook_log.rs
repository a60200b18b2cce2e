//! The last words of a failed hook: whose log is read, what must not be in it, and how it is told.
//!
//! Reads nothing itself. A log whose secrets are not all known is not told: who may see the status
//! of an Application may not see its Secrets.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose;
use serde_json::Value;

use crate::mask;

/// Lines that are told.
pub const LINES: i64 = 8;
/// Bytes that are read: a line may be of any length.
pub const BYTES: i64 = 256 * 1024;
/// Characters that are told.
const LONGEST: usize = 600;

/// What has to be read of a Pod, and of its surroundings, to tell its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The container that failed; the first one when none says so.
    pub container: Option<String>,
    /// Secrets whose values the Pod knows, and whether it starts without them.
    pub secrets: BTreeMap<String, bool>,
}

/// What to read of a Pod.
pub fn reading(pod: &Value) -> Reading {
    let spec = &pod["spec"];
    let containers = || list(&spec["initContainers"]).chain(list(&spec["containers"]));
    let mut secrets = BTreeMap::new();
    let mut note = |source: &Value, name: &str| {
        if let Some(name) = source[name].as_str().filter(|name| !name.is_empty()) {
            let optional = source["optional"] == true;
            let known = secrets.entry(name.to_owned()).or_insert(optional);
            *known &= optional;
        }
    };
    for container in containers() {
        for variable in list(&container["env"]) {
            note(&variable["valueFrom"]["secretKeyRef"], "name");
        }
        for source in list(&container["envFrom"]) {
            note(&source["secretRef"], "name");
        }
    }
    for volume in list(&spec["volumes"]) {
        note(&volume["secret"], "secretName");
        for source in list(&volume["projected"]["sources"]) {
            note(&source["secret"], "name");
        }
    }
    let container = failed(pod).or_else(|| list(&spec["containers"]).next()?["name"].as_str());
    Reading {
        container: container.map(Into::into),
        secrets,
    }
}

/// The container that ended with an error, now or before it was started again.
fn failed(pod: &Value) -> Option<&str> {
    let status = &pod["status"];
    let statuses =
        || list(&status["initContainerStatuses"]).chain(list(&status["containerStatuses"]));
    ["state", "lastState"].into_iter().find_map(|state| {
        let ended = |container: &&Value| {
            container[state]["terminated"]["exitCode"]
                .as_i64()
                .is_some_and(|code| code != 0)
        };
        statuses().find(ended)?["name"].as_str()
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The values of a Secret, as a program would print them.
pub fn values(secret: &Value) -> Vec<String> {
    let data = secret["data"].as_object().into_iter().flatten();
    let encoded = data.filter_map(|(_, value)| value.as_str());
    encoded
        .map(|text| {
            let decoded = general_purpose::STANDARD.decode(text).ok();
            decoded
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .unwrap_or_else(|| text.to_owned())
        })
        .collect()
}

/// The end of a log in one line, masked and shortened; `None` when it says nothing.
pub fn told(log: &str, secrets: &[String]) -> Option<String> {
    // A secret at the end of what was cut off would not be known by its half.
    let cut = i64::try_from(log.len()).is_ok_and(|length| length >= BYTES);
    let whole = if cut {
        log.rfind('\n').map_or("", |end| &log[..end])
    } else {
        log
    };
    let masked = mask::mask_output(&plain(whole), secrets);
    let lines: Vec<&str> = masked
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let text = lines.join(" | ");
    let skipped = text.chars().count().saturating_sub(LONGEST);
    if skipped == 0 {
        return (!text.is_empty()).then_some(text);
    }
    let end: String = text.chars().skip(skipped).collect();
    Some(format!("… {}", end.trim_start()))
}

/// Text without colors and other control characters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            if letters.next_if_eq(&'[').is_some() {
                // Ends with its first letter (ECMA-48).
                letters.find(|end| ('@'..='~').contains(end));
            }
        } else if letter == '\n' || letter == '\t' || !letter.is_control() {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_failed_container_and_all_its_pods_secrets_are_read() {
        let pod = json!({
            "spec": {
                "initContainers": [{"name": "wait", "envFrom": [{"secretRef": {"name": "a", "optional": true}}]}],
                "containers": [
                    {"name": "side", "env": [{"name": "X", "value": "x"}]},
                    {"name": "work", "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}}]},
                ],
                "volumes": [
                    {"name": "v", "secret": {"secretName": "c"}},
                    {"name": "w", "projected": {"sources": [{"secret": {"name": "a"}}, {"configMap": {"name": "z"}}]}},
                ],
            },
            "status": {"containerStatuses": [
                {"name": "side", "state": {"terminated": {"exitCode": 0}}},
                {"name": "work", "state": {"terminated": {"exitCode": 3}}},
            ]},
        });
        let found = reading(&pod);
        assert_eq!(found.container.as_deref(), Some("work"));
        let expected = [("a", false), ("b", false), ("c", false)];
        let expected = expected.map(|(name, optional)| (name.to_owned(), optional));
        assert_eq!(found.secrets, BTreeMap::from(expected));
        let mut unknown = pod;
        unknown["status"] = json!(null);
        let first = reading(&unknown).container;
        assert_eq!(first.as_deref(), Some("side"));
        assert_eq!(reading(&json!(null)), Reading::default());
    }

    #[test]
    fn what_is_told_is_masked_then_shortened() {
        let secret = json!({"data": {"a": "aHVudGVyMjI=", "b": "/w==", "c": 1}});
        let secrets = values(&secret);
        assert_eq!(secrets, ["hunter22", "/w=="]);
        let told = |log: &str| told(log, &secrets);
        assert_eq!(told(" \n\n"), None);
        assert_eq!(
            told("\u{1b}[31mconnecting\u{1b}[0m\nas hunter22\r\npassword=x\n").as_deref(),
            Some("connecting | as *** | password=***")
        );
        // The beginning of a secret that is cut off by shortening is masked before.
        let long = format!("hunter22{}", "x".repeat(LONGEST));
        let end = told(&long).unwrap();
        assert!(end.starts_with("… ") && !end.contains("22"), "{end}");
        let bytes = usize::try_from(BYTES).unwrap();
        let cut = format!("first\n{}hunt", "x".repeat(bytes));
        assert_eq!(told(&cut).as_deref(), Some("first"));
        assert_eq!(told(&"x".repeat(bytes)), None);
    }
}
