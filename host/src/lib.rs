//! A disposable web server that runs a fresh, limited, sandboxed wasm component instance for each request.
//!
//! This is the program's library, for programs that embed the server. This one serves a closure:
//!
//! ```
//! use wasmserve::{Answering, Call, ConcurrencyLimits, GatewayOptions, Grants, Limits, Native, Server};
//!
//! fn hello(call: &mut Call) -> Answering<'_> {
//!     Box::pin(async move {
//!         call.writer.start("200 OK", Vec::new(), None).map_err(|error| error.to_string())?;
//!         call.writer.finish("Hello, World!\n".into()).map_err(|error| format!("{error:?}"))
//!     })
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let limits = Limits::DEFAULT;
//! let handler = Box::new(Native::new(hello, &limits, &Grants::default()));
//! let concurrency = ConcurrencyLimits::of_this_machine();
//! let server = Server::new(handler, limits, concurrency, GatewayOptions::DEFAULT, Vec::new());
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     // Stops at once, and waits for exchanges in progress without a time limit.
//!     server.run(listener, None, async { std::future::pending::<()>() }).await
//! })
//! # }
//! ```
//!
//! The modules in the order in which a request passes them; each uses only those listed before it:
//!
//! 1. `base` holds what every module may use; [`gateway`] is a package of its own: the protocol rules, without I/O;
//! 2. `fault` lists why an exchange can fail, `capture` records exchanges to the byte, `event` defines events and listeners,
//!    `listen` implements the listeners;
//! 3. `admission` decides which handlers run and which wait, `handler` is the interface to handlers, `kind` implements
//!    it for components, directories and closures;
//! 4. `source` turns what the user names into a handler;
//! 5. `exchange` takes one request to one response; it is the only module that sees every stage;
//! 6. `transport` serves one connection, `server` all of them, `replay` sends captured requests again, `viewer` shows
//!    what was captured, and `lifecycle` decides when the server stops;
//! 7. `program` is the command line and its commands.

mod admission;
mod base;
pub mod capture;
mod compose;
mod event;
mod exchange;
mod fault;
mod handler;
mod kind;
mod lifecycle;
mod listen;
mod program;
mod replay;
mod server;
mod source;
mod transport;
mod viewer;

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
        exchange::{CLIENT_LEFT, End, Exchange, Outcome, Sent},
        listening::Listening,
        notice::{Level, Notice},
        snapshot::Snapshot,
    },
    fault::{Class, Fault, Limit, MemoryLimit},
    handler::{Call, Handler, lanes::CallFuture},
    kind::{
        native::{Answering, Native},
        wasm::{cores::Pool, engine::Engine, load},
    },
    program::main,
    server::Server,
};
