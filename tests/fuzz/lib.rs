//! Two parsers of one stream, compared: what a handler gets, and what hyper makes of the same bytes by itself.
//!
//! The server parses what comes in on a connection of HTTP/1 once, and hyper reads only what the server has written for it. Here
//! the stream goes that way, and also straight into a hyper of its own, which is the judge: each request that the server takes
//! must be, in every part, the request that hyper finds at the same place. `httparse` judges each head once more, field by
//! field in order, as hyper sorts fields by name. The server may refuse what they take, and then takes nothing behind it.

pub mod pipeline;

use std::{
    cell::RefCell,
    convert::Infallible,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response,
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use wasmserve::gateway::{
    request::{RequestHead, RequestLimits},
    requests::Requests,
    stream::{End, Start},
};

/// A field: its name in lower case, and its value.
type Field = (Vec<u8>, Vec<u8>);

/// A request as one side has seen it.
#[derive(Debug, Default)]
struct Seen {
    method: Vec<u8>,
    target: Vec<u8>,
    is_http_1_0: bool,
    fields: Vec<Field>,
    body: Vec<u8>,
    trailers: Vec<Field>,
    /// Whether the body is complete.
    is_whole: bool,
    /// Whether the server takes it for the last one of its connection. It sees more signs of that than hyper: an option of
    /// Connection beside one that is not ASCII.
    is_last: bool,
}

/// What came of one comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// How many requests were taken, and were the same for both.
    pub same: usize,
    /// Whether the server has refused a request, or the rest of one, that hyper takes.
    pub is_stricter: bool,
}

/// Compares the two on a stream that arrives in pieces which end at these places.
///
/// # Panics
///
/// They do not agree.
#[must_use]
pub fn compare(stream: &[u8], cuts: &[usize]) -> Outcome {
    let limits = RequestLimits::DEFAULT;
    let (server, refusals) = through_server(stream, cuts, limits);
    let judge = by_hyper(stream, cuts);
    let shown = || stream.escape_ascii().to_string();
    let mut outcome = Outcome::default();
    for (at, seen) in server.iter().enumerate() {
        let Some(judged) = judge.get(at) else {
            // hyper refuses characters in a target that clients do send, and that we take.
            assert!(is_beyond_hyper(&seen.target), "only the server takes request {at} of {}: {seen:?}", shown());
            return outcome;
        };
        assert_eq!(seen.method, judged.method, "method {at} of {}", shown());
        assert_eq!(seen.is_http_1_0, judged.is_http_1_0, "version {at} of {}", shown());
        if seen.target.starts_with(b"/") {
            let path = seen.target.split(|byte| *byte == b'#').next();
            assert_eq!(path, Some(&*judged.target), "target {at} of {}", shown());
        }
        assert_eq!(seen.fields, judged.fields, "fields {at} of {}", shown());
        if seen.is_whole {
            assert!(judged.is_whole, "only the server has the end of body {at} of {}", shown());
            assert_eq!(seen.body, judged.body, "body {at} of {}", shown());
            assert_eq!(seen.trailers, judged.trailers, "trailers {at} of {}", shown());
            outcome.same += 1;
        } else {
            assert!(judged.body.starts_with(&seen.body), "the broken body {at} of {}", shown());
            assert_eq!(at + 1, server.len(), "a request behind a broken body of {}", shown());
            outcome.is_stricter = judged.is_whole;
        }
    }
    outcome.is_stricter |= judge.len() > server.len() && refusals > 0;
    if judge.len() > server.len() {
        let is_over = server.last().is_some_and(|seen| !seen.is_whole || seen.is_last);
        assert!(refusals > 0 || is_over, "request {} of {} got lost", server.len(), shown());
    }
    outcome
}

/// Whether hyper's URIs cannot have this target.
fn is_beyond_hyper(target: &[u8]) -> bool {
    target.iter().any(|byte| matches!(byte, b'"' | b'`'))
}

/// The requests that the server takes, and how many it refuses: the last one, if any.
fn through_server(stream: &[u8], cuts: &[usize], limits: RequestLimits) -> (Vec<Seen>, usize) {
    let requests = Rc::new(RefCell::new(Requests::new(limits)));
    let (seen, refusals) = (Rc::default(), RefCell::new(0));
    let wire = ThroughServer { requests: Rc::clone(&requests), pieces: pieces(stream, cuts), ahead: Vec::new() };
    serve(wire, &seen, |request| {
        let start = requests.borrow_mut().take().expect("hyper reads a head where one was written");
        if start.refusal.is_some() || start.head.check(limits).is_err() {
            *refusals.borrow_mut() += 1;
            return None;
        }
        judge_head(&start.head);
        assert_eq!(*refusals.borrow(), 0, "a request behind one that is refused: {start:?}");
        assert_eq!(request.version() == http::Version::HTTP_10, is_http_1_0(&start), "{start:?}");
        Some(Seen { is_last: start.is_last, ..seen_by_server(&start.head) })
    });
    (seen.take(), refusals.into_inner())
}

fn is_http_1_0(start: &Start) -> bool {
    start.head.version() == wasmserve::gateway::request::Version::Http10
}

/// The requests that hyper finds in the stream by itself.
fn by_hyper(stream: &[u8], cuts: &[usize]) -> Vec<Seen> {
    let seen = Rc::default();
    serve(Pieces(pieces(stream, cuts)), &seen, |request| {
        let uri = request.uri();
        Some(Seen {
            method: request.method().as_str().into(),
            target: uri.path_and_query().map(|target| target.as_str().into()).unwrap_or_default(),
            is_http_1_0: request.version() == http::Version::HTTP_10,
            fields: sorted(fields_of(request.headers())),
            ..Seen::default()
        })
    });
    seen.take()
}

/// Serves a connection to its end; all that it reads is there.
fn serve<W: Read + Write + Unpin>(
    wire: W,
    all: &Rc<RefCell<Vec<Seen>>>,
    begin: impl Fn(&Request<Incoming>) -> Option<Seen>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (all, seen) = (Rc::clone(all), begin(&request));
        async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            let Some(seen) = seen else {
                response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
                return Ok::<_, Infallible>(response);
            };
            let at = all.borrow().len();
            all.borrow_mut().push(seen);
            let mut body = request.into_body();
            let is_whole = loop {
                match body.frame().await {
                    None => break true,
                    Some(Err(_)) => break false,
                    Some(Ok(frame)) => match (frame.into_data(), &mut all.borrow_mut()[at]) {
                        (Ok(data), seen) => seen.body.extend_from_slice(&data),
                        (Err(frame), seen) => {
                            seen.trailers = fields_of(&frame.into_trailers().unwrap_or_default());
                        }
                    },
                }
            };
            all.borrow_mut()[at].is_whole = is_whole;
            Ok(response)
        }
    });
    let mut connection =
        pin!(http1::Builder::new().header_read_timeout(None).half_close(true).serve_connection(wire, service));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if connection.as_mut().poll(&mut context).is_ready() {
            return;
        }
    }
    unreachable!("a connection whose client has said all that it will does not end");
}

fn fields_of(fields: &http::HeaderMap) -> Vec<Field> {
    fields.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect()
}

/// What the server makes of a head.
fn seen_by_server(head: &RequestHead) -> Seen {
    let fields = head.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect();
    Seen {
        method: head.method().into(),
        target: head.target().into(),
        is_http_1_0: head.version() == wasmserve::gateway::request::Version::Http10,
        fields: sorted(fields),
        ..Seen::default()
    }
}

/// By name, as hyper moves fields when it drops a length; and without lengths, whose meaning shows in the body.
fn sorted(mut fields: Vec<Field>) -> Vec<Field> {
    fields.retain(|(name, _)| name != b"content-length");
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// A head that the server has accepted says the same to `httparse`, in every part and in order.
///
/// # Panics
///
/// It does not.
pub fn judge_head(head: &RequestHead) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut judge = httparse::Request::new(&mut fields);
    let parsed = judge.parse(head.raw());
    let shown = || head.raw().escape_ascii().to_string();
    assert_eq!(parsed, Ok(httparse::Status::Complete(head.raw().len())), "{}", shown());
    assert_eq!(judge.method.map(str::as_bytes), Some(head.method()), "{}", shown());
    assert_eq!(judge.path.map(str::as_bytes), Some(head.target()), "{}", shown());
    let judged: Vec<_> = judge.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    let seen: Vec<_> = head.fields().collect();
    assert_eq!(seen, judged, "{}", shown());
}

/// A stream in pieces, the next one at the end.
fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([0, stream.len()]).collect();
    ends.sort_unstable();
    ends.windows(2).map(|ends| &stream[ends[0]..ends[1]]).filter(|piece| !piece.is_empty()).rev().collect()
}

/// A client that sends its pieces and then ends its side.
struct Pieces<'a>(Vec<&'a [u8]>);

impl Pieces<'_> {
    /// The next bytes, at most so many.
    fn next(&mut self, max: usize) -> &[u8] {
        let Some(piece) = self.0.pop() else { return &[] };
        let (now, later) = piece.split_at(piece.len().min(max));
        if !later.is_empty() {
            self.0.push(later);
        }
        now
    }
}

impl Read for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let room = cursor.remaining();
        cursor.put_slice(self.next(room));
        Poll::Ready(Ok(()))
    }
}

/// The same client, behind the server's parser.
struct ThroughServer<'a> {
    requests: Rc<RefCell<Requests>>,
    pieces: Vec<&'a [u8]>,
    ahead: Vec<u8>,
}

impl Read for ThroughServer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        while this.ahead.is_empty() {
            if this.requests.borrow().end() == Some(End::Malformed) {
                return Poll::Ready(Err(std::io::ErrorKind::InvalidData.into()));
            }
            let Some(piece) = this.pieces.pop() else { return Poll::Ready(Ok(())) };
            let ahead = &mut this.ahead;
            this.requests.borrow_mut().feed(piece, |written| ahead.extend_from_slice(written));
        }
        let fits = this.ahead.len().min(cursor.remaining());
        cursor.put_slice(&this.ahead[..fits]);
        this.ahead.drain(..fits);
        Poll::Ready(Ok(()))
    }
}

macro_rules! write_to_nowhere {
    ($wire:ident) => {
        impl Write for $wire<'_> {
            fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
                Poll::Ready(Ok(bytes.len()))
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
    };
}

write_to_nowhere!(Pieces);
write_to_nowhere!(ThroughServer);

#[cfg(test)]
mod tests {
    use super::{pipeline::Random, *};

    #[test]
    fn what_the_server_takes_is_what_hyper_finds() {
        let (mut taken, mut stricter) = (0, 0);
        for seed in 1..=20_000 {
            let mut random = Random::new(seed);
            let stream = pipeline::mutated(&mut random);
            let outcome = compare(&stream, &pipeline::cuts(&mut random));
            taken += outcome.same;
            stricter += usize::from(outcome.is_stricter);
        }
        assert!(taken > 10_000, "only {taken} requests were compared");
        assert!(stricter < 2_000, "{stricter} streams were refused that hyper takes");
    }

    #[test]
    fn a_stream_is_read_alike_wherever_it_is_cut() {
        for seed in 1..=100 {
            let stream = pipeline::mutated(&mut Random::new(seed));
            let whole = compare(&stream, &[]).same;
            for cut in 1..stream.len() {
                assert_eq!(compare(&stream, &[cut]).same, whole, "cut at {cut}: {}", stream.escape_ascii());
            }
        }
    }

    #[test]
    fn no_line_feed_alone_ends_the_trailers_and_lets_a_head_get_the_next_ones_body() {
        for end in ["0\r\n\n", "0\r\nX: y\n\r\n", "0\r\nX: y\n\n", "0\n\r\n", "0\r\n\r\r\n"] {
            let stream = format!(
                "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{end}\
                 POST /transfer?to=attacker HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
                 POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\npassword=abc"
            );
            assert_eq!(compare(stream.as_bytes(), &[]).same, 0, "{end:?}");
            let (seen, _) = through_server(stream.as_bytes(), &[], RequestLimits::DEFAULT);
            assert_eq!(seen.len(), 1, "{end:?}: nothing behind a broken body is a request");
            assert!(!seen[0].is_whole && seen[0].target == b"/first", "{end:?}");
        }
    }
}
