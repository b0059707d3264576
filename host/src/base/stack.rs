//! The call stack of a handler, formatted for the handler's author.

use std::{fmt, time::Instant};

/// The functions that a handler was in, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack(Vec<Frame>);

/// One function of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, demangled.
    pub function: String,
    /// The source location as `file:line`, if the component has debug information.
    pub place: Option<String>,
}

/// A call into the host that has not returned yet.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The import that the handler called.
    pub import: &'static str,
    /// When the call blocked.
    pub since: Instant,
}

/// How many lines of a stack are shown.
const SHOWN_MAX: usize = 12;

/// How many characters of a name are shown. Names come from the component and may have any length.
const NAME_MAX: usize = 120;

impl Stack {
    /// A stack of these frames, innermost first.
    #[must_use]
    pub fn new(frames: Vec<Frame>) -> Self {
        Self(frames)
    }

    /// One line per frame of the handler's own code. Consecutive library frames and repeated frames share a line with
    /// their count.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let is_all_library = self.0.iter().all(Frame::is_library);
        let is_folded = |frame: &Frame| frame.is_library() && !is_all_library;
        let alike = |one: &Frame, other: &Frame| is_folded(one) && is_folded(other) || one == other;
        let mut lines: Vec<String> = self
            .0
            .chunk_by(alike)
            .map(|run| match (run, is_folded(&run[0])) {
                ([_], true) => "(1 library frame)".to_owned(),
                (run, true) => format!("({} library frames)", run.len()),
                ([frame], false) => format!("at {frame}"),
                (run, false) => format!("at {}, {} times", run[0], run.len()),
            })
            .collect();
        if lines.len() > SHOWN_MAX {
            let left = lines.len() - SHOWN_MAX;
            // Keep both ends: where a recursion starts and where it stops matter more than its middle.
            lines.splice(SHOWN_MAX - 3..lines.len() - 3, [format!("({left} more)")]);
        }
        lines
    }
}

impl Frame {
    /// Whether the frame is not the handler's own code: the standard library, the SDK, libc, or code added by a
    /// toolchain.
    fn is_library(&self) -> bool {
        const PREFIXES: [&str; 15] = [
            "core::",
            "alloc::",
            "std::",
            "<core::",
            "<alloc::",
            "<std::",
            "__",
            "rust_",
            "_start",
            "wasip2::",
            "cabi_",
            "dlmalloc",
            "poll_",
            "wasmserve:gateway/",
            "function ",
        ];
        const NAMES: [&str; 4] = ["abort", "clock_nanosleep", "nanosleep", "sleep"];
        PREFIXES.iter().any(|prefix| self.function.starts_with(prefix))
            || NAMES.contains(&&*self.function)
            || self.function.contains("wasmserve_guest::")
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: String = self.function.chars().take(NAME_MAX).collect();
        let cut = if name.len() < self.function.len() { "..." } else { "" };
        match &self.place {
            Some(place) => write!(f, "{name}{cut} ({place})"),
            None => write!(f, "{name}{cut}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(names: &[&str]) -> Stack {
        Stack::new(names.iter().map(|name| Frame { function: (*name).to_owned(), place: None }).collect())
    }

    #[test]
    fn library_frames_are_only_counted() {
        let stack =
            stack(&["core::panicking::panic", "rust_panic", "app::inner", "app", "wasmserve_guest::run", "__main"]);
        let lines = ["(2 library frames)", "at app::inner", "at app", "(2 library frames)"];
        assert_eq!(stack.lines(), lines);
    }

    #[test]
    fn a_stack_of_only_library_frames_is_shown() {
        let stack = stack(&["std::thread::sleep", "__main"]);
        assert_eq!(stack.lines(), ["at std::thread::sleep", "at __main"]);
    }

    #[test]
    fn a_deep_recursion_fits_on_a_screen() {
        let names = vec!["app::deeper"; 1000];
        assert_eq!(stack(&[&names[..], &["app"]].concat()).lines(), ["at app::deeper, 1000 times", "at app"]);
        let names = ["app::even", "app::odd"].repeat(500);
        let lines = stack(&[&names[..], &["app"]].concat()).lines();
        assert_eq!(lines.len(), SHOWN_MAX + 1);
        assert_eq!(lines[SHOWN_MAX - 3], "(989 more)");
        assert_eq!(lines[SHOWN_MAX], "at app");
    }
}
