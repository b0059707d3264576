//! Follows the script in the request as a handler of `wasi:http` 0.2. See `follows_a_script`.
//!
//! It reports what it reads, on stderr. A response that is set cannot be replaced, so it is set when its body begins.
#![expect(clippy::print_stderr, reason = "its host logs what it prints")]

use std::process;

use wasip2::{
    http::types::{ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::{InputStream, OutputStream, StreamError},
};
use wasmserve_test_programs::{self as script, Step, report};

struct Follower;

wasip2::http::proxy::export!(Follower);

impl wasip2::exports::http::incoming_handler::Guest for Follower {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let field = request.headers().get(script::FIELD).pop().expect("the request has a script");
        let field = String::from_utf8(field).expect("the script is text");
        let mut actor =
            Actor { body: Body::of(&request), outparam: Some(outparam), is_started: false, held: None, sent: None };
        for step in script::from_field(&field).expect("the script is valid") {
            match step {
                Step::Fail(text) => return actor.fail(text),
                step => {
                    if let Some(reported) = actor.perform(step, &request) {
                        eprintln!("{reported}");
                    }
                }
            }
        }
        actor.end();
    }
}

struct Actor {
    body: Body,
    outparam: Option<ResponseOutparam>,
    is_started: bool,
    held: Option<OutgoingResponse>,
    sent: Option<(OutgoingBody, OutputStream)>,
}

impl Actor {
    fn perform(&mut self, step: Step, request: &IncomingRequest) -> Option<String> {
        match step {
            Step::Start { status, fields, exc_info } => {
                // A response is started once, unless an exception replaces what is not set yet.
                if self.outparam.is_some() && (exc_info.is_some() || !self.is_started) {
                    self.start(&status, &fields);
                } else if exc_info.is_some() {
                    self.drop_unfinished();
                }
            }
            Step::Write(part) if part.is_empty() => {}
            Step::Write(part) => self.write(&part),
            Step::Finish(last) => {
                self.write(&last);
                self.end();
            }
            Step::Respond { status, fields, body } => {
                self.start(&status, &fields);
                self.write(&body);
                self.end();
            }
            Step::Read(max) => {
                return Some(self.body.read(max.into()).map_or_else(|why| why, |part| script::escaped(&part)));
            }
            Step::ReadAll => return Some(self.body.read_all()),
            Step::Trailers => return Some(self.body.trailers()),
            Step::Get(name) => {
                let value = report::field_of(&name).and_then(|field| request.headers().get(&field).pop());
                return Some(value.map_or_else(|| "absent".into(), |value| script::escaped(&value)));
            }
            Step::Fail(text) => panic!("{text} ends the script"),
            Step::Trap => process::abort(),
        }
        None
    }

    fn fail(mut self, text: String) {
        if let Some(outparam) = self.outparam.take() {
            ResponseOutparam::set(outparam, Err(ErrorCode::InternalError(Some(text))));
        }
        self.drop_unfinished();
    }

    fn drop_unfinished(&mut self) {
        if let Some((body, stream)) = self.sent.take() {
            // The stream belongs to the body.
            drop(stream);
            drop(body);
        }
    }

    fn start(&mut self, status: &str, fields: &[(String, Vec<u8>)]) {
        self.is_started = true;
        self.held = Fields::from_list(fields).ok().and_then(|fields| {
            let response = OutgoingResponse::new(fields);
            response.set_status_code(status.split(' ').next()?.parse().ok()?).ok()?;
            Some(response)
        });
    }

    /// Sets the response that is held.
    fn begin(&mut self) {
        if let (Some(response), Some(outparam)) = (self.held.take(), self.outparam.take()) {
            let body = response.body().expect("the body was not taken before");
            ResponseOutparam::set(outparam, Ok(response));
            let stream = body.write().expect("the stream was not taken before");
            self.sent = Some((body, stream));
        }
    }

    fn write(&mut self, part: &[u8]) {
        self.begin();
        if let Some((_, stream)) = &self.sent {
            // The host refuses what goes beyond the declared length.
            _ = part.chunks(4096).try_for_each(|part| stream.blocking_write_and_flush(part));
        }
    }

    fn end(&mut self) {
        self.begin();
        if let Some((body, stream)) = self.sent.take() {
            drop(stream);
            // A body with another length than declared is reported by the host.
            _ = OutgoingBody::finish(body, None);
        }
    }
}

struct Body {
    open: Option<(InputStream, IncomingBody)>,
}

impl Body {
    fn of(request: &IncomingRequest) -> Self {
        let body = request.consume().expect("the body was not taken before");
        Self { open: Some((body.stream().expect("the stream was not taken before"), body)) }
    }

    fn read(&self, max: u64) -> Result<Vec<u8>, String> {
        let Some((stream, _)) = &self.open else { return Ok(Vec::new()) };
        match stream.blocking_read(max) {
            Ok(part) => Ok(part),
            Err(StreamError::Closed) => Ok(Vec::new()),
            Err(StreamError::LastOperationFailed(_)) => Err("malformed".into()),
        }
    }

    fn read_all(&self) -> String {
        let mut whole = Vec::new();
        loop {
            match self.read(1 << 16) {
                Ok(part) if part.is_empty() => return script::digest(&whole),
                Ok(part) => whole.extend(part),
                Err(why) => return format!("{}, then {why}", script::digest(&whole)),
            }
        }
    }

    /// Ends the body, if it has been read.
    fn trailers(&mut self) -> String {
        let is_at_end =
            self.open.as_ref().is_some_and(|(stream, _)| matches!(stream.read(0), Err(StreamError::Closed)));
        if !is_at_end {
            return String::new();
        }
        let Some((stream, body)) = self.open.take() else { return String::new() };
        drop(stream);
        let trailers = IncomingBody::finish(body);
        trailers.subscribe().block();
        let Some(Ok(Ok(Some(trailers)))) = trailers.get() else { return String::new() };
        let lines = trailers.entries().into_iter().map(|(name, value)| format!("{name}: {}", script::escaped(&value)));
        lines.collect::<Vec<_>>().join("; ")
    }
}

fn main() {}
