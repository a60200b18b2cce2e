//! Which file uses which, and the circles among them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{CrateSource, Import, Mention, Module};

/// A file names something that another declares.
#[derive(Clone, Debug)]
pub(super) struct Arrow {
    /// Index of the file.
    pub(super) from: usize,
    /// Index of the other file.
    pub(super) to: usize,
    /// Line in the first file.
    pub(super) line: usize,
    /// What is written there.
    pub(super) path: String,
    /// Module of the first file.
    from_module: String,
    /// Module of the other.
    to_module: String,
}

/// Files or directories that use each other.
#[derive(Debug)]
pub(super) struct Circle {
    /// `files` or `directories`.
    pub(super) what: &'static str,
    /// Names of the modules.
    pub(super) members: Vec<String>,
    /// Every arrow between two of them.
    pub(super) arrows: Vec<Arrow>,
}

/// Every arrow of a crate but those to an ancestor: the first from each file to each other.
pub(super) fn arrows(source: &CrateSource) -> Vec<Arrow> {
    let names = Names(source.modules());
    let mut arrows: BTreeMap<(usize, usize), Arrow> = BTreeMap::new();
    for (index, module) in source.modules().iter().enumerate() {
        // Who imports to hand on only does not use; who does, mentions it, too.
        let imports = module.imports.iter().filter(|import| !import.exported);
        let imports = imports.map(|import| &import.path);
        for mention in imports.chain(&module.mentions) {
            let Some(Found::Item(other)) = names.resolve(index, mention, &mut BTreeSet::new())
            else {
                continue;
            };
            let other = &source.modules()[other];
            if other.file == module.file || names.is_ancestor(other.file, index) {
                continue;
            }
            let arrow = Arrow {
                from: module.file,
                to: other.file,
                line: mention.line,
                path: mention.segments.join("::"),
                from_module: names.of_file(module.file),
                to_module: names.of_file(other.file),
            };
            let known = arrows
                .entry((arrow.from, arrow.to))
                .or_insert(arrow.clone());
            if arrow.line < known.line {
                *known = arrow;
            }
        }
    }
    arrows.into_values().collect()
}

/// Circles of files.
pub(super) fn circles_of_files(arrows: &[Arrow]) -> Vec<Circle> {
    let ends = |arrow: &Arrow| Some((arrow.from_module.clone(), arrow.to_module.clone()));
    circles(arrows, "files", &ends)
}

/// Circles of directories: of the children of each module, with everything below each of them.
pub(super) fn circles_of_directories(source: &CrateSource, arrows: &[Arrow]) -> Vec<Circle> {
    let mut found = Vec::new();
    for module in source.modules() {
        let child = |name: &str| {
            let below = match module.name.as_str() {
                "" => name,
                own => name.strip_prefix(own)?.strip_prefix("::")?,
            };
            let child = below.split("::").next().filter(|child| !child.is_empty())?;
            let child = &source.modules()[*module.children.get(child)?];
            Some(child.name.clone())
        };
        let ends = |arrow: &Arrow| Some((child(&arrow.from_module)?, child(&arrow.to_module)?));
        let circles = circles(arrows, "directories", &ends);
        // Where no directory takes part it is a circle of files, and said as one.
        let has_directory = |circle: &Circle| {
            let has_children = |name: &String| {
                let below = format!("{name}::");
                let modules = source.modules().iter();
                let mut others = modules.filter(|module| module.name.starts_with(&below));
                others.next().is_some()
            };
            circle.members.iter().any(has_children)
        };
        found.extend(circles.into_iter().filter(has_directory));
    }
    found
}

/// Sets of nodes of which each reaches each other; `ends` makes an arrow one between nodes.
fn circles(
    arrows: &[Arrow],
    what: &'static str,
    ends: &dyn Fn(&Arrow) -> Option<(String, String)>,
) -> Vec<Circle> {
    let mut next: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in arrows.iter().filter_map(ends) {
        if from != to {
            next.entry(from).or_default().insert(to);
        }
    }
    let reachable: BTreeMap<&String, BTreeSet<&String>> = next
        .keys()
        .map(|start| (start, reachable(&next, start)))
        .collect();
    let mut taken = BTreeSet::new();
    let mut found = Vec::new();
    for (start, others) in &reachable {
        if taken.contains(start) || !others.contains(start) {
            continue;
        }
        let members: BTreeSet<&String> = others
            .iter()
            .filter(|other| {
                reachable
                    .get(*other)
                    .is_some_and(|back| back.contains(start))
            })
            .copied()
            .collect();
        taken.extend(members.iter().copied());
        let inside = |arrow: &&Arrow| {
            ends(arrow).is_some_and(|(from, to)| {
                from != to && members.contains(&from) && members.contains(&to)
            })
        };
        found.push(Circle {
            what,
            members: members.iter().map(|member| (*member).clone()).collect(),
            arrows: arrows.iter().filter(inside).cloned().collect(),
        });
    }
    found
}

fn reachable<'a>(
    next: &'a BTreeMap<String, BTreeSet<String>>,
    start: &String,
) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&String> = next.get(start).into_iter().flatten().collect();
    while let Some(node) = open.pop() {
        if seen.insert(node) {
            open.extend(next.get(node).into_iter().flatten());
        }
    }
    seen
}

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
enum Found {
    Module(usize),
    /// Something declared in this module.
    Item(usize),
}

/// Names of a crate's modules.
struct Names<'a>(&'a [Module]);

impl Names<'_> {
    /// Where a path that is written in a module leads; nowhere when to another crate.
    fn resolve(
        &self,
        module: usize,
        path: &Mention,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<Found> {
        let mut found = Found::Module(module);
        for (position, segment) in path.segments.iter().enumerate() {
            let Found::Module(here) = found else {
                return Some(found);
            };
            found = match segment.as_str() {
                "crate" => Found::Module(0),
                "self" => found,
                "super" => Found::Module(self.0[here].parent?),
                name => match self.look_up(here, name, seen) {
                    Some(found) => found,
                    // A word of a macro, a variable, or another crate.
                    None if position == 0 => return None,
                    // Declared by a macro, or imported from another crate.
                    None if self.imports_from_outside(here, name) => return None,
                    None => Found::Item(here),
                },
            };
        }
        Some(found)
    }

    fn look_up(
        &self,
        module: usize,
        name: &str,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<Found> {
        if !seen.insert((module, name.to_owned())) {
            return None;
        }
        let here = &self.0[module];
        if let Some(child) = here.children.get(name) {
            return Some(Found::Module(*child));
        }
        if here.items.contains(name) {
            return Some(Found::Item(module));
        }
        let named = |import: &&Import| import.name.as_deref() == Some(name);
        let by_name = here.imports.iter().filter(named);
        let mut by_name =
            by_name.filter_map(|import| self.resolve(module, &import.path, &mut seen.clone()));
        if let Some(found) = by_name.next() {
            return Some(found);
        }
        let mut globs = here.imports.iter().filter(|import| import.name.is_none());
        globs.find_map(
            |glob| match self.resolve(module, &glob.path, &mut seen.clone()) {
                Some(Found::Module(other)) => self.look_up(other, name, &mut seen.clone()),
                _ => None,
            },
        )
    }

    fn imports_from_outside(&self, module: usize, name: &str) -> bool {
        let imports = &self.0[module].imports;
        imports
            .iter()
            .any(|import| import.name.as_deref() == Some(name))
    }

    /// Whether a file's own module is above a module.
    fn is_ancestor(&self, file: usize, module: usize) -> bool {
        let own = self.module_of(file);
        let mut here = self.0[module].parent;
        while let Some(parent) = here {
            if parent == own {
                return true;
            }
            here = self.0[parent].parent;
        }
        false
    }

    /// The module a file is, not one inside it: it was read first.
    fn module_of(&self, file: usize) -> usize {
        let mut modules = self.0.iter();
        modules
            .position(|module| module.file == file)
            .unwrap_or_default()
    }

    fn of_file(&self, file: usize) -> String {
        self.0[self.module_of(file)].name.clone()
    }
}
