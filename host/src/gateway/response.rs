//! `start_response`, `write` and the end of a response: a channel from the handler to the wire.
//!
//! The [`Writer`] is moved into the instance's store, so that every way in which a handler can end is seen by the
//! [`Reader`]: as the end that was said ([`Writer::finish`]), or as the drop of the writer without it.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{
    Field,
    head::{HeadLimits, ResponseHead, StartError},
};
use crate::fault::Fault;

/// How many octets may wait for the client before `write` blocks (rule B8).
const HIGH_WATER: usize = 64 << 10;

/// Why a chunk was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// `start_response` has not succeeded.
    NotStarted,
    /// The client is gone, or the response was finished.
    Disconnected,
    /// The chunk goes beyond `Content-Length`; what fits was taken (rule B1).
    PastContentLength,
}

/// What the request asks of its response.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whether the request was a HEAD, which is answered without a body (rule B9).
    pub is_head: bool,
    /// How large the response's head may be.
    pub limits: HeadLimits,
}

/// The two ends of a response that has not begun.
#[must_use]
pub fn channel(terms: Terms) -> (Writer, Reader) {
    let shared = Arc::new(Mutex::new(State {
        terms,
        head: Head::Unstarted,
        chunks: VecDeque::new(),
        waiting: 0,
        left: None,
        is_bodyless: terms.is_head,
        has_failed: false,
        unsent: 0,
        end: None,
        reader_is_gone: false,
        on_chunk: None,
        on_space: None,
    }));
    (Writer { shared: Arc::clone(&shared), exception: None }, Reader { shared })
}

/// The handler's end.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Mutex<State>>,
    exception: Option<Vec<u8>>,
}

impl Writer {
    /// `start_response(status, fields, exc_info)`. Sends nothing yet (rule S1).
    ///
    /// # Errors
    ///
    /// What PEP 3333 has raise an exception: a malformed head, and a second call without `exception`. The first response
    /// then stands.
    pub fn start(&mut self, status: &str, fields: &[Field], exception: Option<Vec<u8>>) -> Result<(), StartError> {
        let is_retry = exception.is_some();
        if is_retry {
            self.exception = exception;
        }
        let mut state = lock(&self.shared);
        match state.head {
            Head::Sent(_) if is_retry => {
                // Rule S4: what has left is no whole response any more.
                state.has_failed = true;
                return Err(StartError::HeadersSent);
            }
            Head::Held(_) | Head::Refused(_) | Head::Sent(_) if !is_retry => return Err(StartError::AlreadyStarted),
            _ => {}
        }
        match ResponseHead::check(status, fields, state.terms.limits) {
            Ok(head) => {
                state.head = Head::Held(head);
                Ok(())
            }
            Err(error) => {
                state.head = Head::Refused(error.clone());
                Err(error)
            }
        }
    }

    /// Sends a chunk and waits while too much waits for the client (rules B7, B8). An empty one does nothing (rule B5).
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.push(chunk)?;
        self.space().await
    }

    /// The first half of [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn push(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        let mut state = lock(&self.shared);
        state.check_writable()?;
        if chunk.is_empty() {
            return Ok(());
        }
        state.commit(None);
        state.push(chunk)
    }

    /// The second half of [`write`](Self::write): ready when not too much waits for the client.
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn space(&self) -> impl Future<Output = Result<(), WriteError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        poll_fn(move |cx| lock(&shared).poll_space(cx))
    }

    /// Sends the last chunk and ends the response. Never waits.
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn finish(&mut self, last: Bytes) -> Result<(), WriteError> {
        let mut state = lock(&self.shared);
        state.check_writable()?;
        state.commit(Some(last.len() as u64));
        let pushed = state.push(last);
        state.end();
        pushed
    }

    /// The end of `handle`, which is the end of the response too, whatever was said before.
    ///
    /// # Errors
    ///
    /// What the handler still owes: a response at all, or the rest of a body whose length it gave.
    pub fn end(&mut self) -> Result<(), Fault> {
        let mut state = lock(&self.shared);
        match &state.head {
            Head::Unstarted => return Err(Fault::NoStartResponse),
            Head::Refused(error) => return Err(Fault::BadResponseHead(error.clone())),
            Head::Held(_) => state.commit(Some(0)),
            Head::Sent(_) => {}
        }
        state.end();
        match state.end {
            Some(End::Cut { .. }) if state.has_failed => {
                let exception = self.exception.take().unwrap_or_default();
                Err(Fault::Exception(String::from_utf8_lossy(&exception).into_owned()))
            }
            Some(End::Cut { missing }) => Err(Fault::ShortBody { missing }),
            _ => Ok(()),
        }
    }

    /// What the client did not get although the handler wrote it, in words, if there is anything to say (rules B1, B10).
    #[must_use]
    pub fn unsent(&self) -> Option<String> {
        let State { unsent, is_bodyless, terms, .. } = &*lock(&self.shared);
        match (*unsent, *is_bodyless) {
            (0, _) => None,
            _ if terms.is_head => None,
            (octets, true) => Some(format!("{octets} octets of a body were dropped: its status has none")),
            (octets, false) => Some(format!("{octets} octets beyond the Content-Length were cut off")),
        }
    }

    /// Whether the client still listens, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !lock(&self.shared).reader_is_gone
    }

    /// The text of the last `exc_info`, once.
    pub fn take_exception(&mut self) -> Option<Vec<u8>> {
        self.exception.take()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        if state.end.is_none() {
            state.end = Some(End::Cut { missing: state.left.unwrap_or(0) });
        }
        wake(&mut state.on_chunk);
    }
}

/// The wire's end.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Mutex<State>>,
}

/// The handler ended without saying so, or gave fewer octets than it promised: the client must not take what it got for
/// a complete response.
#[derive(Clone, Copy, Debug)]
pub struct Cut;

impl Reader {
    /// The head, once it may be sent; `None` if the handler is gone and there is nothing to send.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<http::response::Parts>> {
        let mut state = lock(&self.shared);
        if let Head::Sent(head) = &mut state.head {
            return Poll::Ready(head.take());
        }
        if state.end.is_some() {
            return Poll::Ready(None);
        }
        state.on_chunk = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next chunk; `None` once the response is complete.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        let mut state = lock(&self.shared);
        if let Some(chunk) = state.chunks.pop_front() {
            state.waiting -= chunk.len();
            if state.waiting <= HIGH_WATER {
                wake(&mut state.on_space);
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        match state.end {
            Some(End::Finished) => Poll::Ready(None),
            Some(End::Cut { .. }) => Poll::Ready(Some(Err(Cut))),
            None if state.left == Some(0) => Poll::Ready(None),
            None => {
                state.on_chunk = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whether all of a complete response has been read, even if its handler has not ended yet.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        let state = lock(&self.shared);
        state.chunks.is_empty() && (state.end == Some(End::Finished) || state.left == Some(0))
    }

    /// Whether the handler has said the end of its response.
    #[must_use]
    pub fn is_said(&self) -> bool {
        lock(&self.shared).end == Some(End::Finished)
    }

    /// Whether the client gets no octet of the body, however long the handler goes on writing (rules B9, B10).
    #[must_use]
    pub fn is_bodyless(&self) -> bool {
        lock(&self.shared).is_bodyless
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.reader_is_gone = true;
        state.chunks.clear();
        wake(&mut state.on_space);
    }
}

/// The life of a head.
#[derive(Debug)]
enum Head {
    /// `start_response` was not called.
    Unstarted,
    /// It was called and refused; only a call with an exception may follow (rule S5).
    Refused(StartError),
    /// It waits for the first octet of the body, or the end (rule S1).
    Held(ResponseHead),
    /// It is on its way: `Some` until the reader takes it.
    Sent(Option<http::response::Parts>),
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finished,
    /// Too early, by that many octets if the length was given.
    Cut {
        missing: u64,
    },
}

#[derive(Debug)]
struct State {
    terms: Terms,
    head: Head,
    chunks: VecDeque<Bytes>,
    /// The octets in `chunks`.
    waiting: usize,
    /// The octets still missing from `Content-Length`.
    left: Option<u64>,
    is_bodyless: bool,
    /// Whether the handler has told of an exception after the head had left.
    has_failed: bool,
    /// The octets of the body that were not sent although the handler wrote them (rules B1, B10).
    unsent: u64,
    end: Option<End>,
    reader_is_gone: bool,
    on_chunk: Option<Waker>,
    on_space: Option<Waker>,
}

impl State {
    fn check_writable(&self) -> Result<(), WriteError> {
        match self.head {
            Head::Unstarted | Head::Refused(_) => Err(WriteError::NotStarted),
            Head::Held(_) | Head::Sent(_) if self.is_abandoned() || self.end.is_some() => Err(WriteError::Disconnected),
            Head::Held(_) | Head::Sent(_) => Ok(()),
        }
    }

    /// Whether the client has left before it had all that it gets.
    fn is_abandoned(&self) -> bool {
        self.reader_is_gone && !self.is_bodyless && self.left != Some(0)
    }

    /// Lets a held head go. `whole` is the length of the whole body, if that is known now.
    fn commit(&mut self, whole: Option<u64>) {
        self.head = match mem::replace(&mut self.head, Head::Unstarted) {
            Head::Held(head) => {
                self.is_bodyless = self.terms.is_head || head.is_bodyless();
                self.left = head.length;
                Head::Sent(Some(head.into_parts(whole)))
            }
            other => other,
        };
    }

    /// Takes as much of a chunk as `Content-Length` leaves room for, or drops it where the response has no body.
    fn push(&mut self, mut chunk: Bytes) -> Result<(), WriteError> {
        let len = chunk.len();
        if let Some(left) = &mut self.left {
            chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= chunk.len() as u64;
        }
        let is_past = chunk.len() < len;
        let kept = if self.is_bodyless { 0 } else { chunk.len() };
        self.unsent += (len - kept) as u64;
        if kept > 0 {
            self.waiting += chunk.len();
            self.chunks.push_back(chunk);
        }
        wake(&mut self.on_chunk);
        if is_past { Err(WriteError::PastContentLength) } else { Ok(()) }
    }

    fn poll_space(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if self.is_abandoned() {
            return Poll::Ready(Err(WriteError::Disconnected));
        }
        if self.waiting <= HIGH_WATER || self.reader_is_gone {
            return Poll::Ready(Ok(()));
        }
        self.on_space = Some(cx.waker().clone());
        Poll::Pending
    }

    fn end(&mut self) {
        if self.end.is_none() {
            let missing = self.left.filter(|_| !self.is_bodyless).unwrap_or(0);
            self.end = Some(if missing > 0 || self.has_failed { End::Cut { missing } } else { End::Finished });
        }
        wake(&mut self.on_chunk);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The state stays consistent at every point where a panic is thinkable, so a poisoned lock means nothing.
fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { is_head: false, limits: HeadLimits { octets: 32 << 10, fields: 100 } };

    /// What a handler does.
    #[derive(Clone, Copy, Debug)]
    enum Call {
        Start(&'static str, &'static [(&'static str, &'static str)]),
        Restart(&'static str),
        Write(&'static str),
        Finish(&'static str),
        End,
        Trap,
    }
    use Call::{End as Done, Finish, Restart, Start, Trap, Write};

    /// Performs the calls and tells what a client of HTTP/1.1 would get, and what each call returned.
    fn run(is_head: bool, calls: &[Call]) -> (String, Vec<String>) {
        let (mut writer, mut reader) = channel(Terms { is_head, ..TERMS });
        let mut cx = Context::from_waker(Waker::noop());
        let mut returned = Vec::new();
        for call in calls {
            let result = match *call {
                Start(status, fields) => {
                    let fields: Vec<Field> =
                        fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
                    writer.start(status, &fields, None).map_err(|error| format!("{error:?}"))
                }
                Restart(status) => {
                    writer.start(status, &[], Some(b"boom".to_vec())).map_err(|error| format!("{error:?}"))
                }
                Write(chunk) => {
                    let mut write = std::pin::pin!(writer.write(Bytes::from_static(chunk.as_bytes())));
                    match write.as_mut().poll(&mut cx) {
                        Poll::Ready(result) => result.map_err(|error| format!("{error:?}")),
                        Poll::Pending => Err("blocks".to_owned()),
                    }
                }
                Finish(chunk) => {
                    writer.finish(Bytes::from_static(chunk.as_bytes())).map_err(|error| format!("{error:?}"))
                }
                Done => writer.end().map_err(|fault| fault.kind().to_owned()),
                Trap => break,
            };
            returned.push(result.err().unwrap_or_else(|| "ok".to_owned()));
        }
        drop(writer);
        let Poll::Ready(Some(head)) = reader.poll_head(&mut cx) else { return ("nothing".to_owned(), returned) };
        let mut got = head.status.as_u16().to_string();
        for (name, value) in &head.headers {
            got += &format!(" {name}={}", value.to_str().expect("ASCII"));
        }
        got += " |";
        loop {
            match reader.poll_chunk(&mut cx) {
                Poll::Ready(Some(Ok(chunk))) => got += &format!("{}|", String::from_utf8_lossy(&chunk)),
                Poll::Ready(Some(Err(Cut))) => return (got + "cut", returned),
                Poll::Ready(None) => return (got + "end", returned),
                Poll::Pending => unreachable!("the writer is gone"),
            }
        }
    }

    #[test]
    fn calls_become_a_response() {
        const LENGTH_3: &[(&str, &str)] = &[("Content-Length", "3")];
        /// The rule, whether the request is a HEAD, the calls, the response, and what the calls returned.
        type Case = (&'static str, bool, &'static [Call], &'static str, &'static [&'static str]);
        let cases: &[Case] = &[
            ("B3", false, &[Start("200 OK", &[]), Finish("abc"), Done], "200 content-length=3 |abc|end", &["ok"; 3]),
            ("B4", false, &[Start("200 OK", &[]), Write("a"), Write("b"), Done], "200 |a|b|end", &["ok"; 4]),
            ("B5", false, &[Start("200 OK", &[]), Write(""), Done], "200 content-length=0 |end", &["ok"; 3]),
            ("B5", false, &[Start("200 OK", &[]), Write(""), Trap], "nothing", &["ok"; 2]),
            ("B6", false, &[Start("200 OK", &[]), Done], "200 content-length=0 |end", &["ok"; 2]),
            (
                "B1",
                false,
                &[Start("200 OK", LENGTH_3), Write("ab"), Write("cd"), Write("e"), Done],
                "200 content-length=3 |ab|c|end",
                &["ok", "ok", "PastContentLength", "PastContentLength", "ok"],
            ),
            (
                "B2",
                false,
                &[Start("200 OK", LENGTH_3), Write("ab"), Done],
                "200 content-length=3 |ab|cut",
                &["ok", "ok", "short-body"],
            ),
            (
                "B2",
                false,
                &[Start("200 OK", LENGTH_3), Finish("ab"), Done],
                "200 content-length=3 |ab|cut",
                &["ok", "ok", "short-body"],
            ),
            ("B9", true, &[Start("200 OK", &[]), Finish("abc"), Done], "200 content-length=3 |end", &["ok"; 3]),
            ("B9", true, &[Start("200 OK", LENGTH_3), Done], "200 content-length=3 |end", &["ok"; 2]),
            ("B10", false, &[Start("204 No Content", LENGTH_3), Write("abc"), Done], "204 |end", &["ok"; 3]),
            ("B10", false, &[Start("205 Reset", &[]), Finish("abc"), Done], "205 content-length=0 |end", &["ok"; 3]),
            ("B10", false, &[Start("304 Same", LENGTH_3), Done], "304 content-length=3 |end", &["ok"; 2]),
            ("S1", false, &[Start("200 OK", &[]), Trap], "nothing", &["ok"]),
            (
                "S2",
                false,
                &[Start("200 OK", &[]), Start("201 No", &[]), Done],
                "200 content-length=0 |end",
                &["ok", "AlreadyStarted", "ok"],
            ),
            (
                "S3",
                false,
                &[Start("200 OK", &[("X", "1")]), Restart("500 No"), Done],
                "500 content-length=0 |end",
                &["ok"; 3],
            ),
            (
                "S4",
                false,
                &[Start("200 OK", &[]), Write("a"), Restart("500 No"), Done],
                "200 |a|cut",
                &["ok", "ok", "HeadersSent", "exception"],
            ),
            (
                "S5",
                false,
                &[Start("no", &[]), Start("200 OK", &[]), Done],
                "nothing",
                &["BadStatus", "AlreadyStarted", "bad-response-head"],
            ),
            (
                "S5",
                false,
                &[Start("no", &[]), Restart("200 OK"), Done],
                "200 content-length=0 |end",
                &["BadStatus", "ok", "ok"],
            ),
            (
                "S5",
                false,
                &[Start("no", &[]), Write("a"), Done],
                "nothing",
                &["BadStatus", "NotStarted", "bad-response-head"],
            ),
            ("X2", false, &[Done], "nothing", &["no-start-response"]),
            ("X3", false, &[Start("200 OK", &[]), Write("a"), Trap], "200 |a|cut", &["ok", "ok"]),
            ("X3", false, &[Start("200 OK", &[]), Finish("a"), Trap], "200 content-length=1 |a|end", &["ok", "ok"]),
            (
                "H11",
                false,
                &[Write("a"), Start("200 OK", &[]), Finish("b"), Write("c"), Done],
                "200 content-length=1 |b|end",
                &["NotStarted", "ok", "ok", "Disconnected", "ok"],
            ),
        ];
        for (rule, is_head, calls, got, returned) in cases {
            let (response, results) = run(*is_head, calls);
            assert_eq!(response, *got, "{rule}: {calls:?}");
            assert_eq!(results, *returned, "{rule}: {calls:?}");
        }
    }

    #[test]
    fn b1_a_response_of_a_given_length_is_complete_with_its_last_octet() {
        let (mut writer, mut reader) = channel(TERMS);
        let mut cx = Context::from_waker(Waker::noop());
        writer.start("200 OK", &[("Content-Length".to_owned(), b"3".to_vec())], None).expect("valid");
        assert!(std::pin::pin!(writer.write(Bytes::from_static(b"abc"))).poll(&mut cx).is_ready());
        assert!(!reader.is_at_end());
        assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(Some(Ok(_)))));
        assert!(reader.is_at_end());
        assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(None)));
    }

    #[test]
    fn b8_write_blocks_while_too_much_waits_and_the_reader_frees_it() {
        let (mut writer, mut reader) = channel(TERMS);
        let mut cx = Context::from_waker(Waker::noop());
        writer.start("200 OK", &[], None).expect("valid");
        let chunk = Bytes::from(vec![0; HIGH_WATER]);
        assert!(std::pin::pin!(writer.write(chunk.clone())).poll(&mut cx).is_ready());
        {
            let mut write = std::pin::pin!(writer.write(chunk));
            assert!(write.as_mut().poll(&mut cx).is_pending());
            assert!(reader.poll_chunk(&mut cx).is_ready());
            assert_eq!(write.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
        }
        drop(reader);
        assert!(!writer.is_connected());
        assert_eq!(writer.finish(Bytes::new()), Err(WriteError::Disconnected));
    }
}
