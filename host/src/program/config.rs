//! What the server needs, checked before a socket listens. No flag is read after it.

use std::{net::SocketAddr, time::Duration};

use wasmserve_gateway::mounts::Mounts;

use crate::{
    base::{
        grants::Grants,
        limits::{ConcurrencyLimits, EngineLimits, Limits},
        options::GatewayOptions,
    },
    kind::wasm::compile::CompileOptions,
    lifecycle::options::LifeOptions,
    listen::access_log::format::Format,
    source::{build::options::BuildOptions, locate::Named},
};

/// Where to listen without any flag.
pub(crate) const ADDR: &str = "127.0.0.1:8000";

/// How long running exchanges may go on after the server was asked to stop, without any flag.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// All that decides how the server behaves.
#[derive(Debug)]
pub(crate) struct Config {
    /// The handlers to serve, and where.
    pub handlers: Mounts<Named>,
    /// Where to listen, as `HOST:PORT`; a name is looked up when it is bound.
    pub addr: String,
    /// What one exchange may use.
    pub limits: Limits,
    /// How many handlers may run at the same time.
    pub concurrency: ConcurrencyLimits,
    /// What components get of the process.
    pub engine_limits: EngineLimits,
    /// Octets of a component's file.
    pub component: u64,
    /// How long running exchanges may go on after the server was asked to stop.
    pub drain: Duration,
    /// How many connections may be open at the same time; as many as there are descriptors for if `None`.
    pub connections: Option<usize>,
    /// How components are compiled.
    pub compile: CompileOptions,
    /// How sources are built.
    pub build: BuildOptions,
    /// Whether a handler is replaced when its file or its source changes.
    pub watch: bool,
    /// What handlers may touch.
    pub grants: Grants,
    /// What the gateway does with requests and responses.
    pub gateway: GatewayOptions,
    /// How long a closed connection may still send what waits for the client (`SO_LINGER`); the system's own way if `None`.
    pub linger: Option<Duration>,
    /// Where the statistics can be read, if anywhere.
    pub stats: Option<SocketAddr>,
    /// How exchanges are logged.
    pub access_log: Format,
    /// How long the server lives.
    pub life: LifeOptions,
}
