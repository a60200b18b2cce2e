//! Ranges and versions against the answers of the library Helm uses, recorded in ranges.tsv.

#![allow(clippy::unwrap_used)]

use gitops_charts::VersionRange;
use gitops_charts::version::parse_version;

#[test]
fn ranges_mean_what_helm_means() {
    let mut lines = include_str!("ranges.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'));
    let versions: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for line in lines {
        let (range, expected) = line.split_once('\t').unwrap();
        let ours = match VersionRange::parse(range) {
            Err(_) => "E".to_owned(),
            Ok(range) => {
                let marks = versions.iter().map(|version| match parse_version(version) {
                    None => 'V',
                    Some(version) if range.contains(&version) => '1',
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
