//! Connects to the query's `addr`, sends a line and answers with the reply.
//!
//! For `/listen`, listens there instead. For `/open`, only opens a socket.

use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream, UdpSocket},
};

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> String {
    let query = environ.query();
    let addr = query.get("addr").unwrap_or_default();
    let outcome = match environ.path() {
        "/listen" => TcpListener::bind(addr).map(|_| "listening".to_owned()),
        "/open" => UdpSocket::bind("0.0.0.0:0").map(|_| "open".to_owned()),
        _ => talk(addr),
    };
    format!("{outcome:?}")
}

fn talk(addr: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(b"hello from inside\n")?;
    io::read_to_string(stream)
}
