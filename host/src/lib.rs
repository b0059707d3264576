//! wasmserve: a disposable web server that makes a fresh, limited, sandboxed wasm component instance for every request.
//!
//! The way of a request, and of a reader through this crate:
//!
//! 1. [`args`] is what the user typed, [`config`] what the program needs;
//! 2. [`start`] brings it all up, `life` says when it ends, [`server`] accepts connections and drains them at the end;
//! 3. [`connection`] is one socket: hyper, timeouts, the exact octets of each head;
//! 4. [`exchange`] is one request to one response, the only room that sees every stage;
//! 5. [`gateway`] is the protocol in words, pure: environ, input, start_response;
//! 6. [`handler`] is the component: loaded once, called once per exchange, each time in a new instance;
//! 7. [`roster`] is who runs, and who has to wait;
//! 8. [`fault`] is why an exchange did not go as it should, [`stack`] where a handler was, [`record`] what it tells, [`log`] who listens,
//!    [`tally`] and [`stats`] what it adds up to.
//!
//! Beside that way are commands of one room each: [`template`] writes handlers to begin with, [`inspect`] tells what a
//! component is, [`dump`] prints what clients send. [`example`] and [`sdk`] are what the program carries with it.

pub mod args;

pub mod config;

pub mod exit;

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

pub mod sdk;

pub mod template;

pub mod inspect;

pub mod dump;
