//! Images as parts of components.

use std::{future::Future, sync::Arc};

use wasmtime::Config;

use crate::kind::wasm::python::assemble;

/// What the memory of an instance begins with.
pub(in crate::kind::wasm) struct Image(Vec<u8>);

/// Has an engine take memories from images. They are a part of their components here.
pub(in crate::kind::wasm) fn allocate(_: &mut Config) {}

impl Image {
    /// Makes an image of this memory.
    ///
    /// # Errors
    ///
    /// Never.
    pub(in crate::kind::wasm) fn new(memory: &[u8]) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self(memory.to_owned())))
    }

    /// The core module that has the memory.
    pub(in crate::kind::wasm) fn module(&self) -> Vec<u8> {
        assemble::image(&self.0)
    }

    /// Runs a future in which an instance with this image is created.
    pub(in crate::kind::wasm) fn begin<F: Future>(self: &Arc<Self>, future: F) -> F {
        future
    }

    /// Gives back the memory that is kept for instances to come.
    pub(in crate::kind::wasm) fn trim(&self) {}
}
