//! Ranges and versions against the answers of the library Argo CD and Helm use, recorded in
//! version_ranges.tsv; and which of several versions a range chooses.

#![allow(clippy::unwrap_used)]

use gitops_core::source::version::{Constraint, parse_version};

const PUBLISHED: [&str; 13] = [
    "0.0.3",
    "0.2.4",
    "0.3.0",
    "1.0.0",
    "1.2.3",
    "1.2.4",
    "1.3.0",
    "2.0.0-rc.1",
    "v2.0.0",
    "2.1.0",
    "11.1.5",
    "12.0.0+build.7",
    "13.0.0-alpha",
];

#[test]
fn ranges_mean_what_argo_cd_and_helm_mean() {
    let mut lines = include_str!("version_ranges.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'));
    let versions: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for line in lines {
        let (range, expected) = line.split_once('\t').unwrap();
        let ours = match Constraint::parse(range) {
            Err(_) => "E".to_owned(),
            Ok(range) => {
                let marks = versions.iter().map(|version| match parse_version(version) {
                    None => 'V',
                    Some(version) if range.matches(&version) => '1',
                    Some(_) => '0',
                });
                marks.collect()
            }
        };
        compared += versions.len();
        if ours != expected {
            wrong.push(format!("{range}: {ours}, not {expected}"));
        }
    }
    assert!(compared > 10_000, "{compared}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn newest_version_of_a_range() {
    let cases = [
        ("*", Some("12.0.0+build.7")),
        ("x", Some("12.0.0+build.7")),
        ("~*", Some("12.0.0+build.7")),
        (">=0.0.0", Some("12.0.0+build.7")),
        (">0-0", Some("13.0.0-alpha")),
        (">=0.0.0-0", Some("13.0.0-alpha")),
        ("1", Some("1.3.0")),
        ("1.x", Some("1.3.0")),
        ("v1.x", Some("1.3.0")),
        ("1.2", Some("1.2.4")),
        ("1.2.x", Some("1.2.4")),
        ("1.2.3", Some("1.2.3")),
        ("=1.2.3", Some("1.2.3")),
        ("v1.2.3", Some("1.2.3")),
        ("2.0.0", Some("v2.0.0")),
        ("~1.2.3", Some("1.2.4")),
        ("~> 1.2", Some("1.2.4")),
        ("~1", Some("1.3.0")),
        ("^1.2", Some("1.3.0")),
        ("^0.2.3", Some("0.2.4")),
        ("^0.2", Some("0.2.4")),
        ("^0.0.3", Some("0.0.3")),
        ("^0", Some("0.3.0")),
        (">=1 <2", Some("1.3.0")),
        (">= 1.0.0, < 1.3.0", Some("1.2.4")),
        ("=>1,=<1.2.3", Some("1.2.3")),
        ("<=1.2", Some("1.2.4")),
        ("<=1", Some("1.3.0")),
        ("<1.2", Some("1.0.0")),
        (">11 <13", Some("12.0.0+build.7")),
        (">11.0 <12", Some("11.1.5")),
        (">11.1 <12", None),
        ("1.2 - 1.2.3", Some("1.2.3")),
        ("1.0.0 - 2.0.0 || 11.x", Some("11.1.5")),
        ("1.x !=1.3.0", Some("1.2.4")),
        ("1.x !=1.3.x", Some("1.2.4")),
        (">=1 !=12.x", Some("11.1.5")),
        ("~2.0.0-0", Some("v2.0.0")),
        (">=2.0.0-0 <2.0.0", Some("2.0.0-rc.1")),
        (">2 <3 || 1.0.x", Some("1.0.0")),
        ("9.9.9", None),
    ];
    for (range, expected) in cases {
        let range_read = Constraint::parse(range).unwrap_or_else(|e| panic!("{range}: {e}"));
        assert_eq!(range_read.newest(PUBLISHED), expected, "{range}");
    }
}
