//! Objects out of files: YAML of several documents, JSON, lists. Names the file and the line of
//! what cannot be read.

use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text::one_line;
use serde_json::Value;
use serde_saphyr::Spanned;

/// An object, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The object.
    pub object: Value,
    /// File and line, `deploy.yaml:12`.
    pub place: String,
}

/// All objects of a file; documents without content are passed over, lists taken apart.
pub fn parse(file: &str, text: &str) -> Result<Vec<Manifest>, CommandError> {
    let wrong = |line: u64, problem: &str| {
        let problem = one_line(problem);
        CommandError::new(CommandErrorKind::Usage, format!("{file}:{line}: {problem}"))
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // What a cluster says of all its objects is larger than a user's file, and no attack.
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_documents: 100_000,
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_total_scalar_bytes: 256 * 1024 * 1024,
        },
    };
    let documents: Vec<Spanned<Value>> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            wrong(line, &format!("not YAML: {}", error.without_snippet()))
        })?;
    let mut manifests = Vec::new();
    for document in documents {
        let line = document.referenced.line();
        if document.value.is_null() {
            continue;
        }
        let place = format!("{file}:{line}");
        for object in taken_apart(document.value) {
            if let Some(lack) = lack(&object) {
                return Err(wrong(line, lack));
            }
            manifests.push(Manifest {
                object,
                place: place.clone(),
            });
        }
    }
    Ok(manifests)
}

/// The items of a list, or the object itself. Items of a list of one kind say neither version nor
/// kind when they come straight from the API.
fn taken_apart(mut object: Value) -> Vec<Value> {
    let kind = object["kind"]
        .as_str()
        .and_then(|kind| kind.strip_suffix("List"));
    let kind = kind.map(str::to_owned);
    let Some((kind, Value::Array(items))) = kind.zip(object.get_mut("items").map(Value::take))
    else {
        return vec![object];
    };
    let items = items.into_iter().map(|mut item| {
        if let Some(fields) = item.as_object_mut()
            && !kind.is_empty()
        {
            let version = object["apiVersion"].clone();
            fields.entry("apiVersion").or_insert(version);
            fields.entry("kind").or_insert(kind.as_str().into());
        }
        item
    });
    items.collect()
}

fn lack(object: &Value) -> Option<&'static str> {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    if !object.is_object() {
        Some("not an object of Kubernetes: it has no fields")
    } else if !is_text(&object["apiVersion"]) {
        Some("not an object of Kubernetes: apiVersion is missing")
    } else if !is_text(&object["kind"]) {
        Some("not an object of Kubernetes: kind is missing")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let manifests = parse("a.yaml", text).map_err(|error| error.message)?;
        let names = manifests.iter().map(|manifest| {
            let of = |field: &str| {
                manifest.object[field]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let name = manifest.object["metadata"]["name"].as_str();
            let name = name.unwrap_or_default();
            format!(
                "{} {} {} {name}",
                manifest.place,
                of("apiVersion"),
                of("kind")
            )
        });
        Ok(names.collect())
    }

    #[test]
    fn documents_and_lists() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
        for (text, expected) in [
            (String::new(), &[][..]),
            ("# only a comment\n---\n---\n".into(), &[]),
            (pod.into(), &["a.yaml:1 v1 Pod a"]),
            (format!("\u{feff}{pod}"), &["a.yaml:1 v1 Pod a"]),
            (
                format!("# head\n---\n{pod}---\n\n---\n{pod}"),
                &["a.yaml:3 v1 Pod a", "a.yaml:9 v1 Pod a"],
            ),
            (
                "{\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\", \"metadata\": {\"name\": \"b\"}}".into(),
                &["a.yaml:1 v1 Pod b"],
            ),
            (
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: x/v1, kind: Why}\n- {apiVersion: v1, kind: Z}\n".into(),
                &["a.yaml:1 x/v1 Why ", "a.yaml:1 v1 Z "],
            ),
            (
                "{apiVersion: apps/v1, kind: DeploymentList, items: [{metadata: {name: c}}]}".into(),
                &["a.yaml:1 apps/v1 Deployment c"],
            ),
            // A kind that ends so and has no items is no list.
            (
                "{apiVersion: x/v1, kind: AllowList}".into(),
                &["a.yaml:1 x/v1 AllowList "],
            ),
        ] {
            let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(read(&text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_whole_cluster_can_be_read() {
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n";
        let documents = format!("---\n{pod}").repeat(5_000);
        assert_eq!(read(&documents).unwrap().len(), 5_000);
        let list = format!("- {pod}").repeat(60_000);
        let list = format!("apiVersion: v1\nkind: List\nitems:\n{list}");
        assert_eq!(read(&list).unwrap().len(), 60_000);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (text, line, problem) in [
            ("kind: Pod\n", 1, "apiVersion is missing"),
            (
                "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: 3\n",
                4,
                "kind is missing",
            ),
            ("just text\n", 1, "no fields"),
            ("apiVersion: v1\nkind: [Pod\n", 2, "not YAML"),
            ("a: 1\nb: 2\na: 3\n", 3, "not YAML"),
            ("{apiVersion: v1, kind: List, items: [1]}", 1, "no fields"),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with(&format!("a.yaml:{line}: ")),
                "{text}: {error}"
            );
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
