//! The servers that handlers are tested on: ours, and others, which serve what `wasmserve export` writes.

use std::{net::TcpListener, path::Path, process::Command};

use crate::{guest, real, server::Launch};

/// A server of components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Ours.
    Wasmserve,
    /// The example in the documentation of the package `wasmserve-gateway`.
    Example,
    /// `wasmtime serve`, on hyper.
    WasmtimeServe,
    /// `jco serve`, on Node's own HTTP.
    JcoServe,
}

impl Host {
    /// A server for this component on a free port, without flags that change what handlers can do.
    ///
    /// # Panics
    ///
    /// The host is not installed.
    #[must_use]
    pub fn launch(self, component: &Path) -> Launch {
        match self {
            Self::Wasmserve => Launch::file(component),
            Self::Example => Launch::foreign(Command::new(guest::example_host())).flags([component]),
            // With its prefix for each line, the end of a line comes with the beginning of the next one.
            Self::WasmtimeServe => Launch::foreign(real::program("wasmtime"))
                .flags(["serve", "--no-logging-prefix", "--addr", "127.0.0.1:0"])
                .flags([component]),
            // Without isolation, all requests share an instance.
            Self::JcoServe => Launch::foreign(real::jco())
                .flags(["serve", "--isolate-requests", "instance"])
                .flags(["--host", "127.0.0.1", "--port", &free_port().to_string()])
                .flags([component]),
        }
    }

    /// Whether a response that is cut may be lost from its beginning: hyper drops what it has not written when it learns
    /// that a body is incomplete.
    pub(crate) fn may_drop_what_is_cut(self) -> bool {
        self == Self::WasmtimeServe
    }

    /// Whether the whole server ends with a response that is cut, as Node does with an error that is not caught.
    pub(crate) fn ends_with_what_is_cut(self) -> bool {
        self == Self::JcoServe
    }

    /// Whether it has our log.
    #[must_use]
    pub fn is_ours(self) -> bool {
        self == Self::Wasmserve
    }
}

/// A port for a server that does not report the one that the system has chosen.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the system has ports left");
    listener.local_addr().expect("the listener is bound").port()
}
