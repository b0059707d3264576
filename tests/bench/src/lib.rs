//! What a fresh instance for every request costs: the real server beside a bare hyper, which is the limit, and beside other
//! servers, all in one run and in turn, so that what else the machine does is the same for all.
//!
//! The figure to steer by is the CPU time of the server for one request, as the load generator shares the machine's cores.
//! `cargo run --release -p wasmserve-bench -- --help` tells what there is.

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
