//! What uv and pip print that decisions depend on, in one place: it may change with each release.

/// Whether an installer failed because it could not reach the package index.
pub(super) fn is_offline(output: &str) -> bool {
    let signs = [
        // uv
        "error sending request",
        "the network was disabled",
        "network is disabled",
        "dns error",
        "Could not connect",
        // pip
        "Failed to establish a new connection",
        "Failed to resolve",
        "Name or service not known",
        "NameResolutionError",
        "ConnectTimeoutError",
        "Cannot connect to proxy",
        "Network is unreachable",
        "Max retries exceeded",
    ];
    signs.iter().any(|sign| output.contains(sign))
}

/// Whether an installer that was limited to wheels failed because something has none.
pub(super) fn needs_build(output: &str) -> bool {
    let signs = [
        // uv
        "building from source is disabled",
        "Building source distributions",
        "no usable wheels",
        // pip
        "No matching distribution found",
        "ResolutionImpossible",
    ];
    signs.iter().any(|sign| output.contains(sign))
}

/// Whether a Python has no pip.
pub(super) fn has_no_pip(output: &str) -> bool {
    output.contains("No module named pip") || output.contains("No module named 'pip'")
}

/// Whether a traceback ends because a module is missing.
pub(super) fn is_module_missing(traceback: &str) -> bool {
    traceback.lines().any(|line| line.starts_with("ModuleNotFoundError: "))
}
