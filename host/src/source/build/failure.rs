//! Why building or loading a component failed.

use std::path::PathBuf;

/// Why building or loading a component failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The reason in one line, to be read after the name of the source.
    pub line: anyhow::Error,
    /// The compiler's messages, which were printed already; empty if it did not run.
    pub output: String,
    /// Files that the build has read or looked for; not complete.
    pub sources: Vec<PathBuf>,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { line: error.into(), output: String::new(), sources: Vec::new() }
    }
}
