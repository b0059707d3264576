//! Replays the request of a record: a new exchange with the handler that is served now.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};
use wasmserve_gateway::{
    environ::Peer,
    request::RequestLimits,
    stream::{Awaited, End, Parser, Piece},
};

use super::{
    arrivals::Arrivals,
    compare::{compare_runs, comparison::Comparison},
    door::{self, Sending, Written},
    http2,
};
use crate::{
    capture::{
        message::Message,
        record::{Cut, Ending, Origin, Protocol, Record, Side},
        script::Script,
        store::Store,
    },
    event::exchange::CLIENT_LEFT,
    server::guest::Guest,
    transport::http2::client::{Content, Part},
};

/// How long a replay may take, whatever the server's own limits are.
const TIME_MAX: Duration = Duration::from_secs(60);

/// How many replays may run at the same time; others wait.
const CONCURRENCY: usize = 8;

/// How many runs of one request are compared at most, to find out what differs by itself.
const RUNS_MAX: usize = 4;

/// How many records of the store around a replay may be further runs of it.
const NEAR: u64 = 64;

/// Replays captured requests. Clones replay into the same server.
#[derive(Clone)]
pub(crate) struct Replayer(Arc<Door>);

struct Door {
    store: Arc<Store>,
    arrivals: Arc<Arrivals>,
    guests: mpsc::Sender<Guest>,
    /// Why nothing can be replayed, if that is so.
    why_not: Option<String>,
    /// Whether requests may also be verified with another time and randomness than that of their records.
    is_live: bool,
    permits: Semaphore,
    begun: AtomicU64,
}

/// When the parts of a request are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One after the other.
    #[default]
    Fast,
    /// When they arrived.
    Recorded,
}

/// Why a request is not replayed, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status for the viewer: 409 if the server cannot replay now, 422 if this request cannot be replayed.
    pub status: u16,
    /// The reason and the remedy.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The server cannot replay anything now.
fn not_now(text: impl Into<String>) -> Refusal {
    Refusal { status: 409, text: text.into() }
}

/// This request cannot be replayed.
fn not_this(text: impl Into<String>) -> Refusal {
    Refusal { status: 422, text: text.into() }
}

/// A replay, and how its response compares with the original's.
pub(crate) struct Verified {
    /// The first replay.
    pub record: Arc<Record>,
    /// How it differs from the original. What further runs differ in, too, is marked.
    pub comparison: Comparison,
}

impl Replayer {
    /// Creates a replayer, and the guests that the server has to take. `arrivals` must be one of the store's sinks.
    /// `why_not` is the reason if nothing may be replayed. If `is_live` is not set, requests are verified without a run in
    /// which a handler could connect to others.
    #[must_use]
    pub(crate) fn new(
        store: Arc<Store>,
        arrivals: Arc<Arrivals>,
        why_not: Option<String>,
        is_live: bool,
    ) -> (Self, mpsc::Receiver<Guest>) {
        let (guests, taken) = mpsc::channel(CONCURRENCY);
        let permits = Semaphore::new(CONCURRENCY);
        (Self(Arc::new(Door { store, arrivals, guests, why_not, is_live, permits, begun: AtomicU64::new(0) })), taken)
    }

    /// Why nothing can be replayed, if that is so.
    #[must_use]
    pub(crate) fn why_not(&self) -> Option<&str> {
        self.0.why_not.as_deref()
    }

    /// Sends a request again, or `bytes` in its place, and returns the record of the new exchange. Time and randomness are
    /// those of now.
    ///
    /// Waits until the response is complete and the handler has ended. If dropped before, the client of the exchange has
    /// left.
    ///
    /// # Errors
    ///
    /// The request cannot be replayed, or no complete response came within 60 seconds.
    pub(crate) async fn replay(
        &self,
        original: &Record,
        bytes: Option<Bytes>,
        pace: Pace,
    ) -> Result<Arc<Record>, Refusal> {
        self.run(original, bytes, pace, None).await
    }

    /// Sends a request again, and has the host answer the handler as it answered the original one: with the same time,
    /// randomness and responses of other servers, none of which is sent anything. The record says where the handler did
    /// something else, if it did; from there on, time is that of now.
    ///
    /// # Errors
    ///
    /// As for [`replay`](Self::replay).
    pub(crate) async fn repeat(&self, original: &Record, pace: Pace) -> Result<Arc<Record>, Refusal> {
        let script = original.script.clone().unwrap_or_default();
        self.run(original, None, pace, Some(Arc::new(script))).await
    }

    async fn run(
        &self,
        original: &Record,
        bytes: Option<Bytes>,
        pace: Pace,
        script: Option<Arc<Script>>,
    ) -> Result<Arc<Record>, Refusal> {
        let Door { store, arrivals, guests, why_not, permits, begun, .. } = &*self.0;
        if let Some(why) = why_not {
            return Err(not_now(why));
        }
        if store.is_paused() {
            return Err(not_now("capturing is paused; continue it to replay"));
        }
        let edited = bytes.filter(|bytes| *bytes != without_trailers(original));
        let sending = match &edited {
            Some(bytes) => edit(original, bytes)?,
            None => resend(original, pace)?,
        };
        let _permit = permits.acquire().await;
        let number = begun.fetch_add(1, Ordering::Relaxed) + 1;
        let record = arrivals.expect(number);
        let (client, stream) =
            door::open().await.map_err(|error| not_now(format!("cannot connect to ourselves: {error}")))?;
        let of = Some(original.seq).filter(|seq| *seq > 0);
        let origin = Origin::Replay { of, id: original.id, edited: edited.is_some(), script, number };
        let (until_served, served) = oneshot::channel();
        let peer = Peer { remote: original.remote, local: original.local };
        let stopping = || not_now("the server is stopping");
        guests.send(Guest { stream, peer, origin, until_served }).await.map_err(|_| stopping())?;
        let incomplete = || not_this(format!("no complete response within {} s", TIME_MAX.as_secs()));
        within(door::send(client, sending)).await.ok_or_else(incomplete)?.ok();
        // The connection is closed now, and the exchange mostly complete.
        within(served).await.ok_or_else(incomplete)?.ok();
        _ = store.counts();
        let missing = || not_now("the replay could not be recorded; raise --ui-memory");
        within(record).await.ok_or_else(incomplete)?.map_err(|_| missing())
    }

    /// Repeats a request and compares its response with the original's. If they differ, more runs show what differs by
    /// itself: as long as the handler has followed the record, only what the record lacks.
    ///
    /// # Errors
    ///
    /// As for [`replay`](Self::replay).
    pub(crate) async fn verify(&self, original: &Record, pace: Pace, ignore: &[String]) -> Result<Verified, Refusal> {
        let mut runs = vec![self.repeat(original, pace).await?];
        loop {
            let comparison = compare_runs(original, &runs.iter().map(|run| &**run).collect::<Vec<_>>(), ignore);
            // A third run is of use only if the second one differs from the first at all.
            let is_settled = comparison.is_same
                || runs.len() == RUNS_MAX
                || runs.len() > 1 && compare_runs(&runs[0], &[&runs[1]], ignore).differences.is_empty();
            if is_settled && !comparison.is_same && runs[0].would_have_sent() {
                let left = runs[0].left.as_deref().unwrap_or_default();
                return Err(not_this(format!("it left the record at {left}; a replay sends nothing to other servers")));
            }
            if is_settled {
                return Ok(Verified { record: runs.swap_remove(0), comparison });
            }
            runs.push(match self.0.is_live && runs[0].left.is_some() {
                true => self.replay(original, None, pace).await?,
                false => self.repeat(original, pace).await?,
            });
        }
    }
}

/// Compares the responses of two records, and finds what differs by itself with the other runs of a replay that are in the
/// store near it.
pub(crate) fn compare_stored(store: &Store, original: &Record, new: &Record) -> Comparison {
    let near = store.after(new.seq.saturating_sub(NEAR / 2), NEAR as usize);
    let is_run = |run: &&Arc<Record>| {
        let is_of = matches!(run.origin, Origin::Replay { of, edited: false, .. } if of == Some(original.seq));
        is_of && run.seq != new.seq && run.handler == new.handler
    };
    let is_replay = matches!(new.origin, Origin::Replay { of, edited: false, .. } if of == Some(original.seq));
    let others = near.iter().filter(is_run).filter(|_| is_replay).map(|run| &**run);
    compare_runs(original, &std::iter::once(new).chain(others).take(RUNS_MAX).collect::<Vec<_>>(), &[])
}

/// Waits for at most the time that a replay may take.
async fn within<T>(what: impl Future<Output = T>) -> Option<T> {
    timeout(TIME_MAX, what).await.ok()
}

/// The request of a record, as it was.
fn resend(original: &Record, pace: Pace) -> Result<Sending, Refusal> {
    let side = &original.request;
    if side.is_cut() {
        let (kept, total) = (side.bytes.len(), side.total);
        let why = match side.cut {
            Some(Cut::HeadMax) => "so much of a head is not kept",
            Some(Cut::NoRoom) => "the memory for captures was used up",
            Some(Cut::BodyMax | Cut::Lost) | None => "raise --capture-body to capture all",
        };
        return Err(not_this(format!("only {kept} of its {total} bytes were captured; {why}")));
    }
    if side.bytes.is_empty() {
        return Err(not_this("its client sent nothing"));
    }
    let request = Message::request(original);
    if side.end == Ending::Broken && !request.is_whole {
        return Err(not_this("its client broke the connection before the request was complete"));
    }
    let parts = parts(side, pace);
    let has_left = original.outcome.is_some_and(|outcome| outcome.status == CLIENT_LEFT);
    let leaves_after = Some(original.response.total).filter(|bytes| has_left && *bytes > 0);
    if original.protocol == Protocol::Http2 {
        if side.is_inexact {
            return Err(not_this("it was malformed in a way that only frames of HTTP/2 show, which are not captured"));
        }
        let after = leaves_after.map(|_| original.response.body_total());
        return resend_http2(side, parts, after).map_err(not_this);
    }
    // A client that waits may also close its side, or leave: which of them it was is not known.
    let closes = side.end == Ending::Closed && (!request.is_whole || pace == Pace::Recorded);
    let is_head = original.request_head().method() == b"HEAD";
    let parts = parts.into_iter().map(|(after, range)| (after, side.bytes.slice(range))).collect();
    Ok(Sending::Http1(Written { parts, closes, is_head, leaves_after }))
}

/// The ranges of what was read, each with the time to send it at after the first one.
fn parts(side: &Side, pace: Pace) -> Vec<(Duration, Range<usize>)> {
    let mut parts = Vec::with_capacity(side.turns.len() + 1);
    let (mut at, start) = (0, side.turns.first().map_or(0, |(when, _)| *when));
    for (when, length) in &side.turns {
        let end = side.bytes.len().min(at + usize::try_from(*length).unwrap_or(usize::MAX));
        let after = Duration::from_micros(if pace == Pace::Fast { 0 } else { when.saturating_sub(start) });
        parts.push((after, at..end));
        at = end;
    }
    // What arrived after the last turn that is recorded.
    let last = parts.last().map_or(Duration::ZERO, |(after, _)| *after);
    parts.push((last, at..side.bytes.len()));
    parts
}

/// A request of HTTP/2 as it was.
fn resend_http2(
    side: &Side,
    turns: Vec<(Duration, Range<usize>)>,
    leaves_after: Option<u64>,
) -> Result<Sending, String> {
    let (head, (content, trailers)) = (side.head().len(), side.content_and_trailers());
    let trailers = http2::trailers(trailers)?;
    let data = head..head + content.len();
    let (mut parts, last) = (VecDeque::new(), turns.last().map_or(Duration::ZERO, |(after, _)| *after));
    for (after, turn) in turns {
        let part = turn.start.max(data.start)..turn.end.min(data.end);
        if !part.is_empty() {
            parts.push_back((after, Part::Data(side.bytes.slice(part))));
        }
    }
    let is_ended = side.end == Ending::Whole;
    // The end of the stream came in a frame of its own, which is not the same as a request without a content.
    if parts.is_empty() && trailers.is_none() && is_ended && side.turns.len() > 1 {
        parts.push_back((last, Part::Data(Bytes::new())));
    }
    parts.extend(trailers.map(|trailers| (last, Part::Trailers(trailers))));
    let request = http2::head(side.head(), is_ended.then_some(content.len()))?;
    let request = request.map(|()| Content::new(parts, !is_ended));
    Ok(Sending::Http2(Box::new(request), leaves_after))
}

/// The bytes of a request but for the trailers of HTTP/2, which are not edited.
fn without_trailers(original: &Record) -> Bytes {
    let side = &original.request;
    let (_, trailers) = side.content_and_trailers();
    side.bytes.slice(..side.bytes.len() - if original.protocol == Protocol::Http2 { trailers.len() } else { 0 })
}

/// An edited request of HTTP/2 in place of that of a record, whose trailers it has.
fn edit_http2(original: &Record, bytes: &Bytes) -> Result<Sending, String> {
    let (head, content) = http2::split(bytes)?;
    let request = http2::head(&head, Some(content.len()))?;
    let (_, trailers) = original.request.content_and_trailers();
    let data = (!content.is_empty()).then_some(Part::Data(content));
    let parts = data.into_iter().chain(http2::trailers(trailers)?.map(Part::Trailers));
    let content = Content::new(parts.map(|part| (Duration::ZERO, part)).collect(), false);
    Ok(Sending::Http2(Box::new(request.map(|()| content)), None))
}

/// An edited request in place of that of a record.
fn edit(original: &Record, bytes: &Bytes) -> Result<Sending, Refusal> {
    if original.protocol == Protocol::Http2 {
        return edit_http2(original, bytes).map_err(not_this);
    }
    let limits = RequestLimits { head: u64::MAX, target: usize::MAX, fields: usize::MAX };
    let (mut parser, mut input, mut is_head) = (Parser::new(limits), &bytes[..], false);
    while let Some(piece) = parser.next(&mut input) {
        if let Piece::Start(start) = &piece {
            is_head = start.head.method() == b"HEAD";
        }
        if parser.is_between_requests() || parser.end().is_some() {
            break;
        }
    }
    let is_malformed = parser.end().is_some_and(|end| end != End::Last);
    if !input.is_empty() && !is_malformed {
        return Err(not_this(format!(
            "the request ends {} bytes before the end of the text; correct its Content-Length, or remove them",
            input.len()
        )));
    }
    if parser.awaited().0 == Awaited::Head {
        return Err(not_this("the head of the request is not complete; end it with an empty line"));
    }
    // Otherwise the server would wait for the rest.
    let closes = parser.is_mid_message();
    let parts = vec![(Duration::ZERO, bytes.clone())];
    Ok(Sending::Http1(Written { parts, closes, is_head, leaves_after: None }))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{Pending, pending},
    };

    use tokio::sync::oneshot;
    use wasmserve_gateway::mounts::Mounts;

    use super::*;
    use crate::{
        base::{
            grants::Grants,
            limits::{ConcurrencyLimits, Limits},
            options::GatewayOptions,
        },
        capture::store::CaptureOptions,
        event::Events,
        exchange::Exchanges,
        handler::Call,
        kind::native::{Answering, Native},
        listen::recorder::Recorder,
        server,
        source::live::Live,
    };

    /// Shows the method, the client's address, the id, and the body.
    fn show(call: &mut Call) -> Answering<'_> {
        Box::pin(async move {
            let mut body = Vec::new();
            if call.exchange.head.target() == b"/unread" {
                call.writer.start("200 OK", Vec::new(), None).map_err(|error| error.to_string())?;
                return call.writer.finish("POST unread\n".into()).map_err(|error| format!("{error:?}"));
            }
            loop {
                let part = call.input.read(1 << 20).await.map_err(|error| format!("{error:?}"))?;
                if part.is_empty() {
                    break;
                }
                body.extend_from_slice(&part);
            }
            let exchange = &call.exchange;
            let method = String::from_utf8_lossy(exchange.head.method()).into_owned();
            let text = format!("{method} {} {} {}\n", exchange.peer.remote, body.len(), String::from_utf8_lossy(&body));
            let field = ("X-Id".to_owned(), exchange.id.to_string().into_bytes());
            call.writer.start("200 OK", vec![field], None).map_err(|error| error.to_string())?;
            call.writer.finish(text.into()).map_err(|error| format!("{error:?}"))
        })
    }

    struct Running {
        replayer: Replayer,
        store: Arc<Store>,
        _until_dropped: oneshot::Sender<Infallible>,
    }

    /// A server without listeners.
    fn run(why_not: Option<String>) -> Running {
        let arrivals = Arc::<Arrivals>::default();
        let store = Store::spawn(CaptureOptions::DEFAULT, vec![Arc::clone(&arrivals) as _]).expect("there are threads");
        let mounts = Arc::new(Mounts::root(Live::new(
            Box::new(Native::new(show, &Limits::DEFAULT, &Grants::default())),
            "show".into(),
        )));
        let events = Arc::new(Events::new(vec![Arc::new(Recorder)]));
        let concurrency = ConcurrencyLimits::of_this_machine();
        let exchanges = Exchanges::new(mounts, Limits::DEFAULT, concurrency, GatewayOptions::DEFAULT, events);
        let exchanges = Arc::new(exchanges.captured(Some(Arc::clone(&store))));
        let (replayer, guests) = Replayer::new(Arc::clone(&store), arrivals, why_not, true);
        let (until_dropped, dropped) = oneshot::channel();
        tokio::spawn(server::run(Vec::new(), guests, exchanges, None, ended(dropped)));
        Running { replayer, store, _until_dropped: until_dropped }
    }

    async fn ended(dropped: oneshot::Receiver<Infallible>) -> Pending<()> {
        _ = dropped.await;
        pending()
    }

    fn original(request: &str) -> Record {
        let bytes = Bytes::copy_from_slice(request.as_bytes());
        let record = serde_json::json!({
            "seq": 7, "id": 17, "began": 0, "connection": 1, "nth": 3, "protocol": "HTTP/1",
            "remote": "192.0.2.1:4711", "local": "192.0.2.2:80",
            "request": { "total": bytes.len(), "head": bytes.len(), "end": "whole" },
            "response": { "total": 0, "head": 0 },
        });
        let mut record: Record = serde_json::from_value(record).expect("it is a record");
        record.request.bytes = bytes;
        record
    }

    const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";

    fn body(record: &Record) -> String {
        String::from_utf8(Message::response(record).body).expect("it is text")
    }

    #[tokio::test]
    async fn o6_a_replay_is_a_new_exchange_with_the_same_bytes_and_addresses() {
        let server = run(None);
        let original = original(POST);
        for id in 1..=3 {
            let replay = server.replayer.replay(&original, None, Pace::Fast).await.expect("it is replayed");
            assert_eq!(replay.request.bytes, original.request.bytes);
            assert_eq!((replay.remote, replay.local), (original.remote, original.local));
            assert_eq!(body(&replay), "POST 192.0.2.1:4711 3 abc\n");
            assert_eq!((replay.id, replay.seq, replay.nth), (id, id, 1));
            assert!(
                matches!(replay.origin, Origin::Replay { of: Some(7), id: 17, edited: false, .. }),
                "{:?}",
                replay.origin
            );
        }
        assert_eq!(server.store.counts().seen, 3);
    }

    /// A request of HTTP/2, whose content arrived in pieces of two bytes, 7 ms after each other.
    fn original_http2(head: &str, content: &str, trailers: Option<&str>) -> Record {
        let (head_length, content_length) = (head.len() as u64, content.len());
        let mut record = original(&[head, content, trailers.unwrap_or_default()].concat());
        record.protocol = Protocol::Http2;
        record.request.head = head_length;
        record.request.trailers = trailers.map(|_| head_length + content_length as u64);
        let length = |length: usize| u32::try_from(length).expect("it is short");
        record.request.turns = vec![(0, length(head.len()))];
        let pieces = (0..content_length).step_by(2).map(|at| length(2.min(content_length - at)));
        let trailers = trailers.map(|trailers| length(trailers.len()));
        record.request.turns.extend((1..).map(|number| number * 7000).zip(pieces.chain(trailers)));
        record
    }

    const POST_HTTP2: &str = "POST / HTTP/2\r\nhost: x\r\nb: 1\r\na: 2\r\ncontent-length: 5\r\n\r\n";

    #[tokio::test]
    async fn o6_a_replay_over_http2_is_a_new_exchange_with_the_same_head_content_and_trailers() {
        let server = run(None);
        for trailers in [None, Some("x-sum: 7\r\nx-more: 8\r\n")] {
            let original = original_http2(POST_HTTP2, "abcde", trailers);
            for pace in [Pace::Fast, Pace::Recorded] {
                let replay = server.replayer.replay(&original, None, pace).await.expect("it is replayed");
                assert_eq!(replay.protocol, Protocol::Http2);
                assert_eq!(replay.request.bytes, original.request.bytes);
                let (side, old) = (&replay.request, &original.request);
                assert_eq!((side.head, side.trailers, side.end), (old.head, old.trailers, Ending::Whole));
                assert_eq!((replay.remote, replay.local), (original.remote, original.local));
                assert_eq!(body(&replay), "POST 192.0.2.1:4711 5 abcde\n");
                assert!(matches!(replay.origin, Origin::Replay { id: 17, edited: false, .. }), "{:?}", replay.origin);
            }
        }
        let head = original_http2("HEAD / HTTP/2\r\nhost: x\r\n\r\n", "", None);
        let replay = server.replayer.replay(&head, None, Pace::Fast).await.expect("it is replayed");
        let response = Message::response(&replay);
        assert_eq!((response.status(), response.body.len(), response.is_whole), (200, 0, true));
    }

    #[tokio::test]
    async fn an_edited_request_over_http2_keeps_its_trailers_and_what_is_wrong_is_named() {
        let (server, post) = (run(None), original_http2(POST_HTTP2, "abcde", Some("x-sum: 7\r\n")));
        let edited = |text: &'static str| server.replayer.replay(&post, Some(text.into()), Pace::Fast);
        let replay = edited("PUT /x HTTP/2\r\nhost: y\r\nnew: 1\r\n\r\nhello, you").await.expect("it is replayed");
        assert_eq!(body(&replay), "PUT 192.0.2.1:4711 10 hello, you\n");
        assert_eq!(&replay.request.bytes[..], b"PUT /x HTTP/2\r\nhost: y\r\nnew: 1\r\n\r\nhello, youx-sum: 7\r\n");
        assert!(matches!(replay.origin, Origin::Replay { edited: true, .. }));
        let same = [POST_HTTP2, "abcde"].concat();
        let replay = server.replayer.replay(&post, Some(same.into()), Pace::Fast).await.expect("it is replayed");
        assert!(matches!(replay.origin, Origin::Replay { edited: false, .. }), "nothing was edited");
        for (text, why) in [
            ("GET / HTTP/2\r\nconnection: close\r\n\r\n", "HTTP/2 does not allow `connection: close`; remove it"),
            ("GET / HTTP/2\r\nhost: y\r\n", "the head of the request is not complete; end it with an empty line"),
        ] {
            assert_eq!(edited(text).await.expect_err(why), not_this(why));
        }
    }

    #[tokio::test]
    async fn a_stream_that_its_client_did_not_end_stays_open() {
        let server = run(None);
        let mut open = original_http2("POST /unread HTTP/2\r\nhost: x\r\ncontent-length: 9\r\n\r\n", "abc", None);
        open.request.end = Ending::Open;
        let replay = server.replayer.replay(&open, None, Pace::Fast).await.expect("it is replayed");
        assert_eq!(body(&replay), "POST unread\n");
        assert_ne!(replay.request.end, Ending::Whole);
    }

    #[tokio::test]
    async fn an_edited_request_is_sent_in_place_of_the_original() {
        let (server, post) = (run(None), original(POST));
        let edited = |text: &'static str| server.replayer.replay(&post, Some(text.into()), Pace::Fast);
        let replay =
            edited("PUT / HTTP/1.1\r\nHost: y\r\nContent-Length: 4\r\n\r\nabcd").await.expect("it is replayed");
        assert_eq!(body(&replay), "PUT 192.0.2.1:4711 4 abcd\n");
        assert!(matches!(replay.origin, Origin::Replay { edited: true, .. }));
        let replay =
            server.replayer.replay(&original(POST), Some(POST.into()), Pace::Fast).await.expect("it is replayed");
        assert!(matches!(replay.origin, Origin::Replay { edited: false, .. }), "nothing was edited");
        // What is no request, or not all of one, is answered at once as from a client.
        for (text, status) in
            [("what?\r\n\r\n", 400), ("POST / HTTP/1.1\r\nHost: y\r\nContent-Length: 4\r\n\r\nab", 400)]
        {
            let replay = edited(text).await.unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(Message::response(&replay).status(), status, "{text}");
        }
        let refusal = edited("GET / HTTP/1.1\r\nHost: y\r\n\r\nGET / HTTP/1.1\r\nHost: y\r\n\r\n")
            .await
            .expect_err("two requests");
        assert_eq!(refusal.status, 422);
        let replay = edited("HEAD / HTTP/1.1\r\nHost: y\r\n\r\n").await.expect("it is replayed");
        assert_eq!(body(&replay), "");
    }

    #[tokio::test]
    async fn what_cannot_be_replayed_is_refused_with_the_reason() {
        let server = run(None);
        let mut malformed = original_http2("GET / HTTP/2\r\nhost: x\r\n\r\n", "", None);
        malformed.request.is_inexact = true;
        let mut broken_http2 = original_http2("POST / HTTP/2\r\nhost: x\r\ncontent-length: 4\r\n\r\n", "abc", None);
        broken_http2.request.end = Ending::Broken;
        let mut cut = original(POST);
        (cut.request.total, cut.request.cut) = (1000, Some(Cut::BodyMax));
        let mut broken = original(&POST[..POST.len() - 1]);
        broken.request.end = Ending::Broken;
        for (original, why) in [
            (malformed, "only frames of HTTP/2 show"),
            (broken_http2, "broke the connection"),
            (original_http2("GET / HTTP/2\r\nX: y\r\n\r\n", "", None), "write `x`"),
            (cut, "only 50 of its 1000 bytes"),
            (broken, "broke the connection"),
            (original(""), "sent nothing"),
        ] {
            let refusal = server.replayer.replay(&original, None, Pace::Fast).await.expect_err(why);
            assert!(refusal.status == 422 && refusal.text.contains(why), "{refusal}");
        }
        server.store.pause(true);
        let refusal = server.replayer.replay(&original(POST), None, Pace::Fast).await.expect_err("it is paused");
        assert!(refusal.status == 409 && refusal.text.contains("paused"), "{refusal}");
        assert_eq!(server.store.counts().seen, 0, "nothing reached the handler");
        let server = run(Some("because".into()));
        let refusal = server.replayer.replay(&original(POST), None, Pace::Fast).await.expect_err("it may not");
        assert_eq!(refusal, Refusal { status: 409, text: "because".into() });
    }

    #[tokio::test]
    async fn a_request_that_its_client_did_not_complete_ends_in_the_same_way() {
        let server = run(None);
        let mut half = original("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabc");
        half.request.end = Ending::Closed;
        let replay = server.replayer.replay(&half, None, Pace::Fast).await.expect("it is replayed");
        assert_eq!(Message::response(&replay).status(), 400);
        assert_eq!(replay.request.end, Ending::Closed);
    }

    #[tokio::test]
    async fn what_differs_by_itself_is_found_by_further_runs() {
        let server = run(None);
        let first = server.replayer.replay(&original(POST), None, Pace::Fast).await.expect("it is replayed");
        let verified = server.replayer.verify(&first, Pace::Fast, &[]).await.expect("it is replayed");
        let comparison = verified.comparison;
        assert!(comparison.is_same, "{}", comparison.to_text(false));
        assert_eq!(comparison.to_text(false), "  differs in each run: field X-Id\n");
        let mut other = Record::clone(&first);
        let text = String::from_utf8_lossy(&first.response.bytes).replace("POST", "PAST");
        other.response.bytes = text.into();
        let verified = server.replayer.verify(&other, Pace::Fast, &[]).await.expect("it is replayed");
        assert!(
            !verified.comparison.is_same && verified.comparison.summary() == "body",
            "{}",
            verified.comparison.to_text(false)
        );
    }

    #[tokio::test]
    async fn a_server_that_stops_refuses() {
        let server = run(None);
        let replayer = server.replayer.clone();
        drop(server);
        while !replayer.0.guests.is_closed() {
            tokio::task::yield_now().await;
        }
        let refusal = replayer.replay(&original(POST), None, Pace::Fast).await.expect_err("it has stopped");
        assert_eq!(refusal, not_now("the server is stopping"));
    }
}
