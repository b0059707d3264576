//! Tests of the real server with our own clients.
//!
//! They take a minute or two, and need only what builds the server, a shell, and util-linux's `script`. The name of a test is a claim, and
//! starts with the number of the rule or fault that it tests, if any.

mod bulk;
mod capacity;
mod capture_files;
mod cgi;
mod client;
mod compile;
mod deployment;
mod dump;
mod embedded;
mod examples;
mod export;
mod fault;
mod files;
mod filter;
mod flag;
mod fresh;
mod grant;
mod help;
mod home;
mod housekeeping;
mod http2;
mod inspect;
mod life;
mod limit;
mod log;
mod mount;
mod new;
mod outcome;
mod output;
mod process;
mod python;
mod python_source;
mod python_stacks;
mod replay;
mod replayed;
mod requests;
mod response;
mod script;
mod start;
mod stats;
mod stuck;
mod terminal;
mod toolchain;
mod viewer;
mod wasi_http;
mod wasi_http_3;
mod watch;
mod wrong_kind;
