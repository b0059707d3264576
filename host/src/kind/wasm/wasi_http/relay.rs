//! Takes the response that a handler of `wasi:http` sets, and what it writes, to the writer of the exchange.

use std::{
    future::Future as _,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Body as _;
use tokio::sync::oneshot;
use wasmserve_gateway::{field::Field, response::Writer};
use wasmtime_wasi_http::p2::{bindings::http::types::ErrorCode, body::HyperOutgoingBody};

/// What a handler sets: a response whose body it goes on to write, or an error.
type Set = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

/// Moves a response from a handler to a writer.
pub(super) struct Relay {
    stage: Stage,
}

enum Stage {
    /// The handler has not set its response.
    Unset(oneshot::Receiver<Set>),
    Body {
        body: HyperOutgoingBody,
        /// The chunk that is passed on when the next one arrives or nothing more is there: it may be the last one, and
        /// then a short response gets a Content-Length.
        held: Option<Bytes>,
        /// Whether the client may have to take something before more is read from the body.
        is_full: bool,
    },
    Ended(Result<(), String>),
}

/// What a relay waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// For the handler to set its response, which it may not be able to do any more.
    ForResponse,
    /// For the handler to write or to finish the body.
    ForHandler,
    /// For the client to take what was written.
    ForClient,
    /// For nothing: the response has ended.
    Nothing,
}

impl Relay {
    /// A relay of the response that will be set.
    pub(super) fn new(response: oneshot::Receiver<Set>) -> Self {
        Self { stage: Stage::Unset(response) }
    }

    /// Moves what is there, and registers to be polled when there is more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, writer: &mut Writer) -> Waits {
        loop {
            self.stage = match &mut self.stage {
                Stage::Unset(response) => match Pin::new(response).poll(cx) {
                    Poll::Pending => return Waits::ForResponse,
                    // The handler dropped the outparam; the writer reports that the response is missing.
                    Poll::Ready(Err(_)) => Stage::Ended(Ok(())),
                    Poll::Ready(Ok(Err(error))) => Stage::Ended(Err(format!(
                        "the handler set the error {}",
                        format!("{error:?}").trim_start_matches("ErrorCode::")
                    ))),
                    Poll::Ready(Ok(Ok(response))) => start(response, writer),
                },
                Stage::Body { is_full: full @ true, .. } => match pin!(writer.space()).poll(cx) {
                    Poll::Pending => return Waits::ForClient,
                    Poll::Ready(Ok(())) => {
                        *full = false;
                        continue;
                    }
                    // The handler finds its stream closed.
                    Poll::Ready(Err(_)) => Stage::Ended(Ok(())),
                },
                Stage::Body { body, held, is_full } => match Pin::new(body).poll_frame(cx) {
                    Poll::Pending => match held.take() {
                        Some(chunk) => {
                            push(writer, chunk);
                            *is_full = true;
                            continue;
                        }
                        None => return Waits::ForHandler,
                    },
                    Poll::Ready(Some(Ok(frame))) => {
                        // Trailers are dropped.
                        if let Ok(chunk) = frame.into_data()
                            && let Some(earlier) = held.replace(chunk)
                        {
                            push(writer, earlier);
                            *is_full = true;
                        }
                        continue;
                    }
                    Poll::Ready(None) => {
                        // Only errors that the writer itself reports at the end of the call.
                        _ = writer.finish(held.take().unwrap_or_default());
                        Stage::Ended(Ok(()))
                    }
                    Poll::Ready(Some(Err(_))) => {
                        if let Some(chunk) = held.take() {
                            push(writer, chunk);
                        }
                        Stage::Ended(aborted(writer))
                    }
                },
                Stage::Ended(_) => return Waits::Nothing,
            };
        }
    }

    /// How the response ended, if it has: the error is for the handler's author.
    pub(super) fn into_result(self) -> Result<(), String> {
        if let Stage::Ended(result) = self.stage { result } else { Ok(()) }
    }
}

fn start(response: http::Response<HyperOutgoingBody>, writer: &mut Writer) -> Stage {
    let (head, body) = response.into_parts();
    let status = format!("{} {}", head.status.as_u16(), head.status.canonical_reason().unwrap_or_default());
    match writer.start(&status, fields(&head.headers), None) {
        Ok(()) => Stage::Body { body, held: None, is_full: false },
        // The writer reports the rejected head at the end of the call.
        Err(_) => Stage::Ended(Ok(())),
    }
}

/// A chunk beyond Content-Length is cut off, and one for a client that has left is dropped; the writer reports both.
fn push(writer: &mut Writer, chunk: Bytes) {
    _ = writer.push(chunk);
}

/// The handler dropped the body instead of finishing it, or finished it with another length than it declared.
fn aborted(writer: &mut Writer) -> Result<(), String> {
    if writer.has_declared_length() {
        // The writer knows how much is missing, if anything is.
        return Ok(());
    }
    Err("the handler dropped the body of its response before it was finished".to_owned())
}

fn fields(map: &http::HeaderMap) -> Vec<Field> {
    map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
