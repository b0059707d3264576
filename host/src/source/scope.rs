//! Where to look for changes of a handler.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Where to look for changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// These files.
    pub(super) files: BTreeSet<PathBuf>,
    /// All that is in these directories, however deep.
    pub(super) trees: BTreeSet<PathBuf>,
    /// All Rust files in this directory: one that is missing now may be what does not build.
    pub(super) sources: Option<PathBuf>,
}

impl Scope {
    /// Whether a change of that file is one of the handler.
    #[must_use]
    pub(crate) fn covers(&self, path: &Path) -> bool {
        let is_source = || path.extension().is_some_and(|end| end == "rs") && path.parent() == self.sources.as_deref();
        self.files.contains(path) || self.trees.iter().any(|tree| path.starts_with(tree)) || is_source()
    }

    /// What tells the files that it covers from what they were before: their contents, and when they were written.
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
            // Of what is no file, a pipe say, the name has to do: reading it may never end.
            let metadata = fs::metadata(path).ok().filter(Metadata::is_file);
            let content = metadata.as_ref().and_then(|_| fs::read(path).ok()).unwrap_or_default();
            let written = metadata.and_then(|metadata| metadata.modified().ok());
            digest.update(format!("{path:?} {written:?} {}\n", content.len()));
            digest.update(content);
        }
        digest.finalize().into()
    }

    /// The directories to watch, each with whether what is below its directories counts too.
    pub(crate) fn directories(&self) -> impl Iterator<Item = (&Path, bool)> {
        let parents: BTreeSet<&Path> = self.files.iter().filter_map(|file| file.parent()).collect();
        let is_within = |path: &Path| self.trees.iter().any(|tree| path.starts_with(tree));
        let parents = parents.into_iter().filter(move |parent| !is_within(parent));
        self.trees.iter().map(|tree| (&**tree, true)).chain(parents.map(|parent| (parent, false)))
    }
}
