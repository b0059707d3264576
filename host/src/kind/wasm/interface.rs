//! Finds out by its exports how a component is called.

use super::{gateway, wasi_http};

/// The interfaces through which a component can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// Our own, `wasmserve:gateway/handler`.
    Gateway,
    /// `wasi:http/incoming-handler` of WASI 0.2.
    WasiHttp,
}

impl Interface {
    /// The interface to call a component with these exports through, or `None` if it has none that we know. Our own comes
    /// first, because it can express the most.
    #[must_use]
    pub(crate) fn of(exports: &[String]) -> Option<Self> {
        [(gateway::HANDLER, Self::Gateway), (wasi_http::HANDLER, Self::WasiHttp)]
            .into_iter()
            .find(|(name, _)| exports.iter().any(|export| export.starts_with(name)))
            .map(|(_, interface)| interface)
    }
}
