//! The log of a request.

use std::io::{self, Write};

use crate::gateway::Gateway;

/// The host truncates longer lines, so there is no point in waiting for their end.
const LONGEST: usize = 8 << 10;

/// The handler's log: `wsgi.errors` of PEP 3333. Lines appear on stderr of the server, prefixed with the request id.
///
/// As a [`std::io::Write`] it buffers until a line is complete. `eprintln!` writes to the same log.
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
/// # assert_eq!(call(app, Environ::for_test([])).log, ["a line", "2 more"]);
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

    /// Logs one line or several. Never fails and never blocks.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, testing::call};
    /// let app = |environ: Environ| environ.errors().log("one\ntwo");
    /// assert_eq!(call(app, Environ::for_test([])).log, ["one", "two"]);
    /// ```
    pub fn log(&self, line: impl AsRef<[u8]>) {
        self.gateway.log(line.as_ref());
    }
}

impl Write for Errors {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unfinished.extend_from_slice(bytes);
        if let Some(end) = self.unfinished.iter().rposition(|byte| *byte == b'\n') {
            self.gateway.log(&self.unfinished[..=end]);
            self.unfinished.drain(..=end);
        }
        if self.unfinished.len() >= LONGEST {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    /// Logs an unfinished line.
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
        // Cannot fail: the host accepts every line.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environ, testing::call};

    #[test]
    fn writes_are_logged_in_whole_lines() {
        let app = |environ: Environ| -> io::Result<()> {
            let mut errors = environ.errors();
            for part in ["a", "b\nc\n\nd", "e"] {
                errors.write_all(part.as_bytes())?;
            }
            Ok(())
        };
        let answer = call(app, Environ::for_test([]));
        assert_eq!(answer.log, ["ab", "c", "", "de"]);
    }
}
