//! What a Git server sends: directory listings as Git stores them.

pub(crate) const WORDS: &[&str] = &[
    "100644 ",
    "100755 ",
    "120000 ",
    "40000 ",
    "160000 ",
    "a\0",
    "..\0",
    ".git\0",
    "01234567890123456789",
    "\0",
];

pub(crate) fn run(data: &[u8]) {
    gitops_git::fuzz::tree(data);
}
