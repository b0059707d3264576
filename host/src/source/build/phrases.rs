//! What cargo and rustc print that decisions depend on, in one place: it may change with each release.
//!
//! Last seen in Rust 1.95.0. If a phrase no longer matches, a remedy is not applied by itself; nothing else breaks.

/// Whether cargo could not even start the compiler.
pub(super) fn is_compiler_lost(output: &str) -> bool {
    output.contains("failed to run `rustc`")
}

/// Whether rustc has no standard library for the target.
pub(super) fn is_target_missing(output: &str, target: &str) -> bool {
    output.contains("E0463") && output.contains(target)
}

/// Whether this is cargo's last line, or the one that it prints before it compiles the package in `directory`.
pub(super) fn is_progress_of(line: &str, directory: &str) -> bool {
    line.contains("Finished") && line.contains("target(s) in") || line.contains(&format!("({directory})"))
}
