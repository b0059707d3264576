//! An exchange while it runs, to which its parts add what they see.

use std::{
    mem,
    sync::{Arc, Mutex},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use memchr::memmem;
use wasmserve_gateway::{environ::Peer, field};

use super::{
    footprint::OVERHEAD,
    record::{Build, Cut, Ending, Facts, Failure, Line, Marks, Origin, Outcome, Protocol, Record, Side, TURNS_MAX},
    script::{CALLS_MAX, Call, OUTBOUND_BODIES_MAX, OUTBOUND_MAX, Outbound, Player, Script},
    store::Store,
    time::micros,
};
use crate::base::lock::lock;

/// What the heads of one direction may take, in bytes: more than the limits of heads allow by default, with interim
/// responses.
const HEADS_MAX: usize = 256 << 10;

/// What log lines may take, in bytes, whatever `--max-log` is.
const LINES_MAX: usize = 256 << 10;

/// What one read or write takes, in bytes.
const TURN: usize = mem::size_of::<(u64, u32)>();

/// What a call in a script takes, in bytes, about.
const CALL: usize = 2 * mem::size_of::<Call>();

/// An exchange while it runs. Becomes a record when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Recording(Arc<Open>);

struct Open {
    store: Arc<Store>,
    began: Instant,
    /// What the host is to answer, if this is a replay.
    player: Option<Player>,
    /// Only `None` while it is dropped.
    state: Mutex<Option<State>>,
}

struct State {
    record: Record,
    request: Growing,
    response: Growing,
    lines: usize,
    /// Bytes of memory that are reserved.
    reserved: usize,
}

/// One direction, while bytes are added.
#[derive(Default)]
struct Growing {
    side: Side,
    bytes: Vec<u8>,
    /// How many of the bytes belong to the body.
    body: usize,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = lock(&self.0.state).as_ref().map_or(0, |state| state.record.id);
        write!(f, "Recording({id})")
    }
}

impl Recording {
    /// Begins with the first byte of a request, which arrived at `began`. `None` while capturing is paused.
    pub(crate) fn begin(
        store: &Arc<Store>,
        began: Instant,
        origin: Origin,
        protocol: Protocol,
        Peer { remote, local }: Peer,
        (connection, nth): (u64, u32),
    ) -> Option<Self> {
        if store.is_paused() || !store.reserve(OVERHEAD) {
            return None;
        }
        store.opened();
        let script = if let Origin::Replay { script, .. } = &origin { script.as_deref() } else { None };
        let player = script.cloned().map(Player::new);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = Record {
            seq: 0,
            id: 0,
            origin,
            began: micros(since),
            connection,
            nth,
            protocol,
            remote,
            local,
            facts: None,
            handler: None,
            request: Side::default(),
            response: Side::default(),
            marks: Marks::default(),
            lines: Vec::new(),
            fault: None,
            script: None,
            left: None,
            outcome: None,
            kept: None,
        };
        let state =
            State { record, request: Growing::default(), response: Growing::default(), lines: 0, reserved: OVERHEAD };
        Some(Self(Arc::new(Open { store: Arc::clone(store), began, player, state: Mutex::new(Some(state)) })))
    }

    /// Adds bytes from the client, which arrived at `at`.
    pub(crate) fn received(&self, at: Instant, bytes: &[u8]) {
        self.with_at(at, |state, open, at| state.request.add(bytes, at, open, &mut state.reserved));
    }

    /// Records that the request's head is complete, and consists of all bytes so far.
    pub(crate) fn head_received(&self) {
        self.with(|state, _, at| {
            state.record.marks.head = Some(at);
            state.request.end_head();
        });
    }

    /// Adds the trailers of an HTTP/2 request.
    pub(crate) fn trailers_received<'a>(&self, at: Instant, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        let mut is_exact = true;
        let lines = lines(fields.inspect(|(name, value)| is_exact &= field::is_token(name) && field::is_value(value)));
        self.with_at(at, |state, open, at| state.request.add_trailers(&lines, at, open, &mut state.reserved));
        if !is_exact {
            self.request_is_inexact();
        }
    }

    /// Records that the request was malformed in a way that its bytes do not show.
    pub(crate) fn request_is_inexact(&self) {
        self.with(|state, _, _| state.request.side.is_inexact = true);
    }

    /// Records how the request ended. Only the first call counts, except that a client may close its side, or break the
    /// connection, after its request was complete.
    pub(crate) fn request_ended(&self, end: Ending) {
        self.with(|state, _, _| {
            let side = &mut state.request.side;
            if matches!(side.end, Ending::Open | Ending::Whole) {
                side.end = end;
            }
        });
    }

    /// Adds bytes that the system has accepted for the client at `at`.
    pub(crate) fn sent(&self, at: Instant, bytes: &[u8]) {
        self.with_at(at, |state, open, at| state.response.add(bytes, at, open, &mut state.reserved));
    }

    /// Records that the response's head is complete, and consists of all bytes so far.
    pub(crate) fn head_sent(&self) {
        self.with(|state, _, _| state.response.end_head());
    }

    /// Adds the trailers of an HTTP/2 response.
    pub(crate) fn trailers_sent<'a>(&self, at: Instant, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        let lines = lines(fields);
        self.with_at(at, |state, open, at| state.response.add_trailers(&lines, at, open, &mut state.reserved));
    }

    /// Records that the rest of the response is unknown.
    pub(crate) fn lost(&self) {
        self.with(|state, _, _| _ = state.response.side.cut.get_or_insert(Cut::Lost));
    }

    /// Records how the response ended.
    pub(crate) fn response_ended(&self, end: Ending) {
        self.with(|state, _, _| state.response.side.end = end);
    }

    /// Records that this is an exchange, with this id. What has none is not kept.
    pub(crate) fn begun(&self, id: u64) {
        self.with(|state, _, _| state.record.id = id);
    }

    /// Records the handler that answers, and what it knows of the request. A later one replaces it.
    pub(crate) fn handled(&self, facts: Facts, build: Build) {
        self.with(|state, _, _| {
            state.record.facts = Some(facts);
            state.record.handler = Some(build);
        });
    }

    /// Records that the handler may run.
    pub(crate) fn admitted(&self) {
        self.with(|state, _, at| _ = state.record.marks.admitted.get_or_insert(at));
    }

    /// Records that the handler starts.
    pub(crate) fn started(&self) {
        self.with(|state, _, at| _ = state.record.marks.started.get_or_insert(at));
    }

    /// Records that the response begins.
    pub(crate) fn responded(&self) {
        self.with(|state, _, at| _ = state.record.marks.responded.get_or_insert(at));
    }

    /// Adds a line of the log.
    pub(crate) fn line(&self, stream: &str, text: &[u8]) {
        self.with(|state, open, at| {
            let needed = text.len() + mem::size_of::<Line>() + stream.len();
            if state.lines + needed > LINES_MAX || !open.store.reserve(needed) {
                return;
            }
            state.lines += needed;
            state.reserved += needed;
            let text = String::from_utf8_lossy(text).into_owned();
            state.record.lines.push(Line { at, stream: stream.to_owned(), text });
        });
    }

    /// Records a fault. The first one counts.
    pub(crate) fn failed(&self, kind: &str, text: String, stack: Vec<String>) {
        self.with(|state, _, at| {
            _ = state.record.fault.get_or_insert(Failure { kind: kind.to_owned(), at, text, stack });
        });
    }

    /// Records the end of the exchange.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.with(|state, _, at| {
            state.record.marks.ended = Some(at);
            state.record.outcome = Some(outcome);
        });
    }

    /// What the host is to answer, if this is a replay that repeats the original exactly.
    pub(crate) fn player(&self) -> Option<&Player> {
        self.0.player.as_ref()
    }

    /// The id that the handler and the client learn, if this is a replay that repeats the original exactly.
    pub(crate) fn repeated_id(&self) -> Option<u64> {
        self.0.player.as_ref().and_then(|_| self.replay_of())
    }

    /// The id of the original, if this is a replay.
    pub(crate) fn replay_of(&self) -> Option<u64> {
        match lock(&self.0.state).as_ref()?.record.origin {
            Origin::Replay { id, .. } => Some(id),
            Origin::Client => None,
        }
    }

    /// Begins the script of the exchange, with this seed of all randomness.
    pub(crate) fn begin_script(&self, seed: Vec<u8>) {
        self.with(|state, _, _| state.record.script.get_or_insert_default().seed = seed);
    }

    /// Adds a call to the script.
    pub(crate) fn call(&self, call: Call) {
        self.with(|state, open, _| {
            let script = state.record.script.get_or_insert_default();
            if script.calls.len() < CALLS_MAX && open.store.reserve(CALL) {
                state.reserved += CALL;
                script.calls.push(call);
            } else {
                miss(script, "some calls, because there were too many");
            }
        });
    }

    /// Notes something that varies and is not recorded.
    pub(crate) fn missing(&self, what: &str) {
        self.with(|state, _, _| {
            if let Some(script) = &mut state.record.script {
                miss(script, what);
            }
        });
    }

    /// Adds a request to another server, and returns its index in the script. `None` if there are too many.
    pub(crate) fn send(&self, method: &str, url: &str) -> Option<usize> {
        let mut index = None;
        self.with(|state, open, at| {
            let script = state.record.script.get_or_insert_default();
            let needed = method.len() + url.len() + mem::size_of::<Outbound>();
            if script.outbound.len() >= OUTBOUND_MAX || !open.store.reserve(needed) {
                return miss(script, "some requests to other servers, because there were too many");
            }
            state.reserved += needed;
            index = Some(script.outbound.len());
            let (method, url) = (method.to_owned(), url.to_owned());
            script.outbound.push(Outbound { at, method, url, ..Outbound::default() });
        });
        index
    }

    /// Adds to a request to another server what came back, within the limits of bodies.
    pub(crate) fn sent_to_others(&self, index: usize, change: impl FnOnce(&mut Outbound, u64)) {
        self.with(|state, open, at| {
            let outbound = state.record.script.as_mut().and_then(|script| script.outbound.get_mut(index));
            let Some(outbound) = outbound else { return };
            let before = outbound.size();
            change(outbound, at);
            let needed = outbound.size().saturating_sub(before);
            if open.store.reserve(needed) {
                state.reserved += needed;
            } else {
                (outbound.fields, outbound.body, outbound.is_whole) = (Vec::new(), Vec::new(), false);
                outbound.error = Some("there was no memory left for its answer".to_owned());
            }
        });
    }

    /// Adds a part of the body that came back, as far as there is room.
    pub(crate) fn received_from_others(&self, index: usize, bytes: &[u8]) {
        self.with(|state, open, _| {
            let Some(script) = &mut state.record.script else { return };
            let all: usize = script.outbound.iter().map(|outbound| outbound.body.len()).sum();
            let outbound = script.outbound.get_mut(index).filter(|outbound| outbound.error.is_none());
            let Some(outbound) = outbound else { return };
            let is_too_large =
                outbound.body.len() + bytes.len() > open.store.options.body || all + bytes.len() > OUTBOUND_BODIES_MAX;
            if is_too_large || !open.store.reserve(bytes.len()) {
                outbound.error = Some("its body is larger than what is kept".to_owned());
                return;
            }
            state.reserved += bytes.len();
            outbound.body.extend_from_slice(bytes);
        });
    }

    fn with(&self, change: impl FnOnce(&mut State, &Open, u64)) {
        self.with_at(Instant::now(), change);
    }

    fn with_at(&self, at: Instant, change: impl FnOnce(&mut State, &Open, u64)) {
        let at = self.0.time(at);
        if let Some(state) = &mut *lock(&self.0.state) {
            change(state, &self.0, at);
        }
    }
}

impl Open {
    fn time(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.began))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let now = self.time(Instant::now());
        let state = self.state.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(State { mut record, request, response, reserved, .. }) = state.take() else { return };
        if record.id == 0 {
            self.store.give_back(reserved);
        } else {
            record.marks.completed = Some(now);
            record.left = self.player.as_ref().and_then(Player::left);
            (record.request, record.response) = (request.finish(), response.finish());
            self.store.complete(record, reserved);
        }
        self.store.closed();
    }
}

/// Where a head ends, after its empty line; or the length of what there is.
fn end_of_head(bytes: &[u8]) -> usize {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let ends = [&b"\n\r\n"[..], b"\n\n"].map(|end| (memmem::find(&bytes[blank..], end), end.len()));
    let first = ends.into_iter().filter_map(|(at, length)| Some(blank + at? + length)).min();
    first.unwrap_or(bytes.len())
}

/// Fields in the form of HTTP/1.
fn lines<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    fields.flat_map(|(name, value)| [name, b": ", value, b"\r\n"]).flatten().copied().collect()
}

fn miss(script: &mut Script, what: &str) {
    if !script.missing.iter().any(|known| known == what) {
        script.missing.push(what.to_owned());
    }
}

impl Growing {
    /// Adds bytes. Those beyond a limit are only counted, as are all that follow.
    fn add(&mut self, bytes: &[u8], at: u64, open: &Open, reserved: &mut usize) {
        let mut reserve = |bytes: usize| {
            let is_reserved = open.store.reserve(bytes);
            *reserved += if is_reserved { bytes } else { 0 };
            is_reserved
        };
        let Side { total, turns, cut, head, .. } = &mut self.side;
        *total += bytes.len() as u64;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // What arrived in one read is one turn, although it has several parts.
        if let Some((_, more)) = turns.last_mut().filter(|(last, _)| *last == at) {
            *more = more.saturating_add(length);
        } else if turns.len() < TURNS_MAX && (turns.len() < turns.capacity() || reserve(turns.len().max(4) * TURN)) {
            turns.push((at, length));
        }
        if cut.is_some() {
            return;
        }
        let is_body = *head > 0;
        let room =
            if is_body { open.store.options.body - self.body } else { HEADS_MAX.saturating_sub(self.bytes.len()) };
        let kept = &bytes[..bytes.len().min(room)];
        let (length, capacity) = (self.bytes.len() + kept.len(), self.bytes.capacity());
        if length > capacity {
            let larger = length.max((2 * capacity).min(open.store.options.body + HEADS_MAX));
            if !reserve(larger - capacity) {
                *cut = Some(Cut::NoRoom);
                return;
            }
            self.bytes.reserve_exact(larger - self.bytes.len());
        }
        self.bytes.extend_from_slice(kept);
        if is_body {
            self.body += kept.len();
        }
        if kept.len() < bytes.len() {
            *cut = Some(if is_body { Cut::BodyMax } else { Cut::HeadMax });
        }
    }

    /// Adds trailers, which end where the bytes do.
    fn add_trailers(&mut self, lines: &[u8], at: u64, open: &Open, reserved: &mut usize) {
        if !lines.is_empty() {
            self.side.trailers = Some(self.side.total);
            self.add(lines, at, open, reserved);
        }
    }

    fn end_head(&mut self) {
        self.side.head = self.side.total;
    }

    fn finish(mut self) -> Side {
        // A head that is refused may end anywhere: it is shown up to its empty line, if that has arrived.
        if self.side.head == 0 {
            self.side.head = end_of_head(&self.bytes) as u64;
        }
        Side { bytes: Bytes::from(self.bytes), ..self.side }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{super::store::CaptureOptions, *};

    fn store(memory: usize, body: usize) -> Arc<Store> {
        Store::spawn(CaptureOptions { memory, body }, Vec::new()).expect("the system has threads left")
    }

    fn begin(store: &Arc<Store>) -> Option<Recording> {
        let addr = (Ipv4Addr::LOCALHOST, 1).into();
        let peer = Peer { remote: addr, local: addr };
        Recording::begin(store, Instant::now(), Origin::Client, Protocol::Http1, peer, (1, 1))
    }

    /// An exchange with a body of this many bytes in each direction.
    fn exchange(store: &Arc<Store>, id: u64, body: usize) {
        let Some(recording) = begin(store) else { return };
        recording.received(Instant::now(), b"HEAD");
        recording.head_received();
        recording.received(Instant::now(), &vec![b'q'; body]);
        recording.begun(id);
        recording.sent(Instant::now(), b"head");
        recording.head_sent();
        recording.sent(Instant::now(), &vec![b'a'; body]);
    }

    #[test]
    fn o2_what_is_cut_says_so() {
        let store = store(1 << 20, 10);
        let recording = begin(&store).expect("there is memory");
        let at = Instant::now();
        recording.received(at, b"HEAD");
        recording.head_received();
        recording.received(at, b"0123456");
        recording.received(at, b"789abc");
        recording.received(at, b"later");
        recording.begun(7);
        recording.line("log", b"said");
        drop(recording);
        let record = store.get(1).expect("it is complete");
        let side = &record.request;
        assert_eq!((record.id, &side.bytes[..], side.head()), (7, &b"HEAD0123456789"[..], &b"HEAD"[..]));
        assert_eq!((side.total, side.is_cut(), side.cut), (22, true, Some(Cut::BodyMax)));
        assert_eq!(side.turns.iter().map(|(_, length)| length).sum::<u32>(), 22);
        assert!(!record.response.is_cut());
        assert_eq!(record.lines[0].text, "said");
    }

    #[test]
    fn trailers_of_http2_follow_the_content_and_say_where_they_begin() {
        let store = store(1 << 20, 16);
        let at = Instant::now();
        let record = |id: u64, content: &[u8], value: &'static [u8]| {
            let recording = begin(&store).expect("there is memory");
            recording.received(at, b"HEAD");
            recording.head_received();
            recording.received(at, content);
            recording.trailers_received(at, [(&b"a"[..], value), (b"b", b"2")].into_iter());
            recording.trailers_sent(at, std::iter::empty());
            recording.begun(id);
            drop(recording);
            store.get(id).expect("it is complete")
        };
        let side = &record(1, b"abc", b"1").request;
        assert_eq!(
            (&side.bytes[..], side.trailers, side.is_inexact),
            (&b"HEADabca: 1\r\nb: 2\r\n"[..], Some(7), false)
        );
        assert_eq!((side.content_and_trailers(), side.body_total()), ((&b"abc"[..], &b"a: 1\r\nb: 2\r\n"[..]), 3));
        let second = record(2, &[b'x'; 20], b" 1");
        let side = &second.request;
        assert_eq!((side.trailers, side.is_cut(), side.is_inexact), (Some(24), true, true));
        assert_eq!((side.content_and_trailers(), side.body_total()), ((&[b'x'; 16][..], &b""[..]), 20));
        assert_eq!(second.response.trailers, None);
    }

    #[test]
    fn o2_a_head_that_is_cut_is_not_said_to_be_a_body() {
        let store = store(1 << 20, 10);
        let recording = begin(&store).expect("there is memory");
        recording.received(Instant::now(), &vec![b'h'; HEADS_MAX + 1]);
        recording.head_received();
        recording.received(Instant::now(), b"body");
        recording.begun(7);
        drop(recording);
        let request = &store.get(1).expect("it is complete").request;
        assert_eq!((request.bytes.len(), request.cut), (HEADS_MAX, Some(Cut::HeadMax)));
        assert_eq!((request.head, request.total), (HEADS_MAX as u64 + 1, HEADS_MAX as u64 + 5));
    }

    #[test]
    fn o2_what_other_servers_send_is_bounded_for_all_of_them_together() {
        let store = store(4 * OUTBOUND_BODIES_MAX, OUTBOUND_BODIES_MAX);
        let recording = begin(&store).expect("there is memory");
        recording.begun(7);
        let part = vec![b'x'; OUTBOUND_BODIES_MAX / 2];
        for _ in 0..3 {
            let index = recording.send("GET", "http://x/").expect("they are few");
            recording.received_from_others(index, &part);
        }
        drop(recording);
        let record = store.get(1).expect("it is complete");
        let outbound = &record.script.as_ref().expect("there is a script").outbound;
        let seen: Vec<_> = outbound.iter().map(|sent| (sent.body.len(), sent.error.is_some())).collect();
        assert_eq!(seen, [(part.len(), false), (part.len(), false), (0, true)]);
    }

    #[test]
    fn o4_memory_is_bounded_and_what_did_not_fit_says_so() {
        const MEMORY: usize = 256 << 10;
        let store = store(MEMORY, 1 << 20);
        let open: Vec<_> = (0..20).filter_map(|_| begin(&store)).collect();
        for (id, recording) in open.iter().enumerate() {
            recording.begun(id as u64 + 1);
            recording.head_received();
            recording.received(Instant::now(), &[b'x'; 32 << 10]);
            assert!(store.memory().0 <= MEMORY);
        }
        drop(open);
        let records = store.after(0, usize::MAX);
        let cut = records.iter().filter(|record| record.request.cut == Some(Cut::NoRoom)).count();
        assert!(cut > 0 && cut < 20, "{cut} of {}", records.len());
        assert!(records.iter().all(|record| record.request.cut.is_some() == record.request.is_cut()));
        drop(records);
        store.clear();
        assert_eq!(store.memory().0, 0, "nothing is in use");
    }

    #[test]
    fn the_oldest_are_removed_and_those_that_are_kept_are_not() {
        let store = store(256 << 10, 1 << 20);
        exchange(&store, 1, 1000);
        let kept = store.keep(1, Some("first".into())).expect("there is memory").expect("it is there");
        assert_eq!(kept.kept.as_deref(), Some("first"));
        for id in 2..=200 {
            exchange(&store, id, 4000);
            assert!(store.memory().0 <= 256 << 10);
            _ = store.counts();
        }
        let left: Vec<u64> = store.before(u64::MAX, usize::MAX).iter().map(|record| record.id).collect();
        assert!(left.starts_with(&[200, 199]) && left.ends_with(&[1]) && left.len() < 100, "{left:?}");
        let counts = store.counts();
        assert_eq!((counts.seen, counts.removed), (200, 200 - left.len() as u64));
        let newest = store.counts().seen;
        for seq in (newest - left.len() as u64)..=newest {
            if store.keep(seq, Some(String::new())).is_err() {
                store.keep(1, None).expect("it is not kept any more");
                store.clear();
                return;
            }
        }
        panic!("more than half of the memory was kept");
    }

    #[test]
    fn what_is_no_exchange_is_not_kept_and_leaves_no_memory() {
        let store = store(1 << 20, 1 << 20);
        let recording = begin(&store).expect("there is memory");
        recording.received(Instant::now(), b"GET / HT");
        drop(recording);
        assert_eq!((store.counts().seen, store.memory().0), (0, 0));
        store.pause(true);
        assert!(begin(&store).is_none());
        store.pause(false);
        assert!(begin(&store).is_some());
    }
}
