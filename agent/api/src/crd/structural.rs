//! Turns the schema of a type into a structural one, the form the API server demands of a
//! CustomResourceDefinition: a type at every node, no references, no unions, no defaults.
//!
//! Source of the rules: Kubernetes, "Specifying a structural schema".

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// Longest description that is kept; the API server returns them with every definition.
const DESCRIPTION_LIMIT: usize = 120;

/// The structural schema of a type.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    rewrite(&mut schema);
    schema
}

fn rewrite(schema: &mut Value) {
    // The schema `true`: anything.
    if !schema.is_object() {
        *schema = json!({ PRESERVE: true });
        return;
    }
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    collapse_nullable_union(node);
    for keyword in ["$schema", "title", "default", "const", "minimum"] {
        node.remove(keyword);
    }
    shorten_description(node);
    match node.get("additionalProperties") {
        Some(Value::Bool(_)) => {
            node.remove("additionalProperties");
            node.insert(PRESERVE.into(), true.into());
        }
        Some(_) => {
            if let Some(values) = node.get_mut("additionalProperties") {
                rewrite(values);
            }
        }
        None => {}
    }
    if let Some(items) = node.get_mut("items") {
        rewrite(items);
    }
    let required: Vec<Value> = node
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if let Some(properties) = node.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            rewrite(property);
            // Go's decoder takes null for "not set", and so do the types.
            property["nullable"] = (!required.contains(&Value::from(name.as_str()))).into();
            if let Some(property) = property.as_object_mut()
                && property.get("nullable") == Some(&Value::Bool(false))
            {
                property.remove("nullable");
            }
        }
        node.insert(PRESERVE.into(), true.into());
    }
    if !node.contains_key("type") && !node.contains_key(INT_OR_STRING) {
        node.insert(PRESERVE.into(), true.into());
    }
}

/// `anyOf: [X, null]` becomes `X`; nullability is written by the parent.
fn collapse_nullable_union(node: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = node.remove("anyOf") else {
        return;
    };
    let is_null = |variant: &Value| {
        variant.get("type").is_some_and(|kind| kind == "null")
            || variant.get("const").is_some_and(Value::is_null)
            || variant
                .get("enum")
                .is_some_and(|values| *values == json!([null]))
    };
    for variant in variants.iter().filter(|variant| !is_null(variant)) {
        for (keyword, value) in variant.as_object().into_iter().flatten() {
            node.entry(keyword).or_insert_with(|| value.clone());
        }
    }
}

fn shorten_description(node: &mut Map<String, Value>) {
    let Some(description) = node.remove("description") else {
        return;
    };
    let Some(text) = description.as_str() else {
        return;
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let first_sentence = text.find(". ").map_or(text.as_str(), |end| &text[..=end]);
    if first_sentence.len() <= DESCRIPTION_LIMIT {
        node.insert("description".into(), first_sentence.into());
    }
}
