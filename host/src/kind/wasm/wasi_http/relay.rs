//! Takes the response that a handler of `wasi:http` sets, and what it writes, to the writer of the exchange.

use std::{
    fmt,
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Body;
use tokio::sync::oneshot;
use wasmserve_gateway::{field::Field, response::Writer};

/// What a handler sets: a response whose body it goes on to write, or an error.
type Set<B, E> = Result<http::Response<B>, E>;

/// Moves a response from a handler to a writer. `B` is its body, and `E` what the handler may set instead.
pub(in super::super) struct Relay<B: Body, E> {
    stage: Stage<B, E>,
    aborted: fn(&Writer, B::Error) -> Result<(), String>,
}

enum Stage<B, E> {
    /// The handler has not set its response.
    Unset(oneshot::Receiver<Set<B, E>>),
    Body {
        body: B,
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
pub(in super::super) enum Waits {
    /// For the handler to set its response, which it may not be able to do any more.
    ForResponse,
    /// For the handler to write or to finish the body.
    ForHandler,
    /// For the client to take what was written.
    ForClient,
    /// For nothing: the response has ended.
    Nothing,
}

impl<B: Body<Data = Bytes> + Unpin, E: fmt::Debug> Relay<B, E> {
    /// A relay of the response that will be set. `aborted` says how a response has ended whose body failed.
    pub(in super::super) fn new(
        response: oneshot::Receiver<Set<B, E>>,
        aborted: fn(&Writer, B::Error) -> Result<(), String>,
    ) -> Self {
        Self { stage: Stage::Unset(response), aborted }
    }

    /// Moves what is there, and registers to be polled when there is more.
    pub(in super::super) fn poll(&mut self, cx: &mut Context<'_>, writer: &mut Writer) -> Waits {
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
                    Poll::Ready(Some(Err(error))) => {
                        if let Some(chunk) = held.take() {
                            push(writer, chunk);
                        }
                        Stage::Ended((self.aborted)(writer, error))
                    }
                },
                Stage::Ended(_) => return Waits::Nothing,
            };
        }
    }

    /// Moves what is there, and waits for nothing but the client. Returns what it would have to wait for.
    pub(in super::super) async fn drain(&mut self, writer: &mut Writer) -> Waits {
        poll_fn(|cx| match self.poll(cx, writer) {
            Waits::ForClient => Poll::Pending,
            waits => Poll::Ready(waits),
        })
        .await
    }

    /// How the response ended, if it has: the error is for the handler's author.
    pub(in super::super) fn into_result(self) -> Result<(), String> {
        if let Stage::Ended(result) = self.stage { result } else { Ok(()) }
    }
}

fn start<B, E>(response: http::Response<B>, writer: &mut Writer) -> Stage<B, E> {
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

fn fields(map: &http::HeaderMap) -> Vec<Field> {
    map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
