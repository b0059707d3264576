//! The component's side of `wit/`, generated: nothing else is in here.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "application",
    exports: { default: async },
});
