//! Explains why a path cannot be served, and what to type instead.
//!
//! Only a file's first bytes are read here. What is wrong inside of a component, the compiler finds.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use toml::Table;

use super::python::name;
use crate::kind::wasm;

/// How much of a file decides what it is, in bytes.
const HEAD: u64 = 256;

/// How many entries of a directory are looked at.
const ENTRIES_MAX: usize = 1000;

/// What a path leads to.
///
/// # Errors
///
/// It does not exist, or is not the path of a file.
pub(super) fn metadata(path: &Path) -> anyhow::Result<Metadata> {
    if let Some((scheme, _)) = path.to_str().and_then(|text| text.split_once("://"))
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        bail!("is a URL; download the file first, and name the file");
    }
    fs::metadata(path).map_err(|error| missing(path, error))
}

/// Checks that cargo can be given a path.
fn check_text(path: &Path) -> anyhow::Result<()> {
    path.to_str().map(|_| ()).context("has a name that is not UTF-8, which cargo cannot build; rename it")
}

fn missing(path: &Path, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::NotFound {
        if let Ok(target) = fs::read_link(path) {
            return anyhow::anyhow!("is a link to `{}`, which does not exist", target.display());
        }
        if let Some(like) = similar(path) {
            return anyhow::anyhow!("does not exist; did you mean `{}`?", like.display());
        }
    }
    anyhow::Error::from(error).context("cannot be read")
}

/// The handler beside a path that does not exist whose name is most like it.
pub(crate) fn similar(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_string_lossy();
    let stem = path.file_stem()?.to_string_lossy();
    let stem_of = |other: &PathBuf| other.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let others = paths_in(path.parent()?, |path| is_handler(path) || name::is_python(path));
    let is_same = |other: &&PathBuf| [&*wanted, &*stem].contains(&&*stem_of(other));
    let is_like = |other: &&PathBuf| is_mistyped(&stem, &stem_of(other));
    others.iter().find(is_same).or_else(|| others.iter().find(is_like)).cloned()
}

/// Whether one name may be a mistyped form of another: one mistake in three characters, where swapped characters are one.
pub(crate) fn is_mistyped(one: &str, other: &str) -> bool {
    strsim::damerau_levenshtein(one, other) <= (one.chars().count() / 3).clamp(1, 3)
}

/// The paths in a directory that look like handlers, in order.
fn handlers_in(directory: &Path) -> Vec<PathBuf> {
    paths_in(directory, |path| is_handler(path) || name::is_python(path) && name::defines_app(path))
}

/// Whether a path is named like a handler, or is a crate.
fn is_handler(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs" || extension == "wasm")
        || path.join("Cargo.toml").is_file()
}

/// The paths in a directory that `is_it` accepts, in order.
fn paths_in(directory: &Path, is_it: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let read = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = fs::read_dir(read).into_iter().flatten().flatten().take(ENTRIES_MAX);
    let names = entries.map(|entry| PathBuf::from(entry.file_name())).filter(|name| is_it(&read.join(name)));
    let mut handlers: Vec<PathBuf> = names.map(|name| directory.join(name)).collect();
    handlers.sort();
    handlers
}

/// Checks that a path leads to what may be a component.
///
/// # Errors
///
/// It does not. The text is to be read after the path.
pub(super) fn check_component(path: &Path) -> anyhow::Result<()> {
    let metadata = metadata(path)?;
    if metadata.is_dir() {
        bail!("is a directory, not a component's file");
    }
    if !metadata.is_file() {
        // It can be read only once. The check follows when it is read.
        return if is_readable(&metadata) { Ok(()) } else { bail!("is a socket or a disk, not a file") };
    }
    let head = head(path).context("cannot be read")?;
    // A core module's imports show what it was built for, and only the whole of a precompiled component shows what it is.
    let is_whole = wasm::is_core_module(&head) || head.starts_with(ELF);
    let whole = is_whole.then(|| fs::read(path)).transpose().context("cannot be read")?;
    let is_wasm = |bytes: &[u8]| bytes.starts_with(b"\0asm") || wasm::is_precompiled(bytes);
    match explain(path, &head) {
        Some(why) if !is_wasm(whole.as_ref().unwrap_or(&head)) => bail!("{why}"),
        _ => wasm::check_format(&whole.unwrap_or(head)),
    }
}

/// Checks that a path leads to what may be a Rust file.
///
/// # Errors
///
/// As for [`check_component()`].
pub(super) fn check_rust(path: &Path) -> anyhow::Result<()> {
    let metadata = metadata(path)?;
    check_text(path)?;
    if metadata.is_dir() {
        bail!("is a directory, not a Rust file; leave out `rust:` if it is a crate, or to serve the files in it");
    }
    if !metadata.is_file() {
        bail!("is not a regular file, which cargo needs to build it");
    }
    match &*head(path).context("cannot be read")? {
        [] => bail!("is empty; `wasmserve new hello` writes a handler to start from"),
        [b'\0', b'a', b's', b'm', ..] => bail!("is wasm, not Rust; leave out `rust:`"),
        _ => Ok(()),
    }
}

/// The crate whose `src` directory a file is in.
pub(super) fn crate_of(file: &Path) -> Option<PathBuf> {
    let sources = file.parent().filter(|sources| sources.file_name().is_some_and(|name| name == "src"))?;
    let directory = sources.parent().filter(|directory| *directory != Path::new("")).unwrap_or(Path::new("."));
    directory.join("Cargo.toml").is_file().then(|| directory.to_owned())
}

/// The beginning of a regular file.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// Checks that a path leads to what may be a crate.
///
/// # Errors
///
/// As for [`check_component()`].
pub(super) fn check_crate(directory: &Path) -> anyhow::Result<()> {
    let metadata = metadata(directory)?;
    check_text(directory)?;
    if !metadata.is_dir() {
        bail!("is a file, not a crate's directory");
    }
    let manifest = directory.join("Cargo.toml");
    if !manifest.exists() {
        return Err(not_a_crate(directory));
    }
    let text = fs::read_to_string(manifest).context("has a Cargo.toml that cannot be read")?;
    let table: Table = toml::from_str(&text).map_err(|error| {
        let before = text.bytes().take(error.span().map_or(0, |span| span.start));
        let line = before.filter(|byte| *byte == b'\n').count() + 1;
        anyhow::anyhow!("has a Cargo.toml that is not valid TOML, in line {line}: {}", error.message())
    })?;
    if !table.contains_key("package") && !table.contains_key("workspace") {
        bail!("has a Cargo.toml without a `[package]`; `wasmserve new --crate hello` creates a crate to start from");
    }
    Ok(())
}

/// The error for a directory that is not a crate.
pub(super) fn not_a_crate(directory: &Path) -> anyhow::Error {
    anyhow::anyhow!("is a directory without a Cargo.toml; {}", instead_of(directory))
}

/// Checks that a path leads to a directory.
///
/// # Errors
///
/// As for [`check_component()`].
pub(super) fn check_directory(path: &Path) -> anyhow::Result<()> {
    if !metadata(path)?.is_dir() {
        bail!("is a file, not a directory; serve the one that it is in: `wasmserve {}`", directory_of(path));
    }
    Ok(())
}

/// What may have been meant instead of the files in a directory: a handler among them, if it is not a web site.
pub(super) fn handlers_instead(directory: &Path) -> Option<String> {
    let is_site = ["index.html", "index.htm"].iter().any(|index| directory.join(index).exists());
    let handlers = handlers_in(directory);
    let handler = handlers.first().filter(|_| !is_site)?.display();
    Some(format!("is served as files, with the handlers in it; to run one, name it, as in `wasmserve {handler}`"))
}

/// What may have been meant instead of the app in a directory: its files.
pub(super) fn files_instead(directory: &Path) -> String {
    format!("is served as a Python app; `wasmserve files:{}` serves the files in it", directory.display())
}

/// The directory that a file is in, as one would name it to serve its files.
fn directory_of(file: &Path) -> String {
    let directory = file.parent().filter(|directory| *directory != Path::new("")).unwrap_or(Path::new("."));
    let prefix = if directory.join("Cargo.toml").exists() { "files:" } else { "" };
    format!("{prefix}{}", directory.display())
}

/// What to name instead of a directory that is not a crate.
fn instead_of(directory: &Path) -> String {
    match &*handlers_in(directory) {
        [] => "name a component, a Rust file, a Python app or a crate, or start with `wasmserve new hello`".to_owned(),
        [one] => format!("did you mean `{}`?", one.display()),
        several => {
            let names: Vec<_> = several.iter().take(3).map(|name| format!("`{}`", name.display())).collect();
            let more = if several.len() > names.len() { " and others" } else { "" };
            format!("name one of the handlers in it: {}{more}", names.join(", "))
        }
    }
}

/// What a file is that is not wasm, and how to get a handler from it.
fn explain(path: &Path, head: &[u8]) -> Option<String> {
    of_bytes(path, head).or_else(|| {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        of_extension(path, &extension)
    })
}

/// Recognizes a file by its first bytes.
fn of_bytes(path: &Path, head: &[u8]) -> Option<String> {
    let formats: [(&[u8], &str); 10] = [
        (ELF, PROGRAM),
        (b"MZ", PROGRAM),
        (b"\xcf\xfa\xed\xfe", PROGRAM),
        (b"!<arch>\n", PROGRAM),
        (b"BC\xc0\xde", PROGRAM),
        (b"\x1f\x8b", "is compressed with gzip; unpack it with `gunzip`"),
        (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it with `unzstd`"),
        (b"\xfd7zXZ\0", "is compressed with xz; unpack it with `unxz`"),
        (b"BZh", "is compressed with bzip2; unpack it with `bunzip2`"),
        (b"PK\x03\x04", "is a zip archive; unpack it, and name the component in it"),
    ];
    if let Some((_, what)) = formats.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some((*what).to_owned());
    }
    if head.starts_with(b"%PDF-") || head.starts_with(b"\x89PNG") {
        return Some(file(path));
    }
    // A script that is named like a component is rather a broken one.
    let script = head.strip_prefix(b"#!").filter(|_| path.extension().is_none_or(|extension| extension != "wasm"))?;
    let line = script.split(|byte| *byte == b'\n').next()?;
    let interpreter =
        ["python", "node", "deno", "bun", "bash", "sh", "ruby", "perl", "php"].into_iter().find(|known| {
            let words = String::from_utf8_lossy(line);
            words
                .split(['/', ' '])
                .any(|word| word.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.') == *known)
        })?;
    of_extension(
        path,
        match interpreter {
            "python" => "py",
            "node" | "deno" | "bun" => "js",
            "bash" | "sh" => "sh",
            "ruby" => "rb",
            "perl" => "pl",
            _ => "php",
        },
    )
}

const ELF: &[u8] = b"\x7fELF";
const PROGRAM: &str = "is native code, not wasm; build it with `cargo build --release --target wasm32-wasip2`";

/// What a file is that browsers show.
fn file(path: &Path) -> String {
    format!(
        "is a file for browsers, not a handler; serve the directory that it is in: `wasmserve {}`",
        directory_of(path)
    )
}

/// Recognizes a file by its extension, in lower case.
fn of_extension(path: &Path, extension: &str) -> Option<String> {
    let (name, stem) = (path.display(), path.file_stem().unwrap_or_default().to_string_lossy());
    let program = |language: &str, tool: &str| {
        Some(format!(
            "is {language}, which wasmserve does not run by itself; build a CGI program from it: `{tool}`, or a component \
             for the contract that `wasmserve wit` prints"
        ))
    };
    let language = |language: &str, tool: &str| {
        Some(format!(
            "is {language}, which wasmserve does not run by itself; build a component from it{tool}, for the contract \
             that `wasmserve wit` prints, or write a handler in Rust: `wasmserve new hello`"
        ))
    };
    match extension {
        "rs" => Some(format!("is Rust, not a component; build one with `wasmserve build {name}`")),
        "py" => Some(format!("is Python, not a component; serve it without a prefix: `wasmserve {name}`")),
        "js" | "mjs" | "cjs" | "jsx" => language("JavaScript", ", for example with jco"),
        "ts" | "mts" | "cts" | "tsx" => language("TypeScript", ", for example with jco"),
        "go" => program("Go", &format!("GOOS=wasip1 GOARCH=wasm go build -o {stem}.wasm {name}")),
        "c" => program("C", &format!("zig cc -target wasm32-wasi -o {stem}.wasm {name}")),
        "cc" | "cpp" | "cxx" => program("C++", &format!("zig c++ -target wasm32-wasi -o {stem}.wasm {name}")),
        "h" | "hpp" => language("a header of C", ""),
        "cs" => language("C#", ", for example with componentize-dotnet"),
        "rb" => language("Ruby", ""),
        "php" => language("PHP", ""),
        "pl" => language("Perl", ""),
        "java" => language("Java", ""),
        "kt" => language("Kotlin", ""),
        "swift" => language("Swift", ""),
        "zig" => program("Zig", &format!("zig build-exe -target wasm32-wasi {name}")),
        "lua" => language("Lua", ""),
        "sh" | "bash" => language("a shell script", ""),
        "wat" | "wast" => Some(format!(
            "is wasm as text; make it binary with `wasm-tools parse {name} -o {stem}.wasm`, and serve that"
        )),
        "wit" => Some("is a contract without code; write a handler for it: `wasmserve new hello`".into()),
        "html" | "htm" | "css" | "svg" | "png" | "jpg" | "jpeg" | "gif" | "ico" | "pdf" | "txt" | "md" | "json"
        | "xml" | "csv" | "yaml" | "yml" | "toml" => Some(file(path)),
        _ => None,
    }
}

/// Whether something that is not a regular file can be read to its end, as a pipe can.
#[cfg(unix)]
fn is_readable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    metadata.file_type().is_fifo() || metadata.file_type().is_char_device()
}

#[cfg(not(unix))]
fn is_readable(_: &Metadata) -> bool {
    true
}
