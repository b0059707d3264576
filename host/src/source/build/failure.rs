//! Why there is no component.

/// Why there is no component.
#[derive(Debug)]
pub(crate) struct Failure {
    /// In one line, to be read after the name of what was to be built.
    pub line: anyhow::Error,
    /// What the compiler printed, as it was shown already; empty if it did not run.
    pub output: String,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { line: error.into(), output: String::new() }
    }
}
