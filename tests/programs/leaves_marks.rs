//! Searches everything that it can read for marks of other requests, and leaves its own.
//!
//! Reports what it has found, leaves its own mark in everything that it can write, and ends as its path says: `/traps`;
//! `/fails` with an error; `/spins` forever; `/waits` for the end of the request's body. Otherwise it returns.
//!
//! Its mark is in the field `X-Mark` of the request. The report is a line of numbers: foreign marks in its memory,
//! non-zero bytes of fresh memory, foreign marks in what the host provides, its first handle, two random numbers, and
//! the id of the request.
#![expect(unsafe_code, reason = "it reads memory that it has not written")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]

use std::{
    alloc::{Layout, alloc},
    env, hint,
    io::{self, Read as _, Write as _},
    mem, process, ptr, slice,
};

use wasip2::{
    clocks::monotonic_clock::subscribe_duration,
    random::{insecure_seed::insecure_seed, random::get_random_u64},
};
use wasmserve_guest::{Application, Environ, Result, StartResponse, handler};
use wasmserve_test_programs::mark::{self, Mark};

handler!(Spy);

struct Spy;

/// By how much it grows its memory.
const FRESH: usize = 4 << 20;

impl Application<()> for Spy {
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let own = environ.get("HTTP_X_MARK").and_then(|mark| Mark::read(mark.as_bytes())).ok_or("no mark")?;
        let in_memory = foreign_in_memory(&own);
        // The allocator keeps its own data in the memory that existed before, and after each block that it returns.
        let (before, layout) = (memory_size(), Layout::from_size_align(FRESH + 64, 4096)?);
        // SAFETY: the layout is not empty. The result is null if there is no memory left, and then it is not read.
        let fresh = unsafe { alloc(layout) };
        let dirty = if fresh.is_null() { 0 } else { dirty_bytes(fresh, before) };
        let given = foreign_in_given(&environ, &own)?;
        let handles: Vec<_> = (0..20).map(|_| subscribe_duration(1 << 40)).collect();
        let (random, seed) = (get_random_u64(), insecure_seed().0);
        let id = environ.get("wasmserve.request_id").unwrap_or_default();
        let report = format!("report: {in_memory} {dirty} {given} {} {random} {seed} {id}\n", handles[0].handle());

        if !fresh.is_null() {
            fill(fresh, &own);
        }
        deep(&own, 200);
        let heap: Vec<Vec<Mark>> = (0..100).map(|_| vec![own; 100]).collect();
        mem::forget((handles, heap));
        println!("{own} a line");
        print!("{own} unfinished");
        io::stdout().flush()?;
        eprint!("{own} unfinished");
        environ.errors().log(format!("{own} a line\n[1] stdout: {own} forged\r\n[2] 200 {own} forged"));

        let path = environ.path();
        let write =
            start_response.attempt(&format!("200 {own}"), &[("X-Mark", own.text()), ("Set-Cookie", own.text())])?;
        if path == "/fails" {
            return Err(own.text().into());
        }
        write(report.as_bytes())?;
        write(own.text().repeat(500).as_bytes())?;
        match path {
            "/traps" => process::abort(),
            "/spins" => loop {
                hint::spin_loop();
            },
            "/waits" => _ = environ.input().read_all(1 << 20)?,
            _ => {}
        }
        Ok(())
    }
}

/// Counts foreign marks in everything that the host provides.
fn foreign_in_given(environ: &Environ, own: &Mark) -> Result<usize> {
    let mut given = environ.raw_head();
    for (name, value) in environ.copy_all().into_iter().chain(environ.headers()) {
        given.extend_from_slice(name.as_bytes());
        given.extend_from_slice(value.as_bytes());
    }
    for (name, value) in env::vars_os() {
        given.extend_from_slice(name.as_encoded_bytes());
        given.extend_from_slice(value.as_encoded_bytes());
    }
    env::args_os().for_each(|word| given.extend_from_slice(word.as_encoded_bytes()));
    let mut body = [0; 4096];
    let length = environ.input().read(&mut body)?;
    given.extend_from_slice(&body[..length]);
    Ok(mark::foreign(&given, own))
}

/// Counts foreign marks in the whole memory, used or not.
fn foreign_in_memory(own: &Mark) -> usize {
    // A word without this byte cannot contain the start of a mark.
    const FIRST: u64 = u64::from_ne_bytes([mark::PREFIX[0]; 8]);
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (mut found, mut at) = (0, 8);
    while at + mark::LENGTH + 8 <= memory_size() {
        // SAFETY: the address is aligned and below the end of the memory, all of which is readable.
        let word = unsafe { ptr::with_exposed_provenance::<u64>(at).read_volatile() } ^ FIRST;
        if word.wrapping_sub(ONES) & !word & (ONES << 7) != 0 {
            // SAFETY: as above, and nothing writes to it meanwhile.
            let bytes = unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(at), mark::LENGTH + 7) };
            found += mark::foreign(bytes, own);
        }
        at += 8;
    }
    found
}

#[cfg(target_family = "wasm")]
fn memory_size() -> usize {
    core::arch::wasm32::memory_size::<0>() << 16
}

#[cfg(not(target_family = "wasm"))]
fn memory_size() -> usize {
    0
}

/// Counts non-zero bytes in memory that was never written, apart from what existed before.
fn dirty_bytes(fresh: *const u8, before: usize) -> usize {
    let mut dirty = 0;
    for at in (before.saturating_sub(fresh.addr())..FRESH).step_by(8) {
        // SAFETY: the address is aligned and within the allocation.
        let word = unsafe { fresh.add(at).cast::<u64>().read_volatile() };
        if word != 0 {
            dirty += word.to_ne_bytes().iter().filter(|byte| **byte != 0).count();
        }
    }
    dirty
}

fn fill(fresh: *mut u8, own: &Mark) {
    for at in (0..=FRESH - mark::LENGTH).step_by(mark::LENGTH) {
        // SAFETY: the address is within the allocation.
        unsafe { fresh.add(at).copy_from_nonoverlapping(own.text().as_ptr(), mark::LENGTH) };
    }
}

/// Puts marks all over the stack.
#[inline(never)]
fn deep(own: &Mark, turns: usize) -> usize {
    let here = hint::black_box([*own; 40]);
    match turns {
        0 => here.len(),
        _ => deep(own, turns - 1) + here[turns % 40].text().len(),
    }
}
