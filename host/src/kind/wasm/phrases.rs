//! What wasmtime and the compile process print that decisions depend on, in one place: it may change with each release.
//!
//! Last seen in wasmtime 48.0.8 and Rust 1.95.0.

/// Whether an error of wasmtime's linker is about this import: it quotes the names of interfaces and functions.
pub(super) fn names_import(error: &str, import: &str) -> bool {
    error.contains(&format!("`{import}`"))
}

/// Whether a process ended because it could not allocate memory: the last words of Rust's allocator, of wasmtime, of the system.
pub(super) fn is_out_of_memory(output: &str) -> bool {
    ["memory allocation of", "out of memory", "(os error 12)"].iter().any(|phrase| output.contains(phrase))
}
