//! How cases are written. A fixture file holds many:
//!
//! ```text
//! Text before the first case is for people.
//!
//! === common                       (optional: files every case of this file has, unless it has its own)
//! -- base/deployment.yaml --
//! apiVersion: apps/v1
//! …
//!
//! === replicas of a base are changed
//! path: overlay                    (directory of the Application; default: the root)
//! kustomize: {"namePrefix": "a-"}  (or helm, or directory; JSON, goes on in lines that begin with a space)
//! objects: 2                       (how many the command gives)
//! -- overlay/kustomization.yaml --
//! …
//! -- overlay/link.yaml -> ../base/deployment.yaml --
//! ```
//!
//! A file `@NAME/PATH` is one of another repository, which is found at `git@git.example.com:org/NAME.git` and by ssh.
//!
//! In place of `objects`, `fails: TEXT` says that both refuse, ours with TEXT in the message; `leaves-out: REASON` that
//! the command fails where ours gives nothing; `differs: REASON` that the objects are not equal. The last two exist so
//! that each difference is written down with its reason, and noticed when it goes away. `files: A B` names the files of
//! a plain directory that count, in order; `api-versions: A B` what the cluster serves. The kind is that of the file's
//! name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

/// One comparison.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Line of the fixture file.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) path: String,
    /// `spec.source.helm` and so on.
    pub(crate) options: Value,
    pub(crate) expected: Expected,
    pub(crate) plain_files: Vec<String>,
    pub(crate) api_versions: Vec<String>,
    pub(crate) files: BTreeMap<String, Content>,
}

impl Case {
    /// Files of the Application's own repository.
    pub(crate) fn own_files(&self) -> impl Iterator<Item = (&String, &Content)> {
        self.files.iter().filter(|(path, _)| !path.starts_with('@'))
    }

    /// Other repositories by name, with their files.
    pub(crate) fn repositories(&self) -> BTreeMap<&str, Vec<(&str, &Content)>> {
        let mut found: BTreeMap<&str, Vec<(&str, &Content)>> = BTreeMap::new();
        for (path, content) in &self.files {
            let other = path.strip_prefix('@');
            if let Some((name, path)) = other.and_then(|path| path.split_once('/')) {
                found.entry(name).or_default().push((path, content));
            }
        }
        found
    }
}

#[derive(Clone)]
pub(crate) enum Content {
    Text(String),
    Link(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    Helm,
    Kustomize,
}

pub(crate) enum Expected {
    /// So many objects, equal on both sides.
    Objects(usize),
    /// Both fail; ours with this text.
    Error(String),
    /// The command fails, ours gives no object.
    Nothing,
    /// Both give objects that differ.
    Difference,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/render")
}

/// Names of the fixture files.
pub(crate) fn subjects() -> Vec<String> {
    let entries = std::fs::read_dir(directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .collect()
}

/// Cases of one fixture file.
pub(crate) fn cases(subject: &str) -> Vec<Case> {
    let path = directory().join(format!("{subject}.txt"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let kind = match subject.split('_').next() {
        Some("directory") => Kind::Directory,
        Some("helm") => Kind::Helm,
        Some("kustomize") => Kind::Kustomize,
        _ => panic!("{subject}: the name does not begin with directory, helm or kustomize"),
    };
    let mut common = BTreeMap::new();
    let mut cases = Vec::new();
    for (name, line, body) in sections(&text) {
        let (header, files) = split(body, &format!("{subject}: {name}"));
        if name == "common" {
            common = files;
            continue;
        }
        let mut all = common.clone();
        all.extend(files);
        cases.push(case(name, line, kind, &header, all));
    }
    cases
}

/// `=== NAME` sections with the line they begin at.
fn sections(text: &str) -> Vec<(String, usize, Vec<&str>)> {
    let mut found: Vec<(String, usize, Vec<&str>)> = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        if let Some(name) = line.strip_prefix("=== ") {
            found.push((name.trim().to_owned(), index + 1, Vec::new()));
        } else if let Some((_, _, body)) = found.last_mut() {
            body.push(line);
        }
    }
    found
}

/// The header's lines, joined where they go on, and the files.
fn split(body: Vec<&str>, place: &str) -> (Vec<String>, BTreeMap<String, Content>) {
    let mut header: Vec<String> = Vec::new();
    let mut files: Vec<(String, Content)> = Vec::new();
    for line in body {
        if let Some(title) = line
            .strip_prefix("-- ")
            .and_then(|rest| rest.strip_suffix(" --"))
        {
            files.push(match title.split_once(" -> ") {
                Some((path, target)) => (path.to_owned(), Content::Link(target.to_owned())),
                None => (title.to_owned(), Content::Text(String::new())),
            });
        } else if let Some((_, content)) = files.last_mut() {
            match content {
                Content::Text(text) => text.extend([line, "\n"]),
                Content::Link(_) => assert!(line.is_empty(), "{place}: text after a link"),
            }
        } else if let (true, Some(last)) = (line.starts_with(' '), header.last_mut()) {
            last.push_str(line);
        } else if !line.trim().is_empty() {
            header.push(line.to_owned());
        }
    }
    // The blank line before the next case belongs to no file.
    if let Some((_, Content::Text(text))) = files.last_mut()
        && text.ends_with("\n\n")
    {
        text.pop();
    }
    (header, files.into_iter().collect())
}

fn case(
    name: String,
    line: usize,
    kind: Kind,
    header: &[String],
    files: BTreeMap<String, Content>,
) -> Case {
    let mut case = Case {
        name,
        line,
        kind,
        path: ".".to_owned(),
        options: json!({}),
        expected: Expected::Objects(0),
        plain_files: Vec::new(),
        api_versions: Vec::new(),
        files,
    };
    let mut expected = None;
    for entry in header {
        let (key, value) = entry.split_once(':').unwrap_or((entry, ""));
        let value = value.trim();
        let words = || value.split_whitespace().map(str::to_owned).collect();
        match key {
            "path" => value.clone_into(&mut case.path),
            "kustomize" | "helm" | "directory" => {
                case.options = serde_json::from_str(value)
                    .unwrap_or_else(|error| panic!("{}: options: {error}", case.name));
            }
            "objects" => expected = value.parse().ok().map(Expected::Objects),
            "fails" => expected = Some(Expected::Error(value.to_owned())),
            "leaves-out" => expected = Some(Expected::Nothing),
            "differs" => expected = Some(Expected::Difference),
            "files" => case.plain_files = words(),
            "api-versions" => case.api_versions = words(),
            _ => panic!("{}: unknown line {entry:?}", case.name),
        }
    }
    case.expected = expected.unwrap_or_else(|| panic!("{}: what is expected?", case.name));
    case
}
