//! What wasmtime, the compile process and Rust's standard library print that decisions depend on, in one place: it may change with each release.
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

/// Whether an instance failed because it has too many handles: wasmtime counts those that it manages itself.
pub(super) fn is_out_of_handles(error: &str) -> bool {
    error.contains("store handle limit exceeded")
}

/// Whether a component ends too early: the words of wasmparser for the end of a file, and for the end of a section.
pub(super) fn is_cut_off(output: &str) -> bool {
    output.contains("unexpected end-of-file") || output.contains("is out of bounds (bound =")
}

/// The place in the message of a panic, as `file:line:column`: `panicked at hello.rs:6:38: no coffee`.
pub(super) fn place_of_panic(message: &str) -> Option<&str> {
    let rest = message.lines().next()?.strip_prefix("panicked at ")?;
    let (place, _) = rest.split_once(": ")?;
    let mut parts = place.rsplitn(3, ':');
    let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok());
    (is_number(parts.next()) && is_number(parts.next()) && parts.next().is_some()).then_some(place)
}

/// Whether the message of an error or a panic is about an environment variable that is not set.
pub(super) fn is_about_missing_variable(message: &str) -> bool {
    ["NotPresent", "environment variable not found"].iter().any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_panic_is_before_its_message() {
        assert_eq!(place_of_panic("panicked at src/a b.rs:6:38: no: coffee"), Some("src/a b.rs:6:38"));
        assert_eq!(place_of_panic("panicked at a.rs:6:38: \nno coffee"), Some("a.rs:6:38"));
        for other in
            ["", "panicked at ", "panicked at the: disco", "panicked at a.rs:6: x", "no coffee at a.rs:6:38: x"]
        {
            assert_eq!(place_of_panic(other), None, "{other:?}");
        }
    }
}
