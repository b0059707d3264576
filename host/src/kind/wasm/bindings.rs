//! Bindings generated from `wit/`; this file contains nothing else.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "application",
    exports: { default: async },
});
