//! The component's side of `wit/`, generated: nothing else is in here.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "application",
    imports: {
        // The two that may wait for the client. The others are plain calls, which are cheaper.
        "wasmserve:gateway/input.read": async,
        "wasmserve:gateway/response.write": async,
    },
    exports: { default: async },
});
