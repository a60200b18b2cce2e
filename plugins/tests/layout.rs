//! What may depend on what: the kit knows no cluster, the views know neither a terminal nor flags nor
//! git, so that another front end can draw the same models.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::Path;

/// Names of a crate's dependencies that are part of the program, and whether each is optional.
fn dependencies(folder: &str) -> Vec<(String, bool)> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let text = std::fs::read_to_string(manifest.join("Cargo.toml")).unwrap();
    let mut counts = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            counts = line.ends_with("dependencies]") && !line.contains("dev-");
        } else if counts && let Some(end) = line.find(['.', ' ', '=']) {
            found.push((line[..end].to_owned(), line.contains("optional = true")));
        }
    }
    assert!(!found.is_empty(), "{folder} has no dependencies?");
    found
}

#[test]
fn the_kit_knows_no_cluster() {
    for (name, _) in dependencies("kit") {
        let known =
            name.starts_with("kube") || name.starts_with("k8s") || name.starts_with("gitops");
        assert!(!known, "plugins/kit depends on {name}");
    }
}

#[test]
fn views_need_neither_terminal_nor_flags_nor_git_nor_cluster() {
    const PURE: [&str; 4] = ["jiff", "serde_json", "strsim", "unicode-width"];
    const ALLOWED: [&str; 9] = [
        "gitops-api",
        "gitops-core",
        "gitops-kit",
        "jiff",
        "k8s-openapi",
        "serde",
        "serde_json",
        "serde-saphyr",
        "similar",
    ];
    for (name, _) in dependencies("views") {
        assert!(
            ALLOWED.contains(&name.as_str()),
            "plugins/views depends on {name}"
        );
    }
    // Of the kit they get what works without a terminal.
    for (name, optional) in dependencies("kit") {
        assert!(
            optional || PURE.contains(&name.as_str()),
            "plugins/kit always needs {name}"
        );
    }
}
