//! Paths that lead nowhere, to a file, or out.

use gitops_render::{LocalDirectory, RenderError, SourceTree, TreeEntry};
use serde_json::json;

use crate::support::{SERVICE, at, render, renderer, request, tree};

#[tokio::test]
async fn the_path_of_a_source() {
    let mut repository = tree(&[("app/s.yaml", SERVICE), ("s.yaml", SERVICE)]);
    repository.insert_symlink("out", "../elsewhere");
    repository.insert_symlink("app/passwd.yaml", "/etc/passwd");
    repository.insert_submodule("sub");
    repository.insert_symlink("linked", "./app/../app");
    for (path, expected) in [
        ("none", "path none does not exist in revision 0123456789"),
        ("app/s.yaml", "path app/s.yaml is a file"),
        ("../x", "leads out of the repository"),
        ("/app", "leads out of the repository"),
        ("app/../../x", "leads out of the repository"),
        ("out", "out is a symbolic link to ../elsewhere"),
        ("sub", "sub is a Git submodule"),
        ("sub/x", "sub is a Git submodule"),
        ("app", "app/passwd.yaml is a symbolic link to /etc/passwd"),
        (
            "linked",
            "app/passwd.yaml is a symbolic link to /etc/passwd",
        ),
    ] {
        let error = render(&repository, at(path)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{path}: {error}");
    }
    assert_eq!(render(&repository, at(".")).await.unwrap().objects.len(), 1);
    assert_eq!(
        render(&repository, at("./")).await.unwrap().objects.len(),
        1
    );
    let error = render(&repository, at("none")).await.unwrap_err();
    assert!(matches!(error, RenderError::PathMissing { .. }));
    let only_files = render(&repository, json!({"repoURL": "x", "ref": "values"}))
        .await
        .unwrap();
    assert!(only_files.objects.is_empty());
}

#[tokio::test]
async fn a_directory_on_disk_is_a_tree_too() {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, content: &str| {
        let place = directory.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, content).unwrap();
    };
    write("app/s.yaml", SERVICE);
    write(".git/config", "[core]");
    std::os::unix::fs::symlink("s.yaml", directory.path().join("app/t.yaml")).unwrap();
    std::os::unix::fs::symlink("app", directory.path().join("linked")).unwrap();
    let local = LocalDirectory::new(directory.path());
    assert_eq!(local.entry(".git/config").unwrap(), TreeEntry::Absent);
    assert_eq!(local.entry("linked/s.yaml").unwrap(), TreeEntry::Absent);
    assert_eq!(
        local
            .list("")
            .unwrap()
            .iter()
            .map(|i| i.name.as_str())
            .collect::<Vec<_>>(),
        ["app", "linked"]
    );
    let mut request = request(&tree(&[]), at("linked"));
    request.source.tree = std::sync::Arc::new(local.clone());
    let rendered = renderer().render(request).await.unwrap();
    assert_eq!(rendered.objects.len(), 2);
    assert!(
        rendered
            .inputs
            .unchanged(&local, &std::collections::BTreeMap::new())
            .unwrap()
    );
    write("app/s.yaml", &SERVICE.replace("80", "81"));
    assert!(
        !rendered
            .inputs
            .unchanged(&local, &std::collections::BTreeMap::new())
            .unwrap()
    );
}
