//! Which keys of argocd-cm are health rules, and for which kinds. Runs nothing.
//!
//! Argo CD's keys: `resource.customizations.health.<group>_<Kind>` (`<Kind>` alone for the core
//! group) and the older `resource.customizations`, a map from `<group>/<Kind>` to fields. Ours:
//! `resource.customizations.health.cel.<group>_<Kind>`, and the field `health.cel` in the map.

use std::collections::BTreeMap;

use serde_json::Value;

const ALL: &str = "resource.customizations";
const HEALTH: &str = "resource.customizations.health.";
const CEL: &str = "cel.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    Lua,
    Cel,
}

/// One rule as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Where it is, for messages: the key, and the place in its map.
    pub(crate) key: String,
    pub(crate) language: Language,
    pub(crate) text: String,
}

/// Finds the rules: by `<group>/<Kind>` (`<Kind>` in the core group), which may be a pattern.
/// What cannot be understood is told with its key.
pub(crate) fn find(
    data: &BTreeMap<String, String>,
    yaml: impl Fn(&str) -> Result<Value, String>,
) -> (BTreeMap<String, Written>, Vec<(String, String)>) {
    let mut rules = BTreeMap::new();
    let mut problems = Vec::new();
    if let Some(text) = data.get(ALL).filter(|text| !text.trim().is_empty()) {
        match yaml(text) {
            Ok(Value::Object(kinds)) => {
                for (kind, fields) in kinds {
                    for (field, language) in
                        [("health.lua", Language::Lua), ("health.cel", Language::Cel)]
                    {
                        if let Some(text) = fields[field].as_str() {
                            let key = format!("{ALL}, {kind}, {field}");
                            add(&mut rules, &mut problems, &kind, key, language, text);
                        }
                    }
                }
            }
            Ok(Value::Null) => {}
            Ok(_) => problems.push((
                ALL.into(),
                "it is no map from <group>/<Kind> to customizations".into(),
            )),
            Err(problem) => problems.push((ALL.into(), problem)),
        }
    }
    // Keys of one kind each win over the map, as in Argo CD.
    for (key, text) in data {
        let Some(rest) = key.strip_prefix(HEALTH) else {
            continue;
        };
        let (language, name) = match rest.strip_prefix(CEL) {
            Some(name) => (Language::Cel, name),
            None => (Language::Lua, rest),
        };
        match kind_of(name) {
            Some(kind) => {
                // The map's rule gives way without a word; a second key does not.
                if rules
                    .get(&kind)
                    .is_some_and(|other: &Written| other.key.starts_with(&format!("{ALL}, ")))
                {
                    rules.remove(&kind);
                }
                add(
                    &mut rules,
                    &mut problems,
                    &kind,
                    key.clone(),
                    language,
                    text,
                );
            }
            None => problems.push((
                key.clone(),
                format!("\"{name}\" is not <group>_<Kind>, or <Kind> for the core group"),
            )),
        }
    }
    (rules, problems)
}

/// Blank rules are none. Of a rule in Lua and one in CEL, the one in CEL is used: whoever wrote
/// it wrote it for this agent.
fn add(
    rules: &mut BTreeMap<String, Written>,
    problems: &mut Vec<(String, String)>,
    kind: &str,
    key: String,
    language: Language,
    text: &str,
) {
    if text.trim().is_empty() {
        return;
    }
    let written = Written {
        key,
        language,
        text: text.into(),
    };
    if let Some(other) = rules.get(kind) {
        let (used, ignored) = if other.language > language {
            (other.key.clone(), written.key.clone())
        } else {
            (written.key.clone(), other.key.clone())
        };
        problems.push((
            ignored,
            format!("{used} is a rule for {kind} too, and is used"),
        ));
        if other.language > language {
            return;
        }
    }
    rules.insert(kind.into(), written);
}

/// `<group>_<Kind>` as `<group>/<Kind>`.
fn kind_of(name: &str) -> Option<String> {
    match name.split('_').collect::<Vec<_>>()[..] {
        [kind] if !kind.is_empty() => Some(kind.into()),
        [group, kind] if !group.is_empty() && !kind.is_empty() => Some(format!("{group}/{kind}")),
        _ => None,
    }
}
