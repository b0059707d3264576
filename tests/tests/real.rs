//! Third-party clients, which `tests/clients/install` installs.

mod curl;
mod exports;
mod hand;
mod load;
mod nginx;
mod node;
mod python;
mod redbot;
mod strict;

use std::process::Command;

use wasmserve_tests::{real::stdout_of, server::Server};

fn url(server: &Server) -> String {
    format!("http://{}/", server.addr())
}

/// The output of a program that exercises a library with five guests. It gets their URLs as arguments.
fn transcript(command: &mut Command, program: &str) -> String {
    let servers = ["hello", "echo", "environ", "ticks", "traps_after_first_write"].map(Server::start);
    stdout_of(command.arg(program).args(servers.iter().map(url)), "")
}

/// The output that is expected with every library.
const EXPECTED: &str = "\
get 200 OK b'Hello, World!\\n'
post 200 text/x b'abc=def'
upload 200 b'one two three'
keep 1
HEAD 200 14 0
GET 200 14 14
line b'tick 1\\n'
line b'tick 2\\n'
cut 200 noticed
cut 200 noticed
";
