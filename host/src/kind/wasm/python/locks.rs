//! The locks of SQLite's databases.
//!
//! WASI has no locks on files, so SQLite locks a database by making a directory beside it: `data.db.lock` for `data.db`.
//! An instance can end at any time, also in a transaction. What it leaves behind, a journal, shows the next one how to undo
//! the transaction; but its lock would keep all others out forever.

use std::path::{Path, PathBuf};

use cap_primitives::fs::{FollowSymlinks, remove_dir, stat};
use wasmtime_wasi::filesystem::Dir;

/// How the name of a lock ends.
const ENDING: &str = ".lock";

/// The locks that an instance holds. They are removed with it.
#[derive(Default)]
pub(in crate::kind::wasm) struct Locks(Vec<(Dir, PathBuf)>);

impl Locks {
    /// Whether a path may be that of a lock.
    pub(in crate::kind::wasm) fn is_one(path: &str) -> bool {
        path.ends_with(ENDING)
    }

    /// Remembers a directory that the instance has made.
    pub(in crate::kind::wasm) fn add(&mut self, dir: Dir, path: &str) {
        self.0.push((dir, path.into()));
    }

    /// Forgets a directory that the instance has removed.
    pub(in crate::kind::wasm) fn remove(&mut self, path: &str) {
        self.0.retain(|(_, held)| held != Path::new(path));
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        for (dir, lock) in &self.0 {
            // Other directories with such a name stay.
            let is_database = |path: &Path| {
                stat(&dir.dir, path, FollowSymlinks::Yes).is_ok_and(|metadata| metadata.file_type().is_file())
            };
            if is_database(&lock.with_extension("")) {
                // It fails only if it is gone.
                _ = remove_dir(&dir.dir, lock);
            }
        }
    }
}
