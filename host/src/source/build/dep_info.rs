//! Reads the lists of sources that cargo and rustc write beside what they compile.

use std::{
    fs::{self, DirEntry},
    path::{Path, PathBuf},
};

/// The dep-info files of the crates that cargo has compiled in a directory such as `release`.
pub(super) fn lists(release: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    let is_list = |entry: &DirEntry| entry.path().extension().is_some_and(|extension| extension == "d");
    fs::read_dir(release.join("deps")).into_iter().flatten().flatten().filter(is_list)
}

/// Reads the files that something was built from out of a dep-info file of cargo or rustc.
pub(super) fn sources(list: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(list).unwrap_or_default();
    let list = list.lines().next().unwrap_or_default();
    let (_, list) = list.split_once(": ").unwrap_or_default();
    // Spaces in names are escaped with a backslash.
    let names = list.trim_end().replace("\\ ", "\0");
    names.split(' ').filter(|name| !name.is_empty()).map(|name| name.replace('\0', " ").into()).collect()
}
