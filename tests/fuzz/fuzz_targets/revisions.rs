//! Refs that a server lists and the revision that is looked for among them: that in the first line,
//! then a ref per line, the first of which is HEAD.

use std::collections::BTreeMap;

use gitops_core::nearest::{alike, nearest};
use gitops_core::source::revision::resolve;

pub(crate) const WORDS: &[&str] = &[
    "refs/heads/",
    "refs/tags/",
    "refs/",
    "main",
    "v1.2.3",
    "1.x",
    "HEAD",
    "^{}",
    "heads/",
    "0123456789abcdef0123456789abcdef01234567",
    "0123456",
    "/",
    "\n",
    "é",
    "İ",
];

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) fn run(data: &[u8]) {
    let (target, rest) = crate::halves(data);
    let refs = rest.lines().map(|name| (name.to_owned(), COMMIT));
    let refs: BTreeMap<String, &str> = refs.collect();
    let head = rest.lines().next();
    for prefix in ["", "v"] {
        let _ = resolve(&refs, |commit| commit, head, &target, prefix);
    }
    let names = || rest.lines();
    assert!(alike(&target, names(), 3).len() <= 3);
    let _ = nearest(&target, names());
}
