//! What a handler's file says of its dependencies, and the manifest that comes of it. Pure.
//!
//! There are two ways to say it: cargo's own frontmatter between `---` (RFC 3502), and a block of the language `cargo` in the
//! `//!` comment at the top, which every compiler takes.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use toml::{Table, Value};

/// A file's text, and what it says of its dependencies.
#[derive(Debug)]
pub(super) struct Script {
    /// What of a manifest it has; empty if there is none.
    manifest: Table,
    /// The text without its frontmatter, with each line where it was; `None` if it has none, so that the file can be
    /// compiled as it is.
    pub(super) stripped: Option<String>,
}

impl Script {
    /// Reads it from the file's text.
    ///
    /// # Errors
    ///
    /// The frontmatter or the block has no end, is no TOML, or says of the package what is not its to say.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let (manifest, stripped) = split(text)?;
        let manifest: Table = toml::from_str(&manifest).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = manifest.bytes().take(at).filter(|octet| *octet == b'\n').count() + 1;
            anyhow!("says in line {line} of its dependencies what is no TOML: {}", error.message())
        })?;
        for taken in ["bin", "lib", "workspace"] {
            if manifest.contains_key(taken) {
                bail!("has a `[{taken}]`, which is not for one file to have; make a crate of it");
            }
        }
        Ok(Self { manifest, stripped })
    }

    /// The manifest of a package with one program of this name, whose source is at `source`: what the file says, and what
    /// it leaves open.
    ///
    /// `origin` is the file's own directory, to which its paths are relative, and `sdk` where the SDK's package is.
    ///
    /// # Errors
    ///
    /// It has a `package` or `dependencies` that is no table.
    pub(super) fn manifest(&self, name: &str, source: &Path, origin: &Path, sdk: &Path) -> anyhow::Result<String> {
        let mut manifest = self.manifest.clone();
        anchor(&mut manifest, origin);

        let package = table(&mut manifest, "package")?;
        package.entry("name").or_insert_with(|| name.into());
        package.entry("version").or_insert_with(|| "0.0.0".into());
        package.entry("edition").or_insert_with(|| "2024".into());
        package.insert("autobins".into(), false.into());
        package.insert("build".into(), false.into());

        // The one that fits this server, whatever the file says.
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
        *guest = pinned.into();

        let program = Table::from_iter([("name".to_owned(), Value::from(name)), ("path".to_owned(), path(source))]);
        manifest.insert("bin".into(), vec![Value::Table(program)].into());
        // It is in nobody's workspace, whatever is above its directory.
        manifest.insert("workspace".into(), Table::new().into());
        Ok(toml::to_string(&manifest)?)
    }
}

/// A file's manifest in TOML, with each line where it is in the file, and its text without frontmatter if it has one.
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
        bail!("has a block of cargo's in line {} that does not end; end it with a line `//! ```", begin + 1);
    };
    let block = block[..end].iter().map(|line| line.replacen("//!", "   ", 1) + "\n");
    Ok(("\n".repeat(begin + 1) + &block.collect::<String>(), None))
}

fn split_frontmatter(lines: &[&str], begin: usize) -> anyhow::Result<(String, String)> {
    let dashes = lines[begin].bytes().take_while(|octet| *octet == b'-').count();
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

/// What may come before the frontmatter: an interpreter's line and empty ones.
fn is_before_frontmatter(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with("#!") && !line.starts_with("#![")
}

fn table<'a>(manifest: &'a mut Table, name: &str) -> anyhow::Result<&'a mut Table> {
    let table = manifest.entry(name).or_insert_with(|| Table::new().into()).as_table_mut();
    table.with_context(|| format!("has a `{name}` that is no table"))
}

fn path(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

/// Makes the paths of dependencies, wherever they are in the manifest, those that the file's author means.
fn anchor(table: &mut Table, origin: &Path) {
    for (name, value) in table {
        match value {
            Value::String(text) if name == "path" => *text = origin.join(&*text).to_string_lossy().into_owned(),
            Value::Table(inner) => anchor(inner, origin),
            _ => {}
        }
    }
}

/// A name for the program of a file: what cargo takes, and as much of the file's name as that allows.
pub(super) fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let is_taken = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    let name: String = stem.chars().map(|char| if is_taken(char) { char } else { '-' }).collect();
    // Names of directories that cargo makes, and of crates that every program has.
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
        let script = Script::read(text).expect("it is well-formed");
        let manifest = script.manifest("hello", Path::new("/src/hello.rs"), Path::new("/src"), Path::new("/sdk"));
        toml::from_str(&manifest.expect("it is well-formed")).expect("it is TOML")
    }

    #[test]
    fn a_file_need_not_say_anything() {
        let text = "//! Hello.\n\nfn main() {}\n";
        assert!(Script::read(text).is_ok_and(|script| script.stripped.is_none()));
        let manifest = manifest(text);
        assert_eq!(manifest["package"]["name"].as_str(), Some("hello"));
        assert_eq!(manifest["package"]["edition"].as_str(), Some("2024"));
        assert_eq!(manifest["dependencies"]["wasmserve-guest"]["path"].as_str(), Some("/sdk"));
        assert_eq!(manifest["bin"][0]["path"].as_str(), Some("/src/hello.rs"));
    }

    #[test]
    fn frontmatter_and_a_block_in_the_comment_say_the_same() {
        let said = "[dependencies]\nlocal = { path = \"../local\" }\nwasmserve-guest = { version = \"9\", features = [\"json\"] }\n[package]\nedition = \"2021\"\n";
        let comment: String = said.lines().map(|line| format!("//! {line}\n")).collect();
        let texts = [
            format!("---\n{said}---\nfn main() {{}}\n"),
            format!("#!/usr/bin/env wasmserve\n\n---- cargo\n{said}----\nfn main() {{}}\n"),
            format!(
                "#!/usr/bin/env wasmserve\n//! Hello.\n//!\n//! ```cargo\n{comment}//! ```\n//! More.\nfn main() {{}}\n"
            ),
        ];
        for text in texts {
            let manifest = manifest(&text);
            assert_eq!(manifest["dependencies"]["local"]["path"].as_str(), Some("/src/../local"), "{text}");
            let guest = manifest["dependencies"]["wasmserve-guest"].as_table().expect("it is a table");
            assert_eq!(guest["path"].as_str(), Some("/sdk"));
            assert!(guest.contains_key("features") && !guest.contains_key("version"), "{guest:?}");
            assert_eq!(manifest["package"]["edition"].as_str(), Some("2021"));
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "#!/usr/bin/env wasmserve\n---\n[dependencies]\n---\n\nfn main() {}\n";
        let script = Script::read(text).expect("it is well-formed");
        assert_eq!(script.stripped.as_deref(), Some("#!/usr/bin/env wasmserve\n\n\n\n\nfn main() {}\n"));
        for text in [
            "\n---\n[dependencies]\na = = 1\n---\n",
            "//! Hello.\n//! ```cargo\n//! [dependencies]\n//! a = = 1\n//! ```\n",
        ] {
            let error = Script::read(text).expect_err("no TOML");
            assert!(format!("{error:#}").contains("in line 4"), "{error:#}");
        }
    }

    #[test]
    fn what_has_no_end_or_is_not_the_files_to_say_is_refused() {
        for text in ["---\n[dependencies]\n", "--- rust\n---\n", "//! ```cargo\n//! a\nfn main() {}", "//! ```cargo\n"]
        {
            assert!(Script::read(text).is_err(), "{text}");
        }
        let error = Script::read("---\n[workspace]\n---\n").expect_err("no workspace");
        assert!(error.to_string().contains("`[workspace]`"), "{error}");
    }

    #[test]
    fn a_program_is_named_for_its_file() {
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
