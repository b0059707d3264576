//! The examples built into this program: templates for `wasmserve new`, and handlers and filters that need no file.

/// A source for `wasmserve new` to start from.
#[derive(Debug)]
pub(crate) struct Template {
    /// Its name.
    pub name: &'static str,
    /// What is written.
    pub files: Files,
}

/// What `wasmserve new` writes.
#[derive(Debug)]
pub(crate) enum Files {
    /// A Rust file with this text.
    Rust(&'static str),
    /// A Python file with this text.
    Python(&'static str),
    /// A directory with a Django project: the path of each file, with `/`, and its text.
    Django(&'static [(&'static str, &'static str)]),
}

/// A handler or a filter that needs no file.
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

/// A file of `examples/python/`.
macro_rules! python {
    ($name:literal) => {
        include_str!(concat!("../../../examples/python/", $name))
    };
}

/// The files of `examples/python/django/` with these names.
macro_rules! django {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("../../../examples/python/django/", $name)))),*]
    };
}

/// A component that the build script built from a file of `examples/`.
macro_rules! component {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/guests/wasm32-wasip2/release/", $name, ".wasm"))
    };
}

/// The project of the template `django`.
const DJANGO: &[(&str, &str)] = django!(
    "manage.py",
    "requirements.txt",
    "data/.gitignore",
    "website/__init__.py",
    "website/database.py",
    "website/models.py",
    "website/settings.py",
    "website/templates/guest_book.html",
    "website/urls.py",
    "website/views.py",
    "website/wsgi.py"
);

/// All templates. The first is the default.
pub(crate) const TEMPLATES: [Template; 10] = [
    Template { name: "hello", files: Files::Rust(source!("hello")) },
    Template { name: "verbs", files: Files::Rust(source!("verbs")) },
    Template { name: "form", files: Files::Rust(source!("form")) },
    Template { name: "logsink", files: Files::Rust(source!("logsink")) },
    Template { name: "dump", files: Files::Rust(source!("dump")) },
    Template { name: "stream", files: Files::Rust(source!("ticks")) },
    Template { name: "filter", files: Files::Rust(source!("filters/stamp")) },
    Template { name: "wsgi", files: Files::Python(python!("hello_wsgi.py")) },
    Template { name: "flask", files: Files::Python(python!("hello_flask.py")) },
    Template { name: "django", files: Files::Django(DJANGO) },
];

/// `wasmserve logs`: prints the log records of Python's `HTTPHandler`.
pub(crate) static LOGS: Example = Example { name: "logs", component: component!("logsink"), text: source!("logsink") };

/// `wasmserve echo`: sends each request body back.
pub(crate) static ECHO: Example = Example { name: "echo", component: component!("echo"), text: source!("echo") };

/// The built-in handler with this name.
#[must_use]
pub(crate) fn built_in(name: &str) -> Option<&'static Example> {
    [&LOGS, &ECHO].into_iter().find(|example| example.name == name)
}

/// The filters that need no file: `--wrap auth`.
pub(crate) static FILTERS: [Example; 3] = [
    Example { name: "auth", component: component!("auth"), text: source!("filters/auth") },
    Example { name: "cors", component: component!("cors"), text: source!("filters/cors") },
    Example {
        name: "delay-and-fail",
        component: component!("delay-and-fail"),
        text: source!("filters/delay_and_fail"),
    },
];

/// The template with this name, or the first one.
#[must_use]
pub(crate) fn template(name: &str) -> &'static Template {
    static ALL: [Template; 10] = TEMPLATES;
    ALL.iter().find(|template| template.name == name).unwrap_or(&ALL[0])
}
