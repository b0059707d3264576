//! Floods of frames, which harm only their own connection.

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
};

use wasmserve::{Event, Listener};
use wasmserve_tests::{
    client::Close,
    http2::{END_HEADERS, END_STREAM, End, GoAway, Http2, PREFACE, code, fields, frame, headers, kind},
    local::{self, Local, apart},
    server::{Server, Shared},
};

use super::connect;

/// Something that a client repeats again and again.
struct Flood {
    name: &'static str,
    /// The bytes of a round, given its number.
    round: fn(u32) -> Vec<u8>,
    rounds: u32,
    /// The code and reason of the server's GOAWAY.
    goaway: (u32, &'static str),
}

/// A request with a window that overflows: the server has to reset the stream by itself.
fn overflowing(round: u32) -> Vec<u8> {
    let stream = 2 * round + 1;
    let update = frame(kind::WINDOW_UPDATE, 0, stream, (u32::MAX >> 1).to_be_bytes());
    [headers(stream, &fields("POST", "/waits"), 0), update].concat()
}

/// A request that is reset at once.
fn reset(round: u32) -> Vec<u8> {
    let stream = 2 * round + 1;
    let reset = frame(kind::RST_STREAM, 0, stream, code::CANCEL.to_be_bytes());
    [headers(stream, &fields("POST", "/waits"), 0), reset].concat()
}

/// A field of four thousand bytes, and then one-byte references to it.
fn bomb(round: u32) -> Vec<u8> {
    let mut block = wasmserve_tests::http2::block(&fields("GET", "/"));
    // An indexed literal (RFC 7541 section 6.2.1): `x`, and 4000 bytes.
    block.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    block.extend([b'x'; 4000]);
    block.extend([0x80 | 62; 8000]);
    frame(kind::HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, block)
}

const FLOODS: [Flood; 8] = [
    Flood { name: "rapid reset", round: reset, rounds: 2000, goaway: (code::ENHANCE_YOUR_CALM, "too_many_resets") },
    Flood {
        name: "MadeYouReset",
        round: overflowing,
        rounds: 3000,
        goaway: (code::ENHANCE_YOUR_CALM, "too_many_internal_resets"),
    },
    Flood {
        name: "CONTINUATION",
        round: |round| match round {
            0 => frame(kind::HEADERS, END_STREAM, 1, wasmserve_tests::http2::block(&fields("GET", "/"))),
            _ => frame(kind::CONTINUATION, 0, 1, wasmserve_tests::http2::block(&[("x", "y")])),
        },
        rounds: 5000,
        goaway: (code::ENHANCE_YOUR_CALM, "too_many_continuations"),
    },
    Flood {
        name: "empty DATA",
        round: |round| match round {
            0 => headers(1, &fields("POST", "/waits"), 0),
            _ => frame(kind::DATA, 0, 1, b""),
        },
        rounds: 50_000,
        goaway: (code::ENHANCE_YOUR_CALM, "too_many_data_frames"),
    },
    Flood {
        name: "HPACK bomb",
        round: bomb,
        rounds: 10,
        goaway: (code::ENHANCE_YOUR_CALM, "header_list_way_too_large"),
    },
    Flood {
        name: "PING",
        round: |_| frame(kind::PING, 0, 0, b"flooding"),
        rounds: 20_000,
        goaway: (code::ENHANCE_YOUR_CALM, "too_many_control_frames"),
    },
    Flood {
        name: "SETTINGS",
        round: |_| frame(kind::SETTINGS, 0, 0, b""),
        rounds: 20_000,
        goaway: (code::ENHANCE_YOUR_CALM, "too_many_control_frames"),
    },
    Flood {
        name: "PRIORITY",
        round: |_| frame(kind::PRIORITY, 0, 1, [0, 0, 0, 3, 1]),
        rounds: 20_000,
        goaway: (code::ENHANCE_YOUR_CALM, "too_many_control_frames"),
    },
];

impl Flood {
    /// Sends everything, or as much as the server accepts, and returns the server's GOAWAY and how it closed.
    fn pour(&self, client: &mut Http2) -> (Option<GoAway>, Close) {
        let bytes: Vec<u8> = (0..self.rounds).flat_map(self.round).collect();
        for part in bytes.chunks(64 << 10) {
            if client.try_send(part).is_err() {
                break;
            }
        }
        client.closed()
    }
}

#[test]
fn floods_end_only_their_own_connection() {
    let server = Server::start("misbehaves");
    let mut before = connect(&server);
    assert_eq!(before.get("/").text(), "well");
    drop(connect(&server).get("/"));
    let descriptors = server.descriptors();
    for flood in &FLOODS {
        let mut client = connect(&server);
        let (goaway, close) = flood.pour(&mut client);
        match goaway {
            Some(GoAway { code, why, .. }) => assert_eq!((code, &*why), flood.goaway, "{}", flood.name),
            // A reset may discard the GOAWAY before the client reads it.
            None => assert_eq!(close, Close::Reset, "{}: neither a GOAWAY nor a reset", flood.name),
        }
        drop(client);
        assert_eq!(connect(&server).get("/").text(), "well", "after {}: on a new connection", flood.name);
        assert_eq!(before.get("/").text(), "well", "after {}: on an older one", flood.name);
    }
    // The last connections close a moment after their clients have received everything.
    let left = (0..1000).map(|_| server.get("/")).find(|_| server.descriptors() <= descriptors + 2);
    assert!(left.is_some(), "there were {descriptors} descriptors, and now there are {}", server.descriptors());
    drop(before);
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains("host-bug")), "{log:#?}");
}

#[test]
fn too_many_control_frames_are_reported_in_the_goaway() {
    let server = Shared::program("hello");
    let mut client = connect(&server);
    assert_eq!(client.get("/").status, 200);
    // The client's acknowledgements count too, because no stream is open. Sending one frame at a time leaves nothing
    // unread at the end.
    let answered = (0..=1000).take_while(|_| client.is_answered()).count();
    assert!((900..=1000).contains(&answered), "{answered} were answered");
    let (goaway, close) = client.closed();
    let why = "too_many_control_frames".into();
    assert_eq!(goaway, Some(GoAway { last: 1, code: code::ENHANCE_YOUR_CALM, why }));
    assert_eq!(close, Close::Orderly);
}

#[test]
fn control_frames_during_and_between_exchanges_are_not_a_flood() {
    let server = Shared::program("reads_input");
    let mut client = connect(&server);
    let stream = client.begin(&fields("POST", "/eager"));
    assert_eq!(client.piece(stream).as_deref(), Some(&b"reading\n"[..]));
    for _ in 0..5 {
        client.send(frame(kind::PING, 0, 0, b"no flood").repeat(600));
        client.settle();
    }
    client.last(stream, "");
    assert_eq!(client.response(stream).text(), "0 octets, trailers []\n");
    for _ in 0..5 {
        client.send(frame(kind::PING, 0, 0, b"no flood").repeat(600));
        client.settle();
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn a_body_in_one_byte_frames_is_accepted_as_fast_as_it_is_read() {
    let server = Shared::program("echo");
    let mut client = connect(&server);
    let stream = client.begin(&fields("POST", "/"));
    for _ in 0..40 {
        client.send(frame(kind::DATA, 0, stream, b"x").repeat(500));
        let mut back = 0;
        while back < 500 {
            back += client.piece(stream).expect("the response continues").len();
        }
    }
    client.last(stream, "");
    assert_eq!((client.piece(stream), client.end(stream)), (None, End::Whole));
}

#[test]
fn streams_beyond_a_hundred_are_refused_and_the_hundred_are_served() {
    let server = Shared::program("reads_input");
    let mut client = connect(&server);
    let streams: Vec<u32> = (0..300).map(|_| client.begin(&fields("POST", "/eager"))).collect();
    let (served, refused) = streams.split_at(100);
    for stream in refused {
        assert_eq!(client.end(*stream), End::Reset(code::REFUSED_STREAM));
    }
    for stream in served {
        client.last(*stream, "x");
        assert_eq!(client.response(*stream).text(), "reading\n1 octets, trailers []\n");
    }
    assert_eq!(client.get("/").status, 200, "new streams are accepted again");
}

/// Collects the statuses of the exchanges.
#[derive(Default)]
struct Ended(Mutex<Vec<u16>>);

impl Listener for Ended {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Ended { outcome, .. } = event {
            self.0.lock().expect("the lock is not poisoned").push(outcome.status);
        }
    }
}

#[test]
fn floods_leave_no_instance_behind() {
    apart(|| {
        let ended = Arc::<Ended>::default();
        let local = Local::start(local::component("misbehaves"), Arc::clone(&ended) as _);
        let addr = local.addr;
        for flood in &FLOODS {
            _ = flood.pour(&mut Http2::connect(addr));
            local.settle();
        }
        // A client that resets its requests one after the other while they run.
        let mut client = Http2::connect(addr);
        for _ in 0..50 {
            let streams = [client.begin(&fields("POST", "/waits")), client.ask(&fields("GET", "/streams"))];
            assert_eq!(client.head(streams[1]).expect("a response head").status, 200);
            for stream in streams {
                client.reset(stream);
            }
        }
        local.settle();
        assert_eq!(client.get("/").status, 200);
        drop(client);
        local.stop();
        let ended = ended.0.lock().expect("the lock is not poisoned");
        assert_eq!(
            ended.iter().filter(|status| **status == 200).count(),
            1,
            "only the last request was answered: {ended:?}"
        );
        assert!(ended.iter().filter(|status| **status == 499).count() >= 100, "L5: {ended:?}");
    });
}

#[test]
fn a_gigantic_frame_is_refused_before_it_has_arrived() {
    let server = Shared::program("hello");
    let mut client = server.connect();
    client.send([PREFACE, &frame(kind::SETTINGS, 0, 0, b""), b"\xff\xff\xff\0\0\0\0\0\x01"].concat());
    let mut sender = client.sender();
    // The server need not read any of it.
    _ = sender.write_all(&[0; 1 << 20]);
    let (response, _) = client.rest();
    drop(response);
    assert_eq!(server.get("/").status, 200);
}
