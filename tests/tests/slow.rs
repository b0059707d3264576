//! What takes long: the clients that people use, handlers that cargo builds while the test runs, sieges, ten thousand requests,
//! bodies of a gibibyte, limits at their defaults, the benchmark in its short form. It runs only when it is asked for by its name:
//!
//! ```sh
//! tests/clients/install
//! cargo test --locked --test slow
//! ```
//!
//! The first line brings the clients, from curl to nginx. What is built is built offline, of what this workspace has fetched.
//!
//! A name is a claim, and starts with the rule or the fault that it stands for where there is one.

mod bench;
mod endurance;
mod patience;
mod real;
mod rebuild;
mod siege;
mod source;
mod stream;
