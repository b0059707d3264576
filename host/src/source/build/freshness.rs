//! Makes cargo compile again what has another content, whatever its time says.
//!
//! Cargo takes a source for unchanged if its file is older than the last build. But a deploy that swaps a link, a rollback,
//! `mv`, `cp -p`, `rsync -t` and `tar x` all put files in place that differ and are older. So the contents that a program
//! was built from are recorded beside it, and crates with other contents lose cargo's fingerprint before the next build.

use std::{
    collections::BTreeMap,
    fs::{self, DirEntry},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::dep_info::{self, sources};
use crate::{base::hex::hex, source::scope::digest};

/// The contents that a program was built from last: the digest of each file.
type Contents = BTreeMap<PathBuf, Option<String>>;

/// Records the contents that the program of the package at `manifest` was built from.
pub(super) fn record(manifest: &Path, release: &Path, sources: &[PathBuf]) {
    let contents = now(sources.iter());
    // Without it, cargo decides by time alone.
    _ = serde_json::to_vec(&contents).map(|contents| fs::write(place(manifest, release), contents));
}

/// Makes cargo forget that it has compiled crates of which a source has another content than recorded for the program of
/// the package at `manifest`. `release` is the directory in which cargo keeps what it compiles for a target and a profile.
pub(super) fn forget_changed(manifest: &Path, release: &Path) {
    let recorded: Contents = fs::read(place(manifest, release))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let current = now(recorded.keys());
    let changed: Vec<&PathBuf> =
        recorded.iter().filter(|(path, was)| current[*path] != **was).map(|(path, _)| path).collect();
    if changed.is_empty() {
        return;
    }
    // Rustc lists the sources of each crate, by paths that are relative to a workspace or as cargo was given them.
    let is_of_changed = |list: &DirEntry| {
        sources(&list.path()).iter().any(|source| changed.iter().any(|changed| changed.ends_with(source)))
    };
    for list in dep_info::lists(release).filter(is_of_changed) {
        let path = list.path();
        let Some((_, hash)) = path.file_stem().and_then(|stem| stem.to_str()?.rsplit_once('-')) else { continue };
        for fingerprint in fs::read_dir(release.join(".fingerprint")).into_iter().flatten().flatten() {
            if fingerprint.file_name().to_str().is_some_and(|name| name.ends_with(hash)) {
                // If it stays, so does the old program, as with cargo alone.
                _ = fs::remove_dir_all(fingerprint.path());
            }
        }
    }
}

fn now<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Contents {
    files.map(|file| (file.clone(), digest(file).map(|digest| hex(&digest)))).collect()
}

/// Where the contents are recorded. Several packages may share the directory, and have programs of the same name.
fn place(manifest: &Path, release: &Path) -> PathBuf {
    let digest = Sha256::digest(manifest.as_os_str().as_encoded_bytes());
    release.join(format!("wasmserve-{}.json", hex(&digest[..8])))
}
