//! The program `wasmserve`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasmserve::main()
}
