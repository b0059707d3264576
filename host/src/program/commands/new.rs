//! `wasmserve new` and `--eject`: writes a handler's source, and never overwrites a file.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher as _,
    io,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};

use super::path::{argument, shown};
use crate::{
    base::output::{self, is_written_as_directory},
    program::task::New,
    source::{
        example::{Example, Files},
        sdk,
    },
};

/// Creates a new handler, and returns a text with the next steps.
///
/// # Errors
///
/// The name is invalid, a file with that name exists, or it cannot be written. An existing file is left as it is.
pub(crate) fn new(new: &New) -> anyhow::Result<String> {
    match new.template.files {
        Files::Rust(text) if new.is_crate => new_crate(&new.name, text),
        _ if new.is_crate => {
            bail!("the template `{}` is Python, and no crate; leave out --crate", new.template.name)
        }
        Files::Rust(text) => new_file(&new.name, "rs", text),
        Files::Python(text) => {
            let file = source_file(&new.name, "py")?;
            if file.file_stem().is_some_and(|stem| stem == "flask") && new.template.name == "flask" {
                bail!("a file `flask.py` would hide Flask itself from Python; choose another name, as in hello");
            }
            new_file(&new.name, "py", text)
        }
        Files::Django(files) => new_project(&new.name, files),
    }
}

fn new_file(name: &Path, extension: &str, text: &str) -> anyhow::Result<String> {
    let file = source_file(name, extension)?;
    write_new(&file, text)?;
    Ok(next_steps(&file, text))
}

/// Creates the directory of a Django project with a key of its own.
fn new_project(directory: &Path, files: &[(&str, &str)]) -> anyhow::Result<String> {
    if directory.file_name().is_none() {
        bail!("`{}` names a directory that exists; write a new name, as in hello", directory.display());
    }
    fs::create_dir(directory).map_err(|error| unwritten(directory, &error))?;
    for (name, text) in files {
        let file = directory.join(name);
        fs::create_dir_all(file.parent().unwrap_or(directory)).map_err(|error| unwritten(&file, &error))?;
        write_new(&file, &text.replace("a key for the template", &key()))?;
    }
    let (shown, argument) = (shown(directory), argument(directory));
    Ok(format!(
        "`{shown}` is a Django project: a guest book with a database in `data`, the only directory that it may write \
         to.\n\n    wasmserve {argument} --dir {argument}/data::/app/data\n"
    ))
}

/// A secret key: 50 characters that cannot be guessed.
fn key() -> String {
    // The keys of std's hashers come from the system's random numbers.
    let part = || format!("{:016x}", RandomState::new().hash_one(0));
    let parts: String = (0..4).map(|_| part()).collect();
    parts[..50].to_owned()
}

/// Writes the source of a built-in handler, and returns a text with the next steps.
///
/// # Errors
///
/// A file with that name exists, or it cannot be written.
pub(crate) fn eject(example: &Example) -> anyhow::Result<String> {
    let file = PathBuf::from(example.name).with_extension("rs");
    write_new(&file, example.text)?;
    Ok(next_steps(&file, example.text))
}

fn next_steps(file: &Path, text: &str) -> String {
    let (file, argument) = (shown(file), argument(file));
    if is_filter(text) {
        return format!(
            "`{file}` is a filter. Change it as you like, and put it in front of a handler:\n\n    \
             wasmserve HANDLER --wrap {argument}\n"
        );
    }
    format!("`{file}` is a handler. Change it as you like, and serve it:\n\n    wasmserve {argument}\n")
}

/// Whether a source is that of a filter.
fn is_filter(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("filter!("))
}

/// The file for a name, to which the extension is added unless it is there.
fn source_file(name: &Path, extension: &str) -> anyhow::Result<PathBuf> {
    let suffix = format!(".{extension}");
    let last = name.file_name().filter(|last| *last != &*suffix && !is_written_as_directory(name));
    let Some(last) = last else { bail!("`{}` is not a valid file name; use a name like hello", name.display()) };
    let stem = Path::new(last).file_stem().unwrap_or(last).to_string_lossy().to_ascii_lowercase();
    if RESERVED.contains(&&*stem) {
        bail!("`{}` is not a valid file name, because Windows reserves it for a device", name.display());
    }
    if name.to_str().is_none() {
        bail!("`{}` is not UTF-8, and could not be built; use a name like hello", name.display());
    }
    if name.extension().is_some_and(|given| given == extension) {
        return Ok(name.to_owned());
    }
    let mut file = name.as_os_str().to_owned();
    file.push(suffix);
    Ok(file.into())
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    output::create(file, text.as_bytes()).map_err(|error| unwritten(file, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow!("`{path}` already exists; choose another name"),
        io::ErrorKind::NotADirectory => {
            anyhow!("`{path}` cannot be written: a part of its path is a file, not a directory")
        }
        io::ErrorKind::NotFound => {
            anyhow!("`{path}` cannot be written: its directory does not exist; create it first")
        }
        _ => anyhow!("`{path}` cannot be written: {error}"),
    }
}

fn new_crate(directory: &Path, text: &str) -> anyhow::Result<String> {
    let named = || format!("`{}` cannot be the name of a crate", directory.display());
    let Some(name) = directory.file_name() else {
        bail!("{}: it names a directory that exists; write a new name, as in hello", named());
    };
    let Some(name) = name.to_str() else { bail!("{}: it is not UTF-8", named()) };
    if let Some(why) = why_not(name) {
        bail!("`{name}` cannot be the name of a crate: {why}");
    }
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

/// Why a name cannot be that of a package with a program, unless it can. Most of this is what cargo checks.
fn why_not(name: &str) -> Option<String> {
    let is_part = |char: &char| char.is_ascii_alphanumeric() || *char == '-' || *char == '_';
    // Cargo and rustc take both for the same name.
    let ident = name.replace('-', "_");
    Some(match name {
        _ if KEYWORDS.contains(&name) => "it is a keyword of Rust; choose another name".to_owned(),
        _ if ["alloc", "core", "proc_macro", "std", "test"].contains(&&*ident) => {
            "it is the name of a library that comes with Rust; choose another name".to_owned()
        }
        _ if ident == "wasmserve_guest" => "it is the name of the SDK; choose another name".to_owned(),
        "build" | "deps" | "examples" | "incremental" => {
            "it is a directory that cargo builds in; choose another name".to_owned()
        }
        _ if RESERVED.contains(&&*name.to_ascii_lowercase()) => {
            "Windows reserves it for a device; choose another name".to_owned()
        }
        _ if !name.starts_with(|char: char| char.is_ascii_alphabetic()) => {
            "it must begin with a letter from a to z, as in hello".to_owned()
        }
        _ if name.len() > NAME_MAX => format!("it is longer than {NAME_MAX} characters"),
        _ => {
            let wrong = name.chars().find(|char| !is_part(char))?;
            format!("it contains `{wrong}`; use letters from a to z, digits, - and _, as in hello")
        }
    })
}

/// The longest name that crates.io accepts. File systems have room for it together with cargo's suffixes.
const NAME_MAX: usize = 64;

/// Rust's keywords, of all editions, and those that it reserves.
const KEYWORDS: [&str; 54] = [
    "Self",
    "_",
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "macro_rules",
];

/// The names that no file can have on Windows, with any extension.
const RESERVED: [&str; 22] = [
    "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_can_be_named_with_or_without_its_extension() {
        let file = |name: &str| source_file(Path::new(name), "rs").map(|file| file.to_string_lossy().into_owned()).ok();
        assert_eq!(file("hello").as_deref(), Some("hello.rs"));
        assert_eq!(file("hello.rs").as_deref(), Some("hello.rs"));
        assert_eq!(file("a/b.c").as_deref(), Some("a/b.c.rs"));
        assert!(source_file(Path::new("hello"), "py").is_ok_and(|file| file == Path::new("hello.py")));
        for wrong in ["", ".rs", "a/.rs", "..", "a/..", "a/", "con", "a/nul.rs"] {
            assert_eq!(file(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn crate_names_are_names_that_cargo_accepts() {
        for name in ["hello", "hello-world", "h2_o", "generator", "Hello", "unions", "union", &"a".repeat(64)] {
            assert_eq!(why_not(name), None, "{name}");
        }
        for (names, why) in [
            (&["gen", "fn", "self", "super", "crate", "Self", "_", "while", "yield", "try", "async"][..], "keyword"),
            (&["test", "core", "std", "alloc", "proc-macro", "proc_macro"], "comes with Rust"),
            (&["wasmserve-guest", "wasmserve_guest"], "the SDK"),
            (&["build", "deps", "examples", "incremental"], "cargo builds in"),
            (&["con", "NUL", "com1"], "Windows"),
            (&["", "2h", "-h", "_h", "\u{e9}"], "begin with a letter"),
            (&["h h", "a.rs", "h\u{e9}", "h/", "a+b"], "contains `"),
            (&[&*"a".repeat(65)], "longer than 64"),
        ] {
            for name in names {
                assert!(why_not(name).is_some_and(|text| text.contains(why)), "{name}: {:?}", why_not(name));
            }
        }
    }
}
