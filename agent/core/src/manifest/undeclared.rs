//! What server-side apply refuses of a manifest and every other way of writing takes: fields the API
//! server does not know, and entries of a list that are given more than once.
//!
//! It refuses both whatever the validation is set to, and names them. `kubectl apply`, and Argo CD with
//! it, drops the fields; of equal entries the last is the one that counts.

use std::borrow::Cow;

use serde_json::Value;

/// What the API server says of a field its schema does not have.
const UNDECLARED: &str = ": field not declared in schema";
/// What it says of a list with equal entries, before their keys.
const DUPLICATE: &str = ": duplicate entries for key ";

/// Something of a manifest that was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Path of the field, or of the list with the key of its equal entries, as the API server writes it.
    pub field: String,
    /// Whether it is given more than once; otherwise the API server does not know it.
    pub repeated: bool,
}

/// Most manifests that are tried after the first: a refusal need not name all fields at once.
const TRIES: usize = 5;

/// A manifest whose unknown fields are left out one refusal after another.
#[derive(Clone, Debug)]
pub struct KnownFields<'a> {
    /// Copied with the first refusal only: most manifests have none.
    manifest: Cow<'a, Value>,
    tries: usize,
    left_out: Vec<LeftOut>,
}

impl<'a> KnownFields<'a> {
    /// Begins with all fields.
    pub fn of(manifest: &'a Value) -> Self {
        Self {
            manifest: Cow::Borrowed(manifest),
            tries: 0,
            left_out: Vec::new(),
        }
    }

    /// What was left out so far.
    pub fn left_out(self) -> Vec<LeftOut> {
        self.left_out
    }

    /// What to try after a refusal; `None` when the refusal stands.
    pub fn after(&mut self, refusal: &str) -> Option<&Value> {
        if self.tries == TRIES {
            return None;
        }
        self.tries += 1;
        let (fewer, left_out) = without(&self.manifest, refusal)?;
        self.manifest = Cow::Owned(fewer);
        self.left_out.extend(left_out);
        Some(&self.manifest)
    }
}

/// The manifest without what a refusal names, and what that is; `None` when it names nothing of it.
fn without(manifest: &Value, refusal: &str) -> Option<(Value, Vec<LeftOut>)> {
    let mut manifest = manifest.clone();
    let mut left_out = Vec::new();
    for (end, _) in refusal.match_indices(UNDECLARED) {
        let Some((field, steps)) = path_before(&refusal[..end]) else {
            continue;
        };
        if remove(&mut manifest, &steps) {
            let repeated = false;
            left_out.push(LeftOut { field, repeated });
        }
    }
    for (end, said) in refusal.match_indices(DUPLICATE) {
        let Some((list, steps)) = path_before(&refusal[..end]) else {
            continue;
        };
        let Some((keys, entry)) = keys_after(&refusal[end + said.len()..]) else {
            continue;
        };
        if keep_last(&mut manifest, &steps, &keys) {
            let field = format!("{list}[{entry}]");
            let repeated = true;
            left_out.push(LeftOut { field, repeated });
        }
    }
    (!left_out.is_empty()).then_some((manifest, left_out))
}

/// Reads the keys of equal entries: `[name="A"]`.
fn keys_after(text: &str) -> Option<(Vec<(String, Value)>, &str)> {
    let entry = text.strip_prefix('[')?;
    let entry = entry.get(..entry.find(']')?)?;
    match element_of(entry)? {
        Step::Keys(keys) => Some((keys, entry)),
        Step::Field(_) | Step::Index(_) => None,
    }
}

/// One step of a path as the API server writes it.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    /// Merge keys of a list element.
    Keys(Vec<(String, Value)>),
}

/// Reads the path that a text ends with: `….spec.ports[port=80,protocol="TCP"].nmae`.
fn path_before(text: &str) -> Option<(String, Vec<Step>)> {
    // The path begins after the last blank that is not inside its quotes.
    let mut quoted = false;
    let mut begin = 0;
    for (at, sign) in text.char_indices() {
        match sign {
            '"' => quoted = !quoted,
            ' ' | '\n' | '\t' if !quoted => begin = at + 1,
            _ => {}
        }
    }
    let path = text.get(begin..)?;
    let mut rest = path;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(field) = rest.strip_prefix('.') {
            let end = field.find(['.', '[']).unwrap_or(field.len());
            steps.push(Step::Field(field.get(..end)?.to_owned()));
            rest = field.get(end..)?;
        } else {
            let element = rest.strip_prefix('[')?;
            let end = element.find(']')?;
            steps.push(element_of(element.get(..end)?)?);
            rest = element.get(end + 1..)?;
        }
    }
    (!steps.is_empty()).then(|| (path.to_owned(), steps))
}

fn element_of(text: &str) -> Option<Step> {
    if let Ok(index) = text.parse() {
        return Some(Step::Index(index));
    }
    let keys = text.split(',').map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), serde_json::from_str(value).ok()?))
    });
    keys.collect::<Option<Vec<_>>>().map(Step::Keys)
}

fn remove(value: &mut Value, steps: &[Step]) -> bool {
    let Some((first, rest)) = steps.split_first() else {
        return false;
    };
    match (first, value) {
        (Step::Field(name), Value::Object(map)) if rest.is_empty() => map.remove(name).is_some(),
        (Step::Field(name), Value::Object(map)) => {
            map.get_mut(name).is_some_and(|child| remove(child, rest))
        }
        (Step::Index(index), Value::Array(items)) => {
            items.get_mut(*index).is_some_and(|item| remove(item, rest))
        }
        (Step::Keys(keys), Value::Array(items)) => {
            items
                .iter_mut()
                .filter(|item| has_keys(item, keys))
                .map(|item| remove(item, rest))
                .filter(|removed| *removed)
                .count()
                > 0
        }
        _ => false,
    }
}

/// Whether these are the keys of an entry. One the manifest leaves out has its default.
fn has_keys(item: &Value, keys: &[(String, Value)]) -> bool {
    keys.iter()
        .all(|(name, value)| item.get(name).is_none_or(|set| set == value))
}

/// Leaves the last of the entries with these keys in a list; whether there were several.
fn keep_last(value: &mut Value, steps: &[Step], keys: &[(String, Value)]) -> bool {
    match (steps.split_first(), value) {
        (None, Value::Array(items)) => {
            let Some(last) = items.iter().rposition(|item| has_keys(item, keys)) else {
                return false;
            };
            let before = items.len();
            let mut at = 0;
            items.retain(|item| {
                at += 1;
                at > last || !has_keys(item, keys)
            });
            items.len() < before
        }
        (Some((Step::Field(name), rest)), Value::Object(map)) => map
            .get_mut(name)
            .is_some_and(|child| keep_last(child, rest, keys)),
        (Some((Step::Index(index), rest)), Value::Array(items)) => items
            .get_mut(*index)
            .is_some_and(|item| keep_last(item, rest, keys)),
        (Some((Step::Keys(of), rest)), Value::Array(items)) => {
            let items = items.iter_mut().filter(|item| has_keys(item, of));
            items
                .map(|item| keep_last(item, rest, keys))
                .filter(|removed| *removed)
                .count()
                > 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_named_fields_go_and_nothing_else() {
        let manifest = json!({"spec": {"replcas": 3, "replicas": 2, "template": {"spec": {"containers": [
            {"name": "a", "img": "x", "image": "y"}, {"name": "b", "img": "z"}]}},
            "ports": [{"port": 80, "nmae": "http"}]}});
        let refusal = "failed to create typed patch object (n/web; apps/v1, Kind=Deployment): errors:\n  \
            .spec.replcas: field not declared in schema\n  \
            .spec.template.spec.containers[name=\"a\"].img: field not declared in schema\n  \
            .spec.ports[port=80,protocol=\"TCP\"].nmae: field not declared in schema";
        assert_eq!(
            without(&manifest, refusal).unwrap().0,
            json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [
                {"name": "a", "image": "y"}, {"name": "b", "img": "z"}]}},
                "ports": [{"port": 80}]}})
        );
        assert_eq!(without(&manifest, "something else is wrong"), None);
        assert_eq!(
            without(&manifest, ".spec.other: field not declared in schema"),
            None,
            "without progress there is no second try"
        );
    }

    #[test]
    fn refusals_are_followed_while_they_name_something_new() {
        let manifest = json!({"spec": {"a": 1, "b": 2, "c": 3}});
        let refusal = |field: &str| format!("errors: .spec.{field}: field not declared in schema");
        let mut known = KnownFields::of(&manifest);
        assert_eq!(
            known.after(&refusal("a")),
            Some(&json!({"spec": {"b": 2, "c": 3}}))
        );
        assert_eq!(known.after(&refusal("b")), Some(&json!({"spec": {"c": 3}})));
        assert_eq!(known.after(&refusal("b")), None);
        assert_eq!(KnownFields::of(&manifest).after("no"), None);
    }

    #[test]
    fn of_equal_entries_the_last_stays() {
        let manifest = json!({"spec": {"containers": [{"name": "main", "env": [
            {"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}]}],
            "ports": [{"port": 80, "name": "x"}, {"port": 80, "protocol": "TCP", "name": "y"}]}});
        let refusal = "failed to create typed patch object (n/web; apps/v1, Kind=Deployment): errors:\n  \
            .spec.containers[name=\"main\"].env: duplicate entries for key [name=\"A\"]\n  \
            .spec.ports: duplicate entries for key [port=80,protocol=\"TCP\"]";
        let (fewer, left_out) = without(&manifest, refusal).unwrap();
        assert_eq!(
            fewer,
            json!({"spec": {"containers": [{"name": "main", "env": [
                {"name": "B", "value": "2"}, {"name": "A", "value": "3"}]}],
                "ports": [{"port": 80, "protocol": "TCP", "name": "y"}]}})
        );
        let fields: Vec<_> = left_out.iter().map(|left| left.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                ".spec.containers[name=\"main\"].env[name=\"A\"]",
                ".spec.ports[port=80,protocol=\"TCP\"]"
            ]
        );
        assert!(left_out.iter().all(|left| left.repeated));
        assert_eq!(
            without(&fewer, refusal),
            None,
            "nothing is repeated any more"
        );
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in ".{0,80}") {
            without(&json!({"spec": {}}), &text);
            without(&json!({"spec": {}}), &format!("{text}: field not declared in schema"));
            without(&json!({"spec": {}}), &format!(".spec: duplicate entries for key {text}"));
        }
    }
}
