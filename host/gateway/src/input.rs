//! The request body as the guest reads it: `wsgi.input`.

use std::{future::poll_fn, pin::Pin};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body;

use crate::field::{self, Field};

/// Why no more of a body can be read. Never the end of a complete one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The client went away before the body was complete (rule I5).
    Disconnected,
    /// The framing is broken (rule I6).
    Malformed,
    /// The body is longer than the limit (rule I7).
    TooLarge,
    /// The client sent nothing for too long (rule I12).
    TimedOut,
}

/// A body that an exchange may read from.
pub type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = ReadError> + Send>>;

/// What one `read` gives at most, however much is asked for.
const READ_MAX: usize = 64 << 10;

/// `wsgi.input`. The default one is that of a request without a body.
#[derive(Default)]
pub struct Input {
    /// `None` when there is no body, and when all of it was read.
    body: Option<BoxBody>,
    /// What arrived and was not asked for yet: the rest of one frame.
    ahead: Bytes,
    /// How many octets may still arrive.
    left: u64,
    failed: Option<ReadError>,
    trailers: Vec<Field>,
}

impl Input {
    /// The input over a body, of which at most `limit` octets are let through.
    #[must_use]
    pub fn new(body: Option<BoxBody>, limit: u64) -> Self {
        Self { body, ahead: Bytes::new(), left: limit, failed: None, trailers: Vec::new() }
    }

    /// The next 1 to `max` octets; empty at the end, and again on every later call (rule I1).
    ///
    /// Waits for the client. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// What ended the body early; every later call gives the same.
    pub async fn read(&mut self, max: usize) -> Result<Bytes, ReadError> {
        if max == 0 {
            return Ok(Bytes::new());
        }
        while self.ahead.is_empty() {
            if let Some(error) = self.failed {
                return Err(error);
            }
            let Some(body) = &mut self.body else { return Ok(Bytes::new()) };
            match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.len() as u64 > self.left => self.fail(ReadError::TooLarge),
                    Ok(data) => {
                        self.left -= data.len() as u64;
                        self.ahead = data;
                    }
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        if trailers.iter().all(|(name, value)| is_well_formed(name, value)) {
                            self.trailers = trailers.iter().filter_map(|(name, value)| trailer(name, value)).collect();
                        } else {
                            self.fail(ReadError::Malformed);
                        }
                    }
                },
                Some(Err(error)) => self.fail(error),
                None => self.body = None,
            }
        }
        Ok(self.ahead.copy_to_bytes(self.ahead.len().min(max).min(READ_MAX)))
    }

    /// Whether there may be octets to read.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// Waits for the whole body and keeps it (rule I8). Gives its length.
    ///
    /// # Errors
    ///
    /// What ended the body early, or that it is longer than `limit`.
    pub async fn read_ahead(&mut self, limit: u64) -> Result<u64, ReadError> {
        let mut whole = BytesMut::new();
        loop {
            let part = self.read(READ_MAX).await?;
            if part.is_empty() {
                self.ahead = whole.freeze();
                return Ok(self.ahead.len() as u64);
            }
            if whole.len() as u64 + part.len() as u64 > limit {
                self.fail(ReadError::TooLarge);
                return Err(ReadError::TooLarge);
            }
            whole.extend_from_slice(&part);
        }
    }

    /// The trailer fields, once the end was read (rule I4).
    #[must_use]
    pub fn trailers(&self) -> &[Field] {
        if self.body.is_none() { &self.trailers } else { &[] }
    }

    /// What ended the body early, if the guest has met it.
    #[must_use]
    pub fn failure(&self) -> Option<ReadError> {
        self.failed
    }

    fn fail(&mut self, error: ReadError) {
        self.failed = Some(error);
        self.body = None;
    }
}

/// h2 lets through names that are no tokens and values with white space around them, and a message with such a field is
/// malformed as a whole (RFC 9113 section 8.2.1).
fn is_well_formed(name: &http::HeaderName, value: &http::HeaderValue) -> bool {
    field::is_token(name.as_str().as_bytes()) && field::is_value(value.as_bytes())
}

/// Fields that may not be trailers are dropped (RFC 9110 section 6.5.1).
fn trailer(name: &http::HeaderName, value: &http::HeaderValue) -> Option<Field> {
    const FORBIDDEN: [&str; 16] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
    ];
    (!FORBIDDEN.contains(&name.as_str())).then(|| (name.as_str().to_owned(), value.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        task::{Context, Poll, Waker},
    };

    use http_body::Frame;

    use super::*;

    /// A body made of what has already arrived.
    struct Arrived(VecDeque<Result<Frame<Bytes>, ReadError>>);

    impl Body for Arrived {
        type Data = Bytes;
        type Error = ReadError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn input(frames: impl IntoIterator<Item = Result<Frame<Bytes>, ReadError>>, limit: u64) -> Input {
        Input::new(Some(Box::pin(Arrived(frames.into_iter().collect()))), limit)
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, ReadError> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    fn read(input: &mut Input, max: usize) -> Result<Bytes, ReadError> {
        match std::pin::pin!(input.read(max)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("all has arrived"),
        }
    }

    #[test]
    fn i1_read_gives_at_most_max_and_then_the_end_again_and_again() {
        let mut input = input([data("hello"), data(""), data("!")], 100);
        assert_eq!(read(&mut input, 0), Ok(Bytes::new()));
        assert_eq!(read(&mut input, 2), Ok("he".into()));
        assert_eq!(read(&mut input, 100), Ok("llo".into()));
        assert_eq!(read(&mut input, 100), Ok("!".into()));
        assert_eq!(read(&mut input, 100), Ok(Bytes::new()));
        assert_eq!(read(&mut input, 100), Ok(Bytes::new()));
    }

    #[test]
    fn i4_trailers_are_there_after_the_end_without_those_that_frame_or_authenticate() {
        let mut fields = http::HeaderMap::new();
        fields.insert("x-sum", http::HeaderValue::from_static("7"));
        fields.insert("host", http::HeaderValue::from_static("evil"));
        let mut input = input([data("a"), Ok(Frame::trailers(fields))], 100);
        assert_eq!(read(&mut input, 9), Ok("a".into()));
        assert_eq!(input.trailers(), []);
        assert_eq!(read(&mut input, 9), Ok(Bytes::new()));
        assert_eq!(input.trailers(), [("x-sum".to_owned(), b"7".to_vec())]);
    }

    #[test]
    fn i6_trailers_that_are_malformed_are_no_end_of_a_body() {
        for value in [" 7", "7\t", " "] {
            let mut fields = http::HeaderMap::new();
            fields.insert("x-sum", http::HeaderValue::from_static(value));
            let mut input = input([data("a"), Ok(Frame::trailers(fields))], 100);
            assert_eq!(read(&mut input, 9), Ok("a".into()));
            assert_eq!(read(&mut input, 9), Err(ReadError::Malformed), "{value:?}");
            assert_eq!(read(&mut input, 9), Err(ReadError::Malformed), "{value:?}");
            assert_eq!(input.trailers(), []);
        }
    }

    #[test]
    fn i5_a_body_that_is_cut_short_has_no_end() {
        let mut input = input([data("he"), Err(ReadError::Disconnected)], 100);
        assert_eq!(read(&mut input, 100), Ok("he".into()));
        assert_eq!(read(&mut input, 100), Err(ReadError::Disconnected));
        assert_eq!(read(&mut input, 100), Err(ReadError::Disconnected));
    }

    #[test]
    fn i8_a_body_that_was_read_ahead_is_whole_and_has_a_length() {
        let read_ahead = |input: &mut Input, limit| match std::pin::pin!(input.read_ahead(limit))
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("all has arrived"),
        };
        let mut whole = input([data("hello"), data("world")], 100);
        assert_eq!(read_ahead(&mut whole, 10), Ok(10));
        assert_eq!(read(&mut whole, 100), Ok("helloworld".into()));
        assert_eq!(read(&mut whole, 100), Ok(Bytes::new()));
        assert_eq!(read_ahead(&mut input([data("hello"), data("world")], 100), 9), Err(ReadError::TooLarge));
        let cut = [data("hello"), Err(ReadError::Disconnected)];
        assert_eq!(read_ahead(&mut input(cut, 100), 9), Err(ReadError::Disconnected));
    }

    #[test]
    fn i7_a_body_in_chunks_beyond_the_limit_is_too_large() {
        let mut input = input([data("hello"), data("world")], 7);
        assert_eq!(read(&mut input, 100), Ok("hello".into()));
        assert_eq!(read(&mut input, 100), Err(ReadError::TooLarge));
        assert_eq!(read(&mut input, 100), Err(ReadError::TooLarge));
    }
}
