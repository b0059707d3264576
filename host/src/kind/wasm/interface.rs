//! Finds out by its exports how a component is called.

use super::{command, gateway, wasi_http};

/// The interfaces through which a component can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// Our own, `wasmserve:gateway/handler`.
    Gateway,
    /// `wasi:http/incoming-handler` of WASI 0.2.
    WasiHttp,
    /// `wasi:cli/run` of WASI 0.2, through which a program answers as a CGI program.
    Command,
}

impl Interface {
    /// The interface to call a component with these exports through, or `None` if it has none that we know. Our own comes
    /// first, because it can express the most.
    #[must_use]
    pub(crate) fn of(exports: &[String]) -> Option<Self> {
        [(gateway::HANDLER, Self::Gateway), (wasi_http::HANDLER, Self::WasiHttp), (command::RUN, Self::Command)]
            .into_iter()
            .find(|(name, _)| exports.iter().any(|export| export.starts_with(name)))
            .map(|(_, interface)| interface)
    }
}
