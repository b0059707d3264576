//! Checks the response of the application, and how the host reacts to it.

use std::mem;

use super::clause::{Breach, Clause};
use crate::{StartError, Value, WriteError, grammar};

/// The part of a response that was sent so far.
#[derive(Default)]
pub(super) struct Response {
    /// Whether the request is a `HEAD`.
    is_head: bool,
    /// Whether `start_response` was called, even without success.
    called: bool,
    head: Option<Head>,
    written: u64,
    ended: bool,
    /// Whether the client disconnected before the end.
    gone: bool,
    /// Whether the advice that the body is not sent was given.
    remarked: bool,
}

pub(super) struct Head {
    code: u64,
    length: Option<u64>,
    has_type: bool,
}

impl Response {
    pub(super) fn new(method: Option<Vec<u8>>) -> Self {
        Self { is_head: method.is_some_and(|method| method == b"HEAD"), ..Self::default() }
    }

    /// Checks a call of `start_response`.
    pub(super) fn start(&mut self, status: &str, headers: &[(&str, &[u8])], replaces: bool) -> (Head, Vec<Breach>) {
        let mut breaches = Vec::new();
        if mem::replace(&mut self.called, true) && !replaces {
            breaches.push(Clause::StartedTwice.broken_by(format!("{status:?}")));
        }
        if !grammar::is_status(status) {
            breaches.push(Clause::Status.broken_by(format!("{status:?}")));
        } else if status.len() == 3 {
            breaches.push(Clause::Reason.broken_by(format!("{status:?}")));
        }
        let code = status.get(..3).and_then(|code| grammar::number(code.as_bytes())).unwrap_or(0);
        let mut head = Head { code, length: None, has_type: false };
        for (name, value) in headers {
            let clauses = head.add(name, grammar::trim(value));
            let what = || format!("{name:?}: {:?}", Value::from(value.to_vec()));
            breaches.extend(clauses.into_iter().map(|clause| clause.broken_by(what())));
        }
        (head, breaches)
    }

    /// Records how the host reacted to a valid `start_response`.
    pub(super) fn started(&mut self, head: Head, outcome: &Result<(), StartError>) -> Option<Breach> {
        let has_left = self.written > 0 && !self.is_bodyless();
        match outcome {
            Ok(()) => {
                self.head = Some(head);
                has_left.then(|| Clause::Refusal.broken_by("a head was accepted after another one had been sent"))
            }
            // The host may have its own limit.
            Err(StartError::HeadersSent | StartError::BadHeader(_)) => None,
            Err(error) => Some(Clause::Refusal.broken_by(error.to_string())),
        }
    }

    /// Checks a chunk.
    pub(super) fn write(&mut self, chunk: &[u8], last: bool) -> Vec<Breach> {
        let Some(head) = &self.head else {
            return vec![Clause::NotStarted.broken_by(format!("{} bytes", chunk.len()))];
        };
        let mut breaches = Vec::new();
        if self.ended && !chunk.is_empty() {
            breaches.push(Clause::Ended.broken_by(format!("{} bytes", chunk.len())));
        }
        if self.is_bodyless() {
            // With a body in one piece, the host knows the `Content-Length` for `HEAD`.
            let is_whole = last && self.written == 0 && !head.is_bodyless();
            if !chunk.is_empty() && !is_whole && !mem::replace(&mut self.remarked, true) {
                breaches.push(Clause::NoBody.broken_by(format!("{} bytes", chunk.len())));
            }
        } else {
            if !chunk.is_empty() && self.written == 0 && !head.has_type {
                breaches.push(Clause::Type.broken_by(format!("{} bytes", chunk.len())));
            }
            breaches.extend(self.check_length(chunk.len(), last));
        }
        breaches
    }

    /// Records how the host reacted to a valid chunk.
    pub(super) fn wrote(&mut self, chunk: &[u8], last: bool, outcome: Result<(), WriteError>) -> Option<Breach> {
        match outcome {
            Ok(()) => {
                self.written += chunk.len() as u64;
                self.ended |= last;
                None
            }
            Err(WriteError::Disconnected | WriteError::TimedOut) => {
                self.gone = true;
                None
            }
            // The host may count bytes that are not sent.
            Err(WriteError::PastContentLength) if self.is_bodyless() => None,
            Err(error) => Some(Clause::Refusal.broken_by(error.to_string())),
        }
    }

    /// Checks the end of an application that did not fail.
    pub(super) fn end(&self) -> Option<Breach> {
        if self.head.is_none() {
            return Some(Clause::NotStarted.broken_by("the end"));
        }
        if self.ended || self.gone || self.is_bodyless() { None } else { self.check_length(0, true) }
    }

    fn check_length(&self, more: usize, last: bool) -> Option<Breach> {
        let length = self.head.as_ref()?.length?;
        let written = self.written + more as u64;
        let breaks = if last { written != length } else { written > length };
        breaks.then(|| Clause::BodyLength.broken_by(format!("{written} bytes of {length}")))
    }

    fn is_bodyless(&self) -> bool {
        self.is_head || self.head.as_ref().is_some_and(Head::is_bodyless)
    }
}

impl Head {
    fn is_bodyless(&self) -> bool {
        matches!(self.code, 204 | 205 | 304)
    }

    /// Adds a field, and returns the clauses that it violates.
    fn add(&mut self, name: &str, value: &[u8]) -> Vec<Clause> {
        let mut clauses = Vec::new();
        let mut require = |holds: bool, clause: Clause| {
            if !holds {
                clauses.push(clause);
            }
        };
        require(grammar::is_token(name.as_bytes()), Clause::FieldName);
        require(grammar::is_text(value), Clause::FieldValue);
        require(!grammar::is_hop_by_hop(name), Clause::HopByHop);
        match &*name.to_ascii_lowercase() {
            "content-length" => {
                let length = grammar::number(value);
                require(length.is_some() && self.length.is_none(), Clause::Length);
                require(self.code != 204, Clause::NoLength);
                self.length = length;
            }
            "content-type" => {
                require(!matches!(self.code, 204 | 304), Clause::NoType);
                self.has_type = true;
            }
            "status" => require(false, Clause::CgiStatus),
            _ => {}
        }
        clauses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Response {
        let mut response = Response::new(None);
        let (head, breaches) = response.start("200 OK", &[("Content-Type", b"text/plain")], false);
        assert!(breaches.is_empty());
        assert!(response.started(head, &Ok(())).is_none());
        response
    }

    #[test]
    fn s_a_host_must_reject_only_invalid_calls() {
        for (rule, error, may) in [
            ("S2", StartError::AlreadyStarted, false),
            ("S4", StartError::HeadersSent, true),
            ("S6", StartError::BadStatus, false),
            ("S8", StartError::BadHeader("too many".to_owned()), true),
            ("S9", StartError::HopByHop("Host".to_owned()), false),
        ] {
            let mut response = Response::new(None);
            let (head, _) = response.start("200 OK", &[], false);
            assert_eq!(response.started(head, &Err(error)).is_none(), may, "{rule}");
        }
        for (rule, error, may) in [
            ("S1", WriteError::NotStarted, false),
            ("B1", WriteError::PastContentLength, false),
            ("K9", WriteError::Disconnected, true),
            ("B8", WriteError::TimedOut, true),
        ] {
            let mut response = started();
            assert!(response.write(b"a", false).is_empty());
            assert_eq!(response.wrote(b"a", false, Err(error)).is_none(), may, "{rule}");
            assert!(response.end().is_none());
        }
    }

    #[test]
    fn s4_a_host_must_not_accept_a_head_after_another_was_sent() {
        let mut response = started();
        response.wrote(b"a", false, Ok(()));
        let (head, breaches) = response.start("500 Late", &[], true);
        assert!(breaches.is_empty());
        assert_eq!(response.started(head, &Ok(())).unwrap().clause(), Clause::Refusal);
    }
}
