//! The options for building a handler from source.

/// The options for building a handler from source.
#[derive(Clone, Debug)]
pub(crate) struct BuildOptions {
    /// Whether the component has line tables, so that stacks show files and lines. Makes it many times larger.
    pub lines: bool,
    /// Whether the compiler's messages may have colours.
    pub color: bool,
}
