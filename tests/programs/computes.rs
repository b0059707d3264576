//! Computes for as many `turns` as the query says, and answers with the result.

use std::hint::black_box;

use wasmserve_guest::{Environ, Result, handler};

handler!(app);

fn app(environ: Environ) -> Result<String> {
    let turns: u64 = environ.query().get("turns").unwrap_or("1000000").parse()?;
    let sum = (0..turns).fold(0_u64, |sum, turn| black_box(sum.wrapping_mul(31).wrapping_add(turn)));
    Ok(format!("{turns} turns: {sum:016x}\n"))
}
