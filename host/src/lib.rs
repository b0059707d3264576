//! wasmserve: a disposable web server that makes a fresh, limited, sandboxed wasm component instance for every request.
//!
//! This is the library of the program, for programs that embed the server. A server of a closure:
//!
//! ```
//! use std::sync::Arc;
//!
//! use wasmserve::{Call, ConcurrencyLimits, GatewayOptions, Grants, Limits, Native, Server};
//!
//! # fn main() -> std::io::Result<()> {
//! let hello = |call: &mut Call| -> wasmserve::Answering<'_> {
//!     Box::pin(async move {
//!         call.writer.start("200 OK", Vec::new(), None).map_err(|error| error.to_string())?;
//!         call.writer.finish("Hello, World!\n".into()).map_err(|error| format!("{error:?}"))
//!     })
//! };
//! let limits = Limits::DEFAULT;
//! let handler = Box::new(Native::new(hello, &limits, &Grants::default()));
//! let concurrency = ConcurrencyLimits::of_this_machine();
//! let server = Server::new(handler, limits, concurrency, GatewayOptions::DEFAULT, Vec::new());
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     // Stops at once, and would wait for exchanges in progress without end.
//!     server.run(listener, None, async { std::future::pending::<()>() }).await
//! })
//! # }
//! ```
//!
//! The way of a request, and of a reader through the rooms, each of which uses only those before it:
//!
//! 1. `base` is what every room may use; [`gateway`] is a package of its own: the protocol in words, without I/O;
//! 2. `fault` is why an exchange did not go as it should, `event` what happens and who listens, `listen` the listeners;
//! 3. `admission` is who runs and who waits, `handler` the seam to what answers, `kind` what can answer: components and closures;
//! 4. `source` is what the user names, and how a handler comes of it;
//! 5. `exchange` is one request to one response, the only room that sees every stage;
//! 6. `transport` is one connection, `server` all of them, `lifecycle` when it ends;
//! 7. `program` is the command line and its commands.

mod admission;
mod base;
mod event;
mod exchange;
mod fault;
mod handler;
mod kind;
mod lifecycle;
mod listen;
mod program;
mod server;
mod source;
mod transport;

pub use wasmserve_gateway as gateway;

pub use crate::{
    admission::{Admission, Busy, Slot, call_stats::CallStats},
    base::{
        grants::{Allowance, Dir, Grants, Net},
        limits::{ConcurrencyLimits, EngineLimits, Limits},
        options::GatewayOptions,
        stack::{Frame, Stack, Wait},
    },
    event::{
        Event, Events, Listener, Stream,
        counters::{Counters, Tally},
        exchange::{CLIENT_LEFT, End, Exchange, Outcome},
        notice::{Level, Notice},
        snapshot::Snapshot,
    },
    fault::{Class, Fault, Limit, MemoryLimit},
    handler::{Call, Handler, lanes::CallFuture},
    kind::{
        native::{Answering, Native},
        wasm::{
            engine::{Engine, Pool},
            load,
        },
    },
    program::main,
    server::Server,
};
