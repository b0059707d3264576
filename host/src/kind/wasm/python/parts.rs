//! The parts of Python that this program contains: the interpreter, its C library and its standard library.

use std::path::Path;

use anyhow::Context as _;
#[cfg(not(has_python))]
use anyhow::bail;
use sha2::{Digest as _, Sha256};

#[cfg(has_python)]
macro_rules! part {
    ($name:literal) => {
        ($name, include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".zst")).as_slice())
    };
}

/// The libraries. The first one that has a symbol provides it.
#[cfg(has_python)]
const LIBRARIES: &[(&str, &[u8])] = &[
    part!("libcomponentize_py_runtime_sync.so"),
    part!("libpython3.14.so"),
    part!("libc.so"),
    part!("libwasi-emulated-process-clocks.so"),
    part!("libwasi-emulated-getpid.so"),
    part!("libwasi-emulated-signal.so"),
];
#[cfg(has_python)]
const STANDARD_LIBRARY: &[u8] = part!("python-lib.tar").1;

#[cfg(not(has_python))]
const LIBRARIES: &[(&str, &[u8])] = &[];
#[cfg(not(has_python))]
const STANDARD_LIBRARY: &[u8] = &[];

/// The Python code that runs beside the application, by the names of its files.
pub(super) const SOURCES: [(&str, &str); 8] = [
    ("componentize_py_types.py", include_str!("../../../../python/componentize_py_types.py")),
    ("wasmserve_application.py", include_str!("../../../../python/wasmserve_application.py")),
    ("wasmserve_frameworks.py", include_str!("../../../../python/wasmserve_frameworks.py")),
    ("wasmserve_platform.py", include_str!("../../../../python/wasmserve_platform.py")),
    ("wasmserve_setup.py", include_str!("../../../../python/wasmserve_setup.py")),
    ("wasmserve_tempfile.py", include_str!("../../../../python/wasmserve_tempfile.py")),
    ("wasmserve_traceback.py", include_str!("../../../../python/wasmserve_traceback.py")),
    ("wasmserve_wsgi.py", include_str!("../../../../python/wasmserve_wsgi.py")),
];

/// The module that Python starts with.
pub(super) const ENTRY: &str = "wasmserve_setup";

/// Checks that this program contains Python.
///
/// # Errors
///
/// It was built without.
pub(super) fn check() -> anyhow::Result<()> {
    #[cfg(not(has_python))]
    bail!(
        "is a Python application, and this wasmserve was built without Python; build it where cargo reaches its registry"
    );
    #[cfg(has_python)]
    Ok(())
}

/// The libraries, decompressed, by name.
///
/// # Errors
///
/// Never for the parts of this program.
pub(super) fn libraries() -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    LIBRARIES.iter().map(|(name, bytes)| Ok((*name, zstd::decode_all(*bytes)?))).collect()
}

/// Writes the standard library and our own code into a directory.
///
/// # Errors
///
/// The directory cannot be written.
pub(super) fn unpack(directory: &Path, own: &[(&str, &str)]) -> anyhow::Result<()> {
    let library = directory.join("python");
    let mut archive = tar::Archive::new(zstd::Decoder::new(STANDARD_LIBRARY)?);
    archive.set_preserve_permissions(false);
    archive.unpack(&library).with_context(|| format!("`{}`", library.display()))?;
    let bundled = directory.join("bundled");
    std::fs::create_dir_all(&bundled).with_context(|| format!("`{}`", bundled.display()))?;
    for (name, text) in own {
        std::fs::write(bundled.join(name), text).with_context(|| format!("`{}`", bundled.join(name).display()))?;
    }
    Ok(())
}

/// A digest of all that a base is made from.
pub(super) fn digest(own: &[(&str, &str)]) -> Sha256 {
    let mut hash = Sha256::new();
    for (name, bytes) in LIBRARIES.iter().chain([&("python-lib.tar", STANDARD_LIBRARY)]) {
        hash.update(name);
        hash.update(bytes);
    }
    // The parts and our own code become one module.
    hash.update(include_str!("link.rs"));
    hash.update(include_str!("assemble.rs"));
    for (name, text) in own {
        hash.update(name);
        hash.update(text);
    }
    hash
}
