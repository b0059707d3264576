//! What all tests with Python apps start from.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use crate::{
    guest,
    place::{self, Place},
};

/// Lets the server make its base of Python in the cache that tests share. On a busy machine, that takes longer than tests
/// wait.
///
/// # Panics
///
/// The server cannot be run.
pub fn ready() {
    static READY: Once = Once::new();
    READY.call_once(|| {
        let place = Place::new();
        let app = place.file("app.py", "def app(environ, start_response):\n    pass\n");
        let ended = Command::new(guest::server()).envs(place::environment()).arg("inspect").arg(app).output();
        let ended = ended.expect("the server can be run");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    });
}

/// A cache in this place that has the base of Python, and nothing else that an app needs.
///
/// # Panics
///
/// It cannot be written.
#[must_use]
pub fn cache(place: &Place) -> PathBuf {
    ready();
    let cache = place.join("cache");
    for name in ["python", "compiled", "components"] {
        let from = place::shared_cache().join("wasmserve").join(name);
        link(&from, &cache.join("wasmserve").join(name)).expect("a place is writable");
    }
    cache
}

/// Links all files of a directory into another one.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = (entry?, to.to_owned());
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => link(&entry.path(), &to)?,
            // Other tests may just remove one.
            false => _ = fs::hard_link(entry.path(), to),
        }
    }
    Ok(())
}
