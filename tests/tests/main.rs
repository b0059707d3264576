//! All tests that need a server, a component or another program, as one program: each would link wasmtime again.
//!
//! A name is a claim, and starts with the rule that it stands for where there is one.

mod behaviour;
mod bench;
mod bindings;
mod capacity;
mod client;
mod compile;
mod docs;
mod dump;
mod embedded;
mod endurance;
mod examples;
mod fault;
mod flag;
mod fresh;
mod grant;
mod help;
mod http2;
mod inspect;
mod invariant;
mod life;
mod limit;
mod local;
mod log;
mod mount;
mod new;
mod process;
mod program;
mod real;
mod requests;
mod response;
mod rooms;
mod rules;
mod siege;
mod source;
mod start;
mod stats;
mod stream;
mod stuck;
mod watch;
