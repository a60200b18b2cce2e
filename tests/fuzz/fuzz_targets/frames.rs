//! What a render worker sends.

pub(crate) const WORDS: &[&str] = &[
    "\0\0\0\x10",
    "\0\0\0\0",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
    "{\"type\":\"stat\",",
    "\"tree\":\"\",",
    "\"path\":\"a\"}",
    "{\"type\":\"list\",",
    "{\"type\":\"read\",",
    "{\"type\":\"object\",",
    "{\"type\":\"done\"}",
    "{\"type\":\"failed\",",
    "\"kind\":\"invalid\",",
    "../",
    "[",
    "{\"a\":",
];

pub(crate) fn run(data: &[u8]) {
    gitops_render::fuzz::frames(data);
}
