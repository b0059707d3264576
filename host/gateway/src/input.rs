//! The request body as the guest reads it: `wsgi.input`.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body;

use crate::field::{self, Field};

/// Why reading a body failed. Never used for the end of a complete body.
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

/// A boxed request body.
pub type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = ReadError> + Send>>;

/// The most bytes that one `read` returns, whatever `max` is.
const READ_MAX: usize = 64 << 10;

/// `wsgi.input`. The default has no body.
#[derive(Default)]
pub struct Input {
    /// `None` when there is no body, or when it was read to the end.
    body: Option<BoxBody>,
    /// Data that arrived but was not requested yet: the rest of one frame.
    ahead: Bytes,
    /// How many more bytes may arrive.
    left: u64,
    failed: Option<ReadError>,
    trailers: Vec<Field>,
}

impl Input {
    /// The input of a body that may have at most `limit` bytes.
    #[must_use]
    pub fn new(body: Option<BoxBody>, limit: u64) -> Self {
        Self { body, ahead: Bytes::new(), left: limit, failed: None, trailers: Vec::new() }
    }

    /// Reads the next 1 to `max` bytes. Returns an empty chunk at the end, and on every later call (rule I1).
    ///
    /// Waits for the client. Cancel safe: dropping the future loses no data.
    ///
    /// # Errors
    ///
    /// What ended the body early; every later call returns the same error.
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
                            self.trailers = trailers
                                .iter()
                                .filter(|(name, _)| field::may_be_trailer(name.as_str()))
                                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                                .collect();
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

    /// [`read`](Self::read) for hosts that have a thread for each exchange: the body blocks until it has a frame, and is
    /// never pending.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    ///
    /// # Panics
    ///
    /// The body is pending.
    pub fn read_blocking(&mut self, max: usize) -> Result<Bytes, ReadError> {
        match pin!(self.read(max)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => read,
            Poll::Pending => panic!("a body that is read by blocking must not be pending"),
        }
    }

    /// Whether there may be data to read.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// Waits for the whole body, keeps it for [`read`](Self::read), and returns its length (rule I8).
    ///
    /// # Errors
    ///
    /// What ended the body early, or [`ReadError::TooLarge`] if it is longer than `limit`.
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

    /// Waits for the whole body if it has at most `limit` bytes, and returns its length; or for a little more than that
    /// if it is longer. All of it is kept for [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// What ended the body early.
    pub async fn measure(&mut self, limit: u64) -> Result<Option<u64>, ReadError> {
        let mut begun = BytesMut::new();
        loop {
            let part = self.read(READ_MAX).await?;
            begun.extend_from_slice(&part);
            let is_whole = part.is_empty();
            if is_whole || begun.len() as u64 > limit {
                begun.extend_from_slice(&self.ahead);
                self.ahead = begun.freeze();
                return Ok(is_whole.then_some(self.ahead.len() as u64));
            }
        }
    }

    /// The trailer fields, available once the end has been read (rule I4).
    #[must_use]
    pub fn trailers(&self) -> &[Field] {
        if self.body.is_none() { &self.trailers } else { &[] }
    }

    /// The error that a read returned, if any.
    #[must_use]
    pub fn failure(&self) -> Option<ReadError> {
        self.failed
    }

    fn fail(&mut self, error: ReadError) {
        self.failed = Some(error);
        self.body = None;
    }
}

/// h2 accepts names that are not tokens and values with surrounding white space. A message with such a field is
/// malformed as a whole (RFC 9113 section 8.2.1).
fn is_well_formed(name: &http::HeaderName, value: &http::HeaderValue) -> bool {
    field::is_token(name.as_str().as_bytes()) && field::is_value(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body::Frame;

    use super::*;

    /// A body whose frames have all arrived.
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
        input.read_blocking(max)
    }

    #[test]
    fn i1_read_returns_at_most_max_bytes_and_then_the_end_repeatedly() {
        let mut input = input([data("hello"), data(""), data("!")], 100);
        assert_eq!(read(&mut input, 0), Ok(Bytes::new()));
        assert_eq!(read(&mut input, 2), Ok("he".into()));
        assert_eq!(read(&mut input, 100), Ok("llo".into()));
        assert_eq!(read(&mut input, 100), Ok("!".into()));
        assert_eq!(read(&mut input, 100), Ok(Bytes::new()));
        assert_eq!(read(&mut input, 100), Ok(Bytes::new()));
    }

    #[test]
    fn i4_trailers_are_available_after_the_end_without_framing_and_authentication_fields() {
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
    fn i6_malformed_trailers_are_not_the_end_of_a_body() {
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
    fn i5_a_truncated_body_has_no_end() {
        let mut input = input([data("he"), Err(ReadError::Disconnected)], 100);
        assert_eq!(read(&mut input, 100), Ok("he".into()));
        assert_eq!(read(&mut input, 100), Err(ReadError::Disconnected));
        assert_eq!(read(&mut input, 100), Err(ReadError::Disconnected));
    }

    #[test]
    fn i8_a_body_that_was_read_ahead_is_complete_and_has_a_length() {
        let read_ahead = |input: &mut Input, limit| match std::pin::pin!(input.read_ahead(limit))
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("everything has arrived"),
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
    fn i8_a_body_is_measured_without_losing_any_of_it() {
        let measure = |input: &mut Input, limit| match std::pin::pin!(input.measure(limit))
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("everything has arrived"),
        };
        for (limit, length) in [(10, Some(10)), (9, None), (4, None), (0, None)] {
            let mut input = input([data("hello"), data("world")], 100);
            assert_eq!(measure(&mut input, limit), Ok(length), "{limit}");
            let mut all = Vec::new();
            while let Ok(part) = read(&mut input, 3)
                && !part.is_empty()
            {
                all.extend_from_slice(&part);
            }
            assert_eq!(all, b"helloworld", "{limit}");
        }
        let cut = [data("hello"), Err(ReadError::Disconnected)];
        assert_eq!(measure(&mut input(cut, 100), 9), Err(ReadError::Disconnected));
    }

    #[test]
    fn i7_a_chunked_body_beyond_the_limit_is_too_large() {
        let mut input = input([data("hello"), data("world")], 7);
        assert_eq!(read(&mut input, 100), Ok("hello".into()));
        assert_eq!(read(&mut input, 100), Err(ReadError::TooLarge));
        assert_eq!(read(&mut input, 100), Err(ReadError::TooLarge));
    }
}
