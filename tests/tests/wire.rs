//! The real server, and our own clients. A minute or two; nothing is needed but what builds the server, and a shell.
//!
//! A name is a claim, and starts with the rule or the fault that it stands for where there is one.

mod bulk;
mod capacity;
mod client;
mod compile;
mod dump;
mod embedded;
mod examples;
mod fault;
mod flag;
mod fresh;
mod grant;
mod help;
mod home;
mod http2;
mod inspect;
mod life;
mod limit;
mod log;
mod mount;
mod new;
mod process;
mod requests;
mod response;
mod script;
mod start;
mod stats;
mod stuck;
mod toolchain;
mod watch;
