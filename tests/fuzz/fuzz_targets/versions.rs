//! Version ranges: a range in the first line, then a version per line.

use gitops_core::source::version::{Constraint, parse_version};

pub(crate) const WORDS: &[&str] = &[
    ">=",
    "<=",
    "!=",
    "~>",
    "~",
    "^",
    "||",
    "|",
    " - ",
    "1.2.3",
    "v1",
    "x",
    "*",
    ".",
    "-rc.1",
    "+b",
    "18446744073709551616",
    ",",
    " ",
    "\n",
];

pub(crate) fn run(data: &[u8]) {
    let (range, versions) = crate::halves(data);
    let Ok(constraint) = Constraint::parse(&range) else {
        return;
    };
    let newest = constraint.newest(versions.lines());
    if let Some(newest) = newest {
        let version = parse_version(newest).filter(|version| constraint.matches(version));
        assert!(version.is_some(), "{newest} is not in {range}");
    }
}
