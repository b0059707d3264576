//! Checks the request body that the host provides.

use super::clause::{Breach, Clause};
use crate::{ReadError, gateway::Fields, grammar};

/// Some of the fields that must not be trailers (RFC 9110 section 6.5.1).
const NO_TRAILERS: [&str; 8] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
];

/// The part of a request body that was read so far.
pub(super) struct Input {
    /// The length of the body, if it is known.
    length: Option<u64>,
    /// The clause that is violated by a body of another length.
    unannounced: Clause,
    read: u64,
    /// The end that every later read must return again.
    end: Option<Result<(), ReadError>>,
}

impl Input {
    pub(super) fn new(get: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        let length = get("CONTENT_LENGTH").and_then(|value| grammar::number(&value));
        // In HTTP/2, the head does not show whether there is a body.
        let is_framed = get("HTTP_TRANSFER_ENCODING").is_some()
            || get("SERVER_PROTOCOL").is_some_and(|protocol| !protocol.starts_with(b"HTTP/1"));
        let (length, unannounced) = match length {
            None if !is_framed => (Some(0), Clause::ReadNothing),
            length => (length, Clause::ReadLength),
        };
        Self { length, unannounced, read: 0, end: None }
    }

    /// Checks the result of a read of up to `max` bytes.
    pub(super) fn read(&mut self, max: u32, given: &Result<Vec<u8>, ReadError>) -> Option<Breach> {
        let bytes = given.as_ref().map_or(0, Vec::len);
        self.read += bytes as u64;
        if bytes > max as usize {
            return Some(Clause::ReadAtMost.broken_by(format!("{bytes} bytes of {max}")));
        }
        if bytes == 0 && given.is_ok() && max == 0 {
            return None;
        }
        let ends = match given {
            Ok(_) if bytes > 0 => None,
            Ok(_) => Some(Ok(())),
            Err(error) => Some(Err(*error)),
        };
        if self.end.is_some() && self.end != ends {
            return Some(Clause::ReadEnd.broken_by(match given {
                Ok(_) if bytes > 0 => format!("{bytes} bytes"),
                Ok(_) => "an end after an error".to_owned(),
                Err(error) => error.to_string(),
            }));
        }
        self.end = ends;
        let length = self.length?;
        let breaks = if ends == Some(Ok(())) { self.read != length } else { self.read > length };
        breaks.then(|| self.unannounced.broken_by(format!("{} bytes of {length}", self.read)))
    }

    pub(super) fn trailers(&self, given: &Fields) -> Option<Breach> {
        let early = self.end != Some(Ok(()));
        let mut names = given.iter().map(|(name, _)| name);
        let wrong = names.find(|name| early || NO_TRAILERS.iter().any(|other| name.eq_ignore_ascii_case(other)))?;
        Some(Clause::Trailers.broken_by(format!("{wrong:?}{}", if early { " before the end" } else { "" })))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    type Read = (u32, Result<usize, ReadError>);
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [Read], Option<Clause>);

    const END: Read = (9, Ok(0));
    const LENGTH: &[(&str, &str)] = &[("CONTENT_LENGTH", "5")];
    const CHUNKED: &[(&str, &str)] = &[("HTTP_TRANSFER_ENCODING", "chunked")];
    const GONE: Read = (9, Err(ReadError::Disconnected));

    /// A rule, the variables, the reads with their results, and the clause that the last read violates.
    pub(in crate::validator) const ROWS: [Row; 16] = [
        ("I1", LENGTH, &[(3, Ok(3)), (9, Ok(2)), END, END], None),
        ("I1", LENGTH, &[(3, Ok(4))], Some(Clause::ReadAtMost)),
        ("I1", CHUNKED, &[(9, Ok(5)), END, (9, Ok(1))], Some(Clause::ReadEnd)),
        ("I1", CHUNKED, &[(0, Ok(0)), (9, Ok(5)), END, (0, Ok(0)), END], None),
        ("I2", LENGTH, &[(9, Ok(6))], Some(Clause::ReadLength)),
        ("I3", &[], &[END, END], None),
        ("I3", &[], &[(9, Ok(1))], Some(Clause::ReadNothing)),
        ("I3", &[("SERVER_PROTOCOL", "HTTP/1.0")], &[(9, Ok(1))], Some(Clause::ReadNothing)),
        ("I4", CHUNKED, &[(9, Ok(9)), (9, Ok(1)), END], None),
        ("I4", &[("SERVER_PROTOCOL", "HTTP/2")], &[(9, Ok(9)), END], None),
        ("I5", LENGTH, &[(9, Ok(4)), END], Some(Clause::ReadLength)),
        ("I5", LENGTH, &[(9, Ok(4)), GONE, GONE], None),
        ("I5", LENGTH, &[(9, Ok(4)), GONE, END], Some(Clause::ReadEnd)),
        ("I6", CHUNKED, &[(9, Err(ReadError::Malformed)), GONE], Some(Clause::ReadEnd)),
        ("I7", CHUNKED, &[(9, Ok(9)), (9, Err(ReadError::TooLarge))], None),
        ("I12", LENGTH, &[(9, Ok(1)), (9, Err(ReadError::TimedOut))], None),
    ];

    fn input(variables: &[(&str, &str)]) -> Input {
        Input::new(|name| {
            let mut variables = variables.iter();
            variables.find(|(other, _)| *other == name).map(|(_, value)| value.as_bytes().to_vec())
        })
    }

    #[test]
    fn i_a_body_must_be_read_to_its_end_and_no_further() {
        for (rule, variables, reads, expected) in ROWS {
            let mut input = input(variables);
            let breaches = reads.iter().map(|(max, given)| input.read(*max, &given.map(|bytes| vec![0; bytes])));
            let mut breaches: Vec<_> = breaches.map(|breach| breach.map(|breach| breach.clause())).collect();
            assert_eq!(breaches.pop(), Some(expected), "{rule}: {reads:?}");
            assert!(breaches.iter().all(Option::is_none), "{rule}: {reads:?}: {breaches:?}");
        }
    }

    #[test]
    fn i4_trailers_must_come_last_and_must_not_frame() {
        let mut input = input(CHUNKED);
        let trailer = |name: &str| vec![(name.to_owned(), b"1".to_vec())];
        assert!(input.trailers(&Fields::new()).is_none());
        assert!(input.trailers(&trailer("X-Sum")).is_some());
        input.read(9, &Ok(Vec::new()));
        assert!(input.trailers(&trailer("X-Sum")).is_none());
        assert!(input.trailers(&trailer("Content-Length")).is_some());
    }
}
