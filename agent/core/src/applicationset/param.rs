//! Parameters: what generators give and templates are filled with. Numbers keep the text they were
//! written with, copies are always deep, and maps have one order.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// A map of parameters by name.
pub type ParamMap = BTreeMap<String, Param>;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Param {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Param>),
    /// A map.
    Map(ParamMap),
}

/// Marks a number whose text JSON parsers do not keep, in the conversation with the render worker.
const EXACT: &str = "\0number";

impl Param {
    /// Reads JSON, from an object of the cluster or from the render worker.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number_text(number)),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(map) => match map.get(EXACT) {
                Some(Value::String(text)) if map.len() == 1 => Self::Number(text.clone()),
                _ => Self::Map(map_of(map)),
            },
        }
    }

    /// JSON for the render worker, with numbers as they were written.
    pub fn to_wire(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Text(text) => json!(text),
            Self::Number(text) => match serde_json::from_str::<serde_json::Number>(text) {
                Ok(number) if number_text(&number) == *text => Value::Number(number),
                _ => json!({ EXACT: text }),
            },
            Self::List(items) => items.iter().map(Self::to_wire).collect(),
            Self::Map(map) => wire(map),
        }
    }

    /// What a selector compares, and what a tag of fasttemplate becomes: `None` for null, which does
    /// not exist, and for lists and maps.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Null | Self::List(_) | Self::Map(_) => None,
            Self::Bool(value) => Some(value.to_string()),
            Self::Number(text) | Self::Text(text) => Some(text.clone()),
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// A form in which equal values are equal: numbers by value.
    fn comparable(&self) -> Self {
        match self {
            Self::Number(text) => Self::Number(comparable_number(text)),
            Self::List(items) => Self::List(items.iter().map(Self::comparable).collect()),
            Self::Map(map) => Self::Map(
                map.iter()
                    .map(|(key, value)| (key.clone(), value.comparable()))
                    .collect(),
            ),
            other => other.clone(),
        }
    }
}

/// The map of a JSON object.
pub(super) fn map_of(map: &Map<String, Value>) -> ParamMap {
    map.iter()
        .map(|(key, value)| (key.clone(), Param::of(value)))
        .collect()
}

/// JSON of a map for the render worker.
pub fn wire(map: &ParamMap) -> Value {
    let entries = map.iter();
    Value::Object(
        entries
            .map(|(key, value)| (key.clone(), value.to_wire()))
            .collect(),
    )
}

fn number_text(number: &serde_json::Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    number
        .as_f64()
        .map_or_else(|| number.to_string(), |value| value.to_string())
}

fn comparable_number(text: &str) -> String {
    if let Ok(whole) = text.parse::<i128>() {
        return whole.to_string();
    }
    match text.parse::<f64>() {
        Ok(value) => value.to_string(),
        Err(_) => text.to_owned(),
    }
}

/// The values of the merge keys of one set of parameters; a key that is missing counts as null.
/// Source: applicationset/generators/merge.go.
pub(super) fn key_values(map: &ParamMap, keys: &[String]) -> Vec<Param> {
    keys.iter()
        .map(|key| map.get(key).map_or(Param::Null, Param::comparable))
        .collect()
}

/// Puts `other` under `map`: what `map` has wins, also when it is empty; maps are merged.
pub(super) fn fill(map: &mut ParamMap, other: &ParamMap) {
    for (key, value) in other {
        match (map.get_mut(key), value) {
            (Some(Param::Map(mine)), Param::Map(theirs)) => fill(mine, theirs),
            (Some(_), _) => {}
            (None, _) => {
                map.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Puts `other` over `map`: what `other` has wins, also when it is empty; maps are merged.
pub(super) fn overlay(map: &mut ParamMap, other: &ParamMap) {
    for (key, value) in other {
        match (map.get_mut(key), value) {
            (Some(Param::Map(mine)), Param::Map(theirs)) => overlay(mine, theirs),
            _ => {
                map.insert(key.clone(), value.clone());
            }
        }
    }
}

/// All values by their path with dots; lists by index. Empty lists and maps vanish.
/// Source: the DotStyle of github.com/jeremywohl/flatten, which Argo CD uses.
pub(super) fn flatten(map: &ParamMap) -> ParamMap {
    let mut flat = ParamMap::new();
    for (key, value) in map {
        flatten_into(&mut flat, key, value);
    }
    flat
}

fn flatten_into(flat: &mut ParamMap, path: &str, value: &Param) {
    match value {
        Param::Map(map) => {
            for (key, value) in map {
                flatten_into(flat, &format!("{path}.{key}"), value);
            }
        }
        Param::List(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten_into(flat, &format!("{path}.{index}"), value);
            }
        }
        other => {
            flat.insert(path.to_owned(), other.clone());
        }
    }
}

/// All values as texts, for templates without goTemplate. Null has none.
pub(super) fn texts(flat: &ParamMap) -> ParamMap {
    flat.iter()
        .map(|(key, value)| {
            let text = value.text().map_or_else(|| value.clone(), Param::Text);
            (key.clone(), text)
        })
        .collect()
}

/// Longest rendition of parameters in a message, in characters.
const MAX_SHOWN: usize = 160;

/// The parameters of an element, for messages: short, in their order.
pub(super) fn shown(map: &ParamMap) -> String {
    let mut text = String::from("{");
    for (index, (key, value)) in map.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = match value {
            Param::Text(value) => write!(text, "{separator}{key}: {value:?}"),
            Param::Map(_) => write!(text, "{separator}{key}: {{…}}"),
            Param::List(_) => write!(text, "{separator}{key}: […]"),
            other => write!(
                text,
                "{separator}{key}: {}",
                other.text().unwrap_or_else(|| "null".into())
            ),
        };
        if text.chars().count() > MAX_SHOWN {
            let cut: String = text.chars().take(MAX_SHOWN).collect();
            return format!("{cut}…}}");
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: &Value) -> ParamMap {
        match Param::of(value) {
            Param::Map(map) => map,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_keep_their_text_in_both_directions() {
        for text in [
            "3",
            "-7",
            "123456789012",
            "18446744073709551615",
            "1.5",
            "1.10",
            "2.0",
            "1e3",
            "123456789012345678901234567890",
            "0",
        ] {
            let param = Param::Number(text.into());
            assert_eq!(Param::of(&param.to_wire()), param, "{text}");
            assert_eq!(param.text().as_deref(), Some(text));
        }
    }

    #[test]
    fn merging_is_deep_and_never_shares() {
        let base = map(&json!({"a": {"x": 1, "y": 2}, "n": null, "f": false}));
        let over = map(&json!({"a": {"x": 9}, "n": 1, "f": true, "new": {"k": []}}));
        let mut first_wins = base.clone();
        fill(&mut first_wins, &over);
        assert_eq!(
            first_wins,
            map(&json!({"a": {"x": 1, "y": 2}, "n": null, "f": false, "new": {"k": []}}))
        );
        let mut last_wins = base.clone();
        overlay(&mut last_wins, &over);
        assert_eq!(
            last_wins,
            map(&json!({"a": {"x": 9, "y": 2}, "n": 1, "f": true, "new": {"k": []}}))
        );
        assert_eq!(
            base,
            map(&json!({"a": {"x": 1, "y": 2}, "n": null, "f": false}))
        );
    }

    #[test]
    fn keys_are_compared_by_value() {
        let keys = ["k".to_owned()];
        let of = |value: Value| key_values(&map(&json!({ "k": value })), &keys);
        assert_eq!(of(json!(1)), of(json!(1.0)));
        assert_ne!(of(json!(1)), of(json!("1")));
        assert_eq!(of(json!(null)), key_values(&ParamMap::new(), &keys));
        assert_ne!(
            of(json!(9_007_199_254_740_993_i64)),
            of(json!(9_007_199_254_740_992_i64))
        );
    }

    #[test]
    fn flat_names_have_dots() {
        let flat = flatten(&map(
            &json!({"a": {"b": [1, {"c": null}], "e": {}}, "l": []}),
        ));
        let names: Vec<&str> = flat.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.b.0", "a.b.1.c"]);
    }
}
