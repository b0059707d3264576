//! Turns the dependencies declared in a Rust file into the manifest of its package, without I/O.
//!
//! A file can declare them in cargo's frontmatter between `---` (RFC 3502), or in a code block of the language `cargo`
//! in the `//!` comment at the top, which every compiler accepts.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use toml::{Table, Value, value::Array};

use super::lexer;

/// How many dashes frontmatter may begin with.
const DASHES_MAX: usize = 255;

/// How long a program's name may be: the system limits the names of files, and cargo makes longer ones of it.
const NAME_MAX: usize = 100;

/// The manifest that a file declares, and its text without it.
#[derive(Debug)]
pub(super) struct Script {
    /// The declared part of a manifest; empty if there is none.
    manifest: Table,
    /// Whether the SDK's feature `json` is on.
    has_json: bool,
    /// The text without its frontmatter, with line numbers unchanged; `None` if there is no frontmatter, so that the
    /// file can be compiled as it is.
    pub(super) stripped: Option<String>,
}

impl Script {
    /// Parses a file's text.
    ///
    /// # Errors
    ///
    /// The frontmatter or the block does not end, is not TOML, or contains a table that a single file cannot have.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let (manifest, stripped) = split(text)?;
        let manifest: Table = toml::from_str(&manifest).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = manifest.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            anyhow!("has invalid TOML in its dependencies, in line {line}: {}", error.message())
        })?;
        for taken in ["bin", "lib", "workspace"] {
            if manifest.contains_key(taken) {
                bail!("has a `[{taken}]` table, which a single file cannot have; turn it into a crate");
            }
        }
        Ok(Self { manifest, has_json: may_use_json(text), stripped })
    }

    /// The declared part of a manifest.
    pub(super) fn declared(&self) -> &Table {
        &self.manifest
    }

    /// Returns the manifest of a package with one program called `name`, whose source is at `source`: the declared
    /// part, completed with defaults.
    ///
    /// `origin` is the file's own directory, to which its paths are relative, and `sdk` is the directory of the SDK's
    /// package.
    ///
    /// # Errors
    ///
    /// `package` or `dependencies` is not a table.
    pub(super) fn manifest(&self, name: &str, source: &Path, origin: &Path, sdk: &Path) -> anyhow::Result<String> {
        let mut manifest = self.manifest.clone();
        anchor(&mut manifest, origin);

        let package = table(&mut manifest, "package")?;
        package.entry("name").or_insert_with(|| name.into());
        package.entry("version").or_insert_with(|| "0.0.0".into());
        package.entry("edition").or_insert_with(|| "2024".into());
        package.insert("autobins".into(), false.into());
        package.insert("build".into(), false.into());

        // Always the SDK that matches this server, whatever version the file asks for.
        let guest =
            table(&mut manifest, "dependencies")?.entry("wasmserve-guest").or_insert_with(|| Table::new().into());
        let mut pinned = match guest.as_table() {
            Some(guest) => guest.clone(),
            None => Table::new(),
        };
        for source in ["version", "git", "branch", "tag", "rev", "registry"] {
            pinned.remove(source);
        }
        pinned.insert("path".into(), path(sdk));
        if self.has_json
            && let Some(features) = pinned.entry("features").or_insert_with(|| Array::new().into()).as_array_mut()
            && !features.iter().any(|feature| feature.as_str() == Some("json"))
        {
            features.push("json".into());
        }
        *guest = pinned.into();

        let program = Table::from_iter([("name".to_owned(), Value::from(name)), ("path".to_owned(), path(source))]);
        manifest.insert("bin".into(), vec![Value::Table(program)].into());
        // Keeps the package out of any workspace above its directory.
        manifest.insert("workspace".into(), Table::new().into());
        Ok(toml::to_string(&manifest)?)
    }
}

/// Whether a file may use the SDK's feature `json`, so that its author need not know of it: it mentions JSON, or it has modules,
/// whose texts are not here. The feature is not always on because the first build takes three times as long with it.
fn may_use_json(text: &str) -> bool {
    let is_module = |line: &str| {
        let line = line.trim();
        line.contains("include!") || line.ends_with(';') && line.split_whitespace().any(|word| word == "mod")
    };
    text.to_ascii_lowercase().contains("json") || text.lines().any(is_module)
}

/// Splits a file into its manifest in TOML, with the file's line numbers, and its text without frontmatter if it has
/// one.
///
/// What may come before either is what rustc allows: a byte order mark, a shebang and white space before frontmatter,
/// and also comments and inner attributes before the documentation of the file.
fn split(text: &str) -> anyhow::Result<(String, Option<String>)> {
    let mut at = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
    at += lexer::shebang(&text[at..]);
    if let Some(begin) = frontmatter(text, at)? {
        let (manifest, stripped) = split_frontmatter(text, begin)?;
        return Ok((manifest, Some(stripped)));
    }
    let mut docs = Vec::new();
    loop {
        let rest = text[at..].trim_start_matches(lexer::is_space);
        at = text.len() - rest.len();
        if let Some(length) = lexer::comment(rest).filter(|_| !lexer::is_outer_doc(rest)) {
            docs.extend(doc_lines(&rest[..length]).zip(line_number(text, at)..).map(|(doc, line)| (line, doc)));
            at += length;
        } else if let Some(length) = lexer::attribute(rest) {
            at += length;
        } else {
            break;
        }
    }
    if frontmatter(text, at)?.is_some() {
        bail!(
            "has frontmatter in line {} behind a comment or an attribute, where Rust does not allow it; move it to the top",
            line_number(text, at)
        );
    }
    Ok((block(&docs)?, None))
}

/// The number of the line at a position, from 1.
fn line_number(text: &str, at: usize) -> usize {
    text[..at].bytes().filter(|byte| *byte == b'\n').count() + 1
}

/// The position of the frontmatter behind white space, if there is any.
fn frontmatter(text: &str, at: usize) -> anyhow::Result<Option<usize>> {
    let begin = text.len() - text[at..].trim_start_matches(lexer::is_space).len();
    if !text[begin..].starts_with("---") {
        return Ok(None);
    }
    if begin > at && !text[..begin].ends_with('\n') {
        bail!("has frontmatter in line {} that is indented; remove the space before `---`", line_number(text, begin));
    }
    Ok(Some(begin))
}

/// Splits a file whose frontmatter is at `begin`.
fn split_frontmatter(text: &str, begin: usize) -> anyhow::Result<(String, String)> {
    let mut lines = text[begin..].split_inclusive('\n');
    let opening = lines.next().unwrap_or_default();
    let line = line_number(text, begin);
    let dashes = opening.bytes().take_while(|byte| *byte == b'-').count();
    let (fence, language) = opening.split_at(dashes);
    let language = language.trim_matches(lexer::is_space);
    if dashes > DASHES_MAX {
        bail!("has frontmatter in line {line} that begins with {dashes} dashes; Rust allows {DASHES_MAX}");
    }
    if !["", "cargo"].contains(&language) {
        bail!("has frontmatter of `{language}` in line {line}; write `--- cargo`, or only `---`");
    }
    let (mut number, mut end) = (line, begin + opening.len());
    for closing in lines {
        number += 1;
        if let Some(behind) = closing.strip_prefix(fence) {
            if !behind.trim_matches(lexer::is_space).is_empty() {
                let closing = closing.trim_end();
                bail!("has frontmatter that ends with `{closing}` in line {number}; end it with a line `{fence}`");
            }
            let manifest = "\n".repeat(line) + &text[begin + opening.len()..end];
            // The end of the closing line is kept.
            let blank = "\n".repeat(number - line);
            let rest = &text[end + fence.len()..];
            return Ok((manifest, format!("{}{blank}{rest}", &text[..begin])));
        }
        if closing.trim_matches(lexer::is_space) == fence {
            bail!("has frontmatter that ends in line {number} with an indented `{fence}`; remove the space before it");
        }
        end += closing.len();
    }
    bail!("has frontmatter in line {line} that does not end; end it with a line `{fence}`")
}

/// The lines of the documentation in a comment, with spaces in place of the comment's signs; no documentation has
/// `None` for each of its lines.
fn doc_lines(comment: &str) -> impl Iterator<Item = Option<String>> {
    let is_block = comment.starts_with("/*!");
    let is_doc = is_block || comment.starts_with("//!");
    let text = comment.strip_suffix("*/").filter(|_| is_block).unwrap_or(comment);
    // Stars at the left are decoration if each line has one.
    let has_stars =
        is_block && text.lines().skip(1).all(|line| line.trim().is_empty() || line.trim_start().starts_with('*'));
    let clean = move |(number, line): (usize, &str)| {
        is_doc.then(|| match number {
            0 => format!("   {}", &line[3..]),
            _ if has_stars => line.replacen('*', " ", 1),
            _ => line.to_owned(),
        })
    };
    text.lines().enumerate().map(clean).collect::<Vec<_>>().into_iter()
}

/// The content of the `cargo` block in documentation, of which each line has its number; empty if there is no block.
fn block(docs: &[(usize, Option<String>)]) -> anyhow::Result<String> {
    let mut fence: Option<(usize, char, usize, bool)> = None;
    let mut content = String::new();
    for (number, doc) in docs.iter().filter_map(|(number, doc)| Some((*number, doc.as_ref()?))) {
        let line = doc.trim();
        let sign = line.chars().next().filter(|sign| ['`', '~'].contains(sign));
        let length = line.chars().take_while(|char| Some(*char) == sign).count();
        let (sign, info) = (sign.unwrap_or_default(), line[length..].trim());
        match fence {
            None if length >= 3 => {
                let is_wanted = info.split([',', ' ', '\t']).next() == Some("cargo");
                fence = Some((number, sign, length, is_wanted));
            }
            Some((_, opening, least, is_wanted)) if sign == opening && length >= least && info.is_empty() => {
                if is_wanted {
                    return Ok(content);
                }
                fence = None;
            }
            Some((.., true)) => {
                let lines = content.matches('\n').count() + 1;
                content += &"\n".repeat(number.saturating_sub(lines));
                content += doc;
                content += "\n";
            }
            _ => {}
        }
    }
    if let Some((number, sign, length, true)) = fence {
        let fence = String::from(sign).repeat(length);
        bail!("has a `cargo` block in line {number} that does not end; end it with a line `//! {fence}`");
    }
    Ok(String::new())
}

fn table<'a>(manifest: &'a mut Table, name: &str) -> anyhow::Result<&'a mut Table> {
    let table = manifest.entry(name).or_insert_with(|| Table::new().into()).as_table_mut();
    table.with_context(|| format!("has a `{name}` that is not a table"))
}

fn path(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

/// Makes all paths of dependencies absolute. In the file they are relative to `origin`.
fn anchor(table: &mut Table, origin: &Path) {
    for (name, value) in table {
        match value {
            Value::String(text) if name == "path" => *text = origin.join(&*text).to_string_lossy().into_owned(),
            Value::Table(inner) => anchor(inner, origin),
            _ => {}
        }
    }
}

/// A name for a file's program: the file's name, changed as far as cargo requires.
pub(super) fn name(file: &Path) -> String {
    // Without `.rs`, a dot is a part of the name.
    let is_rust = file.extension().is_some_and(|extension| extension == "rs");
    let stem = if is_rust { file.file_stem() } else { file.file_name() }.unwrap_or_default().to_string_lossy();
    let is_taken = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    let name: String = stem.chars().take(NAME_MAX).map(|char| if is_taken(char) { char } else { '-' }).collect();
    // Names of directories that cargo creates, and of crates that every program has.
    let reserved = ["alloc", "build", "core", "deps", "examples", "incremental", "proc_macro", "std", "test"];
    let is_fit = name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    if is_fit && !reserved.contains(&&*name) && !name.starts_with("wasmserve") {
        return name;
    }
    format!("handler-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Table {
        let script = Script::read(text).expect("the script is well-formed");
        let manifest = script.manifest("hello", Path::new("/src/hello.rs"), Path::new("/src"), Path::new("/sdk"));
        toml::from_str(&manifest.expect("the manifest is well-formed")).expect("the manifest is TOML")
    }

    #[test]
    fn a_file_need_not_declare_anything() {
        let text = "//! Hello.\n\nfn main() {}\n";
        assert!(Script::read(text).is_ok_and(|script| script.stripped.is_none()));
        let manifest = manifest(text);
        assert_eq!(manifest["package"]["name"].as_str(), Some("hello"));
        assert_eq!(manifest["package"]["edition"].as_str(), Some("2024"));
        assert_eq!(manifest["dependencies"]["wasmserve-guest"]["path"].as_str(), Some("/sdk"));
        assert_eq!(manifest["bin"][0]["path"].as_str(), Some("/src/hello.rs"));
    }

    #[test]
    fn json_works_without_a_feature() {
        let features = |text: &str| {
            let guest = manifest(text)["dependencies"]["wasmserve-guest"].clone();
            let features = guest.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
            features.iter().map(|feature| feature.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        for text in [
            "fn app(_: Environ) -> Json<u8> { Json(1) }",
            "let body: Order = environ.json()?;",
            "Response::new(200, [], json!({}).to_string())",
            "    pub(crate) mod orders;\n",
            "//! ```cargo\n//! [dependencies]\n//! wasmserve-guest = \"0.1\"\n//! ```\nuse serde_json::Value;",
            "//! ```cargo\n//! [dependencies]\n//! wasmserve-guest.features = [\"json\"]\n//! ```\n",
        ] {
            assert_eq!(features(text), ["json"], "{text}");
        }
        assert!(features("fn main() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n").is_empty());
    }

    #[test]
    fn frontmatter_and_a_comment_block_give_the_same_manifest() {
        let declared = "[dependencies]\nlocal = { path = \"../local\" }\nwasmserve-guest = { version = \"9\", features = [\"json\"] }\n[package]\nedition = \"2021\"\n";
        let comment: String = declared.lines().map(|line| format!("//! {line}\n")).collect();
        let texts = [
            format!("---\n{declared}---\nfn main() {{}}\n"),
            format!("#!/usr/bin/env wasmserve\n\n---- cargo\n{declared}----\nfn main() {{}}\n"),
            format!(
                "#!/usr/bin/env wasmserve\n//! Hello.\n//!\n//! ```cargo\n{comment}//! ```\n//! More.\nfn main() {{}}\n"
            ),
        ];
        for text in texts {
            let manifest = manifest(&text);
            assert_eq!(manifest["dependencies"]["local"]["path"].as_str(), Some("/src/../local"), "{text}");
            let guest = manifest["dependencies"]["wasmserve-guest"].as_table().expect("the dependency is a table");
            assert_eq!(guest["path"].as_str(), Some("/sdk"));
            assert!(guest.contains_key("features") && !guest.contains_key("version"), "{guest:?}");
            assert_eq!(manifest["package"]["edition"].as_str(), Some("2021"));
        }
    }

    #[test]
    fn line_numbers_are_preserved() {
        let text = "#!/usr/bin/env wasmserve\n---\n[dependencies]\n---\n\nfn main() {}\n";
        let script = Script::read(text).expect("the script is well-formed");
        assert_eq!(script.stripped.as_deref(), Some("#!/usr/bin/env wasmserve\n\n\n\n\nfn main() {}\n"));
        let script = Script::read(&text.replace('\n', "\r\n")).expect("the script is well-formed");
        assert_eq!(script.stripped.as_deref(), Some("#!/usr/bin/env wasmserve\r\n\n\n\r\n\r\nfn main() {}\r\n"));
        for text in [
            "\n---\n[dependencies]\na = = 1\n---\n",
            "//! Hello.\n//! ```cargo\n//! [dependencies]\n//! a = = 1\n//! ```\n",
        ] {
            let error = Script::read(text).expect_err("not TOML");
            assert!(format!("{error:#}").contains("in line 4"), "{error:#}");
        }
    }

    #[test]
    fn what_rustc_allows_before_dependencies_does_not_hide_them() {
        let declared = "[dependencies]\nlocal.path = \"local\"\n";
        let block: String = declared.lines().map(|line| format!("//! {line}\n")).collect();
        let block = format!("//! ```cargo\n{block}//! ```\n");
        for text in [
            format!("\u{feff}---\n{declared}---\nfn main() {{}}\n"),
            format!("\u{feff}#!/usr/bin/env wasmserve\n \t\n---\t\n{declared}---\t \nfn main() {{}}\n"),
            format!("-----  cargo \n{declared}\n# ----\n-----\n"),
            format!("#![allow(unused)]\n{block}"),
            format!("#!\n// A comment.\n[allow(unused)]\n{block}"),
            format!("\u{feff}// Licence.\n/* of /* many */\n  lines --- */ \n\n{block}fn main() {{}}\n"),
            format!("#!/bin/x\n/*** Licence. ***/ //// as above\n#![doc = \"] \\\" [\"]\n{block}"),
            block.replace("```cargo", "~~~~ cargo,ignore\t").replace("```", "~~~~~"),
            format!("//! ````text\n//! ```cargo\n//! ````\n{block}"),
            block.replace("//! local", "\n// Between.\n//! local"),
            format!("/*! Hello.\n```cargo\n{declared}```\n*/\n"),
            format!("/*!\n * ```cargo\n * {}\n * ```\n */\n", declared.trim().replace('\n', "\n * ")),
        ] {
            for text in [text.replace('\n', "\r\n"), text] {
                let manifest = manifest(&text);
                let path = manifest["dependencies"].get("local").and_then(|local| local["path"].as_str());
                assert_eq!(path, Some("/src/local"), "{text}");
            }
        }
        for text in ["/// ```cargo\n/// a = = 1\n", "fn f() {}\n//! ```cargo\n", "#!x ---\n"] {
            assert!(Script::read(text).is_ok_and(|script| script.manifest.is_empty() && script.stripped.is_none()));
        }
    }

    #[test]
    fn what_rustc_refuses_about_frontmatter_is_refused_with_its_line() {
        for (text, reason) in [
            ("// Licence.\n---\n---\n", "in line 2 behind a comment"),
            ("#![x]\n\n---\n---\n", "in line 3 behind a comment or an attribute"),
            ("\n ---\n---\n", "in line 2 that is indented"),
            ("---\na = 1\n ---\n", "in line 3 with an indented `---`"),
            ("---\na = 1\n----\n", "`----` in line 3; end it with a line `---`"),
            ("----\na = 1\n---\n", "in line 1 that does not end; end it with a line `----`"),
            ("---\n--- // end\n", "with `--- // end` in line 2"),
            ("#!x\r\n--- toml\r\n---\r\n", "of `toml` in line 2"),
        ] {
            let error = Script::read(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn unterminated_blocks_and_tables_a_file_cannot_have_are_rejected() {
        for text in ["---\n[dependencies]\n", "--- rust\n---\n", "//! ```cargo\n//! a\nfn main() {}", "//! ```cargo\n"]
        {
            assert!(Script::read(text).is_err(), "{text}");
        }
        let error = Script::read("---\n[workspace]\n---\n").expect_err("a file cannot have a workspace");
        assert!(error.to_string().contains("`[workspace]`"), "{error}");
    }

    #[test]
    fn a_program_is_named_after_its_file() {
        for (file, wanted) in [
            ("/a/hello.rs", "hello"),
            ("my handler.v2.rs", "my-handler-v2"),
            ("404.rs", "handler-404"),
            ("test.rs", "handler-test"),
            ("wasmserve.rs", "handler-wasmserve"),
            ("é.rs", "handler--"),
            ("v1.2 api", "v1-2-api"),
            (&"a".repeat(200), &"a".repeat(100)),
        ] {
            assert_eq!(name(Path::new(file)), wanted);
        }
    }
}
