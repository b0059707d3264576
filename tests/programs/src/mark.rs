//! Marks: bytes that identify the request that has left them, wherever they are found.
//!
//! A mark is text that passes unchanged through targets, fields, bodies, log lines and memory.

use std::fmt::{self, Display, Formatter};

/// The prefix of all marks.
pub const PREFIX: &[u8; 8] = b"wasmark-";

/// The length of a mark in bytes: the prefix, and sixteen hexadecimal digits.
pub const LENGTH: usize = 24;

/// The mark of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; LENGTH]);

impl Mark {
    /// The mark with this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        let mut mark = [0; LENGTH];
        mark.copy_from_slice(format!("wasmark-{number:016x}").as_bytes());
        Self(mark)
    }

    /// Parses the mark at the start of these bytes, if there is one.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mark: [u8; LENGTH] = bytes.get(..LENGTH)?.try_into().ok()?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (mark.starts_with(PREFIX) && mark[PREFIX.len()..].iter().all(is_digit)).then_some(Self(mark))
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Display for Mark {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// All marks in these bytes.
pub fn all(bytes: &[u8]) -> impl Iterator<Item = Mark> {
    let starts = (0..bytes.len().saturating_sub(LENGTH - 1)).filter(|at| bytes[*at] == PREFIX[0]);
    starts.filter_map(|at| Mark::read(&bytes[at..]))
}

/// How many marks of other requests are in these bytes.
#[must_use]
pub fn foreign(bytes: &[u8], own: &Mark) -> usize {
    all(bytes).filter(|mark| mark != own).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_anywhere_and_nothing_else_is() {
        let (own, other) = (Mark::new(7), Mark::new(u64::MAX));
        assert_eq!(own.text(), "wasmark-0000000000000007");
        let bytes = format!("{own}x{other}{own} wasmark-000000000000000g wasmark-{own} wasmark-00");
        assert_eq!(all(bytes.as_bytes()).collect::<Vec<_>>(), [own, other, own, own]);
        assert_eq!((foreign(bytes.as_bytes(), &own), foreign(bytes.as_bytes(), &other)), (1, 3));
        assert_eq!(foreign(b"", &own), 0);
    }
}
