//! Handlers to begin with, written where nothing is yet.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use wasmserve_gateway::escape::escape;

use crate::{
    program::task::New,
    source::{example::Example, sdk},
};

/// Writes a handler to begin with, and says what to do next.
///
/// # Errors
///
/// The name is none, something of that name is there already, or it cannot be written. What was there stays as it is.
pub(crate) fn new(new: &New) -> anyhow::Result<String> {
    if new.is_crate {
        return new_crate(&new.name, new.template.text);
    }
    let file = source_file(&new.name)?;
    write_new(&file, new.template.text)?;
    Ok(next_steps(&file))
}

/// Writes the source of a handler that is in the program, and says what to do next.
///
/// # Errors
///
/// A file of that name is there already, or it cannot be written.
pub(crate) fn eject(example: &Example) -> anyhow::Result<String> {
    let file = PathBuf::from(example.name).with_extension("rs");
    write_new(&file, example.text)?;
    Ok(next_steps(&file))
}

fn next_steps(file: &Path) -> String {
    let (file, argument) = (shown(file), argument(file));
    format!("`{file}` is a handler. Change it as you like, and serve it:\n\n    wasmserve {argument}\n")
}

/// `hello` is `hello.rs`, and so is `hello.rs`.
fn source_file(name: &Path) -> anyhow::Result<PathBuf> {
    if name.file_name().is_none_or(|last| last == ".rs") {
        bail!("`{}` is no name for a file; write one like hello", name.display());
    }
    if name.extension().is_some_and(|extension| extension == "rs") {
        return Ok(name.to_owned());
    }
    let mut file = name.as_os_str().to_owned();
    file.push(".rs");
    Ok(file.into())
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    let written = File::create_new(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| unwritten(file, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow!("`{path}` is there already, and stays as it is; choose another name"),
        io::ErrorKind::NotFound => {
            anyhow!("`{path}` cannot be written, as its directory is not there; make that first")
        }
        _ => anyhow!("`{path}` cannot be written: {error}"),
    }
}

fn new_crate(directory: &Path, text: &str) -> anyhow::Result<String> {
    let name = directory.file_name().and_then(|name| name.to_str()).filter(|name| is_crate_name(name));
    let Some(name) = name else {
        bail!("`{}` is no name for a crate; write one of letters, digits, - and _, like hello", directory.display());
    };
    fs::create_dir(directory).map_err(|error| unwritten(directory, &error))?;
    let sources = directory.join("src");
    fs::create_dir(&sources).map_err(|error| unwritten(&sources, &error))?;
    for (file, text) in [("Cargo.toml", &*manifest(name)), ("src/main.rs", text), (".gitignore", "/target\n")] {
        write_new(&directory.join(file), text)?;
    }
    let sdk = directory.join("wasmserve-guest");
    sdk::write(&sdk).map_err(|error| unwritten(&sdk, &error))?;
    let (shown, argument) = (shown(directory), argument(directory));
    Ok(format!(
        "`{shown}` is a crate: a handler in `src/main.rs`, and its test.\n\n    cd {argument}\n    cargo test\n    \
         wasmserve .\n"
    ))
}

/// What cargo takes for the name of a package that is a program: no keyword, and not the name of the SDK.
fn is_crate_name(name: &str) -> bool {
    let is_start = |char: char| char.is_ascii_alphabetic();
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    let taken = ["test", "core", "std", "alloc", "proc-macro", "wasmserve-guest", "wasmserve_guest"];
    name.starts_with(is_start) && name.chars().all(is_part) && !taken.contains(&name) && !KEYWORDS.contains(&name)
}

/// The words that Rust keeps for itself.
const KEYWORDS: [&str; 49] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where",
];

fn manifest(name: &str) -> String {
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"

[dependencies]
# As the wasmserve that has made this crate has it, so that the two fit.
wasmserve-guest = {{ path = "wasmserve-guest" }}

[profile.release]
lto = true

# Of no workspace but its own, wherever it is.
[workspace]
"#
    )
}

/// A path as a text that may stand in a sentence.
fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

/// A path as a shell takes it.
fn argument(path: &Path) -> String {
    let text = shown(path);
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+,".contains(char);
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_with_or_without_its_end() {
        let file = |name: &str| source_file(Path::new(name)).map(|file| file.to_string_lossy().into_owned()).ok();
        assert_eq!(file("hello").as_deref(), Some("hello.rs"));
        assert_eq!(file("hello.rs").as_deref(), Some("hello.rs"));
        assert_eq!(file("a/b.c").as_deref(), Some("a/b.c.rs"));
        for wrong in ["", ".rs", "a/.rs", "..", "a/.."] {
            assert_eq!(file(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_crate_has_a_name_that_cargo_takes() {
        for name in ["hello", "hello-world", "h2_o"] {
            assert!(is_crate_name(name), "{name}");
        }
        for name in ["", "2h", "-h", "h h", "é", "test", "fn", "wasmserve-guest", "a.rs"] {
            assert!(!is_crate_name(name), "{name}");
        }
    }

    #[test]
    fn what_is_to_be_typed_can_be_typed() {
        assert_eq!(argument(Path::new("a/hello.rs")), "a/hello.rs");
        assert_eq!(argument(Path::new("my hello.rs")), "'my hello.rs'");
        assert_eq!(argument(Path::new("it's.rs")), r"'it'\''s.rs'");
        assert_eq!(argument(Path::new("-v.rs")), "./-v.rs");
    }
}
