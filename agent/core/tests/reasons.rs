//! docs/reasons.md is written from the reasons themselves; it is compared here, and written anew by
//! `WRITE_REASONS=1 cargo test -p gitops-core --test reasons`.

use std::fmt::Write as _;
use std::path::PathBuf;

use gitops_core::reason::{self, Reason};

const HEAD: &str = "# Reasons

Every reason the agent gives has a code that never changes its meaning. It stands in
`status.reasons` of an Application, what matters most first, with what it says as data and the same
sentence as in Argo CD's conditions and messages:

    kubectl get application web -n argocd -o jsonpath='{range .status.reasons[*]}{.code}{\"\\n\"}{end}'

`code` is one of those below, `message` the sentence, `since` the time since when all of it is so,
`object` the object it is about, `parameters` the rest. The reason of an operation stands in
`status.operationState.reason`, too, and the code of each object of a sync in `reason` of its entry
in `status.operationState.syncResult.resources`. `kubectl gitops explain` shows the codes with what
to do, and `-o json` of `status` and `explain` has them for scripts.

A code that a program does not know comes from a newer agent: show its message. There are at most 32
entries; a list of objects names the first few and says in `more` how many there are besides.

This page is written from the source; APP stands for the name of the application.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for example in reason::examples() {
        let Some(code) = example.code() else { continue };
        let names = parameters(&example);
        let _ = write!(
            page,
            "\n## {code}\n\n{}\n\n* Example: {example}\n* What to do: {}\n",
            code.meaning(),
            code.advice()
        );
        if !names.is_empty() {
            let _ = writeln!(page, "* Data: {}", names.join(", "));
        }
    }
    page
}

fn parameters(example: &Reason) -> Vec<String> {
    let entry = reason::entry(example);
    let object = entry.object.iter().map(|_| "`object`".to_owned());
    let others = entry.parameters.keys().map(|name| format!("`{name}`"));
    object.chain(others).collect()
}

#[test]
fn the_page_lists_every_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons.md");
    let page = page();
    if std::env::var_os("WRITE_REASONS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/reasons.md is not what the reasons say; write it with WRITE_REASONS=1"
    );
}
