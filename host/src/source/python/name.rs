//! How users name WSGI apps, and which files and directories are Python.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// How much of a file is looked at to find out whether it defines an app, in bytes.
const LOOKED_AT: u64 = 256 << 10;

/// The files of a directory that may have its app, in the order in which they are looked at: as in Flask, and what
/// hosts of WSGI apps expect.
pub(super) const FILES: [&str; 4] = ["wsgi.py", "app.py", "main.py", "application.py"];

/// Splits `PLACE:NAME` into a place and the name of an app there. `None` if there is no name.
///
/// The colon is the first one behind all separators of paths, so that drives keep theirs.
#[must_use]
pub(crate) fn split(typed: &Path) -> Option<(PathBuf, String)> {
    let text = typed.to_str()?;
    let place = text.split('(').next().unwrap_or(text);
    let last = place.rfind(['/', '\\']).map_or(0, |separator| separator + 1);
    let at = last + place[last..].find(':')?;
    let (place, name) = (&text[..at], &text[at + 1..]);
    (!place.is_empty() && !name.is_empty()).then(|| (place.into(), name.to_owned()))
}

/// Whether a path that leads nowhere names a WSGI app: by the name of a Python file, or by that of a module and of an app
/// in it.
#[must_use]
pub(crate) fn is_app_elsewhere(typed: &Path) -> bool {
    let Some((place, name)) = split(typed) else {
        let is_module =
            |text: &str| text.contains('.') && is_dotted(text) && module_file(Path::new(""), text).is_some();
        return is_python(typed) || typed.to_str().is_some_and(is_module);
    };
    let is_module = place.to_str().is_some_and(is_dotted);
    // What cannot be the name of an app is refused when the app is looked for.
    let is_name = is_attribute(&name) || name.contains('(');
    // A file behind a colon is more likely a handler with a mistyped prefix.
    let is_file = Path::new(&name).exists();
    !is_file && (is_python(&place) || is_module && is_name || place.exists() && is_app(&place))
}

/// Whether a path that exists is a WSGI app: a Python file, a package, a Django project, or a directory with a file that
/// defines an app and is not a web site.
#[must_use]
pub(crate) fn is_app(path: &Path) -> bool {
    if path.is_dir() {
        let has = |name: &str| path.join(name).is_file();
        let is_site = has("index.html") || has("index.htm");
        !is_site && (has("__init__.py") || is_django(path) || file_in(path).is_some())
    } else {
        is_python(path) && path.exists()
    }
}

/// Whether a name is that of a Python file.
pub(crate) fn is_python(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "py")
}

/// Whether a file without a telling name begins as a Python script does: with a shebang for Python, with metadata
/// (PEP 723), or with Python behind a shebang for this program.
#[must_use]
pub(crate) fn is_script(begin: &[u8]) -> bool {
    let text = String::from_utf8_lossy(begin);
    let text = text.trim_start_matches('\u{feff}');
    let Some(shebang) = text.lines().next().and_then(|line| line.strip_prefix("#!")) else {
        return text.lines().any(|line| line.trim_end() == "# /// script");
    };
    let words = shebang.split_whitespace().filter_map(|word| Path::new(word).file_name()?.to_str());
    let names: Vec<&str> = words.collect();
    let is_version = |char: char| char.is_ascii_digit() || char == '.';
    let runs =
        |names: &[&str], known: &[&str]| names.iter().any(|name| known.contains(&name.trim_end_matches(is_version)));
    let begins = |line: &str| ["import ", "from ", "def ", "# /// script"].iter().any(|word| line.starts_with(word));
    runs(&names, &["python", "pypy", "uv", "uvx", "pipx"]) || runs(&names, &["wasmserve"]) && text.lines().any(begins)
}

/// Whether a directory has a Django project's `manage.py`.
pub(super) fn is_django(directory: &Path) -> bool {
    read(&directory.join("manage.py")).is_some_and(|text| text.contains("DJANGO_SETTINGS_MODULE"))
}

/// The file in a directory that defines its app.
#[must_use]
pub(crate) fn file_in(directory: &Path) -> Option<PathBuf> {
    FILES.iter().map(|name| directory.join(name)).find(|file| defines_app(file))
}

/// Whether a Python file seems to define or to import a WSGI app, or a function that makes one, under one of the usual
/// names.
pub(crate) fn defines_app(file: &Path) -> bool {
    let names = ["application", "app", "create_app", "make_app"];
    let is_assigned = |line: &str| {
        let rest = names[..2].iter().find_map(|name| line.strip_prefix(name)).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(':') || rest.starts_with('=') && !rest.starts_with("=="))
    };
    let is_defined = |line: &str| {
        let name = line.strip_prefix("def ").and_then(|line| line.split('(').next());
        name.is_some_and(|name| names.contains(&name.trim()))
    };
    let is_imported = |line: &str| {
        let imported = line.strip_prefix("from ").and_then(|line| line.split_once(" import "));
        let mut bound = imported.into_iter().flat_map(|(_, what)| what.split(','));
        bound.any(|what| what.split_whitespace().last().is_some_and(|name| names.contains(&name)))
    };
    let is_it = |line: &str| is_assigned(line) || is_defined(line) || is_imported(line);
    read(file).is_some_and(|text| text.lines().any(is_it))
}

/// The file of a module, by its dotted name: a module, or a package.
pub(super) fn module_file(directory: &Path, module: &str) -> Option<PathBuf> {
    let path = directory.join(module.replace('.', "/"));
    let package = path.join("__init__.py");
    // As Python does: a package comes first.
    [package, path.with_extension("py")].into_iter().find(|file| file.is_file())
}

/// Whether a text is a module's dotted name.
pub(super) fn is_dotted(text: &str) -> bool {
    text.split('.').all(is_identifier)
}

/// Whether a text names an app in a module: a dotted name, or a call of a function that takes no arguments.
pub(super) fn is_attribute(text: &str) -> bool {
    is_dotted(text.strip_suffix("()").unwrap_or(text))
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|char: char| char.is_alphabetic() || char == '_')
        && text.chars().all(|char| char.is_alphanumeric() || char == '_')
}

/// The beginning of a text file; `None` for anything else, such as a pipe, which might block.
pub(super) fn read(file: &Path) -> Option<String> {
    let bytes = file.is_file().then(|| begin(file))?.ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The beginning of a file.
pub(super) fn begin(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(LOOKED_AT).read_to_end(&mut bytes)?;
    Ok(bytes)
}
