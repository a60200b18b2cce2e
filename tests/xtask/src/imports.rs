//! `cargo xtask imports`: fails when files of a crate import each other in a circle.
//!
//! Files that form a circle can only be read, moved and tested together. The check reads the
//! sources of every library and binary of the workspace (not their tests), finds out which file
//! declares each name that another file writes, through `use`, re-exports, globs and paths in
//! code and in macros, and looks for circles in that graph.
//!
//! Two kinds of arrows are left out, because every tree of modules has them:
//!
//! * from a file to one of its ancestors (`a/b.rs` to `a.rs`, `a/mod.rs` or the crate's root):
//!   children may use what the parents declare around them. A parent may use its children, too,
//!   and that arrow counts: a stranger that uses the parent must not be used by a child.
//! * a re-export. Whoever imports a re-exported name depends on the file that declares it, and on
//!   no file between; whoever re-exports it and does not use it depends on nothing.
//!
//! It never judges what is called through a method: only what a file names is an arrow.

mod graph;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use graph::Circle;
use source::CrateSource;

use crate::progress::say;

/// Options of `cargo xtask imports`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only crates whose name contains this text
    #[arg(value_name = "CRATE")]
    names: Vec<String>,
    /// Look for circles of directories, too: two directories beside each other whose files use each other
    #[arg(long)]
    directories: bool,
}

/// Checks the workspace that the current directory is in.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut found = 0;
    let mut files = 0;
    for target in targets()? {
        let matches = |name: &String| target.package.contains(name.as_str());
        if !args.names.is_empty() && !args.names.iter().any(matches) {
            continue;
        }
        let source = CrateSource::read(&target.root, &|path| std::fs::read_to_string(path))?;
        files += source.files().len();
        let arrows = graph::arrows(&source);
        let mut circles = graph::circles_of_files(&arrows);
        if args.directories {
            circles.extend(graph::circles_of_directories(&source, &arrows));
        }
        for circle in &circles {
            say(&describe(&target, &source, circle));
        }
        found += circles.len();
    }
    if found == 0 {
        say(&format!("{files} files import each other in no circle"));
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!(
        "{found} circles. Move what both sides use into a file below them; see `cargo xtask imports --help` and tests/xtask/src/imports.rs"
    ));
    Ok(ExitCode::FAILURE)
}

/// A library or a binary of the workspace.
struct Target {
    package: String,
    /// Directory of the package.
    directory: PathBuf,
    /// Its first file: `src/lib.rs`, for example.
    root: PathBuf,
}

/// Every library and binary, as cargo lists them for the current directory.
fn targets() -> Result<Vec<Target>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata wrote no JSON")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // By root file: several binaries may share one.
    let mut targets = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        for target in list(&package["targets"]) {
            let kinds = list(&target["kind"]);
            if !kinds.iter().any(|kind| kind == "lib" || kind == "bin") {
                continue;
            }
            let root = PathBuf::from(text(&target["src_path"]));
            targets.insert(
                root.clone(),
                Target {
                    package: text(&package["name"]),
                    directory: manifest.parent().unwrap_or(Path::new("")).to_path_buf(),
                    root,
                },
            );
        }
    }
    Ok(targets.into_values().collect())
}

fn describe(target: &Target, source: &CrateSource, circle: &Circle) -> String {
    let short = |path: &Path| {
        let path = path.strip_prefix(&target.directory).unwrap_or(path);
        path.display().to_string()
    };
    let name = |file: usize| short(&source.files()[file]);
    let mut lines = vec![format!(
        "{}: {} {} use each other: {}",
        target.package,
        circle.members.len(),
        circle.what,
        circle.members.join(", "),
    )];
    lines.extend(circle.arrows.iter().map(|arrow| {
        let (from, to) = (name(arrow.from), name(arrow.to));
        format!("  {from}:{} -> {to}  ({})", arrow.line, arrow.path)
    }));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// The circles of a crate made of these files; its root is `lib.rs`.
    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        found(files, false)
    }

    fn found(files: &[(&str, &str)], directories: bool) -> Vec<Vec<String>> {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let source = CrateSource::read(Path::new("lib.rs"), &read).unwrap();
        let arrows = graph::arrows(&source);
        let circles = if directories {
            graph::circles_of_directories(&source, &arrows)
        } else {
            graph::circles_of_files(&arrows)
        };
        let members = |circle: &Circle| circle.members.clone();
        circles.iter().map(members).collect()
    }

    const A_AND_B: (&str, &str) = ("lib.rs", "mod a; mod b;");

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        let found = circles(&[
            A_AND_B,
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "use super::a::{self, A}; pub struct B(Box<A>);"),
        ]);
        assert_eq!(found, [["a", "b"]]);
    }

    #[test]
    fn one_direction_is_no_circle() {
        let found = circles(&[
            A_AND_B,
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "use std::fmt::Debug; pub struct B;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn paths_in_code_and_in_macros_count() {
        let bodies = [
            "pub fn a() { crate::b::b() }",
            "pub fn a() { println!(\"{}\", super::b::b()) }",
            "pub fn a(x: &dyn crate::b::Trait) {}",
            "use crate::b; pub fn a() { b::b() }",
            "use crate::b as other; pub fn a() { vec![other::b()]; }",
            "pub fn a() { use crate::b::b; b() }",
            "use crate::b::*; pub fn a() { b() }",
            "use crate::*; pub fn a() { b::b() }",
            "macro_rules! m { () => { $crate::b::b() } } pub fn a() {}",
            "#[arg(value_parser = crate::b::b)] pub fn a() {}",
            "use crate::{b::{b as c}, a as d}; pub fn a() { c() }",
        ];
        for body in bodies {
            let found = circles(&[
                A_AND_B,
                ("a.rs", body),
                (
                    "b.rs",
                    "use crate::a::a; pub trait Trait {} pub fn b() { a() }",
                ),
            ]);
            assert_eq!(found, [["a", "b"]], "{body}");
        }
    }

    #[test]
    fn a_module_that_is_imported_and_not_used_is_no_arrow() {
        let found = circles(&[
            A_AND_B,
            ("a.rs", "pub(in crate::b) use crate::b; pub fn a() {}"),
            ("b.rs", "use crate::a::a; pub fn b() { a() }"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn tests_are_not_looked_at() {
        let found = circles(&[
            A_AND_B,
            (
                "a.rs",
                "#[cfg(test)] use crate::b::B; pub struct A;
                 #[cfg(test)] mod tests { use crate::b::B; }
                 #[cfg(test)] mod more_tests;
                 impl A { #[cfg(test)] fn only_there() { crate::b::only_there() } }",
            ),
            ("b.rs", "use crate::a::A; pub struct B(A);"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_child_may_use_what_its_ancestors_declare_and_they_may_use_it() {
        let found = circles(&[
            ("lib.rs", "mod a; pub struct Root; use a::A;"),
            ("a.rs", "mod b; pub struct A(b::B); pub struct More;"),
            ("a/b.rs", "use super::More; use crate::Root; pub struct B;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_stranger_between_a_parent_and_its_child_is_a_circle() {
        let found = circles(&[
            ("lib.rs", "mod a; mod c;"),
            (
                "a/mod.rs",
                "mod b; pub struct Own; pub fn a() { b::b(crate::c::C) }",
            ),
            ("a/b.rs", "use crate::c::C; pub fn b(c: C) {}"),
            ("c.rs", "use crate::a::Own; pub struct C;"),
        ]);
        assert_eq!(found, [["a", "a::b", "c"]]);
    }

    #[test]
    fn a_re_export_leads_to_the_file_that_declares() {
        let facade = "mod b; mod c; pub use b::B; pub(crate) use c::*;";
        let found = circles(&[
            ("lib.rs", "mod a;"),
            ("a.rs", facade),
            ("a/b.rs", "use super::C; pub struct B;"),
            ("a/c.rs", "use crate::a::B; pub struct C;"),
        ]);
        assert_eq!(found, [["a::b", "a::c"]]);
        // Not through the file that re-exports both.
        let found = circles(&[
            ("lib.rs", "mod a; mod d;"),
            ("a.rs", "mod b; pub use b::B; pub struct Own;"),
            ("a/b.rs", "use crate::d::D; pub struct B;"),
            ("d.rs", "use crate::a::Own; pub struct D;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_re_export_that_is_used_where_it_stands_counts() {
        let found = circles(&[
            ("lib.rs", "mod a; mod d;"),
            ("a.rs", "mod b; pub use b::B; pub struct Own(B);"),
            ("a/b.rs", "use crate::d::D; pub struct B;"),
            ("d.rs", "use crate::a::Own; pub struct D;"),
        ]);
        assert_eq!(found, [["a", "a::b", "d"]]);
    }

    #[test]
    fn names_that_macros_declare_are_found_through_a_glob() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; pub use b::*;"),
            ("a.rs", "use crate::B; pub struct A;"),
            (
                "b.rs",
                "use crate::a::A; api_struct! { pub struct B { a: A } }",
            ),
        ]);
        assert_eq!(found, [["a", "b"]]);
    }

    #[test]
    fn modules_inside_a_file_belong_to_the_file() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "mod inner { use super::Top; use crate::b::B; } pub struct Top;",
            ),
            ("b.rs", "pub mod own { use crate::a::Top; } pub struct B;"),
        ]);
        assert_eq!(found, [["a", "b"]]);
    }

    #[test]
    fn several_circles_are_named_apart_and_longer_ones_whole() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::c::C; pub struct B;"),
            ("c.rs", "use crate::a::A; pub struct C;"),
            ("d.rs", "use crate::{a::A, e::E}; pub struct D;"),
            ("e.rs", "use crate::d::D; pub struct E;"),
        ]);
        assert_eq!(found, [vec!["a", "b", "c"], vec!["d", "e"]]);
    }

    #[test]
    fn directories_are_looked_at_when_asked() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a/mod.rs", "mod one; mod two;"),
            ("a/one.rs", "pub struct One;"),
            ("a/two.rs", "use crate::b::two::Two;"),
            ("b/mod.rs", "mod one; mod two;"),
            ("b/one.rs", "use crate::a::one::One;"),
            ("b/two.rs", "pub struct Two;"),
        ];
        assert!(circles(&files).is_empty());
        assert_eq!(found(&files, true), [["a", "b"]]);
    }

    #[test]
    fn a_path_attribute_names_the_file() {
        let found = circles(&[
            ("lib.rs", "#[path = \"elsewhere/x.rs\"] mod a; mod b;"),
            ("elsewhere/x.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::a::A; pub struct B;"),
        ]);
        assert_eq!(found, [["a", "b"]]);
    }

    #[test]
    fn a_file_that_is_missing_or_broken_is_an_error_with_its_name() {
        let read = |path: &Path| match path.to_str() {
            Some("lib.rs") => Ok("mod a;".to_owned()),
            Some("a.rs") => Ok("pub fn {".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let error = CrateSource::read(Path::new("lib.rs"), &read).unwrap_err();
        assert!(error.to_string().contains("a.rs"), "{error:#}");
        let error = CrateSource::read(Path::new("none.rs"), &read).unwrap_err();
        assert!(error.to_string().contains("none.rs"), "{error:#}");
    }
}
