//! The module graph of a package, computed from its sources: which file uses which.
//!
//! An arrow goes from the file that names an item to the file that defines it, through any re-exports: a file that only
//! declares modules and re-exports their items has no arrow to it. Nested braces of `use`, paths within code
//! (`crate::`, `super::`, names of modules in scope) and paths in macro arguments all count, tests included.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Item, ItemMod, ItemUse, Macro, UseTree, Visibility,
    visit::{self, Visit},
};

/// A module by its path below the crate's root.
type Module = Vec<String>;

/// Which file uses which.
#[derive(Debug, Default)]
pub struct Graph {
    /// All files, by their paths below the directory of the sources.
    pub files: BTreeSet<String>,
    /// The arrows, each with one path that causes it.
    pub arrows: BTreeMap<(String, String), String>,
}

impl Graph {
    /// Computes the graph of the crate whose root is `root`, a file in `directory`.
    ///
    /// # Panics
    ///
    /// A file cannot be read, or is not Rust.
    #[must_use]
    pub fn of(directory: &Path, root: &str) -> Self {
        let mut sources = Sources::default();
        sources.read(directory, root.to_owned(), Vec::new());
        let mut graph =
            Self { files: sources.files.iter().map(|(file, ..)| file.clone()).collect(), ..Self::default() };
        for (file, module, syntax) in &sources.files {
            let mut paths = Paths { sources: &sources, module: module.clone(), found: Vec::new() };
            paths.visit_file(syntax);
            for path in paths.found {
                let to = sources.file_of(&path);
                if to != *file {
                    graph.arrows.entry((file.clone(), to)).or_insert_with(|| path.join("::"));
                }
            }
        }
        graph
    }

    /// Finds the cycles: groups of nodes that lead back to themselves, where `node` maps files to nodes.
    #[must_use]
    pub fn circles(&self, node: impl Fn(&str) -> String) -> Vec<BTreeSet<String>> {
        let mut reach: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in self.arrows.keys() {
            let (from, to) = (node(from), node(to));
            if from != to {
                reach.entry(from).or_default().insert(to);
            }
        }
        loop {
            let before: usize = reach.values().map(BTreeSet::len).sum();
            let known = reach.clone();
            for reached in reach.values_mut() {
                let further: Vec<String> =
                    reached.iter().filter_map(|node| known.get(node)).flatten().cloned().collect();
                reached.extend(further);
            }
            if reach.values().map(BTreeSet::len).sum::<usize>() == before {
                break;
            }
        }
        let in_circle = |one: &String, other: &String| {
            reach[one].contains(other) && reach.get(other).is_some_and(|it| it.contains(one))
        };
        let mut circles: Vec<BTreeSet<String>> = Vec::new();
        for one in reach.keys().filter(|one| reach[*one].contains(*one)) {
            let circle: BTreeSet<String> = reach.keys().filter(|other| in_circle(one, other)).cloned().collect();
            if !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }
}

/// The names in one module.
#[derive(Debug, Default)]
struct Scope {
    file: String,
    /// The modules that it declares.
    modules: BTreeSet<String>,
    /// The names that it imports, re-exported or not, and the paths from the crate's root that they stand for.
    imports: BTreeMap<String, Module>,
}

#[derive(Default)]
struct Sources {
    files: Vec<(String, Module, syn::File)>,
    scopes: BTreeMap<Module, Scope>,
}

impl Sources {
    fn read(&mut self, directory: &Path, file: String, module: Module) {
        let text = fs::read_to_string(directory.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.enter(directory, &file, &module, &syntax.items);
        self.files.push((file, module, syntax));
    }

    fn enter(&mut self, directory: &Path, file: &str, module: &Module, items: &[Item]) {
        self.scopes.insert(module.clone(), Scope { file: file.to_owned(), ..Scope::default() });
        for item in items {
            match item {
                Item::Mod(ItemMod { ident, content, .. }) => {
                    let name = ident.to_string();
                    let inner = [&**module, std::slice::from_ref(&name)].concat();
                    self.scopes.entry(module.clone()).or_default().modules.insert(name);
                    match content {
                        Some((_, items)) => self.enter(directory, file, &inner, items),
                        None => self.read(directory, format!("{}.rs", inner.join("/")), inner),
                    }
                }
                Item::Use(item) => {
                    let mut leaves = Vec::new();
                    flatten(&item.tree, &mut Vec::new(), &mut leaves);
                    for (name, path) in leaves {
                        if let Some(path) = from_root(module, &path) {
                            self.scopes.entry(module.clone()).or_default().imports.insert(name, path);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The file that defines the item of a path from the root. Follows re-exports.
    fn file_of(&self, path: &[String]) -> String {
        let mut module = Module::new();
        for (at, name) in path.iter().enumerate() {
            let scope = &self.scopes[&module];
            if scope.modules.contains(name) {
                module.push(name.clone());
            } else if let Some(import) = scope.imports.get(name).filter(|import| *import != path) {
                return self.file_of(&[&**import, &path[at + 1..]].concat());
            } else {
                return scope.file.clone();
            }
        }
        self.scopes[&module].file.clone()
    }
}

/// The leaves of a `use`: each name that it imports, and its path as written.
fn flatten(tree: &UseTree, prefix: &mut Vec<String>, leaves: &mut Vec<(String, Vec<String>)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((prefix.last().cloned().unwrap_or_default(), prefix.clone()));
        }
        UseTree::Name(name) => {
            leaves.push((name.ident.to_string(), [&**prefix, &[name.ident.to_string()]].concat()));
        }
        UseTree::Rename(rename) => {
            leaves.push((rename.rename.to_string(), [&**prefix, &[rename.ident.to_string()]].concat()));
        }
        UseTree::Glob(_) => leaves.push(("*".to_owned(), prefix.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, leaves)),
    }
}

/// Resolves a path that begins with `crate`, `self` or `super` to one from the crate's root.
fn from_root(module: &[String], path: &[String]) -> Option<Module> {
    let mut base = match path.first()?.as_str() {
        "crate" => return Some(path[1..].to_vec()),
        "self" | "super" => module.to_vec(),
        _ => return None,
    };
    let mut rest = path;
    while let Some((first, more)) = rest.split_first().filter(|(first, _)| *first == "self" || *first == "super") {
        if first == "super" {
            base.pop();
        }
        rest = more;
    }
    Some([base, rest.to_vec()].concat())
}

/// Finds all paths in a file that lead into its own crate.
struct Paths<'a> {
    sources: &'a Sources,
    module: Module,
    found: Vec<Module>,
}

impl Paths<'_> {
    fn add(&mut self, path: &[String]) {
        let scope = &self.sources.scopes[&self.module];
        let path = match path {
            [first, rest @ ..] if scope.modules.contains(first) => {
                Some([&*self.module, std::slice::from_ref(first), rest].concat())
            }
            [first, rest @ ..] if !rest.is_empty() && scope.imports.contains_key(first) => {
                Some([&*scope.imports[first], rest].concat())
            }
            path => from_root(&self.module, path),
        };
        self.found.extend(path);
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Ident(ident) if colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                token => {
                    self.add(&std::mem::take(&mut path));
                    colons = 0;
                    match token {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
        }
        self.add(&path);
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        if item.content.is_some() {
            visit::visit_item_mod(self, item);
        }
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        leaves.iter().for_each(|(_, path)| self.add(path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, makro: &'ast Macro) {
        self.tokens(makro.tokens.clone());
    }

    /// `pub(super)` only sets the visibility of an item, and uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
