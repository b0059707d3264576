//! Why building or loading a component failed.

/// Why building or loading a component failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The reason in one line, to be read after the name of the source.
    pub line: anyhow::Error,
    /// The compiler's messages, which were printed already; empty if it did not run.
    pub output: String,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { line: error.into(), output: String::new() }
    }
}
