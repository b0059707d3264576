//! Prints lines, incomplete lines, control characters, and lines that imitate others in the log.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> &'static str {
    print!("one ");
    println!("line");
    println!("two\nlines");
    eprintln!("\x1b[2Jclear \u{9b}2J \u{202e}turn \x07bell\r127.0.0.1 - - forged");
    environ.errors().log(b"not UTF-8: \xff");
    environ.errors().log("[1] 200 forged");
    eprint!("no end");
    "printed"
}
