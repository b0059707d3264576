//! Reads virtual environments: which directories their Python would import packages from.
//!
//! Their Python is not run: an environment beside an app may come from the app's author, and nothing of an app runs
//! outside of the sandbox. What it would add to `sys.path` is in text files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::name;
use crate::base::dirs;

/// The names of virtual environments beside an app.
pub(super) const NAMES: [&str; 3] = [".venv", "venv", "env"];

/// The file that makes a directory a virtual environment (PEP 405).
pub(super) const MARK: &str = "pyvenv.cfg";

/// The active virtual environment, or one in the first of these directories that has one.
pub(super) fn find(directories: &[PathBuf]) -> Option<PathBuf> {
    let beside = directories.iter().flat_map(|directory| NAMES.map(|name| directory.join(name)));
    dirs::virtual_environment().into_iter().chain(beside).find(|directory| is_environment(directory))
}

/// Whether a directory is a virtual environment.
fn is_environment(directory: &Path) -> bool {
    directory.join(MARK).is_file()
}

/// The directories in which a virtual environment has its packages.
pub(super) fn site_packages(environment: &Path) -> Vec<PathBuf> {
    let versions = ["lib", "lib64"].into_iter().flat_map(|name| entries(&environment.join(name)));
    let of_versions = versions.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("python") || name.starts_with("pypy"))
    });
    let directories =
        of_versions.map(|version| version.join("site-packages")).chain([environment.join("Lib/site-packages")]);
    let mut found: Vec<PathBuf> = Vec::new();
    for directory in directories.filter_map(|directory| fs::canonicalize(directory).ok()) {
        // `lib64` is a link on many systems.
        if !found.contains(&directory) {
            found.push(directory);
        }
    }
    found
}

/// The directories that files in a directory of packages add to it: those named in `.pth` files, and the parents of
/// packages that setuptools has installed to be edited in place.
pub(super) fn added(directory: &Path) -> Vec<PathBuf> {
    let mut added = Vec::new();
    for file in entries(directory) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".pth") {
            let text = name::read(&file).unwrap_or_default();
            let is_path = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("import");
            added.extend(text.lines().map(str::trim).filter(is_path).map(|line| directory.join(line)));
        } else if name.starts_with("__editable___") && name.ends_with("_finder.py") {
            added.extend(mapped(&name::read(&file).unwrap_or_default()));
        }
    }
    added.retain(|path| path.is_dir());
    added
}

/// The directories of the packages in the `MAPPING` of one of setuptools' finders, as in `{'pkg': '/src/pkg'}`.
fn mapped(finder: &str) -> Vec<PathBuf> {
    let mapping = finder.lines().find(|line| line.starts_with("MAPPING")).and_then(|line| line.split_once(" = "));
    let texts: Vec<&str> = mapping.map(|(_, dict)| dict.split('\'').skip(1).step_by(2).collect()).unwrap_or_default();
    let pairs = texts.chunks_exact(2).filter_map(|pair| {
        let (package, place) = (pair[0], Path::new(pair[1]));
        // Another name than that of its directory cannot be imported from there.
        (place.file_stem()? == package).then(|| place.parent().map(Path::to_owned))?
    });
    pairs.collect()
}

/// The entries of a directory, in order.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn packages_that_are_edited_in_place_are_found() {
        let base = env::temp_dir().join(format!("wasmserve-environment-{}", std::process::id()));
        let packages = base.join("lib/python3.12/site-packages");
        for directory in [&packages, &base.join("one/src"), &base.join("two/pkg"), &base.join("lib/node")] {
            fs::create_dir_all(directory).expect("a temporary directory is writable");
        }
        let write = |name: &str, text: String| fs::write(packages.join(name), text).expect("it is writable");
        write("a.pth", format!("# comment\nimport os\n{}\n/nowhere\n", base.join("one/src").display()));
        let place = base.join("two/pkg");
        let mapping = format!("import sys\nMAPPING: dict[str, str] = {{'pkg': '{}', 'x': '/y'}}\n", place.display());
        write("__editable___two_0_1_finder.py", mapping);
        assert_eq!(site_packages(&base), [packages.canonicalize().expect("it exists")]);
        let mut found = added(&packages);
        found.sort();
        assert_eq!(found, [base.join("one/src"), base.join("two")]);
        _ = fs::remove_dir_all(base);
    }
}
