//! Finds packages with compiled extensions, which are machine code and cannot run in an app.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

/// How much of the list of a package's files is read, in bytes.
const RECORD_MAX: u64 = 4 << 20;

/// Popular packages that are nothing without their compiled extensions, although they also consist of Python.
const USELESS: [&str; 28] = [
    "argon2-cffi-bindings",
    "asyncpg",
    "bcrypt",
    "cffi",
    "cryptography",
    "gevent",
    "grpcio",
    "httptools",
    "lxml",
    "matplotlib",
    "mysqlclient",
    "numpy",
    "opencv-python",
    "orjson",
    "pandas",
    "pillow",
    "psutil",
    "psycopg-binary",
    "psycopg2",
    "psycopg2-binary",
    "pydantic-core",
    "pynacl",
    "pyzmq",
    "rpds-py",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "uvloop",
];

/// The packages with compiled extensions, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Native {
    /// Those that may work without.
    pub(super) ignored: Vec<String>,
    /// Those that cannot.
    pub(super) useless: Vec<String>,
}

impl Native {
    /// Looks at the packages in a directory, by the lists of their files.
    pub(super) fn add(&mut self, directory: &Path) {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        for package in entries.filter(|path| path.extension().is_some_and(|extension| extension == "dist-info")) {
            let name = package.file_stem().and_then(|name| name.to_str()?.split('-').next()).unwrap_or_default();
            let mut record = String::new();
            // A package without a list was not installed by a usual tool.
            _ = File::open(package.join("RECORD")).and_then(|file| file.take(RECORD_MAX).read_to_string(&mut record));
            let files = || record.lines().filter_map(|line| line.split(',').next());
            let is_compiled = |file: &str| [".so", ".pyd", ".dylib"].iter().any(|ending| file.ends_with(ending));
            if !files().any(is_compiled) {
                continue;
            }
            let has_python = files().any(|file| file.ends_with(".py"));
            let normal = name.to_ascii_lowercase().replace(['_', '.'], "-");
            let list = if !has_python || USELESS.contains(&&*normal) { &mut self.useless } else { &mut self.ignored };
            list.push(normal);
        }
        self.ignored.sort();
        self.useless.sort();
    }

    /// A notice for the user, if there is anything to say.
    pub(super) fn notice(&self) -> Option<String> {
        let ignored = list(&self.ignored).map(|names| format!("the compiled parts of {names} are ignored"));
        let useless = list(&self.useless).map(|names| format!("{names} cannot be imported without compiled code"));
        let parts: Vec<String> = ignored.into_iter().chain(useless).collect();
        (!parts.is_empty()).then(|| format!("{}: apps run as wasm, not as code of this machine", parts.join(", and ")))
    }
}

/// The first names of a list, for people.
fn list(names: &[String]) -> Option<String> {
    const SHOWN: usize = 6;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
    match (names.len().saturating_sub(SHOWN), &shown[..]) {
        (_, []) => None,
        (0, [names @ .., last]) if !names.is_empty() => Some(format!("{} and {last}", names.join(", "))),
        (0, _) => Some(shown.join(", ")),
        (more, _) => Some(format!("{} and {more} more", shown.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_by_what_is_left_without_compiled_extensions() {
        let base = std::env::temp_dir().join(format!("wasmserve-native-{}", std::process::id()));
        for (package, record) in [
            (
                "markupsafe-3.0.4",
                "markupsafe/__init__.py,sha256=x,1\nmarkupsafe/_speedups.cpython-314-x86_64-linux-gnu.so,,\n",
            ),
            ("Flask-3.1.3", "flask/__init__.py,,\n"),
            ("numpy-2.4.0", "numpy/__init__.py,,\nnumpy/_core/x.cpython-314-darwin.so,,\n"),
            ("ujson-5.1.0", "ujson.cp314-win_amd64.pyd,,\nujson-5.1.0.dist-info/METADATA,,\n"),
        ] {
            let directory = base.join(format!("{package}.dist-info"));
            fs::create_dir_all(&directory).expect("a temporary directory is writable");
            fs::write(directory.join("RECORD"), record).expect("a temporary directory is writable");
        }
        let mut native = Native::default();
        native.add(&base);
        assert_eq!(
            (&*native.ignored, &*native.useless),
            (&["markupsafe".to_owned()][..], &["numpy".to_owned(), "ujson".to_owned()][..])
        );
        assert_eq!(
            native.notice().as_deref(),
            Some(
                "the compiled parts of markupsafe are ignored, and numpy and ujson cannot be imported without compiled \
                 code: apps run as wasm, not as code of this machine"
            )
        );
        assert_eq!(Native::default().notice(), None);
        _ = fs::remove_dir_all(base);
    }
}
