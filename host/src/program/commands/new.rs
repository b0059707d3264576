//! `wasmserve new` and `--eject`: writes a handler's source, and never overwrites a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use wasmserve_gateway::escape::{escape, escape_bytes};

use crate::{
    base::output,
    program::task::New,
    source::{example::Example, sdk},
};

/// Creates a new handler, and returns a text with the next steps.
///
/// # Errors
///
/// The name is invalid, a file with that name exists, or it cannot be written. An existing file is left as it is.
pub(crate) fn new(new: &New) -> anyhow::Result<String> {
    if new.is_crate {
        return new_crate(&new.name, new.template.text);
    }
    let file = source_file(&new.name)?;
    write_new(&file, new.template.text)?;
    Ok(next_steps(&file))
}

/// Writes the source of a built-in handler, and returns a text with the next steps.
///
/// # Errors
///
/// A file with that name exists, or it cannot be written.
pub(crate) fn eject(example: &Example) -> anyhow::Result<String> {
    let file = PathBuf::from(example.name).with_extension("rs");
    write_new(&file, example.text)?;
    Ok(next_steps(&file))
}

fn next_steps(file: &Path) -> String {
    let (file, argument) = (shown(file), argument(file));
    format!("`{file}` is a handler. Change it as you like, and serve it:\n\n    wasmserve {argument}\n")
}

/// The file for a name, to which `.rs` is added unless it is there.
fn source_file(name: &Path) -> anyhow::Result<PathBuf> {
    if name.file_name().is_none_or(|last| last == ".rs") {
        bail!("`{}` is not a valid file name; use a name like hello", name.display());
    }
    if name.extension().is_some_and(|extension| extension == "rs") {
        return Ok(name.to_owned());
    }
    let mut file = name.as_os_str().to_owned();
    file.push(".rs");
    Ok(file.into())
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    output::create(file, text.as_bytes()).map_err(|error| unwritten(file, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow!("`{path}` already exists; choose another name"),
        io::ErrorKind::NotFound => {
            anyhow!("`{path}` cannot be written: its directory does not exist; create it first")
        }
        _ => anyhow!("`{path}` cannot be written: {error}"),
    }
}

fn new_crate(directory: &Path, text: &str) -> anyhow::Result<String> {
    let name = directory.file_name().and_then(|name| name.to_str()).filter(|name| is_crate_name(name));
    let Some(name) = name else {
        bail!("`{}` is not a valid crate name; use letters, digits, - and _, as in hello", directory.display());
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

/// Whether cargo accepts a name for a package with a program: not a keyword, and not the name of the SDK.
fn is_crate_name(name: &str) -> bool {
    let is_start = |char: char| char.is_ascii_alphabetic();
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    let taken = ["test", "core", "std", "alloc", "proc-macro", "wasmserve-guest", "wasmserve_guest"];
    name.starts_with(is_start) && name.chars().all(is_part) && !taken.contains(&name) && !KEYWORDS.contains(&name)
}

/// Rust's keywords.
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
# The SDK of the wasmserve that created this crate, so that the versions match.
wasmserve-guest = {{ path = "wasmserve-guest" }}

[profile.release]
lto = true

# Keeps the crate out of any workspace above it.
[workspace]
"#
    )
}

/// A path as text for a message.
fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

/// A path quoted for a shell, which reads it as the same path.
fn argument(path: &Path) -> String {
    let is_flag = path.as_os_str().as_encoded_bytes().starts_with(b"-");
    let path = if is_flag { Path::new(".").join(path) } else { path.to_owned() };
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+,".contains(char);
    match path.to_str() {
        Some(text) if text.chars().all(is_plain) => text.to_owned(),
        Some(text) if text.replace('\\', r"\\") == shown(&path) => format!("'{}'", text.replace('\'', r"'\''")),
        // Bash, zsh and POSIX.1-2024 have the same escapes.
        _ => format!("$'{}'", escape_bytes(path.as_os_str().as_encoded_bytes()).replace('\'', r"\'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_can_be_named_with_or_without_its_extension() {
        let file = |name: &str| source_file(Path::new(name)).map(|file| file.to_string_lossy().into_owned()).ok();
        assert_eq!(file("hello").as_deref(), Some("hello.rs"));
        assert_eq!(file("hello.rs").as_deref(), Some("hello.rs"));
        assert_eq!(file("a/b.c").as_deref(), Some("a/b.c.rs"));
        for wrong in ["", ".rs", "a/.rs", "..", "a/.."] {
            assert_eq!(file(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn crate_names_are_names_that_cargo_accepts() {
        for name in ["hello", "hello-world", "h2_o"] {
            assert!(is_crate_name(name), "{name}");
        }
        for name in ["", "2h", "-h", "h h", "é", "test", "fn", "wasmserve-guest", "a.rs"] {
            assert!(!is_crate_name(name), "{name}");
        }
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(argument(Path::new("a/hello.rs")), "a/hello.rs");
        assert_eq!(argument(Path::new("my hello.rs")), "'my hello.rs'");
        assert_eq!(argument(Path::new("it's.rs")), r"'it'\''s.rs'");
        assert_eq!(argument(Path::new("-v.rs")), "./-v.rs");
        assert_eq!(argument(Path::new(r"a\b.rs")), r"'a\b.rs'");
        assert_eq!(argument(Path::new("it's\u{1b}\\.rs")), r"$'it\'s\x1b\\.rs'");
    }
}
