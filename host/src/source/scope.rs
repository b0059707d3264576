//! The files and directories whose changes are changes of a handler.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// The files and directories whose changes are changes of a handler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Single files.
    pub(super) files: BTreeSet<PathBuf>,
    /// Directories of which all files count, at any depth.
    pub(super) trees: BTreeSet<PathBuf>,
    /// A directory of which all Rust files count: a missing one may be the reason why a build failed.
    pub(super) sources: Option<PathBuf>,
}

impl Scope {
    /// Whether a change of the file at `path` is a change of the handler.
    #[must_use]
    pub(crate) fn covers(&self, path: &Path) -> bool {
        let is_source = || path.extension().is_some_and(|end| end == "rs") && path.parent() == self.sources.as_deref();
        self.files.contains(path) || self.trees.iter().any(|tree| path.starts_with(tree)) || is_source()
    }

    /// A digest of the contents and modification times of all covered files.
    #[must_use]
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut files = self.files.clone();
        let mut directories: Vec<PathBuf> = self.trees.iter().chain(&self.sources).cloned().collect();
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
            let (deeper, others): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir() && !path.is_symlink());
            directories.extend(deeper.into_iter().filter(|path| self.covers(path)));
            files.extend(others.into_iter().filter(|path| self.covers(path)));
        }
        let mut digest = Sha256::new();
        for path in &files {
            // Only the name counts for anything but a file, such as a pipe: reading it might block forever.
            let metadata = fs::metadata(path).ok().filter(Metadata::is_file);
            let content = metadata.as_ref().and_then(|_| fs::read(path).ok()).unwrap_or_default();
            let written = metadata.and_then(|metadata| metadata.modified().ok());
            digest.update(format!("{path:?} {written:?} {}\n", content.len()));
            digest.update(content);
        }
        digest.finalize().into()
    }

    /// The directories to watch, each with whether its subdirectories count too.
    pub(crate) fn directories(&self) -> impl Iterator<Item = (&Path, bool)> {
        let parents: BTreeSet<&Path> = self.files.iter().filter_map(|file| file.parent()).collect();
        let is_within = |path: &Path| self.trees.iter().any(|tree| path.starts_with(tree));
        let parents = parents.into_iter().filter(move |parent| !is_within(parent));
        self.trees.iter().map(|tree| (&**tree, true)).chain(parents.map(|parent| (parent, false)))
    }
}
