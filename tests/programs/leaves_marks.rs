//! Looks for marks of other requests in all that it can read, reports what it has found, leaves its own mark in all that it
//! can write, and ends as its path says: `/traps`, `/fails` with an error, `/spins` for ever, `/waits` for the end of the
//! request's body; or else it returns.
//!
//! Its mark is in the request's field `X-Mark`. The report is a line of numbers: marks of others in its memory, bytes of fresh
//! memory that are not zero, marks of others in what the host gives it, its first handle, two random numbers, and the
//! request's id.
#![expect(unsafe_code, reason = "it reads memory that it has not written")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is what this program is for")]

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

/// How much memory it grows by.
const FRESH: usize = 4 << 20;

impl Application<()> for Spy {
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let own = environ.get("HTTP_X_MARK").and_then(|mark| Mark::read(&mark)).ok_or("no mark")?;
        let in_memory = foreign_in_memory(&own);
        // The allocator keeps notes of its own in the memory that it had before, and behind what it gives.
        let (before, layout) = (memory_size(), Layout::from_size_align(FRESH + 64, 4096)?);
        // SAFETY: the layout is not empty. What comes is null where there is no memory left, and is looked at then no more.
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
        match path.to_str()? {
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

/// Marks of others in all that the host gives.
fn foreign_in_given(environ: &Environ, own: &Mark) -> Result<usize> {
    let mut given = environ.raw_head();
    for (name, value) in environ.copy_all().into_iter().chain(environ.headers()) {
        given.extend_from_slice(name.as_bytes());
        given.extend_from_slice(&value);
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

/// Marks of others in the whole memory, used or not.
fn foreign_in_memory(own: &Mark) -> usize {
    // A word that has none of these does not have the first byte of a mark.
    const FIRST: u64 = u64::from_ne_bytes([mark::PREFIX[0]; 8]);
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (mut found, mut at) = (0, 8);
    while at + mark::LENGTH + 8 <= memory_size() {
        // SAFETY: it is below the end of the memory, all of which can be read, and aligned.
        let word = unsafe { ptr::with_exposed_provenance::<u64>(at).read_volatile() } ^ FIRST;
        if word.wrapping_sub(ONES) & !word & (ONES << 7) != 0 {
            // SAFETY: the same; nothing is written meanwhile.
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

/// Bytes that are not zero in memory that was never written: what of it was not there before.
fn dirty_bytes(fresh: *const u8, before: usize) -> usize {
    let mut dirty = 0;
    for at in (before.saturating_sub(fresh.addr())..FRESH).step_by(8) {
        // SAFETY: it is within what was allocated, and aligned.
        let word = unsafe { fresh.add(at).cast::<u64>().read_volatile() };
        if word != 0 {
            dirty += word.to_ne_bytes().iter().filter(|byte| **byte != 0).count();
        }
    }
    dirty
}

fn fill(fresh: *mut u8, own: &Mark) {
    for at in (0..=FRESH - mark::LENGTH).step_by(mark::LENGTH) {
        // SAFETY: it is within what was allocated.
        unsafe { fresh.add(at).copy_from_nonoverlapping(own.text().as_ptr(), mark::LENGTH) };
    }
}

/// Leaves marks all over the stack.
#[inline(never)]
fn deep(own: &Mark, turns: usize) -> usize {
    let here = hint::black_box([*own; 40]);
    match turns {
        0 => here.len(),
        _ => deep(own, turns - 1) + here[turns % 40].text().len(),
    }
}
