//! The call stack of a handler, formatted for the handler's author.

use std::{fmt, time::Instant};

/// The functions that a handler was in, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    frames: Vec<Frame>,
    /// Where the handler panicked, as `file:line:column`.
    panicked: Option<String>,
}

/// One function of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, demangled.
    pub function: String,
    /// The source location as `file:line`, if it is known.
    pub place: Option<String>,
    /// Whether it is not the handler's own code.
    pub is_library: bool,
    /// The filter in front of the handler to which it belongs, if it belongs to one.
    pub filter: Option<String>,
}

/// A call into the host that has not returned yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        Self { frames, panicked: None }
    }

    /// What is left of this stack after its frames in filters, which are the innermost ones, and then another stack.
    #[must_use]
    pub fn in_filters(self, behind: Self) -> Self {
        let filters = self.frames.into_iter().take_while(|frame| frame.filter.is_some());
        Self { frames: filters.chain(behind.frames).collect(), panicked: self.panicked.or(behind.panicked) }
    }

    /// The filter in which the innermost function is, if it is in one.
    #[must_use]
    pub fn filter(&self) -> Option<&str> {
        self.frames.first()?.filter.as_deref()
    }

    /// The stack of a panic, with the place that its message names.
    #[must_use]
    pub fn panicked(self, place: &str) -> Self {
        Self { panicked: Some(place.to_owned()), ..self }
    }

    /// One line per frame of the handler's own code. Consecutive library frames and repeated frames share a line with
    /// their count. The place of a panic comes first, in place of the frames between it and the handler.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let own = self.own();
        let mut own = &own[..];
        let mut lines = Vec::new();
        if let Some(place) = &self.panicked {
            if let Some(first) = own.iter().position(Option::is_some) {
                own = &own[first..];
            }
            match own {
                // Only the handler's code can be in one of its functions.
                [Some(frame), rest @ ..] if is_own(place) && frame.may_be_at(place) => {
                    lines.push(format!("at {}", Frame { place: Some(place.clone()), ..frame.clone() }));
                    own = rest;
                }
                _ => lines.push(format!("at {}", short(place))),
            }
        } else if own.iter().all(Option::is_none) {
            lines = folded(&self.frames.iter().cloned().map(Some).collect::<Vec<_>>());
            own = &[];
        }
        lines.extend(folded(own));
        if lines.len() > SHOWN_MAX {
            let left = lines.len() - SHOWN_MAX;
            // Keep both ends: where a recursion starts and where it stops matter more than its middle.
            lines.splice(SHOWN_MAX - 3..lines.len() - 3, [format!("({left} more)")]);
        }
        lines
    }

    /// For each frame, what to show of it; `None` for library frames.
    ///
    /// An optimised function of the handler may have become a part of the library function that calls it. If there is no
    /// other trace of the handler, such a function is shown under the handler's name.
    fn own(&self) -> Vec<Option<Frame>> {
        let own = |frame: &Frame| (!frame.is_library).then(|| frame.clone());
        let frames: Vec<Option<Frame>> = self.frames.iter().map(own).collect();
        if frames.iter().any(Option::is_some) {
            return frames;
        }
        let mut frames: Vec<Option<Frame>> = self.frames.iter().map(Frame::inlined).collect();
        // Callers have become parts of callers: one is enough.
        frames.dedup_by(|outer, inner| inner.is_some() && outer == inner);
        frames
    }
}

/// One line per frame, and one per run of library frames.
fn folded(frames: &[Option<Frame>]) -> Vec<String> {
    let line = |run: &[Option<Frame>]| match run {
        [None] => "(1 library frame)".to_owned(),
        [None, ..] => format!("({} library frames)", run.len()),
        [Some(frame), rest @ ..] if !rest.is_empty() => format!("at {frame}, {} times", run.len()),
        [Some(frame), ..] => format!("at {frame}"),
        [] => String::new(),
    };
    frames.chunk_by(|one, other| one == other).map(line).collect()
}

/// The part of a place after the directory in which cargo or Rust keeps the sources of libraries.
fn short(place: &str) -> &str {
    // `index.crates.io-1949cf8c6b5b557f/serde-1.0.0/src/lib.rs`, or the hash of a compiler before `library/std/src`.
    let after_next = |rest: &'_ str| rest.split_once('/').map_or(rest.len(), |(first, _)| first.len() + 1);
    for directory in ["/registry/src/", "/rustc/"] {
        let found = place.split_once(directory).filter(|(before, _)| directory != "/rustc/" || before.is_empty());
        if let Some((_, rest)) = found {
            return &rest[after_next(rest)..];
        }
    }
    let found = ["/git/checkouts/", "/rustlib/src/rust/", "/guest-sdk/src/"]
        .iter()
        .find_map(|directory| place.split_once(directory));
    found.map_or(place, |(_, rest)| rest)
}

/// Whether a place is in the handler's own code rather than in a library.
fn is_own(place: &str) -> bool {
    short(place) == place
}

/// Whether a path such as `core::option::Option` is of a library: the standard library, the SDK, or code added by a
/// toolchain.
fn is_of_library(path: &str) -> bool {
    const LIBRARIES: [&str; 21] = [
        "alloc",
        "compiler_builtins",
        "core",
        "dlmalloc",
        "futures_core",
        "futures_util",
        "hashbrown",
        "panic_abort",
        "panic_unwind",
        "proc_macro",
        "rustc_demangle",
        "std",
        "unwind",
        "wasi",
        "wasi_snapshot_preview1",
        "wasip2",
        "wasip3",
        "wasmserve_guest",
        "wit_bindgen",
        "wit_bindgen_rt",
        "wstd",
    ];
    let is_library = |library: &str| LIBRARIES.contains(&library) || library.starts_with("__");
    // The SDK's macro puts what it defines in the handler's package into a constant without a name.
    path.split_once("::").is_some_and(|(library, rest)| is_library(library) || rest.starts_with("_::"))
}

/// Whether a path names a function or a closure, and not a type: by Rust's conventions.
fn is_function(path: &str) -> bool {
    let last = path.rsplit("::").next().unwrap_or(path);
    last.starts_with(|first: char| first.is_ascii_lowercase() || first == '_' || first == '{')
}

/// The paths in a name: those of its own function, types and traits, and those of its parameters.
fn paths(name: &str) -> impl Iterator<Item = &str> {
    let is_of_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}' | '#');
    name.split(move |c| !is_of_path(c))
        .filter(|path| path.split_once("::").is_some_and(|(package, rest)| !package.is_empty() && !rest.is_empty()))
}

impl Frame {
    /// A function of a component. Its name and its place show whose code it is.
    #[must_use]
    pub fn new(function: String, place: Option<String>) -> Self {
        let frame = Self { function, place, is_library: false, filter: None };
        Self { is_library: frame.is_of_library(), ..frame }
    }

    /// Whether the frame is not the handler's own code: the standard library, the SDK, libc, or code added by a
    /// toolchain.
    fn is_of_library(&self) -> bool {
        const PREFIXES: [&str; 16] = [
            "__",
            "_rt0_",
            "rust_",
            "_start",
            "cabi_",
            "dlmalloc",
            "fd_",
            "poll_",
            "runtime.",
            "syscall.",
            "wasi:",
            "wasm_pc_f_loop",
            "wasmserve:gateway/",
            "function ",
            "[async-lift]",
            "[callback]",
        ];
        const NAMES: [&str; 6] = ["abort", "clock_nanosleep", "nanosleep", "read", "sleep", "write"];
        // Names from debug information are without the package.
        if self.place.as_ref().is_some_and(|place| !is_own(place)) {
            return true;
        }
        let name = &self.function;
        if let Some(implementation) = name.strip_prefix('<') {
            // `<Type as Trait>::function`: the handler's if one of them is, except for the types of functions. Those
            // have only implementations from libraries. A type without a path is a parameter, or one of the language.
            let (of, with) = implementation.split_once(" as ").unwrap_or((implementation, ""));
            let is_own = |path: &str| !is_of_library(path);
            let is_own_type = paths(of).next().is_some_and(|path| is_own(path) && !is_function(path));
            return !is_own_type && !paths(with).next().is_some_and(is_own);
        }
        PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&&**name) || is_of_library(name)
    }

    /// The handler's function that has become a part of this library function, if the name has a trace of it: a generic
    /// function is compiled for each function that it is called with.
    fn inlined(&self) -> Option<Self> {
        let mut functions = paths(&self.function).filter(|path| !is_of_library(path) && is_function(path));
        let of = |function: &str| Self {
            function: function.to_owned(),
            place: None,
            is_library: false,
            filter: self.filter.clone(),
        };
        functions.next().map(of)
    }

    /// Whether a panic at `place` may have been raised in this frame.
    fn may_be_at(&self, place: &str) -> bool {
        self.place.as_ref().is_none_or(|at| place.strip_prefix(&**at).is_some_and(|rest| rest.starts_with(':')))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: String = self.function.chars().take(NAME_MAX).collect();
        let cut = if name.len() < self.function.len() { "..." } else { "" };
        write!(f, "{name}{cut}")?;
        if let Some(place) = &self.place {
            write!(f, " ({})", short(place))?;
        }
        match &self.filter {
            Some(filter) => write!(f, ", in the filter `{filter}`"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(names: &[&str]) -> Stack {
        Stack::new(names.iter().map(|name| Frame::new((*name).to_owned(), None)).collect())
    }

    /// A stack as rustc names functions when it optimises a handler: `app` has become a part of its caller.
    const INLINED: [&str; 6] = [
        "abort",
        "std::sys::backtrace::__rust_end_short_backtrace::<std::panicking::panic_handler::{closure#0}, !>",
        "core::option::unwrap_failed",
        "<hello::app as wasmserve_guest::application::Application<(wasmserve_guest::application::Short, ())>>::run",
        "wasmserve_guest::handler::hosted::handle::<(wasmserve_guest::application::Short, ()), hello::app>",
        "wasmserve_guest::bindings::exports::wasmserve::gateway::handler::_export_handle_cabi::<hello::_::Exported>",
    ];

    #[test]
    fn the_place_of_a_panic_comes_first_with_its_function() {
        let panicked = |names: &[&str], place: &str| stack(names).panicked(place).lines();
        assert_eq!(
            panicked(
                &["abort", "core::option::unwrap_failed", "hello::helper", "hello::app", "__main"],
                "hello.rs:8:63"
            ),
            ["at hello::helper (hello.rs:8:63)", "at hello::app", "(1 library frame)"]
        );
        assert_eq!(panicked(&INLINED, "hello.rs:8:63"), ["at hello::app (hello.rs:8:63)", "(1 library frame)"]);
    }

    #[test]
    fn the_place_of_a_panic_comes_first_without_any_function() {
        // Without the names of types, as rustc mangles by default.
        let run = "<F as wasmserve_guest::application::Application<(wasmserve_guest::application::Short,M)>>::run";
        let lines = stack(&["abort", "core::option::unwrap_failed", run]).panicked("src/main.rs:8:63").lines();
        assert_eq!(lines, ["at src/main.rs:8:63", "(3 library frames)"]);
        assert_eq!(stack(&[]).panicked("src/main.rs:8:63").lines(), ["at src/main.rs:8:63"]);
    }

    #[test]
    fn a_panic_in_a_library_is_followed_by_the_handlers_function() {
        for (place, shown) in [
            ("/rustc/59807616e1fa/library/core/src/str/mod.rs:8:5", "at library/core/src/str/mod.rs:8:5"),
            ("/lib/rustlib/src/rust/library/core/src/str/mod.rs:8:5", "at library/core/src/str/mod.rs:8:5"),
            ("/h/.cargo/registry/src/index.crates.io-19/serde-1.0.2/src/de.rs:8:5", "at serde-1.0.2/src/de.rs:8:5"),
            ("/h/.cargo/git/checkouts/serde-19/de0c/src/de.rs:8:5", "at serde-19/de0c/src/de.rs:8:5"),
        ] {
            let lines = stack(&["abort", "core::str::fail", "hello::app", "__main"]).panicked(place).lines();
            assert_eq!(lines, [shown, "at hello::app", "(1 library frame)"]);
        }
        let in_other_directory = stack(&["hello::app"]).panicked("/home/rustc/1/src/main.rs:8:5").lines();
        assert_eq!(in_other_directory, ["at hello::app (/home/rustc/1/src/main.rs:8:5)"]);
    }

    #[test]
    fn a_place_from_debug_information_is_not_replaced_by_another_one() {
        let frame = |function: &str, place: &str| Frame::new(function.into(), Some(place.into()));
        let stack = Stack::new(vec![frame("hello::checked", "hello.rs:3"), frame("hello::app", "hello.rs:8")]);
        let lines = |place| stack.clone().panicked(place).lines();
        assert_eq!(lines("hello.rs:3:9"), ["at hello::checked (hello.rs:3:9)", "at hello::app (hello.rs:8)"]);
        assert_eq!(
            lines("hello.rs:8:9"),
            ["at hello.rs:8:9", "at hello::checked (hello.rs:3)", "at hello::app (hello.rs:8)"]
        );
    }

    #[test]
    fn what_runs_a_program_is_no_part_of_it() {
        let reads = ["<wasi_snapshot_preview1::BlockingMode>::read", "fd_read", "read", "hello::main", "_start"];
        let lines = stack(&[&reads[..], &["wasi:cli/run@0.2.12#run"]].concat()).lines();
        assert_eq!(lines, ["(3 library frames)", "at hello::main", "(2 library frames)"]);
        let go = ["syscall.Read", "main.main", "runtime.main", "wasm_pc_f_loop", "_rt0_wasm_wasip1"];
        assert_eq!(stack(&go).lines(), ["(1 library frame)", "at main.main", "(3 library frames)"]);
    }

    #[test]
    fn a_function_in_a_library_function_is_shown_if_there_is_no_other() {
        assert_eq!(stack(&INLINED).lines(), ["(3 library frames)", "at hello::app", "(1 library frame)"]);
        let closure = "<core::iter::adapters::map::Map<core::ops::range::Range<i32>, hello::app::{closure#0}> as \
                       core::iter::traits::iterator::Iterator>::next";
        assert_eq!(
            stack(&["core::panicking::panic", closure]).lines(),
            ["(1 library frame)", "at hello::app::{closure#0}"]
        );
        let own = stack(&["hello::inner", INLINED[3]]).lines();
        assert_eq!(own, ["at hello::inner", "(1 library frame)"]);
    }

    #[test]
    fn a_function_with_a_librarys_type_is_the_handlers_own() {
        for own in [
            "hello::parse::<wasmserve_guest::value::Value>",
            "<hello::Thing as core::fmt::Display>::fmt",
            "<hello::Thing<alloc::string::String>>::new",
            "<alloc::string::String as hello::Shout>::shout",
            "serde_json::de::from_str",
            "handle_request",
        ] {
            assert_eq!(stack(&["__main", own]).lines()[1], format!("at {own}"));
        }
        for library in [
            "<alloc::vec::Vec<hello::Thing> as core::ops::drop::Drop>::drop",
            "core::ptr::drop_in_place::<hello::Thing>",
            "<str as core::fmt::Display>::fmt",
            "__rustc::rust_panic",
            "<hello::_::Exported as wasmserve_guest::bindings::exports::wasmserve::gateway::handler::Guest>::handle",
        ] {
            assert_eq!(stack(&[library, "hello::app"]).lines(), ["(1 library frame)", "at hello::app"]);
        }
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
