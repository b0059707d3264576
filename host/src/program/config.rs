//! The server's configuration, checked before the server listens.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use wasmserve_gateway::mounts::Mounts;

use crate::{
    base::{
        address::Address,
        grants::Allowance,
        limits::{ConcurrencyLimits, EngineLimits, Limits},
        options::{FileOptions, GatewayOptions},
    },
    capture::{archive::ArchiveOptions, redact::Redaction, store::CaptureOptions},
    kind::{
        bin::{self, Bin},
        wasm::compile::CompileOptions,
    },
    lifecycle::options::LifecycleOptions,
    listen::access_log::format::Format,
    source::{build::options::BuildOptions, filter::Wrap, locate::Named},
    viewer::ViewerOptions,
};

/// The default of `--host`: the loopback address, which other machines cannot reach.
pub(crate) const HOST: &str = "127.0.0.1";

/// The default of `--port`.
pub(crate) const PORT: u16 = 8000;

/// The default of `--drain`.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// What the user has to know who gave no host where other programs would listen on all addresses.
pub(crate) fn narrowed(port: u16) -> String {
    format!("only this machine can connect; for others, write --addr 0.0.0.0:{port}")
}

/// Everything that decides how the server behaves. No flag is read later.
#[derive(Debug)]
pub(crate) struct Config {
    /// The handlers to serve, with their mounts.
    pub handlers: Mounts<Mounted>,
    /// What they may access, a line for each grant.
    pub grants: Vec<String>,
    /// The address to listen on.
    pub addr: Address,
    /// Whether other programs would listen on all addresses, as with `:9000`.
    pub is_narrowed: bool,
    /// The limits of connections and heads. Those of handlers are in `handlers`.
    pub limits: Limits,
    /// How many handlers may run and how many requests may wait at the same time.
    pub concurrency: ConcurrencyLimits,
    /// The limits of the wasm engine.
    pub engine_limits: EngineLimits,
    /// The maximum size of a component's file in bytes.
    pub component: u64,
    /// How long exchanges in progress may continue after the server was asked to stop.
    pub drain: Duration,
    /// How many connections may be open at the same time; if `None`, the number of file descriptors decides.
    pub connections: Option<usize>,
    /// How components are compiled.
    pub compile: CompileOptions,
    /// What the user chose about the viewer, if there is one. Then exchanges are captured.
    pub ui: Option<ViewerOptions>,
    /// What is captured of exchanges, and how much memory that may take; `None` if nothing is.
    pub capture: Option<CaptureOptions>,
    /// Where exchanges are written, if anywhere.
    pub archive: Option<ArchiveOptions>,
    /// What is replaced in exports of captured exchanges.
    pub redaction: Redaction,
    /// How sources are built.
    pub build: BuildOptions,
    /// Whether a handler is replaced when its file or its source changes.
    pub watch: bool,
    /// Whether requests that are kept are replayed when a handler is replaced.
    pub replays_on_save: bool,
    /// What the gateway does with requests and responses.
    pub gateway: GatewayOptions,
    /// How long a closed connection may still send buffered data (`SO_LINGER`); the system's default if `None`.
    pub linger: Option<Duration>,
    /// The address at which metrics are served, if any.
    pub stats: Option<SocketAddr>,
    /// The format of the access log.
    pub access_log: Format,
    /// The limits that the user gave, as flags.
    pub limits_given: Vec<String>,
    /// Whether to show the server's address as a QR code.
    pub qr: bool,
    /// When the server stops.
    pub lifecycle: LifecycleOptions,
}

/// A handler to serve.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// The handler, as the user names it.
    pub named: Named,
    /// The filters in front of it, the outermost one first.
    pub filters: Vec<Wrap>,
    /// What it may use and access.
    pub allowance: Arc<Allowance>,
    /// How it serves files, if it is a directory.
    pub files: FileOptions,
}

impl Mounted {
    /// Closes ports of this machine to the handler, whatever is granted.
    #[must_use]
    pub(crate) fn without(self, ports: &[u16]) -> Self {
        let mut allowance = Allowance::clone(&self.allowance);
        allowance.grants.closed = ports.to_vec();
        Self { allowance: Arc::new(allowance), ..self }
    }

    /// The request bin, if it is one.
    #[must_use]
    pub(crate) fn bin(&self) -> Option<Bin> {
        match self.named {
            Named::Bin { echoes } => Some(Bin::new(bin::Answer::first(echoes))),
            Named::Path { .. } | Named::Example(_) => None,
        }
    }

    /// The handler as the user names it, and the filters in front of it.
    #[must_use]
    pub(crate) fn title(&self) -> String {
        let named = &self.named;
        match &self.filters[..] {
            [] => named.to_string(),
            filters => {
                let filters: Vec<String> = filters.iter().map(|filter| filter.named.to_string()).collect();
                format!("{named}, behind {}", filters.join(", "))
            }
        }
    }
}
