//! The clients that people use. `tests/clients/install` brings them.

mod curl;
mod hand;
mod load;
mod nginx;
mod node;
mod python;
mod redbot;
mod strict;

use std::process::Command;

use wasmserve_tests::{real::told, server::Server};

fn url(server: &Server) -> String {
    format!("http://{}/", server.addr())
}

/// What a program prints that does all that a library can do with five guests. It is given their URLs.
fn transcript(command: &mut Command, program: &str) -> String {
    let servers = ["hello", "echo", "environ", "ticks", "traps_after_first_write"].map(Server::start);
    told(command.arg(program).args(servers.iter().map(url)), "")
}

/// What it is to print, whatever the library: so they are tried alike.
const SAID: &str = "\
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
