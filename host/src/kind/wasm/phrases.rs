//! What wasmtime, the compile process and Rust's standard library print that decisions depend on, in one place: it may change with each release.
//!
//! Last seen in wasmtime 48.0.8 and Rust 1.95.0.

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

/// The message of a panic that begins in this line of stderr, as the standard libraries of Rust and Go print it:
/// `thread 'main' (1) panicked at src/main.rs:6:38:`, with the message in the next line, or `panic: no coffee`.
pub(super) fn begin_of_panic(line: &str) -> Option<&str> {
    if line.starts_with("panic: ") {
        return Some(line);
    }
    let (_, message) = line.strip_prefix("thread '")?.split_once("' ")?;
    message.find("panicked at ").filter(|at| message[..*at].len() <= "(4294967295) ".len()).map(|at| &message[at..])
}

/// Whether this line of stderr follows the message of a panic.
pub(super) fn is_after_panic(line: &str) -> bool {
    line.starts_with("note: run with `RUST_BACKTRACE") || line == "stack backtrace:" || line.starts_with("goroutine ")
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
