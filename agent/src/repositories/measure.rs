//! Temporary measurement.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use gitops_core::source::revision;
use gitops_git::{RefTarget, Refs};

use super::Target;
use super::followers::{Change, Followers, resolve};

fn refs(sha: &str) -> Refs {
    let by_name: BTreeMap<String, RefTarget> = (0..20_000)
        .map(|n| {
            let name = if n % 2 == 0 {
                format!("refs/heads/feature/{n}")
            } else {
                format!("refs/tags/v1.{n}.0")
            };
            (
                name,
                RefTarget {
                    sha: format!("{n:040x}"),
                    tag_object: None,
                },
            )
        })
        .chain([(
            "refs/heads/main".to_owned(),
            RefTarget {
                sha: sha.to_owned(),
                tag_object: None,
            },
        )])
        .collect();
    Refs {
        head: Some("refs/heads/main".into()),
        head_sha: None,
        by_name,
    }
}

fn old(refs: &Refs, target: &str) -> revision::Resolution {
    let by_name: BTreeMap<String, String> = refs
        .by_name
        .iter()
        .map(|(n, t)| (n.clone(), t.sha.clone()))
        .collect();
    revision::resolve(&by_name, |s| s, refs.head.as_deref(), target, "")
}

#[test]
fn measure() {
    let (a, a2, b) = (refs("a"), refs("a"), refs("b"));
    let users: HashMap<u32, BTreeSet<Target>> = (0..1000)
        .map(|k| {
            (
                k,
                BTreeSet::from([Target {
                    revision: "main".into(),
                    tag_prefix: String::new(),
                }]),
            )
        })
        .collect();
    let start = Instant::now();
    let n = 50;
    let moved = users
        .iter()
        .take(n)
        .filter(|(_, t)| {
            t.iter()
                .any(|t| old(&a, &t.revision) != old(&a2, &t.revision))
        })
        .count();
    println!(
        "OLD unchanged: {moved} moved, {:?} for {n} followers, {:?} for 1000",
        start.elapsed(),
        start.elapsed() * 1000 / n as u32
    );
    let mut followers = Followers::default();
    for (k, t) in &users {
        followers.set(k, t.clone());
    }
    let start = Instant::now();
    let equal = a == a2;
    let none = followers.affected(&Change::None, resolve).len();
    println!("NEW unchanged: {equal} {none}, {:?}", start.elapsed());
    let (a, b) = (Arc::new(a), Arc::new(b));
    let start = Instant::now();
    let change = Change::Refs {
        before: a.clone(),
        after: b.clone(),
        failed: BTreeSet::new(),
    };
    let count = followers.affected(&change, resolve).len();
    println!("NEW moved: {count}, {:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..n {
        old(&a, "main");
    }
    println!("OLD one look-up {:?}", start.elapsed() / n as u32);
    let start = Instant::now();
    let t = Target {
        revision: "main".into(),
        tag_prefix: String::new(),
    };
    for _ in 0..n {
        resolve(&a, &t);
    }
    println!("NEW one look-up {:?}", start.elapsed() / n as u32);
}
