//! How a source is built.

/// How a handler's source becomes a component.
#[derive(Clone, Debug)]
pub(crate) struct BuildOptions {
    /// Whether the component tells files and lines in its stacks, which makes it many times larger.
    pub lines: bool,
    /// Whether what the compiler says may have colours.
    pub color: bool,
}
