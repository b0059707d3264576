//! The examples that are inside of this program: sources to begin with, and handlers that are useful every day.

/// A source to begin with.
#[derive(Debug)]
pub(crate) struct Template {
    /// What it is called.
    pub name: &'static str,
    /// The source.
    pub text: &'static str,
}

/// A handler that needs no file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Example {
    /// What it is called.
    pub name: &'static str,
    /// The component.
    pub component: &'static [u8],
    /// Its source.
    pub text: &'static str,
}

/// A file of `examples/`.
macro_rules! source {
    ($name:literal) => {
        include_str!(concat!("../../../examples/", $name, ".rs"))
    };
}

/// A component that this package's build script has made of such a file.
macro_rules! component {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/guests/wasm32-wasip2/release/", $name, ".wasm"))
    };
}

/// All sources to begin with. The first is for those who did not choose.
pub(crate) const TEMPLATES: [Template; 6] = [
    Template { name: "hello", text: source!("hello") },
    Template { name: "verbs", text: source!("verbs") },
    Template { name: "form", text: source!("form") },
    Template { name: "logsink", text: source!("logsink") },
    Template { name: "dump", text: source!("dump") },
    Template { name: "stream", text: source!("ticks") },
];

/// `wasmserve logs`: receives the records of Python's `HTTPHandler`.
pub(crate) static LOGS: Example = Example { name: "logs", component: component!("logsink"), text: source!("logsink") };

/// `wasmserve echo`: sends bodies back.
pub(crate) static ECHO: Example = Example { name: "echo", component: component!("echo"), text: source!("echo") };

/// The template of that name, or the first one.
#[must_use]
pub(crate) fn template(name: &str) -> &'static Template {
    static ALL: [Template; 6] = TEMPLATES;
    ALL.iter().find(|template| template.name == name).unwrap_or(&ALL[0])
}
