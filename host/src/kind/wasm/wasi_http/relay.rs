//! Takes the response that a handler of `wasi:http` sets, and what it writes, to the writer of the exchange.

use std::{
    fmt::Debug,
    future::Future as _,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body;
use tokio::sync::oneshot;
use wasmserve_gateway::{field::Field, response::Writer};

/// What a handler sets: a response whose body it goes on to write, or an error.
type Set<B, E> = Result<http::Response<B>, E>;

/// Moves a response from a handler to a writer. `B` is its body, and `E` what the handler may set instead.
pub(in super::super) struct Relay<B: Body, E> {
    stage: Stage<B, E>,
    /// How a response has ended whose body failed.
    aborted: fn(&Writer, B::Error) -> Result<(), String>,
}

enum Stage<B, E> {
    /// The handler has not set its response.
    Unset(oneshot::Receiver<Set<B, E>>),
    /// The handler dropped its outparam.
    Dropped,
    Body(Box<Moved<B>>),
    /// The response has ended: the error is for the handler's author.
    Ended(Result<(), String>),
}

/// A body that is being moved.
struct Moved<B> {
    body: B,
    /// The chunk that is passed on when the next one arrives or nothing more is there: it may be the last one, and then
    /// a short response gets a Content-Length.
    held: Option<Bytes>,
    trailers: Vec<Field>,
    /// Until when the first chunk is held while the handler computes.
    held_until: Instant,
    /// Whether the client may have to take something before more is read from the body.
    is_full: bool,
    /// Whether the writer has rejected the head, which it reports at the end of the call. The handler, which cannot know,
    /// writes its body in vain.
    is_rejected: bool,
}

/// For how long the beginning of a body is held while the handler computes. A body that ends by then has a length.
const HELD_FOR: Duration = Duration::from_millis(50);

/// What the handler does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Computes,
    Waits,
    /// Nothing any more.
    Ended,
}

/// What a relay waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Waits {
    /// For the handler: to set its response, to write or to finish it.
    ForHandler,
    /// For the client to take what was written.
    ForClient,
    /// For nothing: the response has ended.
    Nothing,
}

impl<B: Body<Data = Bytes> + Unpin, E: Debug> Relay<B, E> {
    /// A relay of the response that will be set. `aborted` says how a response has ended whose body failed.
    pub(in super::super) fn new(
        response: oneshot::Receiver<Set<B, E>>,
        aborted: fn(&Writer, B::Error) -> Result<(), String>,
    ) -> Self {
        Self { stage: Stage::Unset(response), aborted }
    }

    /// Moves what is there, as fast as the client takes it, and registers to be polled when there is more. While the
    /// handler `computes`, the beginning of a body is held back for a while, in which the handler may end it.
    pub(in super::super) fn poll(&mut self, cx: &mut Context<'_>, writer: &mut Writer, computes: bool) -> Waits {
        let turn = if computes { Turn::Computes } else { Turn::Waits };
        self.advance(cx, writer, turn)
    }

    /// Moves what is left when the handler cannot write any more, without waiting for the client: few chunks fit between
    /// the two.
    ///
    /// # Errors
    ///
    /// The handler did not finish its response, or set an error; a message for its author. What the writer itself
    /// reports is not among them.
    pub(in super::super) fn end(mut self, writer: &mut Writer) -> Result<(), String> {
        _ = self.advance(&mut Context::from_waker(Waker::noop()), writer, Turn::Ended);
        match self.stage {
            Stage::Unset(_) | Stage::Dropped => Ok(()),
            // The writer knows better what is wrong.
            Stage::Body(moved) if moved.is_rejected || writer.has_declared_length() => Ok(()),
            Stage::Body(_) => Err("the handler returned before it finished the body of its response".to_owned()),
            Stage::Ended(result) => result,
        }
    }

    /// Whether the handler dropped its outparam without setting a response.
    pub(in super::super) fn is_dropped(&self) -> bool {
        matches!(self.stage, Stage::Dropped)
    }

    fn advance(&mut self, cx: &mut Context<'_>, writer: &mut Writer, turn: Turn) -> Waits {
        loop {
            self.stage = match &mut self.stage {
                Stage::Unset(response) => match Pin::new(response).poll(cx) {
                    Poll::Pending => return Waits::ForHandler,
                    Poll::Ready(Err(_)) => Stage::Dropped,
                    Poll::Ready(Ok(Err(error))) => {
                        Stage::Ended(Err(format!("the handler set the error {}", describe(&error))))
                    }
                    Poll::Ready(Ok(Ok(response))) => Stage::Body(Box::new(Moved::start(response, writer))),
                },
                Stage::Body(moved) => {
                    if moved.is_full && turn != Turn::Ended {
                        match pin!(writer.space()).poll(cx) {
                            Poll::Pending => return Waits::ForClient,
                            Poll::Ready(Ok(())) => {}
                            // The client has left, and the handler finds its stream closed.
                            Poll::Ready(Err(_)) => {
                                self.stage = Stage::Ended(Ok(()));
                                continue;
                            }
                        }
                    }
                    moved.is_full = false;
                    match moved.advance(cx, writer, turn, self.aborted) {
                        Poll::Ready(Some(end)) => Stage::Ended(end),
                        Poll::Ready(None) => continue,
                        Poll::Pending => return Waits::ForHandler,
                    }
                }
                Stage::Dropped | Stage::Ended(_) => return Waits::Nothing,
            };
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Moved<B> {
    fn start(response: http::Response<B>, writer: &mut Writer) -> Self {
        let (mut head, body) = response.into_parts();
        let status = format!("{} {}", head.status.as_u16(), head.status.canonical_reason().unwrap_or_default());
        let announced: Vec<_> = head.headers.get_all(header::TRAILER).iter().cloned().collect();
        head.headers.remove(header::TRAILER);
        let is_rejected = writer.start(&status, fields(&head.headers), None).is_err();
        for names in announced {
            writer.announce_trailers(names.as_bytes());
        }
        let held_until = Instant::now() + HELD_FOR;
        Self { body, held: None, trailers: Vec::new(), held_until, is_full: false, is_rejected }
    }

    /// Moves one frame. Returns the end of the response, or `None` if there may be more.
    fn advance(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut Writer,
        turn: Turn,
        aborted: fn(&Writer, B::Error) -> Result<(), String>,
    ) -> Poll<Option<Result<(), String>>> {
        Poll::Ready(match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending if turn == Turn::Computes && Instant::now() < self.held_until => return Poll::Pending,
            Poll::Pending => match self.held.take() {
                Some(chunk) => {
                    self.push(writer, chunk);
                    None
                }
                None => return Poll::Pending,
            },
            Poll::Ready(Some(Ok(frame))) => {
                match frame.into_data() {
                    Ok(chunk) => {
                        if let Some(earlier) = self.held.replace(chunk) {
                            self.push(writer, earlier);
                        }
                    }
                    Err(frame) => self.trailers = frame.into_trailers().map_or_else(|_| Vec::new(), |map| fields(&map)),
                }
                None
            }
            Poll::Ready(None) => {
                // Only errors that the writer itself reports at the end of the call.
                _ = writer.finish_with(self.held.take().unwrap_or_default(), std::mem::take(&mut self.trailers));
                Some(Ok(()))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(chunk) = self.held.take() {
                    self.push(writer, chunk);
                }
                Some(if self.is_rejected { Ok(()) } else { aborted(writer, error) })
            }
        })
    }

    /// A chunk beyond Content-Length is cut off, and one for a client that has left is dropped; the writer reports both.
    fn push(&mut self, writer: &mut Writer, chunk: Bytes) {
        _ = writer.push(chunk);
        self.held_until = Instant::now();
        self.is_full = true;
    }
}

/// An error in the words of its contract, such as `connection-refused`.
pub(in super::super) fn describe(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    let (name, payload) = text.split_once('(').map_or((&*text, None), |(name, rest)| (name, rest.strip_suffix(')')));
    let mut words = String::new();
    for letter in name.trim_start_matches("ErrorCode::").chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.push(letter.to_ascii_lowercase());
    }
    let payload = payload.map(|payload| {
        let inner = payload.strip_prefix("Some(").and_then(|inner| inner.strip_suffix(')'));
        format!(": {}", inner.unwrap_or(payload))
    });
    words + &payload.unwrap_or_default()
}

fn fields(map: &HeaderMap) -> Vec<Field> {
    map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi_http::p2::bindings::http::types::{DnsErrorPayload, ErrorCode};

    use super::*;

    #[test]
    fn an_error_that_a_handler_set_is_described_in_the_words_of_its_contract() {
        let dns = DnsErrorPayload { rcode: Some("NXDOMAIN".to_owned()), info_code: None };
        for (error, text) in [
            (ErrorCode::InternalError(Some("no (luck)".to_owned())), "internal-error: \"no (luck)\""),
            (ErrorCode::InternalError(None), "internal-error: None"),
            (ErrorCode::ConnectionRefused, "connection-refused"),
            (ErrorCode::HttpRequestBodySize(Some(7)), "http-request-body-size: 7"),
            (ErrorCode::DnsError(dns), "dns-error: "),
        ] {
            let described = describe(&error);
            assert!(described.starts_with(text), "{described}");
        }
    }
}
