//! Finds out how an app declares its dependencies.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use super::{environment, module::Located, name};

/// How many files a `requirements.txt` may be made of.
const INCLUDED_MAX: usize = 100;

/// How an app declares its dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// In metadata in the app's file (PEP 723).
    Script {
        /// The file.
        file: PathBuf,
        /// The requirements, one a line.
        requirements: String,
        /// All of the metadata.
        metadata: String,
    },
    /// In a `requirements.txt`, which may include other files.
    Requirements(PathBuf),
    /// In a `pyproject.toml`.
    Project {
        /// The file.
        file: PathBuf,
        /// The requirements, one a line; `None` if only the project's build system knows them.
        requirements: Option<String>,
        /// What has to be the same for the dependencies to be the same.
        identity: String,
    },
    /// As the virtual environment in this directory.
    Environment(PathBuf),
    /// Not at all.
    Nothing,
}

/// The directories in which an app's dependencies may be declared: those from the app's file up to the working directory,
/// if the app is below it, and otherwise up to its own directory. No further, because others may write there. The
/// directory `src` of a project has the project's files above it.
pub(super) fn directories(located: &Located) -> Vec<PathBuf> {
    let working = env::current_dir().ok().filter(|working| located.innermost.starts_with(working));
    let end = match &working {
        Some(working) => working,
        None if located.directory.ends_with("src") => located.directory.parent().unwrap_or(&located.directory),
        None => &located.directory,
    };
    located.innermost.ancestors().take_while(|directory| directory.starts_with(end)).map(Path::to_owned).collect()
}

/// Finds the declaration that applies: metadata in the app's file, `requirements.txt`, `pyproject.toml`, the active
/// virtual environment, or one beside the app; in this order, each in the nearest directory.
///
/// # Errors
///
/// A declaration cannot be parsed. The text names it, and is to be read after the app's name.
pub(super) fn find(located: &Located) -> anyhow::Result<Declared> {
    if let Some(file) = located.file()
        && let Some(metadata) = name::read(file).and_then(|text| metadata(&text))
    {
        let table: Table = toml::from_str(&metadata)
            .map_err(|error| anyhow!("has metadata (`# /// script`) that is not valid TOML: {}", error.message()))?;
        if let Some(requirements) = table.get("dependencies") {
            let requirements =
                lines(requirements).context("has metadata in which `dependencies` is not a list of texts")?;
            return Ok(Declared::Script { file: file.to_owned(), requirements, metadata });
        }
    }
    let directories = directories(located);
    for directory in &directories {
        let requirements = directory.join("requirements.txt");
        if requirements.is_file() {
            return Ok(Declared::Requirements(requirements));
        }
        let project = directory.join("pyproject.toml");
        if let Some(declared) = project.is_file().then(|| self::project(&project)).transpose()?.flatten() {
            return Ok(declared);
        }
    }
    Ok(environment::find(&directories).map_or(Declared::Nothing, Declared::Environment))
}

/// The dependencies in a `pyproject.toml`; `None` if it declares none, as one does that only configures tools.
fn project(file: &Path) -> anyhow::Result<Option<Declared>> {
    let shown = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot be served: `{shown}` cannot be read"))?;
    let mut table: Table = toml::from_str(&text)
        .map_err(|error| anyhow!("cannot be served: `{shown}` is not valid TOML: {}", error.message()))?;
    let project = table.get("project").and_then(Value::as_table);
    let listed = project.and_then(|project| project.get("dependencies"));
    let dynamic = project.and_then(|project| project.get("dynamic")?.as_array());
    let is_dynamic = dynamic.is_some_and(|names| names.iter().any(|name| name.as_str() == Some("dependencies")));
    let poetry = table.get("tool").and_then(|tool| tool.get("poetry")?.get("dependencies")?.as_table());
    // Poetry lists Python itself.
    let is_poetry = listed.is_none() && poetry.is_some_and(|listed| listed.keys().any(|name| name != "python"));
    if is_dynamic || is_poetry {
        let identity = format!("{shown}\n{text}");
        return Ok(Some(Declared::Project { file: file.to_owned(), requirements: None, identity }));
    }
    let Some(listed) = listed else { return Ok(None) };
    let requirements = lines(listed)
        .with_context(|| format!("cannot be served: `project.dependencies` in `{shown}` is not a list of texts"))?;
    if requirements.is_empty() {
        return Ok(None);
    }
    let tools = table.remove("tool").and_then(|mut tool| tool.as_table_mut()?.remove("uv"));
    let identity = format!("{requirements}{}", tools.map(|uv| uv.to_string()).unwrap_or_default());
    Ok(Some(Declared::Project { file: file.to_owned(), requirements: Some(requirements), identity }))
}

/// The texts in a list, one a line.
fn lines(list: &Value) -> Option<String> {
    list.as_array()?.iter().map(|text| Some(format!("{}\n", text.as_str()?))).collect()
}

/// The metadata in a script: the comment between `# /// script` and `# ///` (PEP 723).
fn metadata(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim_end).skip_while(|line| *line != "# /// script").skip(1).peekable();
    let mut metadata = String::new();
    let mut end = None;
    while let Some(line) = lines.next_if(|line| line.starts_with('#')) {
        // The last line that ends it, as long as the comment goes on.
        if line == "# ///" {
            end = Some(metadata.len());
        }
        let line = line.strip_prefix("# ").or_else(|| line.strip_prefix('#'))?;
        metadata += line;
        metadata.push('\n');
    }
    metadata.truncate(end?);
    Some(metadata)
}

/// The files that a `requirements.txt` is made of: itself, and what it includes with `-r` and `-c`.
pub(super) fn parts(file: &Path) -> BTreeSet<PathBuf> {
    let (mut parts, mut ahead) = (BTreeSet::new(), vec![file.to_owned()]);
    while let Some(file) = ahead.pop() {
        // They may include each other.
        let file = fs::canonicalize(&file).unwrap_or(file);
        if parts.len() == INCLUDED_MAX || !parts.insert(file.clone()) {
            continue;
        }
        let directory = file.parent().unwrap_or(&file).to_owned();
        let text = name::read(&file).unwrap_or_default();
        let included = text.lines().filter_map(|line| {
            let flags = ["--requirement", "--constraint", "-r", "-c"];
            let rest = flags.iter().find_map(|flag| line.trim_start().strip_prefix(flag))?;
            let path = rest.trim_start_matches(['=', ' ', '\t']).split(" #").next()?.trim();
            (!path.is_empty() && !path.contains("://")).then(|| directory.join(path))
        });
        ahead.extend(included);
    }
    parts
}

impl Declared {
    /// The files whose changes may change the dependencies. They need not exist.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Script { .. } | Self::Nothing => Vec::new(),
            Self::Requirements(file) => parts(file).into_iter().collect(),
            Self::Project { file, .. } => vec![lock_of(file)],
            Self::Environment(directory) => vec![directory.join(environment::MARK)],
        }
    }

    /// The file with the declaration, for messages.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Script { file, .. } | Self::Project { file, .. } | Self::Requirements(file) => Some(file),
            Self::Environment(_) | Self::Nothing => None,
        }
    }

    /// A digest of all that the dependencies depend on, as far as it is declared.
    pub(super) fn digest(&self) -> Sha256 {
        let mut digest = Sha256::new();
        match self {
            Self::Script { metadata, .. } => digest.update(metadata),
            Self::Requirements(file) => {
                for part in parts(file) {
                    let text = fs::read(&part).unwrap_or_default();
                    if is_local(&String::from_utf8_lossy(&text)) {
                        digest.update(part.as_os_str().as_encoded_bytes());
                    }
                    digest.update([0]);
                    digest.update(text);
                }
            }
            Self::Project { file, identity, .. } => {
                if is_local(identity) {
                    digest.update(file.as_os_str().as_encoded_bytes());
                }
                digest.update(identity);
                digest.update([0]);
                digest.update(fs::read(lock_of(file)).unwrap_or_default());
            }
            Self::Environment(_) | Self::Nothing => {}
        }
        digest
    }
}

/// The lock file of uv for a project.
pub(super) fn lock_of(project: &Path) -> PathBuf {
    project.with_file_name("uv.lock")
}

/// Whether requirements name files, so that they mean something else in another directory.
fn is_local(requirements: &str) -> bool {
    ["./", "../", "file:", "-e ", "--editable", "path", "\n."].iter().any(|sign| requirements.contains(sign))
        || requirements.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_the_comment_between_its_marks() {
        let script =
            "#!/usr/bin/env python3\n# /// script\n# dependencies = [\n#   \"flask\",\n# ]\n#\n# ///\nimport flask\n";
        assert_eq!(metadata(script).as_deref(), Some("dependencies = [\n  \"flask\",\n]\n\n"));
        for none in
            ["import flask\n", "# /// script\n# a = 1\nimport x\n# ///\n", "# /// other\n# ///\n", "# /// script\n"]
        {
            assert_eq!(metadata(none), None, "{none}");
        }
        assert_eq!(metadata("# /// script\r\n# a = 1\r\n# ///\r\n").as_deref(), Some("a = 1\n"));
    }

    #[test]
    fn requirements_consist_of_all_files_that_they_include() {
        let base = env::temp_dir().join(format!("wasmserve-requirements-{}", std::process::id()));
        fs::create_dir_all(base.join("more")).expect("a temporary directory is writable");
        for (file, text) in [
            ("requirements.txt", "flask\n-r more/base.txt\n-c https://example.com/c.txt\n"),
            ("more/base.txt", "--constraint=limits.txt # why\n-r ../requirements.txt\n-rother.txt\n"),
        ] {
            fs::write(base.join(file), text).expect("a temporary directory is writable");
        }
        let names: Vec<String> = parts(&base.join("requirements.txt"))
            .iter()
            .filter_map(|part| Some(part.file_name()?.to_str()?.to_owned()))
            .collect();
        for name in ["requirements.txt", "base.txt", "limits.txt", "other.txt"] {
            assert!(names.iter().any(|other| other == name), "{name} is not in {names:?}");
        }
        let one = Declared::Requirements(base.join("requirements.txt")).digest().finalize();
        fs::write(base.join("more/limits.txt"), "click<8\n").expect("a temporary directory is writable");
        assert_ne!(one, Declared::Requirements(base.join("requirements.txt")).digest().finalize());
        _ = fs::remove_dir_all(base);
    }

    #[test]
    fn a_project_declares_dependencies_or_only_configures_tools() {
        let base = env::temp_dir().join(format!("wasmserve-project-{}", std::process::id()));
        fs::create_dir_all(&base).expect("a temporary directory is writable");
        let declared = |text: &str| {
            let file = base.join("pyproject.toml");
            fs::write(&file, text).expect("a temporary directory is writable");
            match project(&file) {
                Ok(Some(Declared::Project { requirements, .. })) => Ok(Some(requirements)),
                Ok(_) => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        };
        let flask = Ok(Some(Some("flask>=3\n".to_owned())));
        assert_eq!(declared("[project]\nname = \"a\"\ndependencies = [\"flask>=3\"]\n"), flask);
        for none in ["", "[tool.ruff]\n", "[project]\nname = \"a\"\n", "[project]\ndependencies = []\n"] {
            assert_eq!(declared(none), Ok(None), "{none}");
        }
        for dynamic in [
            "[project]\ndynamic = [\"dependencies\"]\n",
            "[tool.poetry.dependencies]\npython = \"^3.11\"\nflask = \"^3\"\n",
        ] {
            assert_eq!(declared(dynamic), Ok(Some(None)), "{dynamic}");
        }
        for wrong in ["[project", "[project]\ndependencies = 1\n"] {
            assert!(declared(wrong).is_err_and(|error| error.contains("pyproject.toml")), "{wrong}");
        }
        _ = fs::remove_dir_all(base);
    }
}
