//! The examples built into this program: templates for `wasmserve new`, and handlers that need no file.

/// A source for `wasmserve new` to start from.
#[derive(Debug)]
pub(crate) struct Template {
    /// Its name.
    pub name: &'static str,
    /// The text of the source.
    pub text: &'static str,
}

/// A handler that needs no file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Example {
    /// Its name.
    pub name: &'static str,
    /// The bytes of the component.
    pub component: &'static [u8],
    /// The text of its source.
    pub text: &'static str,
}

/// A file of `examples/`.
macro_rules! source {
    ($name:literal) => {
        include_str!(concat!("../../../examples/", $name, ".rs"))
    };
}

/// A component that the build script built from a file of `examples/`.
macro_rules! component {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/guests/wasm32-wasip2/release/", $name, ".wasm"))
    };
}

/// All templates. The first is the default.
pub(crate) const TEMPLATES: [Template; 6] = [
    Template { name: "hello", text: source!("hello") },
    Template { name: "verbs", text: source!("verbs") },
    Template { name: "form", text: source!("form") },
    Template { name: "logsink", text: source!("logsink") },
    Template { name: "dump", text: source!("dump") },
    Template { name: "stream", text: source!("ticks") },
];

/// `wasmserve logs`: prints the log records of Python's `HTTPHandler`.
pub(crate) static LOGS: Example = Example { name: "logs", component: component!("logsink"), text: source!("logsink") };

/// `wasmserve echo`: sends each request body back.
pub(crate) static ECHO: Example = Example { name: "echo", component: component!("echo"), text: source!("echo") };

/// The template with this name, or the first one.
#[must_use]
pub(crate) fn template(name: &str) -> &'static Template {
    static ALL: [Template; 6] = TEMPLATES;
    ALL.iter().find(|template| template.name == name).unwrap_or(&ALL[0])
}
