//! What reads text and bytes from outside, as functions of bytes that panic when something is wrong.
//!
//! A target turns any bytes into a call; it never does anything outside of its process. How inputs
//! are made and how much a run may take is decided in `run`.

pub mod mutation;
pub mod run;

#[path = "../fuzz_targets/annotations.rs"]
mod annotations;
#[path = "../fuzz_targets/braces.rs"]
mod braces;
#[path = "../fuzz_targets/charts.rs"]
mod charts;
#[path = "../fuzz_targets/frames.rs"]
mod frames;
#[path = "../fuzz_targets/git.rs"]
mod git;
#[path = "../fuzz_targets/globs.rs"]
mod globs;
#[path = "../fuzz_targets/previews.rs"]
mod previews;
#[path = "../fuzz_targets/revisions.rs"]
mod revisions;
#[path = "../fuzz_targets/rules.rs"]
mod rules;
#[path = "../fuzz_targets/urls.rs"]
mod urls;
#[path = "../fuzz_targets/versions.rs"]
mod versions;
#[path = "../fuzz_targets/windows.rs"]
mod windows;

use std::path::PathBuf;

/// One thing that reads bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also that of its directory in the corpus.
    pub name: &'static str,
    run: fn(&[u8]),
    /// Words that its inputs are made of.
    pub words: &'static [&'static str],
}

impl Target {
    /// Runs it on one input; panics when something is wrong.
    pub fn run(&self, data: &[u8]) {
        (self.run)(data);
    }

    /// The inputs it begins with, by path.
    ///
    /// # Errors
    /// When the corpus cannot be read.
    pub fn corpus(&self) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(self.name);
        let mut inputs = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let input = std::fs::read(&path)?;
            inputs.push((path, input));
        }
        inputs.sort();
        Ok(inputs)
    }
}

/// All targets.
pub const TARGETS: [Target; 12] = [
    Target {
        name: "annotations",
        run: annotations::run,
        words: annotations::WORDS,
    },
    Target {
        name: "braces",
        run: braces::run,
        words: braces::WORDS,
    },
    Target {
        name: "charts",
        run: charts::run,
        words: charts::WORDS,
    },
    Target {
        name: "frames",
        run: frames::run,
        words: frames::WORDS,
    },
    Target {
        name: "git",
        run: git::run,
        words: git::WORDS,
    },
    Target {
        name: "globs",
        run: globs::run,
        words: globs::WORDS,
    },
    Target {
        name: "previews",
        run: previews::run,
        words: previews::WORDS,
    },
    Target {
        name: "revisions",
        run: revisions::run,
        words: revisions::WORDS,
    },
    Target {
        name: "rules",
        run: rules::run,
        words: rules::WORDS,
    },
    Target {
        name: "urls",
        run: urls::run,
        words: urls::WORDS,
    },
    Target {
        name: "versions",
        run: versions::run,
        words: versions::WORDS,
    },
    Target {
        name: "windows",
        run: windows::run,
        words: windows::WORDS,
    },
];

/// The target of a name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// The text before the first line break, and the rest.
fn halves(data: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(data);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    (first.to_owned(), rest.to_owned())
}
