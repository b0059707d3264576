//! Compares two parsers of one stream: the server's, and hyper's own.
//!
//! The server parses a connection of HTTP/1 once, and hyper reads only what the server writes for it. Here the stream
//! goes that way, and also directly into a second hyper, the reference. Each request that the server takes must equal,
//! in every part, the request that the reference finds at the same place. `httparse` also checks each head, field by
//! field in order, because hyper sorts fields by name. The server may refuse requests that the reference takes, but
//! then must not take anything after them.

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

/// A request as one side has parsed it.
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
    /// Whether the server treats it as the last one of its connection. The server recognizes more reasons for that than
    /// hyper, such as a Connection option next to one that is not ASCII.
    is_last: bool,
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// How many requests were taken, all equal on both sides.
    pub same: usize,
    /// Whether the server refused a request, or the rest of one, that hyper takes.
    pub is_stricter: bool,
}

/// Compares the two parsers on a stream that arrives in pieces, split at these places.
///
/// # Panics
///
/// The parsers disagree.
#[must_use]
pub fn compare(stream: &[u8], cuts: &[usize]) -> Outcome {
    let limits = RequestLimits::DEFAULT;
    let (server, refusals) = through_server(stream, cuts, limits);
    let judge = by_hyper(stream, cuts);
    let shown = || stream.escape_ascii().to_string();
    let mut outcome = Outcome::default();
    for (at, seen) in server.iter().enumerate() {
        let Some(judged) = judge.get(at) else {
            // hyper refuses characters in a target that clients do send, and that the server takes.
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
            assert!(judged.body.starts_with(&seen.body), "the truncated body {at} of {}", shown());
            assert_eq!(at + 1, server.len(), "a request after a truncated body of {}", shown());
            outcome.is_stricter = judged.is_whole;
        }
    }
    outcome.is_stricter |= judge.len() > server.len() && refusals > 0;
    if judge.len() > server.len() {
        let is_over = server.last().is_some_and(|seen| !seen.is_whole || seen.is_last);
        assert!(refusals > 0 || is_over, "request {} of {} is missing", server.len(), shown());
    }
    outcome
}

/// Whether hyper's URIs cannot represent this target.
fn is_beyond_hyper(target: &[u8]) -> bool {
    target.iter().any(|byte| matches!(byte, b'"' | b'`'))
}

/// The requests that the server takes, and the number of those that it refuses: at most one, the last.
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
        assert_eq!(*refusals.borrow(), 0, "a request after a refused one: {start:?}");
        assert_eq!(request.version() == http::Version::HTTP_10, is_http_1_0(&start), "{start:?}");
        Some(Seen { is_last: start.is_last, ..seen_by_server(&start.head) })
    });
    (seen.take(), refusals.into_inner())
}

fn is_http_1_0(start: &Start) -> bool {
    start.head.version() == wasmserve::gateway::request::Version::Http10
}

/// The requests that hyper finds in the stream on its own.
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

/// Serves a connection to its end. All of its input is available.
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
    unreachable!("a connection does not end although all input was read");
}

fn fields_of(fields: &http::HeaderMap) -> Vec<Field> {
    fields.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect()
}

/// A head as the server has parsed it.
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

/// Sorted by name, because hyper moves fields when it drops a length; and without lengths, which show in the body.
fn sorted(mut fields: Vec<Field>) -> Vec<Field> {
    fields.retain(|(name, _)| name != b"content-length");
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// Checks that `httparse` parses an accepted head to the same parts, in the same order.
///
/// # Panics
///
/// The results differ.
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

/// Splits a stream into pieces, in reverse order.
fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([0, stream.len()]).collect();
    ends.sort_unstable();
    ends.windows(2).map(|ends| &stream[ends[0]..ends[1]]).filter(|piece| !piece.is_empty()).rev().collect()
}

/// A client that sends its pieces and then closes its side.
struct Pieces<'a>(Vec<&'a [u8]>);

impl Pieces<'_> {
    /// The next bytes, up to this many.
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

/// The same client behind the server's parser.
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
            this.requests.borrow_mut().feed(piece, |written| ahead.extend_from_slice(written), |_| {});
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
    fn a_stream_is_parsed_alike_wherever_it_is_split() {
        for seed in 1..=100 {
            let stream = pipeline::mutated(&mut Random::new(seed));
            let whole = compare(&stream, &[]).same;
            for cut in 1..stream.len() {
                assert_eq!(compare(&stream, &[cut]).same, whole, "cut at {cut}: {}", stream.escape_ascii());
            }
        }
    }

    #[test]
    fn a_bare_line_feed_does_not_end_the_trailers() {
        for end in ["0\r\n\n", "0\r\nX: y\n\r\n", "0\r\nX: y\n\n", "0\n\r\n", "0\r\n\r\r\n"] {
            let stream = format!(
                "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{end}\
                 POST /transfer?to=attacker HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
                 POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\npassword=abc"
            );
            assert_eq!(compare(stream.as_bytes(), &[]).same, 0, "{end:?}");
            let (seen, _) = through_server(stream.as_bytes(), &[], RequestLimits::DEFAULT);
            assert_eq!(seen.len(), 1, "{end:?}: nothing after a malformed body is a request");
            assert!(!seen[0].is_whole && seen[0].target == b"/first", "{end:?}");
        }
    }
}
