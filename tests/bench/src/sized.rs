//! Generates handlers of a given size.
//!
//! Half of a handler is code, half is data, which is spread over a memory that is larger by two thirds. The handler
//! greets after it has read from all of its data and called its first and its last function.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The number of data segments.
const SEGMENTS: usize = 16;

/// The size of a function in bytes.
const FUNCTION: usize = 1 << 10;

const PAGE: usize = 64 << 10;

/// The size of a component without content.
const FRAME: usize = 2 << 10;

/// Writes a component of about this many bytes into a directory.
///
/// # Errors
///
/// The directory is not writable.
pub fn write(size: usize, directory: &Path) -> Result<PathBuf> {
    let path = directory.join(format!("sized-{size}.wasm"));
    let component = wat::parse_str(text(size)).context("the generated component is malformed")?;
    fs::write(&path, component).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

fn text(size: usize) -> String {
    let content = size.saturating_sub(FRAME).max(FUNCTION);
    let functions = (content / 2).div_ceil(FUNCTION);
    let (segment, pages) = (content / 2 / SEGMENTS, 2 + (size / 5 * 8).div_ceil(PAGE));
    // Spread over the whole memory. The first page is for the guest's own response.
    let distance = (pages - 1) * PAGE / SEGMENTS;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut body = String::new();
    for number in 0..functions {
        _ = write!(body, "(func $f{number} (param i64) (result i64) local.get 0 ");
        // A constant takes eleven bytes, an operation one.
        for _ in 0..FUNCTION / 24 {
            _ = write!(body, "i64.const {} i64.mul i64.const {} i64.add ", next(&mut random), next(&mut random));
        }
        body.push_str(")\n");
    }
    for number in 0..SEGMENTS {
        let text = (0..segment).map(|_| char::from(b'a' + (next(&mut random) >> 60) as u8));
        _ = writeln!(body, "(data (i32.const {}) \"{}\")", PAGE + number * distance, text.collect::<String>());
    }
    let last = functions - 1;
    let end = PAGE + SEGMENTS * distance;
    let look = format!(
        "(local.set $at (i32.const {PAGE})) (loop $next
        (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const {distance})))
        (br_if $next (i32.lt_u (local.get $at) (i32.const {end}))))
      (i64.store (i32.const 1024) (call $f0 (call $f{last} (local.get $sum))))"
    );
    COMPONENT.replace("PAGES", &pages.to_string()).replace("BODY", &body).replace("LOOK", &look)
}

/// xorshift64: data that does not compress well, and is the same in each run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Host functions need the memory of the module, and the module imports the host functions. So it calls them through a
/// table that is filled last, like components of real toolchains.
const COMPONENT: &str = r#"(component
  (import "wasmserve:gateway/response@0.1.0" (instance $response
    (type $fields (list (tuple string (list u8))))
    (type $start (variant
      (case "already-started") (case "headers-sent") (case "bad-status") (case "bad-header" string)
      (case "hop-by-hop" string)))
    (export "start-error" (type $start-error (eq $start)))
    (export "respond" (func (param "status" string) (param "headers" $fields) (param "body" (list u8))
      (result (result (error $start-error)))))))
  (core module $shim
    (type $respond (func (param i32 i32 i32 i32 i32 i32 i32)))
    (table (export "table") 1 1 funcref)
    (func (export "respond") (type $respond)
      (call_indirect (type $respond) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
        (local.get 5) (local.get 6) (i32.const 0))))
  (core instance $shim (instantiate $shim))
  (core module $module
    (import "host" "respond" (func $respond (param i32 i32 i32 i32 i32 i32 i32)))
    (memory (export "memory") PAGES)
    (data (i32.const 16) "200 OK")
    (data (i32.const 32) "Hello, World!\0a")
    BODY
    ;; Results of the host go into the second half of the first page. They are always short.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 32768))
    (func (export "handle") (result i32) (local $sum i64) (local $at i32)
      LOOK
      (call $respond (i32.const 16) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 32) (i32.const 14)
        (i32.const 128))
      ;; `ok`: the result area is zero.
      (i32.const 256)))
  (core instance $instance (instantiate $module
    (with "host" (instance (export "respond" (func $shim "respond"))))))
  (core func $respond (canon lower (func $response "respond")
    (memory (core memory $instance "memory")) (realloc (core func $instance "realloc"))))
  (core module $fixup
    (import "shim" "table" (table 1 1 funcref))
    (import "host" "respond" (func $respond (param i32 i32 i32 i32 i32 i32 i32)))
    (elem (i32.const 0) func $respond))
  (core instance (instantiate $fixup
    (with "shim" (instance (export "table" (table $shim "table"))))
    (with "host" (instance (export "respond" (func $respond))))))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_have_about_the_requested_size() {
        for size in [10_000, 100_000, 1_000_000] {
            let length = wat::parse_str(text(size)).expect("it is a component").len();
            assert!((size * 9 / 10..size * 11 / 10).contains(&length), "{length} for {size}");
        }
    }
}
