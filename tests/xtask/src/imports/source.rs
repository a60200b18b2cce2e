//! Reads the sources of one crate into its tree of modules: what each declares, imports and names.
//!
//! Nothing is resolved here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{Attribute, Expr, Item, ItemMod, ItemUse, Lit, Meta, UseTree, Visibility};

/// Reads a file of the crate.
pub(super) type Read<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// A crate: its modules and the files they are in. Test code is left out.
#[derive(Debug)]
pub(super) struct CrateSource {
    files: Vec<PathBuf>,
    modules: Vec<Module>,
}

/// A module, in a file of its own or inside another's.
#[derive(Debug)]
pub(super) struct Module {
    /// `a::b`; empty for the crate's root.
    pub(super) name: String,
    /// Index of its file.
    pub(super) file: usize,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    /// Names of what is declared in it.
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    pub(super) mentions: Vec<Mention>,
}

/// One name of a `use`.
#[derive(Debug)]
pub(super) struct Import {
    /// The name it gets here; none for `*`.
    pub(super) name: Option<String>,
    pub(super) path: Mention,
    /// Whether it has a visibility: others may import it from here.
    pub(super) exported: bool,
}

/// A path that is written somewhere.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

impl CrateSource {
    /// Reads the crate whose first file this is.
    pub(super) fn read(root: &Path, read: Read) -> Result<Self> {
        let mut source = Self {
            files: Vec::new(),
            modules: Vec::new(),
        };
        source.read_file(root, None, "", &directory_of(root), read)?;
        Ok(source)
    }

    /// Files in the order in which they were found.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(super) fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// Reads a file as a module; `directory` is where its own modules' files are.
    fn read_file(
        &mut self,
        path: &Path,
        parent: Option<usize>,
        name: &str,
        directory: &Path,
        read: Read,
    ) -> Result<usize> {
        let text = read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parsed =
            syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        self.files.push(path.to_path_buf());
        let module = self.add_module(self.files.len() - 1, parent, name);
        self.read_items(module, &parsed.items, directory, read)?;
        Ok(module)
    }

    fn add_module(&mut self, file: usize, parent: Option<usize>, name: &str) -> usize {
        let above = parent.map_or("", |parent| self.modules[parent].name.as_str());
        let full = if above.is_empty() {
            name.to_owned()
        } else {
            format!("{above}::{name}")
        };
        self.modules.push(Module {
            name: full,
            file,
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
            mentions: Vec::new(),
        });
        let module = self.modules.len() - 1;
        if let Some(parent) = parent {
            self.modules[parent]
                .children
                .insert(name.to_owned(), module);
        }
        module
    }

    fn read_items(
        &mut self,
        module: usize,
        items: &[Item],
        directory: &Path,
        read: Read,
    ) -> Result<()> {
        for item in items {
            if let Item::Mod(item) = item {
                self.read_module(module, item, directory, read)?;
                continue;
            }
            let module = &mut self.modules[module];
            module.items.extend(declared(item));
            Collector { module }.visit_item(item);
        }
        Ok(())
    }

    fn read_module(
        &mut self,
        parent: usize,
        item: &ItemMod,
        directory: &Path,
        read: Read,
    ) -> Result<()> {
        if only_for_tests(&item.attrs) {
            return Ok(());
        }
        let name = item.ident.to_string().trim_start_matches("r#").to_owned();
        let below = directory.join(&name);
        if let Some((_, items)) = &item.content {
            let module = self.add_module(self.modules[parent].file, Some(parent), &name);
            return self.read_items(module, items, &below, read);
        }
        if let Some(path) = path_attribute(&item.attrs) {
            let own = &self.files[self.modules[parent].file];
            let path = own.parent().unwrap_or(Path::new("")).join(path);
            let directory = directory_of(&path);
            self.read_file(&path, Some(parent), &name, &directory, read)?;
            return Ok(());
        }
        for path in [directory.join(format!("{name}.rs")), below.join("mod.rs")] {
            match read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                _ => {
                    self.read_file(&path, Some(parent), &name, &below, read)?;
                    return Ok(());
                }
            }
        }
        bail!(
            "the file of module {name} is neither {} nor {}",
            directory.join(format!("{name}.rs")).display(),
            below.join("mod.rs").display()
        )
    }
}

/// Where the modules of a root file are: beside it.
fn directory_of(root: &Path) -> PathBuf {
    root.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// `#[cfg(test)]` or `#[test]`.
fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::NameValue(_) => false,
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        match &pair.value {
            Expr::Lit(literal) if pair.path.is_ident("path") => match &literal.lit {
                Lit::Str(path) => Some(path.value()),
                _ => None,
            },
            _ => None,
        }
    })
}

/// Names an item gives to its module.
fn declared(item: &Item) -> Vec<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => match &item.ident {
            Some(name) => name,
            None => return declared_in(item.mac.tokens.clone()),
        },
        _ => return Vec::new(),
    };
    vec![name.to_string()]
}

/// Names that follow `struct`, `enum` and the like in what a macro is given.
fn declared_in(tokens: TokenStream) -> Vec<String> {
    const WORDS: [&str; 7] = ["struct", "enum", "trait", "type", "const", "static", "fn"];
    let mut names = Vec::new();
    let mut after_word = false;
    for token in tokens {
        after_word = match token {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                let is_word = WORDS.contains(&word.as_str());
                if after_word && !is_word {
                    names.push(word);
                }
                is_word
            }
            TokenTree::Group(group) => {
                names.extend(declared_in(group.stream()));
                false
            }
            _ => false,
        };
    }
    names
}

/// Writes down what an item imports and names.
struct Collector<'a> {
    module: &'a mut Module,
}

impl Collector<'_> {
    fn use_tree(&mut self, tree: &UseTree, above: &[String], exported: bool) {
        let mut segments = above.to_vec();
        let (name, line) = match tree {
            UseTree::Path(path) => {
                segments.push(path.ident.to_string());
                return self.use_tree(&path.tree, &segments, exported);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, above, exported);
                }
                return;
            }
            UseTree::Glob(glob) => (None, glob.star_token.spans[0].start().line),
            UseTree::Name(name) => {
                if name.ident != "self" {
                    segments.push(name.ident.to_string());
                }
                (segments.last().cloned(), name.ident.span().start().line)
            }
            UseTree::Rename(name) => {
                if name.ident != "self" {
                    segments.push(name.ident.to_string());
                }
                (
                    Some(name.rename.to_string()),
                    name.ident.span().start().line,
                )
            }
        };
        self.module.imports.push(Import {
            name,
            path: Mention { segments, line },
            exported,
        });
    }

    /// Paths in what a macro or an attribute is given: words with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.mention(&mut segments, line);
                        line = word.span().start().line;
                    }
                    segments.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.mention(&mut segments, line);
                    colons = 0;
                    self.tokens(group.stream());
                }
                _ => {
                    self.mention(&mut segments, line);
                    colons = 0;
                }
            }
        }
        self.mention(&mut segments, line);
    }

    fn mention(&mut self, segments: &mut Vec<String>, line: usize) {
        if !segments.is_empty() {
            let segments = std::mem::take(segments);
            self.module.mentions.push(Mention { segments, line });
        }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !only_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !only_for_tests(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let exported = !matches!(item.vis, Visibility::Inherited);
        // `use ::name` is another crate.
        if item.leading_colon.is_none() {
            self.use_tree(&item.tree, &[], exported);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if let (None, Some(first)) = (&path.leading_colon, path.segments.first()) {
            self.mention(&mut segments, first.ident.span().start().line);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => self.tokens(list.tokens.clone()),
            Meta::Path(_) | Meta::NameValue(_) => {}
        }
    }
}
