//! Fields the API server does not know, taken out of a manifest: `Validate=false`.
//!
//! Server-side apply refuses such a field whatever the validation is set to, and names it; without
//! validation every other way of writing drops it silently.

use serde_json::Value;

/// What the API server says of a field its schema does not have.
const UNDECLARED: &str = ": field not declared in schema";

/// Most manifests that are tried after the first: a refusal need not name all fields at once.
const TRIES: usize = 5;

/// A manifest whose unknown fields are left out one refusal after another.
#[derive(Clone, Debug)]
pub struct KnownFields {
    manifest: Value,
    tries: usize,
}

impl KnownFields {
    /// Begins with all fields.
    pub fn of(manifest: &Value) -> Self {
        Self {
            manifest: manifest.clone(),
            tries: 0,
        }
    }

    /// What to try after a refusal; `None` when the refusal stands.
    pub fn after(&mut self, refusal: &str) -> Option<&Value> {
        if self.tries == TRIES {
            return None;
        }
        self.tries += 1;
        self.manifest = without(&self.manifest, refusal)?;
        Some(&self.manifest)
    }
}

/// The manifest without the fields a refusal names; `None` when it names none of them.
fn without(manifest: &Value, refusal: &str) -> Option<Value> {
    let mut manifest = manifest.clone();
    let mut removed = false;
    for (end, _) in refusal.match_indices(UNDECLARED) {
        let Some(steps) = path_before(&refusal[..end]) else {
            continue;
        };
        removed |= remove(&mut manifest, &steps);
    }
    removed.then_some(manifest)
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
fn path_before(text: &str) -> Option<Vec<Step>> {
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
    let mut rest = text.get(begin..)?;
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
    (!steps.is_empty()).then_some(steps)
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
                .filter(|item| {
                    // A key the manifest leaves out has its default.
                    keys.iter()
                        .all(|(name, value)| item.get(name).is_none_or(|set| set == value))
                })
                .map(|item| remove(item, rest))
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
            without(&manifest, refusal).unwrap(),
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

    proptest! {
        #[test]
        fn any_text_can_be_read(text in ".{0,80}") {
            without(&json!({"spec": {}}), &text);
            without(&json!({"spec": {}}), &format!("{text}: field not declared in schema"));
        }
    }
}
