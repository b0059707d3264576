//! Random scripts and requests, thousands of them, from a fixed seed.
//!
//! No response has a malformed byte or differs from the model, and there are never more responses than requests.

use super::{
    model::{self, Asked, Expected},
    stage::Stage,
    table::{render, request},
};
use crate::client::Response;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use wasmserve_test_programs::Step;

/// One of several requests on a connection.
#[derive(Clone, Debug)]
struct Exchange {
    method: &'static str,
    version: &'static str,
    connection: Option<&'static str>,
    framing: Framing,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Framing {
    None,
    Length(Vec<u8>),
    /// The chunks, and whether a trailer follows.
    Chunks(Vec<Vec<u8>>, bool),
}

impl Exchange {
    fn bytes(&self, target: &str) -> Vec<u8> {
        let mut fields = String::new();
        if let Some(connection) = self.connection {
            fields += &format!("Connection: {connection}\r\n");
        }
        let body = match &self.framing {
            Framing::None => Vec::new(),
            Framing::Length(body) => {
                fields += &format!("Content-Length: {}\r\n", body.len());
                body.clone()
            }
            Framing::Chunks(chunks, has_trailer) => {
                fields += "Transfer-Encoding: chunked\r\n";
                let mut body = Vec::new();
                for chunk in chunks {
                    body.extend_from_slice(format!("{:x};name=\"value\"\r\n", chunk.len()).as_bytes());
                    body.extend_from_slice(chunk);
                    body.extend_from_slice(b"\r\n");
                }
                body.extend_from_slice(b"0\r\n");
                body.extend_from_slice(if *has_trailer { b"X-Sum: 7\r\nHost: evil\r\n\r\n" } else { b"\r\n" });
                body
            }
        };
        request(&format!("{} {target} HTTP/{}", self.method, self.version), &fields, &self.steps, &body)
    }

    fn asked(&self, has_traps: bool) -> Asked {
        let (body, trailers) = match &self.framing {
            Framing::None => (Vec::new(), ""),
            Framing::Length(body) => (body.clone(), ""),
            Framing::Chunks(chunks, has_trailer) => (chunks.concat(), if *has_trailer { "x-sum: 7" } else { "" }),
        };
        Asked {
            is_head: self.method == "HEAD",
            is_http_1_0: self.version == "1.0",
            connection: self.connection,
            body,
            trailers: trailers.into(),
            has_traps,
        }
    }
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        8 => vec(any::<u8>(), 1..40),
        2 => (any::<u8>(), 1..max).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn status() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => (200..=599_u16, select(vec![" OK", " Weird Thing", " ", "", " caf\u{e9}"])).prop_map(|(code, reason)| format!("{code}{reason}")),
        4 => select(vec!["204 No Content", "205 Reset Content", "304 Not Modified", "999 Last"]).prop_map(str::to_owned),
        2 => select(vec!["", "2", "20 OK", "099 Low", "100 Continue", "1000 High", "2x0 OK", "200\tOK", "200 O\nK", "+20 OK", "\u{e9}00 OK"]).prop_map(str::to_owned),
    ]
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let field = prop_oneof![
        10 => (select(vec!["X-A", "x-a", "X-B", "Set-Cookie", "Content-Type", "ETag", "Status"]), vec(select(&b"az09 \t\xff\xe9\"\\;=,"[..]), 0..12)),
        3 => (Just("Content-Length"), (0..60_u32).prop_map(|length| length.to_string().into_bytes())),
        1 => (select(vec!["Content-Length"]), select(vec![&b""[..], b"-1", b"+1", b"1, 1", b" 7 ", b"18446744073709551616", b"0x1"]).prop_map(<[u8]>::to_vec)),
        1 => (select(vec!["", "X A", "X:", "X\r\nY", "Caf\u{e9}", "X\0"]), Just(b"x".to_vec())),
        1 => (select(vec!["Connection", "TE", "transfer-encoding", "Upgrade", "Trailer"]), Just(b"x".to_vec())),
        1 => (Just("X-C"), select(vec![&b"a\r\nb: c"[..], b"a\nb", b"\0", b"\x7f", b"\x01"]).prop_map(<[u8]>::to_vec)),
    ];
    vec(field.prop_map(|(name, value)| (name.to_owned(), value)), 0..5)
}

fn step() -> impl Strategy<Value = Step> {
    let exc_info = prop_oneof![3 => Just(None), 1 => Just(Some("boom".to_owned()))];
    prop_oneof![
        3 => (status(), fields(), exc_info).prop_map(|(status, fields, exc_info)| Step::Start { status, fields, exc_info }),
        5 => bytes(90_000).prop_map(Step::Write),
        2 => bytes(200_000).prop_map(Step::Finish),
        2 => (status(), fields(), bytes(1000)).prop_map(|(status, fields, body)| Step::Respond { status, fields, body }),
        2 => Just(Step::ReadAll),
        1 => Just(Step::Trailers),
        1 => Just(Step::Fail("no".into())),
        1 => Just(Step::Trap),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Most handlers start correctly.
    let begin = prop_oneof![
        4 => (status(), fields()).prop_map(|(status, fields)| vec![Step::Start { status, fields, exc_info: None }]),
        1 => Just(Vec::new()),
    ];
    (begin, vec(step(), 0..6)).prop_map(|(begin, rest)| [begin, rest].concat())
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let framing = prop_oneof![
        3 => Just(Framing::None),
        2 => bytes(20_000).prop_map(Framing::Length),
        2 => (vec(vec(any::<u8>(), 1..50), 0..5), any::<bool>()).prop_map(|(chunks, has_trailer)| Framing::Chunks(chunks, has_trailer)),
    ];
    let connection = select(vec![None, None, None, Some("close"), Some("keep-alive")]);
    let method = select(vec!["GET", "GET", "POST", "HEAD", "FROB", "OPTIONS"]);
    let version = select(vec!["1.1", "1.1", "1.1", "1.0"]);
    (method, version, connection, framing, steps()).prop_map(|(method, version, connection, framing, steps)| {
        let reads_late = steps.iter().skip_while(|step| is_reading(step)).any(is_reading);
        let framing = match framing {
            // Chunks are not part of HTTP/1.0.
            Framing::Chunks(chunks, _) if version == "1.0" => Framing::Length(chunks.concat()),
            // hyper may lose trailers if its client leaves after the response to an earlier request.
            Framing::Chunks(chunks, has_trailer) => Framing::Chunks(chunks, has_trailer && !reads_late),
            framing => framing,
        };
        Exchange { method, version, connection, framing, steps }
    })
}

fn is_reading(step: &Step) -> bool {
    matches!(step, Step::ReadAll | Step::Trailers)
}

/// Runs this many cases, the same ones every time.
fn each<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    if let Err(error) = runner.run(strategy, check) {
        panic!("{error}");
    }
}

/// Sends all requests at once, and compares each response and each record with the model.
fn play(stage: &Stage, case: u64, exchanges: &[Exchange]) -> Result<(), TestCaseError> {
    let target = |number: usize| format!("/{case}/{number}");
    let mut client = stage.connect();
    let requests: Vec<u8> =
        exchanges.iter().enumerate().flat_map(|(number, exchange)| exchange.bytes(&target(number))).collect();
    // The server may have closed the connection before it reads what follows the last request.
    _ = client.try_send(requests);
    client.end();
    for (number, exchange) in exchanges.iter().enumerate() {
        let Expected { answer, record, goes_on } = model::expect(&exchange.asked(stage.has_traps()), &exchange.steps);
        let got = render(&mut client, exchange.method == "HEAD");
        prop_assert_eq!(got.as_deref(), Some(&*answer));
        prop_assert_eq!(stage.record(&target(number), &record), record);
        if !goes_on {
            break;
        }
    }
    let (rest, _) = client.rest();
    prop_assert!(rest.is_empty(), "more responses than requests: {}", rest.escape_ascii());
    Ok(())
}

/// Runs this many random scripts.
///
/// # Panics
///
/// A response or a record differs from the model.
pub fn play_random(stage: Stage, cases: u32) {
    let case = std::cell::Cell::new(0);
    each(cases, &vec(exchange(), 1..4), |exchanges| {
        case.set(case.get() + 1);
        play(&stage, case.get(), &exchanges)
    });
    stage.stop();
}

/// Requests, some of them malformed: bytes are replaced, removed, inserted or doubled.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<prop::sample::Index>(), 0..4_u8, select(&b"\r\n\0 :;,\t/?#%x1\x7f\xff"[..])), 0..4);
    (vec(exchange(), 1..3), edits).prop_map(|(exchanges, edits)| {
        let mut bytes: Vec<u8> = exchanges.iter().flat_map(|exchange| exchange.bytes("/mangled")).collect();
        for (at, kind, byte) in edits {
            // Near the beginning, where more can break.
            let at = at.index(bytes.len().min(300));
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        bytes
    })
}

/// Sends this many mangled requests.
///
/// # Panics
///
/// A response is malformed, or there are more responses than requests.
pub fn play_mangled(stage: Stage, cases: u32) {
    each(cases, &mangled(), |bytes| {
        let mut client = stage.connect();
        _ = client.try_send(&bytes);
        client.end();
        // Each request has at least one line.
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let is_head = bytes.windows(5).any(|window| window.eq_ignore_ascii_case(b"HEAD "));
        if is_head {
            // The client cannot know which of the requests was answered, so it cannot know the length of the response
            // either.
            client.rest();
        } else {
            let mut answers = 0;
            while let Some(answer) = client.try_response() {
                prop_assert!(answer.status >= 200 || answer.status == 100, "{:?}", answer);
                answers += usize::from(answer.status >= 200);
            }
            prop_assert!(answers <= lines, "{} answers", answers);
        }
        let mut next = stage.connect();
        next.send(request(
            "GET /next HTTP/1.1",
            "",
            &[Step::Respond { status: "200 OK".into(), fields: Vec::new(), body: b"next".to_vec() }],
            b"",
        ));
        let next = next.try_response();
        prop_assert_eq!(next.as_ref().map(Response::text), Some("next"));
        Ok(())
    });
    stage.stop();
}
