//! Finds the files that Rust sources may be made of, from their text alone.
//!
//! A build that fails early does not list what it has read. So what sources mention is found without rustc, and
//! generously: a file that was not meant costs a build in vain when it changes, and nothing else.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::lexer::{Token, tokens};

/// How many sources are read.
const SOURCES_MAX: usize = 500;

/// How long a path may be, in bytes.
const PATH_MAX: usize = 1024;

/// The files that the source at `root`, or those in that directory, may be made of: the files of their modules, and
/// those that string literals name. They need not exist.
pub(super) fn of(root: &Path) -> BTreeSet<PathBuf> {
    let mut sources = vec![root.to_owned()];
    let (mut read, mut found) = (BTreeSet::new(), BTreeSet::new());
    while let Some(source) = sources.pop() {
        if read.len() == SOURCES_MAX || !read.insert(source.clone()) {
            continue;
        }
        if source.is_dir() {
            let entries = fs::read_dir(&source).into_iter().flatten().flatten().map(|entry| entry.path());
            sources.extend(entries.filter(|path| path.is_dir() || is_rust(path)));
            continue;
        }
        let Ok(text) = fs::read_to_string(&source) else { continue };
        for path in mentioned(&text, &source) {
            if is_rust(&path) {
                sources.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The paths that one source mentions.
fn mentioned(text: &str, source: &Path) -> Vec<PathBuf> {
    let beside = source.parent().unwrap_or(source);
    // A module's own modules are in a directory of its name, except for those of a root or a `mod.rs`.
    let below = source.with_extension("");
    let (mut paths, mut modules, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = [Token::Other, Token::Other];
    for token in tokens(text) {
        match token {
            Token::Text(path) if path.len() < PATH_MAX && path.contains(['.', '/']) && !path.contains('\n') => {
                paths.push(beside.join(path));
                paths.push(below.join(path));
            }
            Token::Open => {
                let name = if let [Token::Word("mod"), Token::Word(name)] = before { name } else { "" };
                modules.push(name);
            }
            Token::Close => _ = modules.pop(),
            Token::Semicolon => {
                if let [Token::Word("mod"), Token::Word(name)] = before {
                    let inside: PathBuf = modules.iter().filter(|module| !module.is_empty()).collect();
                    names.push(inside.join(name));
                }
            }
            _ => {}
        }
        before = [before[1], token];
    }
    for name in names {
        for directory in [beside, &below] {
            let path = directory.join(&name);
            paths.extend([path.join("mod.rs"), path.with_extension("rs")]);
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_included_files_are_found_and_comments_are_not() {
        let text = r##"
            mod util; // mod not_this;
            /* mod nor; /* "this.txt" */ mod that; */
            mod outer { fn f<'a>(_: &'a str) { if '"' == '{' {} } pub(crate) mod r#inner; }
            #[path = "odd/thing.rs"] mod thing;
            const PAGE: &str = include_str!("page.html");
            const RAW: &str = include_str!(r#"a"b.txt"#);
            const NAME: &str = "no path";
        "##;
        let found: BTreeSet<PathBuf> = mentioned(text, Path::new("/p/hello.rs")).into_iter().collect();
        let found: Vec<&Path> = found.iter().filter_map(|path| path.strip_prefix("/p").ok()).collect();
        let beside: Vec<_> = found.iter().filter(|path| !path.starts_with("hello")).collect();
        let wanted = [
            "a\"b.txt",
            "odd/thing.rs",
            "outer/inner/mod.rs",
            "outer/inner.rs",
            "page.html",
            "thing/mod.rs",
            "thing.rs",
            "util/mod.rs",
            "util.rs",
        ];
        assert_eq!(beside, wanted.iter().map(Path::new).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        assert!(found.contains(&Path::new("hello/util.rs")));
    }
}
