//! Previews as the API server hands them over, and the paths and contents in them.

use gitops_api::Preview;
use gitops_core::source::normalize;

pub(crate) const WORDS: &[&str] = &[
    "\"spec\":",
    "\"application\":",
    "\"revision\":",
    "\"revisions\":",
    "\"files\":",
    "\"path\":",
    "\"content\":",
    "\"symlink\":true",
    "\"restore\":",
    "\"filesRepoURL\":",
    "../",
    "YQ==",
    "null",
    "{",
    "}",
    "[",
    "]",
    ",",
    "1e999",
    "\\u0000",
    "\\ud800",
];

pub(crate) fn run(data: &[u8]) {
    let Ok(preview) = serde_json::from_slice::<Preview>(data) else {
        return;
    };
    let spec = &preview.spec;
    let _ = normalize(&spec.files_repo_url);
    for file in &spec.files {
        gitops_render::fuzz::read_path(&file.path);
    }
    // What was understood can be written, and is understood the same way.
    let written = serde_json::to_vec(&preview);
    let again = written
        .ok()
        .and_then(|json| serde_json::from_slice::<Preview>(&json).ok());
    assert_eq!(
        again.map(|again| again.spec.files.len()),
        Some(spec.files.len())
    );
}
