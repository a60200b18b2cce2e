//! Directories, first files, second runs, and files of others.

use gitops_kit::exit::ExitStatus;

use super::*;

fn layout(path: &str) -> Layout {
    Layout::new(path, "https://git.example/acme/fleet", "main", "argocd").unwrap()
}

fn files(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

const INSTALL: &str = "# gitops-agent, written by x\n---\na: 1\n";

#[test]
fn folders_are_read_as_people_write_them() {
    let table = [
        ("clusters/prod", "clusters/prod"),
        ("./clusters//prod/", "clusters/prod"),
        (".", "."),
    ];
    for (given, expected) in table {
        assert_eq!(layout(given).directory(), expected, "{given}");
    }
    for bad in ["", "/etc", "a/../b", "a\\b", ".git/x", "c:/x", "a\nb"] {
        assert!(Layout::new(bad, "u", "main", "argocd").is_err(), "{bad}");
    }
}

#[test]
fn first_files() {
    let planned = layout("clusters/prod")
        .plan(&BTreeMap::new(), INSTALL)
        .unwrap();
    let shown: Vec<String> = planned
        .iter()
        .map(|file| format!("=== {} {:?}\n{}", file.path, file.change, file.text))
        .collect();
    insta::assert_snapshot!(shown.concat());
}

#[test]
fn a_second_time_nothing_changes_and_changes_of_people_are_kept() {
    let layout = layout("clusters/prod");
    let first = layout.plan(&BTreeMap::new(), INSTALL).unwrap();
    let mut existing: BTreeMap<String, String> = first
        .into_iter()
        .map(|file| (file.path, file.text))
        .collect();
    let again = layout.plan(&existing, INSTALL).unwrap();
    assert!(again.iter().all(|file| file.change == Change::Same));

    let root = existing.get_mut("clusters/prod/root.yaml").unwrap();
    *root += "  # mine\n";
    let patched = "resources: [./install.yaml]\npatches: []\n";
    existing.insert(layout.kustomization_file(), patched.to_owned());
    let newer = format!("{INSTALL}---\nb: 2\n");
    let upgrade = layout.plan(&existing, &newer).unwrap();
    let changes: Vec<Change> = upgrade.iter().map(|file| file.change).collect();
    assert_eq!(
        changes,
        [Change::Keep, Change::Same, Change::Keep, Change::Replace]
    );
    assert_eq!(upgrade[2].text, patched);
}

#[test]
fn files_of_others_are_never_replaced() {
    let layout = layout("clusters/prod");
    let other_branch = manifests::yaml(&layout.root()).unwrap();
    let other_branch = other_branch.replace("targetRevision: main", "targetRevision: dev");
    let table = [
        ("root.yaml", "kind: ConfigMap\n", "is not the Application"),
        ("root.yaml", &other_branch, "follows targetRevision \"dev\""),
        ("root.yaml", "a: [\n", "not YAML"),
        (
            "gitops-agent/install.yaml",
            "kind: Pod\n",
            "not written by this command",
        ),
        (
            "gitops-agent/kustomization.yaml",
            "resources: []\n",
            "does not list install.yaml",
        ),
    ];
    for (name, text, why) in table {
        let existing = files(&[(&layout.file(name), text)]);
        let error = layout.plan(&existing, INSTALL).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Refused);
        assert!(error.message.contains(why), "{}", error.message);
    }
}

#[test]
fn what_lies_beside_the_root_is_delivered_or_refused() {
    let layout = layout("clusters/prod");
    let fine = files(&[
        (
            "clusters/prod/web.yaml",
            "apiVersion: v1\nkind: Application\nmetadata: {name: web}\n",
        ),
        ("clusters/prod/deep/x.yaml", "not: a manifest\n"),
        ("clusters/prod/README.md", "# hello\n"),
        ("compose.yaml", "services: {}\n"),
    ]);
    let beside = layout.beside(&fine).unwrap();
    assert_eq!(beside.len(), 1);
    assert_eq!(beside[0].objects, ["Application web"]);
    let table = [
        (
            "compose.yaml",
            "services: {}\n",
            "apiVersion or kind is missing",
        ),
        ("x.yaml", "a: [\n", "not YAML"),
        ("x.yaml", "just words\n", "holds no object"),
        ("kustomization.yaml", "resources: []\n", "something else"),
        ("x.jsonnet", "{}", "Jsonnet"),
    ];
    for (name, text, why) in table {
        let existing = files(&[(&layout.file(name), text)]);
        let error = layout.beside(&existing).unwrap_err();
        assert!(error.message.contains(why), "{}", error.message);
    }
}
