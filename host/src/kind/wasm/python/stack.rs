//! Where Python code is: reads the frames of the interpreter from its memory.

use std::sync::Arc;

use wasmtime::component::WasmList;

use super::host::Dirs;

/// A view of an instance's memory.
pub(in crate::kind::wasm) struct View {
    /// The address of the interpreter's state.
    pub(super) runtime: u32,
    /// All of the memory, once it was shown.
    pub(super) memory: Option<WasmList<u8>>,
    /// The directories that it sees, whatever it is granted.
    pub(in crate::kind::wasm) dirs: Arc<Dirs>,
}
