//! The response of `wasi:http`, and the log.

use http::{HeaderMap, StatusCode, header, response::Parts};
use wasmserve_gateway::escape::escape;

use crate::bindings::wasi::{
    cli::stderr,
    http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::OutputStream,
};

/// How many bytes one call of the host may take.
const CHUNK: usize = 4096;

/// The response.
pub(crate) enum Reply {
    /// The host has not got its head.
    Unset(ResponseOutparam),
    /// The host takes the body.
    Open {
        /// Before the body, because it is the body's child and is dropped first.
        stream: OutputStream,
        body: OutgoingBody,
    },
    /// It has ended.
    Ended,
}

impl Reply {
    /// Gives the head to the host.
    pub(crate) fn start(&mut self, head: Parts) {
        let Self::Unset(response) = std::mem::replace(self, Self::Ended) else { return };
        let outgoing = OutgoingResponse::new(fields(&head.headers));
        if head.status != StatusCode::OK {
            // Any status of three digits is one.
            _ = outgoing.set_status_code(head.status.as_u16());
        }
        let body = outgoing.body().expect("it is taken once");
        ResponseOutparam::set(response, Ok(outgoing));
        let stream = body.write().expect("it is taken once");
        *self = Self::Open { stream, body };
    }

    /// Waits until the host has taken these bytes. Returns whether it has.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> bool {
        let Self::Open { stream, .. } = self else { return false };
        while !bytes.is_empty() {
            let space = match stream.check_write() {
                Ok(0) => {
                    stream.subscribe().block();
                    continue;
                }
                Ok(space) => usize::try_from(space).unwrap_or(usize::MAX),
                Err(_) => return false,
            };
            let (now, later) = bytes.split_at(bytes.len().min(space));
            if stream.write(now).is_err() {
                return false;
            }
            bytes = later;
        }
        true
    }

    /// Completes the body.
    pub(crate) fn finish(&mut self) {
        if let Self::Open { stream, body } = std::mem::replace(self, Self::Ended) {
            drop(stream);
            // The host reports a body that does not have its declared length, which the writer has seen before.
            _ = OutgoingBody::finish(body, None);
        }
    }

    /// Leaves the body incomplete, as the host can see.
    pub(crate) fn cut(&mut self) {
        *self = Self::Ended;
    }

    /// Answers instead of the handler, if it has not sent a head. The kind of the fault is in the head, as the server
    /// sends it.
    pub(crate) fn fail(&mut self, status: u16, kind: &'static str, why: &str) {
        if let Self::Unset(_) = self {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let text = format!("{status}: {why}\n");
            let (mut head, ()) = http::Response::new(()).into_parts();
            head.status = status;
            head.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
            head.headers.insert(header::CONTENT_LENGTH, text.len().into());
            head.headers.insert("wasmserve-fault", header::HeaderValue::from_static(kind));
            self.start(head);
            self.send(text.as_bytes());
            self.finish();
        }
    }
}

/// The fields, without those that the host forbids.
fn fields(map: &HeaderMap) -> Fields {
    let all: Vec<_> = map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    Fields::from_list(&all).unwrap_or_else(|_| {
        let allowed = Fields::new();
        for (name, value) in &all {
            if allowed.append(name, value).is_err() {
                log(format!("this host does not let handlers set the field `{name}`").as_bytes());
            }
        }
        allowed
    })
}

/// Writes lines to the host's log.
pub(crate) fn log(text: &[u8]) {
    let stderr = stderr::get_stderr();
    for line in text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n') {
        let line = format!("{}\n", escape(line));
        for part in line.as_bytes().chunks(CHUNK) {
            // There is no place left to report that the log cannot be written.
            _ = stderr.blocking_write_and_flush(part);
        }
    }
}
