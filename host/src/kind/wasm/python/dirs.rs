//! The directories that all instances of an application see.

use anyhow::Context as _;
use cap_primitives::{ambient_authority, fs::open_ambient_dir};
use wasmtime_wasi::{FsPerms, OpenMode, filesystem};

use crate::base::grants::Dir;

/// Directories that instances can only read, opened once for all of them, with the paths under which they see them.
#[derive(Default)]
pub(in crate::kind::wasm) struct Dirs(pub(in crate::kind::wasm) Vec<(filesystem::Dir, String)>);

impl Dirs {
    /// Opens directories.
    ///
    /// # Errors
    ///
    /// One cannot be opened.
    pub(super) fn open(dirs: &[Dir]) -> anyhow::Result<Self> {
        let open = |dir: &Dir| {
            let opened = open_ambient_dir(&dir.host, ambient_authority());
            let opened = opened.with_context(|| format!("`{}` cannot be opened", dir.host.display()))?;
            let opened = filesystem::Dir::new(opened, FsPerms::ReadOnly, OpenMode::READ, false);
            Ok((opened, dir.guest.clone()))
        };
        Ok(Self(dirs.iter().map(open).collect::<anyhow::Result<_>>()?))
    }
}
