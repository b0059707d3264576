//! Follows the script in the request as a handler of `wasi:http` 0.3. See `follows_a_script`.
//!
//! It reports what it reads, on stderr. A response that was returned cannot be replaced, so it is returned when its body
//! begins, and a task goes on with the script.
#![expect(clippy::print_stderr, reason = "its host logs what it prints")]

use std::{collections::VecDeque, process};

use wasip3::{
    http::types::{ErrorCode, Fields, Request, Response, Trailers},
    wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter, spawn_local},
    wit_future, wit_stream,
};
use wasmserve_test_programs::{self as script, Step, report};

struct Follower;

wasip3::http::service::export!(Follower);

type Ended = Result<Option<Trailers>, ErrorCode>;

impl wasip3::exports::http::handler::Guest for Follower {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let fields = request.get_headers();
        let field = fields.get(script::FIELD).pop().expect("the request has a script");
        let field = String::from_utf8(field).expect("the script is text");
        let mut steps = VecDeque::from(script::from_field(&field).expect("the script is valid"));
        let mut asked = Asked::of(fields, request);
        let (mut is_started, mut held) = (false, None);
        while let Some(step) = steps.pop_front() {
            match step {
                // A response is started once, unless an exception replaces what is not returned yet.
                Step::Start { status, fields, exc_info } if exc_info.is_some() || !is_started => {
                    is_started = true;
                    held = Held::new(&status, &fields);
                }
                Step::Respond { status, fields, body } => {
                    held = Held::new(&status, &fields);
                    steps.push_front(Step::Finish(body));
                    break;
                }
                Step::Write(part) if part.is_empty() => {}
                Step::Write(_) | Step::Finish(_) if held.is_none() => {}
                Step::Write(_) | Step::Finish(_) => {
                    steps.push_front(step);
                    break;
                }
                Step::Fail(text) => return Err(failed(text)),
                step => asked.perform(step).await,
            }
        }
        let Some(Held { status, fields }) = held else { return Err(failed("nothing was started".into())) };
        let (body, contents) = wit_stream::new();
        let (trailers, end) = wit_future::new(|| Ok(None));
        spawn_local(go_on(steps, asked, body, trailers));
        let response = Response::new(fields, Some(contents), end).0;
        response.set_status_code(status).map_err(|()| failed("the status is refused".into()))?;
        Ok(response)
    }
}

fn failed(text: String) -> ErrorCode {
    ErrorCode::InternalError(Some(text))
}

/// A head that is not returned yet.
struct Held {
    status: u16,
    fields: Fields,
}

impl Held {
    fn new(status: &str, fields: &[(String, Vec<u8>)]) -> Option<Self> {
        Some(Self { status: status.split(' ').next()?.parse().ok()?, fields: Fields::from_list(fields).ok()? })
    }
}

/// Writes the body.
async fn go_on(steps: VecDeque<Step>, mut asked: Asked, body: StreamWriter<u8>, trailers: FutureWriter<Ended>) {
    let (mut body, mut trailers) = (Some(body), Some(trailers));
    for step in steps {
        match step {
            Step::Write(part) => write(body.as_mut(), part).await,
            Step::Finish(last) => {
                write(body.as_mut(), last).await;
                end(body.take(), trailers.take(), Ok(None)).await;
            }
            Step::Start { exc_info: Some(text), .. } | Step::Fail(text) => {
                return end(body.take(), trailers.take(), Err(failed(text))).await;
            }
            step => asked.perform(step).await,
        }
    }
}

async fn end(body: Option<StreamWriter<u8>>, trailers: Option<FutureWriter<Ended>>, ended: Ended) {
    drop(body);
    if let Some(trailers) = trailers {
        // Whether the host still reads them is not for the handler to know.
        _ = trailers.write(ended).await;
    }
}

async fn write(body: Option<&mut StreamWriter<u8>>, part: Vec<u8>) {
    if let Some(body) = body {
        // The host refuses what goes beyond the declared length.
        _ = body.write_all(part).await;
    }
}

/// What can be read of the request.
struct Asked {
    headers: Fields,
    body: Option<StreamReader<u8>>,
    end: Option<FutureReader<Ended>>,
    trailers: String,
}

impl Asked {
    fn of(headers: Fields, request: Request) -> Self {
        let (body, end) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
        Self { headers, body: Some(body), end: Some(end), trailers: String::new() }
    }

    /// Performs a step that reads, and reports it.
    async fn perform(&mut self, step: Step) {
        let reported = match step {
            Step::Read(max) => script::escaped(&self.read(max as usize).await),
            Step::ReadAll => self.read_all().await,
            Step::Trailers => self.trailers.clone(),
            Step::Get(name) => {
                let value = report::field_of(&name).and_then(|field| self.headers.get(&field).pop());
                value.map_or_else(|| "absent".into(), |value| script::escaped(&value))
            }
            Step::Trap => process::abort(),
            _ => return,
        };
        eprintln!("{reported}");
    }

    async fn read(&mut self, max: usize) -> Vec<u8> {
        let Some(body) = &mut self.body else { return Vec::new() };
        let (result, part) = body.read(Vec::with_capacity(max)).await;
        if !matches!(result, StreamResult::Complete(_)) {
            self.body = None;
        }
        part
    }

    async fn read_all(&mut self) -> String {
        let mut whole = Vec::new();
        while self.body.is_some() {
            whole.extend(self.read(1 << 16).await);
        }
        let digest = script::digest(&whole);
        match self.end.take() {
            None => digest,
            Some(end) => match end.await {
                Ok(trailers) => {
                    let trailers = trailers.map(|trailers| trailers.copy_all()).unwrap_or_default();
                    let lines = trailers.iter().map(|(name, value)| format!("{name}: {}", script::escaped(value)));
                    self.trailers = lines.collect::<Vec<_>>().join("; ");
                    digest
                }
                Err(_) => format!("{digest}, then malformed"),
            },
        }
    }
}

fn main() {}
