//! wasmserve: a disposable web server that makes a fresh, limited, sandboxed wasm component instance for every request.
//!
//! The way of a request, and of a reader through this crate:
//!
//! 1. [`args`] is what the user typed, [`config`] what the program needs;
//! 2. [`source`] is what the user names, [`build`] how a component comes of it when it is Rust (with the [`sdk`] inside of
//!    this program), [`watch`] notices that it has changed, and [`served`] is the newest handler that works;
//! 3. [`start`] brings it all up, `life` says when it ends, [`server`] accepts connections and drains them at the end;
//! 4. [`connection`] is one socket: hyper, timeouts, the exact octets of each head;
//! 5. [`exchange`] is one request to one response, the only room that sees every stage;
//! 6. [`gateway`] is the protocol in words, pure: environ, input, start_response;
//! 7. [`handler`] is the component: loaded once, called once per exchange, each time in a new instance;
//! 8. [`roster`] is who runs, and who has to wait;
//! 9. [`fault`] is why an exchange did not go as it should, [`stack`] where a handler was, [`record`] what it tells, [`log`] who listens,
//!    [`tally`] and [`stats`] what it adds up to.
//!
//! Beside that way are commands of one room each: [`template`] writes handlers to begin with, [`inspect`] tells what a
//! component is, [`dump`] prints what clients send. [`example`] and [`sdk`] are what the program carries with it.

pub mod args;

pub mod config;

pub mod exit;

pub mod sdk;

pub mod build;

pub mod source;

pub mod served;

pub mod watch;

pub mod start;

mod life;

mod signal;

mod socket;

pub mod server;

pub mod connection;

pub mod exchange;

pub mod gateway;

pub mod handler;

pub mod roster;

pub mod fault;

pub mod stack;

pub mod record;

pub mod log;

pub mod tally;

pub mod stats;

pub mod example;

pub mod template;

pub mod inspect;

pub mod dump;
