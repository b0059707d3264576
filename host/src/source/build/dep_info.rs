//! Reads the lists of sources that cargo and rustc write beside what they compile.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Reads the files that something was built from out of a dep-info file of cargo or rustc.
pub(super) fn sources(list: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(list).unwrap_or_default();
    let list = list.lines().next().unwrap_or_default();
    let (_, list) = list.split_once(": ").unwrap_or_default();
    // Spaces in names are escaped with a backslash.
    let names = list.trim_end().replace("\\ ", "\0");
    names.split(' ').filter(|name| !name.is_empty()).map(|name| name.replace('\0', " ").into()).collect()
}
