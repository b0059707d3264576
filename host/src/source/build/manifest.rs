//! Turns the dependencies declared in a Rust file into the manifest of its package, without I/O.
//!
//! A file can declare them in cargo's frontmatter between `---` (RFC 3502), or in a code block of the language `cargo`
//! in the `//!` comment at the top, which every compiler accepts.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use toml::{Table, Value, value::Array};

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

/// Whether a file may use the SDK's feature `json`, so that nobody has to know of it: it mentions JSON, or it has modules,
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
fn split(text: &str) -> anyhow::Result<(String, Option<String>)> {
    let lines: Vec<&str> = text.lines().collect();
    if let Some(begin) = lines.iter().position(|line| !is_before_frontmatter(line))
        && lines[begin].starts_with("---")
    {
        let (manifest, stripped) = split_frontmatter(&lines, begin)?;
        return Ok((manifest, Some(stripped)));
    }
    let is_comment = |line: &&str| line.is_empty() || line.starts_with("//") || line.starts_with("#!");
    let top = &lines[..lines.iter().position(|line| !is_comment(&line.trim_start())).unwrap_or(lines.len())];
    let comment = |line: &str| line.trim_start().strip_prefix("//!").map(|rest| rest.trim().to_owned());
    let Some(begin) = top.iter().position(|line| comment(line).as_deref() == Some("```cargo")) else {
        return Ok((String::new(), None));
    };
    let block = &top[begin + 1..];
    let end = block.iter().position(|line| comment(line).is_none_or(|rest| rest == "```"));
    let Some(end) = end.filter(|end| comment(block[*end]).is_some()) else {
        bail!("has a `cargo` block in line {} that does not end; end it with a line `//! ```", begin + 1);
    };
    let block = block[..end].iter().map(|line| line.replacen("//!", "   ", 1) + "\n");
    Ok(("\n".repeat(begin + 1) + &block.collect::<String>(), None))
}

fn split_frontmatter(lines: &[&str], begin: usize) -> anyhow::Result<(String, String)> {
    let dashes = lines[begin].bytes().take_while(|byte| *byte == b'-').count();
    let (fence, language) = lines[begin].split_at(dashes);
    if !["", "cargo"].contains(&language.trim()) {
        bail!("has frontmatter of `{}` in line {}; write `--- cargo`, or only `---`", language.trim(), begin + 1);
    }
    let Some(length) = lines[begin + 1..].iter().position(|line| line.trim_end() == fence) else {
        bail!("has frontmatter in line {} that does not end; end it with a line `{fence}`", begin + 1);
    };
    let end = begin + 1 + length;
    let keep = |wanted: fn(usize, usize, usize) -> bool| -> String {
        let line = |(at, line): (usize, &&str)| if wanted(at, begin, end) { format!("{line}\n") } else { "\n".into() };
        lines.iter().enumerate().map(line).collect()
    };
    Ok((keep(|at, begin, end| at > begin && at < end), keep(|at, begin, end| at < begin || at > end)))
}

/// Whether a line may come before the frontmatter: a shebang or an empty line.
fn is_before_frontmatter(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with("#!") && !line.starts_with("#![")
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
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let is_taken = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    let name: String = stem.chars().map(|char| if is_taken(char) { char } else { '-' }).collect();
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
        for text in [
            "\n---\n[dependencies]\na = = 1\n---\n",
            "//! Hello.\n//! ```cargo\n//! [dependencies]\n//! a = = 1\n//! ```\n",
        ] {
            let error = Script::read(text).expect_err("not TOML");
            assert!(format!("{error:#}").contains("in line 4"), "{error:#}");
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
        ] {
            assert_eq!(name(Path::new(file)), wanted);
        }
    }
}
