//! The log.

use std::io::{self, Write};

use crate::gateway::Gateway;

/// The host cuts longer lines, so there is no use in waiting for their end.
const LONGEST: usize = 8 << 10;

/// The handler's log: `wsgi.errors` of PEP 3333. Lines appear on the host's stderr, marked with the id of the request.
///
/// As a [`std::io::Write`] it sends whole lines. `eprintln!` ends up in the same log.
///
/// ```
/// # use wasmserve_guest::{Environ, testing::call};
/// use std::io::Write;
///
/// fn app(environ: Environ) -> std::io::Result<&'static str> {
///     environ.errors().log("a line");
///     writeln!(environ.errors(), "{} more", 2)?;
///     Ok("logged\n")
/// }
/// # assert_eq!(call(app, Environ::made([])).log, ["a line", "2 more"]);
/// ```
pub struct Errors {
    gateway: Gateway,
    unfinished: Vec<u8>,
}

impl Errors {
    pub(crate) fn new(gateway: Gateway) -> Self {
        let unfinished = Vec::new();
        Self { gateway, unfinished }
    }

    /// Logs a line, or several. Never fails and never blocks.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, testing::call};
    /// let app = |environ: Environ| environ.errors().log("one\ntwo");
    /// assert_eq!(call(app, Environ::made([])).log, ["one", "two"]);
    /// ```
    pub fn log(&self, line: impl AsRef<[u8]>) {
        self.gateway.log(line.as_ref());
    }
}

impl Write for Errors {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.unfinished.extend_from_slice(octets);
        if let Some(end) = self.unfinished.iter().rposition(|octet| *octet == b'\n') {
            self.gateway.log(&self.unfinished[..=end]);
            self.unfinished.drain(..=end);
        }
        if self.unfinished.len() >= LONGEST {
            self.flush()?;
        }
        Ok(octets.len())
    }

    /// Ends the line.
    fn flush(&mut self) -> io::Result<()> {
        if !self.unfinished.is_empty() {
            self.gateway.log(&self.unfinished);
            self.unfinished.clear();
        }
        Ok(())
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        // It cannot fail: the host takes every line.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environ, testing::call};

    #[test]
    fn what_is_written_is_logged_in_whole_lines() {
        let app = |environ: Environ| -> io::Result<()> {
            let mut errors = environ.errors();
            for part in ["a", "b\nc\n\nd", "e"] {
                errors.write_all(part.as_bytes())?;
            }
            Ok(())
        };
        let answer = call(app, Environ::made([]));
        assert_eq!(answer.log, ["ab", "c", "", "de"]);
    }
}
