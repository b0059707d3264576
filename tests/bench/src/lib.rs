//! What a fresh instance per request costs.
//!
//! Compares the real server with a bare hyper, which is the lower bound, and with other servers. All of them are
//! measured alternately in one run, so that other load on the machine affects all of them alike.
//!
//! The main figure is the server's CPU time per request, because the load generator shares the machine's cores.
//! `cargo run --release -p wasmserve-bench -- --help` lists the modes.

pub mod args;

pub mod bare;

pub mod contender;

pub mod exercise;

pub mod life;

pub mod load;

pub mod mode;

pub mod process;

pub mod sized;

pub mod spread;
