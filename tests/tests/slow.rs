//! Slow tests: third-party clients, the viewer's page in a browser, handlers that cargo builds, sieges, ten thousand
//! requests, bodies of a gibibyte, default timeouts, the frameworks of Python, a cluster of wasmCloud, exported handlers on
//! other hosts, and the benchmark in its short form.
//!
//! They run only when asked for by name:
//!
//! ```sh
//! tests/clients/install
//! cargo test --locked --test slow
//! ```
//!
//! The first command installs the clients, from curl to nginx, and the programs of a cluster. Builds are offline, with the packages that this
//! workspace has fetched.
//!
//! The name of a test is a claim, and starts with the number of the rule or fault that it tests, if any.

mod bench;
mod cluster;
mod elsewhere;
mod endurance;
mod frameworks;
mod page;
mod patience;
mod real;
mod rebuild;
mod siege;
mod source;
mod stream;
mod swapped_files;
