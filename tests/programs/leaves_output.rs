//! Prints without a line end, and then ends as its path says; the query's `bytes` are how many it prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]

use std::{
    hint::black_box,
    io::{self, BufWriter, Write as _},
    process,
};

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<&'static str> {
    let write = start_response("200 OK", &[("Content-Type", "text/plain")]);
    let bytes = environ.query().get("bytes").unwrap_or("4").parse()?;
    print!("{}", "left".repeat(bytes).get(..bytes).unwrap_or_default());
    match environ.path() {
        "/panics" => panic!("on purpose"),
        "/errs" => return Err("an error".into()),
        "/aborts" => process::abort(),
        "/exits" => process::exit(0),
        "/overflows" => println!("{}", deeper(0)),
        "/hoards" => hoard(),
        "/spins" => loop {
            black_box(());
        },
        "/reads" => drop(environ.input().read_all(10)?),
        "/streams" => {
            for chunk in ["one", "two"] {
                write(chunk.as_bytes())?;
                print!(", {chunk}");
            }
        }
        "/interleaves" => {
            eprint!("error");
            print!(" of stdout");
            eprint!(" of stderr");
        }
        "/locks" => {
            let mut locked = BufWriter::new(io::stdout().lock());
            write!(locked, " in a lock")?;
        }
        "/is_not_utf8" => io::stdout().write_all(b"\xe2\x82")?,
        _ => {}
    }
    Ok("answered")
}

fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { black_box(deeper(black_box(depth + 1))) + 1 }
}

fn hoard() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; 1 << 20]);
        black_box(&hoard);
    }
}
